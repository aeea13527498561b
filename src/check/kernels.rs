//! A device's own compiler on every kernel that it may get.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{kernels_of, peak_kernels};

/// Has a device's own shader compiler read every kernel that it may get: a browser's knows rules that naga does not check, uniformity among
/// them. No pipelines are made. `progress` is told how many are done, of how many. Returns how many there were.
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu) names the kernel that was refused, with the compiler's words.
pub async fn compile_kernels(gpu: &Gpu, mut progress: impl FnMut(usize, usize)) -> Result<usize> {
    let device = gpu.capabilities();
    let mut all = peak_kernels(device.f16);
    for variant in device.variants() {
        all.extend(kernels_of(device, variant)?);
    }
    for (index, source) in all.iter().enumerate() {
        gpu.validate(source).await?;
        progress(index + 1, all.len());
    }
    Ok(all.len())
}

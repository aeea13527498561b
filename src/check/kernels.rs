//! Compiles every kernel that a device may get with the device's own compiler.

use crate::error::Result;
use crate::gpu::Gpu;
use crate::kernels::{kernels_of, peak_kernels};

/// Lets a device's own shader compiler read every kernel that the device may get. A browser's
/// compiler enforces rules that naga does not check, for example uniformity. No pipelines are made.
/// `progress` receives the number of kernels done and their total. Returns that total.
///
/// # Errors
/// [`Error::Gpu`](crate::Error::Gpu) names the refused kernel and quotes the compiler.
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

//! The peaks of a device: memory bandwidth, arithmetic, and the time of a dispatch that does
//! nothing.

use crate::bench::Peaks;
use crate::bench::measure::{Effort, Stopwatch};
use crate::error::Result;
use crate::gpu::{Gpu, Grid};
use crate::kernels::{CHAINS, PEAK_GROUP, PIECES, REPEATS, peak_kernels};

/// The rounds that the loop of fma.wgsl runs; each contains the operations that are written out.
const ROUNDS: u32 = 64;
/// Workgroups enough to keep any device busy; each takes some microseconds.
const BUSY: u32 = 4096;
const BUSY_QUICK: u32 = 64;

impl Peaks {
    /// Measures the peaks of a device.
    pub(crate) async fn measure(gpu: &Gpu, watch: &Stopwatch, effort: Effort) -> Result<Self> {
        let capabilities = gpu.capabilities();
        let limits = &capabilities.limits;
        let bytes = effort
            .copy_bytes
            .min(limits.max_storage_buffer_binding_size)
            .min(limits.max_buffer_size);
        let usage = wgpu::BufferUsages::STORAGE;
        let from = gpu.buffer("copied from", bytes, usage).await?;
        let to = gpu.buffer("copied to", bytes, usage).await?;
        let mut kernels = Vec::new();
        for source in peak_kernels(capabilities.f16) {
            kernels.push(gpu.kernel(&source).await?);
        }
        let seconds = async |index: usize, groups: [u32; 3]| {
            let both = [from.slice(..), to.slice(..)];
            let buffers = if index == 1 { &both[..] } else { &both[1..] };
            let bind = || kernels[index].bind(gpu.device(), buffers);
            let bound = gpu.scoped("binding a measurement", bind).await?;
            let record = |pass: &mut wgpu::ComputePass<'_>, _: usize| {
                kernels[index].dispatch(pass, &bound, groups);
            };
            watch.measure(gpu, effort, record).await.map(|times| times.seconds.min)
        };
        let copies = Grid::Rows(PIECES * PEAK_GROUP).workgroups((bytes / 16) as u32, capabilities);
        let busy = if effort == Effort::QUICK { BUSY_QUICK } else { BUSY };
        let flops = 2.0 * f64::from(busy * PEAK_GROUP) * f64::from(4 * CHAINS * ROUNDS * REPEATS);
        Ok(Self {
            dispatch: seconds(0, [1, 1, 1]).await?,
            copy: 2.0 * bytes as f64 / seconds(1, copies).await?,
            f32: flops / seconds(2, [busy, 1, 1]).await?,
            f16: match capabilities.f16 {
                true => Some(flops / seconds(3, [busy, 1, 1]).await?),
                false => None,
            },
        })
    }
}

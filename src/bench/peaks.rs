//! What a device reaches at best: memory, arithmetic, and a dispatch that does nothing.

use crate::bench::Peaks;
use crate::bench::measure::{Effort, Stopwatch};
use crate::error::Result;
use crate::gpu::{Binding, Gpu, KernelSource, shader, spread, unrolled};

const GROUP: u32 = 256;
/// Units of 16 bytes that an invocation copies.
const PIECES: u32 = 4;
/// Rounds of fma.wgsl: 64 by its own loop, times those written out.
const ROUNDS: u32 = 64;
const REPEATS: u32 = 16;
const CHAINS: u32 = 8;
/// Workgroups that keep any device busy, each some microseconds.
const BUSY: u32 = 4096;
const BUSY_QUICK: u32 = 64;

fn kernel(name: &str, wgsl: String, bindings: Vec<Binding>, group: u32) -> KernelSource {
    KernelSource {
        name: name.into(),
        wgsl,
        overrides: Vec::new(),
        bindings,
        group,
        lanes: 1,
        tokens_per_group: 1,
        bounded_loops: false,
        roundings: 0,
    }
}

fn copy() -> KernelSource {
    let head = format!("const PIECES: u32 = {PIECES}u;\n");
    let wgsl = unrolled(head + shader!("bench/copy.wgsl"), "i", "PIECES", PIECES);
    kernel("copy", wgsl, vec![Binding::Read, Binding::Write], GROUP)
}

fn fma(name: &str, scalar: &str) -> KernelSource {
    let head =
        format!("{scalar}const REPEATS: u32 = {REPEATS}u;\nconst CHAINS: u32 = {CHAINS}u;\n");
    let wgsl = unrolled(head + shader!("bench/fma.wgsl"), "i", "CHAINS", CHAINS);
    let wgsl = unrolled(wgsl, "repeat", "REPEATS", REPEATS);
    kernel(name, wgsl, vec![Binding::Write], GROUP)
}

/// The kernels that measure a device, for tests: the first runs everywhere, f16 where shaders have it.
pub fn peak_kernels(f16: bool) -> Vec<KernelSource> {
    let mut kernels = vec![
        kernel("empty", shader!("bench/empty.wgsl").into(), vec![Binding::Write], 1),
        copy(),
        fma("fma f32", "alias Scalar = f32;\n"),
    ];
    if f16 {
        kernels.push(fma("fma f16", "enable f16;\nalias Scalar = f16;\n"));
    }
    kernels
}

impl Peaks {
    /// Measures a device.
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
            let record = |pass: &mut wgpu::ComputePass<'_>, _: usize| {
                kernels[index].record(gpu, pass, buffers, groups);
                Ok(())
            };
            watch.measure(gpu, effort, record).await.map(|times| times.seconds.min)
        };
        let copies = spread((bytes / 16).div_ceil(u64::from(PIECES * GROUP)) as u32, capabilities);
        let busy = if effort == Effort::QUICK { BUSY_QUICK } else { BUSY };
        let flops = 2.0 * f64::from(busy * GROUP) * f64::from(4 * CHAINS * ROUNDS * REPEATS);
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

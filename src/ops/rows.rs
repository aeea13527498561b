//! From all tokens' rows to some: gathered, pooled, normalised.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Gpu, Kernel, KernelSource, Variant, row_stride, spread};
use crate::model::Pooler;
use crate::ops::source;

/// Picks rows by their number.
#[derive(Debug)]
pub(crate) struct Gather {
    kernel: Arc<Kernel>,
    group: u32,
}

impl Gather {
    pub(crate) async fn new(gpu: &Gpu, width: usize) -> Result<Self> {
        let source = source::gather(width);
        Ok(Self { kernel: gpu.kernel(&source).await?, group: source.group })
    }

    /// `x: [tokens, row_stride(width)]`, `rows: [rows]` u32, `y: [rows, row_stride(width)]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        [x, rows, y]: [wgpu::BufferSlice<'_>; 3],
    ) {
        let groups = spread((y.size() / 16).div_ceil(self.group.into()) as u32, gpu.capabilities());
        self.kernel.record(gpu, pass, &[x, rows, y], groups);
    }
}

/// Pools each sequence to a row.
#[derive(Debug)]
pub(crate) struct Pool {
    kernel: Arc<Kernel>,
    group: u32,
}

impl Pool {
    /// None for a pooler that is a [`Gather`] of first tokens.
    pub(crate) async fn new(gpu: &Gpu, width: usize, pooler: Pooler) -> Result<Option<Self>> {
        let mode = match pooler {
            Pooler::MeanUnmasked => 0,
            Pooler::Avg => 1,
            Pooler::Max => 2,
            Pooler::Lse => 3,
            Pooler::ZeroIndex => return Ok(None),
        };
        let source = source::pool(width, mode);
        Ok(Some(Self { kernel: gpu.kernel(&source).await?, group: source.group }))
    }

    /// `x: [tokens, row_stride(width)]`, `sequences`: 2 u32 each, `masked: [tokens]`, `y: [sequences, row_stride(width)]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        buffers: [wgpu::BufferSlice<'_>; 4],
    ) {
        let vec4s = buffers[3].size() / 16;
        let groups = spread(vec4s.div_ceil(self.group.into()) as u32, gpu.capabilities());
        self.kernel.record(gpu, pass, &buffers, groups);
    }
}

/// Divides rows by their Euclidean norm.
#[derive(Debug)]
pub(crate) struct L2Norm {
    source: KernelSource,
    kernel: Arc<Kernel>,
    stride: usize,
}

impl L2Norm {
    pub(crate) async fn new(gpu: &Gpu, width: usize, variant: Variant) -> Result<Self> {
        let source = source::l2_norm(width, variant, gpu.capabilities())?;
        Ok(Self { kernel: gpu.kernel(&source).await?, source, stride: row_stride(width) })
    }

    /// `x` and `y`: `[rows, row_stride(width)]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) {
        let rows = (x.size() / 4) as usize / self.stride;
        let groups = self.source.workgroups(rows as u32, gpu.capabilities());
        self.kernel.record(gpu, pass, &[x, y], groups);
    }
}

//! Self-attention on cooperative matrices: f16 in and out, f32 sums.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Gpu, Kernel};
use crate::ops::source_coop;

/// The attention of a layer whose activations are f16.
#[derive(Debug)]
pub(crate) struct CoopAttention {
    kernel: Arc<Kernel>,
    heads: u32,
}

impl CoopAttention {
    /// Of heads of `16 * head16` values, `head16` up to [`source_coop::MAX_HEAD16`].
    pub(crate) async fn new(gpu: &Gpu, heads: usize, head16: u32, scale: f32) -> Result<Self> {
        let kernel = gpu.kernel(&source_coop::attention_coop(heads, head16, scale)).await?;
        Ok(Self { kernel, heads: heads as u32 })
    }

    /// `qkv`: f16 `[tokens, 3 heads' widths]`, `masked: [tokens]`, tiles of [`source_coop::QUERIES`], `context`: f16 `[tokens, heads' widths]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        buffers: [wgpu::BufferSlice<'_>; 4],
    ) {
        let tiles = (buffers[2].size() / 16) as u32;
        let x = tiles.min(gpu.capabilities().limits.max_compute_workgroups_per_dimension).max(1);
        self.kernel.record(gpu, pass, &buffers, [x, self.heads, tiles.div_ceil(x)]);
    }
}

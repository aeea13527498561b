//! Self-attention on a device.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Gpu, Kernel};
use crate::model::Batch;
use crate::ops::{source, source_coop};

/// The attention of a layer: f32 activations, or f16 ones on cooperative matrices.
#[derive(Debug)]
pub(crate) struct Attention {
    kernel: Arc<Kernel>,
    heads: u32,
}

impl Attention {
    pub(crate) async fn new(gpu: &Gpu, heads: usize, head4: u32, scale: f32) -> Result<Self> {
        let kernel = gpu.kernel(&source::attention(heads, head4, scale)).await?;
        Ok(Self { kernel, heads: heads as u32 })
    }

    /// On cooperative matrices: heads of `16 * head16` values, `head16` up to [`source_coop::MAX_HEAD16`], qkv and context in f16.
    pub(crate) async fn cooperative(
        gpu: &Gpu,
        heads: usize,
        head16: u32,
        scale: f32,
    ) -> Result<Self> {
        let kernel = gpu.kernel(&source_coop::attention_coop(heads, head16, scale)).await?;
        Ok(Self { kernel, heads: heads as u32 })
    }

    /// What each workgroup of up to `queries` computes: first query, queries, first key, keys.
    pub(crate) fn tiles(batch: &Batch, queries: u32) -> Vec<[u32; 4]> {
        let mut tiles = Vec::new();
        for [first, count] in &batch.sequences {
            for query in (0..*count).step_by(queries as usize) {
                tiles.push([first + query, queries.min(count - query), *first, *count]);
            }
        }
        tiles
    }

    /// `qkv: [tokens, 3 heads' widths]`, `masked: [tokens]`, `tiles` as [`Attention::tiles`] gives them, `context: [tokens, heads' widths]`.
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

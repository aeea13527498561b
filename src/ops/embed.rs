//! Embeddings on a device.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Kernel, WeightFormat, row_stride, spread};
use crate::model::EmbeddingWeights;
use crate::ops::matrix::upload;
use crate::ops::source;

/// Word, position and token-type embeddings.
#[derive(Debug)]
pub(crate) struct Embed {
    kernel: Arc<Kernel>,
    group: u32,
    /// `[vocabulary, hidden]`, which a tied decoder shares.
    pub(crate) words: Arc<Buffer>,
    positions: Buffer,
    types: Buffer,
    units: usize,
}

impl Embed {
    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &EmbeddingWeights,
        hidden: usize,
        format: WeightFormat,
    ) -> Result<Self> {
        let source = source::embed(hidden, format);
        let f32 = WeightFormat::F32;
        Ok(Self {
            kernel: gpu.kernel(&source).await?,
            group: source.group,
            words: upload(gpu, "word embedding", &weights.words, hidden, format).await?.into(),
            positions: upload(gpu, "position embedding", &weights.positions, hidden, f32).await?,
            types: upload(gpu, "token-type embedding", &weights.types, hidden, f32).await?,
            units: row_stride(hidden) / 4,
        })
    }

    /// `tokens`: 4 u32 each, `y: [tokens, row_stride(hidden)]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        tokens: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) {
        let count = (tokens.size() / 16) as usize * self.units;
        let groups = spread(count.div_ceil(self.group as usize) as u32, gpu.capabilities());
        let (positions, types) = (self.positions.slice(..), self.types.slice(..));
        let buffers = [tokens, self.words.slice(..), positions, types, y];
        self.kernel.record(gpu, pass, &buffers, groups);
    }
}

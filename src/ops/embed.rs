//! Embeddings on a device.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Kernel, WeightFormat, row_stride, spread};
use crate::model::EmbeddingWeights;
use crate::ops::matrix::{row_bytes, upload};
use crate::ops::source;

/// Word, position and token-type embeddings.
#[derive(Debug)]
pub(crate) struct Embed {
    group: u32,
    words: Vec<Words>,
    positions: Buffer,
    types: Buffer,
    units: usize,
}

/// The rows of some ids, as many as one binding holds: a multilingual vocabulary is larger than that.
#[derive(Debug)]
pub(crate) struct Words {
    kernel: Arc<Kernel>,
    pub(crate) ids: Range<usize>,
    /// `[ids, row_stride(hidden)]`, which a tied decoder shares.
    pub(crate) rows: Arc<Buffer>,
}

impl Embed {
    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &EmbeddingWeights,
        hidden: usize,
        format: WeightFormat,
    ) -> Result<Self> {
        let f32 = WeightFormat::F32;
        let (mut words, mut group) = (Vec::new(), 1);
        for ids in parts(gpu, weights.words.len() / hidden, row_bytes(hidden, format)) {
            let source = source::embed(hidden, format, &ids);
            let rows = &weights.words[ids.start * hidden..ids.end * hidden];
            let rows = upload(gpu, "word embedding", rows, hidden, format).await?.into();
            group = source.group;
            words.push(Words { kernel: gpu.kernel(&source).await?, ids, rows });
        }
        Ok(Self {
            group,
            words,
            positions: upload(gpu, "position embedding", &weights.positions, hidden, f32).await?,
            types: upload(gpu, "token-type embedding", &weights.types, hidden, f32).await?,
            units: row_stride(hidden) / 4,
        })
    }

    /// The word embedding, in as many parts as bindings.
    pub(crate) fn words(&self) -> &[Words] {
        &self.words
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
        for words in &self.words {
            let buffers = [tokens, words.rows.slice(..), positions, types, y];
            words.kernel.record(gpu, pass, &buffers, groups);
        }
    }
}

/// Rows in as few parts as one binding holds each.
fn parts(gpu: &Gpu, rows: usize, row_bytes: usize) -> Vec<Range<usize>> {
    // Whole units of rows, so that the scores of a part need no padding.
    const UNIT: usize = 8;
    let limits = &gpu.capabilities().limits;
    let bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let most = (bytes / row_bytes as u64) as usize / UNIT * UNIT;
    let most = most.max(UNIT);
    (0..rows).step_by(most).map(|first| first..rows.min(first + most)).collect()
}

//! The buffers that a forward works in.

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, row_stride};
use crate::model::Batch;
use crate::ops::Attention;

/// Widths of the rows that an encoder works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widths {
    pub(crate) hidden: usize,
    /// q, k and v of all heads.
    pub(crate) qkv: usize,
    pub(crate) context: usize,
    /// Of a dense feedforward layer; 0: there is none.
    pub(crate) ffn: usize,
    /// Queries of an attention workgroup.
    pub(crate) queries: u32,
    /// Whether what passes between the layers' operations is f16; the residual stream is f32 all the same.
    pub(crate) half: bool,
}

impl Widths {
    /// Bytes of a row of what passes between operations.
    fn row(&self, width: usize) -> u64 {
        (row_stride(width) * if self.half { 2 } else { 4 }) as u64
    }
}

/// Activations and inputs of at most so many tokens.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) tokens: usize,
    sequences: usize,
    tiles: usize,
    ids: Buffer,
    masked: Buffer,
    spans: Buffer,
    queries: Buffer,
    hidden: [Buffer; 2],
    normed: Option<Buffer>,
    qkv: Buffer,
    context: Buffer,
    ffn: Option<Buffer>,
    widths: Widths,
}

/// The part of a workspace that a batch fills.
#[derive(Clone, Copy)]
pub(crate) struct Views<'w> {
    /// id, position, type, unused.
    pub(crate) ids: wgpu::BufferSlice<'w>,
    pub(crate) masked: wgpu::BufferSlice<'w>,
    /// First token and tokens of each sequence.
    pub(crate) spans: wgpu::BufferSlice<'w>,
    /// The tiles of attention.
    pub(crate) queries: wgpu::BufferSlice<'w>,
    /// The residual stream, and the rows normalised from it.
    pub(crate) hidden: [wgpu::BufferSlice<'w>; 2],
    /// Those rows in f16, where that is what operations pass on.
    normed: Option<wgpu::BufferSlice<'w>>,
    pub(crate) qkv: wgpu::BufferSlice<'w>,
    pub(crate) context: wgpu::BufferSlice<'w>,
    ffn: Option<wgpu::BufferSlice<'w>>,
}

impl<'w> Views<'w> {
    /// Where normalised rows go in f16.
    pub(crate) fn normed(&self) -> Result<wgpu::BufferSlice<'w>> {
        self.normed.ok_or_else(|| lacks("f16 activations"))
    }

    /// Where the neurons of a dense feedforward layer go.
    pub(crate) fn neurons(&self) -> Result<wgpu::BufferSlice<'w>> {
        self.ffn.ok_or_else(|| lacks("a dense feedforward layer"))
    }
}

fn lacks(what: &str) -> Error {
    Error::mismatch("the workspace of this encoder", format!("room for {what}"), "none")
}

impl Workspace {
    /// A workspace that holds this batch, with some room for the next.
    pub(crate) async fn new(gpu: &Gpu, widths: Widths, batch: &Batch) -> Result<Self> {
        let room = |count: usize| count.next_multiple_of(256);
        let tokens = room(batch.len());
        let sequences = room(batch.sequences.len());
        let tiles = room(Attention::tiles(batch, widths.queries).len());
        let storage = wgpu::BufferUsages::STORAGE;
        let input = storage | wgpu::BufferUsages::COPY_DST;
        let inner = storage | wgpu::BufferUsages::COPY_SRC;
        let rows = |width: usize| tokens as u64 * widths.row(width);
        let hidden = (tokens * row_stride(widths.hidden) * 4) as u64;
        Ok(Self {
            tokens,
            sequences,
            tiles,
            ids: gpu.buffer("token ids", tokens as u64 * 16, input).await?,
            masked: gpu.buffer("mask", tokens as u64 * 4, input).await?,
            spans: gpu.buffer("sequences", sequences as u64 * 8, input).await?,
            queries: gpu.buffer("attention tiles", tiles as u64 * 16, input).await?,
            hidden: [
                gpu.buffer("hidden states", hidden, inner).await?,
                gpu.buffer("hidden states", hidden, inner).await?,
            ],
            normed: match widths.half {
                true => Some(gpu.buffer("normalised rows", rows(widths.hidden), inner).await?),
                false => None,
            },
            qkv: gpu.buffer("queries, keys, values", rows(widths.qkv), inner).await?,
            context: gpu.buffer("contexts", rows(widths.context), inner).await?,
            ffn: match widths.ffn {
                0 => None,
                width => Some(gpu.buffer("feedforward neurons", rows(width), inner).await?),
            },
            widths,
        })
    }

    pub(crate) fn holds(&self, batch: &Batch) -> bool {
        self.tokens >= batch.len()
            && self.sequences >= batch.sequences.len()
            && self.tiles >= Attention::tiles(batch, self.widths.queries).len()
    }

    /// Writes a batch, and gives the views of its size. For the inside of an error scope.
    pub(crate) fn write(&self, gpu: &Gpu, batch: &Batch) -> Views<'_> {
        let tiles = Attention::tiles(batch, self.widths.queries);
        let queue = gpu.queue();
        queue.write_buffer(&self.ids, 0, bytemuck::cast_slice(&batch.tokens));
        queue.write_buffer(&self.masked, 0, bytemuck::cast_slice(&batch.masked));
        queue.write_buffer(&self.spans, 0, bytemuck::cast_slice(&batch.sequences));
        queue.write_buffer(&self.queries, 0, bytemuck::cast_slice(&tiles));
        self.views(batch)
    }

    /// The views of a batch's size.
    pub(crate) fn views(&self, batch: &Batch) -> Views<'_> {
        let tiles = Attention::tiles(batch, self.widths.queries);
        let tokens = batch.len() as u64;
        let rows = |width: usize| tokens * self.widths.row(width);
        let hidden = tokens * row_stride(self.widths.hidden) as u64 * 4;
        Views {
            ids: self.ids.slice(..tokens * 16),
            masked: self.masked.slice(..tokens * 4),
            spans: self.spans.slice(..batch.sequences.len() as u64 * 8),
            queries: self.queries.slice(..tiles.len() as u64 * 16),
            hidden: [self.hidden[0].slice(..hidden), self.hidden[1].slice(..hidden)],
            normed: self.normed.as_ref().map(|buffer| buffer.slice(..rows(self.widths.hidden))),
            qkv: self.qkv.slice(..rows(self.widths.qkv)),
            context: self.context.slice(..rows(self.widths.context)),
            ffn: self.ffn.as_ref().map(|buffer| buffer.slice(..rows(self.widths.ffn))),
        }
    }
}

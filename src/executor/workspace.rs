//! The buffers that a program works in, bound once and kept from one forward to the next.

use std::sync::Arc;

use crate::error::Result;
use crate::executor::program::Program;
use crate::gpu::{Buffer, Dispatch, Gpu};
use crate::model::{Batch, Pooler};
use crate::plan::{Op, Rows, SlotId, Step};

/// Rows by which the room for picked ones grows.
pub(crate) const PICKED_UNIT: usize = 8;

/// How many there are of what a batch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extents {
    tokens: u32,
    sequences: u32,
    picked: u32,
    tiles: u32,
}

impl Extents {
    fn of(&self, rows: Rows) -> u32 {
        match rows {
            Rows::Tokens => self.tokens,
            Rows::Sequences => self.sequences,
            Rows::Picked => self.picked,
        }
    }

    /// With room for the next batch.
    fn roomy(self) -> Self {
        let room = |count: u32, unit: u32| {
            let count = count.max(1);
            count.checked_next_multiple_of(unit).unwrap_or(count)
        };
        Self {
            tokens: room(self.tokens, 256),
            sequences: room(self.sequences, 256),
            // No more than may be asked for: `GpuEncoder::max_rows`.
            picked: room(
                self.picked,
                if self.picked < PICKED_UNIT as u32 { 1 } else { PICKED_UNIT as u32 },
            ),
            tiles: room(self.tiles, 256),
        }
    }

    fn fits(&self, room: &Self) -> bool {
        self.tokens <= room.tokens
            && self.sequences <= room.sequences
            && self.picked <= room.picked
            && self.tiles <= room.tiles
    }
}

/// Buffers for batches of at most so many tokens, sequences, picked rows and attention tiles.
#[derive(Debug)]
pub(crate) struct Workspace {
    program: Arc<Program>,
    room: Extents,
    /// Of the batch that was chosen for last.
    extents: Extents,
    buffers: Vec<Buffer>,
    inputs: Inputs,
    /// For each step.
    bound: Vec<wgpu::BindGroup>,
    /// For each step, of the batch that was chosen for last.
    dispatches: Vec<Dispatch>,
}

/// What a batch brings.
#[derive(Debug)]
struct Inputs {
    extents: Buffer,
    /// id, position, type, unused.
    ids: Buffer,
    masked: Buffer,
    /// First token and tokens of each sequence.
    spans: Buffer,
    tiles: Buffer,
    /// The rows that the output picks, or the first ones of sequences.
    picked: Buffer,
}

impl Workspace {
    /// A workspace that holds this batch, with some room for the next.
    pub(crate) async fn new(
        gpu: &Gpu,
        program: &Arc<Program>,
        batch: &Batch,
        picked: &[u32],
    ) -> Result<Self> {
        let extents = extents(program, batch, picked);
        let room = extents.roomy();
        let storage = wgpu::BufferUsages::STORAGE;
        let input = storage | wgpu::BufferUsages::COPY_DST;
        let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let bytes = |count: u32, each: u64| u64::from(count) * each;
        let inputs = Inputs {
            extents: gpu.buffer("extents", 16, uniform).await?,
            ids: gpu.buffer("token ids", bytes(room.tokens, 16), input).await?,
            masked: gpu.buffer("mask", bytes(room.tokens, 4), input).await?,
            spans: gpu.buffer("sequences", bytes(room.sequences, 8), input).await?,
            tiles: gpu.buffer("attention tiles", bytes(room.tiles, 16), input).await?,
            picked: gpu
                .buffer("picked rows", bytes(room.picked.max(room.sequences), 4), input)
                .await?,
        };
        let mut buffers = Vec::new();
        for (rows, row) in &program.memory.buffers {
            let bytes = bytes(room.of(*rows), *row as u64);
            let usage = storage | wgpu::BufferUsages::COPY_SRC;
            buffers.push(gpu.buffer("activations", bytes, usage).await?);
        }
        let program = program.clone();
        let (bound, dispatches) = (Vec::new(), Vec::new());
        let mut workspace = Self { program, room, extents, buffers, inputs, bound, dispatches };
        workspace.choose(gpu, batch, picked).await?;
        workspace.bound = gpu.scoped("binding an encoder", || workspace.bind(gpu)).await?;
        Ok(workspace)
    }

    fn bind(&self, gpu: &Gpu) -> Vec<wgpu::BindGroup> {
        let Inputs { extents, ids, masked, spans, tiles, picked } = &self.inputs;
        let steps = self.program.plan.steps.iter().zip(&self.program.operations);
        steps
            .zip(&self.dispatches)
            .map(|((step, operation), dispatch)| {
                let slot = step.reads.map(|slot| self.buffer(slot));
                let reads = match step.op {
                    Op::Embed { .. } => [Some(ids), None, None],
                    Op::Attention { .. } => [slot, Some(masked), Some(tiles)],
                    Op::Pool(Pooler::ZeroIndex) | Op::Gather => [slot, Some(picked), None],
                    Op::Pool(_) => [slot, Some(spans), Some(masked)],
                    _ => [slot, None, None],
                };
                let reads: Vec<_> = reads.iter().flatten().map(|buffer| buffer.slice(..)).collect();
                let writes = step.writes.iter().map(|slot| self.buffer(*slot).slice(..));
                operation.bind(gpu, dispatch, extents, &reads, &writes.collect::<Vec<_>>())
            })
            .collect()
    }

    /// Whether it runs this program and has room for this batch.
    pub(crate) fn holds(&self, program: &Arc<Program>, batch: &Batch, picked: &[u32]) -> bool {
        Arc::ptr_eq(&self.program, program) && extents(program, batch, picked).fits(&self.room)
    }

    /// Chooses the kernels for a batch that it holds; those that are chosen for the first time are compiled.
    pub(crate) async fn choose(&mut self, gpu: &Gpu, batch: &Batch, picked: &[u32]) -> Result<()> {
        let extents = extents(&self.program, batch, picked);
        if extents == self.extents && !self.dispatches.is_empty() {
            return Ok(());
        }
        self.extents = extents;
        let mut dispatches = Vec::with_capacity(self.program.operations.len());
        for (step, operation) in self.program.plan.steps.iter().zip(&self.program.operations) {
            dispatches.push(operation.dispatch(gpu, self.rows(step)).await?);
        }
        self.dispatches = dispatches;
        Ok(())
    }

    /// Writes the batch that was chosen for. For the inside of an error scope.
    pub(crate) fn write(&self, gpu: &Gpu, batch: &Batch, picked: &[u32]) {
        let Extents { tokens, sequences, picked: rows, tiles } = self.extents;
        let Inputs { extents, ids, masked, spans, tiles: tile_buffer, picked: picked_buffer } =
            &self.inputs;
        let queue = gpu.queue();
        queue.write_buffer(extents, 0, bytemuck::cast_slice(&[tokens, sequences, rows, tiles]));
        queue.write_buffer(ids, 0, bytemuck::cast_slice(&batch.tokens));
        queue.write_buffer(masked, 0, bytemuck::cast_slice(&batch.masked));
        queue.write_buffer(spans, 0, bytemuck::cast_slice(&batch.sequences));
        let tiles = batch.tiles(self.program.queries_per_tile);
        queue.write_buffer(tile_buffer, 0, bytemuck::cast_slice(&tiles));
        let firsts: Vec<u32>;
        let picked = match picked.is_empty() {
            true => {
                firsts = batch.sequences.iter().map(|[first, _]| *first).collect();
                &firsts
            }
            false => picked,
        };
        queue.write_buffer(picked_buffer, 0, bytemuck::cast_slice(picked));
    }

    /// Records a step on the batch that was written.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>, step: usize) {
        self.dispatches[step].record(pass, &self.bound[step]);
    }

    /// What a step computes so many of.
    fn rows(&self, step: &Step) -> u32 {
        match step.writes.first() {
            _ if Program::in_tiles(step) => self.extents.tiles,
            Some(slot) => self.extents.of(self.program.plan.slots[*slot].rows),
            None => 0,
        }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The buffer that a slot lies in.
    pub(crate) fn buffer(&self, slot: SlotId) -> &Buffer {
        &self.buffers[self.program.memory.of[slot]]
    }

    /// Bytes that a slot fills of it.
    pub(crate) fn bytes(&self, slot: SlotId) -> u64 {
        let slot = &self.program.plan.slots[slot];
        u64::from(self.extents.of(slot.rows)) * slot.row_bytes() as u64
    }
}

fn extents(program: &Program, batch: &Batch, picked: &[u32]) -> Extents {
    Extents {
        tokens: batch.len() as u32,
        sequences: batch.sequences.len() as u32,
        picked: picked.len() as u32,
        tiles: batch
            .sequences
            .iter()
            .map(|[_, count]| count.div_ceil(program.queries_per_tile))
            .sum(),
    }
}

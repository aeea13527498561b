//! The buffers that a program works in. They are bound once and kept from one forward to the next.

use std::sync::Arc;

use crate::error::Result;
use crate::executor::program::Program;
use crate::gpu::{Bound, Buffer, Buffers, Dispatch, Gpu, Operation};
use crate::model::{Batch, Pooler};
use crate::plan::{Op, Rows, SlotId, Step};

/// The room for picked rows grows by this number of rows.
pub(crate) const PICKED_UNIT: usize = 8;

/// The number of tokens, sequences, picked rows and attention tiles of a batch.
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

    /// Returns larger extents, with room for the next batch.
    fn roomy(self) -> Self {
        let room = |count: u32, unit: u32| {
            let count = count.max(1);
            count.checked_next_multiple_of(unit).unwrap_or(count)
        };
        Self {
            tokens: room(self.tokens, 256),
            sequences: room(self.sequences, 256),
            // No forward asks for more: see `GpuEncoder::max_rows`.
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

/// Buffers for batches up to a certain number of tokens, sequences, picked rows and attention
/// tiles.
#[derive(Debug)]
pub(crate) struct Workspace {
    program: Arc<Program>,
    room: Extents,
    /// The extents of the batch for which kernels were chosen last.
    extents: Extents,
    buffers: Vec<Buffer>,
    /// The buffers between the kernels of one step. All steps use the same ones, one after another.
    scratch: Vec<Buffer>,
    inputs: Inputs,
    /// For each step, every dispatch that was chosen so far, with its bindings.
    bound: Vec<Vec<(Dispatch, Bound)>>,
    /// For each step, the dispatch for the batch that was chosen for last, and the index of its
    /// bindings.
    dispatches: Vec<(Dispatch, usize)>,
}

/// The input buffers of a batch.
#[derive(Debug)]
struct Inputs {
    extents: Buffer,
    /// For each token: id, position, type, unused.
    ids: Buffer,
    masked: Buffer,
    /// For each sequence: its first token and its number of tokens.
    spans: Buffer,
    tiles: Buffer,
    /// The rows that the output picks, or the first rows of the sequences.
    picked: Buffer,
}

impl Workspace {
    /// Creates a workspace that holds this batch, with some room for the next.
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
        let mut sizes = Vec::new();
        for (step, operation) in program.plan.steps.iter().zip(&program.operations) {
            let of_step = operation.scratch(room.of(rows_of(program, step)));
            sizes.resize(of_step.len().max(sizes.len()), 0);
            sizes.iter_mut().zip(of_step).for_each(|(size, of_step)| *size = of_step.max(*size));
        }
        let mut scratch = Vec::new();
        for bytes in sizes {
            scratch.push(gpu.buffer("between kernels", bytes, storage).await?);
        }
        let program = program.clone();
        let bound = program.plan.steps.iter().map(|_| Vec::new()).collect();
        let dispatches = Vec::new();
        let mut workspace =
            Self { program, room, extents, buffers, scratch, inputs, bound, dispatches };
        workspace.choose(gpu, batch, picked).await?;
        Ok(workspace)
    }

    fn bind(&self, gpu: &Gpu, step: &Step, operation: &Operation, dispatch: &Dispatch) -> Bound {
        let Inputs { extents, ids, masked, spans, tiles, picked } = &self.inputs;
        let slot = step.reads.map(|slot| self.buffer(slot));
        let reads = match step.op {
            Op::Embed { .. } => [Some(ids), None, None],
            Op::Attention { .. } => [slot, Some(masked), Some(tiles)],
            Op::Pool(Pooler::ZeroIndex) | Op::Gather => [slot, Some(picked), None],
            Op::Pool(_) => [slot, Some(spans), Some(masked)],
            _ => [slot, None, None],
        };
        let reads: Vec<_> = reads.iter().flatten().map(|buffer| buffer.slice(..)).collect();
        let writes: Vec<_> = step.writes.iter().map(|slot| self.buffer(*slot).slice(..)).collect();
        let buffers = Buffers { extents, reads: &reads, scratch: &self.scratch, writes: &writes };
        operation.bind(gpu, dispatch, buffers)
    }

    /// Returns whether the workspace runs this program and has room for this batch.
    pub(crate) fn holds(&self, program: &Arc<Program>, batch: &Batch, picked: &[u32]) -> bool {
        Arc::ptr_eq(&self.program, program) && extents(program, batch, picked).fits(&self.room)
    }

    /// Chooses the kernels for a batch that the workspace holds. Kernels that are chosen for the
    /// first time are compiled.
    pub(crate) async fn choose(&mut self, gpu: &Gpu, batch: &Batch, picked: &[u32]) -> Result<()> {
        let extents = extents(&self.program, batch, picked);
        if extents == self.extents && !self.dispatches.is_empty() {
            return Ok(());
        }
        self.extents = extents;
        let program = self.program.clone();
        let mut dispatches = Vec::with_capacity(program.operations.len());
        for (index, (step, operation)) in
            program.plan.steps.iter().zip(&program.operations).enumerate()
        {
            let dispatch = operation.dispatch(gpu, self.rows(step)).await?;
            let known = self.bound[index].iter();
            let known = known.map(|(other, _)| other).position(|other| dispatch.shares(other));
            let place = match known {
                Some(place) => place,
                None => {
                    let bind = || self.bind(gpu, step, operation, &dispatch);
                    let bound = gpu.scoped("binding an encoder", bind).await?;
                    self.bound[index].push((dispatch.clone(), bound));
                    self.bound[index].len() - 1
                }
            };
            dispatches.push((dispatch, place));
        }
        self.dispatches = dispatches;
        Ok(())
    }

    /// Writes the batch that was chosen for. The caller opens the error scope.
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
        let (dispatch, place) = &self.dispatches[step];
        dispatch.record(pass, &self.bound[step][*place].1);
    }

    /// Returns the number of rows, or of attention tiles, that a step computes.
    fn rows(&self, step: &Step) -> u32 {
        match Program::in_tiles(step) {
            true => self.extents.tiles,
            false => self.extents.of(rows_of(&self.program, step)),
        }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the buffer that holds a slot.
    pub(crate) fn buffer(&self, slot: SlotId) -> &Buffer {
        &self.buffers[self.program.memory.of[slot]]
    }

    /// Returns the bytes of that buffer that a slot fills.
    pub(crate) fn bytes(&self, slot: SlotId) -> u64 {
        let slot = &self.program.plan.slots[slot];
        u64::from(self.extents.of(slot.rows)) * slot.row_bytes() as u64
    }
}

/// Returns the kind of rows that a step writes.
fn rows_of(program: &Program, step: &Step) -> Rows {
    let slot = step.writes.first().and_then(|slot| program.plan.slots.get(*slot));
    slot.map_or(Rows::Tokens, |slot| slot.rows)
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

//! A plan with the kernels and weights of its steps: the work of a forward to one kind of output.

use crate::error::Result;
use crate::executor::parts::Parts;
use crate::gpu::{Gpu, Grid, Operation, Variant};
use crate::kernels::candidates;
use crate::plan::{Memory, Op, Plan, Rows, Slot, Step};

/// A plan on a device.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) plan: Plan,
    pub(crate) memory: Memory,
    /// One operation for each step.
    pub(crate) operations: Vec<Operation>,
    /// The queries of an attention tile; they are the same in all layers.
    pub(crate) queries_per_tile: u32,
}

impl Program {
    pub(crate) fn new(gpu: &Gpu, plan: Plan, parts: &Parts, variant: Variant) -> Result<Self> {
        let (mut operations, mut queries_per_tile) = (Vec::with_capacity(plan.steps.len()), 1);
        for step in &plan.steps {
            let candidates = candidates(&plan, step, variant, gpu.capabilities())?;
            let weights = match step.part {
                Some(part) => parts.get(part)?,
                None => Vec::new(),
            };
            let operation = Operation::new(candidates, weights);
            if let Grid::Heads { queries: of_tile, .. } = operation.grid() {
                queries_per_tile = of_tile;
            }
            operations.push(operation);
        }
        let memory = Memory::new(&plan, Slot::row_bytes);
        Ok(Self { plan, memory, operations, queries_per_tile })
    }

    /// Returns the bytes of the widest row among buffers with rows of this kind.
    pub(crate) fn widest(&self, rows: Rows) -> usize {
        let buffers = self.memory.buffers.iter().filter(|(kind, _)| *kind == rows);
        buffers.map(|(_, bytes)| *bytes).max().unwrap_or(1)
    }

    /// Returns whether a step counts attention tiles instead of rows.
    pub(crate) fn in_tiles(step: &Step) -> bool {
        matches!(step.op, Op::Attention { .. })
    }
}

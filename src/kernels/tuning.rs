//! From how many rows on which kernel is the faster one. Measured on an H200 (docs/kernels.md), and on llvmpipe for adapters in software,
//! where reading weights costs no more than anything else.

use crate::dtype::Precision;
use crate::gpu::Capabilities;

/// Where one kernel gives way to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// How many rows share a read of the weights in a dense layer's kernels for few rows, and rows up to which each is used.
    pub(crate) dense_few: [(u32, u32); 4],
    /// Workgroups of the larger of two tiles below which the smaller one occupies a device better: two for each multiprocessor.
    pub(crate) full: u32,
    /// Levels that the lookahead kernels evaluate at once, and rows up to which each is used: beside f32 weights, and beside f16 ones.
    lookahead: [[(u32, u32); 2]; 2],
}

impl Tuning {
    /// For a device.
    pub(crate) fn of(device: &Capabilities) -> Self {
        Self {
            dense_few: [(1, 1), (2, 2), (4, 4), (8, if device.software { 16 } else { 128 })],
            full: 264,
            lookahead: [[(3, 192), (2, 384)], [(3, 128), (2, 640)]],
        }
    }

    /// Levels at once, and rows up to which, of the lookahead kernels, the one for the fewest rows first.
    pub(crate) fn lookahead(&self, weights: Precision) -> [(u32, u32); 2] {
        match weights {
            Precision::F32 => self.lookahead[0],
            Precision::F16 => self.lookahead[1],
        }
    }

    /// Rows up to which tiles of `rows` rows, `across` of them side by side, leave a device idle.
    pub(crate) fn rows_of_small_tiles(&self, across: u32, rows: u32) -> u32 {
        self.full.div_ceil(across).saturating_sub(1).saturating_mul(rows)
    }
}

//! Dense layers (DMM) on cooperative matrices (tensor cores), whose weights lie in blocks of 16 x 16,
//! with f16 inputs and f32 sums. The output is f16 and activated, or it is added to f32.

use crate::dtype::row_stride;
use crate::gpu::{Candidate, Capabilities, Grid, KernelDef, KernelSource, shader};
use crate::kernels::{COOPERATIVE, DenseSpec, Tuning, storage, units};

/// The shape of what a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockedShape {
    /// Each subgroup computes matrices of its own (`dense_blocked.wgsl`).
    Tiles {
        /// The numbers of subgroups along the outputs and along the rows.
        groups: [u32; 2],
        /// The numbers of a subgroup's matrices of 16 x 16, likewise.
        matrices: [u32; 2],
        /// Inputs of a tile in workgroup memory, a multiple of 16.
        inputs: u32,
        /// The number of steps of 16 inputs by which weights are loaded ahead. It divides the steps
        /// of a tile.
        ahead: u32,
    },
    /// The subgroups share the inputs of 16 outputs (`dense_blocked_few.wgsl`).
    Split {
        /// The number of subgroups.
        groups: u32,
        /// The number of matrices along the rows.
        across: u32,
        /// The most blocks of inputs that a subgroup has in workgroup memory.
        blocks: u32,
    },
}

/// The shapes from few rows to many.
pub(crate) const BLOCKED_SHAPES: [BlockedShape; 4] = [
    BlockedShape::Split { groups: 8, across: 1, blocks: 6 },
    BlockedShape::Split { groups: 4, across: 1, blocks: 4 },
    BlockedShape::Tiles { groups: [2, 2], matrices: [2, 2], inputs: 64, ahead: 1 },
    BlockedShape::Tiles { groups: [4, 1], matrices: [4, 4], inputs: 64, ahead: 1 },
];

impl BlockedShape {
    /// Returns the numbers of outputs and rows of a workgroup.
    pub(crate) fn tile(self) -> [u32; 2] {
        match self {
            Self::Tiles { groups, matrices, .. } => [0, 1].map(|i| 16 * groups[i] * matrices[i]),
            Self::Split { across, .. } => [16, 16 * across],
        }
    }

    /// Returns the number of invocations of a workgroup.
    pub(crate) fn group(self) -> u32 {
        match self {
            Self::Tiles { groups: [down, across], .. } => 32 * down * across,
            Self::Split { groups, .. } => 32 * groups,
        }
    }
}

impl DenseSpec {
    /// Returns the kernels that compute the layer from f16 rows and weights in blocks, in these
    /// shapes, from few rows to many.
    pub(crate) fn blocked(&self, shapes: &[BlockedShape], device: &Capabilities) -> Vec<Candidate> {
        let tuning = Tuning::of(device);
        let outputs = row_stride(self.output) as u32;
        let candidate = |place: usize| {
            let [columns, rows] = shapes[place].tile();
            let up_to = match (shapes[place], shapes.get(place + 1)) {
                (_, None) => u32::MAX,
                (BlockedShape::Split { groups, .. }, _) => tuning.rows_of_split(groups),
                (_, Some(larger)) => {
                    let [columns, rows] = larger.tile();
                    tuning.rows_of_small_tiles(outputs.div_ceil(columns), rows)
                }
            };
            let schedule = format!("{rows}x{columns} by {}", shapes[place].group());
            Candidate::one(self.blocked_source(shapes[place]), up_to, schedule)
        };
        (0..shapes.len()).map(candidate).collect()
    }

    /// Returns the kernel in this shape.
    pub(crate) fn blocked_source(&self, shape: BlockedShape) -> KernelSource {
        let (group, [columns, rows]) = (shape.group(), shape.tile());
        let file = match shape {
            BlockedShape::Tiles { .. } => shader!("dense_blocked.wgsl"),
            BlockedShape::Split { .. } => shader!("dense_blocked_few.wgsl"),
        };
        let (constants, counted) = match shape {
            BlockedShape::Tiles { groups, matrices, inputs, ahead } => {
                let [[down, across], [sub_down, sub_across]] = [groups, matrices];
                let pair = sub_down.min(2);
                let constants = vec![
                    ("DOWN", down),
                    ("ACROSS", across),
                    ("SUB_DOWN", sub_down),
                    ("SUB_ACROSS", sub_across),
                    ("MATRICES", sub_down * sub_across),
                    ("STEPS", inputs / 16),
                    ("AHEAD", ahead),
                    ("NEXT", ahead * sub_down),
                    ("LOADS", rows * inputs / 4 / group),
                    ("PAIR", pair),
                    ("PAIRS", sub_down / pair),
                    ("STORES", 2 * pair),
                ];
                let counted = [
                    "SUB_DOWN",
                    "SUB_ACROSS",
                    "STEPS",
                    "AHEAD",
                    "LOADS",
                    "PAIR",
                    "PAIRS",
                    "STORES",
                ];
                (constants, counted.to_vec())
            }
            BlockedShape::Split { groups, across, blocks } => {
                let blocks = (self.input.div_ceil(16) as u32).div_ceil(groups).min(blocks);
                let constants = vec![
                    ("SPLIT", groups),
                    ("ACROSS", across),
                    ("BLOCKS", blocks),
                    ("LOADS", rows * 4 * blocks * groups / group),
                ];
                (constants, vec!["SPLIT", "ACROSS", "BLOCKS", "LOADS"])
            }
        };
        let loops: Vec<_> = constants
            .iter()
            .filter(|(name, _)| counted.contains(name))
            .map(|(name, count)| (*name, *count, *count))
            .collect();
        let store = match self.adds {
            false => shader!("parts/store_f16.wgsl"),
            true => shader!("parts/store_added.wgsl"),
        };
        let def = KernelDef {
            name: format!("dense_blocked {} {shape:?}", self.label()),
            parts: &[
                COOPERATIVE,
                shader!("parts/extent.wgsl"),
                shader!("parts/gelu.wgsl"),
                shader!("parts/blocked.wgsl"),
                store,
                file,
            ],
            constants: &constants,
            declarations: &[],
            loops: &loops,
            overrides: vec![
                ("EXTENT", self.extent),
                ("IN4", units(self.input)),
                ("OUT4", units(self.output)),
                ("ROWS", self.output as u32),
                ("ACTIVATION", self.activation as u32),
            ],
            bindings: storage(3, 1),
            group,
            grid: Grid::Tiles { across: (row_stride(self.output) as u32).div_ceil(columns), rows },
        };
        def.source()
    }
}

//! The dense layers of leaves on cooperative matrices (tensor cores), with f16 inputs and f32 sums.
//! The output is f16 or f32 and activated, or it is added to f32.

use crate::dtype::row_stride;
use crate::gpu::{KernelDef, KernelSource, shader};
use crate::kernels::{COOPERATIVE, DenseSpec, Tiling, units};

/// The shape of the tile that a workgroup computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CoopShape {
    /// The numbers of subgroups above each other and side by side.
    groups: [u32; 2],
    /// The numbers of a subgroup's matrices of 16 x 16, likewise.
    matrices: [u32; 2],
    /// Inputs of a tile in workgroup memory.
    inputs: u32,
}

const fn shape(groups: [u32; 2], matrices: [u32; 2], inputs: u32) -> CoopShape {
    CoopShape { groups, matrices, inputs }
}

/// The tile for leaves of more than 32 neurons.
pub(crate) const LEAF_WIDE: CoopShape = shape([2, 2], [2, 2], 64);
/// The tile for leaves of up to 32 neurons; it is as high as the other one.
pub(crate) const LEAF_NARROW: CoopShape = shape([4, 1], [1, 2], 64);

impl CoopShape {
    /// Returns the numbers of rows and outputs of a workgroup.
    pub(crate) fn tile(self) -> [u32; 2] {
        [0, 1].map(|axis| 16 * self.groups[axis] * self.matrices[axis])
    }

    /// Returns the number of invocations of a workgroup.
    pub(crate) fn group(self) -> u32 {
        32 * self.groups[0] * self.groups[1]
    }
}

impl DenseSpec {
    /// Returns the kernel in tiles of this shape.
    pub(crate) fn cooperative_tiles(&self, shape: CoopShape, tiling: &Tiling) -> KernelSource {
        let CoopShape { groups: [down, across], matrices: [sub_down, sub_across], .. } = shape;
        let (unit, group, [rows, columns]) = (shape.inputs / 8, shape.group(), shape.tile());
        let (matrices, steps) = (sub_down * sub_across, shape.inputs / 16);
        let (loads_x, loads_weight) = (rows * unit / group, columns * unit / group);
        let mut parts = vec![COOPERATIVE, shader!("parts/extent.wgsl"), shader!("parts/gelu.wgsl")];
        parts.extend(&tiling.parts);
        parts.push(shader!("dense_coop.wgsl"));
        let mut overrides = vec![
            ("EXTENT", self.extent),
            ("IN8", (row_stride(self.input) / 8) as u32),
            ("INPUT", tiling.input as u32),
            ("OUT4", units(self.output)),
            ("ROWS", self.output as u32),
            ("ACTIVATION", self.activation as u32),
        ];
        overrides.extend(&tiling.overrides);
        let all = |bound, count| (bound, count, count);
        let def = KernelDef {
            name: format!("{} {} {shape:?}", tiling.name, self.label()),
            parts: &parts,
            constants: &[
                ("DOWN", down),
                ("ACROSS", across),
                ("SUB_DOWN", sub_down),
                ("SUB_ACROSS", sub_across),
                ("MATRICES", matrices),
                ("UNITS", unit),
                ("LOADS_X", loads_x),
                ("LOADS_WEIGHT", loads_weight),
                ("STEPS", steps),
                ("TWO", 2),
            ],
            declarations: &[],
            loops: &[
                all("LOADS_X", loads_x),
                all("LOADS_WEIGHT", loads_weight),
                all("STEPS", steps),
                all("SUB_DOWN", sub_down),
                all("SUB_ACROSS", sub_across),
                all("MATRICES", matrices),
                all("TWO", 2),
            ],
            overrides,
            bindings: tiling.bindings.clone(),
            group,
            grid: tiling.grid((row_stride(self.output) as u32).div_ceil(columns), rows),
        };
        def.source()
    }
}

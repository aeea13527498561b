//! Dense layers (DMM) on cooperative matrices (tensor cores), with f16 inputs and f32 sums. The
//! output is f16 or f32 and activated, or it is added to f32.

use crate::dtype::row_stride;
use crate::gpu::{Candidate, Capabilities, KernelDef, KernelSource, shader};
use crate::kernels::{COOPERATIVE, DenseSpec, Tiling, Tuning, storage, units};

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

/// The tile for many rows, and the one for so few rows that larger workgroups would leave a device
/// idle.
pub(crate) const SHAPES: [CoopShape; 2] = [shape([2, 4], [4, 2], 64), shape([2, 2], [2, 2], 64)];
/// The tile for leaves of up to 32 neurons; it is as high as the smaller of the two.
pub(crate) const LEAF_NARROW: CoopShape = shape([4, 1], [1, 2], 64);
/// Further tiles for the benchmark's dense rows: conditional layers are compared with the fastest
/// of all.
pub(crate) const OTHER_SHAPES: [CoopShape; 4] = [
    shape([2, 2], [4, 2], 64),
    shape([2, 4], [4, 4], 32),
    shape([4, 4], [4, 2], 32),
    shape([4, 4], [2, 2], 32),
];

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
    /// Returns the kernels on cooperative matrices that compute the layer in tiles of these shapes,
    /// the larger first.
    pub(crate) fn cooperative(
        &self,
        shapes: &[CoopShape],
        device: &Capabilities,
    ) -> Vec<Candidate> {
        let tuning = Tuning::of(device);
        let candidate = |place: usize| {
            let [rows, columns] = shapes[place].tile();
            // The larger tile takes over where it fills the device.
            let up_to = match shapes[..place].last() {
                None => u32::MAX,
                Some(larger) => {
                    let [rows, columns] = larger.tile();
                    let across = (row_stride(self.output) as u32).div_ceil(columns);
                    tuning.rows_of_small_tiles(across, rows)
                }
            };
            let CoopShape { inputs, .. } = shapes[place];
            let schedule = format!("{rows}x{columns}x{inputs} by {}", shapes[place].group());
            Candidate::one(self.cooperative_source(shapes[place]), up_to, schedule)
        };
        (0..shapes.len()).rev().map(candidate).collect()
    }

    pub(crate) fn cooperative_source(&self, shape: CoopShape) -> KernelSource {
        let store = match self.adds {
            false => shader!("parts/store_f16.wgsl"),
            true => shader!("parts/store_added.wgsl"),
        };
        let tiling = Tiling {
            name: "dense_coop",
            input: row_stride(self.input),
            parts: vec![
                shader!("parts/rows_all.wgsl"),
                shader!("parts/coop_weight_by_output.wgsl"),
                store,
            ],
            overrides: Vec::new(),
            bindings: storage(3, 1),
            groups: None,
            written_out: true,
        };
        self.cooperative_tiles(shape, &tiling)
    }

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

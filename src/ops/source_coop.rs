//! The WGSL of the operations on cooperative matrices (tensor cores), put together for a device.

use crate::gpu::{KernelSource, row_stride, shader};
use crate::ops::dense::{Activation, Epilogue};
use crate::ops::dense_coop::{OTHER_SHAPES, SHAPES};
use crate::ops::source::{kernel, read, units};

/// Queries of an attention workgroup.
pub(crate) const QUERIES: u32 = 64;
/// The widest head, in matrices of 16, whose tiles fit into workgroup memory.
pub(crate) const MAX_HEAD16: u32 = 4;

/// What a workgroup of the dense kernel computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CoopShape {
    /// Subgroups above each other, and side by side.
    pub(crate) groups: [u32; 2],
    /// Matrices of 16 x 16 of a subgroup, likewise.
    pub(crate) matrices: [u32; 2],
    /// Inputs of a tile in workgroup memory.
    pub(crate) inputs: u32,
}

impl CoopShape {
    /// Tokens and outputs of a workgroup.
    pub(crate) fn tile(self) -> [u32; 2] {
        [0, 1].map(|axis| 16 * self.groups[axis] * self.matrices[axis])
    }

    /// Invocations of a workgroup.
    pub(crate) fn group(self) -> u32 {
        32 * self.groups[0] * self.groups[1]
    }
}

/// DMM on cooperative matrices: f16 in; f16 out, activated, or added to f32.
pub(crate) fn dense_coop(
    input: usize,
    output: usize,
    epilogue: Epilogue,
    shape: CoopShape,
) -> KernelSource {
    let CoopShape { groups: [down, across], matrices: [sub_down, sub_across], .. } = shape;
    let (unit, group, [rows, columns]) = (shape.inputs / 8, shape.group(), shape.tile());
    let (matrices, steps) = (sub_down * sub_across, shape.inputs / 16);
    let (loads_x, loads_weight) = (rows * unit / group, columns * unit / group);
    let launch = format!(
        "enable f16;\nenable wgpu_cooperative_matrix;\nconst DOWN: u32 = {down}u;\nconst ACROSS: u32 = {across}u;\n\
         const SUB_DOWN: u32 = {sub_down}u;\nconst SUB_ACROSS: u32 = {sub_across}u;\nconst MATRICES: u32 = {matrices}u;\n\
         const UNITS: u32 = {unit}u;\nconst LOADS_X: u32 = {loads_x}u;\n\
         const LOADS_WEIGHT: u32 = {loads_weight}u;\nconst STEPS: u32 = {steps}u;\nconst TWO: u32 = 2u;\n",
    );
    let store = match epilogue {
        Epilogue::Activated(_) => shader!("parts/store_f16.wgsl"),
        Epilogue::Accumulated => shader!("parts/store_added.wgsl"),
    };
    let loops = [
        ("load", "LOADS_X", loads_x),
        ("load", "LOADS_WEIGHT", loads_weight),
        ("k", "STEPS", steps),
        ("down", "SUB_DOWN", sub_down),
        ("across", "SUB_ACROSS", sub_across),
        ("matrix", "MATRICES", matrices),
        ("i", "TWO", 2),
    ];
    kernel(
        format!("dense_coop {input}->{output} {epilogue:?} {shape:?}"),
        &[&launch, shader!("parts/gelu.wgsl"), store, shader!("dense_coop.wgsl")],
        &loops,
        vec![
            ("IN8", (row_stride(input) / 8) as u32),
            ("OUT4", units(output)),
            ("ROWS", output as u32),
            ("ACTIVATION", epilogue.overrides().0),
        ],
        read(3),
        group,
        rows,
    )
}

/// Attention on cooperative matrices, heads of `16 * head16`, f16 in and out.
pub(crate) fn attention_coop(heads: usize, head16: u32, scale: f32) -> KernelSource {
    let launch = format!(
        "enable f16;\nenable wgpu_cooperative_matrix;\nconst QUERIES: u32 = {QUERIES}u;\nconst HEAD16: u32 = {head16}u;\n\
         const SCALE: f32 = {scale:e};\nconst FOUR: u32 = 4u;\nconst EIGHT: u32 = 8u;\nconst LOADS: u32 = HEAD16;\n"
    );
    let width = 16 * heads * head16 as usize;
    kernel(
        format!("attention_coop {heads} heads of {}", 16 * head16),
        &[&launch, shader!("attention_coop.wgsl")],
        &[
            ("h", "HEAD16", head16),
            ("n", "LOADS", head16),
            ("n", "FOUR", 4),
            ("j", "EIGHT", 8),
            ("j", "HEAD8", 2 * head16),
        ],
        vec![("IN8", (3 * width / 8) as u32), ("OUT4", units(width)), ("HEADS", heads as u32)],
        read(3),
        2 * QUERIES,
        1,
    )
}

/// The kernels on cooperative matrices, for tests.
pub fn cooperative_kernels() -> Vec<KernelSource> {
    let mut kernels = vec![attention_coop(12, 4, 0.125), attention_coop(12, 2, 0.125)];
    for shape in SHAPES.into_iter().chain(OTHER_SHAPES) {
        kernels.push(dense_coop(768, 4095, Epilogue::Activated(Activation::Gelu), shape));
        kernels.push(dense_coop(4095, 768, Epilogue::Accumulated, shape));
    }
    kernels
}

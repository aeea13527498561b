//! LayerNorm, and rows divided by their Euclidean norm.

use crate::dtype::row_stride;
use crate::error::Result;
use crate::gpu::{Capabilities, Grid, KernelDef, KernelSource, Variant, shader};
use crate::kernels::{Launch, storage, units};

/// The longest loop over a lane's vec4 that is written out.
const MAX_UNROLLED: u32 = 16;

/// The form in which normalised rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormOutput {
    F32,
    F16,
    Both,
}

/// Returns the kernel of LayerNorm for rows of `width`, with x in f32.
pub(crate) fn layer_norm(
    width: usize,
    eps: f64,
    stored: NormOutput,
    extent: u32,
    variant: Variant,
    device: &Capabilities,
) -> Result<KernelSource> {
    let Launch { reduction, lanes, tokens, .. } = Launch::new(row_stride(width), variant, device)?;
    let per_lane = units(width).div_ceil(lanes);
    let group = lanes * tokens;
    let (store, outputs) = match stored {
        NormOutput::F32 => (shader!("parts/norm_f32.wgsl"), 1),
        NormOutput::F16 => (shader!("parts/norm_f16.wgsl"), 1),
        NormOutput::Both => (shader!("parts/norm_both.wgsl"), 2),
    };
    let def = KernelDef {
        name: format!("layer_norm {width} {stored:?} {variant}"),
        parts: &[shader!("parts/extent.wgsl"), reduction, store, shader!("layer_norm.wgsl")],
        constants: &[
            ("LANES", lanes),
            ("TOKENS", tokens),
            ("GROUP", group),
            ("PER_LANE", per_lane),
        ],
        declarations: &[format!("const EPS: f32 = {eps:e};\n")],
        loops: &[("PER_LANE", per_lane, MAX_UNROLLED)],
        overrides: vec![("EXTENT", extent), ("WIDTH", width as u32), ("UNITS", units(width))],
        bindings: storage(3, outputs),
        group,
        grid: Grid::Rows(tokens),
    };
    Ok(def.source())
}

/// Returns the kernel that divides rows of `width` by their Euclidean norm.
pub(crate) fn l2_norm(
    width: usize,
    extent: u32,
    variant: Variant,
    device: &Capabilities,
) -> Result<KernelSource> {
    let Launch { reduction, lanes, tokens, .. } = Launch::new(row_stride(width), variant, device)?;
    let group = lanes * tokens;
    let def = KernelDef {
        name: format!("l2_norm {width} {variant}"),
        parts: &[shader!("parts/extent.wgsl"), reduction, shader!("l2_norm.wgsl")],
        constants: &[("LANES", lanes), ("TOKENS", tokens), ("GROUP", group)],
        declarations: &[],
        loops: &[],
        overrides: vec![("EXTENT", extent), ("UNITS", units(width))],
        bindings: storage(1, 1),
        group,
        grid: Grid::Rows(tokens),
    };
    Ok(def.source())
}

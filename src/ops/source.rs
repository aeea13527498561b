//! The WGSL of each operation, put together for a device and a variant.

use std::ops::Range;

use crate::error::Result;
use crate::gpu::{
    Binding, Capabilities, KernelSource, Launch, Variant, WeightFormat, row_stride, shader,
    unrolled,
};
use crate::model::EncoderConfig;
use crate::ops::dense::{Activation, Epilogue};
use crate::ops::layer_norm::NormOutput;

/// Invocations of the kernels that compute a vec4 each.
const FLAT_GROUP: u32 = 128;
/// Queries of an attention workgroup.
pub(crate) const QUERIES: u32 = 32;
/// Keys that pass through workgroup memory at once, at most.
const KEYS: u32 = 8;
/// vec4s of keys that workgroup memory holds, beside as many of values: 16 KiB is the limit on every device.
const TILE_VALUES: u32 = 480;
/// The widest head, in vec4, whose loops are written out.
const MAX_UNROLLED_HEAD: u32 = 32;
/// The longest loop over a lane's vec4 that is written out.
const MAX_UNROLLED: u32 = 16;
/// Width up to which a row of weights is for one subgroup, where there are subgroups of 32; wider rows are for several.
const FEW_WIDEST: usize = 1024;
/// Tokens that share a read of the weights, in the kernels for few.
pub(crate) const FEW_AT_ONCE: [u32; 2] = [1, 8];
/// Threads along a side of a dense workgroup: tiles of 128 and of 64.
pub(crate) const SIDES: [u32; 2] = [16, 8];

/// Bytes of workgroup memory that the dense kernel's tiles take.
pub(crate) fn dense_shared_bytes(side: u32) -> u32 {
    2 * 16 * 2 * side * 16
}

pub(crate) fn read(count: usize) -> Vec<Binding> {
    let mut bindings = vec![Binding::Read; count];
    bindings.push(Binding::Write);
    bindings
}

fn weight4(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::F32 => shader!("parts/weight4_f32.wgsl"),
        WeightFormat::Packed => shader!("parts/weight4_packed.wgsl"),
        WeightFormat::F16 => shader!("parts/weight4_f16.wgsl"),
    }
}

pub(crate) fn units(width: usize) -> u32 {
    (row_stride(width) / 4) as u32
}

pub(crate) fn kernel(
    name: String,
    parts: &[&str],
    loops: &[(&str, &str, u32)],
    overrides: Vec<(&'static str, u32)>,
    bindings: Vec<Binding>,
    group: u32,
    rows_per_group: u32,
) -> KernelSource {
    let wgsl = loops.iter().fold(parts.concat(), |wgsl, (variable, bound, count)| {
        unrolled(wgsl, variable, bound, *count)
    });
    KernelSource {
        name,
        wgsl,
        overrides,
        bindings,
        group,
        lanes: 1,
        tokens_per_group: rows_per_group,
        bounded_loops: false,
        roundings: 0,
    }
}

/// DMM in tiles of 8 * `side`.
pub(crate) fn dense(
    input: usize,
    output: usize,
    format: WeightFormat,
    epilogue: Epilogue,
    side: u32,
) -> KernelSource {
    let group = side * side;
    let loads = 16 / side;
    let launch = format!(
        "const SIDE: u32 = {side}u;\nconst GROUP: u32 = {group}u;\nconst LOADS: u32 = {loads}u;\n\
         const BLOCK: u32 = 16u;\nconst EIGHT: u32 = 8u;\n"
    );
    let (activation, accumulate) = epilogue.overrides();
    kernel(
        format!("dense {input}->{output} {epilogue:?} {format:?} {side}"),
        &[weight4(format), &launch, shader!("parts/gelu.wgsl"), shader!("dense.wgsl")],
        &[("load", "LOADS", loads), ("k", "BLOCK", 16), ("i", "EIGHT", 8)],
        vec![
            ("IN4", units(input)),
            ("OUT4", units(output)),
            ("ROWS", output as u32),
            ("ACTIVATION", activation),
            ("ACCUMULATE", accumulate),
        ],
        read(3),
        group,
        8 * side,
    )
}

/// DMM for few tokens, `at_once` of them with each row of weights.
pub(crate) fn dense_few(
    input: usize,
    output: usize,
    variant: Variant,
    device: &Capabilities,
    epilogue: Epilogue,
    at_once: u32,
) -> Result<KernelSource> {
    let Launch { reduction, lanes, tokens, .. } =
        Launch::new(row_stride(input).min(FEW_WIDEST), variant, device)?;
    let per_lane = units(input).div_ceil(lanes);
    let group = lanes * tokens;
    let launch = format!(
        "const LANES: u32 = {lanes}u;\nconst TOKENS: u32 = {tokens}u;\nconst GROUP: u32 = {group}u;\n\
         const PER_LANE: u32 = {per_lane}u;\nconst AT_ONCE: u32 = {at_once}u;\n"
    );
    let (activation, accumulate) = epilogue.overrides();
    let mut loops = vec![("token", "AT_ONCE", at_once)];
    if per_lane <= 2 * MAX_UNROLLED {
        loops.push(("i", "PER_LANE", per_lane));
    }
    Ok(kernel(
        format!("dense_few {input}->{output} {epilogue:?} {variant} {at_once}"),
        &[
            weight4(variant.weights),
            &launch,
            reduction,
            shader!("parts/gelu.wgsl"),
            shader!("dense_few.wgsl"),
        ],
        &loops,
        vec![
            ("IN4", units(input)),
            ("OUT", row_stride(output) as u32),
            ("ROWS", output as u32),
            ("ACTIVATION", activation),
            ("ACCUMULATE", accumulate),
        ],
        read(3),
        group,
        tokens,
    ))
}

pub(crate) fn layer_norm(
    width: usize,
    eps: f64,
    variant: Variant,
    stored: NormOutput,
    device: &Capabilities,
) -> Result<KernelSource> {
    let Launch { reduction, lanes, tokens, .. } = Launch::new(row_stride(width), variant, device)?;
    let per_lane = units(width).div_ceil(lanes);
    let group = lanes * tokens;
    let launch = format!(
        "const LANES: u32 = {lanes}u;\nconst TOKENS: u32 = {tokens}u;\nconst GROUP: u32 = {group}u;\n\
         const PER_LANE: u32 = {per_lane}u;\nconst EPS: f32 = {eps:e};\n"
    );
    let loops = [("i", "PER_LANE", per_lane)];
    let (store, outputs) = match stored {
        NormOutput::F32 => (shader!("parts/norm_f32.wgsl"), 1),
        NormOutput::F16 => (shader!("parts/norm_f16.wgsl"), 1),
        NormOutput::Both => (shader!("parts/norm_both.wgsl"), 2),
    };
    let mut bindings = vec![Binding::Read; 3];
    bindings.resize(3 + outputs, Binding::Write);
    Ok(kernel(
        format!("layer_norm {width} {stored:?} {variant}"),
        &[&launch, reduction, store, shader!("layer_norm.wgsl")],
        if per_lane <= MAX_UNROLLED { &loops } else { &[] },
        vec![("WIDTH", width as u32), ("UNITS", units(width))],
        bindings,
        group,
        tokens,
    ))
}

pub(crate) fn l2_norm(
    width: usize,
    variant: Variant,
    device: &Capabilities,
) -> Result<KernelSource> {
    let Launch { reduction, lanes, tokens, .. } = Launch::new(row_stride(width), variant, device)?;
    let group = lanes * tokens;
    let launch = format!(
        "const LANES: u32 = {lanes}u;\nconst TOKENS: u32 = {tokens}u;\nconst GROUP: u32 = {group}u;\n"
    );
    Ok(kernel(
        format!("l2_norm {width} {variant}"),
        &[&launch, reduction, shader!("l2_norm.wgsl")],
        &[],
        vec![("UNITS", units(width))],
        read(1),
        group,
        tokens,
    ))
}

/// `head4`: vec4s of a head; `heads * head4` are q, then k, then v.
pub(crate) fn attention(heads: usize, head4: u32, scale: f32) -> KernelSource {
    let keys = (1 << (TILE_VALUES / head4).max(1).ilog2()).min(KEYS);
    let launch = format!(
        "const GROUP: u32 = {QUERIES}u;\nconst KEYS: u32 = {keys}u;\nconst HEAD4: u32 = {head4}u;\n\
         const TILE_VALUES: u32 = {}u;\nconst SCALE: f32 = {scale:e};\n",
        keys * head4
    );
    let width = heads * head4 as usize * 4;
    let mut loops = vec![("key", "KEYS", keys)];
    if head4 <= MAX_UNROLLED_HEAD {
        loops.push(("d", "HEAD4", head4));
    }
    kernel(
        format!("attention {heads} heads of {}", head4 * 4),
        &[&launch, shader!("attention.wgsl")],
        &loops,
        vec![("IN4", units(3 * width)), ("OUT4", units(width)), ("HEADS", heads as u32)],
        read(3),
        QUERIES,
        1,
    )
}

fn flat(name: &str, file: &str, first: &str, width: usize, inputs: usize) -> KernelSource {
    let launch = format!("const GROUP: u32 = {FLAT_GROUP}u;\n");
    let units = units(width);
    kernel(
        format!("{name} {width}"),
        &[first, &launch, file],
        &[],
        vec![("UNITS", units)],
        read(inputs),
        FLAT_GROUP,
        1,
    )
}

/// Embeds the ids of a part of the vocabulary.
pub(crate) fn embed(width: usize, format: WeightFormat, ids: &Range<usize>) -> KernelSource {
    let mut source = flat("embed", shader!("embed.wgsl"), weight4(format), width, 4);
    source.overrides.push(("FIRST", ids.start as u32));
    source.overrides.push(("ROWS", ids.len() as u32));
    source
}

pub(crate) fn gather(width: usize) -> KernelSource {
    flat("gather", shader!("gather.wgsl"), "", width, 2)
}

pub(crate) fn pool(width: usize, mode: u32) -> KernelSource {
    let mut source = flat("pool", shader!("pool.wgsl"), "", width, 3);
    source.overrides.push(("MODE", mode));
    source
}

/// Every kernel beside the FFF layer's that an encoder of this kind may use on a device, for tests.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported) if the device lacks what the variant needs.
pub(crate) fn encoder_kernels(
    config: &EncoderConfig,
    variant: Variant,
    device: &Capabilities,
) -> Result<Vec<KernelSource>> {
    let (hidden, format) = (config.hidden, variant.weights);
    let head4 = config.head_width().div_ceil(4) as u32;
    let mut kernels = vec![
        embed(hidden, format, &(0..config.vocabulary)),
        layer_norm(hidden, config.norm_eps, variant, NormOutput::F32, device)?,
        l2_norm(hidden, variant, device)?,
        attention(config.heads, head4, 0.125),
        gather(hidden),
    ];
    kernels.extend((0..4).map(|mode| pool(hidden, mode)));
    for side in SIDES {
        for activation in [Activation::None, Activation::Gelu, Activation::Tanh] {
            kernels.push(dense(hidden, hidden, format, Epilogue::Activated(activation), side));
        }
        kernels.push(dense(hidden, hidden, format, Epilogue::Accumulated, side));
    }
    for at_once in FEW_AT_ONCE {
        let epilogue = Epilogue::Activated(Activation::Gelu);
        kernels.push(dense_few(hidden, 4 * hidden, variant, device, epilogue, at_once)?);
        let epilogue = Epilogue::Accumulated;
        kernels.push(dense_few(4 * hidden, hidden, variant, device, epilogue, at_once)?);
    }
    Ok(kernels)
}

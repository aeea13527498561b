//! Self-attention, in f32 and on cooperative matrices (tensor cores) in f16.

use crate::gpu::{Grid, KernelDef, KernelSource, shader};
use crate::kernels::{COOPERATIVE, TILES, storage, units};

/// Queries of a workgroup, in f32 and on cooperative matrices.
const QUERIES: u32 = 32;
const QUERIES_COOP: u32 = 64;
/// The most keys that pass through workgroup memory at once.
const KEYS: u32 = 8;
/// vec4s of keys that workgroup memory holds, beside as many of values. The limit on every device
/// is 16 KiB.
const TILE_VALUES: u32 = 480;
/// The width, in vec4, of the widest head whose loops are written out.
const MAX_UNROLLED_HEAD: u32 = 32;
/// The width, in matrices of 16, of the widest head whose tiles fit into workgroup memory.
const MAX_HEAD16: usize = 4;

/// Returns whether cooperative matrices can compute heads of this width.
pub(crate) fn fits_cooperative(head: usize) -> bool {
    head.is_multiple_of(16) && head <= 16 * MAX_HEAD16
}

/// Returns the kernel for heads of `head` values, a multiple of 4. Its input holds q of all heads,
/// then k, then v.
pub(crate) fn attention(heads: usize, head: usize, scale: f32) -> KernelSource {
    let head4 = (head / 4) as u32;
    let keys = (1 << (TILE_VALUES / head4).max(1).ilog2()).min(KEYS);
    let width = heads * head;
    let heads = heads as u32;
    let def = KernelDef {
        name: format!("attention {heads} heads of {head}"),
        parts: &[shader!("parts/extent.wgsl"), shader!("attention.wgsl")],
        constants: &[
            ("GROUP", QUERIES),
            ("KEYS", keys),
            ("HEAD4", head4),
            ("TILE_VALUES", keys * head4),
        ],
        declarations: &[format!("const SCALE: f32 = {scale:e};\n")],
        loops: &[("KEYS", keys, KEYS), ("HEAD4", head4, MAX_UNROLLED_HEAD)],
        overrides: vec![
            ("EXTENT", TILES),
            ("IN4", units(3 * width)),
            ("OUT4", units(width)),
            ("HEADS", heads),
        ],
        bindings: storage(3, 1),
        group: QUERIES,
        grid: Grid::Heads { heads, queries: QUERIES },
    };
    def.source()
}

/// Returns the kernel on cooperative matrices, with f16 in and out, for heads whose width
/// [`fits_cooperative`].
pub(crate) fn attention_coop(heads: usize, head: usize, scale: f32) -> KernelSource {
    let head16 = (head / 16) as u32;
    let width = heads * head;
    let heads = heads as u32;
    let all = |bound, count| (bound, count, count);
    let def = KernelDef {
        name: format!("attention_coop {heads} heads of {head}"),
        parts: &[COOPERATIVE, shader!("parts/extent.wgsl"), shader!("attention_coop.wgsl")],
        constants: &[
            ("QUERIES", QUERIES_COOP),
            ("HEAD16", head16),
            ("FOUR", 4),
            ("EIGHT", 8),
            ("LOADS", 2 * head16),
        ],
        declarations: &[format!("const SCALE: f32 = {scale:e};\n")],
        loops: &[
            all("HEAD16", head16),
            all("LOADS", 2 * head16),
            all("FOUR", 4),
            all("EIGHT", 8),
            all("HEAD8", 2 * head16),
        ],
        overrides: vec![
            ("EXTENT", TILES),
            ("IN4", units(3 * width)),
            ("OUT4", units(width)),
            ("HEADS", heads),
        ],
        bindings: storage(3, 1),
        group: 2 * QUERIES_COOP,
        grid: Grid::Heads { heads, queries: QUERIES_COOP },
    };
    def.source()
}

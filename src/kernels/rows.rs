//! Kernels that embed, pick and pool rows. Each invocation computes a vec4 of a row.

use std::ops::Range;

use crate::gpu::{Binding, Grid, KernelDef, KernelSource, WeightFormat, shader};
use crate::kernels::{SEQUENCES, TOKENS, storage, units, weight4};
use crate::model::Pooler;

/// Invocations of a workgroup.
const GROUP: u32 = 128;

fn flat(
    name: String,
    parts: &[&str],
    width: usize,
    overrides: &[(&'static str, u32)],
    bindings: Vec<Binding>,
) -> KernelSource {
    let units = units(width);
    let mut overrides = overrides.to_vec();
    overrides.push(("UNITS", units));
    let def = KernelDef {
        name,
        parts,
        constants: &[("GROUP", GROUP)],
        declarations: &[],
        loops: &[],
        overrides,
        bindings,
        group: GROUP,
        grid: Grid::Units { units, group: GROUP },
    };
    def.source()
}

/// Returns the kernel that embeds the ids of a part of the vocabulary.
pub(crate) fn embed(width: usize, format: WeightFormat, ids: &Range<usize>) -> KernelSource {
    let files = [weight4(format), shader!("parts/extent.wgsl"), shader!("embed.wgsl")];
    let (first, rows) = (ids.start as u32, ids.len() as u32);
    let overrides = [("EXTENT", TOKENS), ("FIRST", first), ("ROWS", rows)];
    flat(format!("embed {width} {format:?}"), &files, width, &overrides, storage(4, 1))
}

/// Returns the kernel that picks rows by their number.
pub(crate) fn gather(width: usize, extent: u32) -> KernelSource {
    let files = [shader!("parts/extent.wgsl"), shader!("gather.wgsl")];
    flat(format!("gather {width}"), &files, width, &[("EXTENT", extent)], storage(2, 1))
}

/// Returns the kernel that pools each sequence to a row; `None` if [`gather`] of first tokens does
/// that.
pub(crate) fn pool(width: usize, pooler: Pooler) -> Option<KernelSource> {
    let mode = match pooler {
        Pooler::MeanUnmasked => 0,
        Pooler::Avg => 1,
        Pooler::Max => 2,
        Pooler::Lse => 3,
        Pooler::ZeroIndex => return None,
    };
    let files = [shader!("parts/extent.wgsl"), shader!("pool.wgsl")];
    let overrides = [("EXTENT", SEQUENCES), ("MODE", mode), ("WIDTH", width as u32)];
    Some(flat(format!("pool {width}"), &files, width, &overrides, storage(3, 1)))
}

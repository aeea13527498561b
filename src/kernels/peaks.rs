//! The kernels that measure a device: memory, arithmetic, and a dispatch that does nothing.

use crate::gpu::{Binding, Grid, KernelDef, KernelSource, shader};

/// Invocations of a workgroup.
pub(crate) const GROUP: u32 = 256;
/// Units of 16 bytes that an invocation of the copy moves.
pub(crate) const PIECES: u32 = 4;
/// Chains of fused multiply-adds of vec4, and how many steps of each are written out.
pub(crate) const CHAINS: u32 = 8;
pub(crate) const REPEATS: u32 = 16;

/// Returns the kernels: empty, copy, arithmetic in f32, and arithmetic in f16 if shaders have it.
pub fn peak_kernels(f16: bool) -> Vec<KernelSource> {
    let mut kernels = vec![empty(), copy(), fma("fma f32", "", "f32")];
    if f16 {
        kernels.push(fma("fma f16", "enable f16;\n", "f16"));
    }
    kernels
}

fn measuring<'d>(name: &str, parts: &'d [&'d str], bindings: Vec<Binding>) -> KernelDef<'d> {
    KernelDef {
        name: name.into(),
        parts,
        constants: &[],
        declarations: &[],
        loops: &[],
        overrides: Vec::new(),
        bindings,
        group: GROUP,
        grid: Grid::Rows(1),
    }
}

fn empty() -> KernelSource {
    let bindings = vec![Binding::Write];
    let def = measuring("empty", &[shader!("bench/empty.wgsl")], bindings);
    KernelDef { group: 1, ..def }.source()
}

fn copy() -> KernelSource {
    let bindings = vec![Binding::Read, Binding::Write];
    let def = measuring("copy", &[shader!("bench/copy.wgsl")], bindings);
    let (constants, loops) = (&[("PIECES", PIECES)], &[("PIECES", PIECES, PIECES)]);
    KernelDef { constants, loops, grid: Grid::Rows(PIECES * GROUP), ..def }.source()
}

fn fma(name: &str, enable: &str, scalar: &str) -> KernelSource {
    let parts = [enable, shader!("bench/fma.wgsl")];
    let declarations = [format!("alias Scalar = {scalar};\n")];
    let def = KernelDef {
        constants: &[("REPEATS", REPEATS), ("CHAINS", CHAINS)],
        declarations: &declarations,
        loops: &[("REPEATS", REPEATS, REPEATS), ("CHAINS", CHAINS, CHAINS)],
        ..measuring(name, &parts, vec![Binding::Write])
    };
    def.source()
}

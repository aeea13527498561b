//! Chooses the kernels that can compute a step of a plan on a device. Nothing else decides that.

mod attention;
mod biases;
mod dense;
mod dense_blocked;
mod dense_coop;
mod every;
mod fff;
mod launch;
mod leaf;
mod norm;
mod peaks;
mod rows;
mod tuning;

pub(crate) use attention::fits_cooperative;
pub(crate) use biases::Biases;
pub(crate) use dense::{DenseSpec, Tiling};
pub(crate) use dense_blocked::{BLOCKED_SHAPES, BlockedShape};
pub use every::{cooperative_kernels, kernels_of};
pub use fff::{Activations, Schedule};
pub(crate) use fff::{FffSpec, Residual};
pub(crate) use launch::Launch;
pub use peaks::peak_kernels;
pub(crate) use peaks::{CHAINS, GROUP as PEAK_GROUP, PIECES, REPEATS};
pub(crate) use tuning::{Few, Tuning};

use crate::dtype::{Precision, row_stride};
use crate::error::{Error, Result};
use crate::gpu::{Binding, Candidate, Capabilities, KernelSource, Variant, WeightFormat, shader};
use crate::kernels::norm::NormOutput;
use crate::plan::{Op, Plan, Rows, Step};

/// Indices of the extents.
pub(crate) const TOKENS: u32 = 0;
pub(crate) const SEQUENCES: u32 = 1;
pub(crate) const PICKED: u32 = 2;
pub(crate) const TILES: u32 = 3;

/// The head of a module on cooperative matrices.
const COOPERATIVE: &str = "enable f16;\nenable wgpu_cooperative_matrix;\n";

/// Returns the bindings of the extents, of `reads` buffers that are read and of `writes` buffers
/// that are written.
fn storage(reads: usize, writes: usize) -> Vec<Binding> {
    let mut bindings = vec![Binding::Extents];
    bindings.resize(1 + reads, Binding::Read);
    bindings.resize(1 + reads + writes, Binding::Write);
    bindings
}

fn weight4(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::F32 => shader!("parts/weight4_f32.wgsl"),
        WeightFormat::Packed => shader!("parts/weight4_packed.wgsl"),
        WeightFormat::F16 => shader!("parts/weight4_f16.wgsl"),
    }
}

/// Returns the number of vec4 in a row of f32.
fn units(width: usize) -> u32 {
    (row_stride(width) / 4) as u32
}

/// Returns the extent that counts rows of this kind.
pub(crate) fn extent(rows: Rows) -> u32 {
    match rows {
        Rows::Tokens => TOKENS,
        Rows::Sequences => SEQUENCES,
        Rows::Picked => PICKED,
    }
}

/// Returns the kernels that can compute a step on a device, each for a range of row counts. Weights
/// are stored as `variant` says.
///
/// # Errors
/// Returns [`Error::Unsupported`] if the device lacks what the variant needs.
pub(crate) fn candidates(
    plan: &Plan,
    step: &Step,
    variant: Variant,
    device: &Capabilities,
) -> Result<Vec<Candidate>> {
    let only = |source: KernelSource| Ok(vec![Candidate::one(source, u32::MAX, "only")]);
    let [x, y] = [step.reads, step.writes.first().copied()].map(|slot| plan.stored(slot));
    let Some(to) = step.writes.first().map(|slot| plan.slots[*slot]) else {
        return Err(Error::config("a step of a plan", "a slot that it writes", "none"));
    };
    let extent = extent(to.rows);
    match &step.op {
        Op::Embed { ids } => only(rows::embed(to.width, variant.weights, ids)),
        Op::Norm { eps } => {
            let stored = match (y, step.writes.len()) {
                (_, 2) => NormOutput::Both,
                (Precision::F16, _) => NormOutput::F16,
                (Precision::F32, _) => NormOutput::F32,
            };
            only(norm::layer_norm(to.width, *eps, stored, extent, variant, device)?)
        }
        Op::Dense { input, output, activation } => {
            let adds = step.adds.is_some();
            let spec =
                DenseSpec { input: *input, output: *output, activation: *activation, adds, extent };
            match x {
                Precision::F32 => spec.candidates(variant, device),
                Precision::F16 => Ok(spec.blocked(&BLOCKED_SHAPES, device)),
            }
        }
        Op::Fff { shape } => {
            let residual = step.adds.map(|adds| match step.reads == Some(adds) {
                true => Residual::Input,
                false => Residual::Output,
            });
            let (activations, keep_path) = (Activations { x, y }, step.writes.len() == 2);
            let spec = FffSpec { shape: *shape, activations, residual, keep_path };
            spec.candidates(variant, device)
        }
        Op::Attention { heads, head, scale } => only(match x {
            Precision::F32 => attention::attention(*heads, *head, *scale),
            Precision::F16 => attention::attention_coop(*heads, *head, *scale),
        }),
        Op::Pool(pooler) => match rows::pool(to.width, *pooler) {
            Some(source) => only(source),
            None => only(rows::gather(to.width, extent)),
        },
        Op::Gather => only(rows::gather(to.width, extent)),
        Op::Normalize => only(norm::l2_norm(to.width, extent, variant, device)?),
    }
}

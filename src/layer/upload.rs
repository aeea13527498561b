//! Uploads the weights of an FFF layer, padded and ordered as the kernels read them.

use std::sync::Arc;

use crate::dtype::Precision;
use crate::error::Result;
use crate::fff::{FffShape, FffWeights};
use crate::gpu::{Buffer, Gpu, WeightFormat, upload_matrix, upload_vector};
use crate::kernels::{Activations, Biases};

/// Uploads `linear_in`, the bias and `linear_out`, in this order, for kernels in which `lanes`
/// lanes share a token.
pub(crate) async fn upload_fff(
    gpu: &Gpu,
    weights: &FffWeights,
    format: WeightFormat,
    activations: Activations,
    lanes: u32,
) -> Result<Vec<Arc<Buffer>>> {
    let shape = weights.shape();
    let lanes = |stored| lanes_of(shape, lanes, stored);
    let (input, output) = (lanes(activations.x), lanes(activations.y));
    let linear_in =
        upload_matrix(gpu, "linear_in", weights.linear_in(), shape.input(), format, input).await?;
    let biases = Biases(shape).laid_out(weights);
    let bias = upload_vector(gpu, "linear_in.bias", &biases).await?;
    let linear_out =
        upload_matrix(gpu, "linear_out", weights.linear_out(), shape.output(), format, output)
            .await?;
    Ok(vec![linear_in.into(), bias.into(), linear_out.into()])
}

/// Returns the lanes by which rows of f16 weights are ordered, if any. For f32 activations a unit
/// is two vec4 in blocks of lanes. For f16 activations, and in the leaf form, whose rows dense
/// kernels read too, the values of a unit lie side by side.
pub(crate) fn lanes_of(shape: FffShape, lanes: u32, activations: Precision) -> Option<u32> {
    (activations == Precision::F32 && shape.leaf_form().is_none()).then_some(lanes)
}

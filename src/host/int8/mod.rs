//! Products in 8-bit integers. They are faster than f32 where a processor multiplies and adds four
//! bytes at a time, and a little less exact. The projections of attention, dense feedforward layers
//! and the leaves of the leaf form are computed so.
//!
//! Weights have a scale for each output. Activations have a scale and a zero for each token, so one
//! token has no influence on the rounding of another, and no text's vector depends on its
//! neighbours. Sums are exact. FFF layers of the other forms, decisions, norms, attention itself
//! and heads stay f32.

mod matrix;
mod tile;

pub(crate) use matrix::{Matrix, product};

use rayon::prelude::*;

use crate::fff::FffWeights;
use crate::host::dense::{Rows, finish};
use crate::model::{DenseWeights, FfnWeights, LayerWeights};
use crate::plan::{Activation, LayerPart};

/// Tokens that a thread takes at once; their bytes stay in a core's own cache.
const AT_ONCE: usize = 96;

/// The 8-bit matrices of a layer.
#[derive(Debug)]
pub(crate) struct LayerMatrices {
    dense: Vec<(LayerPart, Matrix)>,
    /// In the leaf form, the two matrices of each leaf: from its input to its neurons, and from
    /// those to its output.
    pub(crate) leaves: Option<Vec<[Matrix; 2]>>,
}

impl LayerMatrices {
    /// Rounds the matrices of a layer. A matrix with more inputs than 32-bit sums hold stays in
    /// f32.
    pub(crate) fn new(weights: &LayerWeights) -> Self {
        let mut dense =
            vec![(LayerPart::Qkv, &weights.qkv), (LayerPart::AttentionOut, &weights.attention_out)];
        let mut leaves = None;
        match &weights.ffn {
            FfnWeights::Dense { up, down } => {
                dense.extend([(LayerPart::Up, up), (LayerPart::Down, down)]);
            }
            FfnWeights::Fff(weights) => leaves = of_leaves(weights),
        }
        let of = |weights: &DenseWeights| {
            Matrix::new([weights.input, weights.output], &weights.weight, Rows::Outputs)
        };
        let dense = dense.into_iter().filter_map(|(part, weights)| Some((part, of(weights)?)));
        Self { dense: dense.collect(), leaves }
    }

    pub(crate) fn dense(&self, part: LayerPart) -> Option<&Matrix> {
        self.dense.iter().find(|(other, _)| *other == part).map(|(_, matrix)| matrix)
    }
}

fn of_leaves(weights: &FffWeights) -> Option<Vec<[Matrix; 2]>> {
    let shape = weights.shape();
    let form = shape.leaf_form()?;
    let (input, output, width) = (shape.input(), shape.output(), form.width);
    let first = shape.nodes() * input;
    let ups = weights.linear_in()[first..].chunks_exact(width * input);
    let downs = weights.linear_out().chunks_exact(width * output);
    ups.zip(downs)
        .map(|(up, down)| {
            let up = Matrix::new([input, width], up, Rows::Outputs)?;
            Some([up, Matrix::new([width, output], down, Rows::Inputs)?])
        })
        .collect()
}

/// Computes like [`dense`](crate::host::dense()), with the layer's 8-bit matrix.
pub(crate) fn dense(
    matrix: &Matrix,
    bias: Option<&[f32]>,
    activation: Activation,
    adds: bool,
    x: &[f32],
    y: &mut [f32],
) {
    let (input, output) = (matrix.input(), matrix.output());
    let tokens = (x.len() / input).div_ceil(rayon::current_num_threads()).clamp(1, AT_ONCE);
    y.par_chunks_mut(tokens * output).zip(x.par_chunks(tokens * input)).for_each(|(y, x)| {
        product(matrix, x, adds, y);
        finish(y, output, bias, activation);
    });
}

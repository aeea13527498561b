//! One FFF layer as the paper's model computes it (UltraFastBERT, `fff.py`), with one loop for each
//! step.

use crate::error::{Error, Result, check_finite};
use crate::fff::{FffForm, FffWeights, LeafActivation};

/// The reference's results for a batch of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct FffOutput {
    /// The outputs, `[tokens, output]`.
    pub y: Vec<f64>,
    /// The paths: node indices within their tree, `[tokens, trees, levels]`.
    pub path: Vec<u32>,
    /// The logit z of every engaged node, in the shape of `path`; 0 at the leaves of the leaf form,
    /// which decide nothing.
    pub logits: Vec<f64>,
    /// The sum of |x_i * w_i| over the row, plus |bias|, in the shape of `path`. The rounding error
    /// of an f32 sum is proportional to it.
    pub magnitudes: Vec<f64>,
}

/// Returns the exact GELU, z * 0.5 * (1 + erf(z / sqrt 2)), in the form that does not cancel for z
/// < 0.
pub fn gelu(z: f64) -> f64 {
    z * 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// Computes the layer for `x: [tokens, input]`. A token goes right iff z > 0, strictly; at 0 it
/// goes left. The outputs of all trees and levels are summed. In the signed form
/// ([`FffForm::Signed`]) the same decision also chooses between a node's two output rows. In the
/// leaf form ([`FffForm::Leaf`]) a token goes right iff z >= 0, and only the leaf has an output.
///
/// # Errors
/// Returns [`Error::Shape`] if `x` is not a whole number of tokens, and [`Error::Value`] if it
/// holds a NaN or an infinity.
///
/// # Examples
/// ```
/// use cmm::{FffShape, FffWeights, reference};
///
/// let shape = FffShape::new(2, 1, 1)?; // one tree: a root (node 0) and its children 1 and 2
/// let weights = FffWeights::random(shape, 42);
/// let result = reference::fff(&weights, &[0.5, -1.0])?; // one token
///
/// let right = result.logits[0] > 0.0;
/// assert_eq!(result.path, [0, if right { 2 } else { 1 }]);
/// assert_eq!(result.y.len(), 2);
/// # Ok::<(), cmm::Error>(())
/// ```
pub fn fff(weights: &FffWeights, x: &[f32]) -> Result<FffOutput> {
    let shape = weights.shape();
    if !x.len().is_multiple_of(shape.input()) {
        return Err(Error::shape(
            "length of x",
            format!("a multiple of the input width {}", shape.input()),
            x.len(),
        ));
    }
    check_finite("x", x)?;
    Ok(fff_f64(weights, &x.iter().copied().map(f64::from).collect::<Vec<_>>()))
}

/// Computes the layer for f64 inputs, which are a whole number of tokens.
pub(crate) fn fff_f64(weights: &FffWeights, x: &[f64]) -> FffOutput {
    let shape = weights.shape();
    let tokens = x.len() / shape.input();
    let engaged = tokens * shape.path_len();
    let mut out = FffOutput {
        y: vec![0.0; tokens * shape.output()],
        path: Vec::with_capacity(engaged),
        logits: Vec::with_capacity(engaged),
        magnitudes: Vec::with_capacity(engaged),
    };
    for (x, y) in x.chunks_exact(shape.input()).zip(out.y.chunks_exact_mut(shape.output())) {
        for tree in 0..shape.trees() {
            let mut node = 0;
            for level in 0..shape.levels() {
                out.path.push(node as u32);
                if shape.leaf_form().is_some() && level == shape.depth() {
                    leaf(weights, node - shape.nodes(), x, y);
                    out.logits.push(0.0);
                    out.magnitudes.push(0.0);
                    continue;
                }
                let row = tree * shape.nodes_per_tree() + node;
                let (z, magnitude) = logit(weights, row, x);
                match shape.form() {
                    FffForm::Published => add(weights, row, gelu(z), y),
                    FffForm::Signed => {
                        add(weights, 2 * row + usize::from(z > 0.0), gelu(z.abs()), y);
                    }
                    FffForm::Leaf(_) => {}
                }
                out.logits.push(z);
                out.magnitudes.push(magnitude);
                node = 2 * node + 1 + usize::from(shape.form().goes_right(z));
            }
        }
    }
    out
}

/// Returns z of a row of `linear_in`, and the magnitude that the rounding error of its f32 sum is
/// proportional to.
fn logit(weights: &FffWeights, row: usize, x: &[f64]) -> (f64, f64) {
    let w_in = &weights.linear_in()[row * x.len()..][..x.len()];
    let bias = f64::from(weights.bias()[row]);
    let (mut z, mut magnitude) = (0.0, bias.abs());
    for (x, w) in x.iter().zip(w_in) {
        let product = x * f64::from(*w);
        z += product;
        magnitude += product.abs();
    }
    (z + bias, magnitude)
}

/// Adds a row of `linear_out` to y, times the activation.
fn add(weights: &FffWeights, row: usize, activation: f64, y: &mut [f64]) {
    let w_out = &weights.linear_out()[row * y.len()..][..y.len()];
    for (y, w) in y.iter_mut().zip(w_out) {
        *y += activation * f64::from(*w);
    }
}

/// Adds w2[leaf] * act(w1[leaf] * x + b1[leaf]) + b2[leaf] to y.
fn leaf(weights: &FffWeights, leaf: usize, x: &[f64], y: &mut [f64]) {
    let shape = weights.shape();
    let Some(form) = shape.leaf_form() else { return };
    for neuron in leaf * form.width..(leaf + 1) * form.width {
        let (z, _) = logit(weights, shape.nodes() + neuron, x);
        let activation = match form.activation {
            LeafActivation::Gelu => gelu(z),
            LeafActivation::Relu => z.max(0.0),
        };
        add(weights, neuron, activation, y);
    }
    if !form.without_output_bias {
        let bias = &weights.output_bias()[leaf * y.len()..][..y.len()];
        y.iter_mut().zip(bias).for_each(|(y, bias)| *y += f64::from(*bias));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fff::FffShape;

    #[test]
    fn gelu_is_exact_and_keeps_its_tails() {
        // These values of z * Phi(z) come from the normal distribution, computed with 40 digits.
        for (z, want) in [
            (0.0, 0.0),
            (1.0, 0.841344746068543),
            (-1.0, -0.158655253931457),
            (-5.0, -1.43325785939597e-6),
            (3.0, 2.99595030590511),
        ] {
            assert!((gelu(z) - want).abs() <= 1e-11 * want.abs().max(1e-6), "{z}: {}", gelu(z));
        }
        assert_eq!(gelu(1e3), 1e3);
        assert_eq!(gelu(-1e3), 0.0);
    }

    #[test]
    fn zero_goes_left_and_trees_are_summed() {
        let shape = FffShape::with_output(1, 1, 2, 1).unwrap();
        // In tree 0 the root's logit is 0 for every x; in tree 1 it is 2.
        let weights = FffWeights::new(
            shape,
            [0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
            Some(vec![0.0, 0.0, 0.0, 2.0, 0.0, 0.0]),
            [0.0, 1.0, 10.0, 0.0, 100.0, 1000.0],
        )
        .unwrap();
        let out = fff(&weights, &[1.0]).unwrap();
        assert_eq!(out.path, [0, 1, 0, 2]);
        assert!((out.y[0] - 1001.0 * gelu(1.0)).abs() < 1e-9);
    }

    #[test]
    fn in_the_signed_form_the_decision_chooses_the_output_row() {
        let shape = FffShape::with_output(1, 1, 1, 1).unwrap().in_form(FffForm::Signed).unwrap();
        let rows = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5];
        let weights = FffWeights::new(shape, [1.0, 3.0, -1.0], None, rows).unwrap();
        // The first token goes right, to a leaf of -2; the second goes left, to a leaf of -6; the
        // third is a tie, which goes right too, to a leaf of 0.
        let out = fff(&weights, &[2.0, -2.0, 0.0]).unwrap();
        assert_eq!(out.path, [0, 2, 0, 1, 0, 1]);
        let want = [(10.0 + 1e4) * gelu(2.0), gelu(2.0) + 100.0 * gelu(6.0), 0.0];
        assert!(out.y.iter().zip(want).all(|(y, want)| (y - want).abs() < 1e-9), "{:?}", out.y);
    }
}

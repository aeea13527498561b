//! A token's walk through a tree, with the numbers at every node.

use cmm::{FffForm, FffWeights, reference};
use cmm_web::Failure;
use serde::Serialize;

/// The walks of a text's tokens through one tree.
#[derive(Serialize)]
pub struct Walk {
    /// Whether the layer is a trained model's.
    trained: bool,
    /// Nodes of the tree.
    nodes: usize,
    /// Walks in which the device went another way than the f64 reference on the same input.
    flips: usize,
    tokens: Vec<Token>,
}

#[derive(Serialize)]
struct Token {
    token: String,
    steps: Vec<Step>,
}

/// A node that a token engaged.
#[derive(Serialize)]
struct Step {
    node: u32,
    /// z = w . x + b; above zero the walk goes right.
    logit: f64,
    /// GELU(z), in the signed form of |z|, by which the node's output row is added.
    activation: f64,
}

/// The device's walks, `path: [tokens, levels]`, with logits of the reference on the layer's input `x: [tokens, width]`.
pub fn steps(
    weights: &FffWeights,
    tokens: Vec<String>,
    x: &[f32],
    path: &[u32],
    trained: bool,
) -> Result<Walk, Failure> {
    let shape = weights.shape();
    let truth = reference::fff(weights, x)?;
    let levels = shape.levels();
    let tokens: Vec<_> = tokens
        .into_iter()
        .zip(path.chunks(levels))
        .zip(x.chunks(shape.input()))
        .map(|((token, nodes), x)| {
            let step = |node: &u32| {
                let row = &weights.linear_in()[*node as usize * x.len()..][..x.len()];
                let product = |(w, x): (&f32, &f32)| f64::from(*w) * f64::from(*x);
                let sum: f64 = row.iter().zip(x).map(product).sum();
                let logit = sum + f64::from(weights.bias()[*node as usize]);
                let size = if shape.form() == FffForm::Signed { logit.abs() } else { logit };
                Step { node: *node, logit, activation: reference::gelu(size) }
            };
            Token { token, steps: nodes.iter().map(step).collect() }
        })
        .collect();
    let flips = path.chunks(levels).zip(truth.path.chunks(levels)).filter(|(a, b)| a != b).count();
    Ok(Walk { trained, nodes: shape.nodes(), flips, tokens })
}

//! Dense matrix multiplication: y = x * weight^T + bias.

use crate::model::DenseWeights;

/// Computes a dense layer from `x: [tokens, input]` to `[tokens, output]`.
pub fn dense(weights: &DenseWeights, x: &[f64]) -> Vec<f64> {
    let mut y = Vec::with_capacity(x.len() / weights.input * weights.output);
    for x in x.chunks_exact(weights.input) {
        for (output, row) in weights.weight.chunks_exact(weights.input).enumerate() {
            let bias = weights.bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
            y.push(x.iter().zip(row).map(|(x, w)| x * f64::from(*w)).sum::<f64>() + bias);
        }
    }
    y
}

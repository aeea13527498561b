//! LayerNorm: (x - mean) / sqrt(biased variance + eps) * weight + bias.

use crate::model::NormWeights;

/// Normalises each row of `x: [tokens, width]`.
pub fn layer_norm(weights: &NormWeights, eps: f64, x: &[f64]) -> Vec<f64> {
    let width = weights.weight.len();
    let mut y = Vec::with_capacity(x.len());
    for x in x.chunks_exact(width) {
        let mean = x.iter().sum::<f64>() / width as f64;
        let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
        let scale = 1.0 / (variance + eps).sqrt();
        for ((x, w), b) in x.iter().zip(&weights.weight).zip(&weights.bias) {
            y.push((x - mean) * scale * f64::from(*w) + f64::from(*b));
        }
    }
    y
}

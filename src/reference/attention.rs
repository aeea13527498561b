//! Self-attention within each sequence: softmax(q.k * scale + masked) v.

use crate::model::{Batch, MASKED};

/// Computes self-attention. `qkv` is `[tokens, 3 * hidden]`: q of all heads, then k, then v.
/// Returns the contexts, `[tokens, hidden]`.
pub fn attention(batch: &Batch, heads: usize, scale: f64, qkv: &[f64]) -> Vec<f64> {
    let hidden = qkv.len() / batch.len().max(1) / 3;
    let width = hidden / heads.max(1);
    let part = |token: usize, part: usize, head: usize| {
        &qkv[token * 3 * hidden + part * hidden + head * width..][..width]
    };
    let mut context = vec![0.0; batch.len() * hidden];
    for rows in batch.rows() {
        for query in rows.clone() {
            for head in 0..heads {
                let scores: Vec<f64> = rows
                    .clone()
                    .map(|key| {
                        let (q, k) = (part(query, 0, head), part(key, 1, head));
                        let product: f64 = q.iter().zip(k).map(|(q, k)| q * k).sum();
                        product * scale + if batch.seen(key) { 0.0 } else { f64::from(MASKED) }
                    })
                    .collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
                let total: f64 = weights.iter().sum();
                let out = &mut context[query * hidden + head * width..][..width];
                for (key, weight) in rows.clone().zip(&weights) {
                    for (out, v) in out.iter_mut().zip(part(key, 2, head)) {
                        *out += weight / total * v;
                    }
                }
            }
        }
    }
    context
}

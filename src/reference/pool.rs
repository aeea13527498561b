//! Pools a sequence's tokens to one row.

use crate::model::{Batch, Pooler};

/// Pools `x: [tokens, hidden]` to `[sequences, hidden]`.
pub fn pool(batch: &Batch, pooler: Pooler, x: &[f64]) -> Vec<f64> {
    let hidden = x.len() / batch.len().max(1);
    let mut pooled = Vec::new();
    for rows in batch.rows() {
        let counted: Vec<usize> = match pooler {
            Pooler::MeanUnmasked => rows.clone().filter(|token| batch.seen(*token)).collect(),
            Pooler::ZeroIndex => rows.clone().take(1).collect(),
            Pooler::Avg | Pooler::Max | Pooler::Lse => rows.clone().collect(),
        };
        for column in 0..hidden {
            let values = counted.iter().map(|token| x[token * hidden + column]);
            let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
            pooled.push(match pooler {
                Pooler::MeanUnmasked | Pooler::Avg | Pooler::ZeroIndex => {
                    values.sum::<f64>() / counted.len().max(1) as f64
                }
                Pooler::Max => largest,
                Pooler::Lse => largest + values.map(|v| (v - largest).exp()).sum::<f64>().ln(),
            });
        }
    }
    pooled
}

/// Divides each row of `width` values by its Euclidean norm.
pub fn l2_norm(width: usize, x: &[f64]) -> Vec<f64> {
    let row = |row: &[f64]| {
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
        row.iter().map(|v| v / norm).collect::<Vec<_>>()
    };
    x.chunks_exact(width).flat_map(row).collect()
}

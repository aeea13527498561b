//! Operations on rows on the host: embedding, normalising, pooling.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::host::exp::exp;
use crate::model::{Batch, EmbeddingWeights, NormWeights, Pooler};

/// Rows that a thread takes at once.
const AT_ONCE: usize = 32;

/// Adds word, position and type of each token: `[tokens, hidden]`. The batch belongs to the
/// encoder.
pub(crate) fn embed(weights: &EmbeddingWeights, batch: &Batch, hidden: usize, y: &mut [f32]) {
    let row = |row: u32| row as usize * hidden..(row as usize + 1) * hidden;
    y.par_chunks_exact_mut(hidden).with_min_len(AT_ONCE).zip(&batch.tokens).for_each(
        |(y, [id, position, kind, _])| {
            let (words, positions, types) = (&weights.words, &weights.positions, &weights.types);
            let added =
                words[row(*id)].iter().zip(&positions[row(*position)]).zip(&types[row(*kind)]);
            y.iter_mut().zip(added).for_each(|(y, ((w, p), t))| *y = w + p + t);
        },
    );
}

/// Computes LayerNorm of each row.
pub(crate) fn norm(weights: &NormWeights, eps: f32, x: &[f32], y: &mut [f32]) {
    let width = weights.weight.len();
    let arch = Arch::new();
    y.par_chunks_mut(AT_ONCE * width)
        .zip(x.par_chunks(AT_ONCE * width))
        .for_each(|(y, x)| arch.dispatch(Norm { weights, eps, x, y }));
}

struct Norm<'a> {
    weights: &'a NormWeights,
    eps: f32,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { weights, eps, x, y } = self;
        let width = weights.weight.len();
        let share = 1.0 / width as f32;
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let mean = sum(x, |v| v) * share;
            let variance = sum(x, |v| (v - mean) * (v - mean)) * share;
            let scale = 1.0 / (variance + eps).sqrt();
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(&weights.weight).zip(&weights.bias) {
                *y = (x - mean) * scale * w + b;
            }
        }
    }
}

/// Returns the sum over a row, by sixteen sums side by side, which a compiler keeps in registers.
#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    const LANES: usize = 16;
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for block in blocks {
        for (sum, v) in sums.iter_mut().zip(block) {
            *sum += term(*v);
        }
    }
    rest.iter().map(|v| term(*v)).sum::<f32>() + sums.iter().sum::<f32>()
}

/// Pools each sequence to a row.
pub(crate) fn pool(batch: &Batch, pooler: Pooler, hidden: usize, x: &[f32], y: &mut [f32]) {
    for (rows, y) in batch.rows().zip(y.chunks_exact_mut(hidden)) {
        let counted: Vec<usize> = match pooler {
            Pooler::MeanUnmasked => rows.filter(|token| batch.seen(*token)).collect(),
            Pooler::ZeroIndex => rows.take(1).collect(),
            Pooler::Avg | Pooler::Max | Pooler::Lse => rows.collect(),
        };
        let values = |column: usize| counted.iter().map(move |token| x[token * hidden + column]);
        let share = 1.0 / counted.len().max(1) as f32;
        for (column, y) in y.iter_mut().enumerate() {
            // This passes NaN on, which f32::max drops.
            let larger = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
            let largest = || values(column).fold(f32::NEG_INFINITY, larger);
            *y = match pooler {
                Pooler::MeanUnmasked | Pooler::Avg | Pooler::ZeroIndex => {
                    values(column).sum::<f32>() * share
                }
                Pooler::Max => largest(),
                Pooler::Lse => {
                    let largest = largest();
                    largest + values(column).map(|v| exp(v - largest)).sum::<f32>().ln()
                }
            };
        }
    }
}

/// Divides each row by its Euclidean norm.
pub(crate) fn normalize(width: usize, y: &mut [f32]) {
    for row in y.chunks_exact_mut(width) {
        let length = sum(row, |v| v * v).sqrt().max(1e-12);
        row.iter_mut().for_each(|v| *v /= length);
    }
}

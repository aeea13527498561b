//! Self-attention within each sequence on the host. There is no padding, and the scores of a head
//! stay in the thread's own memory.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::host::exp::exp;
use crate::model::Batch;

/// Queries that a thread takes at once: all of a short sequence, or a part of a long one.
const QUERIES: usize = 32;
/// Queries that share a read of keys and values.
const SIDE_BY_SIDE: usize = 4;
/// Vectors of a row that are summed in registers at once.
const VECTORS: usize = 2;
/// Rows of packed keys and values are whole vectors of any instruction set.
const LANES: usize = 16;

/// Computes softmax(q.k * scale + masked) v. `qkv` is `[tokens, 3 * hidden]`: q of all heads, then
/// k, then v. `context` is `[tokens, hidden]`.
pub(crate) fn attention(batch: &Batch, heads: usize, scale: f32, qkv: &[f32], context: &mut [f32]) {
    let hidden = context.len() / batch.len().max(1);
    let arch = Arch::new();
    let mut tasks = Vec::new();
    let mut rest = context;
    for rows in batch.rows() {
        for first in rows.clone().step_by(QUERIES) {
            let count = QUERIES.min(rows.end - first);
            let (context, after) = rest.split_at_mut(count * hidden);
            rest = after;
            tasks.push(Task {
                qkv,
                masked: &batch.masked,
                heads,
                scale,
                rows: rows.clone(),
                first,
                context,
            });
        }
    }
    tasks.into_par_iter().for_each(|task| arch.dispatch(task));
}

/// The work on some queries of one sequence.
struct Task<'a> {
    qkv: &'a [f32],
    masked: &'a [f32],
    heads: usize,
    scale: f32,
    /// The sequence's tokens.
    rows: std::ops::Range<usize>,
    /// The first query.
    first: usize,
    /// The results, `[queries, hidden]`.
    context: &'a mut [f32],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, masked, heads, scale, rows, first, context } = self;
        let stride = qkv.len() / masked.len();
        let hidden = stride / 3;
        let width = hidden / heads;
        let mut unseen = vec![f32::NEG_INFINITY; rows.len().next_multiple_of(LANES)];
        unseen[..rows.len()].copy_from_slice(&masked[rows.clone()]);
        let (keys, wide) = (rows.len(), width.next_multiple_of(LANES));
        let long = keys.next_multiple_of(LANES);
        let part = |token: usize, part: usize, head: usize| {
            &qkv[token * stride + part * hidden + head * width..][..width]
        };
        // Keys lie column by column, so that the scores of several keys are summed side by side.
        // Values lie row by row, and stay in place if their rows are whole vectors. Packed rows and
        // columns end in zeros.
        let packs = width != wide;
        let mut columns = vec![0.0_f32; width * long];
        let mut packed = vec![0.0_f32; if packs { keys * wide } else { 0 }];
        let mut scores = vec![0.0_f32; SIDE_BY_SIDE * long];
        let mut sums = vec![0.0_f32; SIDE_BY_SIDE * wide];
        for head in 0..heads {
            for (key, token) in rows.clone().enumerate() {
                let k = part(token, 1, head);
                k.iter().enumerate().for_each(|(d, k)| columns[d * long + key] = *k);
                if packs {
                    packed[key * wide..][..width].copy_from_slice(part(token, 2, head));
                }
            }
            let columns = Strided { values: &columns, apart: long, width: long };
            let values = match packs {
                true => Strided { values: &packed, apart: wide, width: wide },
                false => {
                    let first = rows.start * stride + 2 * hidden + head * width;
                    Strided { values: &qkv[first..], apart: stride, width: wide }
                }
            };
            for (block, context) in context.chunks_mut(SIDE_BY_SIDE * hidden).enumerate() {
                let query = first + block * SIDE_BY_SIDE;
                let last = query + context.len() / hidden - 1;
                // Beyond the last query this repeats the last one, and nobody reads its sums.
                let q = std::array::from_fn(|i| part((query + i).min(last), 0, head));
                products(simd, q, columns, &mut scores);
                for scores in scores.chunks_exact_mut(long) {
                    softmax(scores, &unseen, scale);
                }
                let weights = std::array::from_fn(|i| &scores[i * long..][..keys]);
                products(simd, weights, values, &mut sums);
                for (context, sums) in context.chunks_exact_mut(hidden).zip(sums.chunks(wide)) {
                    context[head * width..][..width].copy_from_slice(&sums[..width]);
                }
            }
        }
    }
}

/// Rows of `width` values, which are whole vectors, at a distance of `apart` values.
#[derive(Clone, Copy)]
struct Strided<'a> {
    values: &'a [f32],
    apart: usize,
    width: usize,
}

/// Multiplies each row of `x`, `[SIDE_BY_SIDE, count]`, by `rows`, `[count, width]`, into `y`,
/// `[SIDE_BY_SIDE, width]`.
#[inline(always)]
fn products<S: Simd>(simd: S, x: [&[f32]; SIDE_BY_SIDE], rows: Strided<'_>, y: &mut [f32]) {
    let (y, _) = S::as_mut_simd_f32s(y);
    let vectors = rows.width / S::F32_LANES;
    let count = x[0].len();
    let x = x.map(|x| &x[..count]);
    let mut at = 0;
    while at < vectors {
        let width = VECTORS.min(vectors - at);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; SIDE_BY_SIDE];
        for (i, row) in rows.values.chunks(rows.apart).take(count).enumerate() {
            let (row, _) = S::as_simd_f32s(&row[..rows.width]);
            // If a row has an odd vector, the last one is taken twice; its second sum is not
            // stored.
            let row: [_; VECTORS] = std::array::from_fn(|v| row[at + v.min(width - 1)]);
            for (sums, x) in sums.iter_mut().zip(x) {
                let x = simd.splat_f32s(x[i]);
                for (sum, row) in sums.iter_mut().zip(row) {
                    *sum = simd.mul_add_e_f32s(x, row, *sum);
                }
            }
        }
        for (y, sums) in y.chunks_exact_mut(vectors).zip(sums) {
            y[at..at + width].copy_from_slice(&sums[..width]);
        }
        at += VECTORS;
    }
}

/// Turns scores into weights that sum to one. Beyond the last key `masked` is -infinity, so those
/// weights are zero.
///
/// The largest score and the sum are kept lane by lane: a compiler does not change the order of a
/// single sum, and would compute it value by value.
#[inline(always)]
fn softmax(scores: &mut [f32], masked: &[f32], scale: f32) {
    let (scores, _) = scores.as_chunks_mut::<LANES>();
    let (masked, _) = masked.as_chunks::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for (scores, masked) in scores.iter_mut().zip(masked) {
        for ((score, masked), largest) in scores.iter_mut().zip(masked).zip(&mut largest) {
            *score = *score * scale + masked;
            *largest = if *score > *largest { *score } else { *largest };
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut totals = [0.0; LANES];
    for scores in scores.iter_mut() {
        for (score, total) in scores.iter_mut().zip(&mut totals) {
            *score = exp(*score - largest);
            *total += *score;
        }
    }
    let share = 1.0 / totals.iter().sum::<f32>();
    scores.as_flattened_mut().iter_mut().for_each(|score| *score *= share);
}

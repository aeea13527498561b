//! An FFF layer on the host: f32, vectorised, on all threads, tokens ordered so that the rows they share stay in cache.
//!
//! The fast twin of [`reference::fff`](crate::reference::fff), which is the truth it is held against.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::error::{Error, Result, check_finite};
use crate::fff::{FffShape, FffWeights, Forward};

/// Levels whose rows all tokens walk in the order they come: 63 nodes. The tokens are then sorted by the subtree they enter.
const TOP: usize = 6;
/// Fewer tokens are not worth sorting, nor a second thread.
const FEW: usize = 64;
/// Tokens that a thread takes at once.
const BLOCK: usize = 32;

/// A token on its way through all trees.
struct Walk<'a> {
    token: u32,
    /// Rows engaged so far, tree by tree, each with its activation; room for all levels.
    rows: &'a mut [(u32, f32)],
    y: &'a mut [f32],
    path: &'a mut [u32],
}

/// Computes `x: [tokens, input]` to `[tokens, output]` on the current rayon pool, with the nodes that each token engaged.
///
/// # Errors
/// [`Error::Mismatch`] if `x` is not a whole number of tokens, [`Error::Value`] if it holds a NaN or infinity.
pub fn fff(weights: &FffWeights, x: &[f32]) -> Result<Forward> {
    let shape = weights.shape();
    if !x.len().is_multiple_of(shape.input()) {
        let expected = format!("a multiple of the input width {}", shape.input());
        return Err(Error::mismatch("length of x", expected, x.len()));
    }
    check_finite("x", x)?;
    let tokens = x.len() / shape.input();
    let mut result =
        Forward { y: vec![0.0; tokens * shape.output()], path: vec![0; tokens * shape.engaged()] };
    fff_into(weights, x, &mut result.y, &mut result.path);
    Ok(result)
}

/// [`fff`] into buffers of the right sizes.
pub(crate) fn fff_into(weights: &FffWeights, x: &[f32], y: &mut [f32], path: &mut [u32]) {
    let shape = weights.shape();
    let arch = Arch::new();
    let descend = |walk: &mut Walk, levels: std::ops::Range<usize>| {
        let x = &x[walk.token as usize * shape.input()..][..shape.input()];
        arch.dispatch(Descend { weights, x, rows: walk.rows, levels });
    };
    let finish = |walk: &mut Walk| {
        arch.dispatch(Accumulate { weights, rows: walk.rows, y: walk.y });
        for ((place, node), (row, _)) in (0..).zip(walk.path.iter_mut()).zip(&*walk.rows) {
            *node = row - (place / shape.levels() * shape.nodes_per_tree()) as u32;
        }
    };
    let tokens = x.len() / shape.input();
    let mut rows = vec![(0, 0.0); tokens * shape.engaged()];
    let mut walks: Vec<_> = (0..)
        .zip(rows.chunks_exact_mut(shape.engaged()))
        .zip(y.chunks_exact_mut(shape.output()).zip(path.chunks_exact_mut(shape.engaged())))
        .map(|((token, rows), (y, path))| Walk { token, rows, y, path })
        .collect();
    if tokens < FEW {
        for walk in &mut walks {
            descend(walk, 0..shape.levels());
            finish(walk);
        }
        return;
    }
    // One tree: sort by the subtree that is entered. More trees would each want another order.
    let top = if shape.trees() == 1 { TOP.min(shape.levels()) } else { shape.levels() };
    walks.par_chunks_mut(BLOCK).for_each(|block| {
        block.iter_mut().for_each(|walk| descend(walk, 0..top));
    });
    if shape.trees() == 1 {
        walks.par_sort_unstable_by_key(|walk| walk.rows[top - 1].0);
    }
    walks.par_chunks_mut(BLOCK).for_each(|block| {
        for walk in block {
            descend(walk, top..shape.levels());
            finish(walk);
        }
    });
}

/// Walks some levels of every tree.
struct Descend<'a> {
    weights: &'a FffWeights,
    x: &'a [f32],
    rows: &'a mut [(u32, f32)],
    levels: std::ops::Range<usize>,
}

impl WithSimd for Descend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, x, rows, levels } = self;
        let shape = weights.shape();
        for (tree, rows) in rows.chunks_exact_mut(shape.levels()).enumerate() {
            let first = tree * shape.nodes_per_tree();
            for level in levels.clone() {
                let node = match level.checked_sub(1) {
                    None => 0,
                    Some(above) => {
                        let (row, z) = rows[above];
                        let node = 2 * (row as usize - first) + if z > 0.0 { 2 } else { 1 };
                        rows[above].1 = gelu(z);
                        node
                    }
                };
                let row = first + node;
                let weight = &weights.linear_in()[row * shape.input()..][..shape.input()];
                rows[level] = (row as u32, dot(simd, weight, x) + weights.bias()[row]);
            }
            // Of the last level walked the logit is kept, for the decision of the next; at the leaf it becomes its activation.
            if levels.end == shape.levels() && !levels.is_empty() {
                rows[levels.end - 1].1 = gelu(rows[levels.end - 1].1);
            }
        }
    }
}

/// The product of two vectors.
pub(crate) struct Dot<'a> {
    pub(crate) a: &'a [f32],
    pub(crate) b: &'a [f32],
}

impl WithSimd for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        dot(simd, self.a, self.b)
    }
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a_wide, a_rest) = S::as_simd_f32s(a);
    let (b_wide, b_rest) = S::as_simd_f32s(b);
    let mut sums = [simd.splat_f32s(0.0); 4];
    let (a_fours, a_ones) = a_wide.as_chunks::<4>();
    let (b_fours, b_ones) = b_wide.as_chunks::<4>();
    for (a, b) in a_fours.iter().zip(b_fours) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = simd.mul_add_e_f32s(*a, *b, *sum);
        }
    }
    for (a, b) in a_ones.iter().zip(b_ones) {
        sums[0] = simd.mul_add_e_f32s(*a, *b, sums[0]);
    }
    let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    simd.reduce_sum_f32s(sum) + rest
}

/// y = the sum of the engaged rows of `linear_out`, each times its activation.
struct Accumulate<'a> {
    weights: &'a FffWeights,
    rows: &'a [(u32, f32)],
    y: &'a mut [f32],
}

impl WithSimd for Accumulate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, rows, y } = self;
        let width = y.len();
        let row = |index: u32| &weights.linear_out()[index as usize * width..][..width];
        let (y_wide, y_rest) = S::as_mut_simd_f32s(y);
        let first_rest = width - y_rest.len();
        y_wide.fill(simd.splat_f32s(0.0));
        y_rest.fill(0.0);
        // Four rows at once: y is read and written a quarter as often.
        for rows in rows.chunks(4) {
            let at = |i: usize| rows.get(i).copied().unwrap_or((rows[0].0, 0.0));
            let [a, b, c, d] = [at(0), at(1), at(2), at(3)];
            let scales = [a.1, b.1, c.1, d.1].map(|scale| simd.splat_f32s(scale));
            let [a, b, c, d] = [a.0, b.0, c.0, d.0].map(|index| S::as_simd_f32s(row(index)).0);
            for ((((y, a), b), c), d) in y_wide.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let sum = simd.mul_add_e_f32s(scales[0], *a, *y);
                let sum = simd.mul_add_e_f32s(scales[1], *b, sum);
                let sum = simd.mul_add_e_f32s(scales[2], *c, sum);
                *y = simd.mul_add_e_f32s(scales[3], *d, sum);
            }
        }
        for (index, scale) in rows {
            let rest = &row(*index)[first_rest..];
            y_rest.iter_mut().zip(rest).for_each(|(y, w)| *y += scale * w);
        }
    }
}

/// z * Phi(z), as shaders/parts/gelu.wgsl computes it.
fn gelu(z: f32) -> f32 {
    crate::reference::gelu(f64::from(z)) as f32
}

/// What the roundings of a logit are bounded by, as [`logit_bound`](crate::reference::logit_bound) takes it.
pub(crate) fn roundings(shape: FffShape) -> u32 {
    // Any order of summation has at most this many.
    shape.input() as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    #[test]
    fn agrees_with_the_reference_on_odd_sizes_few_tokens_and_many() {
        for (input, output, trees, depth, tokens) in [
            (5, 3, 2, 3, 1),
            (768, 768, 1, 11, 3),
            (33, 70, 1, 8, 300),
            (40, 24, 3, 2, 200),
            (8, 8, 4, 0, 100),
        ] {
            let shape = FffShape::with_output(input, output, trees, depth).unwrap();
            let weights = FffWeights::random(shape, 7);
            let mut random = fastrand::Rng::with_seed(3);
            let x: Vec<f32> = (0..tokens * input).map(|_| 4.0 * random.f32() - 2.0).collect();
            let truth = reference::fff(&weights, &x).unwrap();
            let got = fff(&weights, &x).unwrap();
            let compared =
                reference::compare(shape, &truth, &got.y, &got.path, roundings(shape)).unwrap();
            assert!(compared.passed(), "{shape}: {compared:?}");
        }
    }

    #[test]
    fn a_nan_and_half_a_token_are_errors() {
        let weights = FffWeights::random(FffShape::new(4, 1, 2).unwrap(), 1);
        assert!(fff(&weights, &[0.0; 6]).unwrap_err().to_string().contains("multiple"));
        assert!(fff(&weights, &[0.0, 0.0, f32::NAN, 0.0]).is_err());
        assert_eq!(fff(&weights, &[]).unwrap(), Forward::default());
    }
}

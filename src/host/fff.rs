//! An FFF layer on the host. Tokens are sorted so that the rows they share stay in cache.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::error::{Error, Result, check_finite};
use crate::fff::{FffForm, FffShape, FffWeights, Forward};
use crate::host::exp::gelu;
use crate::host::sums::{Accumulate, dots};
use crate::host::{int8, leaf};

/// Levels that tokens walk before they are sorted by the subtree that they enter. The 63 rows of
/// that many levels stay in a core's own cache.
const LEVELS_AT_ONCE: usize = 6;
/// Tokens that walk side by side.
const SIDE_BY_SIDE: usize = 4;
/// Tokens that a thread takes at once.
const AT_ONCE: usize = 32;
/// With fewer tokens neither sorting nor a second thread pays.
const FEW: usize = 64;

/// A token on its way through all trees.
struct Walk<'a> {
    token: u32,
    /// The rows engaged so far, tree by tree, each with its logit. In the end these are output rows
    /// with their activations. There is room for all levels.
    rows: &'a mut [(u32, f32)],
    y: &'a mut [f32],
    path: &'a mut [u32],
}

/// Computes `x: [tokens, input]` to `[tokens, output]` on the current rayon pool. The result
/// includes the nodes that each token engaged.
///
/// # Errors
/// Returns [`Error::Shape`] if `x` is not a whole number of tokens, [`Error::Value`] if it holds a
/// NaN or an infinity, and [`Error::Overflow`] if sums overflow.
///
/// # Examples
/// ```
/// use cmm::{FffShape, FffWeights, host, reference};
///
/// let weights = FffWeights::random(FffShape::new(64, 1, 5)?, 42);
/// let x = vec![0.5; 3 * 64]; // [tokens, width]
/// let result = host::fff(&weights, &x)?;
/// assert_eq!(result.path, reference::fff(&weights, &x)?.path);
/// # Ok::<(), cmm::Error>(())
/// ```
pub fn fff(weights: &FffWeights, x: &[f32]) -> Result<Forward> {
    let result = fff_allowing_overflow(weights, x)?;
    weights.check_overflow(x, &result.y, &result.path)?;
    Ok(result)
}

/// Computes like [`fff`], but lets infinities and NaN in the result pass.
///
/// # Errors
/// Returns the errors of [`fff`] except [`Error::Overflow`].
pub fn fff_allowing_overflow(weights: &FffWeights, x: &[f32]) -> Result<Forward> {
    let shape = weights.shape();
    if !x.len().is_multiple_of(shape.input()) {
        let expected = format!("a multiple of the input width {}", shape.input());
        return Err(Error::shape("length of x", expected, x.len()));
    }
    check_finite("x", x)?;
    let tokens = x.len() / shape.input();
    let mut result =
        Forward { y: vec![0.0; tokens * shape.output()], path: vec![0; tokens * shape.path_len()] };
    fff_into(weights, None, x, &mut result.y, &mut result.path);
    Ok(result)
}

/// Computes [`fff`] into buffers of the right sizes. `int8` holds the two 8-bit matrices of each
/// leaf of the leaf form, which replace the weights'.
pub(crate) fn fff_into(
    weights: &FffWeights,
    int8: Option<&[[int8::Matrix; 2]]>,
    x: &[f32],
    y: &mut [f32],
    path: &mut [u32],
) {
    let shape = weights.shape();
    let arch = Arch::new();
    // The leaves of the leaf form decide nothing.
    let last = shape.levels() - usize::from(shape.leaf_form().is_some());
    let descend = |walks: &mut [Walk], levels: std::ops::Range<usize>| {
        let (several, single) = walks.as_chunks_mut::<SIDE_BY_SIDE>();
        for walks in several {
            arch.dispatch(Descend { weights, x, walks, levels: levels.clone() });
        }
        for walk in single {
            let walks = std::array::from_mut(walk);
            arch.dispatch(Descend { weights, x, walks, levels: levels.clone() });
        }
    };
    let finish = |walk: &mut Walk| {
        if shape.leaf_form().is_some() {
            return arrive(walk);
        }
        for ((place, node), (row, z)) in (0..).zip(walk.path.iter_mut()).zip(&mut *walk.rows) {
            *node = *row - (place / shape.levels() * shape.nodes_per_tree()) as u32;
            if shape.form() == FffForm::Signed {
                *row = 2 * *row + u32::from(*z > 0.0);
                *z = z.abs();
            }
            *z = gelu(*z);
        }
        arch.dispatch(Accumulate { weights, rows: walk.rows, y: walk.y });
    };
    let tokens = x.len() / shape.input();
    let mut rows = vec![(0, 0.0); tokens * shape.path_len()];
    let mut walks: Vec<_> = (0..)
        .zip(rows.chunks_exact_mut(shape.path_len()))
        .zip(y.chunks_exact_mut(shape.output()).zip(path.chunks_exact_mut(shape.path_len())))
        .map(|((token, rows), (y, path))| Walk { token, rows, y, path })
        .collect();
    // With one tree, tokens are sorted by the subtree that they enter. Each of several trees would
    // want another order.
    let step = if shape.trees() == 1 { LEVELS_AT_ONCE } else { last };
    if tokens < FEW || last == 0 {
        descend(&mut walks, 0..last);
        walks.iter_mut().for_each(finish);
        return leaf::leaves_into(weights, int8, x, y, path);
    }
    for first in (0..last).step_by(step) {
        let levels = first..(first + step).min(last);
        if let Some(above) = first.checked_sub(1) {
            walks.par_sort_unstable_by_key(|walk| {
                let (row, z) = walk.rows[above];
                2 * row + u32::from(shape.form().goes_right(z))
            });
        }
        walks.par_chunks_mut(AT_ONCE).for_each(|walks| {
            descend(walks, levels.clone());
            if levels.end == last {
                walks.iter_mut().for_each(finish);
            }
        });
    }
    leaf::leaves_into(weights, int8, x, y, path);
}

/// Writes the path of a walk that has come to a leaf, and fills y with 0, or with NaN if a decision
/// overflowed.
fn arrive(walk: &mut Walk) {
    let Some((leaf, nodes)) = walk.path.split_last_mut() else { return };
    let mut finite = true;
    *leaf = 0;
    for (node, (row, z)) in nodes.iter_mut().zip(&*walk.rows) {
        *node = *row;
        *leaf = 2 * *row + 1 + u32::from(*z >= 0.0);
        finite &= z.is_finite();
    }
    walk.y.fill(if finite { 0.0 } else { f32::NAN });
}

/// Walks some levels of every tree, several tokens side by side, so that the rows of one token
/// arrive while those of the others are multiplied.
struct Descend<'a, 'w, const N: usize> {
    weights: &'a FffWeights,
    x: &'a [f32],
    walks: &'a mut [Walk<'w>; N],
    levels: std::ops::Range<usize>,
}

impl<const N: usize> WithSimd for Descend<'_, '_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { weights, x, walks, levels } = self;
        let shape = weights.shape();
        let x = std::array::from_fn(|walk: usize| {
            &x[walks[walk].token as usize * shape.input()..][..shape.input()]
        });
        for tree in 0..shape.trees() {
            let first = tree * shape.nodes_per_tree();
            let place = |level: usize| tree * shape.levels() + level;
            for level in levels.clone() {
                let rows: [usize; N] = std::array::from_fn(|walk| match level.checked_sub(1) {
                    None => first,
                    Some(above) => {
                        let (row, z) = walks[walk].rows[place(above)];
                        first
                            + 2 * (row as usize - first)
                            + 1
                            + usize::from(shape.form().goes_right(z))
                    }
                });
                let weight =
                    rows.map(|row| &weights.linear_in()[row * shape.input()..][..shape.input()]);
                let products = dots(simd, weight, x);
                for ((walk, row), product) in walks.iter_mut().zip(rows).zip(products) {
                    walk.rows[place(level)] = (row as u32, product + weights.bias()[row]);
                }
            }
        }
    }
}

/// Returns the bound on the roundings of a logit that
/// [`logit_bound`](crate::reference::logit_bound) takes.
pub(crate) fn roundings(shape: FffShape) -> u32 {
    // No order of summation has more roundings.
    shape.input() as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fff::{LeafActivation, LeafForm};
    use crate::reference;

    #[test]
    fn agrees_with_the_reference_on_odd_sizes_few_tokens_and_many() {
        use FffForm::{Leaf, Published, Signed};
        let [gelu, relu] = [LeafActivation::Gelu, LeafActivation::Relu]
            .map(|activation| LeafForm { width: 13, activation, ..LeafForm::default() });
        for (input, output, trees, depth, form, tokens) in [
            (5, 3, 2, 3, Published, 1),
            (768, 768, 1, 11, Published, 3),
            (33, 70, 1, 8, Published, 300),
            (33, 70, 1, 8, Signed, 300),
            (40, 24, 3, 2, Signed, 200),
            (8, 8, 4, 0, Published, 100),
            (33, 70, 1, 3, Leaf(gelu), 1),
            (33, 70, 1, 3, Leaf(relu), 300),
            (16, 8, 1, 8, Leaf(LeafForm { without_output_bias: true, ..gelu }), 200),
            (5, 3, 1, 0, Leaf(LeafForm { width: 1, ..gelu }), 70),
        ] {
            let shape = FffShape::with_output(input, output, trees, depth).unwrap();
            let shape = shape.in_form(form).unwrap();
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

//! The leaves of an FFF layer in the leaf form on the host. Each is a small dense layer for the
//! tokens that reached it.

use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::fff::{FffWeights, LeafForm};
use crate::host::dense::{Rows, finish, product};
use crate::host::int8;
use crate::host::sums::{Accumulate, dots};
use crate::plan::Activation;

/// Tokens of a leaf that are multiplied together, unless their values need too much of a thread's
/// memory.
const AT_ONCE: usize = 128;
const VALUES: usize = 1 << 22;
/// Up to this number, tokens are faster one by one.
const FEW: usize = 3;
/// Neurons whose products with one token are summed side by side.
const SIDE_BY_SIDE: usize = 4;

/// Adds the outputs of the leaves at the end of each `path: [tokens, levels]` to
/// `y: [tokens, output]`. It adds nothing in other forms. `int8` holds the two 8-bit matrices of
/// each leaf, which replace the weights'.
pub(super) fn leaves_into(
    weights: &FffWeights,
    int8: Option<&[[int8::Matrix; 2]]>,
    x: &[f32],
    y: &mut [f32],
    path: &[u32],
) {
    let shape = weights.shape();
    let Some(form) = shape.leaf_form() else { return };
    let last = path.chunks_exact(shape.levels()).map(|path| path[shape.depth()]);
    let mut tokens: Vec<_> = last
        .zip(x.chunks_exact(shape.input()).zip(y.chunks_exact_mut(shape.output())))
        .map(|(place, (x, y))| Token { leaf: place as usize - shape.nodes(), x, y })
        .collect();
    tokens.par_sort_unstable_by_key(|token| token.leaf);
    let widest = shape.input().max(form.width).max(shape.output());
    let at_once = AT_ONCE.min(VALUES / widest).max(1);
    tokens.par_chunk_by_mut(|one, other| one.leaf == other.leaf).for_each(|tokens| {
        let int8 = int8.map(|leaves| &leaves[tokens[0].leaf]);
        tokens.par_chunks_mut(at_once).for_each(|tokens| block(weights, int8, form, tokens));
    });
}

/// A token that has reached a leaf.
struct Token<'a> {
    leaf: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

/// Computes a leaf for some of its tokens and adds the results to their y.
fn block(
    weights: &FffWeights,
    int8: Option<&[int8::Matrix; 2]>,
    form: LeafForm,
    tokens: &mut [Token],
) {
    let (shape, arch) = (weights.shape(), Arch::new());
    let leaf = tokens[0].leaf;
    let (input, output, width) = (shape.input(), shape.output(), form.width);
    let first = shape.nodes() + leaf * width;
    let w1 = &weights.linear_in()[first * input..][..width * input];
    let bias = Some(&weights.bias()[first..][..width]);
    let activation = Activation::from(form.activation);
    let mut hidden = vec![0.0; tokens.len() * width];
    let mut sums = vec![0.0; tokens.len() * output];
    if let Some([up, down]) = int8 {
        let x = gathered(tokens);
        int8::product(up, &x, false, &mut hidden);
        finish(&mut hidden, width, bias, activation);
        int8::product(down, &hidden, false, &mut sums);
    } else if tokens.len() <= FEW {
        for (token, hidden) in tokens.iter().zip(hidden.chunks_exact_mut(width)) {
            arch.dispatch(Logits { w1, x: token.x, z: hidden });
        }
        finish(&mut hidden, width, bias, activation);
        for (hidden, y) in hidden.chunks_exact(width).zip(sums.chunks_exact_mut(output)) {
            let rows: Vec<_> = ((leaf * width) as u32..).zip(hidden.iter().copied()).collect();
            arch.dispatch(Accumulate { weights, rows: &rows, y });
        }
    } else {
        let x = gathered(tokens);
        let (up, down) = ([tokens.len(), input, width], [tokens.len(), width, output]);
        product(up, &x, w1, Rows::Outputs, false, &mut hidden, Parallelism::None);
        finish(&mut hidden, width, bias, activation);
        let w2 = &weights.linear_out()[leaf * width * output..][..width * output];
        product(down, &hidden, w2, Rows::Inputs, false, &mut sums, Parallelism::None);
    }
    if let Some(bias) = weights.output_bias_of(leaf) {
        sums.chunks_exact_mut(output)
            .for_each(|sums| sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias));
    }
    for (token, sums) in tokens.iter_mut().zip(sums.chunks_exact(output)) {
        token.y.iter_mut().zip(sums).for_each(|(y, sum)| *y += sum);
    }
}

/// Returns the inputs of tokens, one after another.
fn gathered(tokens: &[Token]) -> Vec<f32> {
    let rows: Vec<_> = tokens.iter().map(|token| token.x).collect();
    rows.concat()
}

/// Computes the products of a token with the rows of a leaf's neurons.
struct Logits<'a> {
    /// The rows of the neurons, `[neurons, input]`.
    w1: &'a [f32],
    x: &'a [f32],
    z: &'a mut [f32],
}

impl WithSimd for Logits<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { w1, x, z } = self;
        let last = z.len() - 1;
        for (block, z) in z.chunks_mut(SIDE_BY_SIDE).enumerate() {
            // Beyond the last neuron this repeats the last one, and nobody reads its product.
            let row = |i: usize| &w1[(block * SIDE_BY_SIDE + i).min(last) * x.len()..][..x.len()];
            let products =
                dots(simd, std::array::from_fn::<_, SIDE_BY_SIDE, _>(row), [x; SIDE_BY_SIDE]);
            z.copy_from_slice(&products[..z.len()]);
        }
    }
}

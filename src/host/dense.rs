//! A dense layer on the host.

use gemm::{Parallelism, gemm};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::host::exp::{gelu, relu, tanh};
use crate::host::sums::Dot;
use crate::model::DenseWeights;
use crate::plan::Activation;

/// Values that a thread takes at once after the product.
const AT_ONCE: usize = 16 << 10;

/// Computes y = activation(x * weight^T + bias), or y += it, on all threads. `x` is
/// `[tokens, input]` and `y` is `[tokens, output]`. The `gemm` crate computes the product; a single
/// token gets one dot product per output instead, because `gemm` does not specialise that case as
/// well.
pub(crate) fn dense(
    weights: &DenseWeights,
    activation: Activation,
    adds: bool,
    x: &[f32],
    y: &mut [f32],
) {
    let (input, output) = (weights.input, weights.output);
    if x.len() == input {
        let arch = Arch::new();
        y.par_iter_mut().with_min_len(64).zip(weights.weight.par_chunks_exact(input)).for_each(
            |(y, row)| {
                let product = arch.dispatch(Dot { a: row, b: x });
                *y = if adds { *y + product } else { product };
            },
        );
    } else {
        let shape = [x.len() / input, input, output];
        product(shape, x, &weights.weight, Rows::Outputs, adds, y, Parallelism::Rayon(0));
    }
    if weights.bias.is_none() && activation == Activation::None {
        return;
    }
    let rows = (AT_ONCE / output).max(1);
    y.par_chunks_mut(rows * output)
        .for_each(|y| finish(y, output, weights.bias.as_deref(), activation));
}

/// Adds the bias and applies the activation, on this thread.
pub(crate) fn finish(y: &mut [f32], output: usize, bias: Option<&[f32]>, activation: Activation) {
    Arch::new().dispatch(Finish { y, output, bias, activation });
}

/// The order of a weight matrix: what its rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// `[output, input]`.
    Outputs,
    /// `[input, output]`.
    Inputs,
}

/// Computes y = x * weight, or y += it, without a bias. `[tokens, input, output]` are the sizes.
#[allow(unsafe_code, reason = "the `gemm` crate's only entry point is unsafe")]
pub(crate) fn product(
    [tokens, input, output]: [usize; 3],
    x: &[f32],
    weight: &[f32],
    rows: Rows,
    adds: bool,
    y: &mut [f32],
    parallelism: Parallelism,
) {
    // The sizes must not wrap where addresses have 32 bits: the code below writes through pointers.
    let values = |rows: usize, columns: usize| rows.checked_mul(columns);
    assert_eq!(Some(x.len()), values(tokens, input));
    assert_eq!(Some(y.len()), values(tokens, output));
    assert_eq!(Some(weight.len()), values(input, output));
    let (of_output, of_input) = match rows {
        Rows::Outputs => (input as isize, 1),
        Rows::Inputs => (1, output as isize),
    };
    // SAFETY: the three matrices are `[tokens, output]`, `[tokens, input]` and that of the weights.
    // Their rows follow one another, and their lengths are asserted above. y is borrowed mutably,
    // so it overlaps neither of the others.
    unsafe {
        gemm(
            tokens,
            output,
            input,
            y.as_mut_ptr(),
            1,
            output as isize,
            adds,
            x.as_ptr(),
            1,
            input as isize,
            weight.as_ptr(),
            of_output,
            of_input,
            f32::from(u8::from(adds)),
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

struct Finish<'a> {
    y: &'a mut [f32],
    output: usize,
    bias: Option<&'a [f32]>,
    activation: Activation,
}

impl WithSimd for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { y, output, bias, activation } = self;
        if let Some(bias) = bias {
            for row in y.chunks_exact_mut(output) {
                row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        }
        match activation {
            Activation::None => {}
            Activation::Gelu => y.iter_mut().for_each(|y| *y = gelu(*y)),
            Activation::Tanh => y.iter_mut().for_each(|y| *y = tanh(*y)),
            Activation::Relu => y.iter_mut().for_each(|y| *y = relu(*y)),
        }
    }
}

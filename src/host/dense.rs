//! A dense layer on the host.

use gemm::{Parallelism, gemm};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::host::exp::{gelu, tanh};
use crate::host::fff::Dot;
use crate::model::DenseWeights;
use crate::plan::Activation;

/// Values that a thread takes at once after the product.
const AT_ONCE: usize = 16 << 10;

/// y = activation(x * weight^T + bias), or y += it, on all threads: the `gemm` crate, and for one token a product per output, which it does not
/// specialise as well. `x`: `[tokens, input]`, `y`: `[tokens, output]`.
#[allow(unsafe_code, reason = "the `gemm` crate's only entry point is unsafe")]
pub(crate) fn dense(
    weights: &DenseWeights,
    activation: Activation,
    adds: bool,
    x: &[f32],
    y: &mut [f32],
) {
    let (input, output) = (weights.input, weights.output);
    let tokens = x.len() / input;
    assert_eq!((x.len(), y.len()), (tokens * input, tokens * output));
    assert_eq!(weights.weight.len(), input * output);
    if tokens == 1 {
        let arch = Arch::new();
        y.par_iter_mut().with_min_len(64).zip(weights.weight.par_chunks_exact(input)).for_each(
            |(y, row)| {
                let product = arch.dispatch(Dot { a: row, b: x });
                *y = if adds { *y + product } else { product };
            },
        );
    } else {
        // SAFETY: the three matrices are `[tokens, output]`, `[tokens, input]` and `[output, input]`, row after row, of the lengths
        // asserted above; y is borrowed mutably, so it overlaps neither.
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
                weights.weight.as_ptr(),
                input as isize,
                1,
                f32::from(u8::from(adds)),
                1.0,
                false,
                false,
                false,
                Parallelism::Rayon(0),
            );
        }
    }
    if weights.bias.is_none() && activation == Activation::None {
        return;
    }
    let arch = Arch::new();
    let bias = weights.bias.as_deref();
    let rows = (AT_ONCE / output).max(1);
    y.par_chunks_mut(rows * output)
        .for_each(|y| arch.dispatch(Finish { y, output, bias, activation }));
}

/// Bias and activation.
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
        }
    }
}

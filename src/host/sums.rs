//! Sums of products of rows, in registers.

use pulp::{Simd, WithSimd};

use crate::fff::FffWeights;

/// Partial sums of a product; they do not wait for each other.
const SUMS: usize = 4;
/// Rows that are added to y at once.
const ROWS: usize = 6;

/// Computes the product of two vectors.
pub(super) struct Dot<'a> {
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
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
    let [product] = dots(simd, [a], [b]);
    product
}

/// Returns the products of several pairs of vectors of one length.
#[inline(always)]
pub(super) fn dots<S: Simd, const N: usize>(simd: S, a: [&[f32]; N], b: [&[f32]; N]) -> [f32; N] {
    let mut sums = [[simd.splat_f32s(0.0); SUMS]; N];
    let a_parts = a.map(|a| S::as_simd_f32s(a));
    let b_parts = b.map(|b| S::as_simd_f32s(b));
    let a_wide = a_parts.map(|(wide, _)| wide.as_chunks::<SUMS>());
    let b_wide = b_parts.map(|(wide, _)| wide.as_chunks::<SUMS>());
    let blocks = a_wide.first().map_or(0, |(blocks, _)| blocks.len());
    for block in 0..blocks {
        for pair in 0..N {
            let (a, b) = (&a_wide[pair].0[block], &b_wide[pair].0[block]);
            for sum in 0..SUMS {
                sums[pair][sum] = simd.mul_add_e_f32s(a[sum], b[sum], sums[pair][sum]);
            }
        }
    }
    std::array::from_fn(|pair| {
        let mut sum =
            sums[pair].into_iter().fold(simd.splat_f32s(0.0), |sum, s| simd.add_f32s(sum, s));
        for (a, b) in a_wide[pair].1.iter().zip(b_wide[pair].1) {
            sum = simd.mul_add_e_f32s(*a, *b, sum);
        }
        let rest: f32 = a_parts[pair].1.iter().zip(b_parts[pair].1).map(|(a, b)| a * b).sum();
        simd.reduce_sum_f32s(sum) + rest
    })
}

/// Computes y as the sum of the engaged rows of `linear_out`, each times its activation.
pub(super) struct Accumulate<'a> {
    pub(super) weights: &'a FffWeights,
    pub(super) rows: &'a [(u32, f32)],
    pub(super) y: &'a mut [f32],
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
        let vectors = y_wide.len();
        for (group, rows) in rows.chunks(ROWS).enumerate() {
            // Beyond the last row this takes the first one again, times 0.
            let at = |i: usize| rows.get(i).copied().unwrap_or((rows[0].0, 0.0));
            let scales: [_; ROWS] = std::array::from_fn(|i| simd.splat_f32s(at(i).1));
            let weights: [_; ROWS] =
                std::array::from_fn(|i| &S::as_simd_f32s(row(at(i).0)).0[..vectors]);
            for (index, y) in y_wide.iter_mut().enumerate() {
                let mut sum = if group == 0 { simd.splat_f32s(0.0) } else { *y };
                for i in 0..ROWS {
                    sum = simd.mul_add_e_f32s(scales[i], weights[i][index], sum);
                }
                *y = sum;
            }
        }
        for (index, y) in y_rest.iter_mut().enumerate() {
            *y = rows.iter().map(|(at, scale)| scale * row(*at)[first_rest + index]).sum();
        }
    }
}

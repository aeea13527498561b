//! An 8-bit matrix, and its product with rows of f32.

use pulp::{Arch, Simd, WithSimd};

use crate::fff::transposed;
use crate::host::dense::Rows;
use crate::host::int8::tile::{Block, GROUP, OUTPUTS, Sums, TOKENS, tile};

/// The most inputs for which a sum of products of bytes stays in 31 bits: 255 * 127 * 65,536 <
/// 2^31.
const MAX_INPUT: usize = 1 << 16;
/// Adding 2^23 rounds a number to a whole one, which the lowest bits then hold. 1.5 * 2^23 does the
/// same where numbers may be negative. A conversion to an integer saturates, and would therefore be
/// computed value by value.
const ROUND: f32 = 8_388_608.0;
const ROUND_SIGNED: f32 = 12_582_912.0;
/// Values that are reduced side by side; a compiler keeps them in registers.
const LANES: usize = 16;

/// A matrix of weights in 8 bits. The largest weight of each output is 127 or -127.
#[derive(Debug)]
pub(crate) struct Matrix {
    input: usize,
    output: usize,
    /// A block for each `OUTPUTS` outputs and each `GROUP` inputs, with zeros beyond the last of
    /// either.
    blocks: Vec<Block>,
    /// The scale of each output, and zeros up to a multiple of `OUTPUTS`.
    scales: Vec<f32>,
    /// The sum of each output's weights. It is multiplied by the zero of a row.
    totals: Vec<i32>,
}

impl Matrix {
    /// Creates a matrix of these sizes from finite weights; `None` if there are more than 65,536
    /// inputs.
    pub(crate) fn new([input, output]: [usize; 2], weight: &[f32], rows: Rows) -> Option<Self> {
        if input == 0 || output == 0 || input > MAX_INPUT {
            return None;
        }
        let (groups, panels) = (input.div_ceil(GROUP), output.div_ceil(OUTPUTS));
        let mut blocks = vec![Block::default(); panels * groups];
        let mut scales = vec![0.0; panels * OUTPUTS];
        let mut totals = vec![0; panels * OUTPUTS];
        let turned = (rows == Rows::Inputs).then(|| transposed(weight, input, output));
        let weight = turned.as_deref().unwrap_or(weight);
        let mut bytes = vec![[0; GROUP]; groups];
        for (o, weight) in weight.chunks_exact(input).enumerate() {
            let scale = Arch::new().dispatch(Round { weight, bytes: bytes.as_flattened_mut() });
            scales[o] = scale;
            totals[o] = bytes.as_flattened().iter().map(|byte| i32::from(*byte)).sum();
            let blocks = &mut blocks[o / OUTPUTS * groups..][..groups];
            for (block, bytes) in blocks.iter_mut().zip(&bytes) {
                block.0.as_chunks_mut::<GROUP>().0[o % OUTPUTS] = *bytes;
            }
        }
        Some(Self { input, output, blocks, scales, totals })
    }

    pub(crate) fn input(&self) -> usize {
        self.input
    }

    pub(crate) fn output(&self) -> usize {
        self.output
    }
}

/// Computes y = x * matrix, or y += it, on this thread. `x` is `[tokens, input]` and `y` is
/// `[tokens, output]`. A token with a NaN or an infinity becomes NaN.
pub(crate) fn product(matrix: &Matrix, x: &[f32], adds: bool, y: &mut [f32]) {
    Arch::new().dispatch(Product { matrix, x, adds, y });
}

struct Product<'a> {
    matrix: &'a Matrix,
    x: &'a [f32],
    adds: bool,
    y: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { matrix, x, adds, y } = self;
        let groups = matrix.input.div_ceil(GROUP);
        let tokens = x.len() / matrix.input;
        let mut bytes = vec![[0; GROUP]; tokens * groups];
        let mut rows = vec![Row::default(); tokens];
        // This is a loop because the closure of an iterator would not be compiled for this
        // processor.
        for ((x, bytes), row) in
            x.chunks_exact(matrix.input).zip(bytes.chunks_exact_mut(groups)).zip(&mut rows)
        {
            *row = quantised(x, bytes.as_flattened_mut());
        }
        let mut sums: Sums = [[0; OUTPUTS]; TOKENS];
        for (panel, blocks) in matrix.blocks.chunks_exact(groups).enumerate() {
            let columns = panel * OUTPUTS..matrix.output.min((panel + 1) * OUTPUTS);
            let (scales, totals) =
                (&matrix.scales[columns.clone()], &matrix.totals[columns.clone()]);
            for first in (0..tokens).step_by(TOKENS) {
                // Beyond the last token this repeats the last one, and nobody reads its sums.
                let row = |i: usize| &bytes[(first + i).min(tokens - 1) * groups..][..groups];
                tile(blocks, std::array::from_fn(row), &mut sums);
                for (token, sums) in (first..tokens).zip(&sums) {
                    let Row { scale, zero } = rows[token];
                    let y = &mut y[token * matrix.output..][columns.clone()];
                    for (((y, sum), total), of_output) in
                        y.iter_mut().zip(sums).zip(totals).zip(scales)
                    {
                        let value = (sum - zero * total) as f32 * (scale * of_output);
                        *y = if adds { *y + value } else { value };
                    }
                }
            }
        }
    }
}

/// Writes the weights of an output as bytes and returns the scale that one unit of a byte stands
/// for.
struct Round<'a> {
    weight: &'a [f32],
    bytes: &'a mut [i8],
}

impl WithSimd for Round<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        let (blocks, rest) = self.weight.as_chunks::<LANES>();
        let mut largest = [0.0_f32; LANES];
        for block in blocks {
            for (largest, v) in largest.iter_mut().zip(block) {
                *largest = if v.abs() > *largest { v.abs() } else { *largest };
            }
        }
        let largest = rest.iter().map(|v| v.abs()).chain(largest).fold(0.0, f32::max);
        let scale = largest / 127.0;
        // Values so small that the scale is not a normal number all become zero.
        let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
        for (byte, v) in self.bytes.iter_mut().zip(self.weight) {
            *byte = (v * inverse + ROUND_SIGNED).to_bits() as i8;
        }
        scale
    }
}

/// The rounding of a row: a byte b stands for (b - zero) * scale.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    scale: f32,
    zero: i32,
}

/// Writes a row as bytes. 0 is exact, and the smallest and the largest value become 0 and 255, or
/// almost.
#[inline(always)]
fn quantised(x: &[f32], bytes: &mut [u8]) -> Row {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (mut low, mut high, mut wrong) = ([0.0_f32; LANES], [0.0_f32; LANES], [0.0_f32; LANES]);
    let mut take = |lane: usize, v: f32| {
        low[lane] = if v < low[lane] { v } else { low[lane] };
        high[lane] = if v > high[lane] { v } else { high[lane] };
        // This is 0, or NaN for a NaN or an infinity, which comparisons do not see.
        wrong[lane] += v * 0.0;
    };
    for block in blocks {
        for (lane, v) in block.iter().enumerate() {
            take(lane, *v);
        }
    }
    rest.iter().for_each(|v| take(0, *v));
    let low = low.into_iter().fold(0.0, f32::min);
    let range = high.into_iter().fold(0.0, f32::max) - low;
    let scale = range / 255.0;
    // Values so small that the scale is not a normal number all become zero.
    let inverse = if scale >= f32::MIN_POSITIVE { 1.0 / scale } else { 0.0 };
    let zero = (-low * inverse).round_ties_even();
    for (byte, v) in bytes.iter_mut().zip(x) {
        let value = v * inverse + zero;
        let value = if value > 0.0 { value } else { 0.0 };
        let value = if value < 255.0 { value } else { 255.0 };
        *byte = (value + ROUND).to_bits() as u8;
    }
    Row { scale: scale + wrong.iter().sum::<f32>(), zero: zero as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns values between -1 and 1, a few of them much larger.
    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|i| next() * if i % 97 == 5 { 20.0 } else { 1.0 }).collect()
    }

    /// A product differs from the one in f64 by no more than half a rounding step of each factor
    /// allows, and a sum that it is added to stays.
    #[test]
    fn products_are_within_their_rounding() {
        for (tokens, input, output) in
            [(1, 1, 1), (2, 3, 65), (7, 130, 64), (13, 384, 200), (6, 8, 1)]
        {
            for rows in [Rows::Outputs, Rows::Inputs] {
                let (x, w) = (values(tokens * input, 1), values(input * output, 2));
                let at = |o: usize, i: usize| match rows {
                    Rows::Outputs => w[o * input + i],
                    Rows::Inputs => w[i * output + o],
                };
                let matrix = Matrix::new([input, output], &w, rows).unwrap();
                let (mut y, mut sum) = (vec![9.0; tokens * output], vec![1.0; tokens * output]);
                product(&matrix, &x, false, &mut y);
                product(&matrix, &x, true, &mut sum);
                for (t, o) in (0..tokens).flat_map(|t| (0..output).map(move |o| (t, o))) {
                    let x = &x[t * input..][..input];
                    let low = x.iter().copied().fold(0.0, f32::min);
                    let step_x = f64::from(x.iter().copied().fold(0.0, f32::max) - low) / 255.0;
                    let column: Vec<_> = (0..input).map(|i| f64::from(at(o, i))).collect();
                    let step_w = column.iter().map(|w| w.abs()).fold(0.0, f64::max) / 127.0;
                    let (mut want, mut bound) = (0.0, 1e-5);
                    for (x, w) in x.iter().map(|x| f64::from(*x)).zip(&column) {
                        want += x * w;
                        // The first term is for x rounded, the second for w rounded, times x as
                        // rounded.
                        bound += 0.51 * step_x * w.abs() + 0.51 * step_w * (x.abs() + step_x);
                    }
                    let error = (f64::from(y[t * output + o]) - want).abs();
                    assert!(
                        error <= bound,
                        "{tokens}x{input}x{output}, {rows:?}: {error} > {bound}"
                    );
                    let added = sum[t * output + o] - y[t * output + o];
                    assert!((added - 1.0).abs() < 1e-5, "{added}");
                }
            }
        }
    }

    /// Values that bytes hold exactly come out exactly. A NaN or an infinity spoils only its own
    /// token.
    #[test]
    fn whole_numbers_are_exact_and_nan_stays_in_its_row() {
        let w = [127.0, -1.0, 3.0, 0.0, 0.0, 0.0];
        let matrix = Matrix::new([3, 2], &w, Rows::Outputs).unwrap();
        let x = [255.0, 0.0, 7.0, 1.0, f32::NAN, 0.0, f32::NEG_INFINITY, 1.0, 1.0, 0.0, 0.0, 0.0];
        let mut y = [0.0; 8];
        product(&matrix, &x, false, &mut y);
        assert_eq!(y[..2], [255.0 * 127.0 + 21.0, 0.0]);
        assert!(y[2..6].iter().all(|v| v.is_nan()), "{y:?}");
        assert_eq!(y[6..], [0.0, 0.0]);
    }

    /// These are values for which a scale would not be a normal number, or the range not even a
    /// number.
    #[test]
    fn the_smallest_values_become_zero_and_the_largest_do_not_pass_unnoticed() {
        let matrix = Matrix::new([2, 1], &[1.0, -0.5], Rows::Outputs).unwrap();
        let mut y = [1.0; 3];
        product(&matrix, &[-1e-38, 5e-39, -1e-44, 1e-45, 3e38, -3e38], false, &mut y);
        assert_eq!(y[..2], [0.0, 0.0]);
        assert!(y[2].is_nan(), "{y:?}");
        let tiny = Matrix::new([2, 1], &[1e-40, -1e-45], Rows::Outputs).unwrap();
        product(&tiny, &[1.0, 2.0], false, &mut y[..1]);
        assert_eq!(y[0], 0.0);
    }

    #[test]
    fn more_inputs_than_sums_hold_are_left_to_f32() {
        assert!(
            Matrix::new([MAX_INPUT + 1, 1], &vec![1.0; MAX_INPUT + 1], Rows::Outputs).is_none()
        );
        let matrix = Matrix::new([MAX_INPUT, 1], &vec![-1.0; MAX_INPUT], Rows::Outputs).unwrap();
        let mut y = [0.0];
        product(&matrix, &vec![1.0; MAX_INPUT], false, &mut y);
        assert!((y[0] + MAX_INPUT as f32).abs() < 1.0, "{y:?}");
    }
}

//! Products of a query and a row. They are plain loops, which the compiler turns into the
//! instructions of each processor.

use half::f16;
use half::slice::HalfFloatSliceExt;
use pulp::Arch;

use crate::precision::in_int8;

/// Partial sums, which do not wait for each other.
const SUMS: usize = 32;
/// The sum of this many products of int8 values is less than 2^31.
const INT8_AT_ONCE: usize = 1 << 16;

/// A value of a row.
pub(crate) trait Value: Copy + Send + Sync {
    /// The type of a query's values, which are converted once for all rows.
    type Query: Copy + Into<f64> + Sync;

    /// Converts a query of length 1, so that no product with a row exceeds the row's length.
    fn query(unit: &[f32]) -> Vec<Self::Query>;

    /// Returns the product. A row is unpacked into `room`.
    fn dot(arch: Arch, query: &[Self::Query], row: &[Self], room: &mut Vec<f32>) -> f64;

    fn length(row: &[Self], room: &mut Vec<f32>) -> f64;
}

impl Value for f32 {
    type Query = f32;

    fn query(unit: &[f32]) -> Vec<f32> {
        unit.to_vec()
    }

    fn dot(arch: Arch, query: &[f32], row: &[f32], _: &mut Vec<f32>) -> f64 {
        floats(arch, query, row)
    }

    fn length(row: &[f32], _: &mut Vec<f32>) -> f64 {
        length(row)
    }
}

impl Value for f16 {
    type Query = f32;

    fn query(unit: &[f32]) -> Vec<f32> {
        unit.to_vec()
    }

    fn dot(arch: Arch, query: &[f32], row: &[f16], room: &mut Vec<f32>) -> f64 {
        floats(arch, query, unpacked(row, room))
    }

    fn length(row: &[f16], room: &mut Vec<f32>) -> f64 {
        length(unpacked(row, room))
    }
}

impl Value for i8 {
    type Query = i8;

    fn query(unit: &[f32]) -> Vec<i8> {
        in_int8(unit).collect()
    }

    fn dot(arch: Arch, query: &[i8], row: &[i8], _: &mut Vec<f32>) -> f64 {
        let parts = query.chunks(INT8_AT_ONCE).zip(row.chunks(INT8_AT_ONCE));
        parts.map(|(a, b)| f64::from(integers(arch, a, b))).sum()
    }

    fn length(row: &[i8], _: &mut Vec<f32>) -> f64 {
        length(row)
    }
}

/// Computes the length in f64, which can hold the square of every f32.
pub(crate) fn length<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    let square = |value: &T| {
        let value: f64 = (*value).into();
        value * value
    };
    values.iter().map(square).sum::<f64>().sqrt()
}

fn unpacked<'r>(row: &[f16], room: &'r mut Vec<f32>) -> &'r [f32] {
    room.resize(row.len(), 0.0);
    row.convert_to_f32_slice(room);
    room
}

fn floats(arch: Arch, a: &[f32], b: &[f32]) -> f64 {
    arch.dispatch(
        #[inline(always)]
        || {
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
            let mut sums = [0_f32; SUMS];
            for (a, b) in a.iter().zip(b) {
                for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                    *sum += a * b;
                }
            }
            let rest = a_rest.iter().zip(b_rest).map(|(a, b)| a * b);
            sums.into_iter().chain(rest).map(f64::from).sum()
        },
    )
}

fn integers(arch: Arch, a: &[i8], b: &[i8]) -> i32 {
    arch.dispatch(
        #[inline(always)]
        || a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum(),
    )
}

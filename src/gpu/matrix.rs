//! Uploads matrices and vectors to the device.

use crate::dtype::{Precision, pad, row_stride};
use crate::error::{F16_WEIGHTS, Result, check_f16};
use crate::gpu::{Buffer, Gpu, WeightFormat};

/// Uploads `values: [rows, width]`, each row padded with zeros. If `lanes` is given, f16 rows are
/// ordered for them (see [`order`]).
pub(crate) async fn upload_matrix(
    gpu: &Gpu,
    label: &str,
    values: &[f32],
    width: usize,
    format: WeightFormat,
    lanes: Option<u32>,
) -> Result<Buffer> {
    let (rows, stride, stored) = (values.len() / width, row_stride(width), format.precision());
    let row = |row: usize| &values[row * width..][..width];
    if stored == Precision::F16 {
        check_f16(label, values, F16_WEIGHTS)?;
    }
    let order = match (stored, lanes) {
        (Precision::F16, Some(lanes)) => order(stride, lanes as usize).collect(),
        _ => Vec::new(),
    };
    let pack = |index: usize, bytes: &mut Vec<u8>| {
        if order.is_empty() {
            return pad(row(index), stride, stored, bytes);
        }
        let value = |place: &usize| row(index).get(*place).copied().unwrap_or(0.0);
        bytes.extend(order.iter().flat_map(|p| half::f16::from_f32(value(p)).to_le_bytes()));
    };
    gpu.upload_rows(label, rows, stride * stored.bytes(), pack).await
}

/// The number of values along a side of a block.
const BLOCK: usize = 16;

/// Uploads `values: [rows, width]` in f16, in blocks of 16 x 16 values that lie one after another, one
/// row of blocks after another. Zeros pad both dimensions to whole blocks.
pub(crate) async fn upload_blocks(
    gpu: &Gpu,
    label: &str,
    values: &[f32],
    width: usize,
) -> Result<Buffer> {
    check_f16(label, values, F16_WEIGHTS)?;
    let rows = values.len() / width;
    let across = width.div_ceil(BLOCK);
    let pack = |strip: usize, bytes: &mut Vec<u8>| {
        for (row, column) in places(strip, width) {
            let inside = row < rows && column < width;
            let value = if inside { values[row * width + column] } else { 0.0 };
            bytes.extend(half::f16::from_f32(value).to_le_bytes());
        }
    };
    let strip_bytes = across * BLOCK * BLOCK * Precision::F16.bytes();
    gpu.upload_rows(label, rows.div_ceil(BLOCK), strip_bytes, pack).await
}

/// Returns the row and the column of each value of a row of blocks, in the order that they are stored
/// in (`shaders/dense_blocked.wgsl`).
fn places(strip: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..width.div_ceil(BLOCK)).flat_map(move |block| {
        (0..BLOCK * BLOCK).map(move |at| (strip * BLOCK + at / BLOCK, block * BLOCK + at % BLOCK))
    })
}

/// Uploads one row in f32.
pub(crate) async fn upload_vector(gpu: &Gpu, label: &str, values: &[f32]) -> Result<Buffer> {
    upload_matrix(gpu, label, values, values.len(), WeightFormat::F32, None).await
}

/// Returns a row as it was before [`upload_matrix`], without its padding.
pub(crate) fn unpacked(
    bytes: &[u8],
    width: usize,
    format: WeightFormat,
    lanes: Option<u32>,
) -> Vec<f32> {
    let stride = row_stride(width);
    let stored = crate::dtype::unpadded(bytes, stride, stride, format.precision());
    let mut row = vec![0.0; stride];
    match (format.precision(), lanes) {
        (Precision::F16, Some(lanes)) => {
            stored.iter().zip(order(stride, lanes as usize)).for_each(|(v, place)| row[place] = *v);
        }
        _ => row = stored,
    }
    row.truncate(width);
    row
}

/// Returns which value of a row stands at each place of its f16 form (`vec4s_of` in
/// shaders/parts/values8.wgsl). The row is cut into blocks of 2 * `lanes` vec4; the last one may be
/// shorter. In each block, vec4 v of the first half is followed by vec4 v of the second half.
fn order(stride: usize, lanes: usize) -> impl Iterator<Item = usize> {
    let block = 8 * lanes;
    (0..stride).step_by(block).flat_map(move |first| {
        let half = block.min(stride - first) / 2;
        (0..half).step_by(4).flat_map(move |v| {
            let start = first + v;
            (start..start + 4).chain(start + half..start + half + 4)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_one_after_another_each_row_by_row() {
        let places: Vec<_> = places(1, 20).collect();
        assert_eq!(places.len(), 2 * 256);
        assert_eq!(places[..2], [(16, 0), (16, 1)]);
        assert_eq!(places[16..18], [(17, 0), (17, 1)]);
        assert_eq!(places[256..258], [(16, 16), (16, 17)]);
        assert_eq!(places[511], (31, 31));
    }

    #[test]
    fn f16_rows_are_ordered_by_blocks_of_lanes() {
        let order: Vec<_> = order(24, 2).collect();
        let vec4s: Vec<_> = order.iter().step_by(4).map(|value| value / 4).collect();
        assert_eq!(vec4s, [0, 2, 1, 3, 4, 5]);
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..24).collect::<Vec<_>>());
    }
}

//! The rows of a layer's matrices, padded and ordered as the kernels read them.

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Precision, WeightFormat};

/// A matrix on its way to the device.
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) format: WeightFormat,
    /// Lanes that share a row, where their units lie in blocks; none where a unit's values lie side by side.
    pub(crate) lanes: Option<usize>,
}

impl Rows<'_> {
    /// Uploads `rows` rows of `width`, each padded with zeros to `stride` values.
    pub(crate) async fn upload(
        self,
        gpu: &Gpu,
        label: &str,
        rows: usize,
        width: usize,
        stride: usize,
    ) -> Result<Buffer> {
        let row = |row: usize| &self.values[row * width..][..width];
        match self.format.precision() {
            Precision::F32 => {
                let pack = |index: usize, bytes: &mut Vec<u8>| {
                    let end = bytes.len() + stride * 4;
                    bytes.extend(row(index).iter().flat_map(|v| v.to_le_bytes()));
                    bytes.resize(end, 0);
                };
                gpu.upload_rows(label, rows, stride * 4, pack).await
            }
            Precision::F16 => {
                let order = order(stride, self.lanes);
                let pack = |index: usize, bytes: &mut Vec<u8>| {
                    let row = row(index);
                    bytes.extend(order.iter().flat_map(|place| {
                        let value = row.get(*place).copied().unwrap_or(0.0);
                        half::f16::from_f32(value).to_le_bytes()
                    }));
                };
                gpu.upload_rows(label, rows, stride * 2, pack).await
            }
        }
    }
}

/// A row as it was uploaded, without its padding: the inverse of [`Rows::upload`].
pub(crate) fn unpacked(
    bytes: &[u8],
    width: usize,
    stride: usize,
    format: WeightFormat,
    lanes: Option<usize>,
) -> Vec<f32> {
    match format.precision() {
        Precision::F32 => {
            let values = bytes.as_chunks::<4>().0.iter();
            values.take(width).map(|v| f32::from_le_bytes(*v)).collect()
        }
        Precision::F16 => {
            let mut row = vec![0.0; stride];
            for (value, place) in bytes.as_chunks::<2>().0.iter().zip(order(stride, lanes)) {
                row[place] = half::f16::from_le_bytes(*value).to_f32();
            }
            row.truncate(width);
            row
        }
    }
}

/// Which value stands at each place of a row in f16.
fn order(stride: usize, lanes: Option<usize>) -> Vec<usize> {
    match lanes {
        Some(lanes) => f16_order(stride, lanes).collect(),
        None => (0..stride).collect(),
    }
}

/// Which value of a row stands at each place of its f16 form (`vec4s_of` in shaders/parts/values8.wgsl): in every block of 2 * `lanes` vec4,
/// or what is left at the row's end, vec4 v of the first half is followed by vec4 v of the second.
fn f16_order(stride: usize, lanes: usize) -> impl Iterator<Item = usize> {
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
    fn f16_rows_are_ordered_by_blocks_of_lanes() {
        let order: Vec<_> = f16_order(24, 2).collect();
        let vec4s: Vec<_> = order.iter().step_by(4).map(|value| value / 4).collect();
        assert_eq!(vec4s, [0, 2, 1, 3, 4, 5]);
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..24).collect::<Vec<_>>());
    }
}

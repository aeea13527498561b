//! The types in which values are stored.

use serde::{Deserialize, Serialize};

/// The precision in which values are stored. Sums are f32 in every precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// f16.
    F16,
}

impl Precision {
    /// Returns the bytes of one value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// The type of a slot's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    /// An activation, f32.
    F32,
    /// An activation, f16.
    F16,
    /// A node of a tree.
    U32,
}

impl From<Precision> for Dtype {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::F16 => Self::F16,
        }
    }
}

/// Returns the values from one row to the next on a device. Rows are padded to a multiple of 8
/// values (32 bytes of f32), so that rows of any width are read in whole units.
pub(crate) fn row_stride(width: usize) -> usize {
    width.next_multiple_of(8)
}

/// Returns the values of rows of `width` that lie `stride` apart, without their padding.
pub(crate) fn unpadded(bytes: &[u8], width: usize, stride: usize, stored: Precision) -> Vec<f32> {
    let size = stored.bytes();
    let rows = bytes.chunks_exact(stride * size).map(|row| &row[..width * size]);
    match stored {
        Precision::F32 => {
            let values = rows.flat_map(|row| row.as_chunks::<4>().0);
            values.map(|v| f32::from_le_bytes(*v)).collect()
        }
        Precision::F16 => {
            let values = rows.flat_map(|row| row.as_chunks::<2>().0);
            values.map(|v| half::f16::from_le_bytes(*v).to_f32()).collect()
        }
    }
}

/// Appends a row as a device stores it, padded with zeros to `stride` values.
pub(crate) fn pad(row: &[f32], stride: usize, stored: Precision, bytes: &mut Vec<u8>) {
    let end = bytes.len() + stride * stored.bytes();
    match stored {
        Precision::F32 => bytes.extend_from_slice(bytemuck::cast_slice(row)),
        Precision::F16 => {
            bytes.extend(row.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()));
        }
    }
    bytes.resize(end, 0);
}

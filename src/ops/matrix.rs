//! Matrices and vectors on their way to the device.

use crate::error::{F16_WEIGHTS, Result, check_f16};
use crate::gpu::{Buffer, Gpu, Precision, WeightFormat, row_stride};

/// Bytes of a row on the device.
pub(crate) fn row_bytes(width: usize, format: WeightFormat) -> usize {
    match format.precision() {
        Precision::F32 => row_stride(width) * 4,
        Precision::F16 => row_stride(width) * 2,
    }
}

/// Uploads `values: [rows, width]`, each row padded with zeros, in f32 or f16, values in their order.
pub(crate) async fn upload(
    gpu: &Gpu,
    label: &str,
    values: &[f32],
    width: usize,
    format: WeightFormat,
) -> Result<Buffer> {
    let (rows, stride) = (values.len() / width, row_stride(width));
    let row = |row: usize| &values[row * width..][..width];
    match format.precision() {
        Precision::F32 => {
            let pack = |index: usize, bytes: &mut Vec<u8>| {
                let end = bytes.len() + stride * 4;
                bytes.extend(row(index).iter().flat_map(|v| v.to_le_bytes()));
                bytes.resize(end, 0);
            };
            gpu.upload_rows(label, rows, stride * 4, pack).await
        }
        Precision::F16 => {
            check_f16(label, values, F16_WEIGHTS)?;
            let pack = |index: usize, bytes: &mut Vec<u8>| {
                let end = bytes.len() + stride * 2;
                let halves = row(index).iter().map(|v| half::f16::from_f32(*v).to_le_bytes());
                bytes.extend(halves.flatten());
                bytes.resize(end, 0);
            };
            gpu.upload_rows(label, rows, stride * 2, pack).await
        }
    }
}

/// Uploads one row in f32.
pub(crate) async fn upload_vector(gpu: &Gpu, label: &str, values: &[f32]) -> Result<Buffer> {
    upload(gpu, label, values, values.len(), WeightFormat::F32).await
}

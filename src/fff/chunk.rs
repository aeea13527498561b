//! Tokens on their way from host slices through a layer and back, so many at once.

use crate::error::Result;
use crate::fff::{FffLayer, FffShape, Forward};
use crate::gpu::{Buffer, Gpu, Precision, Readback};

/// The buffers through which [`FffLayer::run`] sends its tokens.
pub(crate) struct Chunk {
    row_bytes: [u64; 3],
    x: Buffer,
    y: (Buffer, Readback),
    path: Option<(Buffer, Readback)>,
}

impl Chunk {
    /// Buffers for so many tokens, whose rows of x, y and path take so many bytes.
    pub(crate) async fn new(
        gpu: &Gpu,
        row_bytes: [u64; 3],
        tokens: u64,
        want_path: bool,
    ) -> Result<Self> {
        let [x_bytes, y_bytes, path_bytes] = row_bytes.map(|row| row * tokens);
        let input = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        Ok(Self {
            row_bytes,
            x: gpu.buffer("x", x_bytes, input).await?,
            y: output(gpu, "y", y_bytes).await?,
            path: if want_path { Some(output(gpu, "path", path_bytes).await?) } else { None },
        })
    }

    /// Computes tokens that fit, and appends what comes out.
    pub(crate) async fn run(
        &self,
        layer: &FffLayer,
        x: &[f32],
        result: &mut Forward,
    ) -> Result<()> {
        let (gpu, shape) = (layer.gpu(), layer.shape());
        let tokens = (x.len() / shape.input()) as u64;
        let [x_bytes, y_bytes, path_bytes] = self.row_bytes.map(|row| row * tokens);
        let stored = layer.activations();
        let rows;
        let x: &[u8] = if shape.input() == shape.input_stride() && stored.x == Precision::F32 {
            bytemuck::cast_slice(x)
        } else {
            rows = padded(x, shape, stored.x);
            &rows
        };
        gpu.scoped("running an FFF layer", || {
            gpu.queue().write_buffer(&self.x, 0, x);
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            let path = self.path.as_ref().map(|(buffer, _)| buffer.slice(..path_bytes));
            let (x, y) = (self.x.slice(..x_bytes), self.y.0.slice(..y_bytes));
            layer.record(&mut pass, x, y, path)?;
            drop(pass);
            self.y.1.record(&mut encoder, &self.y.0, y_bytes);
            if let Some((buffer, readback)) = &self.path {
                readback.record(&mut encoder, buffer, path_bytes);
            }
            gpu.queue().submit([encoder.finish()]);
            Ok(())
        })
        .await??;
        self.y
            .1
            .read(gpu, y_bytes, |bytes| {
                let size = bytes_of(stored.y) as usize;
                for row in bytes.chunks_exact(shape.output_stride() * size) {
                    let row = &row[..shape.output() * size];
                    match stored.y {
                        Precision::F32 => {
                            let values = row.as_chunks::<4>().0.iter();
                            result.y.extend(values.map(|v| f32::from_le_bytes(*v)));
                        }
                        Precision::F16 => {
                            let values = row.as_chunks::<2>().0.iter();
                            result.y.extend(values.map(|v| half::f16::from_le_bytes(*v).to_f32()));
                        }
                    }
                }
            })
            .await?;
        if let Some((_, readback)) = &self.path {
            readback
                .read(gpu, path_bytes, |bytes| {
                    let nodes = bytes.as_chunks::<4>().0.iter();
                    result.path.extend(nodes.map(|v| u32::from_le_bytes(*v)));
                })
                .await?;
        }
        Ok(())
    }
}

pub(crate) fn bytes_of(precision: Precision) -> u64 {
    match precision {
        Precision::F32 => 4,
        Precision::F16 => 2,
    }
}

/// Rows of x as the device stores them, padded with zeros.
fn padded(x: &[f32], shape: FffShape, stored: Precision) -> Vec<u8> {
    let size = bytes_of(stored) as usize;
    let mut rows = Vec::with_capacity(x.len() / shape.input() * shape.input_stride() * size);
    for row in x.chunks_exact(shape.input()) {
        let end = rows.len() + shape.input_stride() * size;
        match stored {
            Precision::F32 => rows.extend_from_slice(bytemuck::cast_slice(row)),
            Precision::F16 => {
                rows.extend(row.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()));
            }
        }
        rows.resize(end, 0);
    }
    rows
}

async fn output(gpu: &Gpu, label: &str, bytes: u64) -> Result<(Buffer, Readback)> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    Ok((gpu.buffer(label, bytes, usage).await?, Readback::new(gpu, label, bytes).await?))
}

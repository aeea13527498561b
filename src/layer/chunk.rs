//! Sends tokens from host slices through a layer and back, in chunks.

use crate::dtype::{Precision, pad, unpadded};
use crate::error::Result;
use crate::fff::Forward;
use crate::gpu::{Buffer, Gpu, Readback};
use crate::layer::FffLayer;

/// The buffers through which [`FffLayer::run`] sends its tokens.
pub(crate) struct Chunk {
    row_bytes: [u64; 3],
    x: Buffer,
    y: (Buffer, Readback),
    path: Option<(Buffer, Readback)>,
}

impl Chunk {
    /// Creates buffers for this many tokens. `row_bytes` are the bytes of a token's row of x, y and
    /// path.
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

    /// Computes tokens that fit into the buffers, and appends the results.
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
            let mut padded = Vec::new();
            for row in x.chunks_exact(shape.input()) {
                pad(row, shape.input_stride(), stored.x, &mut padded);
            }
            rows = padded;
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
                let y = unpadded(bytes, shape.output(), shape.output_stride(), stored.y);
                result.y.extend(y);
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

async fn output(gpu: &Gpu, label: &str, bytes: u64) -> Result<(Buffer, Readback)> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    Ok((gpu.buffer(label, bytes, usage).await?, Readback::new(gpu, label, bytes).await?))
}

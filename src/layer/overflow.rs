//! Which token and node of a layer on a device overflowed.

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::{Forward, LARGEST_F16, overflow};
use crate::gpu::{Readback, unpacked};
use crate::layer::FffLayer;
use crate::layer::chunk::Chunk;
use crate::layer::upload::lanes_of;

impl FffLayer {
    /// The error of a token whose y is not finite. The token runs once more, for its path; then the rows that it engaged are read back.
    pub(crate) async fn overflow(&self, token: usize, x: &[f32]) -> Result<Error> {
        let (gpu, shape, format) = (self.gpu(), self.shape(), self.variant().weights);
        let [linear_in, bias, linear_out] = &self.uploaded.weights[..] else {
            return Ok(Error::shape("this layer", "three buffers of weights", "others"));
        };
        let mut run = Forward::default();
        Chunk::new(gpu, self.row_bytes(), 1, true).await?.run(self, x, &mut run).await?;
        let stored = format.precision().bytes() as u64;
        let sides = shape.form().sides();
        let (in_bytes, out_bytes) =
            (shape.input_stride() as u64 * stored, (sides * shape.output_stride()) as u64 * stored);
        let row_bytes = in_bytes + out_bytes + 4;
        let bytes = row_bytes * run.path.len() as u64;
        let readback = Readback::new(gpu, "rows that overflow", bytes).await?;
        gpu.scoped("reading rows back", || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut end = 0;
            for (place, node) in (0..).zip(&run.path) {
                let row =
                    (place / shape.levels() * shape.nodes_per_tree()) as u64 + u64::from(*node);
                for (from, size) in [(linear_in, in_bytes), (linear_out, out_bytes), (bias, 4)] {
                    readback.record_part(&mut encoder, from, row * size, end, size);
                    end += size;
                }
            }
            gpu.queue().submit([encoder.finish()]);
        })
        .await?;
        // As the rows were uploaded: in blocks of lanes beside f32 activations.
        let lanes = |stored| lanes_of(self.uploaded.lanes, stored);
        let stored = self.activations();
        let (in_width, out_width) = (shape.input(), shape.output());
        let nodes: Vec<_> = readback
            .read(gpu, bytes, |bytes| {
                let rows = bytes.chunks_exact(row_bytes as usize);
                let node = |row: &[u8]| {
                    let (w_in, rest) = row.split_at(in_bytes as usize);
                    let (w_out, bias) = rest.split_at(out_bytes as usize);
                    let bias = bias.first_chunk().map_or(0.0, |bias| f32::from_le_bytes(*bias));
                    let w_in = unpacked(w_in, in_width, format, lanes(stored.x));
                    let rows = w_out.chunks_exact(w_out.len() / sides);
                    let row = |row| unpacked(row, out_width, format, lanes(stored.y));
                    let w_out: Vec<f32> = rows.flat_map(row).collect();
                    (w_in, bias, w_out)
                };
                rows.map(node).collect()
            })
            .await?;
        let nodes = nodes.iter().map(|(w_in, bias, w_out)| (&w_in[..], *bias, &w_out[..]));
        let largest_y = (stored.y == Precision::F16).then_some(LARGEST_F16);
        Ok(overflow(shape, token, x, &run.path, nodes, largest_y))
    }
}

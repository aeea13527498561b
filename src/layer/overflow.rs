//! Finds the token and the node at which a layer on a device overflowed.

use crate::dtype::{Precision, unpadded};
use crate::error::{Error, Result};
use crate::fff::{Forward, Stored, overflow};
use crate::gpu::{Readback, unpacked};
use crate::kernels::Biases;
use crate::layer::FffLayer;
use crate::layer::chunk::Chunk;
use crate::layer::upload::lanes_of;

impl FffLayer {
    /// Returns the error of a token whose y is not finite. The token runs once more, for its path;
    /// then the rows that it engaged are read back.
    pub(crate) async fn overflow(&self, token: usize, x: &[f32]) -> Result<Error> {
        let (gpu, shape, format) = (self.gpu(), self.shape(), self.variant().weights);
        let [linear_in, bias, linear_out] = &self.uploaded.weights[..] else {
            return Ok(Error::shape("this layer", "three buffers of weights", "others"));
        };
        let mut run = Forward::default();
        Chunk::new(gpu, self.row_bytes(), 1, true).await?.run(self, x, &mut run).await?;
        let rows = shape.rows_of(&run.path);
        let stored = format.precision().bytes() as u64;
        let (in_bytes, out_bytes) =
            (shape.input_stride() as u64 * stored, shape.output_stride() as u64 * stored);
        let out_rows = rows.iter().map(|(.., out)| out.len() as u64).sum::<u64>();
        let of_rows = (in_bytes + 4) * rows.len() as u64 + out_bytes * out_rows;
        let leaf = shape.leaf_form().and(run.path.last());
        let leaf = leaf.and_then(|place| (*place as usize).checked_sub(shape.nodes()));
        let output_bias = 4 * shape.output() as u64;
        let bytes = of_rows + leaf.map_or(0, |_| output_bias);
        let readback = Readback::new(gpu, "rows that overflow", bytes).await?;
        let biases = Biases(shape);
        gpu.scoped("reading rows back", || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let mut end = 0;
            for (_, row, out) in &rows {
                let out_start = out.start as u64 * out_bytes;
                for (from, start, size) in [
                    (linear_in, *row as u64 * in_bytes, in_bytes),
                    (bias, biases.of_row(*row) as u64 * 4, 4),
                    (linear_out, out_start, out.len() as u64 * out_bytes),
                ] {
                    // Nodes that only route have no output rows.
                    if size > 0 {
                        readback.record_part(&mut encoder, from, start, end, size);
                        end += size;
                    }
                }
            }
            if let Some(leaf) = leaf {
                let start = 4 * (biases.first_output() + leaf * shape.output_stride()) as u64;
                readback.record_part(&mut encoder, bias, start, end, output_bias);
            }
            gpu.queue().submit([encoder.finish()]);
        })
        .await?;
        // Rows were uploaded in blocks of lanes for f32 activations.
        let lanes = |stored| lanes_of(shape, self.uploaded.lanes, stored);
        let stored = self.activations();
        let (in_width, out_width) = (shape.input(), shape.output());
        let (read, output_bias) = readback
            .read(gpu, bytes, |mut bytes| {
                let row = |(place, _, out): &(usize, usize, std::ops::Range<usize>)| {
                    let (w_in, rest) = bytes.split_at(in_bytes as usize);
                    let (bias, rest) = rest.split_at(4);
                    let (w_out, rest) = rest.split_at(out.len() * out_bytes as usize);
                    bytes = rest;
                    let bias = bias.first_chunk().map_or(0.0, |bias| f32::from_le_bytes(*bias));
                    let w_in = unpacked(w_in, in_width, format, lanes(stored.x));
                    let row = |row| unpacked(row, out_width, format, lanes(stored.y));
                    let w_out = w_out.chunks_exact(out_bytes as usize).flat_map(row).collect();
                    (*place, w_in, bias, w_out)
                };
                let rows = rows.iter().map(row).collect::<Vec<(usize, Vec<f32>, f32, Vec<f32>)>>();
                (rows, unpadded(bytes, out_width, out_width, Precision::F32))
            })
            .await?;
        let read =
            read.iter().map(|(place, w_in, bias, w_out)| (*place, &w_in[..], *bias, &w_out[..]));
        let neurons = self.neurons_in_between();
        let kept = Stored { neurons, y: stored.y };
        Ok(overflow(shape, token, x, &run.path, read, Some(&output_bias), kept))
    }
}

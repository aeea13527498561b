//! The device options that a layer needs.

use crate::dtype::Precision;
use crate::fff::FffShape;
use crate::gpu::GpuOptions;
use crate::kernels::Biases;

impl GpuOptions {
    /// Asks for what a layer of this shape needs: [`GpuOptions::largest_buffer`] will hold its
    /// larger matrix and its biases.
    pub fn for_layer(self, shape: FffShape, precision: Precision) -> Self {
        let rows = shape.input_rows() * shape.input_stride();
        let values = rows.max(shape.output_rows() * shape.output_stride()) as u64;
        let biases = Biases(shape).values() as u64;
        self.largest_buffer((values * precision.bytes() as u64).max(4 * biases))
    }
}

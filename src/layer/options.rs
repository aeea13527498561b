//! What a layer needs of a device.

use crate::dtype::Precision;
use crate::fff::FffShape;
use crate::gpu::GpuOptions;

impl GpuOptions {
    /// Asks for what a layer of this shape needs: [`GpuOptions::largest_buffer`] holds its larger matrix.
    pub fn for_layer(self, shape: FffShape, precision: Precision) -> Self {
        let rows = shape.nodes() * shape.input_stride();
        let values = rows.max(shape.output_rows() * shape.output_stride());
        self.largest_buffer((values * precision.bytes()) as u64)
    }
}

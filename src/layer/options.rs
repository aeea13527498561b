//! What a layer needs of a device.

use crate::dtype::Precision;
use crate::fff::FffShape;
use crate::gpu::GpuOptions;

impl GpuOptions {
    /// Asks for what a layer of this shape needs: [`GpuOptions::largest_buffer`] holds its larger matrix.
    pub fn for_layer(self, shape: FffShape, precision: Precision) -> Self {
        let row = shape.input_stride().max(shape.output_stride());
        let bytes = (shape.nodes() * row * precision.bytes()) as u64;
        self.largest_buffer(bytes)
    }
}

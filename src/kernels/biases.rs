//! Where the buffer of an FFF layer's biases has what.

use crate::dtype::row_stride;
use crate::fff::{FffShape, FffWeights};

/// The layout of a layer's biases. In the leaf form: of each leaf those of its neurons, padded to whole units; then the nodes'; then each leaf's output
/// bias, padded so, too. Else the nodes' alone.
pub(crate) struct Biases(pub(crate) FffShape);

impl Biases {
    /// Where that of the first node is.
    pub(crate) fn first_node(&self) -> usize {
        self.0.leaf_form().map_or(0, |leaf| self.0.leaves() * row_stride(leaf.width))
    }

    /// Where the output bias of the first leaf is.
    pub(crate) fn first_output(&self) -> usize {
        self.first_node() + row_stride(self.0.nodes())
    }

    /// Where that of a row of `linear_in` is.
    pub(crate) fn of_row(&self, row: usize) -> usize {
        match (self.0.leaf_form(), row.checked_sub(self.0.nodes())) {
            (Some(leaf), Some(neuron)) => {
                neuron / leaf.width * row_stride(leaf.width) + neuron % leaf.width
            }
            _ => self.first_node() + row,
        }
    }

    /// How many values there are.
    pub(crate) fn values(&self) -> usize {
        match self.0.leaf_form() {
            Some(_) => self.first_output() + self.0.leaves() * self.0.output_stride(),
            None => self.0.nodes(),
        }
    }

    /// The biases of a layer, laid out. Leaves without an output bias have zeros, so that no kernel need know.
    pub(crate) fn laid_out(&self, weights: &FffWeights) -> Vec<f32> {
        let (output, stride) = (self.0.output(), self.0.output_stride());
        let mut values = vec![0.0; self.values()];
        for (row, bias) in weights.bias().iter().enumerate() {
            values[self.of_row(row)] = *bias;
        }
        for (row, bias) in weights.output_bias().chunks_exact(output).enumerate() {
            values[self.first_output() + row * stride..][..output].copy_from_slice(bias);
        }
        values
    }
}

//! The layout of the buffer that holds an FFF layer's biases.

use crate::dtype::row_stride;
use crate::fff::{FffShape, FffWeights};

/// The layout of a layer's biases. In the leaf form these are the biases of each leaf's neurons,
/// padded to whole units; then those of the nodes; then the output bias of each leaf, also padded.
/// In the other forms these are the biases of the nodes alone.
pub(crate) struct Biases(pub(crate) FffShape);

impl Biases {
    /// Returns the place of the first node's bias.
    pub(crate) fn first_node(&self) -> usize {
        self.0.leaf_form().map_or(0, |leaf| self.0.leaves() * row_stride(leaf.width))
    }

    /// Returns the place of the first leaf's output bias.
    pub(crate) fn first_output(&self) -> usize {
        self.first_node() + row_stride(self.0.nodes())
    }

    /// Returns the place of the bias of a row of `linear_in`.
    pub(crate) fn of_row(&self, row: usize) -> usize {
        match (self.0.leaf_form(), row.checked_sub(self.0.nodes())) {
            (Some(leaf), Some(neuron)) => {
                neuron / leaf.width * row_stride(leaf.width) + neuron % leaf.width
            }
            _ => self.first_node() + row,
        }
    }

    /// Returns the number of values.
    pub(crate) fn values(&self) -> usize {
        match self.0.leaf_form() {
            Some(_) => self.first_output() + self.0.leaves() * self.0.output_stride(),
            None => self.0.nodes(),
        }
    }

    /// Lays out the biases of a layer. Leaves without an output bias get zeros, so that kernels
    /// need not know the difference.
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

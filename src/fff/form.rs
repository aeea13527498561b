//! The forms of an FFF layer: what the nodes and the leaf on a token's path add to its output.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The form of a layer: what a token engages on its way through a tree. z is a neuron's logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FffForm {
    /// Every node is a neuron: `GELU(z) * w_out[node]` (arXiv 2311.10770, algorithm 1). A token
    /// goes right iff z > 0.
    #[default]
    Published,
    /// Every node is a neuron: `GELU(|z|) * w_out[node, z > 0]`. The decision also chooses the
    /// output row, so that a token that goes left adds something too. Each node has two output
    /// rows; the first is the one for z <= 0. A token engages as many rows as in the published
    /// form.
    Signed,
    /// Nodes only route, and each leaf is a small dense layer with biases (arXiv 2308.14711):
    /// `w2[leaf] * act(w1[leaf] * x + b1[leaf]) + b2[leaf]`. A token goes right iff z >= 0, as the
    /// code of that paper evaluates it.
    Leaf(LeafForm),
}

/// The leaves of the leaf form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LeafForm {
    /// Neurons of a leaf.
    pub width: usize,
    /// The activation function of a neuron.
    #[serde(default)]
    pub activation: LeafActivation,
    /// Whether b2 is left out. The package `fastfeedforward` leaves it out in evaluation, but not
    /// in training.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_output_bias: bool,
}

/// The activation function of a leaf's neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeafActivation {
    /// z * Phi(z), the exact GELU.
    #[default]
    #[serde(alias = "gelu_erf")]
    Gelu,
    /// max(z, 0): the default of the package `fastfeedforward`.
    Relu,
}

impl FffForm {
    /// Returns the number of output rows of a neuron.
    pub fn sides(self) -> usize {
        match self {
            Self::Published | Self::Leaf(_) => 1,
            Self::Signed => 2,
        }
    }

    /// Returns whether a token goes right at a node with this logit. A NaN goes left.
    pub fn goes_right<Z: PartialOrd + Default>(self, z: Z) -> bool {
        match self {
            Self::Published | Self::Signed => z > Z::default(),
            Self::Leaf(_) => z >= Z::default(),
        }
    }

    /// Returns whether this is the published form, which files do not mention.
    pub(crate) fn is_published(&self) -> bool {
        *self == Self::Published
    }

    /// Describes a layer of `trees` trees of this depth: "1x11", "signed 1x11", "leaf 7x32".
    pub fn label(self, trees: usize, depth: usize) -> String {
        match self {
            Self::Published => format!("{trees}x{depth}"),
            Self::Signed => format!("signed {trees}x{depth}"),
            Self::Leaf(leaf) => {
                let relu = if leaf.activation == LeafActivation::Relu { " ReLU" } else { "" };
                let bias = if leaf.without_output_bias { " without b2" } else { "" };
                format!("leaf {depth}x{}{relu}{bias}", leaf.width)
            }
        }
    }
}

impl std::str::FromStr for LeafActivation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "gelu" => Ok(Self::Gelu),
            "relu" => Ok(Self::Relu),
            _ => Err(Error::input("activation of a leaf", "gelu or relu", text)),
        }
    }
}

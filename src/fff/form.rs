//! The forms of an FFF layer: what a token gets from the nodes and the leaf that it comes to.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What a token engages on its way through a tree, z being a neuron's logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FffForm {
    /// Every node is a neuron: `GELU(z) * w_out[node]` (arXiv 2311.10770, algorithm 1). Right iff z > 0.
    #[default]
    Published,
    /// `GELU(|z|) * w_out[node, z > 0]`: the decision chooses the output row too, so that a token that goes left adds something. Each node has
    /// two output rows, that for z <= 0 first; a token engages as many rows as in the published form.
    Signed,
    /// Nodes only route, and each leaf is a small dense layer with biases (arXiv 2308.14711): `w2[leaf] * act(w1[leaf] * x + b1[leaf]) + b2[leaf]`.
    /// Right iff z >= 0, as that paper's code evaluates it.
    Leaf(LeafForm),
}

/// What a leaf of the leaf form is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LeafForm {
    /// Neurons of a leaf.
    pub width: usize,
    /// What a neuron makes of its logit.
    #[serde(default)]
    pub activation: LeafActivation,
    /// Whether b2 is left out, as the evaluation of the package `fastfeedforward` does, and its training does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_output_bias: bool,
}

/// What a neuron of a leaf makes of its logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeafActivation {
    /// z * Phi(z), exact.
    #[default]
    #[serde(alias = "gelu_erf")]
    Gelu,
    /// max(z, 0): the default of the package `fastfeedforward`.
    Relu,
}

impl FffForm {
    /// Output rows of a neuron.
    pub fn sides(self) -> usize {
        match self {
            Self::Published | Self::Leaf(_) => 1,
            Self::Signed => 2,
        }
    }

    /// Whether a token goes right at a node with this logit: NaN goes left.
    pub fn goes_right<Z: PartialOrd + Default>(self, z: Z) -> bool {
        match self {
            Self::Published | Self::Signed => z > Z::default(),
            Self::Leaf(_) => z >= Z::default(),
        }
    }

    /// Whether it is the published one, which files leave unsaid.
    pub(crate) fn is_published(&self) -> bool {
        *self == Self::Published
    }

    /// A layer of so many trees of this depth in words: "1x11", "signed 1x11", "leaf 7x32".
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

//! The outputs that an encoder can compute, and the result of a forward.

use crate::model::Pooler;

/// The output of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The hidden states of all tokens, `[tokens, hidden]`.
    Hidden,
    /// A row for each sequence, `[sequences, hidden]`.
    Pooled {
        /// The pooling.
        pooler: Pooler,
        /// Whether rows are divided by their Euclidean norm.
        normalized: bool,
    },
    /// Scores of the vocabulary for these tokens, which are rows of the batch:
    /// `[rows, vocabulary]`.
    Tokens(Vec<u32>),
    /// Scores of the classes for each sequence, `[sequences, classes]`.
    Classes,
}

/// The values that a forward reads back in addition to its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tap {
    /// Nothing else.
    #[default]
    None,
    /// The nodes that each token engaged.
    Paths,
    /// Paths, and the results of every stage of every layer, for inspection and tests.
    Stages,
}

/// The result of a forward.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Encoded {
    /// The rows of the output.
    pub values: Vec<f32>,
    /// The width of these rows.
    pub width: usize,
    /// With [`Tap::Stages`]: the name and the values, `[tokens, width]`, of every stage, named as
    /// [`reference::encoder`](crate::reference::encoder) names them.
    pub stages: Vec<(String, Vec<f32>)>,
    /// With a tap: the nodes of each FFF layer, `[tokens, trees, levels]`, as indices within their
    /// tree.
    pub paths: Vec<Vec<u32>>,
}

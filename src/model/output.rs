//! What is asked of an encoder, and what it answers.

use crate::model::Pooler;

/// What a forward returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The hidden states of all tokens, `[tokens, hidden]`.
    Hidden,
    /// A row for each sequence, `[sequences, hidden]`.
    Pooled {
        /// How.
        pooler: Pooler,
        /// Whether rows are divided by their Euclidean norm.
        normalized: bool,
    },
    /// The vocabulary's scores for these tokens, rows of the batch: `[rows, vocabulary]`.
    Tokens(Vec<u32>),
    /// Scores of the classes for each sequence, `[sequences, classes]`.
    Classes,
}

/// What else to read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tap {
    /// Nothing.
    #[default]
    None,
    /// The nodes that each token engaged.
    Paths,
    /// Paths, and what every stage of every layer left: for inspection and tests.
    Stages,
}

/// What a forward computed.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Encoded {
    /// Rows of the output.
    pub values: Vec<f32>,
    /// Width of those rows.
    pub width: usize,
    /// With [`Tap::Stages`]: name and `[tokens, width]` of every stage, named as
    /// [`reference::encoder`](crate::reference::encoder) names them.
    pub stages: Vec<(String, Vec<f32>)>,
    /// With taps: for each FFF layer `[tokens, trees, levels]`, ids within the tree.
    pub paths: Vec<Vec<u32>>,
}

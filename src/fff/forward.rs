//! What a layer computes.

/// What a forward returns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forward {
    /// `[tokens, output]`.
    pub y: Vec<f32>,
    /// Nodes engaged, ids within their tree, `[tokens, trees, levels]`; empty unless asked for.
    pub path: Vec<u32>,
}

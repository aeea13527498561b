//! The result of a layer.

/// The result of a forward.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forward {
    /// The outputs, `[tokens, output]`.
    pub y: Vec<f32>,
    /// The engaged nodes as indices within their tree, `[tokens, trees, levels]`; empty unless they
    /// were asked for.
    pub path: Vec<u32>,
}

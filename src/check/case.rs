//! One thing to check: a layer, inputs, and what is known about the results.

use crate::fff::FffWeights;

/// A layer with inputs.
#[derive(Debug, Clone)]
pub struct Case {
    /// Name, unique within a run.
    pub name: String,
    /// The layer.
    pub weights: FffWeights,
    /// `[tokens, input]`.
    pub x: Vec<f32>,
    /// Whether every logit is exact in f32 in any order of summation, so that no decision may flip, ties included.
    pub exact: bool,
    /// What somebody else's code computed, if that is known.
    pub expected: Option<Expected>,
}

/// Results of another implementation.
#[derive(Debug, Clone)]
pub struct Expected {
    /// `[tokens, output]`.
    pub y: Vec<f32>,
    /// `[tokens, trees, levels]`.
    pub path: Vec<u32>,
    /// Smallest |logit| over a token's decisions, `[tokens]`; infinite where there are none.
    pub margin: Vec<f32>,
}

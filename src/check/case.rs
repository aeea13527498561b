//! A case to check: a layer, its inputs, and what is known about the results.

use crate::fff::FffWeights;

/// A layer with its inputs.
#[derive(Debug, Clone)]
pub struct Case {
    /// The name, unique within a run.
    pub name: String,
    /// The layer.
    pub weights: FffWeights,
    /// The inputs, `[tokens, input]`.
    pub x: Vec<f32>,
    /// Whether every logit is exact in f32 in any order of summation, so that no decision may flip,
    /// not even at a tie.
    pub exact: bool,
    /// The results of another implementation, if they are known.
    pub expected: Option<Expected>,
}

/// Results of another implementation.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The outputs, `[tokens, output]`.
    pub y: Vec<f32>,
    /// The paths, `[tokens, trees, levels]`.
    pub path: Vec<u32>,
    /// The smallest |logit| of a token's decisions, `[tokens]`; infinite where a token decides
    /// nothing.
    pub margin: Vec<f32>,
}

//! The meaning of a classification head's scores.

use crate::model::EncoderConfig;

/// The kind of answer that a head gives, by `problem_type` of its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Not specified: one of several classes. A single output says how much it applies, as
    /// rerankers mean it.
    #[default]
    Unsaid,
    /// One of several classes.
    SingleLabel,
    /// Each class by itself.
    MultiLabel,
    /// Values, which are taken as they are.
    Regression,
}

impl EncoderConfig {
    /// Returns the probabilities for a sequence's scores, `[classes]`. They are the softmax over
    /// the classes, or the sigmoid of each score for a multi-label head or a single output. A
    /// regression's values are returned as they are.
    pub fn probabilities(&self, scores: &[f32]) -> Vec<f64> {
        let alone = |score: &f32| 1.0 / (1.0 + (-f64::from(*score)).exp());
        match (self.problem, scores) {
            (Problem::Regression, _) => scores.iter().copied().map(f64::from).collect(),
            (Problem::MultiLabel, _) | (Problem::Unsaid, [_]) => scores.iter().map(alone).collect(),
            _ => softmax(scores),
        }
    }
}

fn softmax(scores: &[f32]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = scores.iter().map(|s| f64::from(s - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

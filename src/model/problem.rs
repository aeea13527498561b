//! What the scores of a classification head mean.

use crate::model::EncoderConfig;

/// What a head answers, by `problem_type` of its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Not said: one of several classes, or for a single output how much it applies, as rerankers mean it.
    #[default]
    Unsaid,
    /// One of several classes.
    SingleLabel,
    /// Each class by itself.
    MultiLabel,
    /// Values, to be taken as they are.
    Regression,
}

impl EncoderConfig {
    /// Probabilities of a sequence's scores, `[classes]`: softmax over the classes; sigmoid of each for a multi-label head or a single output;
    /// the values themselves for a regression.
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

//! FFF against dense, on the same tokens.

use cmm::bench::{Effort, Row};
use cmm::{FffWeights, Gpu};
use serde::Serialize;

use crate::bench::effort;
use crate::failure::Failure;

#[derive(Serialize)]
pub struct Race {
    width: usize,
    fff: Row,
    dense: Row,
}

pub async fn race(
    gpu: &Gpu,
    weights: &FffWeights,
    x: &[f32],
    neurons: usize,
    software: bool,
) -> Result<Race, Failure> {
    let effort = Effort { samples: 5, row_seconds: 0.5, ..effort(software) };
    let [fff, dense] = cmm::bench::race(gpu, weights, neurons, x, effort).await?;
    Ok(Race { width: weights.shape().input(), fff, dense })
}

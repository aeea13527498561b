//! FFF against dense, on the same tokens.

use cmm::bench::{Effort, Measurement};
use cmm::{Device, FffWeights};
use cmm_web::Failure;
use serde::Serialize;

use crate::bench::effort;

#[derive(Serialize)]
pub struct Race {
    width: usize,
    fff: Measurement,
    dense: Measurement,
}

pub async fn race(
    device: &Device,
    weights: &FffWeights,
    x: &[f32],
    neurons: usize,
    software: bool,
) -> Result<Race, Failure> {
    let effort = Effort { samples: 5, row_seconds: 0.5, ..effort(software) };
    let [fff, dense] = cmm::bench::race(device, weights, neurons, x, effort).await?;
    Ok(Race { width: weights.shape().input(), fff, dense })
}

//! FFF against dense, on the same tokens.

use cmm::bench::{Effort, Measurement};
use cmm::{Device, FffShape, FffWeights};
use cmm_web::Failure;
use serde::Serialize;

use crate::bench::effort;

/// Samples of each lane, at most.
const SAMPLES: usize = 5;
/// Tokens up to which software adapters get the dense kernels for few rows.
const FEW_ON_SOFTWARE: usize = 16;

#[derive(Serialize)]
pub struct Race {
    width: usize,
    fff: Measurement,
    /// Ways to compute the dense layer, the fastest first: that one is the rival.
    dense: Vec<Measurement>,
}

pub async fn race(
    device: &Device,
    weights: &FffWeights,
    x: &[f32],
    neurons: usize,
    software: bool,
    row_seconds: f64,
) -> Result<Race, Failure> {
    let effort = Effort { samples: SAMPLES, row_seconds, ..effort(software) };
    let shape = weights.shape();
    let [fff, dense] = cmm::bench::race(device, weights, neurons, x, effort).await?;
    let mut dense = vec![dense];
    if neurons == shape.engaged() {
        // Kernels for dense layers are made for hundreds of neurons, and waste most of their work on a dozen: trees without a decision are a dense
        // layer too, and the FFF kernel computes them in one dispatch.
        let fixed = FffShape::with_output(shape.input(), shape.output(), neurons, 0)?;
        let fixed = FffWeights::random(fixed, 13);
        dense.extend(cmm::bench::race(device, &fixed, neurons, x, effort).await?);
    }
    let tokens = x.len() / shape.input();
    if software && matches!(device, Device::Gpu(_)) && tokens <= FEW_ON_SOFTWARE {
        // Without subgroups those take twice as long there as tiles do, which compute more tokens: tokens once more fill them up.
        let more = (FEW_ON_SOFTWARE + 1) * shape.input();
        let x: Vec<_> = x.iter().copied().cycle().take(more).collect();
        let [_, tiles] = cmm::bench::race(device, weights, neurons, &x, effort).await?;
        dense.push(tiles);
    }
    // A wrong row is no rival.
    let key = |row: &Measurement| if row.check.passed { row.seconds.median } else { f64::INFINITY };
    dense.sort_by(|a, b| key(a).total_cmp(&key(b)));
    Ok(Race { width: shape.input(), fff, dense })
}

//! An FFF layer against a dense layer on tokens that the caller brings.

#[cfg(feature = "cpu")]
use crate::bench::cpu;
use crate::bench::layers::Bench;
use crate::bench::measure::Stopwatch;
use crate::bench::workload::random_dense;
use crate::bench::{Effort, Measurement, Workload};
use crate::device::Device;
use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::{FffWeights, transposed};
use crate::gpu::Gpu;
use crate::layer::FffLayer;
use crate::model::DenseWeights;

/// Measures an FFF layer and a dense layer of `neurons` neurons in f32 on the same
/// `x: [tokens, input]`, on a GPU or on the host. Both results are checked in the same run.
///
/// If `neurons` is the number of nodes of the published form's trees, the dense layer is the twin
/// of the FFF layer: it has the same weights and engages all of them. Otherwise its weights are
/// random.
///
/// # Errors
/// Returns [`Error::Shape`] if `x` is empty or not a whole number of tokens, and errors of the
/// device.
pub async fn race(
    device: impl Into<Device>,
    weights: &FffWeights,
    neurons: usize,
    x: &[f32],
    effort: Effort,
) -> Result<[Measurement; 2]> {
    let shape = weights.shape();
    let tokens = x.len() / shape.input();
    if tokens == 0 || !x.len().is_multiple_of(shape.input()) {
        let expected = format!("a multiple of the input width {}, not 0", shape.input());
        return Err(Error::shape("length of x", expected, x.len()));
    }
    let workload = Workload {
        name: "race".into(),
        layers: vec![shape],
        neurons,
        tokens: vec![tokens],
        precisions: vec![Precision::F32],
        all_tiles: false,
        encoder: None,
    };
    let dense = if neurons == shape.nodes() && shape.form().is_published() {
        twin(weights)
    } else {
        [random_dense(shape.input(), neurons, 11), random_dense(neurons, shape.output(), 12)]
    };
    match device.into() {
        Device::Gpu(gpu) => on_gpu(&gpu, &workload, weights, &dense, x, effort).await,
        #[cfg(feature = "cpu")]
        Device::Host => {
            let x = [x.to_vec()];
            Ok([cpu::cmm(&workload, weights, &x, effort)?, cpu::dmm(&workload, &dense, &x, effort)])
        }
    }
}

async fn on_gpu(
    gpu: &Gpu,
    workload: &Workload,
    weights: &FffWeights,
    dense: &[DenseWeights; 2],
    x: &[f32],
    effort: Effort,
) -> Result<[Measurement; 2]> {
    let watch = Stopwatch::new(gpu).await?;
    let bench = Bench { gpu, watch: &watch, effort, workload, x: Some(x) };
    let variant = gpu.capabilities().best(Precision::F32)?;
    let mut rows = Vec::new();
    let layer = FffLayer::builder(weights).variant(variant).upload(gpu).await?;
    bench.cmm(weights, &layer, &mut |row| rows.push(row)).await?;
    bench.dmm(dense, variant, &mut |row| rows.push(row)).await?;
    rows.try_into().map_err(|rows: Vec<_>| Error::shape("rows of a race", 2, rows.len()))
}

/// Returns the dense layer that engages every node of an FFF layer.
fn twin(weights: &FffWeights) -> [DenseWeights; 2] {
    let (shape, nodes) = (weights.shape(), weights.shape().nodes());
    let down = transposed(weights.linear_out(), nodes, shape.output());
    [
        DenseWeights {
            input: shape.input(),
            output: nodes,
            weight: weights.linear_in().to_vec(),
            bias: Some(weights.bias().to_vec()),
        },
        DenseWeights { input: nodes, output: shape.output(), weight: down, bias: None },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fff::FffShape;
    use crate::reference::{dense, gelu};

    #[test]
    fn the_twin_engages_every_node_with_the_trees_own_weights() {
        let shape = FffShape::with_output(5, 3, 2, 3).unwrap();
        let weights = FffWeights::random(shape, 4);
        let x = [0.3, -1.0, 0.7, 0.1, 1.2];
        let mut want = vec![0.0; shape.output()];
        for node in 0..shape.nodes() {
            let row = &weights.linear_in()[node * 5..][..5];
            let z: f64 = row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum();
            let activation = gelu(z + f64::from(weights.bias()[node]));
            for (y, value) in want.iter_mut().zip(&weights.linear_out()[node * 3..][..3]) {
                *y += activation * f64::from(*value);
            }
        }
        let [up, down] = twin(&weights);
        let neurons: Vec<_> = dense(&up, &x).into_iter().map(gelu).collect();
        for (want, got) in want.iter().zip(dense(&down, &neurons)) {
            assert!((want - got).abs() < 1e-12, "{want} {got}");
        }
    }
}

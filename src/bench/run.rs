//! Runs workloads on a device, row by row.

use crate::bench::layers::{Bench, dense_twin};
use crate::bench::measure::Stopwatch;
use crate::bench::{Effort, Measurement, Peaks, Report, Workload};
use crate::dtype::Precision;
use crate::error::Result;
use crate::fff::FffWeights;
use crate::gpu::{Gpu, WeightFormat};
use crate::kernels::{Activations, BLOCKED_SHAPES};
use crate::layer::FffLayer;

/// A function that receives the report after every row, so that an interrupted run loses nothing.
pub type Progress<'p> = &'p mut dyn FnMut(&Report);

/// Measures the peaks of a device and stores them in the report.
///
/// # Errors
/// Returns errors of the device.
pub async fn measure_peaks(gpu: &Gpu, effort: Effort, report: &mut Report) -> Result<()> {
    let watch = Stopwatch::new(gpu).await?;
    report.peaks = Some(Peaks::measure(gpu, &watch, effort).await?);
    Ok(())
}

/// Measures a workload on a device and appends its rows to the report. A wrong row is kept and
/// marked.
///
/// # Errors
/// Returns errors of the device, for example [`Error::TooLarge`](crate::Error::TooLarge).
pub async fn run(
    gpu: &Gpu,
    workload: &Workload,
    effort: Effort,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<()> {
    let watch = Stopwatch::new(gpu).await?;
    let bench = Bench { gpu, watch: &watch, effort, workload, x: None };
    let mut emit = |row: Measurement| {
        report.measurements.push(row);
        progress(report);
    };
    if let Some(shape) = workload.encoder {
        return bench.encoders(shape, &mut emit).await;
    }
    for shape in &workload.layers {
        let weights = FffWeights::random(*shape, 1);
        for precision in &workload.precisions {
            let variant = gpu.capabilities().best(*precision)?;
            let rounded;
            let weights = match precision {
                Precision::F32 => &weights,
                Precision::F16 => {
                    rounded = weights.rounded_to_f16()?;
                    &rounded
                }
            };
            let layer = FffLayer::builder(weights).variant(variant).upload(gpu).await?;
            bench.cmm(weights, &layer, &mut emit).await?;
            drop(layer);
            if variant.weights == WeightFormat::Packed {
                let stored = Activations::F16;
                let layer = FffLayer::builder(weights).variant(variant).activations(stored);
                let layer = layer.upload(gpu).await?;
                bench.cmm(weights, &layer, &mut emit).await?;
            }
        }
    }
    if workload.neurons > 0 {
        let twin = dense_twin(workload);
        for precision in &workload.precisions {
            let variant = gpu.capabilities().best(*precision)?;
            bench.dmm(&twin, variant, &mut emit).await?;
        }
        let halves = workload.precisions.contains(&Precision::F16);
        if halves && gpu.capabilities().cooperative {
            bench.dmm_cooperative(&twin, &BLOCKED_SHAPES, &mut emit).await?;
            if workload.all_tiles {
                let most = gpu.capabilities().limits.max_compute_invocations_per_workgroup;
                for shape in BLOCKED_SHAPES.into_iter().filter(|shape| shape.group() <= most) {
                    bench.dmm_cooperative(&twin, &[shape], &mut emit).await?;
                }
            }
        }
    }
    Ok(())
}

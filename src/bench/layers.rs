//! Benchmark rows of FFF layers and of dense layers on a device.

use std::collections::HashSet;

use crate::bench::measure::{Effort, Stopwatch, Times};
use crate::bench::workload::{random_dense, random_tokens};
use crate::bench::{Check, Computation, Measurement, Unit, Workload};
use crate::dtype::Precision;
use crate::dtype::{pad, row_stride, unpadded};
use crate::error::Result;
use crate::executor::{DenseLayout, upload_dense};
use crate::fff::FffWeights;
use crate::gpu::{Buffer, Buffers, Candidate, Gpu, Operation, Readback, Variant, WeightFormat};
use crate::kernels::{BlockedShape, DenseSpec, Schedule, TOKENS};
use crate::layer::FffLayer;
use crate::model::DenseWeights;
use crate::plan::Activation;
use crate::reference;

/// Inputs that the runs of a row cycle through, as long as they are not too large together.
const INPUTS: usize = 4;
const INPUT_BYTES: u64 = 512 << 20;
/// Multiplications that the reference of a row may cost. Only some tokens of a large batch are
/// compared.
const REFERENCE_WORK: usize = 400_000_000;
/// The limit on |got - want| / max(1, max|want|) of a dense row: an f32 sum of some thousand
/// products, in any order.
pub(crate) const DENSE_RTOL: f64 = 2e-5;

/// The device and the inputs that a row is measured on.
pub(crate) struct Bench<'b> {
    pub(crate) gpu: &'b Gpu,
    pub(crate) watch: &'b Stopwatch,
    pub(crate) effort: Effort,
    pub(crate) workload: &'b Workload,
    /// The tokens, `[tokens, input]`; `None` means random ones.
    pub(crate) x: Option<&'b [f32]>,
}

/// The limit on |got - want| / max(1, max|want|) of a dense row whose activations are f16: x, the
/// neurons and y are each rounded once.
const DENSE_RTOL_F16: f64 = 2e-3;

/// Several sets of random tokens on the device, and room for the result.
struct Tokens {
    count: usize,
    stored: Precision,
    first: Vec<f32>,
    x: Vec<Buffer>,
    y: Buffer,
}

impl Bench<'_> {
    async fn tokens(&self, count: usize, stored: Precision) -> Result<Tokens> {
        let (input, output) = self.workload.widths();
        let row = row_stride(input) * stored.bytes();
        let bytes = (count * row) as u64;
        let sets = if self.x.is_some() { 1 } else { (INPUT_BYTES / bytes).clamp(1, INPUTS as u64) };
        let first = self.x.map_or_else(|| random_tokens(count * input, 0), <[f32]>::to_vec);
        let mut x = Vec::new();
        for seed in 0..sets {
            let values = if seed == 0 { first.clone() } else { random_tokens(first.len(), seed) };
            let pack = |index: usize, bytes: &mut Vec<u8>| {
                pad(&values[index * input..][..input], row_stride(input), stored, bytes);
            };
            x.push(self.gpu.upload_rows("x", count, row, pack).await?);
        }
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        let bytes = (count * row_stride(output) * stored.bytes()) as u64;
        let y = self.gpu.buffer("y", bytes, usage).await?;
        Ok(Tokens { count, stored, first, x, y })
    }

    fn row(
        &self,
        computation: Computation,
        kernel: String,
        [precision, activations]: [Precision; 2],
        tokens: usize,
    ) -> MeasurementHead {
        let workload = self.workload.name.clone();
        MeasurementHead { workload, computation, kernel, precision, activations, tokens }
    }

    /// Measures FFF layers: a row for each batch size of the workload.
    pub(crate) async fn cmm(
        &self,
        weights: &FffWeights,
        layer: &FffLayer,
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        let gpu = self.gpu;
        let (shape, variant) = (layer.shape(), layer.variant());
        let stored = layer.activations().x;
        for count in &self.workload.tokens {
            let mut tokens = self.tokens(*count, stored).await?;
            if stored == Precision::F16 {
                tokens.first.iter_mut().for_each(|v| *v = half::f16::from_f32(*v).to_f32());
            }
            let bind = || {
                let bind = |x: &Buffer| layer.bind(x.slice(..), tokens.y.slice(..), None);
                tokens.x.iter().map(bind).collect::<Result<Vec<_>>>()
            };
            let bound = gpu.scoped("binding a layer", bind).await??;
            let record = |pass: &mut wgpu::ComputePass<'static>, run: usize| {
                bound[run % bound.len()].record(pass);
            };
            let times = self.watch.measure(gpu, self.effort, record).await?;
            let got = layer.forward_with_path(&tokens.first).await?;
            let work = shape.rows_read() * shape.input().max(shape.output());
            let compared = (REFERENCE_WORK / work).clamp(1, *count);
            let truth = reference::fff(weights, &tokens.first[..compared * shape.input()])?;
            let (y, path) = (&got.y[..truth.y.len()], &got.path[..truth.path.len()]);
            let mut comparison = reference::compare(shape, &truth, y, path, layer.roundings())?;
            if stored == Precision::F16 {
                // On cooperative matrices the neurons of a leaf are rounded to f16 as well.
                let roundings = if shape.leaf_form().is_some() { 3.0 } else { 1.0 };
                comparison.allowed_error += roundings * reference::F16_ROUNDING;
            }
            if !got.y.iter().all(|v| v.is_finite()) {
                comparison.worst_error = f64::INFINITY;
            }
            let leaves: HashSet<_> = got
                .path
                .chunks(shape.levels())
                .enumerate()
                .map(|(walk, path)| (walk % shape.trees(), path[shape.depth()]))
                .collect();
            let check = Check::of(&comparison);
            let mut kernel = variant.to_string();
            if let Schedule::Lookahead(_) = layer.schedule(*count as u64) {
                kernel.push_str(" lookahead");
            }
            if stored == Precision::F16 {
                kernel.push_str(", f16 x and y");
            }
            let precisions = [variant.weights.precision(), stored];
            let head = self.row(Computation::cmm(shape), kernel, precisions, *count);
            emit(head.row(times, Some(leaves.len()), check));
        }
        Ok(())
    }

    /// Measures the workload's dense layer: a row for each batch size.
    pub(crate) async fn dmm(
        &self,
        weights: &[DenseWeights; 2],
        variant: Variant,
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        let device = self.gpu.capabilities();
        let [up, down] = specs(weights).map(|spec| spec.candidates(variant, device));
        let form = DenseForm { format: variant.weights, activations: Precision::F32 };
        self.dense(weights, [up?, down?], form, emit).await
    }

    /// Measures the dense layer on cooperative matrices, with f16 activations, in tiles of these
    /// shapes.
    pub(crate) async fn dmm_cooperative(
        &self,
        weights: &[DenseWeights; 2],
        shapes: &[BlockedShape],
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        let device = self.gpu.capabilities();
        let candidates = specs(weights).map(|spec| spec.blocked(shapes, device));
        let form = DenseForm { format: WeightFormat::Packed, activations: Precision::F16 };
        self.dense(weights, candidates, form, emit).await
    }

    async fn dense(
        &self,
        weights: &[DenseWeights; 2],
        [candidates_up, candidates_down]: [Vec<Candidate>; 2],
        form: DenseForm,
        emit: &mut impl FnMut(Measurement),
    ) -> Result<()> {
        let gpu = self.gpu;
        let DenseForm { format, activations } = form;
        let allowed = match activations {
            Precision::F32 => DENSE_RTOL,
            Precision::F16 => DENSE_RTOL_F16,
        };
        let [up, down] = weights;
        let layout = DenseLayout::beside(activations, format);
        let device_up = upload_dense(gpu, "W1", up, layout).await?;
        let device_down = upload_dense(gpu, "W2", down, layout).await?;
        let device_up = Operation::new(candidates_up, device_up);
        let device_down = Operation::new(candidates_down, device_down);
        for count in &self.workload.tokens {
            let tokens = self.tokens(*count, activations).await?;
            let bytes = (tokens.count * row_stride(up.output) * activations.bytes()) as u64;
            let neurons = gpu.buffer("neurons", bytes, wgpu::BufferUsages::STORAGE).await?;
            let rows = *count as u32;
            let dispatch_up = device_up.dispatch(gpu, rows).await?;
            let dispatch_down = device_down.dispatch(gpu, rows).await?;
            let bind = || {
                let extents = gpu.extents(rows);
                let (y, neurons) = (tokens.y.slice(..), neurons.slice(..));
                let (extents, scratch) = (&extents, &[][..]);
                let bind = |x: &Buffer| {
                    let (reads, writes) = (&[x.slice(..)], &[neurons]);
                    let buffers = Buffers { extents, reads, scratch, writes };
                    device_up.bind(gpu, &dispatch_up, buffers)
                };
                let up: Vec<_> = tokens.x.iter().map(bind).collect();
                let (reads, writes) = (&[neurons], &[y]);
                let buffers = Buffers { extents, reads, scratch, writes };
                (up, device_down.bind(gpu, &dispatch_down, buffers))
            };
            let (bound_up, bound_down) = gpu.scoped("binding a dense layer", bind).await?;
            let record = |pass: &mut wgpu::ComputePass<'_>, run: usize| {
                let bound = &bound_up[run % bound_up.len()];
                dispatch_up.record(pass, bound);
                dispatch_down.record(pass, &bound_down);
            };
            let times = self.watch.measure(gpu, self.effort, record).await?;
            let y = self.rerun(&tokens, |pass| record(pass, 0)).await?;
            let check = check_dense(up, down, &tokens.first, &y, allowed);
            let computation =
                Computation::Dmm { input: up.input, output: down.output, neurons: up.output };
            let kernel = form.label(device_up.schedule(rows));
            let head = self.row(computation, kernel, [format.precision(), activations], *count);
            emit(head.row(times, None, check));
        }
        Ok(())
    }

    /// Runs the layer on the first input and reads y without its padding.
    async fn rerun(
        &self,
        tokens: &Tokens,
        record: impl FnOnce(&mut wgpu::ComputePass<'_>),
    ) -> Result<Vec<f32>> {
        let gpu = self.gpu;
        let bytes = tokens.y.size();
        let readback = Readback::new(gpu, "y", bytes).await?;
        gpu.scoped("checked run", || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            // Without this, the result of an earlier run could pass for the result of this one.
            encoder.clear_buffer(&tokens.y, 0, None);
            let mut pass = encoder.begin_compute_pass(&Default::default());
            record(&mut pass);
            drop(pass);
            readback.record(&mut encoder, &tokens.y, bytes);
            gpu.queue().submit([encoder.finish()]);
        })
        .await?;
        let output = self.workload.widths().1;
        let take = |bytes: &[u8]| unpadded(bytes, output, row_stride(output), tokens.stored);
        readback.read(gpu, bytes, take).await
    }
}

/// How a dense layer is stored on a device.
#[derive(Clone, Copy)]
struct DenseForm {
    format: WeightFormat,
    activations: Precision,
}

impl DenseForm {
    /// Returns the name that a row gives a kernel of this schedule.
    fn label(self, schedule: &str) -> String {
        match (self.activations, self.format) {
            (Precision::F16, _) => format!("cooperative/f16 {schedule}"),
            (_, WeightFormat::F32) => format!("{schedule}/f32"),
            (_, WeightFormat::Packed) => format!("{schedule}/packed"),
            (_, WeightFormat::F16) => format!("{schedule}/f16"),
        }
    }
}

/// Describes a dense layer of two matrices with GELU between them.
fn specs([up, down]: &[DenseWeights; 2]) -> [DenseSpec; 2] {
    let spec = |weights: &DenseWeights, activation| {
        let DenseWeights { input, output, .. } = *weights;
        DenseSpec { input, output, activation, adds: false, extent: TOKENS }
    };
    [spec(up, Activation::Gelu), spec(down, Activation::None)]
}

/// Returns the dense twin of a workload's FFF layers.
pub(crate) fn dense_twin(workload: &Workload) -> [DenseWeights; 2] {
    let (input, output) = workload.widths();
    [random_dense(input, workload.neurons, 11), random_dense(workload.neurons, output, 12)]
}

/// Compares tokens spread over the whole batch with the f64 reference, and checks that no token
/// holds a NaN.
pub(crate) fn check_dense(
    up: &DenseWeights,
    down: &DenseWeights,
    x: &[f32],
    y: &[f32],
    allowed: f64,
) -> Check {
    let count = x.len() / up.input;
    let work = up.weight.len() + down.weight.len();
    let compared = (REFERENCE_WORK / work).clamp(1, 32).min(count);
    let mut worst = if y.iter().all(|v| v.is_finite()) { 0.0 } else { f64::INFINITY };
    for i in 0..compared {
        let token = if compared > 1 { i * (count - 1) / (compared - 1) } else { 0 };
        let x: Vec<f64> = x[token * up.input..][..up.input].iter().map(|v| f64::from(*v)).collect();
        let mut neurons = reference::dense(up, &x);
        neurons.iter_mut().for_each(|v| *v = reference::gelu(*v));
        let want = reference::dense(down, &neurons);
        worst =
            f64::max(worst, reference::row_error(&want, &y[token * down.output..][..down.output]));
    }
    Check {
        passed: worst <= allowed,
        tokens: compared,
        error: Some(worst).filter(|worst| worst.is_finite()),
        allowed,
        wrong_nodes: 0,
        flips: 0,
    }
}

/// The part of a row that is known before it is measured.
struct MeasurementHead {
    workload: String,
    computation: Computation,
    kernel: String,
    precision: Precision,
    activations: Precision,
    tokens: usize,
}

impl MeasurementHead {
    fn row(self, times: Times, leaves: Option<usize>, check: Check) -> Measurement {
        Measurement {
            unit: Unit::Gpu,
            timing: times.timing,
            seconds: times.seconds,
            wall: times.wall,
            runs: times.dispatches,
            flops: self.computation.flops(self.tokens),
            bytes: self.computation.bytes(self.tokens, [self.precision, self.activations]),
            workload: self.workload,
            computation: self.computation,
            kernel: self.kernel,
            precision: self.precision,
            activations: self.activations,
            tokens: self.tokens,
            leaves,
            check,
        }
    }
}

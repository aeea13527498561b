//! A dense layer (DMM) on a device.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Kernel, Variant, row_stride, spread};
use crate::model::DenseWeights;
use crate::ops::matrix::{upload, upload_vector};
use crate::ops::source::{self, FEW_AT_ONCE, SIDES};

/// Workgroups of the larger tile below which the smaller one occupies a device better.
const FULL: u32 = 264;

/// What is applied to x * weight^T + bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    None = 0,
    Gelu = 1,
    Tanh = 2,
}

/// What becomes of a dense layer's sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epilogue {
    Activated(Activation),
    /// Added to what y holds.
    Accumulated,
}

impl Epilogue {
    /// Values of the overrides ACTIVATION and ACCUMULATE.
    pub(crate) fn overrides(self) -> (u32, u32) {
        match self {
            Self::Activated(activation) => (activation as u32, 0),
            Self::Accumulated => (Activation::None as u32, 1),
        }
    }
}

/// Tokens up to which the kernels for few are the faster ones: measured on an H200, and on llvmpipe, where reading weights costs no more than
/// anything else.
const FEW: usize = 128;
const FEW_SOFTWARE: usize = 16;

fn few(gpu: &Gpu) -> usize {
    match gpu.info().device_type {
        wgpu::DeviceType::Cpu => FEW_SOFTWARE,
        _ => FEW,
    }
}

/// A dense layer.
#[derive(Debug)]
pub(crate) struct Dense {
    /// For each of [`FEW_AT_ONCE`]: the kernel, and rows of weights a workgroup.
    few: Vec<(Arc<Kernel>, u32)>,
    /// For each of [`SIDES`], or for the smaller one alone.
    kernels: Vec<Arc<Kernel>>,
    weight: Arc<Buffer>,
    bias: Buffer,
    output: usize,
}

impl Dense {
    pub(crate) async fn upload(
        gpu: &Gpu,
        label: &str,
        weights: &DenseWeights,
        variant: Variant,
        epilogue: Epilogue,
    ) -> Result<Self> {
        let weight = upload(gpu, label, &weights.weight, weights.input, variant.weights).await?;
        let sizes = (weights.input, weights.output);
        Self::of_buffer(gpu, weight.into(), sizes, weights.bias.as_deref(), variant, epilogue).await
    }

    /// On a matrix `[output, input]` that is on the device already.
    pub(crate) async fn of_buffer(
        gpu: &Gpu,
        weight: Arc<Buffer>,
        (input, output): (usize, usize),
        bias: Option<&[f32]>,
        variant: Variant,
        epilogue: Epilogue,
    ) -> Result<Self> {
        let zeros;
        let bias = match bias {
            Some(bias) => bias,
            None => {
                zeros = vec![0.0; output];
                &zeros
            }
        };
        let bias = upload_vector(gpu, "bias", bias).await?;
        let mut kernels = Vec::new();
        let shared = gpu.capabilities().limits.max_compute_workgroup_storage_size;
        let sides = SIDES.into_iter().filter(|side| source::dense_shared_bytes(*side) <= shared);
        for side in sides {
            kernels.push(
                gpu.kernel(&source::dense(input, output, variant.weights, epilogue, side)).await?,
            );
        }
        let mut few = Vec::new();
        for at_once in FEW_AT_ONCE {
            let device = gpu.capabilities();
            let source = source::dense_few(input, output, variant, device, epilogue, at_once)?;
            few.push((gpu.kernel(&source).await?, source.tokens_per_group));
        }
        Ok(Self { few, kernels, weight, bias, output })
    }

    /// What computes so many tokens: `rows` of weights, or `tiles`.
    pub(crate) fn schedule(gpu: &Gpu, tokens: usize) -> &'static str {
        if tokens <= few(gpu) { "rows" } else { "tiles" }
    }

    /// Width of a row of y.
    pub(crate) fn output(&self) -> usize {
        self.output
    }

    /// Width of a row of y on the device, padding included.
    pub(crate) fn output_stride(&self) -> usize {
        row_stride(self.output)
    }

    /// `x: [tokens, row_stride(input)]`, `y: [tokens, row_stride(output)]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) {
        let tokens = (y.size() / 4) as usize / self.output_stride();
        let buffers = [x, self.weight.slice(..), self.bias.slice(..), y];
        if tokens <= few(gpu) {
            let (index, at_once) = if tokens == 1 { (0, 1) } else { (1, FEW_AT_ONCE[1]) };
            let (kernel, rows) = &self.few[index];
            let [x, y, _] =
                spread((self.output_stride() as u32).div_ceil(*rows), gpu.capabilities());
            let groups = [x, y, (tokens as u32).div_ceil(at_once)];
            return kernel.record(gpu, pass, &buffers, groups);
        }
        let tiles = |side: u32| {
            let tile = 8 * side as usize;
            [self.output_stride().div_ceil(tile) as u32, tokens.div_ceil(tile) as u32]
        };
        let [across, down] = tiles(SIDES[0]);
        let small = self.kernels.len() < SIDES.len() || across * down < FULL;
        let kernel = &self.kernels[if small { self.kernels.len() - 1 } else { 0 }];
        let [across, down] = tiles(SIDES[usize::from(small)]);
        let limit = gpu.capabilities().limits.max_compute_workgroups_per_dimension;
        let groups = [across, down.min(limit), down.div_ceil(limit)];
        kernel.record(gpu, pass, &buffers, groups);
    }
}

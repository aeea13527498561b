//! A dense layer (DMM) on a device.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Gpu, Kernel, WeightFormat, row_stride};
use crate::model::DenseWeights;
use crate::ops::matrix::{upload, upload_vector};
use crate::ops::source::{self, SIDES};

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

/// A dense layer.
#[derive(Debug)]
pub(crate) struct Dense {
    /// For each of [`SIDES`], or for the smaller one alone.
    kernels: Vec<Arc<Kernel>>,
    weight: wgpu::Buffer,
    bias: wgpu::Buffer,
    output: usize,
}

impl Dense {
    pub(crate) async fn upload(
        gpu: &Gpu,
        label: &str,
        weights: &DenseWeights,
        format: WeightFormat,
        epilogue: Epilogue,
    ) -> Result<Self> {
        let weight = upload(gpu, label, &weights.weight, weights.input, format).await?;
        let sizes = (weights.input, weights.output);
        Self::of_buffer(gpu, weight, sizes, weights.bias.as_deref(), format, epilogue).await
    }

    /// On a matrix `[output, input]` that is on the device already.
    pub(crate) async fn of_buffer(
        gpu: &Gpu,
        weight: wgpu::Buffer,
        (input, output): (usize, usize),
        bias: Option<&[f32]>,
        format: WeightFormat,
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
            kernels.push(gpu.kernel(&source::dense(input, output, format, epilogue, side)).await?);
        }
        Ok(Self { kernels, weight, bias, output })
    }

    /// Width of a row of y on the device.
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
        let buffers = [x, self.weight.slice(..), self.bias.slice(..), y];
        kernel.record(gpu, pass, &buffers, groups);
    }
}

//! A dense layer (DMM) on cooperative matrices: f16 in, f32 sums.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Kernel, WeightFormat, row_stride};
use crate::model::DenseWeights;
use crate::ops::dense::Activation;
use crate::ops::matrix::{upload, upload_vector};
use crate::ops::source;

/// Tokens, and outputs, of a workgroup.
const TILE: usize = 128;

/// A dense layer whose activations are f16.
#[derive(Debug)]
pub(crate) struct CoopDense {
    kernel: Arc<Kernel>,
    weight: wgpu::Buffer,
    bias: wgpu::Buffer,
    output: usize,
    input: usize,
}

impl CoopDense {
    pub(crate) async fn upload(
        gpu: &Gpu,
        label: &str,
        weights: &DenseWeights,
        activation: Activation,
    ) -> Result<Self> {
        if !gpu.capabilities().cooperative {
            return Err(Error::Unsupported {
                what: "a dense layer on cooperative matrices".into(),
                adapter: gpu.info().name.clone(),
                missing: "cooperative matrices of 16 x 16 in f16, in subgroups of 32".into(),
            });
        }
        let DenseWeights { input, output, .. } = *weights;
        let zeros = vec![0.0; output];
        let source = source::dense_coop(input, output, activation);
        Ok(Self {
            kernel: gpu.kernel(&source).await?,
            weight: upload(gpu, label, &weights.weight, input, WeightFormat::Packed).await?,
            bias: upload_vector(gpu, "bias", weights.bias.as_ref().unwrap_or(&zeros)).await?,
            output,
            input,
        })
    }

    /// `x`: f16 `[tokens, row_stride(input)]`, `y`: f16 `[tokens, row_stride(output)]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) {
        let tokens = (x.size() / 2) as usize / row_stride(self.input);
        let across = row_stride(self.output).div_ceil(TILE) as u32;
        let down = tokens.div_ceil(TILE) as u32;
        let limit = gpu.capabilities().limits.max_compute_workgroups_per_dimension;
        let groups = [across, down.min(limit), down.div_ceil(limit)];
        self.kernel.record(gpu, pass, &[x, self.weight.slice(..), self.bias.slice(..), y], groups);
    }
}

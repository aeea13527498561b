//! LayerNorm on a device.

use std::sync::Arc;

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Kernel, KernelSource, Variant, row_stride};
use crate::model::NormWeights;
use crate::ops::matrix::upload_vector;
use crate::ops::source;

/// How the rows are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormOutput {
    F32,
    F16,
    Both,
}

/// A LayerNorm.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    source: KernelSource,
    kernel: Arc<Kernel>,
    weight: Buffer,
    bias: Buffer,
    stride: usize,
}

impl LayerNorm {
    pub(crate) async fn upload(
        gpu: &Gpu,
        weights: &NormWeights,
        eps: f64,
        variant: Variant,
        stored: NormOutput,
    ) -> Result<Self> {
        let width = weights.weight.len();
        let source = source::layer_norm(width, eps, variant, stored, gpu.capabilities())?;
        Ok(Self {
            kernel: gpu.kernel(&source).await?,
            source,
            weight: upload_vector(gpu, "norm.weight", &weights.weight).await?,
            bias: upload_vector(gpu, "norm.bias", &weights.bias).await?,
            stride: row_stride(width),
        })
    }

    /// `x`: f32 `[tokens, row_stride(width)]`, and each of `y`, in f32, f16 or both as asked for.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        x: wgpu::BufferSlice<'_>,
        y: &[wgpu::BufferSlice<'_>],
    ) {
        let tokens = (x.size() / 4) as usize / self.stride;
        let groups = self.source.workgroups(tokens as u32, gpu.capabilities());
        let mut buffers = vec![x, self.weight.slice(..), self.bias.slice(..)];
        buffers.extend(y);
        self.kernel.record(gpu, pass, &buffers, groups);
    }
}

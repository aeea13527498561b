//! A dense layer (DMM) on cooperative matrices: f16 in, f32 sums.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Kernel, WeightFormat, row_stride};
use crate::model::DenseWeights;
use crate::ops::dense::Epilogue;
use crate::ops::matrix::{upload, upload_vector};
use crate::ops::source_coop::{self, CoopShape};

const fn shape(groups: [u32; 2], matrices: [u32; 2], inputs: u32, buffers: u32) -> CoopShape {
    CoopShape { groups, matrices, inputs, buffers }
}

/// What a workgroup may compute, the larger first.
pub(crate) const SHAPES: [CoopShape; 8] = [
    shape([2, 4], [4, 2], 64, 1),
    shape([2, 4], [4, 2], 32, 1),
    shape([2, 2], [4, 4], 32, 2),
    shape([2, 2], [4, 4], 64, 1),
    shape([4, 2], [4, 4], 32, 1),
    shape([2, 4], [4, 4], 32, 1),
    shape([2, 2], [2, 2], 64, 1),
    shape([2, 2], [2, 2], 64, 2),
];

/// A dense layer whose activations are f16.
#[derive(Debug)]
pub(crate) struct CoopDense {
    pub(crate) kernels: Vec<(CoopShape, Arc<Kernel>)>,
    pub(crate) fixed: usize,
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
        epilogue: Epilogue,
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
        let mut kernels = Vec::new();
        let wanted = std::env::var("CMM_COOP").ok().and_then(|v| v.parse::<usize>().ok());
        for (index, shape) in SHAPES.into_iter().enumerate() {
            if wanted.is_some_and(|wanted| wanted != index) {
                continue;
            }
            let source = source_coop::dense_coop(input, output, epilogue, shape);
            kernels.push((shape, gpu.kernel(&source).await?));
        }
        Ok(Self {
            kernels,
            fixed: 0,
            weight: upload(gpu, label, &weights.weight, input, WeightFormat::Packed).await?,
            bias: upload_vector(gpu, "bias", weights.bias.as_ref().unwrap_or(&zeros)).await?,
            output,
            input,
        })
    }

    /// The tile that computes so many tokens.
    pub(crate) fn schedule(&self, _tokens: usize) -> String {
        let (shape, _) = &self.kernels[self.fixed];
        let [rows, columns] = shape.tile();
        format!("{rows}x{columns} {}x{}", shape.inputs, shape.buffers)
    }

    /// `x`: f16 `[tokens, row_stride(input)]`, `y`: f16, or f32 where it is added to, `[tokens, row_stride(output)]`.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        x: wgpu::BufferSlice<'_>,
        y: wgpu::BufferSlice<'_>,
    ) {
        let tokens = (x.size() / 2) as usize / row_stride(self.input);
        let (shape, kernel) = &self.kernels[self.fixed];
        let [rows, columns] = shape.tile();
        let across = (row_stride(self.output) as u32).div_ceil(columns);
        let down = (tokens as u32).div_ceil(rows);
        let limit = gpu.capabilities().limits.max_compute_workgroups_per_dimension;
        let groups = [across, down.min(limit), down.div_ceil(limit)];
        kernel.record(gpu, pass, &[x, self.weight.slice(..), self.bias.slice(..), y], groups);
    }
}

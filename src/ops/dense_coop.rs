//! A dense layer (DMM) on cooperative matrices: f16 in, f32 sums.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Kernel, WeightFormat, row_stride};
use crate::model::DenseWeights;
use crate::ops::dense::Epilogue;
use crate::ops::matrix::{upload, upload_vector};
use crate::ops::source_coop::{self, CoopShape};

const fn shape(groups: [u32; 2], matrices: [u32; 2], inputs: u32) -> CoopShape {
    CoopShape { groups, matrices, inputs }
}

/// What a workgroup may compute: for many tokens, and for so few that its workgroups would leave a device idle.
pub(crate) const SHAPES: [CoopShape; 2] = [shape([2, 4], [4, 2], 64), shape([2, 2], [2, 2], 64)];
/// What else there is, for the benchmark's dense rows: the fastest of all is what conditional layers are held against.
pub(crate) const OTHER_SHAPES: [CoopShape; 4] = [
    shape([2, 2], [4, 2], 64),
    shape([2, 4], [4, 4], 32),
    shape([4, 4], [4, 2], 32),
    shape([4, 4], [2, 2], 32),
];
/// Workgroups of the larger tile below which the smaller one occupies a device better (measured on an H200).
const FULL: u32 = 264;

/// A dense layer whose activations are f16.
#[derive(Debug)]
pub(crate) struct CoopDense {
    /// The larger tile first.
    kernels: Vec<(CoopShape, Arc<Kernel>)>,
    weight: Buffer,
    bias: Buffer,
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
        Self::upload_as(gpu, label, weights, epilogue, &SHAPES).await
    }

    /// With tiles of the caller's choice, the larger first.
    pub(crate) async fn upload_as(
        gpu: &Gpu,
        label: &str,
        weights: &DenseWeights,
        epilogue: Epilogue,
        shapes: &[CoopShape],
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
        for shape in shapes {
            let source = source_coop::dense_coop(input, output, epilogue, *shape);
            kernels.push((*shape, gpu.kernel(&source).await?));
        }
        Ok(Self {
            kernels,
            weight: upload(gpu, label, &weights.weight, input, WeightFormat::Packed).await?,
            bias: upload_vector(gpu, "bias", weights.bias.as_ref().unwrap_or(&zeros)).await?,
            output,
            input,
        })
    }

    /// The kernel for so many tokens, its tile, and how many of them there are, across and down.
    fn chosen(&self, tokens: usize) -> (CoopShape, &Kernel, [u32; 2]) {
        let mut choice = None;
        for (shape, kernel) in &self.kernels {
            let [rows, columns] = shape.tile();
            let across = (row_stride(self.output) as u32).div_ceil(columns);
            let down = (tokens as u32).div_ceil(rows);
            choice = Some((*shape, &**kernel, [across, down]));
            if across * down >= FULL {
                break;
            }
        }
        // There is one at least.
        choice.unwrap_or((SHAPES[0], &self.kernels[0].1, [1, 1]))
    }

    /// The tile that computes so many tokens: tokens x outputs x inputs.
    pub(crate) fn schedule(&self, tokens: usize) -> String {
        let (shape, _, _) = self.chosen(tokens);
        let [rows, columns] = shape.tile();
        format!("{rows}x{columns}x{} by {}", shape.inputs, shape.group())
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
        let (_, kernel, [across, down]) = self.chosen(tokens);
        let limit = gpu.capabilities().limits.max_compute_workgroups_per_dimension;
        let groups = [across, down.min(limit), down.div_ceil(limit)];
        kernel.record(gpu, pass, &[x, self.weight.slice(..), self.bias.slice(..), y], groups);
    }
}

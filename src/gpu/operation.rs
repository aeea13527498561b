//! An operation on a device: kernels for it, each for some numbers of rows, and the weights that they read.

use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Grid, Kernel, KernelSource};

/// A kernel that can compute an operation.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) source: KernelSource,
    /// Rows up to which it is the fastest of those not listed before it.
    pub(crate) up_to: u32,
    /// How it computes, for reports.
    pub(crate) schedule: String,
}

/// Candidates for an operation, at least one, all with the same bindings, and its weights. A kernel is compiled when it is first asked for.
#[derive(Debug)]
pub(crate) struct Operation {
    candidates: Vec<Candidate>,
    kernels: Vec<OnceLock<Arc<Kernel>>>,
    weights: Vec<Arc<Buffer>>,
}

/// A kernel, and how many workgroups of it compute the rows that it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    kernel: Arc<Kernel>,
    groups: [u32; 3],
}

impl Operation {
    pub(crate) fn new(candidates: Vec<Candidate>, weights: Vec<Arc<Buffer>>) -> Self {
        let kernels = candidates.iter().map(|_| OnceLock::new()).collect();
        Self { candidates, kernels, weights }
    }

    /// Of a kernel that is compiled already.
    pub(crate) fn of_kernel(
        kernel: Kernel,
        source: KernelSource,
        weights: Vec<Arc<Buffer>>,
    ) -> Self {
        let schedule = "the caller's own".into();
        let candidates = vec![Candidate { source, up_to: u32::MAX, schedule }];
        Self { candidates, kernels: vec![OnceLock::from(Arc::new(kernel))], weights }
    }

    /// Compiles what has not been asked for yet.
    pub(crate) async fn compile_all(&self, gpu: &Gpu) -> Result<()> {
        for place in 0..self.candidates.len() {
            self.dispatch_of(gpu, place, 1).await?;
        }
        Ok(())
    }

    /// The place of the candidate for so many rows.
    pub(crate) fn choice(&self, rows: u32) -> usize {
        let fitting = self.candidates.iter().position(|candidate| rows <= candidate.up_to);
        fitting.unwrap_or(self.candidates.len().saturating_sub(1))
    }

    /// How many candidates there are.
    pub(crate) fn choices(&self) -> usize {
        self.candidates.len()
    }

    /// How so many rows are computed.
    pub(crate) fn schedule(&self, rows: u32) -> &str {
        &self.candidates[self.choice(rows)].schedule
    }

    /// The grid of the candidate for many rows.
    pub(crate) fn grid(&self) -> Grid {
        self.candidates[self.candidates.len() - 1].source.grid
    }

    /// What computes so many rows, compiled if it is asked for the first time.
    pub(crate) async fn dispatch(&self, gpu: &Gpu, rows: u32) -> Result<Dispatch> {
        self.dispatch_of(gpu, self.choice(rows), rows).await
    }

    async fn dispatch_of(&self, gpu: &Gpu, place: usize, rows: u32) -> Result<Dispatch> {
        let source = &self.candidates[place].source;
        let kernel = match self.kernels[place].get() {
            Some(kernel) => kernel.clone(),
            None => {
                let kernel = gpu.kernel(source).await?;
                self.kernels[place].get_or_init(|| kernel).clone()
            }
        };
        Ok(Dispatch { kernel, groups: source.workgroups(rows, gpu.capabilities()) })
    }

    /// A candidate that is compiled already, for so many rows.
    pub(crate) fn compiled(&self, gpu: &Gpu, place: usize, rows: u32) -> Option<Dispatch> {
        let kernel = self.kernels.get(place)?.get()?.clone();
        let groups = self.candidates[place].source.workgroups(rows, gpu.capabilities());
        Some(Dispatch { kernel, groups })
    }

    /// Binds extents, what is read, the weights, and what is written, for `dispatch` and every other candidate.
    pub(crate) fn bind(
        &self,
        gpu: &Gpu,
        dispatch: &Dispatch,
        extents: &wgpu::Buffer,
        reads: &[wgpu::BufferSlice<'_>],
        writes: &[wgpu::BufferSlice<'_>],
    ) -> wgpu::BindGroup {
        let mut buffers = vec![extents.slice(..)];
        buffers.extend(reads);
        buffers.extend(self.weights.iter().map(|weights| weights.slice(..)));
        buffers.extend(writes);
        dispatch.kernel.bind(gpu.device(), &buffers)
    }
}

impl Dispatch {
    /// Records it on what its operation bound.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>, bound: &wgpu::BindGroup) {
        self.kernel.dispatch(pass, bound, self.groups);
    }
}

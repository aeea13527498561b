//! An operation on a device: kernels for it, each for some numbers of rows, and the weights that they read.

use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Grid, Kernel, KernelSource};

/// A way to compute an operation: one kernel, or several, one after another.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) stages: Vec<Stage>,
    /// Buffers that pass from one stage to another.
    pub(crate) scratch: Vec<Scratch>,
    /// Rows up to which it is the fastest of those not listed before it.
    pub(crate) up_to: u32,
    /// How it computes, for reports.
    pub(crate) schedule: String,
}

/// A kernel, and the buffers that it binds, in order; of an only stage none are listed: extents, what is read, the weights, what is written.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) source: KernelSource,
    pub(crate) buffers: Vec<Place>,
}

/// A buffer that a stage binds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    Extents,
    Read(usize),
    Weights(usize),
    Scratch(usize),
    Write(usize),
}

/// The size of a buffer that passes from one stage to another. It is zero before its first use; stages leave what must be zero as they found it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scratch {
    pub(crate) bytes: u64,
    pub(crate) row_bytes: u64,
}

impl Scratch {
    /// Bytes for so many rows.
    pub(crate) fn bytes_for(&self, rows: u32) -> u64 {
        (self.bytes + self.row_bytes * u64::from(rows)).next_multiple_of(16)
    }
}

impl Candidate {
    /// One kernel.
    pub(crate) fn one(source: KernelSource, up_to: u32, schedule: impl Into<String>) -> Self {
        let stages = vec![Stage { source, buffers: Vec::new() }];
        Self { stages, scratch: Vec::new(), up_to, schedule: schedule.into() }
    }

    /// All its kernels.
    pub(crate) fn sources(self) -> impl Iterator<Item = KernelSource> {
        self.stages.into_iter().map(|stage| stage.source)
    }
}

/// Candidates for an operation, at least one, and its weights; those of one kernel bind the same buffers. A kernel is compiled when it is first
/// asked for.
#[derive(Debug)]
pub(crate) struct Operation {
    candidates: Vec<Candidate>,
    kernels: Vec<OnceLock<Arc<[Arc<Kernel>]>>>,
    weights: Vec<Arc<Buffer>>,
}

/// The kernels of a candidate, and how many workgroups of each compute the rows that were asked for.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    /// The candidate.
    place: usize,
    kernels: Arc<[Arc<Kernel>]>,
    groups: Vec<[u32; 3]>,
}

/// What the kernels of a dispatch are bound to.
#[derive(Debug)]
pub(crate) struct Bound(Vec<wgpu::BindGroup>);

/// Buffers of whoever has an operation computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffers<'b> {
    pub(crate) extents: &'b wgpu::Buffer,
    pub(crate) reads: &'b [wgpu::BufferSlice<'b>],
    pub(crate) scratch: &'b [Buffer],
    pub(crate) writes: &'b [wgpu::BufferSlice<'b>],
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
        let candidates = vec![Candidate::one(source, u32::MAX, "the caller's own")];
        let kernels: Arc<[_]> = [Arc::new(kernel)].into();
        Self { candidates, kernels: vec![OnceLock::from(kernels)], weights }
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
        let stages = self.candidates.last().map_or(&[][..], |candidate| &candidate.stages);
        stages.last().map_or(Grid::Rows(1), |stage| stage.source.grid)
    }

    /// The sizes of the buffers that pass between the stages of any candidate, for so many rows.
    pub(crate) fn scratch(&self, rows: u32) -> Vec<u64> {
        let mut sizes = Vec::new();
        for candidate in &self.candidates {
            sizes.resize(candidate.scratch.len().max(sizes.len()), 0);
            for (size, scratch) in sizes.iter_mut().zip(&candidate.scratch) {
                *size = scratch.bytes_for(rows).max(*size);
            }
        }
        sizes
    }

    /// Bytes of a row in the widest of them.
    pub(crate) fn scratch_row_bytes(&self) -> u64 {
        let all = self.candidates.iter().flat_map(|candidate| &candidate.scratch);
        all.map(|scratch| scratch.row_bytes).max().unwrap_or(0)
    }

    /// What computes so many rows, compiled if it is asked for the first time.
    pub(crate) async fn dispatch(&self, gpu: &Gpu, rows: u32) -> Result<Dispatch> {
        self.dispatch_of(gpu, self.choice(rows), rows).await
    }

    async fn dispatch_of(&self, gpu: &Gpu, place: usize, rows: u32) -> Result<Dispatch> {
        if self.kernels[place].get().is_none() {
            let mut kernels = Vec::new();
            for stage in &self.candidates[place].stages {
                kernels.push(gpu.kernel(&stage.source).await?);
            }
            self.kernels[place].get_or_init(|| kernels.into());
        }
        self.compiled(gpu, place, rows).ok_or_else(|| {
            crate::Error::shape("an operation", "kernels that were compiled", "none")
        })
    }

    /// A candidate that is compiled already, for so many rows.
    pub(crate) fn compiled(&self, gpu: &Gpu, place: usize, rows: u32) -> Option<Dispatch> {
        let kernels = self.kernels.get(place)?.get()?.clone();
        let stages = self.candidates[place].stages.iter();
        let groups = stages.map(|stage| stage.source.workgroups(rows, gpu.capabilities()));
        Some(Dispatch { place, kernels, groups: groups.collect() })
    }

    /// Binds the kernels of a dispatch.
    pub(crate) fn bind(&self, gpu: &Gpu, dispatch: &Dispatch, buffers: Buffers<'_>) -> Bound {
        let stages = &self.candidates[dispatch.place].stages;
        let bound = stages.iter().zip(&*dispatch.kernels).map(|(stage, kernel)| {
            let all = self.in_order(buffers);
            let slices = match stage.buffers.is_empty() {
                true => all,
                false => stage.buffers.iter().map(|place| self.at(*place, buffers)).collect(),
            };
            kernel.bind(gpu.device(), &slices)
        });
        Bound(bound.collect())
    }

    fn in_order<'b>(&'b self, buffers: Buffers<'b>) -> Vec<wgpu::BufferSlice<'b>> {
        let mut all = vec![buffers.extents.slice(..)];
        all.extend(buffers.reads);
        all.extend(self.weights.iter().map(|weights| weights.slice(..)));
        all.extend(buffers.writes);
        all
    }

    fn at<'b>(&'b self, place: Place, buffers: Buffers<'b>) -> wgpu::BufferSlice<'b> {
        match place {
            Place::Extents => buffers.extents.slice(..),
            Place::Read(index) => buffers.reads[index],
            Place::Weights(index) => self.weights[index].slice(..),
            Place::Scratch(index) => buffers.scratch[index].slice(..),
            Place::Write(index) => buffers.writes[index],
        }
    }
}

impl Dispatch {
    /// Whether what another dispatch of the same operation is bound to serves this one, too.
    pub(crate) fn shares(&self, other: &Self) -> bool {
        self.place == other.place || (self.kernels.len() == 1 && other.kernels.len() == 1)
    }

    /// Records it on what its operation bound.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>, bound: &Bound) {
        for ((kernel, groups), bound) in self.kernels.iter().zip(&self.groups).zip(&bound.0) {
            kernel.dispatch(pass, bound, *groups);
        }
    }
}

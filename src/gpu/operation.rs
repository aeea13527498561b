//! An operation on a device: the kernels that compute it, each for a range of row counts, and the
//! weights that they read.

use std::sync::{Arc, OnceLock};

use crate::error::Result;
use crate::gpu::{Buffer, Gpu, Grid, Kernel, KernelSource};

/// A way to compute an operation: one kernel, or several kernels one after another.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) stages: Vec<Stage>,
    /// The buffers that pass from one stage to another.
    pub(crate) scratch: Vec<Scratch>,
    /// The number of rows up to which this candidate is the fastest of those not listed before it.
    pub(crate) up_to: u32,
    /// The name of the schedule, for reports.
    pub(crate) schedule: String,
}

/// A kernel, and the buffers that it binds, in order. A stage that is the only one lists none: it
/// binds the extents, the inputs, the weights and the outputs.
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

/// The size of a buffer that passes from one stage to another. It is zero before its first use;
/// stages that need zeros later leave zeros behind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scratch {
    pub(crate) bytes: u64,
    pub(crate) row_bytes: u64,
}

impl Scratch {
    /// Returns the buffer's bytes for `rows` rows.
    pub(crate) fn bytes_for(&self, rows: u32) -> u64 {
        (self.bytes + self.row_bytes * u64::from(rows)).next_multiple_of(16)
    }
}

impl Candidate {
    /// Returns a candidate of one kernel.
    pub(crate) fn one(source: KernelSource, up_to: u32, schedule: impl Into<String>) -> Self {
        let stages = vec![Stage { source, buffers: Vec::new() }];
        Self { stages, scratch: Vec::new(), up_to, schedule: schedule.into() }
    }

    /// Returns all kernels of the candidate.
    pub(crate) fn sources(self) -> impl Iterator<Item = KernelSource> {
        self.stages.into_iter().map(|stage| stage.source)
    }
}

/// The candidates for an operation, at least one, and its weights. Candidates of one kernel all
/// bind the same buffers. A kernel is compiled when it is first asked for.
#[derive(Debug)]
pub(crate) struct Operation {
    candidates: Vec<Candidate>,
    kernels: Vec<OnceLock<Arc<[Arc<Kernel>]>>>,
    weights: Vec<Arc<Buffer>>,
}

/// The kernels of a candidate, and the number of workgroups of each for the rows that were asked
/// for.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    /// The index of the candidate.
    place: usize,
    kernels: Arc<[Arc<Kernel>]>,
    groups: Vec<[u32; 3]>,
}

/// The bindings of a dispatch's kernels.
#[derive(Debug)]
pub(crate) struct Bound(Vec<wgpu::BindGroup>);

/// The buffers that the caller of an operation provides.
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

    /// Creates an operation of a kernel that is already compiled.
    pub(crate) fn of_kernel(
        kernel: Kernel,
        source: KernelSource,
        weights: Vec<Arc<Buffer>>,
    ) -> Self {
        let candidates = vec![Candidate::one(source, u32::MAX, "the caller's own")];
        let kernels: Arc<[_]> = [Arc::new(kernel)].into();
        Self { candidates, kernels: vec![OnceLock::from(kernels)], weights }
    }

    /// Compiles the kernels that have not been asked for yet.
    pub(crate) async fn compile_all(&self, gpu: &Gpu) -> Result<()> {
        for place in 0..self.candidates.len() {
            self.dispatch_of(gpu, place, 1).await?;
        }
        Ok(())
    }

    /// Returns the index of the candidate for `rows` rows.
    pub(crate) fn choice(&self, rows: u32) -> usize {
        let fitting = self.candidates.iter().position(|candidate| rows <= candidate.up_to);
        fitting.unwrap_or(self.candidates.len().saturating_sub(1))
    }

    /// Returns the number of candidates.
    pub(crate) fn choices(&self) -> usize {
        self.candidates.len()
    }

    /// Returns the schedule by which `rows` rows are computed.
    pub(crate) fn schedule(&self, rows: u32) -> &str {
        &self.candidates[self.choice(rows)].schedule
    }

    /// Returns the grid of the candidate for many rows.
    pub(crate) fn grid(&self) -> Grid {
        let stages = self.candidates.last().map_or(&[][..], |candidate| &candidate.stages);
        stages.last().map_or(Grid::Rows(1), |stage| stage.source.grid)
    }

    /// Returns the sizes of the buffers that pass between stages, large enough for any candidate,
    /// for `rows` rows.
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

    /// Returns the bytes of a row in the widest of these buffers.
    pub(crate) fn scratch_row_bytes(&self) -> u64 {
        let all = self.candidates.iter().flat_map(|candidate| &candidate.scratch);
        all.map(|scratch| scratch.row_bytes).max().unwrap_or(0)
    }

    /// Returns the dispatch that computes `rows` rows; its kernels are compiled if they are asked
    /// for the first time.
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

    /// Returns the dispatch of a candidate for `rows` rows, if the candidate is already compiled.
    pub(crate) fn compiled(&self, gpu: &Gpu, place: usize, rows: u32) -> Option<Dispatch> {
        let kernels = self.kernels.get(place)?.get()?.clone();
        let stages = self.candidates[place].stages.iter();
        let groups = stages.map(|stage| stage.source.workgroups(rows, gpu.capabilities()));
        Some(Dispatch { place, kernels, groups: groups.collect() })
    }

    /// Binds the kernels of a dispatch to buffers.
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
    /// Returns whether the bindings of another dispatch of the same operation serve this one too.
    pub(crate) fn shares(&self, other: &Self) -> bool {
        self.place == other.place || (self.kernels.len() == 1 && other.kernels.len() == 1)
    }

    /// Records the dispatch on the bindings that its operation made.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>, bound: &Bound) {
        for ((kernel, groups), bound) in self.kernels.iter().zip(&self.groups).zip(&bound.0) {
            kernel.dispatch(pass, bound, *groups);
        }
    }
}

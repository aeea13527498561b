//! Dispatches on their way into one command buffer, with copies of what is tapped.

use crate::gpu::{Gpu, Readback};
use crate::model::encoder::Tap;

/// A command buffer in the making.
pub(crate) struct Recording<'g> {
    pub(crate) gpu: &'g Gpu,
    pub(crate) encoder: wgpu::CommandEncoder,
    /// Forgotten of its lifetime, so that it can live beside the encoder; dropped before the encoder is used.
    pass: Option<wgpu::ComputePass<'static>>,
    pub(crate) tap: Tap,
    /// Name, copy, bytes and width of each stage.
    pub(crate) stages: Vec<(String, Readback, u64, usize)>,
    pub(crate) paths: Vec<(Readback, u64)>,
}

impl<'g> Recording<'g> {
    pub(crate) fn new(gpu: &'g Gpu, tap: Tap) -> Self {
        let encoder = gpu.device().create_command_encoder(&Default::default());
        Self { gpu, encoder, pass: None, tap, stages: Vec::new(), paths: Vec::new() }
    }

    pub(crate) fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        let encoder = &mut self.encoder;
        self.pass.get_or_insert_with(|| {
            encoder.begin_compute_pass(&Default::default()).forget_lifetime()
        })
    }

    /// Copies rows of `width` out, if stages are tapped.
    pub(crate) fn stage(
        &mut self,
        name: impl FnOnce() -> String,
        rows: wgpu::BufferSlice<'_>,
        width: usize,
    ) {
        if self.tap == Tap::Stages {
            let readback = self.copy_out(rows);
            self.stages.push((name(), readback, rows.size(), width));
        }
    }

    pub(crate) fn copy_out(&mut self, rows: wgpu::BufferSlice<'_>) -> Readback {
        self.pass = None;
        let bytes = rows.size();
        let readback = Readback::within_scope(self.gpu, "tap", bytes);
        readback.record(&mut self.encoder, rows.buffer(), bytes);
        readback
    }
}

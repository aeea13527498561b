//! Dispatches that are recorded into one command buffer, with copies of the tapped buffers.

use crate::gpu::{Gpu, Readback};

/// A command buffer that is being recorded.
pub(crate) struct Recording<'g> {
    gpu: &'g Gpu,
    encoder: wgpu::CommandEncoder,
    /// The pass has forgotten its lifetime, so that it can live beside the encoder. It is dropped
    /// before the encoder is used.
    pass: Option<wgpu::ComputePass<'static>>,
}

impl<'g> Recording<'g> {
    pub(crate) fn new(gpu: &'g Gpu) -> Self {
        let encoder = gpu.device().create_command_encoder(&Default::default());
        Self { gpu, encoder, pass: None }
    }

    /// Returns the pass that dispatches go into.
    pub(crate) fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        self.pass.get_or_insert_with(|| {
            self.encoder.begin_compute_pass(&Default::default()).forget_lifetime()
        })
    }

    /// Copies the first `bytes` of a buffer as they are at this point.
    pub(crate) fn copy_out(&mut self, buffer: &wgpu::Buffer, bytes: u64) -> Readback {
        self.pass = None;
        let readback = Readback::within_scope(self.gpu, "tap", bytes);
        readback.record(&mut self.encoder, buffer, bytes);
        readback
    }

    /// Submits the command buffer.
    pub(crate) fn submit(self) -> wgpu::SubmissionIndex {
        let Self { gpu, encoder, pass } = self;
        drop(pass);
        gpu.queue().submit([encoder.finish()])
    }
}

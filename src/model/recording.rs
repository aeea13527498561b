//! Dispatches on their way into one command buffer, with copies of what is tapped.

use crate::gpu::{Gpu, Precision, Readback};
use crate::model::output::Tap;

/// A command buffer in the making.
pub(crate) struct Recording<'g> {
    pub(crate) gpu: &'g Gpu,
    target: Target<'g>,
    pub(crate) tap: Tap,
    pub(crate) stages: Vec<Stage>,
    pub(crate) paths: Vec<(Readback, u64)>,
}

/// Where dispatches go.
enum Target<'g> {
    /// A command buffer of our own. The pass is forgotten of its lifetime, so that it can live beside the encoder; it is dropped before the
    /// encoder is used.
    Own(Box<Own>),
    /// Somebody else's pass; nothing can be copied out between its dispatches.
    Pass(&'g mut wgpu::ComputePass<'static>),
}

struct Own {
    encoder: wgpu::CommandEncoder,
    pass: Option<wgpu::ComputePass<'static>>,
}

/// What a stage left, on its way to the host.
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) readback: Readback,
    pub(crate) bytes: u64,
    pub(crate) width: usize,
    pub(crate) stored: Precision,
}

impl<'g> Recording<'g> {
    pub(crate) fn new(gpu: &'g Gpu, tap: Tap) -> Self {
        let encoder = gpu.device().create_command_encoder(&Default::default());
        let target = Target::Own(Box::new(Own { encoder, pass: None }));
        Self { gpu, target, tap, stages: Vec::new(), paths: Vec::new() }
    }

    /// Into a pass that the caller began, without taps.
    pub(crate) fn within(gpu: &'g Gpu, pass: &'g mut wgpu::ComputePass<'static>) -> Self {
        let target = Target::Pass(pass);
        Self { gpu, target, tap: Tap::None, stages: Vec::new(), paths: Vec::new() }
    }

    pub(crate) fn pass(&mut self) -> &mut wgpu::ComputePass<'static> {
        match &mut self.target {
            Target::Own(own) => own.pass.get_or_insert_with(|| {
                own.encoder.begin_compute_pass(&Default::default()).forget_lifetime()
            }),
            Target::Pass(pass) => pass,
        }
    }

    /// The finished command buffer, if it is our own.
    pub(crate) fn finish(self) -> Option<wgpu::CommandBuffer> {
        match self.target {
            Target::Own(own) => {
                let Own { encoder, pass } = *own;
                drop(pass);
                Some(encoder.finish())
            }
            Target::Pass(_) => None,
        }
    }

    /// Copies f32 rows of `width` out, if stages are tapped.
    pub(crate) fn stage(
        &mut self,
        name: impl FnOnce() -> String,
        rows: wgpu::BufferSlice<'_>,
        width: usize,
    ) {
        self.stage_stored(name, rows, width, Precision::F32);
    }

    /// Copies rows of `width` out, if stages are tapped.
    pub(crate) fn stage_stored(
        &mut self,
        name: impl FnOnce() -> String,
        rows: wgpu::BufferSlice<'_>,
        width: usize,
        stored: Precision,
    ) {
        if self.tap == Tap::Stages {
            let readback = self.copy_out(rows);
            self.stages.push(Stage { name: name(), readback, bytes: rows.size(), width, stored });
        }
    }

    pub(crate) fn copy_out(&mut self, rows: wgpu::BufferSlice<'_>) -> Readback {
        let bytes = rows.size();
        let readback = Readback::within_scope(self.gpu, "tap", bytes);
        if let Target::Own(own) = &mut self.target {
            own.pass = None;
            readback.record(&mut own.encoder, rows.buffer(), bytes);
        }
        readback
    }
}

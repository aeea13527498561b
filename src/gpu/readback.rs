//! Reads results back to the host.

use futures_channel::oneshot;

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu};

/// A buffer that the host can read. A copy at the end of the work fills it.
#[derive(Debug)]
pub(crate) struct Readback {
    staging: Buffer,
}

impl Readback {
    pub(crate) async fn new(gpu: &Gpu, label: &str, bytes: u64) -> Result<Self> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Self { staging: gpu.buffer(label, bytes, usage).await? })
    }

    /// Creates the buffer within the error scope of the caller, which reports what goes wrong.
    pub(crate) fn within_scope(gpu: &Gpu, label: &str, bytes: u64) -> Self {
        let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self { staging: Buffer(staging) }
    }

    /// Records a copy of the first `bytes` bytes of `source`.
    pub(crate) fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        bytes: u64,
    ) {
        encoder.copy_buffer_to_buffer(source, 0, &self.staging, 0, bytes);
    }

    /// Records a copy of `bytes` bytes of `source` from an offset there to an offset here.
    pub(crate) fn record_part(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        from: u64,
        to: u64,
        bytes: u64,
    ) {
        encoder.copy_buffer_to_buffer(source, from, &self.staging, to, bytes);
    }

    /// Waits for the submitted copy and hands its first `bytes` bytes to `take`. This also waits
    /// for later submissions.
    pub(crate) async fn read<T>(
        &self,
        gpu: &Gpu,
        bytes: u64,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        self.read_after(gpu, None, bytes, take).await
    }

    /// Reads like [`Readback::read`] if the copy was part of `submission`. Later submissions go on
    /// meanwhile.
    pub(crate) async fn read_after<T>(
        &self,
        gpu: &Gpu,
        submission: Option<&wgpu::SubmissionIndex>,
        bytes: u64,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let (sender, mut receiver) = oneshot::channel();
        self.staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            let _ = sender.send(result);
        });
        // Native: this blocks until the copy is done and calls the callback. WebGPU: this returns
        // at once, and the event loop calls it.
        let submission_index = submission.cloned();
        let mut polled =
            gpu.device().poll(wgpu::PollType::Wait { submission_index, timeout: None });
        let mut mapped = receiver.try_recv().ok().flatten();
        if !matches!(mapped, Some(Ok(()))) {
            // wgpu reports a lost device only if all of its work is waited for.
            polled = gpu.device().poll(wgpu::PollType::wait_indefinitely());
        }
        gpu.check()?;
        let failed = |reason: String| Error::Gpu { what: "reading results back".into(), reason };
        polled.map_err(|cause| failed(cause.to_string()))?;
        if mapped.is_none() {
            mapped = receiver.await.ok();
        }
        gpu.check()?;
        mapped
            .ok_or_else(|| failed("the device dropped the request".into()))?
            .map_err(|cause| failed(cause.to_string()))?;
        let view =
            self.staging.get_mapped_range(0..bytes).map_err(|cause| failed(cause.to_string()))?;
        let taken = take(&view);
        drop(view);
        self.staging.unmap();
        Ok(taken)
    }
}

//! Buffers, whose sizes are checked against the device's limits before they are created.

use std::ops::Deref;

use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// Bytes that are written to the device between two flushes of the queue's staging memory.
const FLUSH_EVERY: usize = 16 << 20;

/// A buffer of the device.
///
/// In a browser its memory is freed when this value is dropped. A buffer that is merely forgotten
/// there waits for a garbage collection, and the collector sees a small handle, not the megabytes
/// behind it.
#[derive(Debug)]
pub(crate) struct Buffer(pub(crate) wgpu::Buffer);

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0
    }
}

#[cfg(target_arch = "wasm32")]
impl Drop for Buffer {
    fn drop(&mut self) {
        self.0.destroy();
    }
}

impl Gpu {
    /// Creates a buffer of `bytes`, which is a multiple of 4.
    ///
    /// # Errors
    /// [`Error::TooLarge`] names the limit that the size exceeds. Returns [`Error::OutOfMemory`] if
    /// the device has no room.
    pub(crate) async fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Buffer> {
        let limits = &self.capabilities().limits;
        let storage = usage.contains(wgpu::BufferUsages::STORAGE);
        let too_large = if storage && bytes > limits.max_storage_buffer_binding_size {
            Some(("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size))
        } else if bytes > limits.max_buffer_size {
            Some(("max_buffer_size", limits.max_buffer_size))
        } else {
            None
        };
        if let Some((limit_name, limit)) = too_large {
            return Err(Error::TooLarge {
                what: label.into(),
                bytes,
                limit_name,
                limit,
                adapter: self.info().name.clone(),
                hint: "use f16 weights, ask for more with GpuOptions::for_layer, or use a larger adapter",
            });
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage,
            mapped_at_creation: false,
        };
        self.scoped(label, || Buffer(self.device().create_buffer(&descriptor))).await
    }

    /// Uploads a storage buffer of `rows` rows, each of which `pack` writes as `row_bytes` bytes.
    /// The host never holds a second copy of the whole.
    pub(crate) async fn upload_rows(
        &self,
        label: &str,
        rows: usize,
        row_bytes: usize,
        pack: impl Fn(usize, &mut Vec<u8>),
    ) -> Result<Buffer> {
        // COPY_SRC is needed to find the node of an overflow: it reads back the rows that the token
        // engaged.
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let buffer = self.buffer(label, (rows * row_bytes) as u64, usage).await?;
        let rows_at_once = (FLUSH_EVERY / row_bytes).max(1);
        let mut bytes = Vec::with_capacity(rows_at_once.min(rows) * row_bytes);
        let mut flushed = None;
        for first in (0..rows).step_by(rows_at_once) {
            bytes.clear();
            for row in first..rows.min(first + rows_at_once) {
                pack(row, &mut bytes);
            }
            let flush = self
                .scoped(label, || {
                    self.queue().write_buffer(&buffer, (first * row_bytes) as u64, &bytes);
                    self.queue().submit([])
                })
                .await?;
            // Waits until only this flush still uses staging memory. (In a browser this returns at
            // once.)
            if let Some(submission_index) = flushed.replace(flush) {
                let submission_index = Some(submission_index);
                let wait = wgpu::PollType::Wait { submission_index, timeout: None };
                let polled = self.device().poll(wait);
                self.check()?;
                polled.map_err(|cause| Error::Gpu {
                    what: format!("uploading {label}"),
                    reason: cause.to_string(),
                })?;
            }
        }
        Ok(buffer)
    }
}

//! Measures the GPU time of a compute pass by timestamps.

use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Readback};

/// A timer of passes, by the device's own clock.
#[derive(Debug)]
pub struct Timer {
    query_set: wgpu::QuerySet,
    resolved: Buffer,
    readback: Readback,
}

/// The bytes of two timestamps.
const BYTES: u64 = 16;

impl Timer {
    /// Creates a timer, if the device has timestamps.
    ///
    /// # Errors
    /// Returns [`Error::Unsupported`] if the device lacks `TIMESTAMP_QUERY`.
    pub async fn new(gpu: &Gpu) -> Result<Self> {
        if !gpu.capabilities().timestamps {
            return Err(Error::Unsupported {
                what: "GPU timing".into(),
                adapter: gpu.info().name.clone(),
                missing: "timestamps (TIMESTAMP_QUERY)".into(),
            });
        }
        let descriptor = wgpu::QuerySetDescriptor {
            label: Some("timer"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        };
        let query_set = gpu.scoped("timer", || gpu.device().create_query_set(&descriptor)).await?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        Ok(Self {
            query_set,
            resolved: gpu.buffer("timer", BYTES, usage).await?,
            readback: Readback::new(gpu, "timer", BYTES).await?,
        })
    }

    /// Returns the seconds of GPU time that the pass recorded by `record` takes.
    ///
    /// # Errors
    /// Returns the error of `record`, or errors of the device.
    pub async fn time(
        &self,
        gpu: &Gpu,
        record: impl FnOnce(&mut wgpu::ComputePass<'static>) -> Result<()>,
    ) -> Result<f64> {
        gpu.scoped("timed pass", || {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            // The pass has forgotten its lifetime, so that it may be handed to whoever keeps
            // passes. It is dropped before the encoder goes on.
            let descriptor = wgpu::ComputePassDescriptor {
                label: Some("timed"),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &self.query_set,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                }),
            };
            let mut pass = encoder.begin_compute_pass(&descriptor).forget_lifetime();
            record(&mut pass)?;
            drop(pass);
            encoder.resolve_query_set(&self.query_set, 0..2, &self.resolved, 0);
            self.readback.record(&mut encoder, &self.resolved, BYTES);
            gpu.queue().submit([encoder.finish()]);
            Ok(())
        })
        .await??;
        let ticks = self
            .readback
            .read(gpu, BYTES, |bytes| {
                let stamps = bytes.as_chunks::<8>().0;
                u64::from_le_bytes(stamps[1]).saturating_sub(u64::from_le_bytes(stamps[0]))
            })
            .await?;
        Ok(ticks as f64 * f64::from(gpu.queue().get_timestamp_period()) * 1e-9)
    }
}

//! Where a model runs.

use crate::gpu::Gpu;

/// A GPU, or the host's threads. A `&Gpu` becomes one where one is asked for.
#[derive(Debug, Clone)]
pub enum Device {
    /// A GPU, through wgpu.
    Gpu(Gpu),
    /// The host: f32, vectorised, on the rayon pool of the thread that calls.
    #[cfg(feature = "cpu")]
    Host,
}

impl From<Gpu> for Device {
    fn from(gpu: Gpu) -> Self {
        Self::Gpu(gpu)
    }
}

impl From<&Gpu> for Device {
    fn from(gpu: &Gpu) -> Self {
        Self::Gpu(gpu.clone())
    }
}

impl From<&Device> for Device {
    fn from(device: &Device) -> Self {
        device.clone()
    }
}

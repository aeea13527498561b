//! The device that a model runs on.

#[cfg(feature = "cpu")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "cpu")]
use crate::gpu::adapter;
use crate::gpu::{AdapterChoice, Gpu, GpuOptions};

/// A GPU, or the host's threads. Functions that take `impl Into<Device>` accept a `&Gpu`.
#[derive(Debug, Clone)]
pub enum Device {
    /// A GPU, through wgpu.
    Gpu(Gpu),
    /// The host's threads: vectorised f32 arithmetic on the rayon pool of the calling thread.
    ///
    /// ```
    /// use cmm::{Device, GpuOptions};
    ///
    /// # pollster::block_on(async {
    /// let device = Device::request(&"cpu".parse()?, &GpuOptions::default()).await?;
    /// assert!(matches!(device, Device::Host));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })
    /// # .unwrap();
    /// ```
    #[cfg(feature = "cpu")]
    Host,
}

/// The device that a user asks for. It parses from `auto`, `cpu`, or the text of an
/// [`AdapterChoice`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The best GPU. If every adapter is a software one, the CPU: it is faster than its own
    /// imitation of a GPU.
    #[default]
    Auto,
    /// The host's threads.
    #[cfg(feature = "cpu")]
    Cpu,
    /// A GPU, which may be a software adapter.
    Gpu(AdapterChoice),
}

impl std::str::FromStr for DeviceChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::Auto);
        }
        #[cfg(feature = "cpu")]
        if text.eq_ignore_ascii_case("cpu") {
            return Ok(Self::Cpu);
        }
        Ok(Self::Gpu(text.parse()?))
    }
}

impl Device {
    /// Finds the device that is asked for. `options` say what work it is for; their adapter is
    /// ignored.
    ///
    /// # Errors
    /// Returns the errors of [`Gpu::request`].
    pub async fn request(choice: &DeviceChoice, options: &GpuOptions) -> Result<Self> {
        let options = |adapter: &AdapterChoice| options.clone().adapter(adapter.clone());
        let best = AdapterChoice::Default;
        match choice {
            #[cfg(feature = "cpu")]
            DeviceChoice::Cpu => Ok(Self::Host),
            DeviceChoice::Gpu(choice) => Ok(Gpu::request(&options(choice)).await?.into()),
            #[cfg(feature = "cpu")]
            DeviceChoice::Auto => match adapter(&best).await {
                Ok(adapter) if adapter.get_info().device_type != wgpu::DeviceType::Cpu => {
                    Ok(Gpu::from_adapter(&adapter, &options(&best)).await?.into())
                }
                Ok(_) | Err(Error::NoAdapter { .. }) => Ok(Self::Host),
                Err(error) => Err(error),
            },
            #[cfg(not(feature = "cpu"))]
            DeviceChoice::Auto => Ok(Gpu::request(&options(&best)).await?.into()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_from_text() {
        let parse = |text: &str| text.parse::<DeviceChoice>().unwrap();
        assert_eq!(parse("auto"), DeviceChoice::default());
        #[cfg(feature = "cpu")]
        assert_eq!(parse("CPU"), DeviceChoice::Cpu);
        assert_eq!(parse("2"), DeviceChoice::Gpu(AdapterChoice::Index(2)));
    }
}

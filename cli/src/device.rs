//! Which device a command runs on.

use std::str::FromStr;

use cmm::{AdapterChoice, Device, Error, Gpu, GpuOptions};

use crate::output::Failure;

/// What `--device` says.
#[derive(Clone)]
pub enum DeviceChoice {
    Cpu,
    Gpu(AdapterChoice),
}

impl FromStr for DeviceChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text.eq_ignore_ascii_case("cpu") { Self::Cpu } else { Self::Gpu(text.parse()?) })
    }
}

/// The device that is asked for; else the best GPU; else, where the only GPUs are software and no `kernels` are asked for, the CPU, which is
/// faster than it plays one.
pub async fn device(
    asked: Option<&DeviceChoice>,
    kernels: bool,
    options: impl Fn(AdapterChoice) -> GpuOptions,
) -> Result<Device, Failure> {
    let best = AdapterChoice::Default;
    match asked {
        Some(DeviceChoice::Cpu) => Ok(Device::Host),
        Some(DeviceChoice::Gpu(choice)) => Ok(Gpu::request(&options(choice.clone())).await?.into()),
        None if kernels => Ok(Gpu::request(&options(best)).await?.into()),
        None => match cmm::adapter(&best).await {
            Ok(adapter) if adapter.get_info().device_type != cmm::wgpu::DeviceType::Cpu => {
                Ok(Gpu::from_adapter(&adapter, &options(best)).await?.into())
            }
            Ok(_) | Err(Error::NoAdapter { .. }) => Ok(Device::Host),
            Err(error) => Err(error.into()),
        },
    }
}

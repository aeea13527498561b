//! Which device a command runs on.

use cmm::{AdapterChoice, Device, GpuOptions};

use crate::output::Failure;

pub use cmm::DeviceChoice;

/// The device that is asked for, or else the best; where `kernels` are asked for the best GPU, in software too.
pub async fn device(
    asked: Option<&DeviceChoice>,
    kernels: bool,
    options: GpuOptions,
) -> Result<Device, Failure> {
    let choice = match asked {
        Some(choice) => choice.clone(),
        None if kernels => DeviceChoice::Gpu(AdapterChoice::Default),
        None => DeviceChoice::Auto,
    };
    Ok(Device::request(&choice, &options).await?)
}

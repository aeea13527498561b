//! Which device a command runs on.

use cmm::{AdapterChoice, Device, Error, GpuOptions};

use crate::output::Failure;

pub use cmm::DeviceChoice;

/// The device that is asked for, or else the best one. Where `kernels` are asked for, the best one is a GPU, even one in software.
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
    Device::request(&choice, &options).await.map_err(explained)
}

/// Says what to do where the GPU that was asked for is not there.
pub fn explained(error: Error) -> Failure {
    match error {
        Error::NoAdapter { wanted, available } if available == "none" => format!(
            "no GPU adapter {wanted}, and this machine has no other: run on the CPU, with --device cpu and without --variant, or install a driver (on Linux without a GPU: apt-get install mesa-vulkan-drivers)"
        )
        .into(),
        Error::NoAdapter { wanted, available } => format!(
            "no GPU adapter {wanted}; --device takes cpu, or one of these by its number or name: {available}"
        )
        .into(),
        error => error.into(),
    }
}

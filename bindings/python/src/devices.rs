//! Finds devices by the names that users give them.

use cmm::{Device, DeviceChoice, GpuOptions, PciBusId, Precision, adapters as all_adapters};
use pyo3::prelude::*;

use crate::errors::choice;

/// An adapter: its place in the list, name, backend, kind, driver, and PCI bus id if the backend
/// reports it.
type Adapter = (usize, String, &'static str, String, String, Option<String>);

/// Returns the adapters, best first.
#[pyfunction]
pub fn adapters(py: Python<'_>) -> Vec<Adapter> {
    let described = |(index, adapter): (usize, &cmm::wgpu::Adapter)| {
        let info = adapter.get_info();
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
        let place = PciBusId::of(&info).map(|place| place.to_string());
        let kind = format!("{:?}", info.device_type);
        (index, info.name, info.backend.to_str(), kind, driver, place)
    };
    py.detach(|| pollster::block_on(all_adapters()).iter().enumerate().map(described).collect())
}

/// Finds the device of this name: `auto`, `cpu`, or an adapter.
pub fn request(name: &str, options: &GpuOptions) -> cmm::Result<Device> {
    let choice = match name.parse() {
        Ok(choice) => choice,
        Err(never) => match never {},
    };
    // An empty name means the best GPU, as for `AdapterChoice`.
    pollster::block_on(Device::request(&choice, options))
}

/// Describes a device: `cpu`, or an adapter with its backend.
pub fn shown(device: &Device) -> String {
    match device {
        Device::Host => "cpu".into(),
        Device::Gpu(gpu) => format!("{} ({})", gpu.info().name, gpu.info().backend.to_str()),
    }
}

/// Reads `f32` or `f16`.
pub fn precision(py: Python<'_>, what: &str, name: &str) -> PyResult<Precision> {
    choice(py, what, name, &[("f32", Precision::F32), ("f16", Precision::F16)])
}

/// Returns whether this name leaves the choice of the device to the library.
pub fn is_auto(name: &str) -> bool {
    name.parse() == Ok(DeviceChoice::Auto)
}

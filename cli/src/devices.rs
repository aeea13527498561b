//! `cmm devices`: the GPU adapters of this machine.

use std::process::ExitCode;

use clap::Args;
use cmm::{Capabilities, PciBusId, Precision, Variant, adapters};
use serde::Serialize;

use crate::help::OUTPUT;
use crate::output::{Failure, print};
use crate::table::{row, table};

#[derive(Args)]
pub struct Arguments {
    /// Print the list as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// One adapter, as `--json` prints it.
#[derive(Serialize)]
struct Device {
    index: usize,
    name: String,
    backend: &'static str,
    kind: String,
    driver: String,
    /// `domain:bus:device.function`, if the backend tells it.
    pci_bus_id: Option<String>,
    f16: bool,
    packed_f16: bool,
    subgroup_sizes: Option<(u32, u32)>,
    timestamps: bool,
    max_storage_buffer_binding_size: u64,
    max_buffer_size: u64,
    max_compute_workgroup_storage_size: u32,
    max_compute_invocations_per_workgroup: u32,
    variant_f32: Option<Variant>,
    variant_f16: Option<Variant>,
}

pub async fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let devices: Vec<_> = adapters().await.iter().enumerate().map(Device::new).collect();
    if arguments.json {
        print(&(serde_json::to_string_pretty(&devices)? + "\n"))?;
    } else if devices.is_empty() {
        eprintln!(
            "there is no GPU adapter: the commands run on the CPU (a software adapter on Linux: apt-get install mesa-vulkan-drivers)"
        );
    } else {
        print(&devices_table(&devices))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Device {
    fn new((index, adapter): (usize, &cmm::wgpu::Adapter)) -> Self {
        let info = adapter.get_info();
        let capabilities = Capabilities::of_adapter(adapter);
        let (variant_f32, variant_f16) =
            (capabilities.best(Precision::F32).ok(), capabilities.best(Precision::F16).ok());
        let Capabilities { adapter: name, f16, packed_f16, subgroup, timestamps, limits, .. } =
            capabilities;
        Self {
            index,
            name,
            backend: info.backend.to_str(),
            kind: format!("{:?}", info.device_type),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            pci_bus_id: PciBusId::of(&info).map(|place| place.to_string()),
            f16,
            packed_f16,
            subgroup_sizes: subgroup,
            timestamps,
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
            variant_f32,
            variant_f16,
        }
    }
}

fn devices_table(devices: &[Device]) -> String {
    let yes = |has: bool| if has { "yes" } else { "no" };
    let variant = |v: Option<Variant>| v.map_or("none".to_owned(), |v| v.to_string());
    let mut rows = vec![row([
        &"#",
        &"adapter",
        &"backend",
        &"kind",
        &"driver",
        &"f16",
        &"packed f16",
        &"subgroups",
        &"timestamps",
        &"largest binding",
        &"f32 variant",
        &"f16 variant",
    ])];
    for d in devices {
        let subgroups = match d.subgroup_sizes {
            None => "no".to_owned(),
            Some((least, most)) if least == most => least.to_string(),
            Some((least, most)) => format!("{least} to {most}"),
        };
        rows.push(row([
            &d.index,
            &d.name,
            &d.backend,
            &d.kind,
            &d.driver,
            &yes(d.f16),
            &yes(d.packed_f16),
            &subgroups,
            &yes(d.timestamps),
            &format!("{} MiB", d.max_storage_buffer_binding_size >> 20),
            &variant(d.variant_f32),
            &variant(d.variant_f16),
        ]));
    }
    table(&rows)
}

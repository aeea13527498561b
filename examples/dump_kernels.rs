//! Writes every kernel, put together from `shaders/`, as a WGSL file that an editor or naga can read:
//!
//! ```sh
//! cargo run --example dump_kernels -- DIR
//! ```
//!
//! The kernels are those of a device with every feature: f16, subgroups of 32, cooperative
//! matrices.

use std::collections::HashSet;
use std::error::Error;
use std::path::PathBuf;

use cmm::Capabilities;
use cmm::low_level::{cooperative_kernels, kernels_of, peak_kernels};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: dump_kernels DIR")?);
    let device = Capabilities {
        adapter: "one that has everything".into(),
        software: false,
        multiprocessors: 132,
        f16: true,
        packed_f16: true,
        subgroup: Some((32, 32)),
        cooperative: true,
        timestamps: true,
        limits: wgpu::Limits::default(),
    };
    let mut kernels = peak_kernels(device.f16);
    for variant in device.variants() {
        kernels.extend(kernels_of(&device, variant)?);
    }
    kernels.extend(cooperative_kernels(&device)?);
    std::fs::create_dir_all(&dir)?;
    // Some kernels have the same text and differ only in their overrides. The first one of a name
    // and text is written.
    let (mut texts, mut names) = (HashSet::new(), HashSet::new());
    for kernel in kernels {
        if !texts.insert(kernel.wgsl.clone()) {
            continue;
        }
        let plain = kernel.name.replace("->", "_to_");
        let plain: String =
            plain.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let name = (0..).map(|n| if n == 0 { plain.clone() } else { format!("{plain}_{n}") });
        let name = name.into_iter().find(|name| names.insert(name.clone())).unwrap_or(plain);
        let overrides =
            kernel.overrides.iter().map(|(name, value)| format!("// {name} = {value}\n"));
        let wgsl = kernel.wgsl + "\n// One layer sets:\n" + &overrides.collect::<String>();
        std::fs::write(dir.join(name + ".wgsl"), wgsl)?;
    }
    println!("{} kernels in {}", names.len(), dir.display());
    Ok(())
}

//! The adapters of the machine, and the choice of one of them.

use std::str::FromStr;

use crate::error::{Error, Result};
use crate::gpu::pci::PciBusId;

/// The adapter to use. It parses from `default`, an index into [`adapters`], a backend (`vulkan`,
/// `metal`, `dx12`, `gl`, `webgpu`), a PCI bus id (`0000:01:00.0`), or a part of the adapter's
/// name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AdapterChoice {
    /// The first of [`adapters`], which is the most capable kind of device.
    #[default]
    Default,
    /// The adapter at this index of [`adapters`].
    Index(usize),
    /// The first adapter of this backend.
    Backend(wgpu::Backend),
    /// The first adapter at this place on the PCI bus, by which schedulers of GPUs identify a card.
    PciBus(PciBusId),
    /// The first adapter whose name contains this text, in any case.
    Name(String),
}

impl FromStr for AdapterChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let backends =
            wgpu::Backend::ALL.into_iter().find(|b| b.to_str().eq_ignore_ascii_case(text));
        Ok(match (text, text.parse(), backends, text.parse()) {
            ("" | "default", ..) => Self::Default,
            (_, Ok(index), ..) => Self::Index(index),
            (_, _, Some(backend), _) => Self::Backend(backend),
            (.., Ok(place)) => Self::PciBus(place),
            _ => Self::Name(text.into()),
        })
    }
}

impl std::fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => write!(f, "was found"),
            Self::Index(index) => write!(f, "has index {index}"),
            Self::Backend(backend) => write!(f, "uses backend {}", backend.to_str()),
            Self::PciBus(place) => write!(f, "has PCI bus id {place}"),
            Self::Name(name) => write!(f, "is named like `{name}`"),
        }
    }
}

/// Returns the adapters that can run compute shaders, best first: discrete, integrated, virtual,
/// other, software; modern backends before GL; adapters with f16 before those without. wgpu's
/// environment variable `WGPU_BACKEND` narrows the list.
///
/// ```
/// # pollster::block_on(async {
/// for adapter in cmm::adapters().await {
///     println!("{} by {}", adapter.get_info().name, adapter.get_info().backend);
/// }
/// # });
/// ```
pub async fn adapters() -> Vec<wgpu::Adapter> {
    let mut adapters = modern_adapters().await;
    adapters.extend(enumerated(&new_instance(wgpu::Backends::GL)).await);
    sorted(adapters)
}

/// Returns the adapters of Vulkan, Metal, DX12 or WebGPU. Asking GL is slow, and its drivers print
/// messages that nobody wants to read.
async fn modern_adapters() -> Vec<wgpu::Adapter> {
    sorted(enumerated(&modern_instance()).await)
}

/// Creates an instance of wgpu with those of these backends that the environment allows.
fn new_instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends &= backends;
    wgpu::Instance::new(descriptor)
}

/// Returns the process's only instance for all backends but GL. When resources of two instances
/// meet in one pass, they are mistaken for each other; between two devices of one instance that is
/// an error. (GL's devices share the context of their instance, which only one thread may use at a
/// time, so each list of adapters has an instance of its own for GL.)
#[cfg(not(target_arch = "wasm32"))]
fn modern_instance() -> wgpu::Instance {
    static INSTANCE: std::sync::OnceLock<wgpu::Instance> = std::sync::OnceLock::new();
    INSTANCE.get_or_init(|| new_instance(!wgpu::Backends::GL)).clone()
}

/// Returns the browser's own instance; instances hold nothing there.
#[cfg(target_arch = "wasm32")]
fn modern_instance() -> wgpu::Instance {
    new_instance(!wgpu::Backends::GL)
}

async fn enumerated(instance: &wgpu::Instance) -> Vec<wgpu::Adapter> {
    let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
    adapters.retain(|adapter| {
        adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    adapters
}

fn sorted(mut adapters: Vec<wgpu::Adapter>) -> Vec<wgpu::Adapter> {
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        let f16 = adapter.features().contains(wgpu::Features::SHADER_F16);
        (kind, info.backend == wgpu::Backend::Gl, !f16)
    });
    adapters
}

/// Finds the adapter that `choice` means.
///
/// # Errors
/// [`Error::NoAdapter`] lists the adapters that exist.
pub async fn adapter(choice: &AdapterChoice) -> Result<wgpu::Adapter> {
    let hardware =
        |adapter: &wgpu::Adapter| adapter.get_info().device_type != wgpu::DeviceType::Cpu;
    let enough = match choice {
        AdapterChoice::Default => Some(hardware as fn(&wgpu::Adapter) -> bool),
        AdapterChoice::Backend(backend) if *backend != wgpu::Backend::Gl => {
            Some((|_| true) as fn(&wgpu::Adapter) -> bool)
        }
        AdapterChoice::PciBus(_) => Some((|_| true) as fn(&wgpu::Adapter) -> bool),
        // The choice is an index into the whole list, or a name that any backend may have.
        _ => None,
    };
    if let Some(enough) = enough {
        let mut modern = modern_adapters().await;
        if let Some(index) = chosen(choice, &modern)
            && enough(&modern[index])
        {
            return Ok(modern.swap_remove(index));
        }
    }
    let mut all = adapters().await;
    let wanted = chosen(choice, &all);
    match wanted {
        Some(index) => Ok(all.swap_remove(index)),
        None => {
            let names: Vec<_> = all
                .iter()
                .enumerate()
                .map(|(i, a)| (i, a.get_info()))
                .map(|(i, info)| match PciBusId::of(&info) {
                    Some(place) => format!("{i}: {} ({place})", info.name),
                    None => format!("{i}: {}", info.name),
                })
                .collect();
            Err(Error::NoAdapter {
                wanted: choice.to_string(),
                available: if names.is_empty() { "none".into() } else { names.join(", ") },
            })
        }
    }
}

/// Returns the index of the adapter that `choice` means.
fn chosen(choice: &AdapterChoice, all: &[wgpu::Adapter]) -> Option<usize> {
    match choice {
        AdapterChoice::Default => (!all.is_empty()).then_some(0),
        AdapterChoice::Index(index) => (*index < all.len()).then_some(*index),
        AdapterChoice::Backend(backend) => {
            all.iter().position(|a| a.get_info().backend == *backend)
        }
        AdapterChoice::PciBus(place) => {
            all.iter().position(|a| PciBusId::of(&a.get_info()) == Some(*place))
        }
        AdapterChoice::Name(name) => {
            let name = name.to_lowercase();
            all.iter().position(|a| a.get_info().name.to_lowercase().contains(&name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_from_text() {
        let parse = |text: &str| text.parse::<AdapterChoice>().unwrap();
        assert_eq!(parse("default"), AdapterChoice::Default);
        assert_eq!(parse("1"), AdapterChoice::Index(1));
        assert_eq!(parse("Vulkan"), AdapterChoice::Backend(wgpu::Backend::Vulkan));
        assert_eq!(parse("gl"), AdapterChoice::Backend(wgpu::Backend::Gl));
        assert_eq!(parse("00000000:1B:00.0"), parse("0000:1b:00.0"));
        assert!(matches!(parse("0000:1b:00.0"), AdapterChoice::PciBus(_)));
        assert_eq!(parse("llvmpipe"), AdapterChoice::Name("llvmpipe".into()));
    }
}

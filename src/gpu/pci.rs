//! The place of an adapter on the PCI bus: the one name of a card that graphics APIs, CUDA's tools
//! and the operating system share.

use std::str::FromStr;

use crate::error::{Error, Result};

/// A PCI address. It parses from hexadecimal `domain:bus:device.function`, for example
/// `0000:01:00.0` as wgpu and `lspci` write it. The domain may also have eight digits, as in
/// `nvidia-smi`, or be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PciBusId {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl PciBusId {
    /// Returns the address of an adapter, if its backend reports it. Vulkan and DX12 do for cards
    /// on a PCI bus.
    pub fn of(info: &wgpu::AdapterInfo) -> Option<Self> {
        info.device_pci_bus_id.parse().ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, function) = text.split_once('.')?;
        let mut parts = address.rsplit(':');
        let (device, bus) = (parts.next()?, parts.next()?);
        let domain = parts.next().unwrap_or("0");
        if parts.next().is_some() {
            return None;
        }
        let hex = |text: &str, digits: usize, most: u32| {
            let plain = (1..=digits).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let value = u32::from_str_radix(text, 16).ok();
            value.filter(|value| plain && *value <= most)
        };
        Some(Self {
            domain: hex(domain, 8, u32::MAX)?,
            bus: hex(bus, 2, 0xff)? as u8,
            device: hex(device, 2, 0x1f)? as u8,
            function: hex(function, 1, 7)? as u8,
        })
    }
}

impl FromStr for PciBusId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = "domain:bus:device.function such as 0000:01:00.0";
        Self::parse(text.trim()).ok_or_else(|| Error::input("a PCI bus id", expected, text))
    }
}

impl std::fmt::Display for PciBusId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_the_same_card() {
        let card: PciBusId = "0000:1b:00.0".parse().unwrap();
        for same in ["00000000:1B:00.0", "1b:00.0", " 0000:1B:00.0\n", "0:1b:0.0"] {
            assert_eq!(same.parse::<PciBusId>().unwrap(), card, "{same}");
        }
        assert_eq!(card.to_string(), "0000:1b:00.0");
        for other in ["0001:1b:00.0", "0000:1c:00.0", "0000:1b:01.0", "0000:1b:00.1"] {
            assert_ne!(other.parse::<PciBusId>().unwrap(), card, "{other}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "0",
            "vulkan",
            "1b:00",
            "1b.0",
            "g0:00.0",
            "0000:1b:20.0",
            "0000:1b:00.8",
            "0:0:1b:00.0",
            "+1:00.0",
            "000000000:1b:00.0",
            "0000:100:00.0",
            ":00.0",
        ] {
            assert!(bad.parse::<PciBusId>().is_err(), "{bad}");
        }
    }
}

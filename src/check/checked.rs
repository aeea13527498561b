//! What is checked: the reference itself, the host, or a device in one of its forms.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Variant};

/// What a case runs on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Checked {
    /// The f64 reference itself, held against stored results.
    Reference,
    /// The host, in f32.
    #[cfg(feature = "cpu")]
    Host,
    /// The host, with products of layers in 8-bit integers: whole encoders.
    #[cfg(feature = "cpu")]
    HostInt8,
    /// A device, in one variant of its kernels.
    Variant(Gpu, Variant),
    /// A device's cooperative matrices: whole encoders, weights and activations in f16.
    Cooperative(Gpu),
}

impl Checked {
    /// The device in words.
    pub fn device(&self) -> String {
        match self {
            Self::Reference => "CPU reference".into(),
            #[cfg(feature = "cpu")]
            Self::Host | Self::HostInt8 => "CPU".into(),
            Self::Variant(gpu, _) | Self::Cooperative(gpu) => {
                format!("{} ({})", gpu.info().name, gpu.info().backend.to_str())
            }
        }
    }

    /// How it computes.
    pub fn form(&self) -> String {
        match self {
            Self::Reference => "f64".into(),
            #[cfg(feature = "cpu")]
            Self::Host => "simd/f32".into(),
            #[cfg(feature = "cpu")]
            Self::HostInt8 => "simd/int8".into(),
            Self::Variant(_, variant) => variant.to_string(),
            Self::Cooperative(_) => "cooperative/f16".into(),
        }
    }

    /// Whether it runs whole encoders, and no FFF layers by themselves.
    pub fn encoders_only(&self) -> bool {
        match self {
            #[cfg(feature = "cpu")]
            Self::HostInt8 => true,
            Self::Cooperative(_) => true,
            _ => false,
        }
    }

    /// What the device lacks for it.
    pub fn missing(&self) -> Option<&'static str> {
        match self {
            Self::Variant(gpu, variant) => gpu.capabilities().missing(*variant),
            Self::Cooperative(gpu) if !gpu.capabilities().cooperative => {
                Some("cooperative matrices")
            }
            _ => None,
        }
    }

    /// The error of a case of a kind that it does not run.
    pub(super) fn runs_no<T>(&self, what: &str) -> Result<T> {
        Err(Error::Unsupported {
            what: what.into(),
            adapter: self.device(),
            missing: format!("a form of {} for them", self.form()),
        })
    }
}

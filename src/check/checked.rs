//! The subjects of a check: the reference itself, the host, or a device in one of its forms.

use crate::error::{Error, Result};
use crate::gpu::{Gpu, Variant};

/// The subject that a case runs on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Checked {
    /// The f64 reference itself, compared with stored results.
    Reference,
    /// The host, in f32.
    #[cfg(feature = "cpu")]
    Host,
    /// The host, with the products of its layers in 8-bit integers; it runs whole encoders.
    #[cfg(feature = "cpu")]
    HostInt8,
    /// A device, in one variant of its kernels.
    Variant(Gpu, Variant),
    /// The cooperative matrices of a device, with weights and activations in f16; they run whole
    /// encoders.
    Cooperative(Gpu),
}

impl Checked {
    /// Names the device.
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

    /// Names the form of the computation.
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

    /// Returns whether the subject runs whole encoders only, not single FFF layers.
    pub fn encoders_only(&self) -> bool {
        match self {
            #[cfg(feature = "cpu")]
            Self::HostInt8 => true,
            Self::Cooperative(_) => true,
            _ => false,
        }
    }

    /// Returns the feature that the device lacks for it, if any.
    pub fn missing(&self) -> Option<&'static str> {
        match self {
            Self::Variant(gpu, variant) => gpu.capabilities().missing(*variant),
            Self::Cooperative(gpu) if !gpu.capabilities().cooperative => {
                Some("cooperative matrices")
            }
            _ => None,
        }
    }

    /// Returns the error for a case of a kind that the subject does not run.
    pub(super) fn runs_no<T>(&self, what: &str) -> Result<T> {
        Err(Error::Unsupported {
            what: what.into(),
            adapter: self.device(),
            missing: format!("a form of {} that runs them", self.form()),
        })
    }
}

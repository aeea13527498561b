//! How an encoder is stored and run on a GPU.

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::gpu::{Capabilities, Variant, WeightFormat};
use crate::kernels::fits_cooperative;
use crate::model::EncoderConfig;

/// How an encoder is stored and run on a GPU: with f32 weights and activations in the variant that suits the device best, unless more is said.
/// f16 weights never change how activations are stored: that is a word of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EncoderOptions {
    /// How matrices are stored.
    pub weights: Precision,
    /// How what passes between a layer's operations is stored; the residual stream and all sums are f32. f16 runs on cooperative matrices
    /// (tensor cores), beside f16 weights.
    pub activations: Precision,
    /// A certain variant of the kernels, which says how matrices are stored too.
    pub variant: Option<Variant>,
}

impl EncoderOptions {
    /// Matrices stored so.
    pub fn weights(mut self, precision: Precision) -> Self {
        self.weights = precision;
        self
    }

    /// Activations stored so.
    pub fn activations(mut self, precision: Precision) -> Self {
        self.activations = precision;
        self
    }

    /// In a certain variant of the kernels.
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = Some(variant);
        self
    }

    /// Whether a device can run an encoder with f16 activations: it has cooperative matrices, for heads of 16, 32, 48 or 64 values.
    pub fn f16_activations(device: &Capabilities, config: &EncoderConfig) -> bool {
        let head = config.head_width();
        device.cooperative && device.packed_f16 && fits_cooperative(head)
    }

    /// The kernels' variant on a device.
    pub(crate) fn resolve(&self, device: &Capabilities, config: &EncoderConfig) -> Result<Variant> {
        let missing = |missing: &str| Error::Unsupported {
            what: "an encoder with f16 activations".into(),
            adapter: device.adapter.clone(),
            missing: missing.into(),
        };
        let variant = match (self.variant, self.activations) {
            (Some(variant), _) => variant,
            (None, Precision::F32) => device.best(self.weights)?,
            (None, Precision::F16) => device
                .variants()
                .into_iter()
                .find(|variant| variant.weights == WeightFormat::Packed)
                .ok_or_else(|| missing("packed f16 weights"))?,
        };
        if self.activations == Precision::F16 {
            if !Self::f16_activations(device, config) {
                let what = "cooperative matrices of 16 x 16 in f16, for heads of 16, 32, 48 or 64";
                return Err(missing(what));
            }
            let stored = if self.variant.is_none() { self.weights } else { Precision::F16 };
            if variant.weights != WeightFormat::Packed || stored != Precision::F16 {
                return Err(missing("f16 weights beside them"));
            }
        }
        Ok(variant)
    }
}

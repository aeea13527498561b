//! Options of how an encoder is stored and run.

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::gpu::{Capabilities, Variant, WeightFormat};
use crate::kernels::fits_cooperative;
use crate::model::EncoderConfig;

/// Options of how an encoder is stored and run. By default weights and activations are f32, in the
/// variant that suits the device best. f16 weights never change how activations are stored:
/// activations have an option of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EncoderOptions {
    /// The precision in which matrices are stored.
    pub weights: Precision,
    /// The precision of the values that pass between a layer's operations; the residual stream and
    /// all sums are f32. f16 activations run on cooperative matrices (tensor cores), with f16
    /// weights.
    pub activations: Precision,
    /// A certain variant of the kernels, which also decides how matrices are stored.
    pub variant: Option<Variant>,
    /// Whether the CPU computes products in 8-bit integers
    /// ([`Encoder::on_host_in_int8`](crate::Encoder::on_host_in_int8)); no GPU does.
    pub int8: bool,
}

impl EncoderOptions {
    /// Stores matrices in this precision.
    pub fn weights(mut self, precision: Precision) -> Self {
        self.weights = precision;
        self
    }

    /// Stores activations in this precision.
    pub fn activations(mut self, precision: Precision) -> Self {
        self.activations = precision;
        self
    }

    /// Runs a certain variant of the kernels.
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = Some(variant);
        self
    }

    /// Computes products in 8-bit integers, on the CPU.
    pub fn int8(mut self, int8: bool) -> Self {
        self.int8 = int8;
        self
    }

    /// Returns whether a device can run an encoder with f16 activations: it needs cooperative
    /// matrices, which take heads of 16, 32, 48 or 64 values.
    pub fn f16_activations(device: &Capabilities, config: &EncoderConfig) -> bool {
        let head = config.head_width();
        device.cooperative && device.packed_f16 && fits_cooperative(head)
    }

    /// Returns the variant of the kernels that runs on a device.
    pub(crate) fn resolve(&self, device: &Capabilities, config: &EncoderConfig) -> Result<Variant> {
        if self.int8 {
            return Err(Error::input("products in int8", "the CPU", "a GPU"));
        }
        if self.activations == Precision::F32 {
            return self.variant.map_or_else(|| device.best(self.weights), Ok);
        }
        let packed = |variant: &Variant| variant.weights == WeightFormat::Packed;
        let stored = match self.variant {
            Some(variant) if packed(&variant) => Precision::F16,
            Some(_) => Precision::F32,
            None => self.weights,
        };
        if stored != Precision::F16 {
            let expected = "f32, unless weights are f16 too (--precision f16, or a packed variant)";
            return Err(Error::input("activations", expected, "f16"));
        }
        let variant = self.variant.or_else(|| device.variants().into_iter().find(packed));
        variant.filter(|_| Self::f16_activations(device, config)).ok_or_else(|| {
            Error::Unsupported {
                what: "an encoder with f16 activations".into(),
                adapter: device.adapter.clone(),
                missing: "cooperative matrices of 16 x 16 in f16, for heads of 16, 32, 48 or 64"
                    .into(),
            }
        })
    }
}

//! The capabilities of a device, and the kernel variant that suits them best.

use std::str::FromStr;

use serde::Serialize;

use crate::dtype::Precision;
use crate::error::{Error, Result};

/// The way in which the sum of a logit is reduced across lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// Through workgroup memory, which every adapter and browser has.
    Workgroup,
    /// By subgroup operations.
    Subgroup,
}

/// The format of weights on the device. Sums are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// f32.
    F32,
    /// Pairs of f16 in a u32, widened by `unpack2x16float`.
    Packed,
    /// The type f16 of WGSL.
    F16,
}

/// A variant of the kernels: how they reduce sums and how they store weights. Its text form is, for
/// example, `subgroup/packed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The reduction.
    pub reduction: Reduction,
    /// The weight format.
    pub weights: WeightFormat,
}

impl WeightFormat {
    /// Returns the precision of the stored weights.
    pub fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Packed | Self::F16 => Precision::F16,
        }
    }
}

impl Variant {
    /// All variants; for each precision the preferred ones come first.
    pub const ALL: [Self; 6] = {
        use {Reduction::*, WeightFormat::*};
        const fn variant(reduction: Reduction, weights: WeightFormat) -> Variant {
            Variant { reduction, weights }
        }
        [
            variant(Subgroup, F32),
            variant(Subgroup, Packed),
            variant(Subgroup, F16),
            variant(Workgroup, F32),
            variant(Workgroup, Packed),
            variant(Workgroup, F16),
        ]
    };
}

impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reduction = match self.reduction {
            Reduction::Workgroup => "workgroup",
            Reduction::Subgroup => "subgroup",
        };
        let weights = match self.weights {
            WeightFormat::F32 => "f32",
            WeightFormat::Packed => "packed",
            WeightFormat::F16 => "f16",
        };
        write!(f, "{reduction}/{weights}")
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|v| v.to_string() == text).ok_or_else(|| {
            Error::input("variant", Self::ALL.map(|v| v.to_string()).join(", "), text)
        })
    }
}

impl Serialize for Variant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The capabilities of a device that matter to this crate.
#[derive(Debug, Clone, PartialEq)]
pub struct Capabilities {
    /// The name of the adapter, for messages.
    pub adapter: String,
    /// Whether the adapter runs shaders in software, on a processor.
    pub software: bool,
    /// The approximate number of multiprocessors, by the kind of adapter: WebGPU does not report
    /// it.
    pub multiprocessors: u32,
    /// Whether WGSL has the type f16 (`SHADER_F16`).
    pub f16: bool,
    /// Whether `unpack2x16float` works.
    pub packed_f16: bool,
    /// The sizes of the smallest and the largest subgroup, if compute shaders have subgroup
    /// operations.
    pub subgroup: Option<(u32, u32)>,
    /// Whether there are cooperative matrices (tensor cores) of 16 x 16, with f16 operands and f32
    /// sums, in subgroups of 32.
    pub cooperative: bool,
    /// Whether GPU timestamps around a pass are available.
    pub timestamps: bool,
    /// The limits that are in force.
    pub limits: wgpu::Limits,
}

/// The optional features that kernels and timers use where an adapter has them.
pub(crate) const WANTED_FEATURES: wgpu::Features = wgpu::Features::SHADER_F16
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
    .union(wgpu::Features::TIMESTAMP_QUERY);

/// Bytes of workgroup memory that the kernels on cooperative matrices take at most.
pub const COOPERATIVE_STORAGE: u32 = 47 << 10;

impl Capabilities {
    /// Returns the capabilities that an adapter's device has if all features and limits are
    /// requested.
    pub fn of_adapter(adapter: &wgpu::Adapter) -> Self {
        Self::new(adapter, adapter.features(), adapter.limits())
    }

    pub(crate) fn new(
        adapter: &wgpu::Adapter,
        features: wgpu::Features,
        limits: wgpu::Limits,
    ) -> Self {
        let info = adapter.get_info();
        let subgroup = (features.contains(wgpu::Features::SUBGROUP) && info.subgroup_min_size > 0)
            .then_some((info.subgroup_min_size, info.subgroup_max_size));
        let sizes = adapter.cooperative_matrix_properties();
        let cooperative = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
            && (features.contains(wgpu::Features::SHADER_F16) && subgroup == Some((32, 32)))
            && limits.max_compute_workgroup_storage_size >= COOPERATIVE_STORAGE
            && limits.max_compute_invocations_per_workgroup >= 256
            && sizes.iter().any(|size| {
                (size.m_size, size.n_size, size.k_size) == (16, 16, 16)
                    && size.ab_type == wgpu::CooperativeScalarType::F16
                    && size.cr_type == wgpu::CooperativeScalarType::F32
            });
        let downlevel = adapter.get_downlevel_capabilities().flags;
        Self {
            software: info.device_type == wgpu::DeviceType::Cpu,
            multiprocessors: multiprocessors(info.device_type),
            adapter: info.name,
            f16: features.contains(wgpu::Features::SHADER_F16),
            packed_f16: downlevel.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32),
            subgroup,
            cooperative,
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            limits,
        }
    }

    /// Returns what a variant needs and this device lacks, if anything.
    pub fn missing(&self, variant: Variant) -> Option<&'static str> {
        match variant.weights {
            WeightFormat::F16 if !self.f16 => return Some("f16 in shaders (SHADER_F16)"),
            WeightFormat::Packed if !self.packed_f16 => {
                return Some("unpack2x16float (SHADER_F16_IN_F32)");
            }
            _ => {}
        }
        (variant.reduction == Reduction::Subgroup && self.subgroup.is_none())
            .then_some("subgroup operations (SUBGROUP)")
    }

    /// Returns the variants that this device can run; for each precision the preferred ones come
    /// first.
    pub fn variants(&self) -> Vec<Variant> {
        Variant::ALL.into_iter().filter(|v| self.missing(*v).is_none()).collect()
    }

    /// Returns the variant to use for a precision.
    ///
    /// # Errors
    /// Returns [`Error::Unsupported`] if the device can neither unpack f16 nor compute with it.
    pub fn best(&self, precision: Precision) -> Result<Variant> {
        let found = self.variants().into_iter().find(|v| v.weights.precision() == precision);
        found.ok_or_else(|| Error::Unsupported {
            what: "f16 weights".into(),
            adapter: self.adapter.clone(),
            missing: "unpack2x16float or f16 in shaders".into(),
        })
    }
}

/// Returns the number of multiprocessors of a data centre's GPU, on which thresholds were measured;
/// of what laptops and phones may have; or of the host's threads.
fn multiprocessors(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => 132,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Other => 16,
        wgpu::DeviceType::Cpu => std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(f16: bool, packed_f16: bool, subgroup: Option<(u32, u32)>) -> Capabilities {
        Capabilities {
            adapter: "test".into(),
            software: false,
            multiprocessors: 132,
            f16,
            packed_f16,
            subgroup,
            cooperative: false,
            timestamps: false,
            limits: wgpu::Limits::default(),
        }
    }

    #[test]
    fn best_variants() {
        let best = |c: &Capabilities, p| c.best(p).unwrap().to_string();
        let full = device(true, true, Some((32, 32)));
        assert_eq!(best(&full, Precision::F32), "subgroup/f32");
        assert_eq!(best(&full, Precision::F16), "subgroup/packed");
        let browser = device(true, true, None);
        assert_eq!(best(&browser, Precision::F32), "workgroup/f32");
        let poor = device(false, false, None);
        assert_eq!(best(&poor, Precision::F32), "workgroup/f32");
        assert!(poor.best(Precision::F16).unwrap_err().to_string().contains("test"));
        assert_eq!(poor.variants().len(), 1);
    }

    #[test]
    fn variants_from_text() {
        for variant in Variant::ALL {
            assert_eq!(variant.to_string().parse::<Variant>().unwrap(), variant);
        }
        let message = "wave/f8".parse::<Variant>().unwrap_err().to_string();
        assert!(message.contains("subgroup/packed") && message.contains("wave/f8"), "{message}");
    }
}

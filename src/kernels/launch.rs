//! The layout of lanes over the rows that a kernel reduces.

use crate::error::{Error, Result};
use crate::gpu::{Capabilities, Reduction, Variant, shader};

/// The most values of a row that one lane keeps before more lanes share a token.
const VALUES_PER_LANE: usize = 32;
/// The same without subgroups, where every further lane costs little.
const VALUES_PER_LANE_WORKGROUP: usize = 16;
/// The most lanes that share a token: the limit on a workgroup's size on every WebGPU device.
const MAX_LANES: u32 = 256;
/// Lanes of a workgroup if a subgroup holds a whole token.
const GROUP_OF_SUBGROUPS: u32 = 128;

/// The layout of lanes over tokens.
pub(crate) struct Launch {
    /// The shader part that sums over a token's lanes.
    pub(crate) reduction: &'static str,
    /// Lanes that share a token.
    pub(crate) lanes: u32,
    /// Tokens of a workgroup.
    pub(crate) tokens: u32,
    /// Whether the lanes of a token are exactly one subgroup.
    pub(crate) one_subgroup: bool,
}

impl Launch {
    /// Chooses the layout for rows of at most `widest` values.
    pub(crate) fn new(widest: usize, variant: Variant, device: &Capabilities) -> Result<Self> {
        if let Some(missing) = device.missing(variant) {
            return Err(Error::Unsupported {
                what: format!("variant {variant}"),
                adapter: device.adapter.clone(),
                missing: missing.into(),
            });
        }
        let lanes_for = |per_lane: usize, least: u32| {
            let mut lanes = least;
            while (lanes as usize) * per_lane < widest && lanes * 2 <= MAX_LANES {
                lanes *= 2;
            }
            lanes
        };
        match (variant.reduction, device.subgroup) {
            (Reduction::Workgroup, _) => Ok(Self {
                reduction: shader!("parts/sum_workgroup.wgsl"),
                lanes: lanes_for(VALUES_PER_LANE_WORKGROUP, 32),
                tokens: 1,
                one_subgroup: false,
            }),
            (Reduction::Subgroup, Some((least, most)))
                if least.is_power_of_two() && most.is_power_of_two() && most <= MAX_LANES =>
            {
                let lanes = lanes_for(VALUES_PER_LANE, most);
                if least == most && lanes == most {
                    let tokens = (GROUP_OF_SUBGROUPS / lanes).max(1);
                    Ok(Self {
                        reduction: shader!("parts/sum_subgroup.wgsl"),
                        lanes,
                        tokens,
                        one_subgroup: true,
                    })
                } else {
                    Ok(Self {
                        reduction: shader!("parts/sum_subgroups.wgsl"),
                        lanes,
                        tokens: 1,
                        one_subgroup: false,
                    })
                }
            }
            (Reduction::Subgroup, found) => Err(Error::Unsupported {
                what: variant.to_string(),
                adapter: device.adapter.clone(),
                missing: format!("subgroups of a power of two up to {MAX_LANES}, not {found:?}"),
            }),
        }
    }
}

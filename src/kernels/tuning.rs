//! The numbers of rows from which one kernel is faster than another.
//!
//! They were measured on an H200 and an H100 (docs/kernels.md). For other devices they are scaled
//! by the approximate number of multiprocessors: a kernel that does more work to keep a device busy
//! loses once there are enough rows for that. The kernels for few rows were also measured on
//! adapters in software, where reading weights costs no more than anything else and both sides of a
//! branch are computed.

use crate::dtype::Precision;
use crate::gpu::Capabilities;

/// Multiprocessors of the device on which the thresholds were measured.
const MEASURED: u32 = 132;

/// Scales a number of rows from the measured device to a device of this size.
fn scaled(rows: u32, multiprocessors: u32) -> u32 {
    rows.saturating_mul(multiprocessors).div_ceil(MEASURED)
}

/// The thresholds at which one kernel gives way to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// The number of rows up to which a dense layer's kernels for few rows are used.
    few: u32,
    /// Whether the adapter is a software one.
    software: bool,
    /// The number of the larger tile's workgroups below which the smaller tile keeps a device
    /// busier.
    full: u32,
    /// Levels that the lookahead kernels evaluate at once, and the number of rows up to which each
    /// kernel is used: first for f32 weights, then for f16 weights.
    lookahead: [[(u32, u32); 2]; 2],
    /// The number of multiprocessors of this device.
    multiprocessors: u32,
}

/// A kernel of a dense layer for few rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Few {
    /// The number of rows that share a read of the weights.
    pub(crate) at_once: u32,
    /// Whether it has a separate loop for groups in which no row is missing.
    pub(crate) whole: bool,
    /// The number of rows up to which it is used.
    pub(crate) up_to: u32,
}

impl Tuning {
    /// Returns the thresholds for a device.
    pub(crate) fn of(device: &Capabilities) -> Self {
        let scaled = |rows| scaled(rows, device.multiprocessors);
        Self {
            few: if device.software { 16 } else { scaled(128).max(16) },
            software: device.software,
            full: device.multiprocessors.saturating_mul(2),
            lookahead: [[(3, 192), (2, 384)], [(3, 128), (2, 640)]]
                .map(|kernels| kernels.map(|(ahead, rows)| (ahead, scaled(rows)))),
            multiprocessors: device.multiprocessors,
        }
    }

    /// Returns a dense layer's kernels for few rows; the one for the fewest rows comes first.
    pub(crate) fn dense_few(&self, weights: Precision) -> Vec<Few> {
        // With f16 weights, many groups are faster with one loop than with two.
        let most_whole = if weights == Precision::F16 { 32 } else { u32::MAX };
        let kernels = [(1, 1), (2, 2), (4, 4), (8, self.few.min(most_whole)), (8, self.few)];
        let few = |(at_once, up_to)| {
            let whole = !self.software && up_to <= most_whole;
            Few { at_once, whole, up_to }
        };
        let mut kernels = kernels.map(few).to_vec();
        kernels.dedup_by_key(|few| few.up_to);
        kernels
    }

    /// Returns the number of tokens up to which each token has a workgroup of its own in the leaf
    /// form. Leaves have this many `neurons`; grouped tokens would be computed by tiles of
    /// cooperative matrices or of f32. The time of such a workgroup grows with its leaf, and so
    /// does that of tiles in f32.
    pub(crate) fn leaf_few(&self, neurons: u32, cooperative: bool) -> u32 {
        if self.software {
            return 16;
        }
        let rows = if cooperative {
            65_536 / neurons.max(32)
        } else {
            327_680 / neurons.saturating_add(128)
        };
        scaled(rows.max(1), self.multiprocessors)
    }

    /// Returns the levels at once, and the number of rows up to which each is used, of the
    /// lookahead kernels; the one for the fewest rows comes first.
    pub(crate) fn lookahead(&self, weights: Precision) -> [(u32, u32); 2] {
        match weights {
            Precision::F32 => self.lookahead[0],
            Precision::F16 => self.lookahead[1],
        }
    }

    /// Returns the number of rows up to which tiles of `rows` rows, `across` of them side by side,
    /// leave a device idle or are half empty.
    pub(crate) fn rows_of_small_tiles(&self, across: u32, rows: u32) -> u32 {
        self.full.div_ceil(across).saturating_sub(1).saturating_mul(rows).max(rows / 2)
    }

    /// Returns the number of rows up to which a dense layer on cooperative matrices is fastest where
    /// so many subgroups share the inputs of 16 outputs.
    pub(crate) fn rows_of_split(&self, subgroups: u32) -> u32 {
        let rows = if subgroups > 4 { 32 } else { 192 };
        scaled(rows, self.multiprocessors).max(16)
    }
}

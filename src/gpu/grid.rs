//! The number of workgroups that compute a number of rows.

use crate::gpu::Capabilities;

/// The way in which a kernel's workgroups are laid over the rows that it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grid {
    /// Each workgroup computes this many rows. Workgroups are counted in x and then in y.
    Rows(u32),
    /// Each invocation computes one of a row's `units`.
    Units {
        /// Units of a row.
        units: u32,
        /// Invocations of a workgroup.
        group: u32,
    },
    /// A workgroup computes a tile of `rows` rows. `across` tiles lie side by side in x; further
    /// rows are in y, then in z.
    Tiles {
        /// Tiles side by side.
        across: u32,
        /// Rows of a tile.
        rows: u32,
    },
    /// Like [`Grid::Tiles`], but rows are in groups, and each group begins tiles of its own. The
    /// grid has as many tiles as there can be.
    Grouped {
        /// Tiles side by side.
        across: u32,
        /// Rows of a tile.
        rows: u32,
        /// Groups of rows.
        groups: u32,
    },
    /// One workgroup, however many rows there are.
    Once,
    /// `across` workgroups, in x and y, share each `rows` rows; z counts these.
    Columns {
        /// Workgroups side by side.
        across: u32,
        /// Rows that they share.
        rows: u32,
    },
    /// A workgroup computes one head of one row, which is an attention tile of up to `queries`
    /// queries. Heads are in x, rows in y and then z, so that workgroups that run side by side read
    /// the same rows.
    Heads {
        /// Heads.
        heads: u32,
        /// Queries of a tile.
        queries: u32,
    },
}

impl Grid {
    /// Returns the rows of a workgroup, if it computes whole rows.
    pub(crate) fn rows(self) -> Option<u32> {
        match self {
            Self::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    /// Returns the number of workgroups in x, y and z that compute `rows` rows. One dimension holds
    /// at most 65,535.
    pub fn workgroups(self, rows: u32, device: &Capabilities) -> [u32; 3] {
        let limit = device.limits.max_compute_workgroups_per_dimension.max(1);
        let two = |groups: u64| {
            let x = groups.clamp(1, u64::from(limit));
            [x as u32, groups.div_ceil(x) as u32]
        };
        let spread = |groups: u64| {
            let [x, y] = two(groups);
            [x, y, 1]
        };
        match self {
            Self::Rows(each) => spread(u64::from(rows.div_ceil(each.max(1)))),
            Self::Units { units, group } => {
                spread((u64::from(rows) * u64::from(units)).div_ceil(u64::from(group.max(1))))
            }
            Self::Tiles { across, rows: each } => {
                let [y, z] = two(u64::from(rows.div_ceil(each.max(1))));
                [across, y, z]
            }
            Self::Grouped { across, rows: each, groups } => {
                let tiles = u64::from(rows / each.max(1)) + u64::from(groups);
                let [y, z] = two(tiles.min(u64::from(rows)));
                [across, y, z]
            }
            Self::Once => [1, 1, 1],
            Self::Columns { across, rows: each } => {
                let [x, y] = two(u64::from(across));
                [x, y, rows.div_ceil(each.max(1))]
            }
            Self::Heads { heads, .. } => {
                let [y, z] = two(u64::from(rows));
                [heads, y, z]
            }
        }
    }
}

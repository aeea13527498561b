//! How many workgroups compute so many rows.

use crate::gpu::Capabilities;

/// How a kernel's workgroups are laid over the rows that it computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grid {
    /// Each computes so many rows, counted in x and then in y.
    Rows(u32),
    /// Each invocation computes one of a row's `units`; `group` of them a workgroup.
    Units {
        /// Of a row.
        units: u32,
        /// Invocations of a workgroup.
        group: u32,
    },
    /// Tiles of `rows` rows, `across` of them side by side in x; further rows in y, then z.
    Tiles {
        /// Tiles side by side.
        across: u32,
        /// Rows of a tile.
        rows: u32,
    },
    /// As [`Grid::Tiles`], of rows in so many groups, of which each begins tiles of its own: as many as there can be.
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
    /// `across` workgroups in x and y for each `rows` rows in z.
    Columns {
        /// Workgroups side by side.
        across: u32,
        /// Rows that they share.
        rows: u32,
    },
    /// A workgroup for each head, in x, of each row, an attention tile of up to `queries` queries, in y and then z: those that run side by side
    /// read the same rows.
    Heads {
        /// Heads.
        heads: u32,
        /// Queries of a tile.
        queries: u32,
    },
}

impl Grid {
    /// Rows of a workgroup, where it computes whole rows.
    pub(crate) fn rows(self) -> Option<u32> {
        match self {
            Self::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    /// Workgroups to dispatch for so many rows, in x, y and z, since one dimension holds 65,535.
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

//! Dense layers (DMM) in f32 arithmetic: tiles for many rows, whole rows of weights for few.

use crate::dtype::row_stride;
use crate::error::Result;
use crate::gpu::{Candidate, Capabilities, Grid, KernelDef, KernelSource, Variant, shader};
use crate::kernels::{Few, Launch, Tuning, storage, units, weight4};
use crate::plan::Activation;

/// Threads along a side of a workgroup: tiles of 128 and of 64.
const SIDES: [u32; 2] = [16, 8];
/// Inputs of a tile in workgroup memory.
const BLOCK: u32 = 16;
/// Width up to which a row of weights is for one subgroup, where there are subgroups of 32; wider rows are for several.
const FEW_WIDEST: usize = 1024;
/// The longest loop over a lane's vec4 that is written out.
const MAX_UNROLLED: u32 = 32;

/// What a dense layer on a device is asked to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseSpec {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) activation: Activation,
    /// Whether the result is added to what y holds.
    pub(crate) adds: bool,
    /// Which of the extents its rows are.
    pub(crate) extent: u32,
}

impl DenseSpec {
    /// What a name says of it.
    pub(crate) fn label(&self) -> String {
        let Self { input, output, activation, adds, .. } = self;
        format!("{input}->{output} {activation:?}{}", if *adds { " added" } else { "" })
    }

    /// The kernels that compute it: for few rows, in smaller and in larger tiles.
    pub(crate) fn candidates(
        self,
        variant: Variant,
        device: &Capabilities,
    ) -> Result<Vec<Candidate>> {
        let tuning = Tuning::of(device);
        let mut candidates = Vec::new();
        for few in tuning.dense_few(variant.weights.precision()) {
            let source = self.few(variant, device, few)?;
            candidates.push(Candidate { source, up_to: few.up_to, schedule: "rows".into() });
        }
        // The larger tile only where workgroup memory holds it.
        let memory = device.limits.max_compute_workgroup_storage_size;
        let fits = |side: &&u32| 2 * BLOCK * 2 * **side * 16 <= memory;
        let sides: Vec<u32> = SIDES.iter().filter(fits).copied().collect();
        for (place, side) in sides.iter().enumerate().rev() {
            let source = self.tiles(variant, *side);
            let up_to = match sides[..place].last() {
                None => u32::MAX,
                Some(larger) => {
                    let tile = 8 * larger;
                    let across = (row_stride(self.output) as u32).div_ceil(tile);
                    tuning.rows_of_small_tiles(across, tile)
                }
            };
            candidates.push(Candidate { source, up_to, schedule: "tiles".into() });
        }
        Ok(candidates)
    }

    fn overrides(&self) -> Vec<(&'static str, u32)> {
        vec![
            ("EXTENT", self.extent),
            ("IN4", units(self.input)),
            ("ROWS", self.output as u32),
            ("ACTIVATION", self.activation as u32),
            ("ACCUMULATE", u32::from(self.adds)),
        ]
    }

    /// In tiles of 8 * `side`.
    fn tiles(&self, variant: Variant, side: u32) -> KernelSource {
        let (group, loads, tile) = (side * side, 16 / side, 8 * side);
        let mut overrides = self.overrides();
        overrides.push(("OUT4", units(self.output)));
        let def = KernelDef {
            // Of the format alone, whatever the reduction, so that variants share it.
            name: format!("dense {} {:?} {side}", self.label(), variant.weights),
            parts: &[
                weight4(variant.weights),
                shader!("parts/extent.wgsl"),
                shader!("parts/gelu.wgsl"),
                shader!("dense.wgsl"),
            ],
            constants: &[
                ("SIDE", side),
                ("GROUP", group),
                ("LOADS", loads),
                ("BLOCK", BLOCK),
                ("EIGHT", 8),
            ],
            declarations: &[],
            loops: &[("LOADS", loads, 2), ("BLOCK", BLOCK, BLOCK), ("EIGHT", 8, 8)],
            overrides,
            bindings: storage(3, 1),
            group,
            grid: Grid::Tiles {
                across: (row_stride(self.output) as u32).div_ceil(tile),
                rows: tile,
            },
        };
        def.source()
    }

    /// Some rows with each row of weights.
    fn few(&self, variant: Variant, device: &Capabilities, few: Few) -> Result<KernelSource> {
        let at_once = few.at_once;
        let widest = row_stride(self.input).min(FEW_WIDEST);
        let Launch { reduction, lanes, tokens, .. } = Launch::new(widest, variant, device)?;
        let per_lane = units(self.input).div_ceil(lanes);
        let group = lanes * tokens;
        let stride = row_stride(self.output) as u32;
        let mut overrides = self.overrides();
        overrides.push(("OUT", stride));
        let def = KernelDef {
            name: format!("dense_few {} {variant} {at_once} {}", self.label(), few.whole),
            parts: &[
                weight4(variant.weights),
                shader!("parts/extent.wgsl"),
                reduction,
                shader!("parts/gelu.wgsl"),
                shader!("dense_few.wgsl"),
            ],
            constants: &[
                ("LANES", lanes),
                ("TOKENS", tokens),
                ("GROUP", group),
                ("PER_LANE", per_lane),
                ("AT_ONCE", at_once),
                ("WHOLE_GROUPS", u32::from(few.whole)),
            ],
            declarations: &[],
            loops: &[("AT_ONCE", at_once, at_once), ("PER_LANE", per_lane, MAX_UNROLLED)],
            overrides,
            bindings: storage(3, 1),
            group,
            grid: Grid::Columns { across: stride.div_ceil(tokens), rows: at_once },
        };
        Ok(def.source())
    }
}

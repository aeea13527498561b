//! Dense layers (DMM) in f32 arithmetic: tiles for many rows, whole rows of weights for few.

use crate::dtype::row_stride;
use crate::error::Result;
use crate::gpu::{
    Binding, Candidate, Capabilities, Grid, KernelDef, KernelSource, Variant, shader,
};
use crate::kernels::{Few, Launch, Tuning, storage, units, weight4};
use crate::plan::Activation;

/// Threads along a side of a workgroup, for tiles of 128 and of 64.
const SIDES: [u32; 2] = [16, 8];
/// Inputs of a tile in workgroup memory.
const BLOCK: u32 = 16;
/// The width up to which one subgroup reads a row of weights, where subgroups have 32 lanes.
/// Several subgroups share wider rows.
const FEW_WIDEST: usize = 1024;
/// The longest loop over a lane's vec4 that is written out.
const MAX_UNROLLED: u32 = 32;

/// The specification of a dense layer on a device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DenseSpec {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) activation: Activation,
    /// Whether the result is added to the values in y.
    pub(crate) adds: bool,
    /// The extent that counts its rows.
    pub(crate) extent: u32,
}

/// The places where the tiles of a dense layer find their rows and weights and leave their results.
#[derive(Debug)]
pub(crate) struct Tiling {
    /// The name of the kernels.
    pub(crate) name: &'static str,
    /// Values of a row of x. Its padding may hold anything.
    pub(crate) input: usize,
    pub(crate) parts: Vec<&'static str>,
    pub(crate) overrides: Vec<(&'static str, u32)>,
    pub(crate) bindings: Vec<Binding>,
    /// The number of groups of rows, if rows are grouped. Each group begins tiles of its own.
    pub(crate) groups: Option<u32>,
    /// Whether the loop over a tile's inputs is written out.
    pub(crate) written_out: bool,
}

impl Tiling {
    /// Tiles over all rows of an f32 x, with one matrix.
    fn all(spec: &DenseSpec) -> Self {
        Self {
            name: "dense",
            // The padding of an encoder's rows is zero.
            input: row_stride(spec.input),
            parts: vec![
                shader!("parts/rows_all.wgsl"),
                shader!("parts/tile_x_f32.wgsl"),
                shader!("parts/weight_by_output.wgsl"),
                shader!("parts/residual_none.wgsl"),
                shader!("parts/tile_y_f32.wgsl"),
            ],
            overrides: vec![("RESIDUAL", u32::from(spec.adds))],
            bindings: storage(3, 1),
            groups: None,
            written_out: true,
        }
    }

    pub(crate) fn grid(&self, across: u32, rows: u32) -> Grid {
        match self.groups {
            None => Grid::Tiles { across, rows },
            Some(groups) => Grid::Grouped { across, rows, groups },
        }
    }
}

impl DenseSpec {
    /// Describes the layer in a kernel's name.
    pub(crate) fn label(&self) -> String {
        let Self { input, output, activation, adds, .. } = self;
        format!("{input}->{output} {activation:?}{}", if *adds { " added" } else { "" })
    }

    /// Returns the kernels that compute the layer: for few rows, in smaller tiles and in larger
    /// tiles.
    pub(crate) fn candidates(
        self,
        variant: Variant,
        device: &Capabilities,
    ) -> Result<Vec<Candidate>> {
        let tuning = Tuning::of(device);
        let mut candidates = Vec::new();
        for few in tuning.dense_few(variant.weights.precision()) {
            let source = self.few(variant, device, few)?;
            candidates.push(Candidate::one(source, few.up_to, "rows"));
        }
        // The larger tile is used only where workgroup memory holds it.
        let memory = device.limits.max_compute_workgroup_storage_size;
        let fits = |side: &&u32| 2 * BLOCK * 2 * **side * 16 <= memory;
        let sides: Vec<u32> = SIDES.iter().filter(fits).copied().collect();
        for (place, side) in sides.iter().enumerate().rev() {
            let source = self.tiles(variant, *side, &Tiling::all(&self));
            let up_to = match sides[..place].last() {
                None => u32::MAX,
                Some(larger) => {
                    let tile = 8 * larger;
                    let across = (row_stride(self.output) as u32).div_ceil(tile);
                    tuning.rows_of_small_tiles(across, tile)
                }
            };
            candidates.push(Candidate::one(source, up_to, "tiles"));
        }
        Ok(candidates)
    }

    fn overrides(&self) -> Vec<(&'static str, u32)> {
        vec![
            ("EXTENT", self.extent),
            ("IN4", units(self.input)),
            ("ROWS", self.output as u32),
            ("ACTIVATION", self.activation as u32),
        ]
    }

    /// Returns the kernel in tiles of 8 * `side`.
    pub(crate) fn tiles(&self, variant: Variant, side: u32, tiling: &Tiling) -> KernelSource {
        let (group, loads, tile) = (side * side, 16 / side, 8 * side);
        let mut overrides = self.overrides();
        overrides.extend([("OUT4", units(self.output)), ("INPUT", tiling.input as u32)]);
        overrides.extend(&tiling.overrides);
        let mut parts = vec![
            weight4(variant.weights),
            shader!("parts/extent.wgsl"),
            shader!("parts/gelu.wgsl"),
        ];
        parts.extend(&tiling.parts);
        parts.push(shader!("dense.wgsl"));
        let across = (row_stride(self.output) as u32).div_ceil(tile);
        let def = KernelDef {
            // The name has the format but not the reduction, so that variants share the kernel.
            name: format!("{} {} {:?} {side}", tiling.name, self.label(), variant.weights),
            parts: &parts,
            constants: &[
                ("SIDE", side),
                ("GROUP", group),
                ("LOADS", loads),
                ("BLOCK", BLOCK),
                ("EIGHT", 8),
            ],
            declarations: &[],
            loops: &[
                ("LOADS", loads, 2),
                ("BLOCK", BLOCK, if tiling.written_out { BLOCK } else { 1 }),
                ("EIGHT", 8, 8),
            ],
            overrides,
            bindings: tiling.bindings.clone(),
            group,
            grid: tiling.grid(across, tile),
        };
        def.source()
    }

    /// Returns the kernel that multiplies some rows with each row of weights.
    fn few(&self, variant: Variant, device: &Capabilities, few: Few) -> Result<KernelSource> {
        let at_once = few.at_once;
        let widest = row_stride(self.input).min(FEW_WIDEST);
        let Launch { reduction, lanes, tokens, .. } = Launch::new(widest, variant, device)?;
        let per_lane = units(self.input).div_ceil(lanes);
        let group = lanes * tokens;
        let stride = row_stride(self.output) as u32;
        let mut overrides = self.overrides();
        overrides.extend([("OUT", stride), ("ACCUMULATE", u32::from(self.adds))]);
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

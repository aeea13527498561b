//! The kernels of an FFF layer in the leaf form. One computes few tokens. For many tokens there are
//! several: a walk, the ordering of tokens by leaf, and a dense layer for each leaf.

use crate::dtype::{Precision, row_stride};
use crate::error::{Error, Result};
use crate::fff::{FffShape, LeafForm};
use crate::gpu::{
    Binding, Candidate, Capabilities, Grid, KernelDef, KernelSource, Place, Scratch, Stage,
    Variant, WeightFormat, shader,
};
use crate::kernels::dense_coop::{CoopShape, LEAF_NARROW, LEAF_WIDE};
use crate::kernels::fff::{MAX_UNROLLED, Parts};
use crate::kernels::{
    Activations, Biases, DenseSpec, FffSpec, Launch, Residual, TOKENS, Tiling, Tuning,
};
use crate::plan::Activation;

/// Neurons of a leaf that workgroup memory holds at once.
const BLOCK: u32 = 1024;
/// Neurons that a team computes one after another, if a workgroup can have that many teams.
const PER_TEAM: u32 = 4;
/// Units of y that an invocation keeps, if a workgroup can have that many invocations.
const UNITS_PER_THREAD: u32 = 8;
/// The most invocations of a workgroup for few tokens.
const MOST_INVOCATIONS: u32 = 512;
/// Bytes of workgroup memory for sums of y.
const SUM_BYTES: u32 = 8192;
/// Threads along a side of a tile of 64 rows and outputs.
const SIDE: u32 = 8;
/// Invocations of the kernels that order tokens.
const GROUP: u32 = 256;

/// The scratch buffers: each leaf's number of tokens and each token's leaf; tiles; tokens leaf by
/// leaf; their neurons.
const ROUTES: usize = 0;
const TILES: usize = 1;
const ORDER: usize = 2;
const NEURONS: usize = 3;

/// The weights in the order in which layers upload them.
const LINEAR_IN: Place = Place::Weights(0);
const BIAS: Place = Place::Weights(1);
const LINEAR_OUT: Place = Place::Weights(2);

impl FffSpec {
    /// Returns the kernels of the leaf form: the one for few tokens and those for many.
    pub(super) fn leaf_candidates(
        &self,
        leaf: LeafForm,
        variant: Variant,
        device: &Capabilities,
    ) -> Result<Vec<Candidate>> {
        let (adds, Activations { x, y }) = (self.residual, self.activations);
        if adds.is_some() && (x, y) != (x, Precision::F32)
            || adds == Some(Residual::Input) && x != Precision::F32
        {
            return Err(Error::Unsupported {
                what: format!("adding {} to f16 values", self.shape),
                adapter: device.adapter.clone(),
                missing: "kernels that add to f16 values".into(),
            });
        }
        let few = self.few(leaf, variant, device)?;
        // One dimension of a dispatch may have this many tiles side by side, of at least 32
        // outputs.
        let widest = row_stride(leaf.width).max(self.shape.output_stride()).div_ceil(32);
        if widest > device.limits.max_compute_workgroups_per_dimension as usize {
            return Ok(vec![Candidate::one(few, u32::MAX, "a workgroup per token")]);
        }
        let matrices = self.on_matrices(variant, device);
        let up_to = Tuning::of(device).leaf_few(leaf.width as u32, matrices);
        Ok(vec![
            Candidate::one(few, up_to, "a workgroup per token"),
            self.grouped(leaf, variant, device)?,
        ])
    }

    /// Returns whether cooperative matrices compute the leaves.
    pub(crate) fn on_matrices(&self, variant: Variant, device: &Capabilities) -> bool {
        self.shape.leaf_form().is_some()
            && device.cooperative
            && variant.weights == WeightFormat::Packed
            && self.activations.x == Precision::F16
            && self.residual != Some(Residual::Input)
    }

    fn few(&self, leaf: LeafForm, variant: Variant, device: &Capabilities) -> Result<KernelSource> {
        let shape = self.shape;
        // There are enough lanes to keep the units of y in registers too.
        let widest = shape.input_stride().max(shape.output_stride());
        let one_row = Launch::new(shape.input_stride(), variant, device)?;
        let launch = match one_row.one_subgroup {
            true => one_row,
            false => Launch::new(widest, variant, device)?,
        };
        let parts = Parts::new(shape, variant, self.activations, device, self.keep_path)?;
        let lanes = launch.lanes;
        let most = MOST_INVOCATIONS
            .min(device.limits.max_compute_invocations_per_workgroup)
            .min(device.limits.max_compute_workgroup_size_x);
        let teams = match launch.one_subgroup {
            true => {
                let of_neurons = (leaf.width as u32).div_ceil(PER_TEAM);
                let of_units = parts.out_units.div_ceil(lanes * UNITS_PER_THREAD);
                of_neurons.max(of_units).clamp(1, (most / lanes).max(1))
            }
            false => 1,
        };
        let group = teams * lanes;
        let (in_per_lane, out_units) = (parts.in_units.div_ceil(lanes), parts.out_units);
        let span = out_units.min(group);
        let splits = (group / span).min(SUM_BYTES / 4 / parts.unit / span).max(1);
        let bias = match parts.unit {
            4 => shader!("parts/bias4.wgsl"),
            _ => shader!("parts/bias8.wgsl"),
        };
        let block = BLOCK.min((leaf.width as u32).next_multiple_of(teams));
        let mut files = parts.walking(launch.reduction, true);
        files.extend([shader!("parts/leaf_activation.wgsl"), bias, shader!("leaf_few.wgsl")]);
        let biases = Biases(shape);
        let mut overrides = parts.overrides(shape);
        overrides.extend(routing(shape));
        overrides.extend([
            ("ACTIVATION", Activation::from(leaf.activation) as u32),
            ("WIDTH", leaf.width as u32),
            ("WIDTH_STRIDE", row_stride(leaf.width) as u32),
            ("OUTPUT_BIAS", biases.first_output() as u32),
        ]);
        let def = KernelDef {
            name: format!("leaf_few {shape} {variant}"),
            parts: &files,
            constants: &[
                ("LANES", lanes),
                ("TOKENS", 1),
                ("GROUP", group),
                ("TEAMS", teams),
                ("BLOCK", block),
                ("IN_PER_LANE", in_per_lane),
                ("OUT_PER_THREAD", out_units.div_ceil(span)),
                ("OUT_SPAN", span),
                ("SPLITS", splits),
                // The sums that pass through workgroup memory; there are none if nothing is shared.
                ("SHARED", if splits > 1 { splits * span } else { 1 }),
                ("SIDE_BY_SIDE", 1),
            ],
            declarations: &[],
            loops: &[
                ("IN_PER_LANE", in_per_lane, MAX_UNROLLED),
                ("OUT_PER_THREAD", out_units.div_ceil(span), MAX_UNROLLED),
            ],
            overrides,
            bindings: parts.bindings.clone(),
            group,
            grid: Grid::Rows(1),
        };
        let source = KernelSource { lanes, roundings: parts.roundings(lanes), ..def.source() };
        Ok(match self.residual {
            Some(residual) => source.with_residual(residual),
            None => source,
        })
    }

    fn grouped(
        &self,
        leaf: LeafForm,
        variant: Variant,
        device: &Capabilities,
    ) -> Result<Candidate> {
        let shape = self.shape;
        let leaves = shape.leaves() as u32;
        let cooperative = self.on_matrices(variant, device);
        let between = if cooperative { Precision::F16 } else { Precision::F32 };
        // Adapters in software take seconds to compile a long kernel, and layers of each size have
        // kernels of their own.
        let written_out = !device.software;
        let [up, down, order, group] = [
            self.neurons(leaf, variant, cooperative, written_out),
            self.outputs(leaf, variant, cooperative, written_out),
            order(leaves),
            group(leaves, if cooperative { LEAF_WIDE.tile()[0] } else { 8 * SIDE }),
        ];
        let stride = row_stride(leaf.width) * between.bytes();
        Ok(Candidate {
            stages: vec![self.route(variant, device)?, group, order, up, down],
            scratch: vec![
                Scratch { bytes: 8 * u64::from(leaves), row_bytes: 8 },
                // A tile takes 16 bytes. There is one for each 16 or more tokens, and one more for
                // each leaf.
                Scratch { bytes: 16 * (u64::from(leaves) + 1), row_bytes: 1 },
                Scratch { bytes: 0, row_bytes: 4 },
                Scratch { bytes: 0, row_bytes: stride as u64 },
            ],
            up_to: u32::MAX,
            schedule: if cooperative { "by leaf, cooperative" } else { "by leaf" }.into(),
        })
    }

    /// Walks each token to its leaf.
    fn route(&self, variant: Variant, device: &Capabilities) -> Result<Stage> {
        let shape = self.shape;
        let launch = Launch::new(shape.input_stride(), variant, device)?;
        let parts = Parts::new(shape, variant, self.activations, device, self.keep_path)?;
        let (lanes, tokens) = (launch.lanes, launch.tokens);
        let in_per_lane = parts.in_units.div_ceil(lanes);
        let mut files = parts.walking(launch.reduction, false);
        files.push(shader!("leaf_route.wgsl"));
        let mut overrides = parts.overrides(shape);
        overrides.extend(routing(shape));
        let def = KernelDef {
            name: format!("leaf_route {shape} {variant}"),
            parts: &files,
            constants: &[
                ("LANES", lanes),
                ("TOKENS", tokens),
                ("GROUP", lanes * tokens),
                ("IN_PER_LANE", in_per_lane),
                ("SIDE_BY_SIDE", 1),
            ],
            declarations: &[],
            loops: &[("IN_PER_LANE", in_per_lane, MAX_UNROLLED)],
            overrides,
            bindings: parts.bindings.clone(),
            group: lanes * tokens,
            grid: Grid::Rows(tokens),
        };
        let source = KernelSource { lanes, roundings: parts.roundings(lanes), ..def.source() };
        let mut buffers = vec![Place::Extents, Place::Read(0), LINEAR_IN, BIAS, LINEAR_OUT];
        buffers.push(Place::Scratch(ROUTES));
        if self.keep_path {
            buffers.push(Place::Write(1));
        }
        Ok(Stage { source, buffers })
    }

    /// Computes the neurons of each leaf for its tokens.
    fn neurons(
        &self,
        leaf: LeafForm,
        variant: Variant,
        cooperative: bool,
        written_out: bool,
    ) -> Stage {
        let shape = self.shape;
        let spec = DenseSpec {
            input: shape.input(),
            output: leaf.width,
            activation: leaf.activation.into(),
            adds: false,
            extent: TOKENS,
        };
        let (tiles, rows) = (shader!("parts/leaf_tiles.wgsl"), shader!("parts/rows_to_leaf.wgsl"));
        let mut tiling = Tiling {
            name: if cooperative { "leaf_up_coop" } else { "leaf_up" },
            input: shape.input(),
            parts: Vec::new(),
            overrides: vec![("FIRST_ROW", shape.nodes() as u32)],
            bindings: bindings(false),
            groups: Some(shape.leaves() as u32),
            written_out,
        };
        let buffers = vec![
            Place::Extents,
            Place::Read(0),
            LINEAR_IN,
            BIAS,
            Place::Scratch(NEURONS),
            Place::Scratch(ORDER),
            Place::Scratch(TILES),
        ];
        if cooperative {
            let weight = shader!("parts/coop_weight_by_output.wgsl");
            tiling.parts = vec![tiles, rows, weight, shader!("parts/store_f16.wgsl")];
            return Stage { source: spec.cooperative_tiles(tile(leaf.width), &tiling), buffers };
        }
        tiling.parts = vec![
            tiles,
            rows,
            x_part(self.activations.x),
            shader!("parts/weight_by_output.wgsl"),
            shader!("parts/residual_none.wgsl"),
            shader!("parts/tile_y_f32.wgsl"),
        ];
        tiling.overrides.push(("RESIDUAL", 0));
        Stage { source: spec.tiles(variant, SIDE, &tiling), buffers }
    }

    /// Computes y from the neurons of each leaf.
    fn outputs(
        &self,
        leaf: LeafForm,
        variant: Variant,
        cooperative: bool,
        written_out: bool,
    ) -> Stage {
        let shape = self.shape;
        let adds = self.residual == Some(Residual::Output);
        let spec = DenseSpec {
            input: leaf.width,
            output: shape.output(),
            activation: Activation::None,
            adds,
            extent: TOKENS,
        };
        let (tiles, rows) =
            (shader!("parts/leaf_tiles.wgsl"), shader!("parts/rows_from_leaf.wgsl"));
        let own_x = self.residual == Some(Residual::Input);
        let mut tiling = Tiling {
            name: if cooperative { "leaf_down_coop" } else { "leaf_down" },
            input: row_stride(leaf.width),
            parts: Vec::new(),
            overrides: vec![
                ("OUTPUT_BIAS4", (Biases(shape).first_output() / 4) as u32),
                ("INPUTS", leaf.width as u32),
            ],
            bindings: bindings(own_x),
            groups: Some(shape.leaves() as u32),
            written_out,
        };
        let mut buffers = vec![
            Place::Extents,
            Place::Scratch(NEURONS),
            LINEAR_OUT,
            BIAS,
            Place::Write(0),
            Place::Scratch(ORDER),
            Place::Scratch(TILES),
        ];
        if own_x {
            buffers.push(Place::Read(0));
        }
        if cooperative {
            let store = match (adds, self.activations.y) {
                (true, Precision::F32) => shader!("parts/store_added.wgsl"),
                (_, Precision::F16) => shader!("parts/store_f16.wgsl"),
                (false, Precision::F32) => shader!("parts/store_f32.wgsl"),
            };
            tiling.parts = vec![tiles, rows, shader!("parts/coop_weight_by_input.wgsl"), store];
            let source = spec.cooperative_tiles(tile(shape.output()), &tiling);
            return Stage { source, buffers };
        }
        let residual = match own_x {
            false => shader!("parts/residual_none.wgsl"),
            true => shader!("parts/residual_x_f32.wgsl"),
        };
        let y = match self.activations.y {
            Precision::F32 => shader!("parts/tile_y_f32.wgsl"),
            Precision::F16 => shader!("parts/tile_y_packed.wgsl"),
        };
        let (x, weight) = (x_part(Precision::F32), shader!("parts/weight_by_input.wgsl"));
        tiling.parts = vec![tiles, rows, x, weight, residual, y];
        tiling.overrides.push(("RESIDUAL", u32::from(adds)));
        Stage { source: spec.tiles(variant, SIDE, &tiling), buffers }
    }
}

/// Returns the constants that the walk needs.
fn routing(shape: FffShape) -> [(&'static str, u32); 3] {
    [
        ("DEPTH", shape.depth() as u32),
        ("NODES", shape.nodes() as u32),
        ("NODE_BIAS", Biases(shape).first_node() as u32),
    ]
}

/// Returns the tile on cooperative matrices for a result of this width.
fn tile(width: usize) -> CoopShape {
    if row_stride(width) <= 32 { LEAF_NARROW } else { LEAF_WIDE }
}

fn x_part(stored: Precision) -> &'static str {
    match stored {
        Precision::F32 => shader!("parts/tile_x_f32.wgsl"),
        Precision::F16 => shader!("parts/tile_x_packed.wgsl"),
    }
}

/// Returns the bindings: extents, x, weight and bias, y, the order of tokens, tiles; and the
/// layer's own x, if it is added.
fn bindings(own_x: bool) -> Vec<Binding> {
    let mut bindings = crate::kernels::storage(3, 1);
    bindings.extend([Binding::Read; 2]);
    bindings.extend(own_x.then_some(Binding::Read));
    bindings
}

/// Finds where the tokens of each leaf begin, and the tiles that cover them.
fn group(leaves: u32, rows: u32) -> Stage {
    let def = KernelDef {
        name: format!("leaf_group {leaves}"),
        parts: &[shader!("leaf_group.wgsl")],
        constants: &[("GROUP", GROUP)],
        declarations: &[],
        loops: &[],
        overrides: vec![("LEAVES", leaves), ("ROWS", rows)],
        bindings: vec![Binding::Write; 2],
        group: GROUP,
        grid: Grid::Once,
    };
    let buffers = vec![Place::Scratch(ROUTES), Place::Scratch(TILES)];
    Stage { source: def.source(), buffers }
}

/// Orders the tokens leaf by leaf.
fn order(leaves: u32) -> Stage {
    let def = KernelDef {
        name: format!("leaf_order {leaves}"),
        parts: &[shader!("parts/extent.wgsl"), shader!("leaf_order.wgsl")],
        constants: &[("GROUP", GROUP)],
        declarations: &[],
        loops: &[],
        overrides: vec![("EXTENT", TOKENS), ("LEAVES", leaves)],
        bindings: vec![Binding::Extents, Binding::Read, Binding::Write],
        group: GROUP,
        grid: Grid::Units { units: 1, group: GROUP },
    };
    let buffers = vec![Place::Extents, Place::Scratch(ROUTES), Place::Scratch(ORDER)];
    Stage { source: def.source(), buffers }
}

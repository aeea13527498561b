//! The CMM kernel of an FFF layer, put together for a device and a variant.

use crate::dtype::Precision;
use crate::error::{Error, Result};
use crate::fff::FffShape;
use crate::gpu::{
    Binding, Candidate, Capabilities, Grid, KernelDef, KernelSource, Variant, WeightFormat, shader,
};
use crate::kernels::{Launch, TOKENS, Tuning};

/// The precision of x and y on the device. f16 halves the cost of reading and writing them; sums
/// are f32 all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Activations {
    /// The precision of the input x.
    pub x: Precision,
    /// The precision of the output y.
    pub y: Precision,
}

impl Activations {
    /// Both x and y in f32.
    pub const F32: Self = Self { x: Precision::F32, y: Precision::F32 };
    /// Both x and y in f16.
    pub const F16: Self = Self { x: Precision::F16, y: Precision::F16 };
}

/// The values that are added to a layer's output on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residual {
    /// The values that y held before, which are the residual stream of a pre-LN encoder.
    Output = 1,
    /// The input x, which has the same width: the residual stream of a post-LN encoder.
    Input = 2,
}

/// The longest loop over a lane's units that is written out.
pub(super) const MAX_UNROLLED: u32 = 16;

/// The most invocations of the lookahead kernel's workgroup; most adapters allow this many.
const MOST_INVOCATIONS: u32 = 1024;

/// The order in which the kernel of a layer walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// A subgroup or workgroup for each token, level by level. This is the least work.
    Plain,
    /// A workgroup for each token, whose subgroups evaluate the whole subtree of the next levels at
    /// once. This is the shortest chain. The number is the kernel's place among the layer's kernels
    /// of this kind; the first one looks furthest ahead and is for the fewest tokens.
    Lookahead(usize),
    /// In the leaf form: tokens walk, are ordered by leaf, and each leaf is a dense layer for the
    /// tokens that reached it.
    Grouped,
}

/// The parts of the kernels that walk through trees.
pub(super) struct Parts {
    format: &'static str,
    values: [&'static str; 5],
    pub(super) in_units: u32,
    pub(super) out_units: u32,
    pub(super) unit: u32,
    sides: u32,
    path: &'static str,
    pub(super) bindings: Vec<Binding>,
}

impl Parts {
    pub(super) fn new(
        shape: FffShape,
        variant: Variant,
        activations: Activations,
        device: &Capabilities,
        keep_path: bool,
    ) -> Result<Self> {
        if activations != Activations::F32 && variant.weights != WeightFormat::Packed {
            return Err(Error::Unsupported {
                what: format!("f16 activations in variant {variant}"),
                adapter: device.adapter.clone(),
                missing: "packed f16 weights with them".into(),
            });
        }
        let (format, values8, unit) = match variant.weights {
            WeightFormat::F32 => (shader!("parts/weights_f32.wgsl"), "", 4),
            WeightFormat::F16 => {
                (shader!("parts/weights_f16.wgsl"), shader!("parts/values8.wgsl"), 8)
            }
            WeightFormat::Packed => {
                (shader!("parts/weights_packed.wgsl"), shader!("parts/values8.wgsl"), 8)
            }
        };
        let (x_units, y_units) = match unit {
            4 => (shader!("parts/units4_x.wgsl"), shader!("parts/units4_y.wgsl")),
            _ => (shader!("parts/units8_x.wgsl"), shader!("parts/units8_y.wgsl")),
        };
        let x = match activations.x {
            Precision::F32 => [shader!("parts/x_f32.wgsl"), x_units],
            Precision::F16 => [shader!("parts/x_f16.wgsl"), ""],
        };
        let y = match activations.y {
            Precision::F32 => [shader!("parts/y_f32.wgsl"), y_units],
            Precision::F16 => [shader!("parts/y_f16.wgsl"), ""],
        };
        let values = [values8, x[0], x[1], y[0], y[1]];
        let mut bindings = vec![Binding::Extents];
        bindings.extend([Binding::Read; 4]);
        bindings.push(Binding::Write);
        let path = if keep_path {
            bindings.push(Binding::Write);
            shader!("parts/path_kept.wgsl")
        } else {
            shader!("parts/path_dropped.wgsl")
        };
        let in_units = (shape.input_stride() / unit) as u32;
        let out_units = (shape.output_stride() / unit) as u32;
        let (unit, sides) = (unit as u32, shape.form().sides() as u32);
        Ok(Self { format, values, in_units, out_units, unit, sides, path, bindings })
    }

    /// Returns the files of a kernel whose nodes are neurons. The weight format comes first,
    /// because `enable` must.
    fn files(&self, reduction: &'static str, kernel: &'static str) -> Vec<&'static str> {
        let mut files = self.shared(reduction, true);
        files.extend([shader!("parts/gelu.wgsl"), shader!("parts/fff_nodes.wgsl"), kernel]);
        files
    }

    /// Returns the files of a kernel of the leaf form, except its own. The kernel `puts` something
    /// out, or only walks.
    pub(super) fn walking(&self, reduction: &'static str, puts: bool) -> Vec<&'static str> {
        let mut files = self.shared(reduction, puts);
        files.push(shader!("parts/leaf_walk.wgsl"));
        if puts {
            files.push(shader!("parts/gelu.wgsl"));
        }
        files
    }

    fn shared(&self, reduction: &'static str, puts: bool) -> Vec<&'static str> {
        let [values8, x, x_units, y, y_units] = self.values;
        let mut files = vec![self.format, shader!("parts/extent.wgsl"), values8, x, x_units];
        if puts {
            files.extend([y, y_units]);
        }
        files.extend([reduction, shader!("parts/fff_rows.wgsl"), self.path]);
        files
    }

    /// Returns the constants that all of these kernels need.
    pub(super) fn overrides(&self, shape: FffShape) -> Vec<(&'static str, u32)> {
        vec![
            ("EXTENT", TOKENS),
            ("INPUT", shape.input() as u32),
            ("IN_UNITS", self.in_units),
            ("OUT_UNITS", self.out_units),
            ("RESIDUAL", 0),
        ]
    }

    fn overrides_of_trees(&self, shape: FffShape) -> Vec<(&'static str, u32)> {
        let mut overrides = self.overrides(shape);
        overrides.extend([
            ("TREES", shape.trees() as u32),
            ("DEPTH", shape.depth() as u32),
            ("NODES", shape.nodes_per_tree() as u32),
        ]);
        overrides
    }

    /// Returns the most roundings of a logit: of the product, of the lane's own additions, of those
    /// across lanes, and of the bias.
    pub(super) fn roundings(&self, lanes: u32) -> u32 {
        1 + self.in_units.div_ceil(lanes) * self.unit + (lanes - 1) + 1
    }
}

impl KernelSource {
    /// Returns the CMM kernel of an FFF layer for this device.
    ///
    /// # Errors
    /// Returns [`Error::Unsupported`] if the device lacks what the variant needs, or if f16
    /// activations are asked for with weights that are not packed; [`Error::Shape`] for the leaf
    /// form, which has kernels of its own.
    pub fn fff(
        shape: FffShape,
        variant: Variant,
        activations: Activations,
        device: &Capabilities,
        keep_path: bool,
    ) -> Result<Self> {
        if shape.leaf_form().is_some() {
            return Err(Error::shape("form of a layer", "one whose nodes are neurons", shape));
        }
        let widest = shape.input_stride().max(shape.output_stride());
        let Launch { reduction, lanes, tokens, .. } = Launch::new(widest, variant, device)?;
        let parts = Parts::new(shape, variant, activations, device, keep_path)?;
        let in_per_lane = parts.in_units.div_ceil(lanes);
        let out_per_lane = parts.out_units.div_ceil(lanes);
        let group = lanes * tokens;
        let def = KernelDef {
            name: format!("fff {shape} {variant}"),
            parts: &parts.files(reduction, shader!("fff.wgsl")),
            // WGSL wants `const` for the sizes of arrays in registers and of the workgroup.
            constants: &[
                ("LANES", lanes),
                ("TOKENS", tokens),
                ("GROUP", group),
                ("IN_PER_LANE", in_per_lane),
                ("OUT_PER_LANE", out_per_lane),
                ("SIDES", parts.sides),
                ("SIDE_BY_SIDE", 0),
            ],
            declarations: &[],
            // Loops over a lane's units are written out so that arrays are indexed by constants.
            // The loop over trees is written out if there is only one tree.
            loops: &[
                ("IN_PER_LANE", in_per_lane, MAX_UNROLLED),
                ("OUT_PER_LANE", out_per_lane, MAX_UNROLLED),
                ("TREES", shape.trees() as u32, 1),
            ],
            overrides: parts.overrides_of_trees(shape),
            bindings: parts.bindings.clone(),
            group,
            grid: Grid::Rows(tokens),
        };
        Ok(Self {
            lanes,
            // On an H200 a walk in f32 takes 102 us with the counter and 121 us without; in f16 it
            // takes 59 and 55 us.
            bounded_loops: variant.weights == WeightFormat::F32,
            roundings: parts.roundings(lanes),
            ..def.source()
        })
    }

    /// Returns the CMM kernel of an FFF layer for few tokens, which evaluates `ahead` levels at
    /// once. There is none if a token needs more than one subgroup, if the size of subgroups is not
    /// known beforehand, or if a tree is too shallow to gain.
    ///
    /// # Errors
    /// Returns the errors of [`KernelSource::fff`].
    pub fn fff_lookahead(
        shape: FffShape,
        variant: Variant,
        activations: Activations,
        device: &Capabilities,
        keep_path: bool,
        ahead: u32,
    ) -> Result<Option<Self>> {
        if shape.leaf_form().is_some() {
            return Err(Error::shape("form of a layer", "one whose nodes are neurons", shape));
        }
        let widest = shape.input_stride().max(shape.output_stride());
        let launch = Launch::new(widest, variant, device)?;
        let lanes = launch.lanes;
        let most = MOST_INVOCATIONS
            .min(device.limits.max_compute_invocations_per_workgroup)
            .min(device.limits.max_compute_workgroup_size_x);
        let levels = shape.levels() as u32;
        // The workgroup has the subtree's subgroups, and one that accumulates.
        if !launch.one_subgroup || levels <= ahead || lanes << ahead > most {
            return Ok(None);
        }
        let subtree = (1 << ahead) - 1;
        let parts = Parts::new(shape, variant, activations, device, keep_path)?;
        let in_per_lane = parts.in_units.div_ceil(lanes);
        let accumulating = parts.out_units.div_ceil(lanes).min(most / lanes - subtree);
        let out_threads = accumulating * lanes;
        let out_per_thread = parts.out_units.div_ceil(out_threads);
        let steps = levels.div_ceil(ahead);
        let group = (subtree + accumulating) * lanes;
        let def = KernelDef {
            name: format!("fff lookahead {ahead} {shape} {variant}"),
            parts: &parts.files(launch.reduction, shader!("fff_lookahead.wgsl")),
            constants: &[
                ("LANES", lanes),
                ("GROUP", group),
                ("IN_PER_LANE", in_per_lane),
                ("OUT_PER_THREAD", out_per_thread),
                ("OUT_THREADS", out_threads),
                ("AHEAD", ahead),
                ("SUBTREE", subtree),
                ("SIDES", parts.sides),
                ("SIDE_BY_SIDE", 0),
                ("STEPS", steps),
            ],
            declarations: &[],
            loops: &[
                ("IN_PER_LANE", in_per_lane, MAX_UNROLLED),
                ("OUT_PER_THREAD", out_per_thread, MAX_UNROLLED),
                ("STEPS", steps, MAX_UNROLLED),
                ("SUBTREE", subtree, MAX_UNROLLED),
                ("AHEAD", ahead, ahead),
                ("TREES", shape.trees() as u32, 1),
            ],
            overrides: parts.overrides_of_trees(shape),
            bindings: parts.bindings.clone(),
            group,
            grid: Grid::Rows(1),
        };
        Ok(Some(Self { lanes, roundings: parts.roundings(lanes), ..def.source() }))
    }

    /// Returns the same kernel, adding `residual` to the layer's output.
    pub(super) fn with_residual(mut self, residual: Residual) -> Self {
        for (name, value) in &mut self.overrides {
            if *name == "RESIDUAL" {
                *value = residual as u32;
            }
        }
        self
    }
}

/// The specification of an FFF layer on a device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FffSpec {
    pub(crate) shape: FffShape,
    pub(crate) activations: Activations,
    pub(crate) residual: Option<Residual>,
    pub(crate) keep_path: bool,
}

impl FffSpec {
    /// Returns the kernels that compute the layer: those that look ahead, for few tokens, and the
    /// plain one.
    pub(crate) fn candidates(
        self,
        variant: Variant,
        device: &Capabilities,
    ) -> Result<Vec<Candidate>> {
        let Self { shape, activations, residual, keep_path } = self;
        if let Some(leaf) = shape.leaf_form() {
            return self.leaf_candidates(leaf, variant, device);
        }
        let mut candidates = Vec::new();
        let mut push = |source: KernelSource, up_to, schedule: String| {
            let source = match residual {
                Some(residual) => source.with_residual(residual),
                None => source,
            };
            candidates.push(Candidate::one(source, up_to, schedule));
        };
        for (ahead, up_to) in Tuning::of(device).lookahead(variant.weights.precision()) {
            let source =
                KernelSource::fff_lookahead(shape, variant, activations, device, keep_path, ahead)?;
            if let Some(source) = source {
                push(source, up_to, format!("lookahead {ahead}"));
            }
        }
        let plain = KernelSource::fff(shape, variant, activations, device, keep_path)?;
        push(plain, u32::MAX, "plain".into());
        Ok(candidates)
    }
}

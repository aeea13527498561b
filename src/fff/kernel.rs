//! The CMM kernel of an FFF layer, put together for a device and a variant.

use crate::error::Result;
use crate::fff::FffShape;
use crate::gpu::{
    Binding, Capabilities, KernelSource, Launch, Variant, WeightFormat, shader, unrolled,
};

/// What is added to a layer's output on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residual {
    /// What y held: the residual stream of a pre-LN encoder.
    Output = 1,
    /// x itself, of the same width: that of a post-LN encoder.
    Input = 2,
}

/// The longest loop over a lane's units that is written out.
const MAX_UNROLLED: u32 = 16;

impl KernelSource {
    /// The CMM kernel of an FFF layer for this device.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the device lacks what the variant needs.
    pub fn fff(
        shape: FffShape,
        variant: Variant,
        device: &Capabilities,
        keep_path: bool,
    ) -> Result<Self> {
        let widest = shape.input_stride().max(shape.output_stride());
        let Launch { reduction, lanes, tokens } = Launch::new(widest, variant, device)?;
        let (format, values, unit) = match variant.weights {
            WeightFormat::F32 => (shader!("parts/weights_f32.wgsl"), "", 4),
            WeightFormat::F16 => {
                (shader!("parts/weights_f16.wgsl"), shader!("parts/values8.wgsl"), 8)
            }
            WeightFormat::Packed => {
                (shader!("parts/weights_packed.wgsl"), shader!("parts/values8.wgsl"), 8)
            }
        };
        let in_units = (shape.input_stride() / unit) as u32;
        let out_units = (shape.output_stride() / unit) as u32;
        let (in_per_lane, out_per_lane) = (in_units.div_ceil(lanes), out_units.div_ceil(lanes));
        let group = lanes * tokens;
        // Sizes of arrays in registers and of the workgroup: WGSL wants `const` there.
        let launch = format!(
            "const LANES: u32 = {lanes}u;\nconst TOKENS: u32 = {tokens}u;\nconst GROUP: u32 = {group}u;\n\
             const IN_PER_LANE: u32 = {in_per_lane}u;\nconst OUT_PER_LANE: u32 = {out_per_lane}u;\n"
        );
        let mut bindings = vec![Binding::Read; 4];
        bindings.push(Binding::Write);
        let path = if keep_path {
            bindings.push(Binding::Write);
            shader!("parts/path_kept.wgsl")
        } else {
            shader!("parts/path_dropped.wgsl")
        };
        // The weight format comes first: `enable` must.
        let parts = [
            format,
            values,
            &launch,
            reduction,
            shader!("parts/gelu.wgsl"),
            path,
            shader!("fff.wgsl"),
        ];
        let mut wgsl = parts.concat();
        let trees = shape.trees() as u32;
        // A lane's units, so that arrays are indexed by constants; and the loop over trees where it is none.
        for (variable, bound, count, most) in [
            ("i", "IN_PER_LANE", in_per_lane, MAX_UNROLLED),
            ("i", "OUT_PER_LANE", out_per_lane, MAX_UNROLLED),
            ("tree", "TREES", trees, 1),
        ] {
            if count <= most {
                wgsl = unrolled(wgsl, variable, bound, count);
            }
        }
        Ok(Self {
            name: format!("fff {shape} {variant}"),
            wgsl,
            overrides: vec![
                ("INPUT", shape.input() as u32),
                ("IN_UNITS", in_units),
                ("OUT_UNITS", out_units),
                ("TREES", trees),
                ("DEPTH", shape.depth() as u32),
                ("NODES", shape.nodes_per_tree() as u32),
                ("RESIDUAL", 0),
            ],
            bindings,
            group,
            lanes,
            tokens_per_group: tokens,
            // The product, the lane's own additions, those across lanes, the bias.
            roundings: 1 + in_per_lane * unit as u32 + (lanes - 1) + 1,
        })
    }

    /// The same kernel, adding to the layer's output.
    pub(crate) fn with_residual(mut self, residual: Residual) -> Self {
        for (name, value) in &mut self.overrides {
            if *name == "RESIDUAL" {
                *value = residual as u32;
            }
        }
        self
    }
}

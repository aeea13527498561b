//! The kernels: which WGSL files make one, with which constants, and its compiled form.

use crate::error::{Error, Result};
use crate::fff::FffShape;
use crate::gpu::capabilities::{Capabilities, Reduction, Variant, WeightFormat};
use crate::gpu::device::Gpu;

/// A file of `shaders/`.
macro_rules! shader {
    ($file:literal) => {
        include_str!(concat!("../../shaders/", $file))
    };
}

/// Values that one lane keeps of a row, at most, before more lanes share a token.
const VALUES_PER_LANE: usize = 32;
/// The same where every further lane costs little: without subgroups.
const VALUES_PER_LANE_WORKGROUP: usize = 16;
/// Lanes that share a token at most; the limit on a workgroup's size that every WebGPU device has.
const MAX_LANES: u32 = 256;
/// Lanes of a workgroup where a subgroup holds a whole token.
const GROUP_OF_SUBGROUPS: u32 = 128;

/// The longest loop over a lane's units that is written out.
const MAX_UNROLLED: u32 = 16;

/// How a kernel uses the buffer of one binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    Write,
}

/// A kernel ready to compile: its WGSL with the launch constants, and what the host must know to run it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelSource {
    /// Name, for labels and messages.
    pub name: String,
    /// The whole module; entry point `main`.
    pub wgsl: String,
    /// Pipeline-overridable constants.
    pub overrides: Vec<(&'static str, u32)>,
    /// Bindings 0.. of group 0.
    pub bindings: Vec<Binding>,
    /// Invocations of a workgroup, x only.
    pub group: u32,
    /// Lanes that share a token; the f16 formats order a row's weights by it.
    pub lanes: u32,
    /// Tokens that a workgroup computes.
    pub tokens_per_group: u32,
    /// The most roundings that a product passes through into a logit; see [`logit_bound`](crate::reference::logit_bound).
    pub roundings: u32,
}

/// How lanes are laid over tokens.
struct Launch {
    reduction: &'static str,
    lanes: u32,
    tokens: u32,
}

impl Launch {
    fn new(shape: FffShape, variant: Variant, device: &Capabilities) -> Result<Self> {
        let widest = shape.input_stride().max(shape.output_stride());
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
            }),
            (Reduction::Subgroup, Some((least, most)))
                if least.is_power_of_two() && most.is_power_of_two() && most <= MAX_LANES =>
            {
                let lanes = lanes_for(VALUES_PER_LANE, most);
                if least == most && lanes == most {
                    let tokens = (GROUP_OF_SUBGROUPS / lanes).max(1);
                    Ok(Self { reduction: shader!("parts/sum_subgroup.wgsl"), lanes, tokens })
                } else {
                    Ok(Self { reduction: shader!("parts/sum_subgroups.wgsl"), lanes, tokens: 1 })
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

impl KernelSource {
    /// The CMM kernel of an FFF layer for this device.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the device lacks what the variant needs.
    pub fn fff(
        shape: FffShape,
        variant: Variant,
        device: &Capabilities,
        keep_path: bool,
    ) -> Result<Self> {
        if let Some(missing) = device.missing(variant) {
            return Err(Error::Unsupported {
                what: format!("variant {variant}"),
                adapter: device.adapter.clone(),
                missing: missing.into(),
            });
        }
        let Launch { reduction, lanes, tokens } = Launch::new(shape, variant, device)?;
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
            ],
            bindings,
            group,
            lanes,
            tokens_per_group: tokens,
            // The product, the lane's own additions, those across lanes, the bias.
            roundings: 1 + in_per_lane * unit as u32 + (lanes - 1) + 1,
        })
    }

    /// Workgroups to dispatch for this many tokens, in x and y, since one dimension holds 65,535.
    pub fn workgroups(&self, tokens: u32, device: &Capabilities) -> [u32; 3] {
        let groups = tokens.div_ceil(self.tokens_per_group);
        let x = groups.min(device.limits.max_compute_workgroups_per_dimension).max(1);
        [x, groups.div_ceil(x), 1]
    }
}

/// Writes out the loops `for (var i = 0u; i < <bound>; i++) { ... }`, as `{ const i = 0u; ... } { const i = 1u; ... } ...`.
///
/// wgpu bounds each loop with a counter of its own, and no driver unrolls such a loop, so that arrays would not stay in registers:
/// on an H200 the difference is 106 us against 440 us (768 wide, 1x11, f32, 16,384 tokens).
fn unrolled(mut wgsl: String, variable: &str, bound: &str, count: u32) -> String {
    let head = format!("for (var {variable} = 0u; {variable} < {bound}; {variable}++) {{");
    while let Some(start) = wgsl.find(&head) {
        let body = start + head.len();
        let mut open = 1;
        let closes = |(_, brace): &(usize, char)| {
            open += match brace {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            open == 0
        };
        let Some((length, _)) = wgsl[body..].char_indices().find(closes) else { break };
        let copies: String = (0..count)
            .map(|i| format!("{{ const {variable} = {i}u;{}}}\n", &wgsl[body..body + length]))
            .collect();
        wgsl.replace_range(start..=body + length, &copies);
    }
    wgsl
}

/// A compiled kernel and the layout of its bindings.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

impl Kernel {
    pub(crate) async fn compile(gpu: &Gpu, source: &KernelSource) -> Result<Self> {
        let limits = &gpu.capabilities().limits;
        // wgpu-core does not hold sizes against the limits everywhere (a driver may then lose the device).
        for (name, limit) in [
            ("max_compute_workgroup_size_x", limits.max_compute_workgroup_size_x),
            ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup),
        ] {
            if source.group > limit {
                return Err(Error::Unsupported {
                    what: source.name.clone(),
                    adapter: gpu.info().name.clone(),
                    missing: format!("{name} = {} (it has {limit})", source.group),
                });
            }
        }
        let label = Some(source.name.as_str());
        let entries: Vec<_> = (0..)
            .zip(&source.bindings)
            .map(|(binding, usage)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: *usage == Binding::Read },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let constants: Vec<_> =
            source.overrides.iter().map(|(name, value)| (*name, f64::from(*value))).collect();
        let device = gpu.device();
        gpu.scoped(&format!("compiling {}", source.name), || {
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label,
                entries: &entries,
            });
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label,
                source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
            });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            Self { pipeline, layout }
        })
        .await
    }
}

//! The kernels: which WGSL files make one, with which constants, and its compiled form.

use crate::error::{Error, Result};
use crate::gpu::capabilities::Capabilities;
use crate::gpu::device::Gpu;

/// A file of `shaders/`.
macro_rules! shader {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file))
    };
}
pub(crate) use shader;

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
    /// Whether wgpu's loop counters stay, so that the driver unrolls nothing: some kernels are faster so.
    pub bounded_loops: bool,
    /// The most roundings that a product passes through into a logit; see [`logit_bound`](crate::reference::logit_bound).
    pub roundings: u32,
}

impl KernelSource {
    /// Workgroups to dispatch for this many tokens, in x and y, since one dimension holds 65,535.
    pub fn workgroups(&self, tokens: u32, device: &Capabilities) -> [u32; 3] {
        spread(tokens.div_ceil(self.tokens_per_group), device)
    }
}

/// So many workgroups, in x and y: the kernels count them row by row, and return where there are more than work.
pub(crate) fn spread(groups: u32, device: &Capabilities) -> [u32; 3] {
    let x = groups.min(device.limits.max_compute_workgroups_per_dimension).max(1);
    [x, groups.div_ceil(x), 1]
}

/// Writes out the loops `for (var i = 0u; i < <bound>; i++) { ... }`, as `{ const i = 0u; ... } { const i = 1u; ... } ...`.
///
/// wgpu bounds each loop with a counter of its own, and no driver unrolls such a loop, so that arrays would not stay in registers:
/// on an H200 the difference is 106 us against 440 us (768 wide, 1x11, f32, 16,384 tokens).
pub(crate) fn unrolled(mut wgsl: String, variable: &str, bound: &str, count: u32) -> String {
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

/// The validated module of one of our own kernels, without the checks that wgpu adds unless `checked`: indices clamped, loops counted,
/// divisors tested.
#[allow(unsafe_code, reason = "wgpu takes shaders without run-time checks by an unsafe function")]
fn module(gpu: &Gpu, source: &KernelSource, checked: bool) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(&source.name),
        source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
    };
    if checked {
        return gpu.device().create_shader_module(descriptor);
    }
    // SAFETY: only sources that this crate put together come here (`Gpu::kernel`; a caller's own go through `compile_checked`). They index
    // arrays by sizes that the host set from validated shapes and checked against the buffers it binds: rows of x and y by
    // `FffLayer::record`, ids, positions, types and rows of a batch by `Encoder::forward` (`Batch::belongs_to`), before anything is recorded.
    // Every loop counts to a bound, and no divisor is zero. Tests run golden models with the checks as well.
    unsafe {
        let mut checks = wgpu::ShaderRuntimeChecks::unchecked();
        checks.force_loop_bounding = source.bounded_loops;
        gpu.device().create_shader_module_trusted(descriptor, checks)
    }
}

/// A compiled kernel and the layout of its bindings.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
}

impl Kernel {
    /// Only reads the shader, and reports what the device's compiler has against it.
    pub(crate) async fn validate(gpu: &Gpu, source: &KernelSource) -> Result<()> {
        let what = format!("compiling {}", source.name);
        let module = gpu.scoped(&what, || module(gpu, source, gpu.checks_shaders())).await?;
        let messages = module.get_compilation_info().await.messages;
        let error = messages
            .into_iter()
            .find(|message| message.message_type == wgpu::CompilationMessageType::Error);
        match error {
            None => Ok(()),
            Some(error) => Err(Error::Gpu { what, reason: error.message, source: None }),
        }
    }

    /// One of our own kernels.
    pub(crate) async fn compile(gpu: &Gpu, source: &KernelSource) -> Result<Self> {
        Self::compile_with(gpu, source, gpu.checks_shaders()).await
    }

    /// A kernel whose source may be anybody's: with the checks that keep it within its buffers.
    pub(crate) async fn compile_checked(gpu: &Gpu, source: &KernelSource) -> Result<Self> {
        Self::compile_with(gpu, source, true).await
    }

    async fn compile_with(gpu: &Gpu, source: &KernelSource, checked: bool) -> Result<Self> {
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
            let module = module(gpu, source, checked);
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

    /// Records a dispatch on these buffers, bindings 0.. in order.
    pub(crate) fn record(
        &self,
        gpu: &Gpu,
        pass: &mut wgpu::ComputePass<'_>,
        buffers: &[wgpu::BufferSlice<'_>],
        [x, y, z]: [u32; 3],
    ) {
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, slice)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: slice.buffer(),
                    offset: slice.offset(),
                    size: wgpu::BufferSize::new(slice.size()),
                }),
            })
            .collect();
        let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

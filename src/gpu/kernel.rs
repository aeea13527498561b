//! Compiled kernels.

use crate::error::{Error, Result};
use crate::gpu::device::Gpu;
use crate::gpu::{Binding, KernelSource};

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
    // arrays by sizes that the host set from validated shapes, and by extents that it wrote and that are no larger than the buffers it binds:
    // `FffLayer::bind` for rows of x and y; `Workspace` for an encoder's, whose `GpuEncoder::forward` holds a batch's ids, positions, types
    // and rows against the model (`Batch::belongs_to`) before anything is recorded. Every loop counts to a bound, and no divisor is zero.
    // Tests run golden models with the checks as well.
    unsafe {
        let mut checks = wgpu::ShaderRuntimeChecks::unchecked();
        checks.force_loop_bounding = source.bounded_loops;
        gpu.device().create_shader_module_trusted(descriptor, checks)
    }
}

/// A compiled kernel and the layout of its bindings.
#[derive(Debug)]
pub(crate) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
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
        let kind = |usage: &Binding| match usage {
            Binding::Extents => wgpu::BufferBindingType::Uniform,
            Binding::Read => wgpu::BufferBindingType::Storage { read_only: true },
            Binding::Write => wgpu::BufferBindingType::Storage { read_only: false },
        };
        let entries: Vec<_> = (0..)
            .zip(&source.bindings)
            .map(|(binding, usage)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: kind(usage),
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

    /// These buffers for bindings 0.. in order; any kernel with the same bindings may run on them.
    pub(crate) fn bind(&self, gpu: &Gpu, buffers: &[wgpu::BufferSlice<'_>]) -> wgpu::BindGroup {
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
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        })
    }

    /// Records so many workgroups.
    pub(crate) fn dispatch(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        bound: &wgpu::BindGroup,
        [x, y, z]: [u32; 3],
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, bound, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

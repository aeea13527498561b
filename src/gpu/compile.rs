//! Compiles kernels, with or without the checks that wgpu adds.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::gpu::{Binding, Gpu, Kernel, KernelSource};

/// Returns the validated module of one of our own kernels. Unless `checked`, it lacks the checks
/// that wgpu adds: clamped indices, counted loops, tested divisors.
#[allow(unsafe_code, reason = "wgpu takes shaders without run-time checks by an unsafe function")]
fn module(gpu: &Gpu, source: &KernelSource, checked: bool) -> wgpu::ShaderModule {
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(&source.name),
        source: wgpu::ShaderSource::Wgsl(source.wgsl.as_str().into()),
    };
    if checked {
        return gpu.device().create_shader_module(descriptor);
    }
    // SAFETY: only sources that this crate put together come here unchecked (through `Gpu::kernel`
    // and `Gpu::validate`; a caller's own go through `Gpu::foreign_kernel`). They index arrays by
    // sizes that the host set from validated shapes, and by extents that the host wrote and that do
    // not exceed the buffers it binds: `FffLayer::bind` sees to that for rows of x and y, the
    // benchmark for its own buffers, and `Workspace` for those of an encoder. `GpuEncoder::forward`
    // compares a batch's ids, positions, types and rows with the model (`Batch::belongs_to`) before
    // anything is recorded. The kernels of leaves also index by values that earlier kernels left in
    // scratch buffers: tokens' leaves, counts, their order, tiles. `Dispatch::record` records all
    // of these kernels, in order and on the same extents, nobody else writes these buffers, and
    // they begin as zeros; so the counts are those of the tokens, and the indices that follow from
    // them lie inside. Every loop counts to a bound, and no divisor is zero. Tests run golden
    // models with the checks as well.
    unsafe {
        let mut checks = wgpu::ShaderRuntimeChecks::unchecked();
        checks.force_loop_bounding = source.bounded_loops;
        gpu.device().create_shader_module_trusted(descriptor, checks)
    }
}

impl Gpu {
    /// Lets the device's compiler read the shader, and returns its first error. No pipeline is
    /// made.
    pub(crate) async fn validate(&self, source: &KernelSource) -> Result<()> {
        let what = format!("compiling {}", source.name);
        let module = self.scoped(&what, || module(self, source, self.checks_shaders())).await?;
        let messages = module.get_compilation_info().await.messages;
        let error = messages
            .into_iter()
            .find(|message| message.message_type == wgpu::CompilationMessageType::Error);
        match error {
            None => Ok(()),
            Some(error) => Err(Error::Gpu { what, reason: error.message }),
        }
    }

    /// Returns one of our own kernels, from the cache if it was asked for before.
    pub(crate) async fn kernel(&self, source: &KernelSource) -> Result<Arc<Kernel>> {
        if let Some(kernel) = self.kernels().get(source) {
            return Ok(kernel.clone());
        }
        let kernel = Arc::new(self.compile(source, self.checks_shaders()).await?);
        self.kernels().put(source.clone(), kernel.clone());
        Ok(kernel)
    }

    /// Compiles a kernel whose source may come from anybody, with the checks that keep it within
    /// its buffers.
    pub(crate) async fn foreign_kernel(&self, source: &KernelSource) -> Result<Kernel> {
        self.compile(source, true).await
    }

    async fn compile(&self, source: &KernelSource, checked: bool) -> Result<Kernel> {
        let limits = &self.capabilities().limits;
        // wgpu-core does not check all sizes against the limits (a driver may then lose the
        // device).
        for (name, limit) in [
            ("max_compute_workgroup_size_x", limits.max_compute_workgroup_size_x),
            ("max_compute_invocations_per_workgroup", limits.max_compute_invocations_per_workgroup),
        ] {
            if source.group > limit {
                return Err(Error::Unsupported {
                    what: source.name.clone(),
                    adapter: self.info().name.clone(),
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
        let device = self.device();
        self.scoped(&format!("compiling {}", source.name), || {
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label,
                entries: &entries,
            });
            let module = module(self, source, checked);
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
            Kernel { pipeline, layout }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::device::KERNELS;
    use crate::gpu::{GpuOptions, Grid};

    #[test]
    fn the_kernel_cache_is_bounded() {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = wgpu::Backends::NOOP;
        descriptor.backend_options.noop =
            wgpu::NoopBackendOptions { enable: true, ..Default::default() };
        let instance = wgpu::Instance::new(descriptor);
        pollster::block_on(async {
            let adapter = instance.enumerate_adapters(wgpu::Backends::NOOP).await.swap_remove(0);
            let gpu = Gpu::from_adapter(&adapter, &GpuOptions::default()).await.unwrap();
            for index in 1..=KERNELS.get() + 10 {
                let source = KernelSource {
                    name: format!("kernel {index}"),
                    wgsl: "@group(0) @binding(0) var<storage, read_write> y: array<u32>;
                        @compute @workgroup_size(1) fn main() { y[0] = 1u; }"
                        .into(),
                    overrides: Vec::new(),
                    bindings: vec![Binding::Write],
                    group: 1,
                    grid: Grid::Rows(1),
                    lanes: 1,
                    bounded_loops: false,
                    roundings: 0,
                };
                gpu.kernel(&source).await.unwrap();
            }
            assert_eq!(gpu.kernels().len(), KERNELS.get());
        });
    }
}

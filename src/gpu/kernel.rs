//! A compiled kernel.

/// A compiled kernel and the layout of its bindings.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Kernel {
    /// Binds these buffers to bindings 0.. in order. Any kernel with the same bindings may run on
    /// them.
    pub(crate) fn bind(
        &self,
        device: &wgpu::Device,
        buffers: &[wgpu::BufferSlice<'_>],
    ) -> wgpu::BindGroup {
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
        device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.layout,
            entries: &entries,
        })
    }

    /// Records this many workgroups.
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

//! CMM inside your own compute pass: your kernel writes x, the FFF layer turns it into y, and
//! another kernel of yours reads y. There is one pass and one submission, and nothing goes through
//! the host.
//!
//! `cargo run --release --example custom_pass`

use cmm::{FffLayer, FffShape, FffWeights, Gpu, GpuOptions, Precision, reference};

const TOKENS: usize = 64;
const WIDTH: usize = 256;

/// Fills the tokens: x[i] = sin(i).
const BEFORE: &str = "
    @group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < arrayLength(&x) { x[id.x] = sin(f32(id.x)); }
    }";

/// Doubles the layer's output in place.
const AFTER: &str = "
    @group(0) @binding(0) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < arrayLength(&y) { y[id.x] = 2.0 * y[id.x]; }
    }";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    // This is your own device; CMM uses it as it is.
    let adapter = cmm::adapter(&GpuOptions::default().adapter).await?;
    let descriptor = wgpu::DeviceDescriptor {
        required_features: adapter.features() & wgpu::Features::SUBGROUP,
        required_limits: adapter.limits(),
        ..Default::default()
    };
    let (device, queue) = adapter.request_device(&descriptor).await?;
    let gpu = Gpu::from_device(&adapter, device.clone(), queue.clone());

    let shape = FffShape::new(WIDTH, 1, 7)?;
    let weights = FffWeights::random(shape, 1);
    let layer = FffLayer::upload(&gpu, &weights, Precision::F32).await?;

    // WIDTH is a multiple of 8, so rows follow each other without padding (FffShape::input_stride).
    let buffer = |label| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: (TOKENS * shape.input_stride() * 4) as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        })
    };
    let (x, y) = (buffer("x"), buffer("y"));
    let (before, after) = (kernel(&device, BEFORE), kernel(&device, AFTER));

    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    dispatch(&device, &mut pass, &before, &x);
    layer.record(&mut pass, x.slice(..), y.slice(..), None)?;
    dispatch(&device, &mut pass, &after, &y);
    drop(pass);
    queue.submit([encoder.finish()]);
    gpu.check()?;

    let (x, y) = (download(&gpu, &x)?, download(&gpu, &y)?);
    let truth = reference::fff(&weights, &x)?;
    let worst = y.iter().zip(&truth.y).map(|(y, t)| (f64::from(*y) - 2.0 * t).abs());
    let worst = worst.fold(0.0, f64::max);
    println!("{TOKENS} tokens through three kernels in one pass on {}", gpu.info().name);
    println!("largest difference from the CPU reference: {worst:.1e}");
    if worst > 1e-4 { Err("the result is wrong".into()) } else { Ok(()) }
}

fn kernel(device: &wgpu::Device, wgsl: &str) -> wgpu::ComputePipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(wgsl.into()),
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    })
}

fn dispatch(
    device: &wgpu::Device,
    pass: &mut wgpu::ComputePass<'_>,
    kernel: &wgpu::ComputePipeline,
    buffer: &wgpu::Buffer,
) {
    let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &kernel.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: buffer.as_entire_binding() }],
    });
    pass.set_pipeline(kernel);
    pass.set_bind_group(0, &bind_group, &[]);
    pass.dispatch_workgroups((TOKENS * WIDTH).div_ceil(64) as u32, 1, 1);
}

fn download(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    wgpu::util::DownloadBuffer::read_buffer(
        gpu.device(),
        gpu.queue(),
        &buffer.slice(..),
        move |bytes| {
            let _ = sender.send(bytes.map(|bytes| bytemuck::pod_collect_to_vec(&bytes)));
        },
    );
    gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
    Ok(receiver.recv()??)
}

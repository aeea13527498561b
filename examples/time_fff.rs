//! GPU time of one FFF layer, 768 wide, 1x11 (4,095 nodes, 12 engaged): `cargo run --release --example time_fff [DEVICE]`.
//!
//! Each sample is one pass of many dispatches over several inputs of random tokens, timed by GPU timestamps and divided by their number; each
//! dispatch waits for the one before, as the layers of a model do. The result of the same layer is held against the reference first.

use cmm::{FffLayer, FffShape, FffWeights, Gpu, GpuOptions, Timer, reference};

const INPUTS: usize = 4;
const DISPATCHES: usize = 40;
const SAMPLES: usize = 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let device = std::env::args().nth(1).unwrap_or_default().parse()?;
    let gpu = Gpu::request(&GpuOptions { adapter: device, ..GpuOptions::default() }).await?;
    let info = gpu.info();
    println!("{} ({}, {} {})", info.name, info.backend, info.driver, info.driver_info);
    let timer = Timer::new(&gpu).await?;
    let shape = FffShape::new(768, 1, 11)?;
    let weights = FffWeights::random(shape, 1);
    println!("variant           tokens  leaves  check  us/dispatch: median       min       max");
    for variant in gpu.capabilities().variants() {
        let layer = FffLayer::upload_as(&gpu, &weights, variant).await?;
        for tokens in [1, 64, 1024, 16384] {
            let (leaves, passed) = check(&gpu, &layer, &weights, tokens).await?;
            let mut samples = time(&gpu, &timer, &layer, tokens).await?;
            samples.sort_by(f64::total_cmp);
            let us = |i: usize| samples[i] * 1e6;
            println!(
                "{:16} {tokens:7} {leaves:7}  {:5} {:19.2} {:9.2} {:9.2}",
                variant.to_string(),
                if passed { "pass" } else { "FAIL" },
                us(samples.len() / 2),
                us(0),
                us(samples.len() - 1)
            );
            if !passed {
                return Err(format!("{variant} is wrong at {tokens} tokens").into());
            }
        }
    }
    Ok(())
}

fn random_tokens(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| (2.0 * random.f32() - 1.0) * 1.7).collect()
}

/// How many distinct leaves the tokens reach, and whether the layer agrees with the reference.
async fn check(
    gpu: &Gpu,
    layer: &FffLayer,
    weights: &FffWeights,
    tokens: usize,
) -> Result<(usize, bool), Box<dyn std::error::Error>> {
    let shape = layer.shape();
    let x = random_tokens(tokens * shape.input(), 0);
    let got = layer.forward_with_path(gpu, &x).await?;
    let rounded = match layer.variant().weights.precision() {
        cmm::Precision::F32 => weights.clone(),
        cmm::Precision::F16 => weights.rounded_to_f16()?,
    };
    let truth = reference::fff(&rounded, &x)?;
    let comparison = reference::compare(shape, &truth, &got.y, &got.path, layer.roundings())?;
    let leaves: std::collections::HashSet<_> =
        got.path.chunks(shape.levels()).map(|path| path[shape.depth()]).collect();
    Ok((leaves.len(), comparison.passed()))
}

/// Seconds of GPU time a dispatch, one value a sample.
async fn time(
    gpu: &Gpu,
    timer: &Timer,
    layer: &FffLayer,
    tokens: usize,
) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let shape = layer.shape();
    let buffer = |values: usize| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("activations"),
            size: (values * 4) as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    // 768 is a whole number of units: rows need no padding here.
    let inputs: Vec<_> = (0..INPUTS).map(|_| buffer(tokens * shape.input_stride())).collect();
    for (seed, x) in (1..).zip(&inputs) {
        let values = random_tokens(tokens * shape.input(), seed);
        gpu.queue().write_buffer(x, 0, bytemuck::cast_slice(&values));
    }
    let y = buffer(tokens * shape.output_stride());
    let mut samples = Vec::new();
    for sample in 0..SAMPLES + 3 {
        let seconds = timer
            .time(gpu, |pass| {
                for dispatch in 0..DISPATCHES {
                    let x = &inputs[dispatch % INPUTS];
                    layer.record(gpu, pass, x.slice(..), y.slice(..), None)?;
                }
                Ok(())
            })
            .await?;
        if sample >= 3 {
            samples.push(seconds / DISPATCHES as f64);
        }
    }
    Ok(samples)
}

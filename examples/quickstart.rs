//! Runs an FFF layer on the best GPU and checks it against the reference on the CPU.
//!
//! `cargo run --release --example quickstart`

use cmm::{FffLayer, FffShape, FffWeights, Gpu, GpuOptions, Precision, reference};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    pollster::block_on(async {
        // The width of BERT-base, and one tree of depth 11: it has 4,095 neurons, and a token
        // engages 12.
        let shape = FffShape::new(768, 1, 11)?;
        let weights = FffWeights::random(shape, 42);
        let x: Vec<f32> = (0..100 * 768).map(|i| (i as f32 * 0.37).sin()).collect();

        let gpu = Gpu::request(&GpuOptions::default()).await?;
        let layer = FffLayer::upload(&gpu, &weights, Precision::F32).await?;
        let result = layer.forward_with_path(&x).await?;

        println!("{}, variant {}", gpu.info().name, layer.variant());
        println!("token 0 engaged nodes {:?}", &result.path[..shape.engaged()]);

        let truth = reference::fff(&weights, &x)?;
        let comparison =
            reference::compare(shape, &truth, &result.y, &result.path, layer.roundings())?;
        println!(
            "{} decisions, {} wrong nodes, worst error {:.1e} of {:.0e} allowed: {}",
            comparison.decisions,
            comparison.wrong_nodes,
            comparison.worst_error,
            comparison.allowed_error,
            if comparison.passed() { "pass" } else { "FAIL" }
        );
        Ok(())
    })
}

//! Times the embedding of sentences.
//!
//! `cargo run --release --example time_embed -- MODEL_DIR LINES.txt OUT_DIR [f32|f16]`
//!
//! It writes the batches and the vectors to OUT_DIR. There, examples/peers/embed.py runs the same
//! batches through PyTorch and compares the vectors.

use std::path::Path;
use std::time::Instant;

use cmm::model::{EncoderWeights, Output, Pooler, Sequence, Tap};
use cmm::{Encoder, EncoderOptions};
use cmm::{Gpu, GpuOptions, Precision, Tokenizer};

const BATCH_TOKENS: usize = 16_384;
const RUNS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, lines, out, rest @ ..] = &arguments[..] else {
        return Err("usage: time_embed MODEL_DIR LINES.txt OUT_DIR [f32|f16]".into());
    };
    let (precision, name) = match rest.first().map(String::as_str) {
        Some("f16") => (Precision::F16, "f16"),
        _ => (Precision::F32, "f32"),
    };
    // Before anything is measured: a result that cannot be written is none.
    std::fs::create_dir_all(out)?;
    let gpu = Gpu::request(&GpuOptions::default()).await?;
    let weights = EncoderWeights::open(model)?;
    // With f16 weights, f16 activations are fastest, if the device has cooperative matrices.
    let device = gpu.capabilities();
    let halves =
        precision == Precision::F16 && EncoderOptions::f16_activations(device, weights.config());
    let activations = if halves { Precision::F16 } else { Precision::F32 };
    let options = EncoderOptions::default().weights(precision).activations(activations);
    let encoder = Encoder::upload(&gpu, &weights, &options).await?;
    let tokenizer = Tokenizer::open(Path::new(model), 256)?;

    let lines = std::fs::read_to_string(lines)?;
    let mut sequences: Vec<Sequence> =
        lines.lines().map(|line| tokenizer.encode(line, None)).collect::<Result<_, _>>()?;
    sequences.sort_by_key(|sequence| sequence.ids.len());
    let mut batches: Vec<Vec<Sequence>> = Vec::new();
    let mut tokens = usize::MAX;
    for sequence in sequences {
        if tokens.saturating_add(sequence.ids.len()) > BATCH_TOKENS {
            batches.push(Vec::new());
            tokens = 0;
        }
        tokens += sequence.ids.len();
        batches.last_mut().ok_or("no batch")?.push(sequence);
    }

    let output = Output::Pooled { pooler: Pooler::MeanUnmasked, normalized: true };
    let mut times = Vec::new();
    let mut vectors = Vec::new();
    for _ in 0..RUNS {
        vectors.clear();
        let start = Instant::now();
        for batch in &batches {
            let batch = encoder.batch(batch)?;
            vectors.extend(encoder.forward(&batch, &output, Tap::None).await?.values);
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.remove(0); // the first run compiles and allocates
    times.sort_by(f64::total_cmp);
    let sentences: usize = batches.iter().map(Vec::len).sum();
    let tokens: usize = batches.iter().flatten().map(|s| s.ids.len()).sum();
    println!(
        "{} {}: {sentences} sentences, {tokens} tokens, {} batches: median {:.2} ms, min {:.2}, max {:.2}",
        gpu.info().name,
        encoder.variant().map_or("cpu".into(), |variant| variant.to_string()),
        batches.len(),
        times[times.len() / 2],
        times[0],
        times[times.len() - 1],
    );
    let ids: Vec<Vec<&[u32]>> =
        batches.iter().map(|batch| batch.iter().map(|s| &s.ids[..]).collect()).collect();
    std::fs::write(Path::new(out).join("batches.json"), serde_json::to_vec(&ids)?)?;
    let bytes: Vec<u8> = vectors.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
    std::fs::write(Path::new(out).join(format!("vectors.{name}")), bytes)?;
    Ok(())
}

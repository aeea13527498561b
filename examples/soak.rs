//! Creates and drops devices, layers and encoders for a while, and watches the memory of the
//! process, which must stay flat.
//!
//! `cargo run --release --example soak -- [ROUNDS]`
//!
//! A round creates a device, uploads a layer and an encoder, runs both with several batch sizes,
//! and drops everything. The program fails if the memory of the last quarter of the rounds exceeds
//! that of the second quarter by more than a tenth.

use std::error::Error;

use cmm::model::{EncoderConfig, EncoderWeights, Family, Ffn, Output, Pooler, Sequence, Tap};
use cmm::{Encoder, EncoderOptions};
use cmm::{FffForm, FffLayer, FffShape, FffWeights, Gpu, GpuOptions, Precision};

/// Returns the bytes of memory that the process has now.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 =
        line.ok_or("no VmRSS in /proc/self/status")?.trim_end_matches("kB").trim().parse()?;
    Ok(kib << 10)
}

fn config() -> EncoderConfig {
    let mut config = EncoderConfig::new(
        Family::Bert,
        2,
        64,
        4,
        Ffn::Fff { trees: 1, depth: 6, form: FffForm::Published },
    );
    (config.vocabulary, config.positions) = (1000, 128);
    config
}

async fn round(number: u64) -> cmm::Result<()> {
    let gpu = Gpu::request(&GpuOptions::default()).await?;
    let weights = FffWeights::random(FffShape::new(64, 1, 8)?, number);
    let layer = FffLayer::upload(&gpu, &weights, Precision::F32).await?;
    let options = EncoderOptions::default().weights(Precision::F16);
    let encoder =
        Encoder::upload(&gpu, &EncoderWeights::random(config(), number)?, &options).await?;
    for tokens in [1, 16, 100] {
        layer.forward_with_path(&vec![0.5; tokens * 64]).await?;
        let ids = (0..tokens as u32).collect();
        let batch = encoder.batch(&[Sequence { ids, ..Sequence::default() }])?;
        let output = Output::Pooled { pooler: Pooler::MeanUnmasked, normalized: true };
        encoder.forward(&batch, &output, Tap::Stages).await?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(200), |rounds| rounds.parse())?;
    let mut memory = Vec::with_capacity(rounds);
    for number in 0..rounds {
        pollster::block_on(round(number as u64))?;
        memory.push(resident()?);
        if number % (rounds / 10).max(1) == 0 {
            println!("round {number:5}: {:7.1} MiB", memory[number] as f64 / f64::from(1 << 20));
        }
    }
    let quarter = rounds / 4;
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len().max(1) as f64;
    let (early, late) = (mean(&memory[quarter..2 * quarter]), mean(&memory[rounds - quarter..]));
    println!(
        "second quarter {:.1} MiB, last quarter {:.1} MiB",
        early / 1048576.0,
        late / 1048576.0
    );
    if late > 1.1 * early {
        return Err("memory grows".into());
    }
    Ok(())
}

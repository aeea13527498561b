//! UltraFastBERT-1x11 at its published size (16 layers, 768 wide, 4,095 neurons a layer, 755 MB), random, on the first adapter.

#[path = "common/checkpoints.rs"]
mod checkpoints;
mod common;

use checkpoints::Spec;
use cmm::model::{Batch, EncoderWeights, Output, Sequence, Tap};
use cmm::{Encoder, EncoderOptions};
use pollster::block_on;

/// The process's peak of resident memory, bytes; Linux only.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[test]
fn loads_runs_8_x_128_and_keeps_one_copy_of_the_weights() {
    let Some(gpu) = common::gpus().into_iter().next() else { return };
    let spec = Spec {
        crammed: true,
        fff: Some((1, 11)),
        form: checkpoints::Form::Published,
        layers: 16,
        hidden: 768,
        heads: 12,
        vocabulary: 32_768,
        dtype: "F32",
        tied: [true, true],
    };
    let dir = tempfile::tempdir().unwrap();
    spec.write(dir.path(), 1, 1);
    let file = std::fs::metadata(dir.path().join("model.safetensors")).unwrap().len();
    assert!((755_000_000..756_000_000).contains(&file), "{file}");

    let weights = EncoderWeights::open(dir.path()).unwrap();
    let before = peak();
    let encoder = block_on(Encoder::upload(&gpu, &weights, &EncoderOptions::default())).unwrap();
    // A software adapter's device memory is the host's: the one copy of the weights is there. Beside it: the part on its way (100 MB at
    // most), two flushes of staging memory, the driver's compiler. A second copy would make 2 * file.
    if let (Some(before), Some(after)) = (before, peak()) {
        let allowed = file + file / 2;
        assert!(after - before <= allowed, "{} of {allowed}", after - before);
    }
    let mut random = fastrand::Rng::with_seed(1);
    let sequence = |_| Sequence {
        ids: (0..128).map(|_| random.u32(..32_768)).collect(),
        ..Sequence::default()
    };
    let sequences: Vec<_> = (0..8).map(sequence).collect();
    let batch = encoder.batch(&sequences).unwrap();
    let output = Output::Tokens(vec![0, 500, 1023]);
    let run = |batch: &Batch, output: &Output| {
        block_on(encoder.forward(batch, output, Tap::None)).unwrap().values
    };
    let logits = run(&batch, &output);
    assert_eq!(logits.len(), 3 * 32_768);
    assert!(logits.iter().all(|v| v.is_finite()));
    // The last sequence alone gives the same: the tiles are others, the sums are not.
    let last = encoder.batch(&sequences[7..]).unwrap();
    let alone = run(&last, &Output::Tokens(vec![127]));
    let rows = logits[2 * 32_768..].iter().zip(&alone);
    let worst = rows.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= 2e-5 * alone.iter().fold(1.0, |m, v| v.abs().max(m)), "{worst}");
}

//! Every reader of the project, fed with bytes that anybody may have written. An error is an answer; a panic, a hang or memory without bound is a
//! finding. Shared by the fuzz targets beside this file and by `cli/tests/fuzz_replay.rs`, which replays what they have kept.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use cmm::bench::{Report, html, table};
use cmm::glue::{Task, read_bytes};
use cmm::model::{EncoderConfig, EncoderWeights, shards_in};
use cmm::{Checkpoint, Tokenizer};

#[path = "../cli/src/npy.rs"]
mod npy;

/// A reader that takes any bytes.
pub type Reader = fn(&[u8]);

/// The readers by their names.
pub const READERS: [(&str, Reader); 8] = [
    ("checkpoint", checkpoint),
    ("config", config),
    ("model", model),
    ("tokenizer", tokenizer),
    ("npy", npy_file),
    ("glue", glue),
    ("report", report),
    ("index", index),
];

/// A safetensors file: its header, and every tensor of it.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(file) = Checkpoint::from_bytes("fuzz", bytes) else { return };
    for name in file.names() {
        let _ = file.floats(&name);
        let _ = file.floats_at(&name, 1, 2);
    }
}

/// config.json.
pub fn config(bytes: &[u8]) {
    if let Ok(config) = EncoderConfig::from_json("fuzz", bytes) {
        assert!(config.validate().is_ok() && config.head_width() > 0);
        let _ = config.probabilities(&[1.0, -1.0]);
    }
}

/// A configuration, a NUL byte, and the weights that it is to describe: nothing is allocated that the weights do not hold.
pub fn model(bytes: &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return };
    let files = HashMap::from([
        ("config.json".to_owned(), bytes[..end].to_vec()),
        ("model.safetensors".to_owned(), bytes[end + 1..].to_vec()),
    ]);
    let Ok(weights) = EncoderWeights::from_files(&files) else { return };
    let _ = weights.embedding();
    for layer in 0..weights.config().layers.min(4) {
        let _ = weights.layer(layer);
    }
    let _ = (weights.final_norm(), weights.head(), weights.tensors());
}

/// tokenizer.json, and a text that it is to cut into tokens.
pub fn tokenizer(bytes: &[u8]) {
    let files = HashMap::from([("tokenizer.json".to_owned(), bytes.to_vec())]);
    let Ok(tokenizer) = Tokenizer::from_files(&files, 16) else { return };
    let _ = tokenizer.encode("The caf\u{e9} [MASK] <mask> \u{1f389}.", Some("a pair"));
    let _ = (tokenizer.vocabulary(), tokenizer.mask_id(), tokenizer.decode(&[0, 1, u32::MAX]));
}

/// A .npy file.
pub fn npy_file(bytes: &[u8]) {
    if let Ok((shape, mut values)) = npy::open(Cursor::new(bytes), bytes.len() as u64) {
        let _ = (shape, values.next(bytes.len()));
    }
}

/// A task's file: the first byte says which task, the second whether it is named .csv.
pub fn glue(bytes: &[u8]) {
    let [task, comma, text @ ..] = bytes else { return };
    let name = if comma % 2 == 0 { "fuzz.csv" } else { "fuzz.tsv" };
    let task = Task::ALL[usize::from(*task) % Task::ALL.len()];
    let _ = read_bytes(task, Path::new(name), text);
}

/// A benchmark's result file: its table and its page.
pub fn report(bytes: &[u8]) {
    if let Ok(report) = Report::from_json("fuzz", bytes) {
        let _ = (table(&report), html(&report));
    }
}

/// model.safetensors.index.json: no name in it leads out of its folder.
pub fn index(bytes: &[u8]) {
    for name in shards_in("fuzz", bytes).into_iter().flatten() {
        assert!(!name.contains(['/', '\\', '\0']) && !name.starts_with('.'), "{name:?}");
    }
}

//! A server's vectors are those of `cmm embed`, whatever runs beside them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Server, assert_near, floats, golden, models};

/// Of many lengths, and of many scripts.
fn texts() -> Vec<String> {
    let words = "the river carried old letters from a quiet town to the sea and nobody there could read them";
    let words: Vec<&str> = words.split(' ').collect();
    let mut texts: Vec<_> =
        (0..40).map(|i| words[..1 + i * 7 % words.len()].repeat(1 + i % 5).join(" ")).collect();
    texts.extend([
        "caf\u{e9} \u{4f60}\u{597d}".into(),
        "A man is playing a flute.".into(),
        "\u{1f389}".into(),
    ]);
    texts
}

fn embedded(device: &str, model: &Path, texts: &[String]) -> Vec<Vec<f64>> {
    let output = Command::new(env!("CARGO_BIN_EXE_cmm"))
        .args(["embed", "--json", "--device", device, "--model"])
        .arg(model)
        .args(texts)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let vector = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        floats(&line["embedding"])
    };
    text.lines().map(vector).collect()
}

fn same_in_every_batch(device: &str, model: &Path) {
    let named = format!("m={}", model.display());
    let server =
        Server::start_on(device, &["--model", &named, "--batch-tokens", "300", "--auto-truncate"]);
    let texts = texts();
    let expected = embedded(device, model, &texts);
    let all = server.post("/v1/embeddings", &json!({ "input": texts })).ok();
    for (index, vector) in expected.iter().enumerate() {
        assert_near(&floats(&all["data"][index]["embedding"]), vector);
    }
    // Alone, at the same time as others, from either end.
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (server, texts, expected) = (&server, &texts, &expected);
            scope.spawn(move || {
                for step in 0..6 {
                    let at = (thread * 11 + step * 5) % texts.len();
                    let some = [&texts[at], &texts[texts.len() - 1 - at]];
                    let got = server.post("/embed", &json!({ "inputs": some })).ok();
                    assert_near(&floats(&got[0]), &expected[at]);
                    assert_near(&floats(&got[1]), &expected[texts.len() - 1 - at]);
                }
            });
        }
    });
}

#[test]
fn vectors_are_those_of_cmm_embed_in_any_batch_on_the_cpu() {
    same_in_every_batch("cpu", &models().join("fastminilm"));
}

#[test]
fn vectors_are_those_of_cmm_embed_in_any_batch_on_a_gpu() {
    let devices = Command::new(env!("CARGO_BIN_EXE_cmm")).arg("devices").output().unwrap();
    if !devices.status.success() {
        assert!(std::env::var_os("CMM_REQUIRE_GPU").is_none(), "no GPU adapter");
        eprintln!("SKIPPED: no GPU adapter");
        return;
    }
    // A software adapter takes long for a larger model.
    same_in_every_batch("0", &golden().join("mlm_tiny"));
}

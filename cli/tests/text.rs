//! The commands on texts, on the built binary with the golden checkpoints.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

#[path = "../../tests/common/mod.rs"]
mod common;

fn cmm(arguments: &[&str], stdin: &[u8]) -> Option<Output> {
    if common::gpus().is_empty() {
        return None;
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_cmm"))
        .args(arguments)
        .current_dir(common::golden())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin);
    Some(child.wait_with_output().unwrap())
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn error(output: &Output) -> String {
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let last: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(last.len(), 1, "{text}");
    last[0].to_owned()
}

const EMBED: [&str; 4] = ["embed", "--json", "--model", "mlm_tiny"];

fn embedding(line: &serde_json::Value) -> Vec<f64> {
    line["embedding"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Few tokens and many take different kernels, which sum in different orders.
fn assert_same_vector(a: &serde_json::Value, b: &serde_json::Value) {
    let (a, b) = (embedding(a), embedding(b));
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn products_in_int8_give_nearly_the_same_vectors_and_no_gpu_has_them() {
    let text = b"A man is playing a flute.\nReplace me.\n";
    let Some(f32) = cmm(&[&EMBED[..], &["--device", "cpu"]].concat(), text) else { return };
    let int8 = cmm(&[&EMBED[..], &["--int8"]].concat(), text).unwrap();
    let (f32, int8) = (lines(&f32), lines(&int8));
    assert_eq!((f32.len(), int8.len()), (2, 2));
    for (a, b) in f32.iter().zip(&int8) {
        let (a, b) = (embedding(a), embedding(b));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!(cosine > 0.99 && a != b, "{cosine}");
    }
    let refused = cmm(&[&EMBED[..], &["--int8", "--device", "0"]].concat(), text).unwrap();
    assert!(error(&refused).contains("int8: expected the CPU, found a GPU"), "{}", error(&refused));
}

#[test]
fn every_line_has_its_vector_in_its_place_whatever_is_in_it() {
    let long = "word ".repeat(10_000);
    let texts = ["Replace me.", "", "🎉 naïve café", "   ", &long, "Replace me."];
    let Some(output) = cmm(&EMBED, texts.join("\n").as_bytes()) else { return };
    let together = lines(&output);
    assert_eq!(together.len(), texts.len());
    for (line, text) in together.iter().zip(texts) {
        assert_eq!(line["text"], text);
        let vector = embedding(line);
        assert_eq!(vector.len(), 64);
        let norm = vector.iter().map(|v| v * v).sum::<f64>();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
    assert_eq!(together[0]["embedding"], together[5]["embedding"]);
    let alone = lines(&cmm(&[&EMBED[..], &["Replace me."]].concat(), b"").unwrap());
    assert_same_vector(&alone[0], &together[0]);
    let budget = [&EMBED[..], &["--batch-tokens", "8"]].concat();
    let apart = lines(&cmm(&budget, texts.join("\n").as_bytes()).unwrap());
    assert_eq!(apart.len(), together.len());
    for (line, expected) in apart.iter().zip(&together) {
        assert_eq!(line["text"], expected["text"]);
        assert_same_vector(line, expected);
    }
}

/// 2,048 run at once: what is printed and written step by step is whole, and in its order.
#[test]
fn more_lines_than_one_step_takes_keep_their_places() {
    let texts: Vec<_> = (0..2_050).map(|number| format!("line {number}")).collect();
    let (stdin, folder) = (texts.join("\n"), tempfile::tempdir().unwrap());
    // Steps are of a few batches.
    let on_cpu = [&EMBED[..], &["--device", "cpu", "--batch-tokens", "64"]].concat();
    let Some(printed) = cmm(&on_cpu, stdin.as_bytes()) else { return };
    let printed = lines(&printed);
    assert!(printed.iter().map(|line| &line["text"]).eq(&texts));
    let file = folder.path().join("vectors.safetensors");
    let written =
        cmm(&[&on_cpu[..], &["--output", file.to_str().unwrap()]].concat(), stdin.as_bytes());
    let report = &lines(&written.unwrap())[0];
    assert_eq!(report["texts"], 2_050);
    for stage in ["load", "tokenize", "device", "write"] {
        assert!(report["seconds"][stage].as_f64().is_some_and(|seconds| seconds > 0.0), "{report}");
    }
    let bytes = std::fs::read(file).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let y = tensors.tensor("y").unwrap();
    assert_eq!(y.shape(), [2_050, 64]);
    for (row, line) in y.data().chunks_exact(4 * 64).zip(&printed) {
        let row: Vec<f32> =
            row.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
        assert!(row.iter().zip(embedding(line)).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-7));
    }
}

#[test]
fn what_is_no_text_is_an_error_with_its_place() {
    let Some(output) = cmm(&EMBED, b"fine\nnot \xff\xfe\n") else { return };
    assert!(error(&output).contains("stdin: line 2 is not UTF-8"), "{}", error(&output));
    assert!(error(&cmm(&EMBED, b"").unwrap()).contains("no text"));
    let jsonl = [&EMBED[..], &["--field", "s"]].concat();
    let message = error(&cmm(&jsonl, b"{\"s\":\"a\"}\n{\"t\":1}\n").unwrap());
    assert!(message.contains("stdin: line 2: no text in field `s`"), "{message}");
    let message = error(&cmm(&["embed", "x", "--model", "bert_tiny"], b"").unwrap());
    assert!(message.contains("tokenizer.json"), "{message}");
    let message = error(&cmm(&["classify", "x", "--model", "mlm_tiny"], b"").unwrap());
    assert!(message.contains("a classification head"), "{message}");
    let message = error(&cmm(&["fill-mask", "x", "--model", "mlm_tiny"], b"").unwrap());
    assert!(message.contains("text 1: expected a <mask>"), "{message}");
}

#[test]
fn json_lines_go_in_by_field() {
    let input = b"{\"s\":\"Yes.\",\"n\":1}\n{\"s\":\"No.\"}\n";
    let Some(output) = cmm(&[&EMBED[..], &["--field", "s"]].concat(), input) else { return };
    let texts: Vec<_> = lines(&output).iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["Yes.", "No."]);
}

#[test]
fn fill_mask_gives_the_likeliest_tokens_of_the_golden_logits() {
    let text = "The capital of <mask> is where the statement begins.";
    let arguments = ["fill-mask", text, "--model", "mlm_tiny", "--top", "512", "--json"];
    let Some(output) = cmm(&arguments, b"") else { return };
    let found = lines(&output)[0]["masks"][0].clone();
    let candidates = found.as_array().unwrap();
    let total: f64 = candidates.iter().map(|c| c["probability"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");

    // The first text of the golden batch `padded`.
    let path = common::golden().join("mlm_tiny/golden/padded.safetensors");
    let file = cmm::Checkpoint::open(path).unwrap();
    let ids = file.integers("input.input_ids").unwrap();
    let mask = ids.iter().position(|id| *id == 3).unwrap();
    let logits = file.floats("expected.logits").unwrap();
    let row = &logits[mask * 512..][..512];
    let best = (0..512).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    assert_eq!(candidates[0]["id"], best as u64);
    let weight = |id: usize| f64::from(row[id]).exp();
    let probability = weight(best) / (0..512).map(weight).sum::<f64>();
    assert!((candidates[0]["probability"].as_f64().unwrap() - probability).abs() < 1e-5);

    let arguments = ["fill-mask", "[MASK] is <mask>", "--model", "mlm_tiny", "--json"];
    assert_eq!(lines(&cmm(&arguments, b"").unwrap())[0]["masks"].as_array().unwrap().len(), 2);
}

#[test]
fn classes_come_with_their_names_and_probabilities() {
    let arguments = ["classify", "Yes.", "No.", "--model", "seqcls_tiny", "--json"];
    let Some(output) = cmm(&arguments, b"") else { return };
    for line in lines(&output) {
        let class = line["class"].as_u64().unwrap();
        assert_eq!(line["label"], format!("LABEL_{class}"));
        let total: f64 =
            line["probabilities"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
        assert!((total - 1.0).abs() < 1e-9);
    }
}

#[test]
fn the_classifier_that_ships_tells_good_reviews_from_bad_ones() {
    let arguments =
        ["classify", "A lovely, quiet film.", "Two hours I will not get back.", "--json"];
    let Some(output) = cmm(&arguments, b"") else { return };
    let labels: Vec<_> = lines(&output).iter().map(|line| line["label"].clone()).collect();
    assert_eq!(labels, ["positive", "negative"]);
}

#[test]
fn search_finds_the_line_itself_and_keeps_line_numbers() {
    let input = "Replace me.\n\nExpressions are names.\n";
    let arguments = ["search", "Expressions are names.", "--model", "mlm_tiny", "--json"];
    let Some(output) = cmm(&arguments, input.as_bytes()) else { return };
    let found = lines(&output);
    assert_eq!((found.len(), &found[0]["line"]), (2, &Value::from(3)));
    assert!(found[0]["similarity"].as_f64().unwrap() > 0.999_999);
    let same = ["similarity", "a b", "a b", "--model", "mlm_tiny"];
    assert_eq!(cmm(&same, b"").unwrap().stdout, b"1.0000\n");
}

#[test]
fn the_model_of_the_source_tree_is_the_default_and_knows_what_texts_mean() {
    let texts = "A man is playing a flute.\nThe stock market fell sharply.\nPlants turn light into sugar.\n";
    let query = "Someone makes music on an instrument.";
    let Some(output) = cmm(&["search", query, "--json"], texts.as_bytes()) else { return };
    let found = lines(&output);
    assert_eq!(found[0]["line"], 1);
    let similarity = |place: usize| found[place]["similarity"].as_f64().unwrap();
    assert!(similarity(0) > 0.4 && similarity(1) < 0.2, "{found:?}");
}

#[test]
fn vectors_go_to_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("v.safetensors");
    let file = file.to_str().unwrap();
    let arguments = ["embed", "a", "b", "--model", "mlm_tiny", "--output", file];
    let Some(output) = cmm(&arguments, b"") else { return };
    assert!(output.status.success());
    let vectors = cmm::Checkpoint::open(file).unwrap();
    assert_eq!(vectors.info("y").unwrap().shape, [2, 64]);
}

#[test]
fn inspect_says_what_a_model_is_made_of_and_where_tokens_go() {
    let arguments = ["inspect", "--model", "mlm_tiny", "--text", "Replace me", "--json"];
    let Some(output) = cmm(&arguments, b"") else { return };
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["neurons"], &report["engaged"]), (&Value::from(126), &Value::from(12)));
    let file =
        std::fs::metadata(common::golden().join("mlm_tiny/model.safetensors")).unwrap().len();
    let parts = report["parts"].as_object().unwrap();
    let bytes: u64 = parts.values().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert!(bytes < file && bytes > file - 8192, "{bytes} of {file}");
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 3);
    for layer in layers {
        let tokens = layer["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), 6);
        assert!(layer["used"].as_u64().unwrap() <= 12);
        for token in tokens {
            assert_eq!(token[1].as_array().unwrap().len(), 2);
            assert_eq!(token[1][0].as_array().unwrap().len(), 6);
        }
    }
}

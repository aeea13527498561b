//! `cmm glue`: the files of each task in the forms in which they are distributed, and models on them.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cmm::FastBert;
use cmm::glue::{Task, read};
use pollster::block_on;

fn file(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn cmm(task: &str, data: &Path, model: &str) -> Output {
    let arguments = ["glue", "--json", "--task", task, "--model", model, "--data"];
    Command::new(env!("CARGO_BIN_EXE_cmm"))
        .args(arguments)
        .arg(data)
        .current_dir(common::golden())
        .output()
        .unwrap()
}

#[test]
fn every_task_is_read_as_it_is_distributed() {
    let dir = tempfile::tempdir().unwrap();
    for (task, name, text, first, second, target) in [
        ("sst2", "a.tsv", "sentence\tlabel\na \"fine film\t1\n", "a \"fine film", None, 1.0),
        ("sst2", "b.tsv", "label\tcontent\n0\tdull , dull\n", "dull , dull", None, 0.0),
        ("cola", "c.tsv", "gj04\t1\t\tHe sailed.\n", "He sailed.", None, 1.0),
        ("cola", "d.tsv", "bc01\t0\t*\tThe in.\n", "The in.", None, 0.0),
        (
            "rte",
            "e.tsv",
            "index\tsentence1\tsentence2\tlabel\n0\tIt rains.\tIt is wet.\tnot_entailment\n",
            "It rains.",
            Some("It is wet."),
            1.0,
        ),
        ("stsb", "f.csv", "\"A, b \"\"c\"\".\",D.,3.25\n", "A, b \"c\".", Some("D."), 3.25),
        (
            "stsb",
            "g.tsv",
            "index\tgenre\tsentence1\tsentence2\tscore\n0\tx\tA.\tB.\t5.000\n",
            "A.",
            Some("B."),
            5.0,
        ),
        (
            "mrpc",
            "h.tsv",
            "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tA \"x\tB\n",
            "A \"x",
            Some("B"),
            1.0,
        ),
        (
            "qqp",
            "i.tsv",
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tWhy?\tHow?\t0\n",
            "Why?",
            Some("How?"),
            0.0,
        ),
        (
            "qnli",
            "j.tsv",
            "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn May.\tentailment\n",
            "When?",
            Some("In May."),
            0.0,
        ),
        (
            "mnli",
            "k.tsv",
            "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tA\tB\tneutral\tcontradiction\n",
            "A",
            Some("B"),
            2.0,
        ),
        ("wnli", "l.tsv", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\t1\n", "A", Some("B"), 1.0),
    ] {
        let task: Task = task.parse().unwrap();
        let examples = read(task, file(dir.path(), name, text)).unwrap();
        assert_eq!(examples.len(), 1, "{name}");
        let example = &examples[0];
        let found = (example.first.as_str(), example.second.as_deref(), example.target);
        assert_eq!(found, (first, second, target), "{name}");
    }
}

#[test]
fn a_malformed_line_is_named_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    for (task, name, text, expected) in [
        ("sst2", "a.tsv", "sentence\tlabel\nfine\t1\nbad\t2\n", ["line 3", "\"2\""]),
        ("sst2", "b.tsv", "sentence\tlabel\nfine\t1\n\nno label\n", ["line 4", "2 columns"]),
        ("cola", "c.tsv", "gj04\t1\t\tYes.\ngj04\tx\t\tNo.\n", ["line 2", "\"x\""]),
        ("cola", "d.tsv", "gj04\t1\t\tYes.\ngj04\t1\n", ["line 2", "4 columns"]),
        ("rte", "e.tsv", "index\tsentence1\tlabel\n0\tA\tentailment\n", ["line 1", "sentence2"]),
        ("stsb", "f.csv", "A.,B.,3.0\nA.,B.,many\n", ["line 2", "\"many\""]),
        ("stsb", "g.csv", "A.,B.,3.0\nA.,B.,NaN\n", ["line 2", "\"NaN\""]),
        ("stsb", "h.csv", "A.,B.\n", ["line 1", "sentence1"]),
        ("mnli", "i.tsv", "sentence1\tsentence2\tgold_label\nA\tB\t-\n", ["line 2", "neutral"]),
        ("sst2", "j.tsv", "sentence\tlabel\n", ["j.tsv", "examples"]),
        ("sst2", "k.tsv", "", ["k.tsv", "examples"]),
    ] {
        let task: Task = task.parse().unwrap();
        let error = read(task, file(dir.path(), name, text)).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{name}: {error}");
        }
    }
    let path = dir.path().join("l.tsv");
    std::fs::write(&path, b"sentence\tlabel\n\xff\xfe\t1\n").unwrap();
    let error = read(Task::Sst2, &path).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("UTF-8"), "{error}");
    assert!(read(Task::Sst2, dir.path().join("missing.tsv")).is_err());
    assert!("sst".parse::<Task>().unwrap_err().to_string().contains("sst2"));
}

#[test]
fn a_head_is_measured_in_its_own_metric() {
    let Some(gpu) = common::gpus().into_iter().next() else { return };
    let dir = tempfile::tempdir().unwrap();
    let pairs = [("Yes it is.", "No."), ("Replace me.", "Names are."), ("The end", "of it all.")];
    let model = block_on(FastBert::load(&gpu, common::golden().join("seqcls_tiny"))).unwrap();
    let asked = pairs.map(|(a, b)| (a, Some(b)));
    let scores = block_on(model.classify_pairs(&asked)).unwrap();
    let names = ["entailment", "neutral", "contradiction"];
    let mut text = "sentence1\tsentence2\tgold_label\n".to_owned();
    for (index, ((a, b), scores)) in pairs.iter().zip(&scores).enumerate() {
        let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        // The last one gets a wrong label.
        let label = if index == 2 { (best + 1) % 3 } else { best };
        text += &format!("{a}\t{b}\t{}\n", names[label]);
    }
    let data = file(dir.path(), "mnli.tsv", &text);
    let output = cmm("mnli", &data, "seqcls_tiny");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["by"], &result["examples"]), (&"head".into(), &3.into()));
    let accuracy = result["metrics"]["accuracy"].as_f64().unwrap();
    assert!((accuracy - 2.0 / 3.0).abs() < 1e-12, "{result}");

    let rte = file(dir.path(), "rte.tsv", "sentence1\tsentence2\tlabel\nA\tB\tentailment\n");
    for (model, message) in [("seqcls_tiny", "3 classes"), ("mlm_tiny", "classification head")] {
        let output = cmm("rte", &rte, model);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty());
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn similarity_without_a_head_is_the_cosine() {
    if common::gpus().is_empty() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text =
        "Replace me.,Replace me.,5\nReplace me.,Names of the end.,1\nYes.,\"No, it is not.\",0.5\n";
    let output = cmm("stsb", &file(dir.path(), "s.csv", text), "mlm_tiny");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["by"], "cosine");
    // The same text twice is the most similar pair by far: both correlations are positive, whatever the model thinks of the others.
    for metric in ["pearson", "spearman"] {
        let value = result["metrics"][metric].as_f64().unwrap();
        assert!((0.4..=1.0).contains(&value), "{metric} {value}");
    }
}

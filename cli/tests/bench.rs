//! `cmm bench` as a person or a script uses it, on every adapter of the machine and on the host.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cmm::bench::{Computation, Effort, EncoderShape, Machine, Report, Unit, Workload};
use cmm::model::Family;
use cmm::{Device, FffForm, FffShape, Precision};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmm")).arg("bench").args(arguments).output().unwrap()
}

fn report(path: &Path) -> Report {
    Report::from_json("result", &std::fs::read(path).unwrap()).unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

const SMALL: [&str; 8] =
    ["--quick", "--width", "40", "--fff", "1x5,signed:2x2", "--neurons", "63", "--batch=1,9"];

/// Other layers and another width of the dense ones in place of a preset's own.
#[test]
fn a_presets_encoders_take_the_layers_that_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("result.json");
    let preset = ["model-minilm", "--quick", "--no-gpu", "--fff", "leaf:2x16", "--neurons", "12"];
    let more = ["--precision", "f32", "-b", "16", "--output", json.to_str().unwrap()];
    let output = bench(&[&preset[..], &more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let layers = |key: &str| -> Vec<u64> {
        let rows = result["rows"].as_array().unwrap().iter();
        rows.map(|row| row["layer"]["encoder"][key].as_u64().unwrap()).collect()
    };
    assert_eq!((layers("depth"), layers("neurons")), (vec![2, 0], vec![0, 12]));
}

#[test]
fn every_adapter_gets_checked_rows_in_every_output() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    for index in 0..common::gpus().len() {
        let (json, html) = (file("result.json"), file("report.html"));
        let device = index.to_string();
        let more =
            ["--cpu", "--device", &device, "--output", &json, "--html", &html, "--format", "csv"];
        let output = bench(&[&SMALL[..], &more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result = report(Path::new(&json));
        assert!(result.complete && result.passed() && result.peaks.is_some());
        let count = |unit: Unit, dense: bool| {
            let is = |row: &&cmm::bench::Measurement| {
                row.unit == unit && matches!(row.computation, Computation::Dmm { .. }) == dense
            };
            result.measurements.iter().filter(is).count()
        };
        let halves =
            result.measurements.iter().filter(|row| row.activations == Precision::F16).count();
        assert!(halves == 0 || halves >= 4);
        let precisions = count(Unit::Gpu, true) / 2;
        assert!((1..=3).contains(&precisions), "{precisions}");
        assert!(count(Unit::Gpu, false) >= 4);
        assert_eq!((count(Unit::Cpu, false), count(Unit::Cpu, true)), (4, 2));
        for row in &result.measurements {
            assert!(row.seconds.min > 0.0 && row.seconds.n == row.seconds.samples.len());
            assert!(row.seconds.n >= 3 && row.check.tokens > 0);
            if let Computation::Cmm { .. } = row.computation {
                assert!(row.leaves.unwrap() >= row.tokens.min(2), "{row:?}");
                assert!(result.speed_up(row).unwrap().best_dense.times > 0.0);
            }
        }
        assert_eq!(stdout(&output).lines().count(), result.measurements.len() + 1);
        let page = std::fs::read_to_string(&html).unwrap();
        assert!(page.contains("<svg") && page.contains(&result.machine.adapter));
        assert!(!page.contains("http://") || !page.contains("<script"));
        let shown = bench(&["show", &json, "-f", "md"]);
        let in_table = |line: &&str| line.starts_with('|');
        assert_eq!(stdout(&shown).lines().filter(in_table).count(), result.measurements.len() + 2);
        // The marks and the notes that explain them are in every form.
        assert!(stdout(&shown).contains("The CPU's peaks are not measured"));
        let csv = bench(&["show", &json, "-f", "csv"]);
        assert!(String::from_utf8_lossy(&csv.stderr).contains("The CPU's peaks are not measured"));
        let compared = bench(&["compare", &json, &json]);
        assert!(stdout(&compared).contains("1.00x") && stdout(&compared).contains("within noise"));
    }
}

/// Every adapter, and the host.
fn devices() -> Vec<Device> {
    common::gpus().into_iter().map(Device::from).chain([Device::Host]).collect()
}

/// Whole encoders of both families, FFF and dense, on every adapter and on the host: checked, and with their ratio.
#[test]
fn encoders_get_checked_rows() {
    for device in devices() {
        for (family, form) in
            [(Family::CrammedBert, FffForm::Signed), (Family::Bert, FffForm::Published)]
        {
            let shape = FffShape::new(32, 1, 3).unwrap().in_form(form).unwrap();
            let workload = Workload {
                name: "tiny".into(),
                layers: vec![shape],
                neurons: 20,
                tokens: vec![5, 16],
                precisions: vec![Precision::F32],
                all_tiles: false,
                encoder: Some(EncoderShape { family, layers: 2, heads: 2, length: 8 }),
            };
            let mut result = Report::new(Machine::host(1), "test".into());
            let mut rows = 0;
            let mut seen = |report: &Report| rows = report.measurements.len();
            let effort = Effort::QUICK;
            match &device {
                Device::Gpu(gpu) => {
                    let run = cmm::bench::run(gpu, &workload, effort, &mut result, &mut seen);
                    pollster::block_on(run).unwrap();
                }
                Device::Host => {
                    cmm::bench::run_cpu(&workload, effort, &mut result, &mut seen).unwrap();
                }
            }
            assert_eq!((rows, result.measurements.len()), (4, 4));
            assert!(result.passed(), "{:?}", result.measurements);
            let [conditional, dense] = [&result.measurements[1], &result.measurements[3]];
            assert!(
                conditional.computation.is_conditional() && !dense.computation.is_conditional()
            );
            let speed_up = result.speed_up(conditional).unwrap();
            assert_eq!(speed_up.theoretical, dense.flops / conditional.flops);
            let ratio = speed_up.best_dense.times;
            assert!((ratio - dense.seconds.median / conditional.seconds.median).abs() < 1e-9);
            assert!(conditional.flops < dense.flops && conditional.check.tokens == 16);
        }
    }
}

/// A ratio above what counting neurons promises, one to a dense layer that hardly runs, and all ratios of a software adapter: each is told.
#[test]
fn ratios_that_mislead_are_marked_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("result.json");
    let json = path.display().to_string();
    let output = bench(&[&SMALL[..], &["--cpu", "--no-gpu", "--out", &json]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut file: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let shown = |file: &serde_json::Value| {
        std::fs::write(&path, file.to_string()).unwrap();
        stdout(&bench(&["show", &json])).to_owned()
    };
    let take = |file: &mut serde_json::Value, conditional: bool, seconds: f64| {
        for row in file["rows"].as_array_mut().unwrap() {
            if row["layer"].get("cmm").is_some() == conditional {
                row["seconds"]["median"] = seconds.into();
            }
        }
    };
    take(&mut file, true, 1e-3);
    take(&mut file, false, 1e-3);
    let plain = shown(&file);
    assert!(
        plain.contains("1.00x ") && !plain.contains("1.00x!") && !plain.contains("1.00x*"),
        "{plain}"
    );
    take(&mut file, false, 1e3);
    let above = shown(&file);
    assert!(
        above.contains("e6x!")
            && above.contains("above what counting neurons or operations promises"),
        "{above}"
    );
    assert!(!above.contains("say nothing about GPUs") && !above.contains("less than 5 %"));
    // The same rows, as if a software adapter had been that slow.
    file["machine"]["backend"] = "vulkan".into();
    file["peaks"] = serde_json::json!({ "copy": 1e12, "f32": 1e12, "f16": null, "dispatch": 1e-6 });
    for row in file["rows"].as_array_mut().unwrap() {
        row["unit"] = "gpu".into();
    }
    let weak = shown(&file);
    assert!(weak.contains("x!*") && weak.contains("less than 5 %"), "{weak}");
    assert!(weak.contains("say nothing about GPUs"));
}

#[test]
fn a_wrong_row_is_marked_has_no_ratio_and_is_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("result.json");
    let json = path.display().to_string();
    let output = bench(&[&SMALL[..], &["--cpu", "--no-gpu", "--out", &json]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut result = report(&path);
    let count = result.measurements.len();
    assert!(result.speed_up(&result.measurements[0]).is_some());
    result.measurements[0].check.passed = false;
    assert!(!result.passed());
    assert!(result.speed_up(&result.measurements[0]).is_none());
    assert_eq!(cmm::bench::compare(&result, &result).len(), count - 1);
    // A dense row that failed is nobody's measure.
    for row in &mut result.measurements {
        row.check.passed = matches!(row.computation, Computation::Cmm { .. });
    }
    assert!(result.speed_up(&result.measurements[1]).is_none());
    std::fs::write(&path, serde_json::to_vec(&result).unwrap()).unwrap();
    assert!(stdout(&bench(&["show", &json])).contains("FAIL"));
}

#[test]
fn an_interrupted_run_leaves_a_valid_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("result.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_cmm"))
        .args(["bench", "--cpu", "--no-gpu", "--width", "256", "-b", "1,64,1024,4096", "--out"])
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !path.exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let result = report(&path);
    assert!(!result.complete && !result.measurements.is_empty() && result.passed());
}

#[test]
fn what_cannot_be_measured_or_read_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.json");
    std::fs::write(&path, r#"{"schema": 99}"#).unwrap();
    let other = path.display().to_string();
    for (arguments, message) in [
        (vec!["bert-large"], "trees-vs-depth"),
        (vec!["--width", "64", "--fff", "eleven"], "1x11"),
        (vec!["--width", "64", "--fff", "leafy:1x11"], "published, signed or leaf"),
        (vec!["-b", "0"], "0 tokens"),
        (vec!["--output", "csv"], "--format csv"),
        (vec!["--device", "no such card"], "no such card"),
        (vec!["show", &other], "schema 99"),
        (vec!["compare", &other, "missing.json"], "schema 99"),
        (vec!["show", "missing.json"], "missing.json"),
    ] {
        let output = bench(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        let line = stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(line.contains(message), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_race_measures_and_checks_both_layers_on_the_callers_tokens() {
    let shape = FffShape::new(24, 2, 4).unwrap();
    let weights = cmm::FffWeights::random(shape, 3);
    let x = common::random_tokens(9 * 24, 1);
    let race = |device: &Device, neurons, x: &[f32]| {
        pollster::block_on(cmm::bench::race(device, &weights, neurons, x, Effort::QUICK))
    };
    for device in devices() {
        for neurons in [shape.nodes(), 7] {
            let [fff, dense] = race(&device, neurons, &x).unwrap();
            assert!(fff.check.passed && dense.check.passed, "{fff:?} {dense:?}");
            assert_eq!((fff.tokens, dense.tokens), (9, 9));
            assert_eq!(fff.computation, Computation::cmm(shape));
            assert_eq!(dense.computation, Computation::Dmm { input: 24, output: 24, neurons });
            let truth = cmm::reference::fff(&weights, &x).unwrap();
            let leaf = |(walk, path): (usize, &[u32])| (walk % 2, path[4]);
            let leaves: std::collections::HashSet<_> =
                truth.path.chunks(5).enumerate().map(leaf).collect();
            assert_eq!(fff.leaves, Some(leaves.len()));
        }
        for x in [&x[..0], &x[..25]] {
            let error = race(&device, 7, x).unwrap_err().to_string();
            assert!(error.contains("a multiple of the input width 24"), "{error}");
        }
    }
}

/// Times of zero, of nearly zero, of ages: the page is made, at once, and the row is marked.
#[test]
fn a_report_with_impossible_times_is_shown_with_its_broken_rows_marked() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let show = |file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_cmm"))
            .args(["bench", "show"])
            .arg(file)
            .arg("--html")
            .arg(&page)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let html = std::fs::read_to_string(&page).unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(html.contains("BROKEN") && table.contains("BROKEN"), "{table}");
        assert!(!html.contains("NaN") && !html.contains("inf"), "{}", file.display());
    };
    let root = common::root();
    show(&root.join("tests/cases/report_median0_one.json"));
    show(&root.join("tests/cases/report_hang.json"));
    let sound = std::fs::read(root.join("results/nvidia-h100-model.json")).unwrap();
    for value in [0.0, -1.0, 5e-324, 1e-300, 1e300, f64::MAX] {
        let mut report: serde_json::Value = serde_json::from_slice(&sound).unwrap();
        report["peaks"]["copy"] = value.into();
        report["peaks"]["f32"] = value.into();
        for (place, key) in ["median", "min", "max"].iter().enumerate() {
            report["rows"][place]["seconds"][key] = value.into();
        }
        report["rows"][3]["flops"] = value.into();
        let trees = serde_json::json!({ "input": 8, "output": 8, "trees": 1, "depth": u64::MAX });
        report["rows"][4]["layer"] = serde_json::json!({ "cmm": trees });
        let file = dir.path().join("report.json");
        std::fs::write(&file, report.to_string()).unwrap();
        show(&file);
    }
}

//! The built command, as a person or a script uses it.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::{Command, Output};

use cmm::check::golden_cases;
use cmm::{Checkpoint, reference};

fn cmm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmm")).args(arguments).output().unwrap()
}

/// As on a machine without any GPU adapter.
fn cmm_without_adapter(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmm"))
        .args(arguments)
        .env("WGPU_BACKEND", "webgpu")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// The command failed with one line that contains this.
fn assert_fails(output: &Output, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(!output.status.success());
    assert!(errors.iter().any(|line| line.contains(message)), "{message}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Runs golden layer d5 (2 trees, depth 7, 37 wide), with more arguments.
fn run_d5(input: &Path, output: &Path, more: &[&str]) -> Output {
    let weights = common::golden().join("fff/d5_k2_d7.safetensors");
    let (weights, input, output) =
        (weights.to_str().unwrap(), input.to_str().unwrap(), output.to_str().unwrap());
    let mut arguments = vec!["run", "--weights", weights, "--trees", "2", "--depth", "7"];
    arguments.extend(["--input", input, "--output", output]);
    arguments.extend(more);
    cmm(&arguments)
}

#[test]
fn devices_as_json() {
    let output = cmm(&["devices", "--json"]);
    assert!(output.status.success());
    let devices: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    let devices = devices.as_array().unwrap();
    assert_eq!(devices.len(), common::gpus().len());
    for device in devices {
        assert!(device["variant_f32"].as_str().unwrap().ends_with("/f32"));
        // Software adapters sit on no bus; the others are chosen by it.
        let place = &device["pci_bus_id"];
        assert!(place.is_null() || place.as_str().unwrap().parse::<cmm::PciBusId>().is_ok());
    }
    let nowhere = cmm(&["embed", "x", "--device", "0000:fe:1f.7"]);
    assert!(!nowhere.status.success());
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("has PCI bus id 0000:fe:1f.7"));
    // The first is the default: of like ones, one with f16. A CI machine has two software adapters of Vulkan.
    for pair in devices
        .windows(2)
        .filter(|pair| ["kind", "backend"].iter().all(|name| pair[0][name] == pair[1][name]))
    {
        assert!(pair[0]["f16"] == true || pair[1]["f16"] == false, "{pair:?}");
    }
}

#[test]
fn check_fails_on_golden_results_that_are_not_the_layers() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("fff")).unwrap();
    let name = "fff/d6_k2_d3_ties";
    let index =
        format!(r#"[{{"path":"{name}","kind":"fff_ultrafastbert"}},{{"path":"x","kind":"new"}}]"#);
    std::fs::write(dir.path().join("index.json"), index).unwrap();
    std::fs::copy(
        common::golden().join(format!("{name}.json")),
        dir.path().join(format!("{name}.json")),
    )
    .unwrap();
    let mut bytes = std::fs::read(common::golden().join(format!("{name}.safetensors"))).unwrap();
    let target = dir.path().join(format!("{name}.safetensors"));
    std::fs::write(&target, &bytes).unwrap();
    // The CPU reference alone decides here: quick, and the same on every machine.
    let arguments = ["check", "--json", "--golden", dir.path().to_str().unwrap()];
    let good = cmm_without_adapter(&arguments);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    let report: serde_json::Value = serde_json::from_str(stdout(&good)).unwrap();
    assert_eq!((&report["passed"], &report["not_checked"][0]), (&true.into(), &"x".into()));

    // Negate the largest value of linear_in.weight.
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offsets = &json["linear_in.weight"]["data_offsets"];
    let (start, end) =
        (offsets[0].as_u64().unwrap() as usize, offsets[1].as_u64().unwrap() as usize);
    let first = 8 + header + start;
    let value = |i: usize| f32::from_le_bytes(bytes[i..i + 4].try_into().unwrap()).abs();
    let row = first..first + 48;
    let largest = row.step_by(4).max_by(|a, b| value(*a).total_cmp(&value(*b))).unwrap();
    assert!(largest < first + end);
    bytes[largest + 3] ^= 0x80;
    std::fs::write(&target, &bytes).unwrap();
    let bad = cmm_without_adapter(&arguments);
    assert_eq!(bad.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_str(stdout(&bad)).unwrap();
    assert_eq!(report["passed"], false);
}

#[test]
fn check_without_an_adapter_says_so() {
    let output = cmm_without_adapter(&["check"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("NO GPU ADAPTER"));
    assert!(stdout(&output).contains("CPU only"));
}

#[test]
fn check_one_device_and_variant() {
    if common::gpus().is_empty() {
        return;
    }
    let output = cmm(&["check", "--device", "0", "--variant", "workgroup/f32"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = stdout(&output);
    assert!(text.contains("fff/d2_k1_d11") && text.contains("0 failed"), "{text}");
    assert!(!text.contains("packed"), "{text}");
}

#[test]
fn run_reads_and_writes_both_formats_on_the_cpu_and_on_a_gpu() {
    run_reads_and_writes_both_formats_on("cpu", "on cpu (f32)");
    if !common::gpus().is_empty() {
        run_reads_and_writes_both_formats_on("0", "/f32)");
    }
}

fn run_reads_and_writes_both_formats_on(device: &str, named: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (cases, _) = golden_cases(&common::golden()).unwrap();
    let case = cases.iter().find(|case| case.name.contains("d5_k2")).unwrap();
    let truth = reference::fff(&case.weights, &case.x).unwrap();
    let golden = common::golden().join("fff/d5_k2_d7.safetensors");
    let close = |y: &[f32]| {
        assert_eq!(y.len(), truth.y.len());
        assert!(y.iter().zip(&truth.y).all(|(got, want)| (f64::from(*got) - want).abs() < 1e-4));
    };

    // safetensors -> safetensors, with the path in it.
    let out = dir.path().join("y.safetensors");
    let on = ["--device", device, "--path"];
    let output = run_d5(&golden, &out, &[&on[..], &["--tensor", "input.x", "--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(summary["tokens"], 257);
    let bytes = std::fs::read(&out).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("y").unwrap().shape(), [257, 37]);
    assert_eq!(file.tensor("path").unwrap().shape(), [257, 2, 8]);
    let nodes: Vec<u32> = file
        .tensor("path")
        .unwrap()
        .data()
        .chunks(4)
        .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert!(nodes == truth.path, "the path differs");
    close(&Checkpoint::open(&out).unwrap().floats("y").unwrap());

    // .npy -> .npy, three dimensions, the path beside it.
    let input = dir.path().join("x.npy");
    write_npy(&input, &case.x, &[1, 257, 37]);
    let out = dir.path().join("y.npy");
    let output = run_d5(&input, &out, &on);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout(&output).contains(named), "{}", stdout(&output));
    let read = |name: &str| {
        npyz::NpyFile::new(std::fs::File::open(dir.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("y.npy").shape(), [1, 257, 37]);
    assert_eq!(read("y.path.npy").shape(), [1, 257, 2, 8]);
    close(&read("y.npy").into_vec().unwrap());
    assert!(read("y.path.npy").into_vec::<u32>().unwrap() == truth.path, "the path differs");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "temporary files were left: {left:?}");
}

#[test]
fn run_without_an_adapter_uses_the_cpu_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let golden = common::golden().join("fff/d5_k2_d7.safetensors");
    let golden = golden.to_str().unwrap();
    let out = dir.path().join("y.safetensors");
    let output = cmm_without_adapter(&[
        "run",
        "--weights",
        golden,
        "--trees",
        "2",
        "--depth",
        "7",
        "--input",
        golden,
        "--tensor",
        "input.x",
        "--output",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("on cpu (f32)"), "{}", stdout(&output));
    assert!(out.is_file());
}

#[test]
fn without_an_adapter_the_cpu_is_measured_unless_a_gpu_was_named() {
    let small =
        ["bench", "--quick", "--width", "16", "--fff", "1x2", "-b", "1", "--format", "json"];
    let output = cmm_without_adapter(&small);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    let rows = report["rows"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["unit"] == "cpu"), "{report}");
    let named = cmm_without_adapter(&[&small[..], &["--device", "vulkan"]].concat());
    assert_fails(&named, "no GPU adapter");
}

#[test]
fn run_leaves_nothing_behind_when_it_fails() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("y.npy");
    let input = dir.path().join("x.npy");
    let files = || std::fs::read_dir(dir.path()).unwrap().count();

    let mut x = vec![0.5; 5000 * 37];
    x[4500 * 37 + 3] = f32::NAN;
    write_npy(&input, &x, &[5000, 37]);
    assert_fails(&run_d5(&input, &out, &[]), "x[166503] is NaN: expected a finite number");
    assert_eq!(files(), 1, "the first chunk was good, the second was not");

    let whole = std::fs::read(&input).unwrap();
    std::fs::write(&input, &whole[..whole.len() - 100_000]).unwrap();
    assert_fails(&run_d5(&input, &out, &[]), "x.npy");
    assert_eq!(files(), 1);
}

#[test]
fn errors_of_run_name_the_thing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("y.npy");
    let input = dir.path().join("x.npy");
    write_npy(&input, &[0.5; 36], &[1, 36]);
    assert_fails(&run_d5(&input, &out, &[]), "expected 37, as the weights have, found 36");
    assert_fails(&run_d5(&dir.path().join("x.txt"), &out, &[]), ".npy or .safetensors");
    assert_fails(&run_d5(&dir.path().join("none.npy"), &out, &[]), "none.npy");
    write_npy(&input, &[0.5; 37], &[1, 37]);
    assert_fails(&run_d5(&input, &dir.path().join("y.txt"), &[]), ".npy or .safetensors");
    assert_fails(&run_d5(&input, &dir.path().join("no/y.npy"), &[]), "y.npy");
    assert_fails(&run_d5(&input, &out, &["--prefix", "layers.0"]), "layers.0.linear_in.weight");
    assert_fails(&run_d5(&input, &out, &["--device", "no such card"]), "no such card");
    let golden = common::golden().join("fff/d5_k2_d7.safetensors");
    assert_fails(&run_d5(&golden, &out, &[]), "choose one with --tensor");
    std::fs::write(&input, b"not numpy").unwrap();
    assert_fails(&run_d5(&input, &out, &[]), "x.npy");
    assert!(!out.exists());
}

/// On a device, and by the reference: finite weights and inputs, whose sums are beyond f32.
#[test]
fn run_refuses_sums_that_overflow_unless_they_may_pass() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("x.npy");
    write_npy(&input, &common::random_tokens(10 * 64, 1), &[10, 64]);
    let weights = common::root().join("tests/cases/adv.safetensors");
    let out = dir.path().join("y.npy");
    let (weights, input, output) =
        (weights.to_str().unwrap(), input.to_str().unwrap(), out.to_str().unwrap());
    let arguments = ["run", "--weights", weights, "--trees", "1", "--depth", "5"];
    let arguments = [&arguments[..], &["--input", input, "--output", output]].concat();
    for run in [cmm, cmm_without_adapter] {
        let refused = run(&arguments);
        assert_fails(&refused, ": the logit at node 0 of tree 0");
        assert_fails(&refused, "overflows");
        assert!(!out.exists());
        let passed = run(&[&arguments[..], &["--allow-overflow"]].concat());
        assert!(passed.status.success(), "{}", String::from_utf8_lossy(&passed.stderr));
        std::fs::remove_file(&out).unwrap();
    }
}

#[test]
fn no_tokens_give_an_empty_result() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("x.npy"), dir.path().join("y.npy"));
    write_npy(&input, &[], &[0, 37]);
    let output = run_d5(&input, &out, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(npyz::NpyFile::new(std::fs::File::open(out).unwrap()).unwrap().shape(), [0, 37]);
}

fn write_npy(path: &Path, values: &[f32], shape: &[u64]) {
    use npyz::WriterBuilder;
    let file = std::fs::File::create(path).unwrap();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd().unwrap();
    writer.extend(values.iter().copied()).unwrap();
    writer.finish().unwrap();
}

#[test]
fn hostile_npy_headers_are_errors_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8], message: &str| {
        let input = dir.path().join("x.npy");
        std::fs::write(&input, bytes).unwrap();
        assert_fails(&run_d5(&input, &dir.path().join("y.npy"), &[]), message);
    };
    let case = |name: &str| std::fs::read(common::root().join("tests/cases").join(name)).unwrap();
    refused(&case("braces16.npy"), "no dictionary");
    refused(&case("hdr4g.npy"), "its header claims 4294967295 bytes");
    refused(b"", "too short");
    refused(b"\x93NUMPY\x07\0\0\0", "version 1, 2 or 3");
    refused(b"PK\x03\x04 an archive", "NUMPY");
    let with = |header: &str| {
        let mut bytes = b"\x93NUMPY\x01\0".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes
    };
    let shape = |shape: &str| {
        with(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"))
    };
    refused(&shape("(4611686018427387904, 37)"), "more than its");
    refused(&shape("(1000, 37)"), "more than its");
    refused(&with(&format!("{}{}\n", "(".repeat(40), ")".repeat(40))), "no dictionary");
}

/// A pipe that nobody writes to, a device without end: what is meant to be a file of tokens, weights or a report is one.
#[cfg(unix)]
#[test]
fn pipes_and_endless_devices_are_no_files() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("x.npy");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_fails(&run_d5(&pipe, &dir.path().join("y.npy"), &[]), "a regular file");
    let model = dir.path().join("model");
    std::fs::create_dir(&model).unwrap();
    std::os::unix::fs::symlink("/dev/zero", model.join("config.json")).unwrap();
    assert_fails(&cmm(&["inspect", "--model", model.to_str().unwrap()]), "a regular file");
    assert_fails(&cmm(&["bench", "show", "/dev/zero"]), "a regular file");
    assert_fails(&cmm(&["embed", "--in", "/dev/zero"]), "found a device");
    let input = dir.path().join("in.npy");
    write_npy(&input, &[0.5; 37], &[1, 37]);
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("full.npy")).unwrap();
    assert_fails(
        &run_d5(&input, &dir.path().join("full.npy"), &[]),
        "expected a file, found a device",
    );
}

#[cfg(unix)]
#[test]
fn results_keep_links_and_have_the_umasks_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("x.npy");
    write_npy(&input, &[0.5; 37], &[1, 37]);
    let (real, link) = (dir.path().join("real.npy"), dir.path().join("link.npy"));
    for there in [false, true] {
        if there {
            std::fs::write(&real, "old").unwrap();
        } else {
            std::os::unix::fs::symlink("real.npy", &link).unwrap();
        }
        assert!(run_d5(&input, &link, &[]).status.success());
        assert!(link.is_symlink() && std::fs::metadata(&real).unwrap().len() > 64);
    }
    // A file that is there keeps its mode.
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&real, private).unwrap();
    assert!(run_d5(&input, &link, &[]).status.success());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    let round = dir.path().join("round.npy");
    std::os::unix::fs::symlink("round.npy", &round).unwrap();
    assert_fails(&run_d5(&input, &round, &[]), "in a circle");
    let page = dir.path().join("page.html");
    let report = common::root().join("results/nvidia-h100-model.json");
    let script = r#"umask 027 && "$0" bench show "$1" --html "$2" >/dev/null"#;
    let shown = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_cmm")])
        .args([&report, &page])
        .status()
        .unwrap();
    assert!(shown.success());
    assert_eq!(std::fs::metadata(&page).unwrap().permissions().mode() & 0o777, 0o640);
}

/// Texts, labels and names are others': none may move the cursor or hide what stands before it.
#[test]
fn control_characters_are_written_out() {
    let output = cmm(&["inspect", "--model", "no\u{1b}[2Jsuch\u{7}model"]);
    assert_fails(&output, "no\\u{1b}[2Jsuch\\u{7}model");
    if common::gpus().is_empty() {
        return;
    }
    let model = common::golden().join("mlm_tiny");
    let output = cmm(&["embed", "--model", model.to_str().unwrap(), "a\u{1b}]0;title\u{7}b"]);
    assert!(stdout(&output).contains("a\\u{1b}]0;title\\u{7}b"), "{}", stdout(&output));
}

/// Mesa's layer for Vulkan devices looks for a Wayland compositor, and prints that there is none.
#[test]
fn nothing_but_the_answer_is_printed_where_there_is_no_desktop() {
    let output = Command::new(env!("CARGO_BIN_EXE_cmm"))
        .arg("devices")
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap();
    assert!(output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("XDG_RUNTIME_DIR"), "{stderr}");
}

/// Told to end in the middle of a result, the command leaves nothing of it.
#[cfg(unix)]
#[test]
fn a_signal_leaves_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("x.npy");
    // Enough tokens that the reference is at it for minutes.
    write_npy(&input, &common::random_tokens(300_000 * 37, 1), &[300_000, 37]);
    let weights = common::golden().join("fff/d5_k2_d7.safetensors");
    for signal in ["INT", "TERM"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cmm"))
            .args(["run", "--trees", "2", "--depth", "7", "--weights"])
            .arg(&weights)
            .arg("--input")
            .arg(&input)
            .arg("--output")
            .arg(dir.path().join("y.npy"))
            .env("WGPU_BACKEND", "webgpu")
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let files = || std::fs::read_dir(dir.path()).unwrap().count();
        while files() < 2 {
            assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // The shell's own `kill`: a bare Debian has no program of that name.
        let kill = format!("kill -s {signal} {}", child.id());
        let kill = Command::new("sh").args(["-c", &kill]).status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(files(), 1, "SIG{signal} left something");
    }
}

/// A shell that bounds what its command may take; `limits` come first.
#[cfg(unix)]
fn limited(limits: &str, arguments: &[&std::ffi::OsStr]) -> Output {
    let script = format!("{limits}; exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_cmm")]).args(arguments);
    shell.env("WGPU_BACKEND", "webgpu").output().unwrap()
}

/// A disk that is full in the middle of a result, as a limit on the size of files plays it.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("x.npy");
    write_npy(&input, &common::random_tokens(400 * 37, 1), &[400, 37]);
    let weights = common::golden().join("fff/d5_k2_d7.safetensors");
    for output in ["y.npy", "y.safetensors"] {
        let output = dir.path().join(output);
        let fixed = ["run", "--trees", "2", "--depth", "7", "--weights"].map(std::ffi::OsStr::new);
        let files = [weights.as_os_str(), "--input".as_ref(), input.as_os_str()];
        let last = ["--output".as_ref(), output.as_os_str()];
        let full = limited("trap '' XFSZ; ulimit -f 8", &[&fixed[..], &files, &last].concat());
        assert_fails(&full, "too large");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{}", output.display());
    }
}

/// What fails does not always know the next step; the command does.
#[test]
fn errors_name_the_thing_and_the_next_step() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/fastminilm");
    let nowhere = ["search", "q", "nothere.txt", "--device", "cpu", "--model", model];
    assert_fails(&cmm(&nowhere), "nothere.txt");
    assert_fails(&cmm(&nowhere), "is the path right?");
    let no_index = cmm(&["search", "q", "--index", "nothere"]);
    assert_fails(&no_index, "make one with `cmm index FILE... --output nothere`");
    let headless = ["classify", "hello", "--device", "cpu", "--model", model];
    assert_fails(&cmm(&headless), "name a model with such a head by --model");
}

//! `cmm index` and `cmm search --index`, on the built binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

fn cmm(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmm")).args(arguments).current_dir(dir).output().unwrap()
}

fn with_model(arguments: &[&str]) -> Vec<String> {
    let model = golden().join("mlm_tiny").display().to_string();
    let more = ["--device".into(), "cpu".into(), "--model".into(), model, "--json".into()];
    arguments.iter().map(|argument| (*argument).to_owned()).chain(more).collect()
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    let arguments = with_model(arguments);
    cmm(dir, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn error(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text.lines().find_map(|line| line.strip_prefix("error: ")).expect("an error").to_owned()
}

/// A folder with two files, one in a folder of its own, and things to be passed over.
fn corpus() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("texts/deep")).unwrap();
    std::fs::write(dir.path().join("texts/a.txt"), "the river\n\nan old letter\nthe sea\n")
        .unwrap();
    std::fs::write(dir.path().join("texts/deep/b.txt"), "a quiet town\nthe river\n").unwrap();
    std::fs::write(dir.path().join("texts/.hidden"), "not this\n").unwrap();
    std::fs::write(dir.path().join("texts/binary"), b"\xff\xfe\x00").unwrap();
    dir
}

const INDEX: [&str; 4] = ["index", "texts", "--out", "ix"];

#[test]
fn only_new_texts_are_embedded_and_hits_are_those_of_the_lines() {
    let dir = corpus();
    let dir = dir.path();
    let first = run(dir, &INDEX);
    assert!(String::from_utf8_lossy(&first.stderr).contains("passed over: texts/binary"));
    let counts = |output: &Output| {
        let line = lines(output).remove(0);
        ["files", "places", "texts", "embedded"].map(|key| line[key].as_u64().unwrap())
    };
    assert_eq!(counts(&first), [2, 5, 4, 4]);
    assert_eq!(counts(&run(dir, &INDEX)), [2, 5, 4, 0]);

    // The same similarities as without an index.
    let found = lines(&run(dir, &["search", "a river", "--index", "ix", "--top", "10"]));
    let direct = lines(&run(dir, &["search", "a river", "--in", "texts/a.txt", "--top", "10"]));
    assert_eq!(found.len(), 5);
    let of_a: Vec<_> = found.iter().filter(|hit| hit["file"] == "texts/a.txt").collect();
    for (hit, line) in of_a.iter().zip(&direct) {
        assert_eq!((&hit["line"], &hit["text"]), (&line["line"], &line["text"]));
        let [a, b] = [*hit, line].map(|of| of["similarity"].as_f64().unwrap());
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
    let places: Vec<_> =
        found.iter().filter(|hit| hit["text"] == "the river").map(|hit| &hit["file"]).collect();
    assert_eq!(places, ["texts/a.txt", "texts/deep/b.txt"]);

    // A line more, a line less, a file less.
    std::fs::write(dir.join("texts/a.txt"), "the river\nsomething new\n").unwrap();
    assert_eq!(counts(&run(dir, &INDEX)), [2, 4, 3, 1]);
    std::fs::remove_file(dir.join("texts/deep/b.txt")).unwrap();
    assert_eq!(counts(&run(dir, &INDEX)), [1, 2, 2, 0]);
    let found = lines(&run(dir, &["search", "new", "--index", "ix", "--top", "10"]));
    assert_eq!(found.len(), 2);
    // Nothing of the states before is left.
    let mut names: Vec<_> =
        std::fs::read_dir(dir.join("ix")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 6, "{names:?}");
}

#[test]
fn json_lines_have_fields_and_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.jsonl"), "{\"t\": \"one\"}\n\n{\"t\": \"two\"}\n").unwrap();
    let made = run(dir.path(), &["index", ".", "--out", "ix", "--field", "t"]);
    assert_eq!(lines(&made)[0]["places"], 2);
    let found = lines(&run(dir.path(), &["search", "two", "--index", "ix", "--top", "1"]));
    assert_eq!((&found[0]["line"], &found[0]["text"]), (&Value::from(3), &Value::from("two")));
}

#[test]
fn vectors_take_less_room_in_f16_and_int8_and_find_the_same() {
    let dir = corpus();
    let dir = dir.path();
    let mut sizes = Vec::new();
    for precision in ["f32", "f16", "int8"] {
        let out = format!("ix-{precision}");
        lines(&run(dir, &["index", "texts", "--out", &out, "--vectors", precision]));
        let found = lines(&run(dir, &["search", "the sea", "--index", &out, "--top", "1"]));
        assert_eq!(found[0]["text"], "the sea");
        assert!((found[0]["similarity"].as_f64().unwrap() - 1.0).abs() < 1e-2);
        let vectors = |entry: std::fs::DirEntry| {
            let vectors = entry.file_name().to_string_lossy().starts_with("vectors-");
            vectors.then(|| entry.metadata().unwrap().len())
        };
        sizes.extend(
            std::fs::read_dir(dir.join(&out)).unwrap().filter_map(|entry| vectors(entry.unwrap())),
        );
    }
    assert_eq!(sizes, [4 * 4 * 64, 4 * 2 * 64, 4 * 64]);
}

#[test]
fn what_is_damaged_or_foreign_is_told_and_never_searched() {
    let dir = corpus();
    let dir = dir.path();
    lines(&run(dir, &INDEX));
    let search = ["search", "x", "--index", "ix"];
    let names: Vec<_> =
        std::fs::read_dir(dir.join("ix")).unwrap().map(|e| e.unwrap().path()).collect();
    for path in names.iter().filter(|path| !path.ends_with("lock")) {
        let whole = std::fs::read(path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x55;
        for bytes in [flipped, whole[..whole.len() - 1].to_vec(), Vec::new()] {
            std::fs::write(path, bytes).unwrap();
            let told = error(&run(dir, &search));
            let name = path.file_name().unwrap().to_str().unwrap();
            // A wrong hash in the manifest shows at the file that it is of.
            let of_manifest = name == "manifest.json" && told.contains("ix");
            assert!(told.contains(name) || of_manifest, "{name}: {told}");
        }
        std::fs::remove_file(path).unwrap();
        assert!(error(&run(dir, &search)).contains(path.file_name().unwrap().to_str().unwrap()));
        std::fs::write(path, whole).unwrap();
    }
    lines(&run(dir, &search));

    // Another model's, and a folder of other things, are not written over.
    let other = golden().join("../../models/fastminilm").display().to_string();
    let with_other = |arguments: &[&str]| {
        cmm(dir, &[arguments, &["--device", "cpu", "--model", &other]].concat())
    };
    assert!(error(&with_other(&search)).contains("the index is of model"));
    assert!(error(&with_other(&INDEX)).contains("the index is of model"));
    let told = error(&run(dir, &["index", "texts/a.txt", "--out", "texts"]));
    assert!(told.contains("expected an index, or a folder that is empty"), "{told}");
    for (arguments, part) in [
        (vec!["index", "nowhere.txt", "--out", "ix2"], "nowhere.txt"),
        (vec!["index", "texts/binary", "--out", "ix2"], "not UTF-8"),
        (vec!["search", "x", "--index", "nowhere"], "nowhere"),
    ] {
        let told = error(&run(dir, &arguments));
        assert!(told.contains(part), "{told}");
    }
    assert!(!dir.join("ix2").exists());
    // A damaged index is made again, whole.
    let vectors = names.iter().find(|path| path.to_string_lossy().contains("vectors-")).unwrap();
    std::fs::write(vectors, b"x").unwrap();
    assert_eq!(lines(&run(dir, &INDEX))[0]["embedded"], 4);
    lines(&run(dir, &search));
}

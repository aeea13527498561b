//! Files and folders as arguments, and what is said where something else was meant.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command on the CPU with a tiny model of random weights, in a folder.
fn cmm(dir: &Path, arguments: &[&str], stdin: &str) -> Output {
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/mlm_tiny");
    let mut child = Command::new(env!("CARGO_BIN_EXE_cmm"))
        .arg(arguments[0])
        .args(["--device", "cpu", "--model"])
        .arg(model)
        .args(&arguments[1..])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(output.stdout.is_empty());
    text.lines().find_map(|line| line.strip_prefix("error: ")).expect("an error").to_owned()
}

fn corpus() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir_all(dir.path().join("texts/deep")).unwrap();
    write("texts/a.txt", b"the river\n\nan old letter\n");
    write("texts/deep/b.txt", b"a quiet town\nthe sea\n");
    write("texts/.hidden", b"the sea\n");
    write("texts/binary", b"\xff\xfe\x00");
    write("texts/empty.txt", b"");
    write("lines.jsonl", b"{\"t\": \"the sea\"}\n\n{\"t\": \"a hill\"}\n");
    dir
}

#[test]
fn search_takes_files_and_folders_and_says_where_a_line_was_found() {
    let dir = corpus();
    let dir = dir.path();
    let search = |more: &[&str]| cmm(dir, &[&["search", "the sea"], more].concat(), "");

    // One file: the number of the line is enough. Each spelling of the option reads the same.
    let direct = stdout(&search(&["texts/deep/b.txt"]));
    assert!(direct.starts_with("similarity  line  text\n1.0000      2     the sea\n"), "{direct}");
    for option in ["--in", "--file", "--input"] {
        assert_eq!(stdout(&search(&[option, "texts/deep/b.txt"])), direct);
    }
    // Several files, or a folder: each line with its file.
    for files in [&["texts/a.txt", "texts/deep/b.txt"][..], &["texts"], &["texts/deep"]] {
        let found = search(&[files, &["-k", "1"]].concat());
        let place = "texts/deep/b.txt:2";
        let width = place.len();
        let expected =
            format!("similarity  {:<width$}  text\n1.0000      {place}  the sea\n", "place");
        assert_eq!(stdout(&found), expected);
    }
    let folder = search(&["texts"]);
    let told = String::from_utf8_lossy(&folder.stderr).into_owned();
    assert!(told.contains("passed over: texts/binary") && !told.contains("empty.txt"), "{told}");

    // As JSON, with the file in any case; `-n` is `-k`, as in head.
    let found = lines(&search(&["texts", "--json", "-n", "3"]));
    assert_eq!(found.len(), 3);
    assert_eq!(
        (&found[0]["file"], &found[0]["line"], &found[0]["text"]),
        (&"texts/deep/b.txt".into(), &2.into(), &"the sea".into())
    );
    let fields = lines(&search(&["lines.jsonl", "--field", "t", "--json"]));
    assert_eq!((&fields[0]["file"], &fields[0]["line"]), (&"lines.jsonl".into(), &1.into()));
    assert_eq!(lines(&search(&[".", "--field", "t", "--json"])).len(), 2);

    // Stdin, alone and beside a file.
    let piped = cmm(dir, &["search", "the sea", "--json"], "a hill\nthe sea\n");
    let found = lines(&piped);
    assert_eq!((&found[0]["file"], &found[0]["line"]), (&"-".into(), &2.into()));
    let both = cmm(dir, &["search", "the sea", "-", "texts/a.txt", "-k", "1"], "the sea\n");
    assert!(stdout(&both).contains("-:1"), "{}", stdout(&both));
}

#[test]
fn an_index_among_the_files_is_not_searched_as_text() {
    let dir = corpus();
    let dir = dir.path();
    lines(&cmm(dir, &["index", "texts", "-o", "texts/ix", "--json"], ""));
    let of_folder = lines(&cmm(dir, &["search", "the sea", "texts", "--json", "-k", "100"], ""));
    assert_eq!(of_folder.len(), 4, "{of_folder:?}");
    // Nor is it a text for another index.
    let made = lines(&cmm(dir, &["index", "texts", "--out", "other", "--json"], ""));
    assert_eq!(made[0]["places"], 4);
    let told = error(&cmm(dir, &["search", "the sea", "texts/ix"], ""));
    assert!(told.contains("--index texts/ix"), "{told}");
}

#[test]
fn the_query_comes_first_and_what_cannot_be_read_is_named() {
    let dir = corpus();
    let dir = dir.path();
    let told = error(&cmm(dir, &["search", "texts/a.txt", "the sea"], ""));
    assert!(told.contains("the sea: ") && told.contains("the query comes before"), "{told}");
    let told = error(&cmm(dir, &["search", "the sea", "nowhere.txt"], ""));
    assert!(told.contains("nowhere.txt") && !told.contains("query"), "{told}");
    let told = error(&cmm(dir, &["search", "the sea", "texts/empty.txt"], ""));
    assert!(told.contains("texts/empty.txt: no text in it"), "{told}");
}

/// An argument of these commands is a text. The name of a file is hardly meant as one.
#[test]
fn a_file_in_place_of_a_text_is_answered_with_the_option_that_reads_it() {
    let dir = corpus();
    let dir = dir.path();
    for command in ["embed", "classify", "fill-mask"] {
        let told = error(&cmm(dir, &[command, "a text", "texts/a.txt"], ""));
        let ways = ["--in texts/a.txt", "-- texts/a.txt"];
        assert!(ways.iter().all(|way| told.contains(way)), "{told}");
    }
    let texts = |arguments: &[&str], stdin: &str| -> Vec<String> {
        let found = lines(&cmm(dir, &[&["embed", "--json"], arguments].concat(), stdin));
        found.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    for option in ["--in", "--file", "--input"] {
        let read = texts(&[option, "texts/a.txt"], "");
        assert_eq!(read, ["the river", "", "an old letter"]);
    }
    // The name itself as a text, and other texts that look like something else.
    assert_eq!(texts(&["--", "texts/a.txt", "-5 degrees"], ""), ["texts/a.txt", "-5 degrees"]);
    assert_eq!(texts(&["texts", "no such file.txt"], ""), ["texts", "no such file.txt"]);
    for stdin in [&["-"][..], &[], &["--in", "-"]] {
        assert_eq!(texts(stdin, "texts/a.txt\n"), ["texts/a.txt"]);
    }
    let similar = cmm(dir, &["similarity", "texts/a.txt", "texts/a.txt"], "");
    assert_eq!(stdout(&similar), "1.0000\n");
    assert!(String::from_utf8_lossy(&similar.stderr).contains("the name is compared"));
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    let dir = corpus();
    let bare = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cmm"));
        command.args(arguments).envs(variables.iter().copied()).current_dir(dir.path());
        error(&command.stdin(Stdio::null()).output().unwrap())
    };
    // On a machine that has no adapter, and on this one, which may have some.
    let none = [("WGPU_BACKEND", "metal,dx12")];
    for variables in [&none[..], &[]] {
        let told = bare(&["embed", "a text", "--device", "no such card"], variables);
        assert!(told.contains("no such card") && told.contains("cpu"), "{told}");
    }
    let told = bare(&["embed", "a text", "--variant", "workgroup/f32"], &none);
    assert!(told.contains("--device cpu") && told.contains("without --variant"), "{told}");
    let told = bare(&["fill-mask", "a <mask>"], &[]);
    assert!(told.contains("--model pbelcak/UltraFastBERT-1x11-long"), "{told}");
    let told = bare(&["embed", "a text", "--model", "all-MiniLM-L6-v2"], &[]);
    assert!(told.contains("sentence-transformers/all-MiniLM-L6-v2"), "{told}");
}

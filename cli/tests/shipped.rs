//! The models that come with cmm, for a program that was copied away from them: a local server has them, whole, changed, and cut off.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};

fn models() -> PathBuf {
    common::root().join("models")
}

/// The files of a model that are needed; its card is not one of them.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false if path.ends_with("README.md") => {}
            false => files.push(path),
        }
    }
    files.sort();
    files
}

#[test]
fn the_program_has_the_checksum_of_every_file_of_every_model() {
    let line = |file: &PathBuf| {
        let bytes = std::fs::read(file).unwrap();
        let hash: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        let path = file.strip_prefix(models()).unwrap().to_str().unwrap().replace('\\', "/");
        format!("{hash} {} {path}\n", bytes.len())
    };
    let mut expected: Vec<_> = files_below(&models()).iter().map(line).collect();
    let known = include_str!("../src/model/shipped.txt");
    let mut known: Vec<_> = known.lines().map(|line| format!("{line}\n")).collect();
    expected.sort();
    known.sort();
    assert_eq!(known, expected, "cli/src/model/shipped.txt should be:\n{}", expected.concat());
}

/// How the server answers for `fastminilm/config.json`.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Changed,
    CutOff,
    TooLong,
    Missing,
}

struct Host {
    address: String,
    fault: Arc<Mutex<Fault>>,
    requests: Arc<Mutex<usize>>,
}

/// Serves `models` of the repository, until the process ends.
fn host() -> Host {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = Host {
        address: format!("http://{}/some/models/", listener.local_addr().unwrap()),
        fault: Arc::new(Mutex::new(Fault::None)),
        requests: Arc::default(),
    };
    let (fault, requests) = (host.fault.clone(), host.requests.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            *requests.lock().unwrap() += 1;
            let fault = *fault.lock().unwrap();
            std::thread::spawn(move || answer(stream, fault));
        }
    });
    host
}

fn answer(mut stream: TcpStream, fault: Fault) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let file = path.strip_prefix("/some/models/").map(|path| models().join(path));
    let fault = if path.ends_with("/fastminilm/config.json") { fault } else { Fault::None };
    let body = file.and_then(|file| std::fs::read(file).ok());
    let Some(mut body) = body.filter(|_| fault != Fault::Missing) else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    match fault {
        Fault::Changed => body[10] ^= 1,
        Fault::TooLong => body.extend(b"more"),
        _ => {}
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    let sent = if fault == Fault::CutOff { body.len() / 2 } else { body.len() };
    stream.write_all(&body[..sent])
}

/// A copy of the program in a folder of its own, as `cargo install` leaves it.
struct Installed {
    dir: TempDir,
}

impl Installed {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        let installed = Self { dir };
        let program = Path::new(env!("CARGO_BIN_EXE_cmm"));
        // A second name is enough, where the file system has those.
        if std::fs::hard_link(program, installed.program()).is_err() {
            std::fs::copy(program, installed.program()).unwrap();
        }
        installed
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("bin").join(Path::new(env!("CARGO_BIN_EXE_cmm")).file_name().unwrap())
    }

    fn cache(&self) -> PathBuf {
        self.dir.path().join("hf/cmm")
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(self.program());
        command.args(arguments).current_dir(self.dir.path().join("work"));
        for variable in
            ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
        {
            command.env_remove(variable);
        }
        command.env("HF_HOME", self.dir.path().join("hf")).env_remove("CMM_MODEL_URL");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    fn inspect(&self, variables: &[(&str, &str)]) -> Output {
        self.run(&["inspect"], variables)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_default_model_is_fetched_once_and_is_the_one_of_the_repository() {
    let (host, installed) = (host(), Installed::new());
    let from = [("CMM_MODEL_URL", host.address.as_str())];
    let embed = ["embed", "A man is playing a flute.", "--device", "cpu", "--json"];
    let fetched = installed.run(&embed, &from);
    let vectors = stdout(&fetched);
    assert!(stderr(&fetched).contains("fetching fastminilm from http://"), "{}", stderr(&fetched));
    let here = models().join("fastminilm");
    let of_repository = [&embed[..], &["--model", here.to_str().unwrap()]].concat();
    assert_eq!(vectors, stdout(&installed.run(&of_repository, &[])));
    let requests = *host.requests.lock().unwrap();
    assert_eq!(requests, files_below(&here).len());

    // Nobody is asked again, and the classifier fetches its own files alone.
    stdout(&installed.inspect(&from));
    stdout(&installed.inspect(&[("HF_HUB_OFFLINE", "1")]));
    assert_eq!(*host.requests.lock().unwrap(), requests);
    let classified =
        installed.run(&["classify", "A lovely, quiet film.", "--device", "cpu"], &from);
    assert!(stdout(&classified).contains("positive"));
    let classifier = files_below(&models().join("fastminilm-sst2")).len();
    assert_eq!(*host.requests.lock().unwrap(), requests + classifier);
}

#[test]
fn a_file_that_is_not_the_known_one_is_named_and_not_kept() {
    let (host, installed) = (host(), Installed::new());
    let from = [("CMM_MODEL_URL", host.address.as_str())];
    for (fault, message) in [
        (Fault::Changed, "expected a file of SHA-256 "),
        (Fault::CutOff, "config.json: "),
        (Fault::TooLong, "more bytes came than the expected "),
        (Fault::Missing, "the server has no such file"),
    ] {
        *host.fault.lock().unwrap() = fault;
        let output = installed.inspect(&from);
        assert!(!output.status.success());
        let told = stderr(&output).lines().last().unwrap_or_default().to_owned();
        assert!(told.starts_with("error: http://"), "{told}");
        assert!(told.contains("fastminilm/") && told.contains("config.json"), "{told}");
        assert!(told.contains(message), "{told}");
        // What is there are files of the model, each whole.
        let version = std::fs::read_dir(installed.cache()).unwrap().next().unwrap().unwrap().path();
        for file in files_below(&version) {
            let original = models().join(file.strip_prefix(&version).unwrap());
            assert!(std::fs::read(&file).unwrap() == std::fs::read(original).unwrap(), "{file:?}");
        }
    }
    *host.fault.lock().unwrap() = Fault::None;
    stdout(&installed.inspect(&from));
}

#[test]
fn offline_asks_nobody_and_an_address_that_is_none_is_an_error() {
    let (host, installed) = (host(), Installed::new());
    let offline = [("CMM_MODEL_URL", host.address.as_str()), ("TRANSFORMERS_OFFLINE", "1")];
    // The source tree, which the tests are run in, still has the model.
    stdout(&installed.inspect(&offline));
    assert_eq!(*host.requests.lock().unwrap(), 0);
    let output = installed.inspect(&[("CMM_MODEL_URL", "/some/models")]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("begins with http:// or https://"), "{}", stderr(&output));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = installed.inspect(&[("CMM_MODEL_URL", &format!("http://{free}"))]);
    assert!(!output.status.success());
    let told = stderr(&output);
    assert!(told.contains("does not answer") && told.contains("CMM_MODEL_URL"), "{told}");
    assert!(!installed.cache().exists());
}

/// `cargo install --path cli` leaves a program that knows where its source tree was.
#[test]
fn a_program_finds_the_models_beside_it_and_those_of_its_source_tree() {
    let installed = Installed::new();
    assert!(stdout(&installed.inspect(&[])).contains("FFF"));
    // Another model under the default's name shows which folder is read.
    let beside = installed.dir.path().join("models/fastminilm");
    std::fs::create_dir_all(&beside).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        let tiny = common::golden().join("mlm_tiny").join(name);
        std::fs::copy(tiny, beside.join(name)).unwrap();
    }
    let host = host();
    let report = stdout(&installed.inspect(&[("CMM_MODEL_URL", &host.address)]));
    assert!(report.contains("FFF 2x5"), "{report}");
    assert_eq!(*host.requests.lock().unwrap(), 0);
}

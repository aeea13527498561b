//! Models fetched from a hub: a local server stands in for it, whole, cut off, and broken.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use tempfile::{TempDir, tempdir};

/// How the server sends the weights.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Half of them, then the connection closes.
    CutOff,
    /// All bytes, but not a safetensors file of that length.
    Broken,
}

struct Hub {
    address: String,
    fault: Arc<Mutex<Fault>>,
    requests: Arc<Mutex<usize>>,
}

/// Serves the checkpoint of `tests/golden/mlm_tiny` as `some/model`, until the process ends.
fn hub() -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hub = Hub {
        address: format!("http://{}", listener.local_addr().unwrap()),
        fault: Arc::new(Mutex::new(Fault::None)),
        requests: Arc::default(),
    };
    let (fault, requests) = (hub.fault.clone(), hub.requests.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (fault, requests) = (fault.clone(), requests.clone());
            std::thread::spawn(move || {
                *requests.lock().unwrap() += 1;
                let fault = *fault.lock().unwrap();
                let _ = answer(stream, fault);
            });
        }
    });
    hub
}

fn answer(mut stream: TcpStream, fault: Fault) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut range = None;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_lowercase().strip_prefix("range: bytes=") {
            let (first, last) = value.split_once('-').unwrap();
            range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().ok()));
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mlm_tiny");
    if path.starts_with("/api/models/some/model") {
        let names =
            ["config.json", "tokenizer.json", "model.safetensors", "special_tokens_map.json"];
        let siblings: Vec<_> =
            names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "siblings": siblings, "sha": "abc" }).to_string();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let Some(name) = path.strip_prefix("/some/model/resolve/main/") else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    let mut body = std::fs::read(dir.join(name))?;
    let weights = name == "model.safetensors";
    if weights && fault == Fault::Broken {
        body[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    }
    let total = body.len();
    let (first, last) = range.unwrap_or((0, None));
    let last = last.unwrap_or(total - 1).min(total - 1);
    let part = &body[first.min(total)..=last];
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nETag: \"{name}-{}\"\r\nX-Repo-Commit: abc\r\n\
         Content-Range: bytes {first}-{last}/{total}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        fault as u8,
        part.len()
    )?;
    let sent = if weights && fault == Fault::CutOff { part.len() / 2 } else { part.len() };
    stream.write_all(&part[..sent])
}

fn inspect(hub: &Hub, cache: &TempDir, model: &str, offline: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmm"));
    command.args(["inspect", "--model", model]);
    command.env("HF_ENDPOINT", &hub.address).env("HF_HOME", cache.path());
    command.env_remove("HF_HUB_OFFLINE");
    if offline {
        command.env("HF_HUB_OFFLINE", "1");
    }
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_model_is_fetched_once_and_then_found_offline() {
    let (hub, cache) = (hub(), tempdir().unwrap());
    let offline = inspect(&hub, &cache, "some/model", true);
    assert!(!offline.status.success());
    assert!(stderr(&offline).contains("not in the cache"), "{}", stderr(&offline));
    assert_eq!(*hub.requests.lock().unwrap(), 0, "offline asks nobody");

    let fetched = inspect(&hub, &cache, "some/model", false);
    assert!(fetched.status.success(), "{}", stderr(&fetched));
    assert!(String::from_utf8_lossy(&fetched.stdout).contains("FFF 2x5"));
    let requests = *hub.requests.lock().unwrap();
    assert!(requests > 0);

    let again = inspect(&hub, &cache, "some/model", true);
    assert!(again.status.success(), "{}", stderr(&again));
    assert_eq!(*hub.requests.lock().unwrap(), requests, "the cache is enough");
}

#[test]
fn a_cut_off_or_broken_download_is_an_error_and_leaves_nothing_that_a_second_try_trips_over() {
    for fault in [Fault::CutOff, Fault::Broken] {
        let (hub, cache) = (hub(), tempdir().unwrap());
        *hub.fault.lock().unwrap() = fault;
        let output = inspect(&hub, &cache, "some/model", false);
        assert!(!output.status.success());
        let last = stderr(&output).lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("error: some/model: "), "{last}");
        *hub.fault.lock().unwrap() = Fault::None;
        let output = inspect(&hub, &cache, "some/model", false);
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let (hub, cache) = (hub(), tempdir().unwrap());
    for model in ["some/other", "no-such-directory", "../x/y"] {
        let output = inspect(&hub, &cache, model, false);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(model), "{}", stderr(&output));
    }
}

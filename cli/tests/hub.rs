//! Models fetched from a hub: a local server stands in for it, whole, cut off, and broken.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
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
    /// An ETag, a commit, that is a way out of the cache.
    Etag,
    Commit,
    /// Sent on, to nowhere.
    NoLocation,
}

/// The names that a hostile server gives its files.
const HOSTILE: &str = "../../../../elsewhere";

struct Hub {
    address: String,
    fault: Arc<Mutex<Fault>>,
    requests: Arc<Mutex<usize>>,
}

/// Serves the checkpoint of `tests/golden/mlm_tiny` as `some/model`, until the process ends.
fn hub() -> Hub {
    let dir = common::root().join("tests/golden/mlm_tiny");
    let names = ["config.json", "tokenizer.json", "model.safetensors", "special_tokens_map.json"];
    hub_of(names.map(|name| (name.to_owned(), std::fs::read(dir.join(name)).unwrap())).into())
}

/// Serves files as `some/model`.
fn hub_of(files: HashMap<String, Vec<u8>>) -> Hub {
    let files = Arc::new(files);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hub = Hub {
        address: format!("http://{}", listener.local_addr().unwrap()),
        fault: Arc::new(Mutex::new(Fault::None)),
        requests: Arc::default(),
    };
    let (fault, requests) = (hub.fault.clone(), hub.requests.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (fault, requests, files) = (fault.clone(), requests.clone(), files.clone());
            std::thread::spawn(move || {
                *requests.lock().unwrap() += 1;
                let fault = *fault.lock().unwrap();
                let _ = answer(stream, fault, &files);
            });
        }
    });
    hub
}

fn answer(
    mut stream: TcpStream,
    fault: Fault,
    files: &HashMap<String, Vec<u8>>,
) -> std::io::Result<()> {
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
    if path.starts_with("/api/models/some/model") {
        let siblings: Vec<_> =
            files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "siblings": siblings, "sha": "abc" }).to_string();
        return write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    let name = path.strip_prefix("/some/model/resolve/main/");
    let Some((name, body)) = name.and_then(|name| Some((name, files.get(name)?))) else {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    };
    if fault == Fault::NoLocation {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let mut body = body.clone();
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
        "HTTP/1.1 206 Partial Content\r\nETag: \"{}-{}\"\r\nX-Repo-Commit: {}\r\n\
         Content-Range: bytes {first}-{last}/{total}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        if fault == Fault::Etag { HOSTILE.into() } else { name.replace('/', "-") },
        fault as u8,
        if fault == Fault::Commit { HOSTILE } else { "abc" },
        part.len()
    )?;
    let sent = if weights && fault == Fault::CutOff { part.len() / 2 } else { part.len() };
    stream.write_all(&part[..sent])
}

fn inspect(hub: &Hub, cache: &TempDir, model: &str, offline: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmm"));
    command.args(["inspect", "--model", model]);
    for variable in
        ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]
    {
        command.env_remove(variable);
    }
    command.env("HF_ENDPOINT", &hub.address).env("HF_HOME", cache.path());
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
    let told = stderr(&offline);
    for part in ["not in the cache", "unset it to fetch", "name a folder with --model"] {
        assert!(told.contains(part), "{told}");
    }
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

/// People name the weights where the folder is meant.
#[test]
fn the_path_of_the_weights_means_their_folder() {
    let (hub, cache) = (hub(), tempdir().unwrap());
    let dir = common::root().join("tests/golden/mlm_tiny");
    for name in ["", "model.safetensors", "config.json"] {
        let output = inspect(&hub, &cache, dir.join(name).to_str().unwrap(), true);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("FFF 2x5"));
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

/// The files of a hub's model, `(name, bytes)`, with an index in place of the weights.
fn files(more: &[(&str, &[u8])]) -> HashMap<String, Vec<u8>> {
    let dir = common::root().join("tests/golden/mlm_tiny");
    let read = |name: &str| (name.to_owned(), std::fs::read(dir.join(name)).unwrap());
    let mut files = HashMap::from(["config.json", "tokenizer.json"].map(read));
    files.extend(more.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())));
    files
}

#[test]
fn names_in_a_hostile_index_or_list_of_modules_lead_nowhere() {
    let outside = tempdir().unwrap();
    let victim = outside.path().join("victim.safetensors");
    std::fs::write(&victim, "not to be touched").unwrap();
    let weights =
        std::fs::read(common::root().join("tests/golden/mlm_tiny/model.safetensors")).unwrap();
    let absolute = victim.to_str().unwrap();
    for name in
        ["", ".", "..", "../x", "a/../../x", "..\\x", "C:x", "a\0b", ".hidden", "a/b", absolute]
    {
        let index = serde_json::json!({ "weight_map": { "t": name } }).to_string();
        let hub = hub_of(files(&[("model.safetensors.index.json", index.as_bytes())]));
        let cache = tempdir().unwrap();
        // A server that also has something under that name.
        let output = inspect(&hub, &cache, "some/model", false);
        assert!(!output.status.success());
        let line = stderr(&output).lines().last().unwrap_or_default().to_owned();
        assert!(line.contains("index with a weight_map from tensors to files beside it"), "{line}");

        let modules =
            serde_json::json!([{ "type": "sentence_transformers.models.Pooling", "path": name }]);
        let modules = modules.to_string();
        let more: [(&str, &[u8]); 2] =
            [("modules.json", modules.as_bytes()), ("model.safetensors", &weights)];
        let output = inspect(&hub_of(files(&more)), &tempdir().unwrap(), "some/model", false);
        if name == "a/b" {
            continue; // A path below the model, and no file there: for who pools to complain.
        }
        assert!(!output.status.success(), "{name:?}");
        assert!(stderr(&output).contains("a path below the model"), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "not to be touched");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    let number = hub_of(files(&[("model.safetensors.index.json", br#"{"weight_map":{"t":7}}"#)]));
    let output = inspect(&number, &tempdir().unwrap(), "some/model", false);
    assert!(stderr(&output).contains("found 7"), "{}", stderr(&output));
}

#[test]
fn a_cache_that_another_program_filled_is_completed_or_said_to_be_guessed_at() {
    let weights =
        std::fs::read(common::root().join("tests/golden/mlm_tiny/model.safetensors")).unwrap();
    let modules = br#"[{"type":"sentence_transformers.models.Pooling","path":"2_Pool"}]"#;
    let hub = hub_of(files(&[
        ("model.safetensors", &weights),
        ("modules.json", modules),
        ("2_Pool/config.json", br#"{"pooling_mode_cls_token":true}"#),
    ]));
    let cache = tempdir().unwrap();
    assert!(inspect(&hub, &cache, "some/model", false).status.success());
    let snapshot = cache.path().join("hub/models--some--model/snapshots/abc");
    assert!(snapshot.join("2_Pool/config.json").exists());
    // As transformers.AutoModel leaves it.
    std::fs::remove_file(snapshot.join("modules.json")).unwrap();
    let offline = inspect(&hub, &cache, "some/model", true);
    assert!(offline.status.success());
    assert!(
        stderr(&offline).contains("pooled by the mean, which is a guess"),
        "{}",
        stderr(&offline)
    );
    assert!(inspect(&hub, &cache, "some/model", false).status.success());
    assert!(snapshot.join("modules.json").exists(), "the cache was not completed");
    let offline = inspect(&hub, &cache, "some/model", true);
    assert!(!stderr(&offline).contains("guess"), "{}", stderr(&offline));
}

#[test]
fn the_documented_variables_say_where_the_cache_is() {
    let (hub, cache) = (hub(), tempdir().unwrap());
    assert!(inspect(&hub, &cache, "some/model", false).status.success());
    for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        let output = Command::new(env!("CARGO_BIN_EXE_cmm"))
            .args(["inspect", "--model", "some/model"])
            .env_remove("HF_HUB_CACHE")
            .env("HF_HOME", "/nowhere")
            .env("TRANSFORMERS_OFFLINE", "1")
            .env(variable, cache.path().join("hub"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_do() {
    let refused = |more: &[(&str, &[u8])], without: &str| {
        let mut files = files(more);
        files.remove(without);
        let output = inspect(&hub_of(files.clone()), &tempdir().unwrap(), "some/model", false);
        let hub = stderr(&output).lines().last().unwrap_or_default().to_owned();
        // The same files in a folder.
        let dir = tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let dir = dir.path().to_str().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_cmm"))
            .args(["embed", "--model", dir, "a text"])
            .output()
            .unwrap();
        assert!(!output.status.success());
        (hub, stderr(&output).lines().last().unwrap_or_default().to_owned())
    };
    let dir = common::root().join("tests/golden/mlm_tiny");
    let weights = std::fs::read(dir.join("model.safetensors")).unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n";
    let (hub, folder) = refused(&[("pytorch_model.bin", b"x")], "");
    assert!(
        hub.contains("save_pretrained") && folder.contains("save_pretrained"),
        "{hub} {folder}"
    );
    let more: [(&str, &[u8]); 2] = [("vocab.txt", b"x"), ("model.safetensors", &weights)];
    let (hub, folder) = refused(&more, "tokenizer.json");
    assert!(hub.contains("AutoTokenizer") && folder.contains("AutoTokenizer"), "{hub} {folder}");
    let (hub, folder) = refused(&[("model.safetensors", pointer)], "");
    assert!(hub.contains("git lfs pull") && folder.contains("git lfs pull"), "{hub} {folder}");
    let more: [(&str, &[u8]); 2] = [("tokenizer.json", pointer), ("model.safetensors", &weights)];
    let (_, folder) = refused(&more, "");
    assert!(folder.contains("git lfs pull"), "{folder}");
    let (hub, cache) = (self::hub(), tempdir().unwrap());
    let file = dir.join("tokenizer.json");
    let output = inspect(&hub, &cache, file.to_str().unwrap(), false);
    assert!(stderr(&output).contains("name the model's folder"), "{}", stderr(&output));
}

/// A hostile server, or mirror: what it answers is not a path until it was checked.
#[test]
fn what_a_server_answers_leads_nowhere() {
    for (fault, message) in [
        (Fault::Etag, "the server's ETag is no plain name"),
        (Fault::Commit, "the server's commit is no plain name"),
        (Fault::NoLocation, "the server names no commit"),
    ] {
        let (hub, around) = (hub(), tempdir().unwrap());
        let cache = TempDir::new_in(around.path()).unwrap();
        *hub.fault.lock().unwrap() = fault;
        let output = inspect(&hub, &cache, "some/model", false);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert_eq!(std::fs::read_dir(around.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_hub_that_cannot_be_reached_is_said_so() {
    let (mut hub, cache) = (hub(), tempdir().unwrap());
    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    hub.address = format!("http://{free}");
    let output = inspect(&hub, &cache, "some/model", false);
    assert!(!output.status.success());
    let last = stderr(&output).lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("the hub does not answer") && last.contains("--model"), "{last}");
}

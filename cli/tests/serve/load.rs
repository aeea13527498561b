//! More than a server can do at once, clients that go away, and the end.

use std::io::{BufRead, BufReader, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Server, answer, shipped};

/// A request with so many texts of 252 tokens.
fn long(texts: usize) -> Value {
    let text = "river ".repeat(250);
    json!({ "inputs": vec![text; texts] })
}

const LONG_TOKENS: f64 = 252.0;

fn request(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2400 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never: {what}");
}

#[test]
fn above_its_bound_the_queue_refuses_and_work_that_nobody_waits_for_never_runs() {
    let server = Server::start(&[
        "--model",
        &shipped("fastminilm"),
        "--batch-tokens",
        "2048",
        "--max-queue-tokens",
        "150000",
    ]);
    let begun = server.metric("te_batch_next_tokens_sum");
    // 400 texts are 100,800 tokens: most of the queue, and many batches.
    let mut stream = server.connect();
    stream.write_all(&request("/embed", &long(400))).unwrap();
    until("a batch runs", || server.metric("te_batch_next_tokens_sum") > begun);
    let refused = server.post("/embed", &long(300));
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.json()["error_type"], "Overloaded");
    let refused = server.post("/v1/embeddings", &json!({ "input": long(300)["inputs"] }));
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (429, &json!("rate_limit_exceeded"))
    );
    // More than there is room for at all is not worth trying again.
    assert_eq!(server.post("/embed", &long(700)).status, 413);
    // The client goes: its other texts never run, and there is room again.
    drop(stream);
    until("there is room", || server.post("/embed", &json!({ "inputs": "a" })).status == 200);
    let ran = server.metric("te_batch_next_tokens_sum") - begun;
    assert!(ran < 400.0 * LONG_TOKENS / 2.0, "{ran} tokens ran for nobody");
    let small = server.post("/embed", &long(3));
    assert_eq!(small.status, 200);
}

#[test]
fn above_its_bound_of_requests_a_single_text_is_refused_as_a_batch_is() {
    let server = Server::start(&[
        "--model",
        &shipped("fastminilm"),
        "--max-requests",
        "1",
        "--batch-tokens",
        "1",
    ]);
    let mut stream = server.connect();
    stream.write_all(&request("/embed", &long(24))).unwrap();
    until("a batch runs", || server.metric("te_batch_next_size_count") > 0.0);
    for inputs in [json!("a"), json!(["a", "b"])] {
        let refused = server.post("/embed", &json!({ "inputs": inputs }));
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    }
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(answer(&mut BufReader::new(stream)).unwrap().status, 200);
    until("the place is free", || server.post("/embed", &json!({ "inputs": "a" })).status == 200);
}

#[cfg(unix)]
#[test]
fn told_to_stop_under_load_a_server_answers_what_it_accepted() {
    let mut server = Server::start(&["--model", &shipped("fastminilm")]);
    let (answered, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for client in 0..16 {
            let (server, answered, stopped) = (&server, &answered, &stopped);
            scope.spawn(move || {
                let text = format!("text {client} of a load that does not end by itself");
                let bytes = request("/embed", &json!({ "inputs": [text, "another"] }));
                // Half of them hold their connection open, half open one for each request.
                'connections: loop {
                    let late = stopped.load(Ordering::SeqCst);
                    let Ok(mut stream) = std::net::TcpStream::connect(&server.address) else {
                        return;
                    };
                    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    loop {
                        if stream.write_all(&bytes).is_err() {
                            // Nothing was sent on a connection that had ended.
                            assert!(stopped.load(Ordering::SeqCst));
                            return;
                        }
                        // The system takes connections for a server until its listener is closed. One that the server did not come to itself is reset.
                        if late && reader.fill_buf().map_or(true, <[u8]>::is_empty) {
                            return;
                        }
                        let answer = answer(&mut reader).expect("an answer to what was accepted");
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        answered.fetch_add(1, Ordering::SeqCst);
                        let closes = answer.header("connection") == Some("close");
                        if closes || client % 2 == 0 {
                            continue 'connections;
                        }
                    }
                }
            });
        }
        until("there is load", || answered.load(Ordering::SeqCst) > 200);
        stopped.store(true, Ordering::SeqCst);
        server.terminate();
    });
    assert_eq!(server.wait().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn told_to_stop_at_rest_a_server_ends_though_clients_hold_connections_open() {
    let mut server = Server::start(&["--model", &shipped("fastminilm")]);
    let stream = server.connect();
    let mut half = server.connect();
    half.write_all(b"POST /embed HT").unwrap();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    drop((stream, half));
}

#[test]
fn what_cannot_be_loaded_or_bound_is_one_line() {
    let run = |arguments: &[&str]| {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_cmm"))
            .args(["serve", "--device", "cpu"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(!run.status.success());
        let text = String::from_utf8(run.stderr).unwrap();
        text.lines()
            .filter(|line| line.starts_with("error: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let golden = crate::server::golden();
    let no_tokenizer = golden.join("bert_tiny").display().to_string();
    for (arguments, part) in [
        (vec!["--port", "0", "--model", "nowhere"], "nowhere: there is no such folder"),
        (vec!["--port", "0", "--model", &no_tokenizer], "tokenizer.json"),
        (vec!["--port", "0", "--model", "=x"], "expected NAME=MODEL"),
        (vec!["--port", "0", "--host", "not a host"], "--host"),
        (
            vec![
                "--port",
                "0",
                "--model",
                &crate::server::tiny(),
                "--model",
                &crate::server::tiny(),
            ],
            "tiny twice",
        ),
        (vec!["--port", "0", "--model", &crate::server::tiny(), "--index", "/nowhere"], "/nowhere"),
        (vec!["--port", "0", "--model", &crate::server::tiny(), "--api-key", ""], "the key"),
        (
            vec!["--port", "0", "--model", &crate::server::tiny(), "--max-requests", "0"],
            "requests at once",
        ),
    ] {
        let lines = run(&arguments);
        assert!(lines.len() == 1 && lines[0].contains(part), "{arguments:?}: {lines:?}");
    }
}

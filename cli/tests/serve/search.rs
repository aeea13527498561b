//! `/search` over an index that `cmm index` made.

use std::process::Command;

use serde_json::json;

use crate::server::{Server, golden, shipped, tiny};

#[test]
fn an_index_is_searched_with_the_model_that_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lines.txt");
    std::fs::write(&file, "the river\nan old letter\n").unwrap();
    let index = dir.path().join("ix");
    let made = Command::new(env!("CARGO_BIN_EXE_cmm"))
        .args(["index", "--device", "cpu", "--model"])
        .arg(golden().join("mlm_tiny"))
        .arg("--out")
        .args([&index, &file])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let index = index.to_str().unwrap();
    // The second of two models made it.
    let server =
        Server::start(&["--model", &shipped("fastminilm"), "--model", &tiny(), "--index", index]);
    let body = server.post("/search", &json!({ "query": "an old letter", "top": 1 })).ok();
    let hit = &body["results"][0];
    assert_eq!((&hit["text"], &hit["line"]), (&json!("an old letter"), &json!(2)));
    assert_eq!(hit["file"], json!(file.to_str().unwrap()));
    assert!(hit["similarity"].as_f64().unwrap() > 0.999);
    for (body, status) in [
        (json!({ "query": "" }), 400),
        (json!({ "query": "a", "top": 0 }), 422),
        (json!({ "query": "a", "top": 1001 }), 422),
    ] {
        assert_eq!(server.post("/search", &body).status, status, "{body}");
    }
    let refused = Command::new(env!("CARGO_BIN_EXE_cmm"))
        .args([
            "serve",
            "--port",
            "0",
            "--device",
            "cpu",
            "--model",
            &shipped("fastminilm"),
            "--index",
            index,
        ])
        .output()
        .unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("which is not served"), "{told}");
}

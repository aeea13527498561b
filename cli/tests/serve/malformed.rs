//! Requests that cannot be answered: each has its status and says what is off; none is a fault of the server.

use crate::server::{Server, shipped, tiny};

/// Path, body, status, and a part of the message.
const REQUESTS: [(&str, &str, u16, &str); 49] = [
    // No JSON.
    ("/v1/embeddings", "", 400, "not JSON"),
    ("/v1/embeddings", "{", 400, "not JSON"),
    ("/v1/embeddings", r#"{"input": "a"} x"#, 400, "not JSON"),
    ("/embed", r#"{"inputs": "\ud83d"}"#, 400, "not JSON"),
    ("/embed", "{\"inputs\": \"\u{1}\"}", 400, "not JSON"),
    ("/embed", r#"{"inputs": "a", "normalize": tru}"#, 400, "not JSON"),
    // Not an object, or not these fields.
    ("/v1/embeddings", r#"["a"]"#, 422, "expected an object"),
    ("/v1/embeddings", "null", 422, "expected an object"),
    ("/v1/embeddings", "{}", 422, "missing field `input`"),
    ("/embed", r#"{"input": "a"}"#, 422, "missing field `inputs`"),
    ("/v1/embeddings", r#"{"input": "a", "input": "b"}"#, 422, "duplicate field `input`"),
    // Values of another kind.
    ("/v1/embeddings", r#"{"input": 5}"#, 422, "`input`"),
    ("/v1/embeddings", r#"{"input": null}"#, 422, "`input`"),
    ("/v1/embeddings", r#"{"input": {"a": 1}}"#, 422, "`input`"),
    ("/v1/embeddings", r#"{"input": ["a", 5]}"#, 422, "a list of one kind"),
    ("/v1/embeddings", r#"{"input": [[1], "a"]}"#, 422, "a list of one kind"),
    ("/v1/embeddings", r#"{"input": [1.5]}"#, 422, "`input"),
    ("/v1/embeddings", r#"{"input": [-1]}"#, 422, "`input"),
    ("/v1/embeddings", r#"{"input": [99999999]}"#, 422, "expected ids of this model's"),
    ("/v1/embeddings", r#"{"input": "a", "dimensions": 0}"#, 422, "`dimensions`: expected 1 to 64"),
    (
        "/v1/embeddings",
        r#"{"input": "a", "dimensions": 65}"#,
        422,
        "`dimensions`: expected 1 to 64",
    ),
    ("/v1/embeddings", r#"{"input": "a", "dimensions": "8"}"#, 422, "`dimensions`"),
    ("/v1/embeddings", r#"{"input": "a", "dimensions": -1}"#, 422, "`dimensions`"),
    ("/v1/embeddings", r#"{"input": "a", "encoding_format": "hex"}"#, 422, "`encoding_format`"),
    ("/v1/embeddings", r#"{"input": "a", "model": 7}"#, 422, "`model`"),
    ("/embed", r#"{"inputs": "a", "normalize": "yes"}"#, 422, "`normalize`"),
    ("/embed", r#"{"inputs": "a", "truncate": 1}"#, 422, "`truncate`"),
    ("/embed", r#"{"inputs": "a", "truncation_direction": "up"}"#, 422, "`truncation_direction`"),
    ("/embed", r#"{"inputs": "a", "prompt_name": "query"}"#, 422, "name of a prompt"),
    ("/predict", r#"{"inputs": ["a", "b", "c"], "model": "classes"}"#, 422, "a pair of texts"),
    ("/predict", r#"{"inputs": [["a", "b", "c"]], "model": "classes"}"#, 422, "a pair of texts"),
    ("/predict", r#"{"inputs": [[]], "model": "classes"}"#, 422, "a pair of texts"),
    ("/v1/rerank", r#"{"query": "q", "documents": [{"title": "x"}]}"#, 422, "`documents[0]`"),
    ("/v1/rerank", r#"{"query": "q", "documents": ["x"], "top_n": 0}"#, 422, "`top_n`"),
    ("/similarity", r#"{"inputs": {"source_sentence": "a"}}"#, 422, "missing field `sentences`"),
    ("/similarity", r#"{"inputs": ["a", ["b"]]}"#, 422, "expected an object"),
    (
        "/similarity",
        r#"{"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": [true]}"#,
        422,
        "`parameters`",
    ),
    ("/v1/rerank", r#"{"query": "q", "documents": [["x"]]}"#, 422, "`documents[0]`"),
    // Nothing to do.
    ("/v1/embeddings", r#"{"input": ""}"#, 400, "`input` cannot be an empty text"),
    ("/v1/embeddings", r#"{"input": []}"#, 400, "`input` cannot be empty"),
    ("/v1/embeddings", r#"{"input": [[]]}"#, 400, "`input[0]` cannot be an empty text"),
    ("/rerank", r#"{"query": "", "texts": ["a"]}"#, 400, "`query` cannot be an empty text"),
    ("/tokenize", r#"{"inputs": ["a", ""]}"#, 400, "`inputs[1]` cannot be an empty text"),
    // Too much.
    (
        "/embed",
        r#"{"inputs": ["a", "b", "c", "d", "e"]}"#,
        413,
        "has 5 texts, a request may have 4",
    ),
    // Not here.
    (
        "/v1/embeddings",
        r#"{"input": "a", "model": "gpt"}"#,
        404,
        "no model `gpt` is served here; expected tiny or classes",
    ),
    ("/nowhere", r#"{"inputs": "a"}"#, 404, "no route /nowhere"),
    ("/search", r#"{"query": "a"}"#, 404, "no index"),
    ("/health", "{}", 405, "/health is not for POST"),
    ("/predict", r#"{"inputs": "a"}"#, 424, "no classification head"),
];

fn server() -> Server {
    let classes = shipped("fastminilm-sst2").replacen("fastminilm-sst2=", "classes=", 1);
    Server::start(&[
        "--model",
        &tiny(),
        "--model",
        &classes,
        "--max-texts",
        "4",
        "--max-body-bytes",
        "4000",
    ])
}

/// The message, in the shape of the route's clients.
fn message(path: &str, body: &serde_json::Value) -> String {
    let message = match path {
        "/v1/rerank" => &body["message"],
        path if path.starts_with("/v1/") => &body["error"]["message"],
        _ => &body["error"],
    };
    message.as_str().unwrap_or_else(|| panic!("{path}: {body}")).to_owned()
}

#[test]
fn each_malformed_request_is_told_what_is_off() {
    let server = server();
    for (path, body, status, part) in REQUESTS {
        let answer = server.post_with(path, "", body.as_bytes());
        let told = message(path, &answer.json());
        assert_eq!(answer.status, status, "{path} {body}: {told}");
        assert!(told.contains(part), "{path} {body}: {told}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    // Other kinds of content, sizes and encodings.
    let json = "content-type: application/json\r\n";
    for (path, headers, body, status, part) in [
        ("/embed", "content-type: text/plain\r\n", vec![b'x'], 415, "application/json"),
        (
            "/embed",
            json,
            [br#"{"inputs": ""#.as_slice(), &[b'a'; 5000], br#""}"#].concat(),
            413,
            "more than 4000 bytes",
        ),
        ("/embed", json, b"{\"inputs\": \"\xff\"}".to_vec(), 400, "not JSON"),
        ("/embed", json, b"[".repeat(3000), 422, "expected"),
        (
            "/embed",
            json,
            [br#"{"inputs": "#.as_slice(), &b"[".repeat(3000)].concat(),
            422,
            "inputs",
        ),
        (
            "/api/embed",
            json,
            br#"{"input": "a", "model": "x:latest"}"#.to_vec(),
            404,
            "no model `x`",
        ),
    ] {
        let answer = server.post_with(path, headers, &body);
        let told = message(path, &answer.json());
        assert_eq!(answer.status, status, "{path}: {told}");
        assert!(told.contains(part), "{path}: {told}");
    }
    // What is no HTTP at all does not harm the next request.
    for bytes in
        ["\r\n\r\n", "GET\r\n\r\n", "POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n"]
    {
        assert_ne!(server.raw_status(bytes), Some(500));
    }
    assert_eq!(server.post_with("/embed", "", br#"{"inputs": "a"}"#).status, 200);
    // Which field it was stands in OpenAI's shape, and in the counts.
    let answer =
        server.post_with("/v1/embeddings", "", br#"{"input": "a", "dimensions": 0}"#).json();
    assert_eq!(answer["error"]["param"], "dimensions");
    assert_eq!(answer["error"]["type"], "invalid_request_error");
    assert!(server.metric("te_request_failure") > 40.0);
}

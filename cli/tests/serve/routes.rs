//! Every route answers in the shape that its clients know.

use serde_json::{Value, json};

use crate::server::{Server, assert_near, floats, shipped, tiny};

fn server() -> Server {
    Server::start(&["--model", &shipped("fastminilm"), "--model", &shipped("fastminilm-sst2")])
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn every_route_answers() {
    let server = server();
    openai(&server);
    tei(&server);
    predict(&server);
    rerank(&server);
    ollama(&server);
    status(&server);
}

fn openai(server: &Server) {
    let answer = server.post(
        "/v1/embeddings",
        &json!({ "input": "A flute.", "model": "fastminilm", "user": "u" }),
    );
    let body = answer.ok();
    assert_eq!((&body["object"], &body["model"]), (&json!("list"), &json!("fastminilm")));
    assert_eq!(body["usage"], json!({ "prompt_tokens": 5, "total_tokens": 5 }));
    let first = &body["data"][0];
    assert_eq!((&first["object"], &first["index"]), (&json!("embedding"), &json!(0)));
    let vector = floats(&first["embedding"]);
    assert_eq!(vector.len(), 384);
    assert!((norm(&vector) - 1.0).abs() < 1e-5);
    for name in [
        "x-compute-time",
        "x-total-time",
        "x-tokenization-time",
        "x-queue-time",
        "x-inference-time",
    ] {
        assert!(answer.header(name).unwrap().parse::<u64>().is_ok(), "{name}");
    }
    let counts = ["x-compute-characters", "x-compute-tokens", "x-compute-type"]
        .map(|name| answer.header(name));
    assert_eq!(counts, [Some("8"), Some("5"), Some("cpu")]);
    assert_eq!(answer.header("x-cmm-truncated"), None);

    // Base64 is the same bytes.
    let body = server
        .post("/v1/embeddings", &json!({ "input": ["A flute."], "encoding_format": "base64" }))
        .ok();
    let bytes = unbase64(body["data"][0]["embedding"].as_str().unwrap());
    let values = bytes.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())));
    assert_near(&values.collect::<Vec<_>>(), &vector);

    // Cut before it is normalised.
    let body =
        server.post("/v1/embeddings", &json!({ "input": "A flute.", "dimensions": 100 })).ok();
    let cut = floats(&body["data"][0]["embedding"]);
    let length = norm(&vector[..100]);
    assert_near(&cut, &vector[..100].iter().map(|v| v / length).collect::<Vec<_>>());

    // Token ids, with and without the template's own, are the text.
    let tokens = server.post("/tokenize", &json!({ "inputs": "A flute." })).ok();
    let ids: Vec<&Value> = tokens[0].as_array().unwrap().iter().map(|token| &token["id"]).collect();
    for input in [json!(ids), json!([ids]), json!(ids[1..4])] {
        let body = server.post("/v1/embeddings", &json!({ "input": input })).ok();
        assert_near(&floats(&body["data"][0]["embedding"]), &vector);
    }
    let models = server.get("/v1/models").ok();
    assert_eq!(models["data"][1]["id"], "fastminilm-sst2");
    assert_eq!(server.get("/v1/models/fastminilm").ok()["object"], "model");
}

fn tei(server: &Server) {
    let one = server.post("/embed", &json!({ "inputs": "A flute." })).ok();
    assert_eq!(one.as_array().unwrap().len(), 1);
    let raw = server.post("/embed", &json!({ "inputs": ["A flute."], "normalize": false })).ok();
    let (unit, raw) = (floats(&one[0]), floats(&raw[0]));
    let length = norm(&raw);
    assert!((length - 1.0).abs() > 1e-3);
    assert_near(&unit, &raw.iter().map(|v| v / length).collect::<Vec<_>>());

    // 300 words are beyond the 256 tokens that the model reads.
    let long = "river ".repeat(300);
    let refused = server.post("/embed", &json!({ "inputs": ["short", long] }));
    assert_eq!(refused.status, 413);
    let message = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("`inputs[1]` has 302 tokens, the model reads at most 256"),
        "{message}"
    );
    assert_eq!(refused.json()["error_type"], "Validation");
    let ends = format!("flute {long} letter");
    let cut = |side| {
        let body =
            json!({ "inputs": ["short", ends], "truncate": true, "truncation_direction": side });
        let answer = server.post("/embed", &body);
        assert_eq!(answer.header("x-cmm-truncated"), Some("1"));
        floats(&answer.ok()[1])
    };
    let (right, left) = (cut("Right"), cut("Left"));
    let whole = |text: String| floats(&server.post("/embed", &json!({ "inputs": text })).ok()[0]);
    assert_near(&right, &whole(format!("flute {}", "river ".repeat(253))));
    assert_near(&left, &whole(format!("{}letter", "river ".repeat(253))));

    let similar = json!({ "inputs": { "source_sentence": "a cat", "sentences": ["a kitten", "a tax form"] } });
    let similar = floats(&server.post("/similarity", &similar).ok());
    assert!(similar.len() == 2 && similar[0] > similar[1] + 0.2, "{similar:?}");

    let tokens = server
        .post("/tokenize", &json!({ "inputs": ["caf\u{e9} flute"], "add_special_tokens": false }))
        .ok();
    let expected = json!([[
        { "id": 7668, "text": "cafe", "special": false, "start": 0, "stop": 4 },
        { "id": 8928, "text": "flute", "special": false, "start": 5, "stop": 10 },
    ]]);
    assert_eq!(tokens, expected);
    let tokens = server.post("/tokenize", &json!({ "inputs": "flute" })).ok();
    assert_eq!(
        tokens[0][0],
        json!({ "id": 101, "text": "[CLS]", "special": true, "start": null, "stop": null })
    );
}

fn predict(server: &Server) {
    let ask = |inputs: Value, raw: bool| {
        server
            .post(
                "/predict",
                &json!({ "inputs": inputs, "raw_scores": raw, "model": "fastminilm-sst2" }),
            )
            .ok()
    };
    let one = ask(json!("a wonderful, moving film"), false);
    let scores: Vec<_> =
        one.as_array().unwrap().iter().map(|class| class["score"].as_f64().unwrap()).collect();
    assert!(
        scores.len() == 2 && scores[0] > 0.9 && (scores[0] + scores[1] - 1.0).abs() < 1e-6,
        "{one}"
    );
    let several = ask(json!([["a wonderful, moving film"], ["a dull, lifeless mess"]]), false);
    assert_eq!(several[0][0]["label"], one[0]["label"]);
    assert_ne!(several[0][0]["label"], several[1][0]["label"]);
    let raw = ask(json!("a wonderful, moving film"), true);
    assert!(raw[0]["score"].as_f64().unwrap() != scores[0]);
    let refused = server.post("/predict", &json!({ "inputs": "a film", "model": "fastminilm" }));
    assert_eq!((refused.status, &refused.json()["error_type"]), (424, &json!("Backend")));
}

fn rerank(server: &Server) {
    let texts = ["tax law", "a cat sleeps on the sofa", "kittens"];
    let ranks = server
        .post("/rerank", &json!({ "query": "cats", "texts": texts, "return_text": true }))
        .ok();
    let order: Vec<_> =
        ranks.as_array().unwrap().iter().map(|rank| rank["index"].as_u64().unwrap()).collect();
    assert!(order.len() == 3 && order[2] == 0, "{ranks}");
    assert_eq!(ranks[2]["text"], "tax law");
    let plain = server.post("/rerank", &json!({ "query": "cats", "texts": texts })).ok();
    assert_eq!(plain[0].get("text"), None);

    for path in ["/v1/rerank", "/v2/rerank"] {
        let documents = json!(["tax law", { "text": "a cat sleeps on the sofa" }, "kittens"]);
        let body = json!({ "model": "fastminilm", "query": "cats", "documents": documents, "top_n": 2, "return_documents": true });
        let body = server.post(path, &body).ok();
        let results = body["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!(results[0]["index"], ranks[0]["index"]);
        assert_eq!(results[0]["relevance_score"], ranks[0]["score"]);
        assert_eq!(results[0]["document"]["text"], ranks[0]["text"]);
    }
    // Two classes rank nothing.
    let refused = server
        .post("/rerank", &json!({ "query": "q", "texts": ["t"], "model": "fastminilm-sst2" }));
    assert_eq!(refused.status, 424);
}

fn ollama(server: &Server) {
    let body = json!({ "model": "fastminilm:latest", "input": ["A flute.", "river ".repeat(300)], "keep_alive": "5m" });
    let answer = server.post("/api/embed", &body);
    let body = answer.ok();
    assert_eq!(
        (&body["model"], body["embeddings"].as_array().unwrap().len()),
        (&json!("fastminilm"), 2)
    );
    assert_eq!(body["prompt_eval_count"], 5 + 256);
    assert_eq!(answer.header("x-cmm-truncated"), Some("1"));
    // As curl -d sends it, and as Ollama's documentation shows it.
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    assert_eq!(server.post_with("/api/embed", form, br#"{"input": "a"}"#).status, 200);
}

fn status(server: &Server) {
    let info = server.get("/info").ok();
    assert_eq!(info["model_type"], json!({ "embedding": { "pooling": "mean" } }));
    assert_eq!(
        (&info["max_input_length"], &info["max_client_batch_size"]),
        (&json!(256), &json!(2048))
    );
    let info = server.get("/info?model=fastminilm-sst2").ok();
    assert_eq!(info["model_type"]["classifier"]["id2label"].as_object().unwrap().len(), 2);
    let metrics = server.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    for name in [
        "te_request_count{method=\"batch\"}",
        "te_request_success{method=\"single\"}",
        "te_request_failure{err=\"inference\"}",
        "te_request_duration_bucket{le=\"0.000015",
        "te_request_tokenization_duration_sum",
        "te_request_queue_duration_count",
        "te_request_inference_duration_count",
        "te_request_input_length_bucket{le=\"512\"}",
        "te_batch_next_size_bucket{model=\"fastminilm\",le=\"4096\"}",
        "te_batch_next_tokens_count{model=\"fastminilm-sst2\"}",
        "te_queue_size{model=\"fastminilm\"}",
    ] {
        assert!(metrics.text().contains(name), "{name}\n{}", metrics.text());
    }
    let api = server.get("/openapi.json").ok();
    for path in [
        "/v1/embeddings",
        "/v1/rerank",
        "/v1/models",
        "/embed",
        "/predict",
        "/rerank",
        "/similarity",
    ] {
        assert!(api["paths"].get(path).is_some(), "{path}");
    }
    for path in ["/tokenize", "/info", "/health", "/metrics", "/api/embed", "/search"] {
        assert!(api["paths"].get(path).is_some(), "{path}");
    }
    let page = server.get("/docs/");
    assert!(page.status == 200 && page.text().contains("swagger"), "{}", page.text());
    // Nothing of the page comes from elsewhere.
    assert!(!page.text().contains("https://"), "{}", page.text());
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn who_has_no_key_is_told_so_and_pages_of_other_origins_need_leave() {
    let server = Server::start(&[
        "--model",
        &tiny(),
        "--api-key",
        "s3cret",
        "--cors-origin",
        "https://a.example",
    ]);
    let body = br#"{"input": "a"}"#;
    for (headers, status) in [
        ("", 401),
        ("authorization: Bearer s3cre\r\n", 401),
        ("authorization: Basic s3cret\r\n", 401),
        ("authorization: Bearer s3cret\r\n", 200),
        ("authorization: bearer  s3cret\r\n", 200),
    ] {
        assert_eq!(server.post_with("/v1/embeddings", headers, body).status, status, "{headers}");
    }
    let refused = server.post_with("/v1/embeddings", "", body);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    for (path, status) in
        [("/health", 200), ("/metrics", 200), ("/docs/", 200), ("/info", 401), ("/v1/models", 401)]
    {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    let preflight = |origin: &str| {
        server.raw(&format!(
            "OPTIONS /embed HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\r\n"
        ))
    };
    assert_eq!(
        preflight("https://a.example").header("access-control-allow-origin"),
        Some("https://a.example")
    );
    assert_eq!(preflight("https://b.example").header("access-control-allow-origin"), None);
}

#[test]
fn without_leave_no_page_of_another_origin_may_ask() {
    let server = Server::start(&["--model", &tiny()]);
    let answer = server.post_with("/embed", "origin: https://a.example\r\n", br#"{"inputs": "a"}"#);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[test]
fn a_budget_below_one_text_runs_it_alone() {
    let server = Server::start(&["--model", &tiny(), "--batch-tokens", "1"]);
    let body =
        server.post("/embed", &json!({ "inputs": ["one two three four", "five six seven"] })).ok();
    assert_eq!(body.as_array().unwrap().len(), 2);
    assert_eq!(server.metric("te_batch_next_size_count"), 2.0);
}

/// Base64 without a library: the test's own reading of the format.
fn unbase64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let value = |b: &u8| alphabet.iter().position(|a| a == b).unwrap_or(0) as u32;
        let bits = four.iter().fold(0, |bits, b| bits << 6 | value(b));
        let padding = four.iter().filter(|b| **b == b'=').count();
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    bytes
}

//! Model folders and files as people have them: each case gives its right value, by the command itself.

#[path = "../../../tests/common/mod.rs"]
mod common;
mod folder;
mod forms;

use serde_json::{Value, json};

use folder::{Model, case, close, cmm, config, error, lines};

const TEXT: &str = "the cat sat on the mat.";

/// Whether this machine can run a model at all; says so loudly where it cannot.
fn gpu() -> bool {
    !common::gpus().is_empty()
}

#[test]
fn layer_norms_named_gamma_and_beta() {
    if !gpu() {
        return;
    }
    let model = Model::new().with_weights("gamma_beta.safetensors");
    let model = model.with_config(json!({ "architectures": ["BertForPreTraining"] }));
    assert!(close(&model.vector(TEXT), &Model::new().vector(TEXT)));
}

#[test]
fn absent_keys_have_their_documented_defaults() {
    if !gpu() {
        return;
    }
    let want = Model::new().vector(TEXT);
    for absent in [
        "layer_norm_eps",
        "architectures",
        "type_vocab_size",
        "hidden_act",
        "position_embedding_type",
    ] {
        let model = Model::new().with_config(json!({ absent: null }));
        assert!(close(&model.vector(TEXT), &want), "{absent}");
    }
    let model = Model::new();
    let mut config = config();
    config["position_embedding_type"] = Value::Null;
    model.json("config.json", &config);
    assert!(close(&model.vector(TEXT), &want));
    // Other defaults are those of bert-base, which these tensors are not.
    for (absent, default) in
        [("hidden_size", "768"), ("vocab_size", "30522"), ("max_position_embeddings", "512")]
    {
        let message = error(&Model::new().with_config(json!({ absent: null })).embed(&[TEXT]));
        assert!(message.contains(default), "{message}");
    }
}

#[test]
fn a_head_that_a_command_does_not_need_stops_nothing() {
    if !gpu() {
        return;
    }
    let want = Model::new().vector(TEXT);
    let token_classes = Model::new().with_weights("token_classes.safetensors");
    let token_classes =
        token_classes.with_config(json!({ "architectures": ["BertForTokenClassification"] }));
    assert!(close(&token_classes.vector(TEXT), &want));
    // Named, and its tensors are not there.
    let headless =
        || Model::new().with_config(json!({ "architectures": ["BertForSequenceClassification"] }));
    assert!(close(&headless().vector(TEXT), &want));
    let message = error(&cmm(&["classify", "--model", headless().path(), TEXT]));
    assert!(
        message.contains("a classification head") && message.contains("no tensor"),
        "{message}"
    );
    let message = error(&cmm(&["classify", "--model", token_classes.path(), TEXT]));
    assert!(message.contains("a classification head"), "{message}");
    let other = Model::new().with_config(json!({ "architectures": ["GPT2Model"] }));
    assert!(error(&other.embed(&[TEXT])).contains("architectures"));
}

#[test]
fn poolings_in_every_spelling() {
    if !gpu() {
        return;
    }
    for mode in ["mean", "cls", "max"] {
        let flag = if mode == "cls" { "cls_token" } else { &format!("{mode}_tokens") };
        let old = json!({ format!("pooling_mode_{flag}"): true, "pooling_mode_mean_sqrt_len_tokens": false });
        let old = Model::new().pooled(old).vector(TEXT);
        for new in [json!(mode), json!([mode])] {
            let model = Model::new().pooled(json!({ "pooling_mode": new, "include_prompt": true }));
            assert!(close(&model.vector(TEXT), &old), "{mode}");
        }
        let unpooled = Model::new().vector(TEXT);
        assert_eq!(close(&old, &unpooled), mode == "mean", "{mode}");
    }
    for (pooling, named) in [
        (json!({ "pooling_mode": ["cls", "mean"] }), "cls, mean"),
        (json!({ "pooling_mode": "weightedmean" }), "weightedmean"),
        (json!({ "pooling_mode": "lasttoken" }), "lasttoken"),
        (json!({ "pooling_mode": 7 }), "7"),
        (json!({ "pooling_mode_mean_tokens": false }), "none"),
        (json!({ "pooling_mode_mean_sqrt_len_tokens": true }), "mean_sqrt_len"),
        (json!({ "pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true }), "cls_token"),
        (json!({ "pooling_mode": "mean", "include_prompt": false }), "include_prompt"),
    ] {
        let message = error(&Model::new().pooled(pooling).embed(&[TEXT]));
        assert!(message.contains("1_Pooling/config.json") && message.contains(named), "{message}");
    }
}

#[test]
fn a_pooling_whose_file_is_missing_or_elsewhere() {
    let model = Model::new().pooled(json!({}));
    std::fs::remove_file(model.0.path().join("1_Pooling/config.json")).unwrap();
    let message = error(&model.embed(&[TEXT]));
    assert!(message.contains("1_Pooling/config.json"), "{message}");
    if gpu() {
        let elsewhere = Model::new()
            .with(
                "modules.json",
                json!([{ "path": "9_Pool", "type": "x.Pooling" }, { "type": "x.Normalize" }]),
            )
            .with("9_Pool/config.json", json!({ "pooling_mode": "cls" }));
        let there = Model::new().pooled(json!({ "pooling_mode": "cls" }));
        assert!(close(&elsewhere.vector(TEXT), &there.vector(TEXT)));
    }
    for hostile in ["../x", "/etc", "..", "a\\b", "C:x", "a\0b", ".x"] {
        let modules = json!([{ "path": hostile, "type": "x.Pooling" }]);
        let message = error(&Model::new().with("modules.json", modules).embed(&[TEXT]));
        assert!(message.contains("a path below the model"), "{message}");
    }
}

#[test]
fn the_longest_text_is_what_the_folder_says() {
    if !gpu() {
        return;
    }
    let long = "the cat sat on the mat . ".repeat(6);
    let cut = |file: &str, value: Value| Model::new().with(file, value).vector(&long);
    let of_8 = cut("sentence_bert_config.json", json!({ "max_seq_length": 8 }));
    let whole = Model::new().vector(&long);
    assert!(!close(&of_8, &whole));
    assert!(close(&cut("tokenizer_config.json", json!({ "model_max_length": 8 })), &of_8));
    let both = Model::new()
        .with("tokenizer_config.json", json!({ "model_max_length": 16 }))
        .with("sentence_bert_config.json", json!({ "max_seq_length": 8 }));
    assert!(close(&both.vector(&long), &of_8));
    for none in [
        json!({ "model_max_length": 1e30 }),
        json!({ "model_max_length": null }),
        json!({ "model_max_length": 4096 }),
    ] {
        assert!(close(&cut("tokenizer_config.json", none), &whole));
    }
    let message =
        |value: Value| error(&Model::new().with("sentence_bert_config.json", value).embed(&["a"]));
    assert!(message(json!({ "max_seq_length": 0 })).contains("special tokens"));
    assert!(message(json!({ "max_seq_length": -1 })).contains("max_seq_length"));
}

#[test]
fn texts_are_cut_on_the_side_that_the_folder_names() {
    if !gpu() {
        return;
    }
    // [CLS] and [SEP] beside 6 tokens.
    let left = Model::new()
        .with("tokenizer_config.json", json!({ "model_max_length": 8, "truncation_side": "left" }));
    assert!(close(
        &left.vector("cat cat cat cat the cat sat on the mat"),
        &left.vector("the cat sat on the mat")
    ));
    let right = Model::new().with("tokenizer_config.json", json!({ "model_max_length": 8 }));
    assert!(close(
        &right.vector("the cat sat on the mat cat cat"),
        &right.vector("the cat sat on the mat")
    ));
}

#[test]
fn texts_are_lower_cased_where_the_folder_says_so() {
    if !gpu() {
        return;
    }
    let model = Model::new();
    model.copy("cased_tokenizer.json", "tokenizer.json");
    let cased = model.vector("The CAT sat");
    let model = model.with("sentence_bert_config.json", json!({ "do_lower_case": true }));
    assert!(close(&model.vector("The CAT sat"), &model.vector("the cat sat")));
    assert!(!close(&model.vector("The CAT sat"), &cased));
}

#[test]
fn prompts_stand_before_texts() {
    if !gpu() {
        return;
    }
    let plain = Model::new();
    let prompts = json!({ "prompts": { "query": "find the river bank ", "document": "" }, "default_prompt_name": null });
    let model = Model::new().with("config_sentence_transformers.json", prompts);
    let want = plain.vector("find the river bank cat");
    assert!(close(&model.vectors(&["cat", "--prompt-name", "query"])[0], &want));
    assert!(close(&plain.vectors(&["cat", "--prompt", "find the river bank "])[0], &want));
    assert!(close(&model.vector("cat"), &plain.vector("cat")));
    let file = model.0.path().join("l.txt");
    std::fs::write(&file, "the cat\na river bank\nq z\n").unwrap();
    let found =
        cmm(&["search", "cat", "--model", model.path(), "--in", file.to_str().unwrap(), "--json"]);
    let similar: Vec<_> = lines(&found).iter().map(|l| l["similarity"].as_f64().unwrap()).collect();
    assert!(
        similar.iter().zip([0.7848, 0.692, 0.612]).all(|(a, b)| (a - b).abs() < 1e-4),
        "{similar:?}"
    );
    let message = error(&model.embed(&["cat", "--prompt-name", "passage"]));
    assert!(message.contains("document, query"), "{message}");
    // The default prompt of a model goes before every text.
    let prompts = json!({ "prompts": { "a": "find the river bank " }, "default_prompt_name": "a" });
    let model = Model::new().with("config_sentence_transformers.json", prompts);
    assert!(close(&model.vector("cat"), &want));
}

fn classifier(weights: &str, labels: &[&str], more: Value) -> Model {
    let labels: serde_json::Map<_, _> =
        labels.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label))).collect();
    let mut changes =
        json!({ "architectures": ["BertForSequenceClassification"], "id2label": labels });
    for (key, value) in more.as_object().unwrap() {
        changes[key] = value.clone();
    }
    Model::new().with_weights(weights).with_config(changes)
}

#[test]
fn what_scores_mean_is_what_the_problem_says() {
    if !gpu() {
        return;
    }
    let of = |weights: &str, labels: &[&str], more: Value| {
        let model = classifier(weights, labels, more);
        let line = lines(&cmm(&["classify", "--model", model.path(), "--json", TEXT])).remove(0);
        let numbers = |name: &str| -> Vec<f64> {
            line[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        (numbers("scores"), numbers("probabilities"))
    };
    let sigmoid = |score: &f64| 1.0 / (1.0 + (-score).exp());
    let (scores, probabilities) = of("one_class.safetensors", &["LABEL_0"], json!({}));
    assert!(
        (probabilities[0] - 0.0046).abs() < 5e-5 && close(&[sigmoid(&scores[0])], &probabilities)
    );
    let (scores, values) =
        of("one_class.safetensors", &["x"], json!({ "problem_type": "regression" }));
    assert!(close(&scores, &values));
    let three = ["a", "b", "c"];
    let (_, softmax) = of("three_classes.safetensors", &three, json!({}));
    assert!((softmax.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let multi = json!({ "problem_type": "multi_label_classification" });
    let (scores, each) = of("three_classes.safetensors", &three, multi);
    assert!(close(&scores.iter().map(sigmoid).collect::<Vec<_>>(), &each));
    let wrong = classifier("one_class.safetensors", &["x"], json!({ "problem_type": "ranking" }));
    assert!(error(&cmm(&["classify", "--model", wrong.path(), TEXT])).contains("problem_type"));
}

#[test]
fn pairs_are_two_fields_of_json_lines() {
    if !gpu() {
        return;
    }
    let model = classifier(
        "three_classes.safetensors",
        &["entailment", "neutral", "contradiction"],
        json!({}),
    );
    let file = model.0.path().join("pairs.jsonl");
    std::fs::write(
        &file,
        "{\"p\":\"the cat\",\"h\":\"a cat\"}\n\n{\"p\":\"the cat\",\"h\":\"a dog\"}\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let classify = |more: &[&str]| {
        cmm(&[&["classify", "--json", "--model", model.path(), "--in", file][..], more].concat())
    };
    let pairs = lines(&classify(&["--field", "p", "--pair", "h"]));
    assert_eq!(
        (pairs[0]["text"].as_str(), pairs[0]["pair"].as_str()),
        (Some("the cat"), Some("a cat"))
    );
    assert_ne!(pairs[0]["scores"], pairs[1]["scores"]);
    let alone = lines(&classify(&["--field", "p"]));
    assert_eq!(alone[0]["scores"], alone[1]["scores"]);
    assert!(error(&classify(&["--pair", "h"])).contains("--field"));
    assert!(
        error(&classify(&["--field", "p", "--pair", "x"])).contains("line 1: no text in field `x`")
    );
}

#[test]
fn glue_understands_what_models_call_the_classes() {
    if !gpu() {
        return;
    }
    let data = case("sst2.tsv");
    let glue = |labels: &[&str]| {
        let model = classifier("two_classes.safetensors", labels, json!({}));
        cmm(&[
            "glue",
            "--task",
            "sst2",
            "--json",
            "--data",
            data.to_str().unwrap(),
            "--model",
            model.path(),
        ])
    };
    let accuracy =
        |labels: &[&str]| lines(&glue(labels))[0]["metrics"]["accuracy"].as_f64().unwrap();
    assert_eq!(accuracy(&["POSITIVE", "NEGATIVE"]), 1.0);
    assert_eq!(accuracy(&["negative", "positive"]), 0.0);
    assert_eq!(accuracy(&["LABEL_0", "LABEL_1"]), 0.0);
    for labels in [["good", "bad"], ["POSITIVE", "positive"]] {
        let message = error(&glue(&labels));
        assert!(message.contains("id2label") && message.contains(labels[0]), "{message}");
    }
}

#[test]
fn glue_files_as_they_are_distributed() {
    if !gpu() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    let own = file(
        "sts-dev.csv",
        "main-captions\tMSRvid\t2012test\t0001\t5.000\tA man, \"riding\" a horse.\tA man rides a horse.\n\
         main-captions\tMSRvid\t2012test\t0002\t1.500\tA cat.\tA dog.\n",
    );
    let model = Model::new();
    let line =
        lines(&cmm(&["glue", "--task", "stsb", "--json", "--data", &own, "--model", model.path()]));
    assert_eq!(line[0]["examples"], 2);
    let mnli = file(
        "mnli.csv",
        "\u{feff}premise,hypothesis,label,idx\nthe cat sat,a cat,0,0\na dog,the river,2,1\n",
    );
    let model = classifier(
        "three_classes.safetensors",
        &["contradiction", "entailment", "neutral"],
        json!({}),
    );
    let line = lines(&cmm(&[
        "glue",
        "--task",
        "mnli",
        "--json",
        "--data",
        &mnli,
        "--model",
        model.path(),
    ]));
    assert_eq!(line[0]["examples"], 2);
}

#[test]
fn json_lines_with_blank_lines_marks_and_halves_of_emoji() {
    if !gpu() {
        return;
    }
    let model = Model::new();
    let want = model.vectors(&["the cat", "dog"]);
    let file = model.0.path().join("a.jsonl");
    let vectors = |text: &str| {
        std::fs::write(&file, text).unwrap();
        model.vectors(&["--in", file.to_str().unwrap(), "--field", "text"])
    };
    for text in [
        "{\"text\":\"the cat\"}\n{\"text\":\"dog\"}\n\n",
        "\u{feff}{\"text\":\"the cat\"}\r\n  \r\n{\"text\":\"dog\"}\r\n",
    ] {
        let got = vectors(text);
        assert!(got.len() == 2 && got.iter().zip(&want).all(|(a, b)| close(a, b)), "{text}");
    }
    let got = vectors("{\"text\":\"dog \\ud83d\"}\n");
    assert!(close(&got[0], &model.vector("dog \u{fffd}")));
}

#[test]
fn hostile_tokenizers_and_configurations_are_errors() {
    let model = || {
        let model = Model(tempfile::tempdir().unwrap());
        for name in [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
        ] {
            std::fs::copy(common::golden().join("mlm_tiny").join(name), model.0.path().join(name))
                .unwrap();
        }
        model
    };
    let config: Value =
        serde_json::from_slice(&std::fs::read(model().0.path().join("config.json")).unwrap())
            .unwrap();
    for positions in [1_u64 << 28, 1 << 27, 60_000_000, u64::MAX] {
        let mut config = config.clone();
        config["arch"]["embedding"]["max_seq_length"] = positions.into();
        let message = error(&model().with("config.json", config).embed(&["x"]));
        assert!(message.contains("positions") || message.contains("max_seq_length"), "{message}");
    }
    if !gpu() {
        return;
    }
    let hostile = model();
    hostile.copy("hostile_tokenizer.json", "tokenizer.json");
    let message = error(&hostile.embed(&["x"]));
    assert!(message.contains("tokenizer.json"), "{message}");
}

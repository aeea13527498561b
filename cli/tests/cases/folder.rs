//! A model's folder that a test changes, and the command on it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common;

pub fn case(name: &str) -> PathBuf {
    common::root().join("tests/cases").join(name)
}

pub fn cmm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cmm")).args(arguments).output().unwrap()
}

pub fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The command failed with one line, and not by a panic.
pub fn error(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}");
    assert!(!text.contains("panicked") && output.stdout.is_empty(), "{text}");
    text.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{text}")).into()
}

/// A model's folder: a BERT 32 wide, of 2 layers, 64 positions and 136 ids.
pub struct Model(pub TempDir);

impl Model {
    pub fn new() -> Self {
        let model = Self(tempfile::tempdir().unwrap());
        model.copy("bert/model.safetensors", "model.safetensors");
        model.copy("bert/tokenizer.json", "tokenizer.json");
        model.json("config.json", &config());
        model
    }

    pub fn copy(&self, from: &str, to: &str) {
        std::fs::write(self.0.path().join(to), std::fs::read(case(from)).unwrap()).unwrap();
    }

    pub fn json(&self, file: &str, value: &Value) {
        let path = self.0.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    }

    /// The configuration with some keys changed; null takes a key out.
    pub fn with_config(self, changes: Value) -> Self {
        let mut config = config();
        for (key, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => config.as_object_mut().unwrap().remove(key),
                value => config.as_object_mut().unwrap().insert(key.clone(), value.clone()),
            };
        }
        self.json("config.json", &config);
        self
    }

    pub fn with_weights(self, weights: &str) -> Self {
        self.copy(weights, "model.safetensors");
        self
    }

    pub fn with(self, file: &str, value: Value) -> Self {
        self.json(file, &value);
        self
    }

    /// Pooled as this configuration says.
    pub fn pooled(self, pooling: Value) -> Self {
        let modules = json!([
            { "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer" },
            { "path": "1_Pooling", "type": "sentence_transformers.models.Pooling" },
            { "path": "2_Normalize", "type": "sentence_transformers.models.Normalize" },
        ]);
        self.with("modules.json", modules).with("1_Pooling/config.json", pooling)
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub fn embed(&self, more: &[&str]) -> Output {
        cmm(&[&["embed", "--json", "--model", self.path()], more].concat())
    }

    pub fn vectors(&self, more: &[&str]) -> Vec<Vec<f64>> {
        let numbers = |line: &Value| {
            let values = line["embedding"].as_array().unwrap();
            values.iter().map(|v| v.as_f64().unwrap()).collect()
        };
        lines(&self.embed(more)).iter().map(numbers).collect()
    }

    pub fn vector(&self, text: &str) -> Vec<f64> {
        self.vectors(&[text]).swap_remove(0)
    }
}

pub fn config() -> Value {
    json!({
        "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": 32, "intermediate_size": 64,
        "layer_norm_eps": 1e-12, "max_position_embeddings": 64, "model_type": "bert", "num_attention_heads": 4,
        "num_hidden_layers": 2, "type_vocab_size": 2, "vocab_size": 136, "position_embedding_type": "absolute",
    })
}

pub fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
}

//! What a model directory says beside its weights: how sentences are pooled, and how long they may be.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::Pooler;

/// A small JSON file, if it is there.
pub(crate) fn optional_json(path: &Path) -> Result<Option<Value>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Io { path: path.into(), source }),
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|cause| Error::mismatch(path.display().to_string(), "JSON", cause))
}

/// How a sentence becomes a vector, and whether it is normalised: what a sentence-transformers directory says; else the mean over the
/// tokens, normalised.
pub(crate) fn pooling(dir: &Path) -> Result<(Pooler, bool)> {
    let Some(modules) = optional_json(&dir.join("modules.json"))? else {
        return Ok((Pooler::MeanUnmasked, true));
    };
    let name = dir.join("modules.json").display().to_string();
    let mut found = (Pooler::MeanUnmasked, false);
    for module in modules.as_array().into_iter().flatten() {
        let kind = module.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind.rsplit('.').next() {
            Some("Transformer") => {}
            Some("Normalize") => found.1 = true,
            Some("Pooling") => {
                let path = module.get("path").and_then(Value::as_str).unwrap_or("1_Pooling");
                if path.split(['/', '\\']).any(|part| part == "..") || path.starts_with('/') {
                    return Err(Error::mismatch(name, "a path below the model", path));
                }
                found.0 = pooler(&dir.join(path).join("config.json"))?;
            }
            _ => {
                let expected = "Transformer, Pooling and Normalize modules";
                return Err(Error::mismatch(name, expected, kind));
            }
        }
    }
    Ok(found)
}

fn pooler(path: &Path) -> Result<Pooler> {
    let config = optional_json(path)?.unwrap_or_default();
    let on = |mode: &str| config.get(mode).and_then(Value::as_bool).unwrap_or(false);
    let modes: Vec<_> = config.as_object().into_iter().flatten().collect();
    let chosen: Vec<_> = modes
        .iter()
        .filter(|(key, value)| key.starts_with("pooling_mode") && *value == &Value::Bool(true))
        .map(|(key, _)| key.as_str())
        .collect();
    match chosen[..] {
        ["pooling_mode_mean_tokens"] => Ok(Pooler::MeanUnmasked),
        ["pooling_mode_cls_token"] => Ok(Pooler::ZeroIndex),
        ["pooling_mode_max_tokens"] => Ok(Pooler::Max),
        [] if !on("pooling_mode_mean_tokens") => Ok(Pooler::MeanUnmasked),
        _ => Err(Error::mismatch(
            path.display().to_string(),
            "one pooling mode: mean, cls or max tokens",
            chosen.join(", "),
        )),
    }
}

/// Tokens that a sentence is cut to, where a sentence-transformers directory says so.
pub(crate) fn max_tokens(dir: &Path) -> Result<Option<usize>> {
    let config = optional_json(&dir.join("sentence_bert_config.json"))?;
    let length = config.as_ref().and_then(|c| c.get("max_seq_length")).and_then(Value::as_u64);
    Ok(length.and_then(|length| usize::try_from(length).ok()))
}

/// The mask token, if the directory names it.
pub(crate) fn mask_token(dir: &Path) -> Result<Option<String>> {
    for file in ["special_tokens_map.json", "tokenizer_config.json"] {
        let json = optional_json(&dir.join(file))?;
        let token = json.as_ref().and_then(|json| json.get("mask_token"));
        let text =
            token.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        if let Some(text) = text {
            return Ok(Some(text.to_owned()));
        }
    }
    Ok(None)
}

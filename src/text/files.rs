//! What a model directory says beside its weights: how sentences are pooled, and how long they may be.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::{Pooler, is_plain_path};
use crate::text::folder::Folder;

/// How a sentence becomes a vector, and whether it is normalised: what a sentence-transformers directory says; else the mean over the
/// tokens, normalised.
pub(crate) fn pooling(folder: &Folder<'_>) -> Result<(Pooler, bool)> {
    let Some(modules) = folder.json("modules.json")? else {
        return Ok((Pooler::MeanUnmasked, true));
    };
    let name = folder.name("modules.json");
    let mut found = (Pooler::MeanUnmasked, false);
    for module in modules.as_array().into_iter().flatten() {
        let kind = module.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind.rsplit('.').next() {
            Some("Transformer") => {}
            Some("Normalize") => found.1 = true,
            Some("Pooling") => {
                let path = module.get("path").and_then(Value::as_str).unwrap_or("1_Pooling");
                if !is_plain_path(path) {
                    return Err(Error::mismatch(name, "a path below the model", path));
                }
                found.0 = pooler(folder, &format!("{}/config.json", path.trim_end_matches('/')))?;
            }
            _ => {
                let expected = "Transformer, Pooling and Normalize modules";
                return Err(Error::mismatch(name, expected, kind));
            }
        }
    }
    Ok(found)
}

fn pooler(folder: &Folder<'_>, file: &str) -> Result<Pooler> {
    let config = folder.json(file)?.unwrap_or_default();
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
            folder.name(file),
            "one pooling mode: mean, cls or max tokens",
            chosen.join(", "),
        )),
    }
}

/// Tokens that a sentence is cut to, where a sentence-transformers directory says so.
pub(crate) fn max_tokens(folder: &Folder<'_>) -> Result<Option<usize>> {
    let config = folder.json("sentence_bert_config.json")?;
    let length = config.as_ref().and_then(|c| c.get("max_seq_length")).and_then(Value::as_u64);
    Ok(length.and_then(|length| usize::try_from(length).ok()))
}

/// The mask token, if the directory names it.
pub(crate) fn mask_token(folder: &Folder<'_>) -> Result<Option<String>> {
    for file in ["special_tokens_map.json", "tokenizer_config.json"] {
        let json = folder.json(file)?;
        let token = json.as_ref().and_then(|json| json.get("mask_token"));
        let text =
            token.and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        if let Some(text) = text {
            return Ok(Some(text.to_owned()));
        }
    }
    Ok(None)
}

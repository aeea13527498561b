//! Settings of a model folder besides its weights: how sentences are pooled, and how long they may
//! be.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::model::{Pooler, is_plain_path};
use crate::text::folder::Folder;

/// Returns how a sentence becomes a vector, and whether the vector is normalised, as a
/// sentence-transformers folder says. Other folders get the mean over the tokens, normalised.
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
                    return Err(Error::config(name, "a path below the model", path));
                }
                found.0 = pooler(folder, &format!("{}/config.json", path.trim_end_matches('/')))?;
            }
            _ => {
                let expected = "Transformer, Pooling and Normalize modules";
                return Err(Error::config(name, expected, kind));
            }
        }
    }
    Ok(found)
}

fn pooler(folder: &Folder<'_>, file: &str) -> Result<Pooler> {
    let name = folder.name(file);
    let Some(config) = folder.json(file)? else {
        let expected = "the pooling settings that modules.json refers to";
        return Err(Error::config(name, expected, "no such file"));
    };
    if config.get("include_prompt") == Some(&Value::Bool(false)) {
        let expected = "true (nothing else is implemented)";
        return Err(Error::config(format!("include_prompt in {name}"), expected, "false"));
    }
    // Newer files name one mode or several; older files have a flag for each mode.
    let modes: Vec<String> = match config.get("pooling_mode") {
        Some(Value::String(mode)) => vec![mode.clone()],
        Some(Value::Array(modes)) => {
            modes.iter().map(|mode| mode.as_str().map_or(mode.to_string(), str::to_owned)).collect()
        }
        Some(other) if !other.is_null() => vec![other.to_string()],
        _ => {
            let flags = config.as_object().into_iter().flatten();
            let on = flags.filter(|(_, value)| *value == &Value::Bool(true));
            let modes: Vec<_> =
                on.filter_map(|(key, _)| key.strip_prefix("pooling_mode_")).collect();
            let mean = config.get("pooling_mode_mean_tokens");
            match modes[..] {
                // The flag of the mean defaults to true.
                [] if mean.is_none() => vec!["mean".into()],
                _ => modes.into_iter().map(str::to_owned).collect(),
            }
        }
    };
    let modes: Vec<_> = modes.iter().map(|mode| mode.trim_end_matches("_tokens")).collect();
    match modes[..] {
        ["mean"] => Ok(Pooler::MeanUnmasked),
        ["cls" | "cls_token"] => Ok(Pooler::ZeroIndex),
        ["max"] => Ok(Pooler::Max),
        _ => {
            let expected = "mean, cls or max (nothing else is implemented)";
            let found = if modes.is_empty() { "none".into() } else { modes.join(", ") };
            Err(Error::config(format!("pooling mode in {name}"), expected, found))
        }
    }
}

/// How texts are prepared, as far as the folder says so.
pub(crate) struct Preparation {
    /// The number of tokens that a sentence is cut to.
    pub(crate) max_tokens: Option<usize>,
    /// Whether a text that is too long loses its beginning instead of its end.
    pub(crate) truncates_left: Option<bool>,
    /// Whether texts are lower-cased before the tokenizer sees them.
    pub(crate) lower_case: bool,
}

impl Preparation {
    /// Reads `sentence_bert_config.json` and `tokenizer_config.json`.
    pub(crate) fn read(folder: &Folder<'_>) -> Result<Self> {
        const SENTENCE: &str = "sentence_bert_config.json";
        const TOKENIZER: &str = "tokenizer_config.json";
        let sentence = folder.json(SENTENCE)?.unwrap_or_default();
        let tokenizer = folder.json(TOKENIZER)?.unwrap_or_default();
        let bad = |file: &str, key: &str, expected: &str, found: &Value| {
            Error::config(format!("{key} in {}", folder.name(file)), expected, found)
        };
        // transformers writes 1e30 for "no limit".
        let length = |file: &str, json: &Value, key: &str| match json.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(found) => match (found.as_u64(), found.as_f64()) {
                (Some(length), _) => Ok(usize::try_from(length).ok()),
                (None, Some(length)) if length > 1e9 => Ok(None),
                _ => Err(bad(file, key, "a whole number", found)),
            },
        };
        let max_tokens = match length(SENTENCE, &sentence, "max_seq_length")? {
            Some(length) => Some(length),
            None => length(TOKENIZER, &tokenizer, "model_max_length")?,
        };
        let truncates_left = match tokenizer.get("truncation_side") {
            None | Some(Value::Null) => None,
            Some(side) => match side.as_str() {
                Some("left") => Some(true),
                Some("right") => Some(false),
                _ => return Err(bad(TOKENIZER, "truncation_side", "left or right", side)),
            },
        };
        let lower_case = sentence.get("do_lower_case") == Some(&Value::Bool(true));
        Ok(Self { max_tokens, truncates_left, lower_case })
    }
}

/// Returns the mask token, if the folder names it.
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

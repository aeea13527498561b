//! The index of a folder of golden cases.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// A case of `index.json`.
#[derive(Deserialize)]
pub(crate) struct IndexEntry {
    pub(crate) path: String,
    pub(crate) kind: String,
    /// The batches of a checkpoint.
    #[serde(default)]
    pub(crate) cases: Vec<String>,
    /// The tokenizer of the case, if it has one.
    #[serde(default)]
    #[cfg_attr(not(feature = "text"), allow(dead_code, reason = "texts are a feature"))]
    pub(crate) tokenizer: Option<String>,
}

/// Reads one of the folder's JSON files.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let io = |source| Error::Io { path: path.into(), source };
    let text = std::fs::read(path).map_err(io)?;
    serde_json::from_slice(&text).map_err(|cause| {
        Error::input(
            path.display().to_string(),
            "a golden index or case description in JSON",
            cause,
        )
    })
}

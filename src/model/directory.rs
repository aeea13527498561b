//! A model's folder: the files of its weights, and the folder that it builds on.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

/// The folder that a model's configuration names as its base: a plain name, beside the model's own.
pub(crate) fn base(dir: &Path) -> Result<Option<PathBuf>> {
    let config = dir.join("config.json");
    let json: serde_json::Value = serde_json::from_slice(&read(&config)?).unwrap_or_default();
    let bad = |found: &serde_json::Value| {
        let what = format!("base in {}", config.display());
        Err(Error::mismatch(what, "the name of a folder beside the model's", found))
    };
    match json.get("base") {
        None => Ok(None),
        Some(found) => match found.as_str() {
            Some(name) if is_plain(name) => Ok(Some(dir.join("..").join(name))),
            _ => bad(found),
        },
    }
}

/// Whether a name leads nowhere else.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', ':']) && !name.starts_with('.')
}

/// A folder's weights: one file, or the shards of its index.
pub(crate) fn files(dir: &Path) -> Result<Vec<Checkpoint<'static>>> {
    let index = dir.join("model.safetensors.index.json");
    if !dir.join("model.safetensors").exists() && index.exists() {
        shards(&index)?.iter().map(|name| Checkpoint::open(dir.join(name))).collect()
    } else {
        Checkpoint::open(dir.join("model.safetensors")).map(|file| vec![file])
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })
}

/// The files that a sharded checkpoint's index names; plain names only, beside the index.
fn shards(index: &Path) -> Result<Vec<String>> {
    let bad = |found: String| {
        let expected = "an index with a weight_map from tensors to files beside it";
        Error::mismatch(index.display().to_string(), expected, found)
    };
    let json: serde_json::Value =
        serde_json::from_slice(&read(index)?).map_err(|cause| bad(cause.to_string()))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| bad("no weight_map".into()))?;
    let mut names = Vec::new();
    for name in map.values() {
        match name.as_str() {
            Some(file) if is_plain(file) => names.push(file.to_owned()),
            _ => return Err(bad(name.to_string())),
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

//! The folder of a model: the files of its weights, and the folder that it builds on.

use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::files::{LONGEST_JSON, read_file};
use crate::model::names::is_plain_name;

/// Returns the folder that a model's configuration names as its `base`, if it names one. It is a
/// plain name beside the model's own folder; the model then reads text as its base does.
///
/// # Errors
/// Returns [`Error::Io`] if the file cannot be read, and [`Error::Config`] if the name is not
/// plain.
pub fn base(folder: &Path) -> Result<Option<PathBuf>> {
    let config = folder.join("config.json");
    let json: serde_json::Value = serde_json::from_slice(&read(&config)?).unwrap_or_default();
    let bad = |found: &serde_json::Value| {
        let what = format!("base in {}", config.display());
        Err(Error::config(what, "the name of a folder beside the model's", found))
    };
    match json.get("base") {
        None => Ok(None),
        Some(found) => match found.as_str() {
            Some(name) if is_plain_name(name) => Ok(Some(folder.join("..").join(name))),
            _ => bad(found),
        },
    }
}

/// Advice for weights that are not safetensors.
pub const NEEDS_SAFETENSORS: &str = "pytorch_model.bin only, which may run code when it is read; convert it in Python with \
     AutoModel.from_pretrained(MODEL).save_pretrained(FOLDER), and use FOLDER";

/// Advice for a vocabulary without a tokenizer.
pub const NEEDS_TOKENIZER_JSON: &str = "vocab.txt and no tokenizer.json; make one in Python with \
     AutoTokenizer.from_pretrained(MODEL).save_pretrained(FOLDER), and use FOLDER";

/// Returns a folder's weights: one file, or the shards of its index.
pub(crate) fn files(folder: &Path) -> Result<Vec<Checkpoint<'static>>> {
    let index = folder.join("model.safetensors.index.json");
    if !folder.join("model.safetensors").exists() && index.exists() {
        shards(&index)?.iter().map(|name| Checkpoint::open(folder.join(name))).collect()
    } else {
        let whole = folder.join("model.safetensors");
        if !whole.exists() && folder.join("pytorch_model.bin").exists() {
            let expected = "weights in model.safetensors";
            return Err(Error::config(folder.display().to_string(), expected, NEEDS_SAFETENSORS));
        }
        Checkpoint::open(whole).map(|file| vec![file])
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    read_file(path, LONGEST_JSON)
}

/// Returns the files that the index of a sharded checkpoint (`model.safetensors.index.json`) names.
/// They are plain names beside the index, each once, sorted.
///
/// # Errors
/// Returns [`Error::Io`] if it cannot be read, and [`Error::Config`] if it is not an index or if a
/// name in it is not plain ([`is_plain_name`]).
pub fn shards(index: &Path) -> Result<Vec<String>> {
    shards_in(&index.display().to_string(), &read(index)?)
}

/// Reads an index in memory as [`shards`] does; errors call it `name`.
///
/// # Errors
/// Returns the errors of [`shards`].
pub fn shards_in(name: &str, json: &[u8]) -> Result<Vec<String>> {
    let bad = |found: String| {
        let expected = "an index with a weight_map from tensors to files beside it";
        Error::config(name, expected, found)
    };
    let json: serde_json::Value =
        serde_json::from_slice(json).map_err(|cause| bad(cause.to_string()))?;
    let map = json.get("weight_map").and_then(|map| map.as_object());
    let map = map.ok_or_else(|| bad("no weight_map".into()))?;
    let mut names = Vec::new();
    for name in map.values() {
        match name.as_str() {
            Some(file) if is_plain_name(file) => names.push(file.to_owned()),
            _ => return Err(bad(name.to_string())),
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

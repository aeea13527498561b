//! Identifies the model in a folder by a hash of everything that its vectors depend on.

use std::path::{Path, PathBuf};

use cmm::model::base;

use crate::error::{Error, Result};

/// Files beside the weights that decide how a text becomes a vector.
const FILES: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer_config.json",
    "config_sentence_transformers.json",
];
const CONFIG: &str = "config.json";
const WEIGHTS: &str = "safetensors";

/// Returns the BLAKE3 hash of a model's configuration, tokenizer, pooling and weights, and of its
/// base model.
///
/// # Errors
/// Returns [`Error::Io`], or [`Error::Model`] if the folder is not a model.
pub fn fingerprint(folder: &Path) -> Result<String> {
    let mut hash = blake3::Hasher::new();
    add(folder, &mut hash)?;
    if let Some(base) = base(folder)? {
        add(&base, &mut hash)?;
    }
    Ok(hash.finalize().to_hex().to_string())
}

fn add(folder: &Path, hash: &mut blake3::Hasher) -> Result<()> {
    let mut files: Vec<PathBuf> = FILES.iter().map(|file| folder.join(file)).collect();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == WEIGHTS) {
            files.push(path);
        } else if path.is_dir() {
            // Poolings have such a folder.
            files.push(path.join(CONFIG));
        }
    }
    files.retain(|file| file.is_file());
    files.sort();
    for path in files {
        let (file, length) = cmm::open_file(&path)?;
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        hash.update(name.as_bytes()).update(&[0]).update(&length.to_le_bytes());
        hash.update_reader(file).map_err(Error::io(&path))?;
    }
    Ok(())
}

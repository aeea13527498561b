//! A model's files, on disk or in memory.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::files::{LONGEST_JSON, LONGEST_TOKENIZER, read_file};
use crate::model::{EncoderConfig, EncoderWeights};

/// A model's files by their names in its folder (`config.json`, `1_Pooling/config.json`), for
/// places that have no disk.
pub type ModelFiles = HashMap<String, Vec<u8>>;

/// The place of a model's files.
pub(crate) enum Folder<'f> {
    Disk(PathBuf),
    Memory(&'f ModelFiles),
}

impl Folder<'_> {
    /// Returns a file's name for messages.
    pub(crate) fn name(&self, file: &str) -> String {
        match self {
            Self::Disk(folder) => folder.join(file).display().to_string(),
            Self::Memory(_) => file.into(),
        }
    }

    /// Returns whether there is such a file.
    pub(crate) fn has(&self, file: &str) -> bool {
        match self {
            Self::Disk(folder) => folder.join(file).is_file(),
            Self::Memory(files) => files.contains_key(file),
        }
    }

    /// Reads a file.
    pub(crate) fn read(&self, file: &str) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Disk(folder) => {
                let path = folder.join(file);
                let longest = match file {
                    "tokenizer.json" => LONGEST_TOKENIZER,
                    _ => LONGEST_JSON,
                };
                read_file(path, longest).map(Cow::Owned)
            }
            Self::Memory(files) => in_memory(files, file).map(Cow::Borrowed),
        }
    }

    /// Reads a small JSON file, if it is there.
    pub(crate) fn json(&self, file: &str) -> Result<Option<Value>> {
        let bytes = match self.read(file) {
            Ok(bytes) => bytes,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let parsed = serde_json::from_slice(&bytes);
        parsed.map(Some).map_err(|cause| Error::config(self.name(file), "JSON", cause))
    }
}

impl<'f> EncoderWeights<'f> {
    /// Reads `config.json` and `model.safetensors` from memory, as [`EncoderWeights::open`] reads a
    /// folder. A `base` is not supported here.
    ///
    /// # Errors
    /// Returns the errors of [`EncoderWeights::open`].
    pub fn from_files(files: &'f ModelFiles) -> Result<Self> {
        let config = EncoderConfig::from_json("config.json", in_memory(files, "config.json")?)?;
        let weights = in_memory(files, "model.safetensors")?;
        Self::new(config, vec![Checkpoint::from_bytes("model.safetensors", weights)?])
    }
}

fn in_memory<'f>(files: &'f ModelFiles, file: &str) -> Result<&'f [u8]> {
    let missing = || Error::Io { path: file.into(), source: std::io::ErrorKind::NotFound.into() };
    files.get(file).map(Vec::as_slice).ok_or_else(missing)
}

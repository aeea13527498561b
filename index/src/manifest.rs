//! `manifest.json`: the description of an index and of its other files.

use std::path::{Path, PathBuf};

use cmm::LONGEST_JSON;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::precision::Precision;

/// The name of the file.
pub(crate) const MANIFEST: &str = "manifest.json";
const FORMAT: &str = "cmm-index";
const VERSION: u32 = 1;
/// The number of digits of a file's hash in its name.
const HASH_IN_NAME: usize = 16;

/// The model that made vectors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelId {
    /// The name of the model.
    pub name: String,
    /// The [`fingerprint`](crate::fingerprint) of its folder.
    pub fingerprint: String,
}

/// The contents of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Texts,
    Ends,
    Vectors,
    Places,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Texts, Self::Ends, Self::Vectors, Self::Places];

    fn name(self) -> &'static str {
        match self {
            Self::Texts => "texts",
            Self::Ends => "ends",
            Self::Vectors => "vectors",
            Self::Places => "places",
        }
    }

    /// Returns whether a file belongs to an index, in any of its states.
    pub(crate) fn owns(file: &str) -> bool {
        let hash =
            Self::ALL.iter().find_map(|kind| file.strip_prefix(kind.name())?.strip_prefix('-'));
        let hash = hash.and_then(|rest| rest.strip_suffix(".bin"));
        hash.is_some_and(|h| h.len() == HASH_IN_NAME && h.bytes().all(|b| b.is_ascii_hexdigit()))
    }
}

/// A data file. Its hash is part of its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Data {
    pub(crate) bytes: u64,
    pub(crate) blake3: String,
}

impl Data {
    /// Returns the file's name. Its part of the hash has only digits that a hash can have.
    pub(crate) fn file(&self, kind: Kind) -> String {
        let hash: String =
            self.blake3.chars().filter(char::is_ascii_hexdigit).take(HASH_IN_NAME).collect();
        format!("{}-{hash}.bin", kind.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: String,
    version: u32,
    pub(crate) model: ModelId,
    /// The prompt before each text.
    pub(crate) prompt: String,
    pub(crate) width: usize,
    pub(crate) precision: Precision,
    /// The names of the files that contain the texts.
    pub(crate) files: Vec<String>,
    pub(crate) texts: Data,
    pub(crate) ends: Data,
    pub(crate) vectors: Data,
    pub(crate) places: Data,
}

/// The fields that every version of a manifest has.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// Returns whether a folder is an index, of this or of another version, whole or damaged.
pub fn is_index(dir: &Path) -> bool {
    let head = cmm::read_file(Manifest::path(dir), LONGEST_JSON).ok();
    let head = head.and_then(|bytes| serde_json::from_slice::<Head>(&bytes).ok());
    head.is_some_and(|head| head.format == FORMAT)
}

impl Manifest {
    pub(crate) fn new(
        (model, prompt): (ModelId, String),
        (width, precision): (usize, Precision),
        files: Vec<String>,
        [texts, ends, vectors, places]: [Data; 4],
    ) -> Self {
        let format = FORMAT.into();
        Self {
            format,
            version: VERSION,
            model,
            prompt,
            width,
            precision,
            files,
            texts,
            ends,
            vectors,
            places,
        }
    }

    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(MANIFEST)
    }

    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = Self::path(dir);
        let bytes = cmm::read_file(&path, LONGEST_JSON)?;
        // Kind and version are read first, because another version may have other fields.
        let expected = format!("the manifest of an index of version {VERSION}");
        let bad = |found: &dyn ToString| Error::damaged(&path, &expected, found.to_string());
        let head: Head = serde_json::from_slice(&bytes).map_err(|cause| bad(&cause))?;
        if head.format != FORMAT || head.version != VERSION {
            return Err(bad(&format!("{} of version {}", head.format, head.version)));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|cause| bad(&cause))?;
        let counts = [
            manifest.ends.bytes.is_multiple_of(8),
            manifest.places.bytes.is_multiple_of(12),
            manifest.width > 0 && manifest.rows() > 0,
            manifest.vector_bytes() == Some(manifest.vectors.bytes),
        ];
        if counts.contains(&false) {
            return Err(bad(&"sizes that contradict each other"));
        }
        Ok(manifest)
    }

    /// Returns the number of distinct texts.
    pub(crate) fn rows(&self) -> u64 {
        self.ends.bytes / 8
    }

    fn vector_bytes(&self) -> Option<u64> {
        let row = u64::try_from(self.width).ok()?.checked_mul(self.precision.bytes() as u64)?;
        self.rows().checked_mul(row)
    }

    pub(crate) fn data(&self, kind: Kind) -> &Data {
        match kind {
            Kind::Texts => &self.texts,
            Kind::Ends => &self.ends,
            Kind::Vectors => &self.vectors,
            Kind::Places => &self.places,
        }
    }
}

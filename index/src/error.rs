//! What can go wrong with an index.

use std::path::PathBuf;

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A folder that is no index.
    #[error(
        "{dir}: expected an index, or a folder that is empty or not there yet; found a folder without manifest.json"
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
    },
    /// A file of the index is not what it was when it was written.
    #[error(
        "{path}: the index is damaged: expected {expected}, found {found}; make it again with cmm index"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
    },
    /// Vectors of another model say nothing about this one's.
    #[error(
        "{dir}: the index is of model {made_by}, not of {asked}, or of other weights of that name; use its model, or make another index"
    )]
    OtherModel {
        /// The index.
        dir: PathBuf,
        /// Name of the model that made it.
        made_by: String,
        /// Name of the model that is asked for.
        asked: String,
    },
    /// Another process is writing it.
    #[error("{dir}: another process is writing this index; wait for it")]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// What a caller brought cannot be used.
    #[error("{what}: expected {expected}, found {found}")]
    Input {
        /// The thing that is off.
        what: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] cmm::Error),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn damaged(
        path: impl Into<PathBuf>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let [expected, found] = [expected.to_string(), found.to_string()];
        Self::Damaged { path: path.into(), expected, found }
    }

    pub(crate) fn input(
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let [expected, found] = [expected.to_string(), found.to_string()];
        Self::Input { what: what.into(), expected, found }
    }
}

//! The error type of an index.

use std::path::PathBuf;

/// The result of a function of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The folder is not an index.
    #[error(
        "{dir}: expected an index, or a folder that is empty or does not exist yet; found a folder without manifest.json"
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
    },
    /// A file of the index has changed since it was written.
    #[error(
        "{path}: the index is damaged: expected {expected}, found {found}; rebuild it with cmm index"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The contents that were expected.
        expected: String,
        /// The contents that were found.
        found: String,
    },
    /// The index is of another model, whose vectors cannot be compared with this one's.
    #[error(
        "{dir}: the index is of model {made_by}, not of {asked}, or of other weights of that name; use its model, or make another index"
    )]
    OtherModel {
        /// The folder of the index.
        dir: PathBuf,
        /// The name of the model that made it.
        made_by: String,
        /// The name of the model that was asked for.
        asked: String,
    },
    /// Another process is writing the index.
    #[error("{dir}: another process is writing this index; wait for it")]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// The caller's input cannot be used.
    #[error("{what}: expected {expected}, found {found}")]
    Input {
        /// The input.
        what: String,
        /// The input that was expected.
        expected: String,
        /// The input that was found.
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

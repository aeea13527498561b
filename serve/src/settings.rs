//! The settings that a server is started with.

use std::time::Duration;

use cmm::FastBert;

/// A function that loads a model, at the start and again after its device was lost. The operator
/// sees the text of an error.
pub type Load = Box<dyn Fn() -> Result<FastBert, String> + Send>;

/// A model to serve.
pub struct ModelSource {
    /// The name of the model in requests.
    pub name: String,
    /// The function that loads it.
    pub load: Load,
}

/// The limits of one request, and of all requests together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// The most bytes of a request's body.
    pub body_bytes: usize,
    /// The most texts of a request.
    pub texts: usize,
    /// The most requests that are being read, wait or run.
    pub requests: usize,
    /// The most tokens of a model's requests that wait or run.
    pub tokens: usize,
    /// The most open connections.
    pub connections: usize,
    /// The time that a client may take to send a request.
    pub read: Duration,
    /// The time that accepted requests may take to be answered once the server is told to stop.
    pub stop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            texts: 2048,
            requests: 512,
            tokens: 1 << 19,
            connections: 4096,
            read: Duration::from_secs(30),
            stop: Duration::from_secs(60),
        }
    }
}

/// The settings of a server.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// The bearer key that every request must have, if there is one.
    pub key: Option<String>,
    /// The origins whose pages may send requests; empty means that no page of another origin may.
    pub cors: Vec<String>,
    /// Whether texts that are too long are cut if a request to a route of OpenAI or
    /// text-embeddings-inference does not say.
    pub cut: bool,
    /// The limits.
    pub limits: Limits,
}

/// The reason why a server stopped or did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A model could not be loaded at the start.
    #[error("{name}: {reason}")]
    Load {
        /// The model.
        name: String,
        /// The reason.
        reason: String,
    },
    /// A setting has an invalid value.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        what: String,
        /// The value that was expected.
        expected: String,
        /// The value that was found.
        found: String,
    },
    /// The operating system refused an operation.
    #[error("{what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Accepted requests were not answered in time after the server was told to stop.
    #[error("stopped with {connections} connections unanswered after {seconds} s")]
    Unanswered {
        /// The number of unanswered connections.
        connections: usize,
        /// The seconds that they had.
        seconds: u64,
    },
}

//! What a server is started with.

use std::time::Duration;

use cmm::FastBert;

/// Loads a model: at the start, and again after its device was lost. The text of an error is told to the operator.
pub type Load = Box<dyn Fn() -> Result<FastBert, String> + Send>;

/// A model to serve.
pub struct ModelSource {
    /// What requests call it.
    pub name: String,
    /// How it is loaded.
    pub load: Load,
}

/// What one request may ask for, and all of them together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Texts of a request.
    pub texts: usize,
    /// Requests that are being read, wait or run.
    pub requests: usize,
    /// Tokens of a model's requests that wait or run.
    pub tokens: usize,
    /// Open connections.
    pub connections: usize,
    /// How long a client may take to send a request.
    pub read: Duration,
    /// How long requests that were accepted may take to be answered once the server is told to stop.
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

/// How a server behaves.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Settings {
    /// What every request must bring as bearer, if anything.
    pub key: Option<String>,
    /// Origins whose pages may ask; none: no page of another origin.
    pub cors: Vec<String>,
    /// Whether texts that are too long are cut where a request of OpenAI's or text-embeddings-inference's does not say.
    pub cut: bool,
    /// The limits.
    pub limits: Limits,
}

/// What stopped a server, or kept it from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A model could not be loaded at the start.
    #[error("{name}: {reason}")]
    Load {
        /// The model.
        name: String,
        /// Why.
        reason: String,
    },
    /// A setting that cannot be.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// Which.
        what: String,
        /// What it should have been.
        expected: String,
        /// What it was.
        found: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Requests that were accepted were not answered in time after the server was told to stop.
    #[error("stopped with {connections} connections unanswered after {seconds} s")]
    Unanswered {
        /// How many.
        connections: usize,
        /// How long they had.
        seconds: u64,
    },
}

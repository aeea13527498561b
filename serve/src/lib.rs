//! FastBERT sentence encoders over HTTP, with the routes of OpenAI, text-embeddings-inference,
//! Cohere and Ollama.
//!
//! The texts of a request are tokenized first. Then they wait in a queue that is bounded in tokens.
//! Each model has a thread that takes them from the queue and runs them in batches without padding,
//! so that a text's vector does not depend on its neighbours.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cmm::{Device, FastBert};
//! use cmm_serve::{ModelSource, Settings};
//!
//! let load = || {
//!     let model = FastBert::load(Device::Host, "models/fastminilm");
//!     pollster::block_on(model).map_err(|error| error.to_string())
//! };
//! let models = vec![ModelSource { name: "fastminilm".into(), load: Box::new(load) }];
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! let stop = std::future::pending(); // a future that ends when the server should
//! cmm_serve::serve(listener, models, None, Settings::default(), stop).await?;
//! # Ok(())
//! # }
//! ```

// wgpu's types are nested deeply, and a future that holds them must be Send.
#![recursion_limit = "512"]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod body;
mod dialect;
mod embedding;
mod errors;
mod input;
mod listen;
mod meter;
mod metrics;
mod model;
mod problem;
mod queue;
mod rerank;
mod router;
mod routes;
mod schema;
mod settings;
mod state;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::JoinHandle;
use std::time::Duration;

use cmm_index::Index;
pub use settings::{Limits, Load, ModelSource, ServeError, Settings};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use crate::metrics::Metrics;
use crate::model::{Served, StatusCell};
use crate::queue::Queue;
use crate::state::{Shared, State};
use crate::worker::Worker;

/// The time between two summaries of measurements. Until then every value of a histogram is kept.
const UPKEEP: Duration = Duration::from_secs(5);
/// The time that a model's thread may take to end.
const LONGEST_END: Duration = Duration::from_secs(10);

/// The index that `/search` searches.
pub struct SearchSource {
    /// The place of the index's model among the models, from 0.
    pub model: usize,
    /// The index.
    pub index: Index,
}

/// Returns how many texts are tokenized at once.
pub(crate) fn tokenizers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Listens at once and loads the models meanwhile. It answers requests until `stop` comes, and then
/// those that were already accepted.
///
/// # Errors
/// Returns [`ServeError::Load`] if a model cannot be loaded at the start; [`ServeError::Setting`];
/// [`ServeError::Io`]; [`ServeError::Unanswered`] if answering the last requests took too long.
pub async fn serve(
    listener: TcpListener,
    models: Vec<ModelSource>,
    search: Option<SearchSource>,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    check(&models, &settings)?;
    let limits = &settings.limits;
    let metrics = Arc::new(Metrics::new());
    let tokenizers = Arc::new(Semaphore::new(tokenizers()));
    let mut served = Vec::new();
    let mut threads = Vec::new();
    let mut loading = Vec::new();
    for source in models {
        let name = source.name.clone();
        let queue = Arc::new(Queue::new(limits.tokens));
        let status = StatusCell::new();
        let worker = Worker {
            source,
            status: status.clone(),
            queue: queue.clone(),
            metrics: metrics.clone(),
        };
        let (told, first) = oneshot::channel();
        // The receiver may be gone.
        let work = move || worker.run(|result| drop(told.send(result)));
        let thread = std::thread::Builder::new().name(format!("model {name}")).spawn(work);
        threads.push(thread.map_err(|source| ServeError::Io { what: "a thread".into(), source })?);
        loading.push((name.clone(), first));
        let (tokenizers, most_texts) = (tokenizers.clone(), limits.texts);
        served.push(Served { name, status, queue, tokenizers, most_texts });
    }
    let shared: Shared = Arc::new(State {
        models: served,
        slots: Arc::new(Semaphore::new(limits.requests)),
        index: search.map(|search| (search.model, Arc::new(search.index))),
        stopping: AtomicBool::new(false),
        running: AtomicUsize::new(0),
        metrics,
        settings,
    });
    let router = router::router(&shared)?;
    let handle = shared.metrics.handle();
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            handle.run_upkeep();
        }
    });
    let loaded = async {
        for (name, first) in loading {
            let ended = || Err("the thread that loads it ended".into());
            first
                .await
                .unwrap_or_else(|_| ended())
                .map_err(|reason| ServeError::Load { name, reason })?;
        }
        Ok(())
    };
    let failed = async {
        match loaded.await {
            Err(error) => error,
            Ok(()) => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = listen::listen(listener, router, &shared, stop) => result,
        error = failed => Err(error),
    };
    upkeep.abort();
    shared.models.iter().for_each(|model| model.queue.end());
    end(threads).await;
    result
}

fn check(models: &[ModelSource], settings: &Settings) -> Result<(), ServeError> {
    let bad = |what: &str, expected: &str, found: String| {
        Err(ServeError::Setting { what: what.into(), expected: expected.into(), found })
    };
    if models.is_empty() {
        return bad("models", "at least one", "none".into());
    }
    for (index, model) in models.iter().enumerate() {
        if models[..index].iter().any(|other| other.name == model.name) {
            return bad("names of models", "distinct names", format!("{} twice", model.name));
        }
    }
    if settings.key.as_ref().is_some_and(|key| key.trim().is_empty()) {
        return bad("the key", "a text that is not empty", "an empty one".into());
    }
    let limits = &settings.limits;
    for (what, value) in [
        ("bytes of a body", limits.body_bytes),
        ("texts of a request", limits.texts),
        ("requests at once", limits.requests),
        ("tokens that wait", limits.tokens),
        ("connections", limits.connections),
    ] {
        if value == 0 || value > Semaphore::MAX_PERMITS {
            return bad(what, "at least 1", value.to_string());
        }
    }
    Ok(())
}

/// Waits for the models' threads, so that no device is in use when the process ends. A thread that
/// is still loading is not waited for long.
async fn end(threads: Vec<JoinHandle<()>>) {
    let joined = tokio::task::spawn_blocking(move || {
        for thread in threads {
            let _ = thread.join();
        }
    });
    if tokio::time::timeout(LONGEST_END, joined).await.is_err() {
        tracing::warn!("a model's thread does not end");
    }
}

//! The state that all requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use cmm_index::Index;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::model::Served;
use crate::problem::{Kind, Problem};
use crate::settings::Settings;

/// The state that all requests share.
pub(crate) type Shared = Arc<State>;

pub(crate) struct State {
    pub(crate) settings: Settings,
    /// The models, at least one.
    pub(crate) models: Vec<Served>,
    pub(crate) metrics: Arc<Metrics>,
    /// A permit for each request that may be in the server at once.
    pub(crate) slots: Arc<Semaphore>,
    /// The index that `/search` searches, with the place of its model among the models.
    pub(crate) index: Option<(usize, Arc<Index>)>,
    /// Whether the server is stopping. Answers then close their connections.
    pub(crate) stopping: AtomicBool,
    /// The number of requests that arrived, whole or in part, and have no answer yet.
    pub(crate) running: AtomicUsize,
}

impl State {
    /// Returns the model of this name, or the first one if no name is given.
    pub(crate) fn model(&self, name: Option<&str>) -> Result<&Served, Problem> {
        let Some(name) = name else {
            return self.models.first().ok_or_else(|| Problem::new(Kind::Internal, "no model"));
        };
        let found = self.models.iter().find(|model| model.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            let message =
                format!("no model `{name}` is served here; expected {}", names.join(" or "));
            Problem::new(Kind::NotFound, message).about("model")
        })
    }
}

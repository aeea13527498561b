//! Measures where the time of a request goes. The times are sent in headers of the answer, counted,
//! and logged.

use std::time::{Duration, Instant};

use axum::Json;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::metrics::Metrics;
use crate::model::Tokens;

/// The measurements of one request.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    pub(crate) since: Instant,
    /// Whether the request has several texts.
    several: bool,
    pub(crate) characters: usize,
    pub(crate) tokens: usize,
    pub(crate) cut: usize,
    pub(crate) tokenization: Duration,
    pub(crate) queue: Duration,
    pub(crate) inference: Duration,
}

impl Meter {
    /// Counts the request and starts the clock.
    pub(crate) fn start(metrics: &Metrics, several: bool) -> Self {
        metrics.asked(several);
        Self {
            since: Instant::now(),
            several,
            characters: 0,
            tokens: 0,
            cut: 0,
            tokenization: Duration::ZERO,
            queue: Duration::ZERO,
            inference: Duration::ZERO,
        }
    }

    pub(crate) fn tokenized(&mut self, time: Duration, tokens: &Tokens) {
        self.tokenization += time;
        self.characters += tokens.characters;
        self.tokens += tokens.tokens;
        self.cut += tokens.cut;
    }

    pub(crate) fn ran(&mut self, queued: Duration, ran: Duration) {
        self.queue += queued;
        self.inference += ran;
    }

    /// Returns the answer with the measurements in milliseconds, as text-embeddings-inference
    /// reports them.
    pub(crate) fn answer(self, metrics: &Metrics, device: &str, body: impl Serialize) -> Response {
        let mut response = Json(body).into_response();
        let total = self.since.elapsed();
        let times = [total, self.tokenization, self.queue, self.inference];
        metrics.answered(self.several, self.tokens, times);
        let headers = response.headers_mut();
        for (name, value) in [
            ("x-compute-time", total.as_millis()),
            ("x-compute-characters", self.characters as u128),
            ("x-compute-tokens", self.tokens as u128),
            ("x-total-time", total.as_millis()),
            ("x-tokenization-time", self.tokenization.as_millis()),
            ("x-queue-time", self.queue.as_millis()),
            ("x-inference-time", self.inference.as_millis()),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
                headers.insert(name, value);
            }
        }
        if let Ok(device) = HeaderValue::from_str(device) {
            headers.insert("x-compute-type", device);
        }
        if self.cut > 0 {
            headers.insert("x-cmm-truncated", HeaderValue::from(self.cut));
        }
        response.extensions_mut().insert(self);
        response
    }
}

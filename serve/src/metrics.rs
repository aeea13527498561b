//! Metrics under the names and with the buckets of text-embeddings-inference, so that its
//! dashboards work.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::dialect::tei_type;
use crate::problem::Kind;

const DURATION_BUCKETS: usize = 35;
const SMALLEST_DURATION: f64 = 0.00001;

/// The kinds of errors that are `err` labels. Nothing that a client sends becomes a label.
const KINDS: [Kind; 6] = [
    Kind::Empty,
    Kind::Tokenizer,
    Kind::Overloaded,
    Kind::Backend,
    Kind::Unavailable,
    Kind::Invalid,
];

pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    /// The requests of one text, and those of several.
    count: [Counter; 2],
    success: [Counter; 2],
    failure: Vec<(&'static str, Counter)>,
    duration: Histogram,
    tokenization: Histogram,
    queue: Histogram,
    inference: Histogram,
    length: Histogram,
}

/// The metrics of one model.
pub(crate) struct ModelMetrics {
    queued: Gauge,
    batch_size: Histogram,
    batch_tokens: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // The steps are computed as text-embeddings-inference does, so the numbers are the same.
        let next = |value: &f64| Some(value * 1.5);
        let durations = std::iter::successors(next(&SMALLEST_DURATION), next);
        let durations: Vec<f64> = durations.take(DURATION_BUCKETS).collect();
        let powers = |count: i32| (0..count).map(|step| 2_f64.powi(step)).collect::<Vec<_>>();
        let buckets = [
            (Matcher::Suffix("duration".into()), durations),
            (Matcher::Full("te_request_input_length".into()), powers(20)),
            (Matcher::Full("te_batch_next_size".into()), powers(13)),
            (Matcher::Full("te_batch_next_tokens".into()), powers(21)),
        ];
        let builder =
            buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (of, values)| {
                // This fails only for an empty list.
                builder.set_buckets_for_metric(of, &values).unwrap_or_default()
            });
        let recorder = builder.build_recorder();
        let counter = |name: &'static str, label: &'static str, value: &'static str| {
            let key = Key::from_parts(name, vec![Label::new(label, value)]);
            recorder.register_counter(&key, &metadata())
        };
        let methods = |name| ["single", "batch"].map(|method| counter(name, "method", method));
        let histogram =
            |name: &'static str| recorder.register_histogram(&Key::from_name(name), &metadata());
        for (name, text) in [
            ("te_request_count", "Requests of one text (single) or several (batch)"),
            ("te_request_success", "Requests that were answered"),
            ("te_request_failure", "Requests that failed, by kind of error"),
            ("te_request_duration", "Seconds from a request's arrival to its answer"),
            ("te_request_tokenization_duration", "Seconds in the tokenizer"),
            ("te_request_queue_duration", "Seconds in the queue"),
            (
                "te_request_inference_duration",
                "Seconds in the batches that contained a part of the request",
            ),
            ("te_request_input_length", "Tokens of a request"),
            ("te_batch_next_size", "Texts of a batch"),
            ("te_batch_next_tokens", "Tokens of a batch"),
        ] {
            recorder.describe_histogram(KeyName::from(name), None::<Unit>, text.into());
        }
        Self {
            count: methods("te_request_count"),
            success: methods("te_request_success"),
            failure: KINDS
                .map(|kind| (tei_type(kind), counter("te_request_failure", "err", label(kind))))
                .into(),
            duration: histogram("te_request_duration"),
            tokenization: histogram("te_request_tokenization_duration"),
            queue: histogram("te_request_queue_duration"),
            inference: histogram("te_request_inference_duration"),
            length: histogram("te_request_input_length"),
            recorder,
        }
    }

    pub(crate) fn model(&self, name: &str) -> ModelMetrics {
        let key = |metric: &'static str| {
            Key::from_parts(metric, vec![Label::new("model", name.to_owned())])
        };
        let histogram = |name| self.recorder.register_histogram(&key(name), &metadata());
        ModelMetrics {
            queued: self.recorder.register_gauge(&key("te_queue_size"), &metadata()),
            batch_size: histogram("te_batch_next_size"),
            batch_tokens: histogram("te_batch_next_tokens"),
        }
    }

    pub(crate) fn handle(&self) -> PrometheusHandle {
        self.recorder.handle()
    }

    pub(crate) fn asked(&self, several: bool) {
        self.count[usize::from(several)].increment(1);
    }

    pub(crate) fn failed(&self, kind: Kind) {
        if let Some((_, counter)) = self.failure.iter().find(|(of, _)| *of == tei_type(kind)) {
            counter.increment(1);
        }
    }

    pub(crate) fn answered(&self, several: bool, tokens: usize, times: [Duration; 4]) {
        self.success[usize::from(several)].increment(1);
        self.length.record(tokens as f64);
        let histograms = [&self.duration, &self.tokenization, &self.queue, &self.inference];
        for (histogram, time) in histograms.into_iter().zip(times) {
            histogram.record(time.as_secs_f64());
        }
    }
}

impl ModelMetrics {
    pub(crate) fn batch(&self, texts: usize, tokens: usize) {
        self.batch_size.record(texts as f64);
        self.batch_tokens.record(tokens as f64);
    }

    pub(crate) fn waiting(&self, requests: usize) {
        self.queued.set(requests as f64);
    }
}

fn metadata() -> Metadata<'static> {
    Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()))
}

/// Returns the label that text-embeddings-inference uses.
fn label(kind: Kind) -> &'static str {
    match tei_type(kind) {
        "Empty" => "empty",
        "Tokenizer" => "tokenizer",
        "Overloaded" => "overloaded",
        "Backend" => "inference",
        "Unhealthy" => "unhealthy",
        _ => "validation",
    }
}

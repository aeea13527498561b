//! Routes of text-embeddings-inference that describe the models and the state of the server.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::errors::TeiErrors;
use crate::problem::{Kind, Problem};
use crate::state::Shared;

/// The choice of a model.
#[derive(Deserialize, IntoParams)]
pub(crate) struct Which {
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
}

/// The description of a model and of its limits.
#[derive(Serialize, ToSchema)]
pub(crate) struct Info {
    model_id: String,
    /// Always null: the revision is not known.
    #[schema(required = true)]
    model_sha: Option<String>,
    model_dtype: &'static str,
    /// `embedding` with its pooling, or `classifier` or `reranker` with their labels.
    #[schema(value_type = Object)]
    model_type: Value,
    max_concurrent_requests: usize,
    max_input_length: usize,
    max_batch_tokens: usize,
    #[schema(required = true)]
    max_batch_requests: Option<usize>,
    max_client_batch_size: usize,
    max_queue_tokens: usize,
    auto_truncate: bool,
    tokenization_workers: usize,
    version: &'static str,
    #[schema(required = true)]
    sha: Option<&'static str>,
    #[schema(required = true)]
    docker_label: Option<&'static str>,
    /// The device that runs the model.
    device: String,
    /// The number of values of a vector.
    dimensions: usize,
    /// The names of all models that are served.
    models: Vec<String>,
    /// How `/rerank` scores: `head`, `cosine`, or `none` if it cannot.
    rerank: &'static str,
}

/// Describes a model.
#[utoipa::path(get, path = "/info", tag = "text-embeddings-inference", params(Which),
    responses((status = 200, body = Info), TeiErrors))]
pub(crate) async fn info(
    State(state): State<Shared>,
    Query(which): Query<Which>,
) -> Result<Json<Info>, Problem> {
    let served = state.model(which.model.as_deref())?;
    let loaded = served.ready()?;
    let encoder = loaded.model.encoder();
    let named = || {
        let labels = (0..loaded.classes.unwrap_or(0)).map(|class| (class, loaded.label(class)));
        let by_id: serde_json::Map<String, Value> =
            labels.clone().map(|(class, label)| (class.to_string(), label.into())).collect();
        let by_label: serde_json::Map<String, Value> =
            labels.map(|(class, label)| (label, class.into())).collect();
        json!({ "id2label": by_id, "label2id": by_label })
    };
    let model_type = match loaded.classes {
        None => json!({ "embedding": { "pooling": loaded.pooling() } }),
        Some(1) => json!({ "reranker": named() }),
        Some(_) => json!({ "classifier": named() }),
    };
    let rerank = match loaded.classes {
        None => "cosine",
        Some(1) => "head",
        Some(_) => "none",
    };
    let limits = &state.settings.limits;
    Ok(Json(Info {
        model_id: served.name.clone(),
        model_sha: None,
        model_dtype: encoder.variant().map_or("float32", |variant| {
            match variant.weights.precision() {
                cmm::Precision::F16 => "float16",
                _ => "float32",
            }
        }),
        model_type,
        max_concurrent_requests: limits.requests,
        max_input_length: loaded.model.tokenizer().longest(),
        max_batch_tokens: loaded.model.batch_tokens(),
        max_batch_requests: None,
        max_client_batch_size: limits.texts,
        max_queue_tokens: limits.tokens,
        auto_truncate: state.settings.cut,
        tokenization_workers: crate::tokenizers(),
        version: env!("CARGO_PKG_VERSION"),
        sha: None,
        docker_label: None,
        device: encoder.gpu().map_or("cpu".into(), |gpu| gpu.info().name.clone()),
        dimensions: encoder.config().hidden,
        models: state.models.iter().map(|model| model.name.clone()).collect(),
        rerank,
    }))
}

/// Reports whether all models can run requests.
#[utoipa::path(get, path = "/health", tag = "text-embeddings-inference",
    responses((status = 200, description = "All models can run requests"), TeiErrors))]
pub(crate) async fn health(State(state): State<Shared>) -> Result<(), Problem> {
    if state.stopping.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(Problem::new(Kind::Unavailable, "the server is stopping"));
    }
    state.models.iter().try_for_each(|model| model.ready().map(|_| ()))
}

/// Returns the metrics in Prometheus' format.
#[utoipa::path(get, path = "/metrics", tag = "text-embeddings-inference",
    responses((status = 200, content_type = "text/plain", body = String), TeiErrors))]
pub(crate) async fn metrics(State(state): State<Shared>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], state.metrics.handle().render()).into_response()
}

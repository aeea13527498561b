//! Ollama's route: `/api/embed`.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::Body;
use crate::embedding::{Run, parts, shaped};
use crate::errors::OllamaErrors;
use crate::input::Texts;
use crate::model::{Cut, Text};
use crate::problem::Problem;
use crate::schema::TextsSchema;
use crate::state::Shared;

/// A request for vectors.
#[derive(Deserialize, ToSchema)]
pub(crate) struct OllamaRequest {
    /// A name of `/v1/models`, with or without `:latest`. The default is the first one.
    model: Option<String>,
    #[schema(value_type = TextsSchema)]
    input: Texts,
    /// Whether a text that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    #[schema(default = true)]
    truncate: Option<bool>,
    /// The number of values of a vector that are kept; these are the first ones.
    #[schema(minimum = 1)]
    dimensions: Option<u32>,
}

/// Vectors of length 1, in the order of their texts.
#[derive(Serialize, ToSchema)]
pub(crate) struct OllamaResponse {
    model: String,
    embeddings: Vec<Vec<f32>>,
    /// The whole time in nanoseconds.
    total_duration: u64,
    /// The time for loading the model in nanoseconds.
    load_duration: u64,
    /// The number of tokens that were read.
    prompt_eval_count: usize,
}

/// Computes vectors of texts.
#[utoipa::path(post, path = "/api/embed", tag = "Ollama", request_body = OllamaRequest,
    responses((status = 200, body = OllamaResponse), OllamaErrors))]
pub(crate) async fn embed(
    State(state): State<Shared>,
    Body(request): Body<OllamaRequest>,
) -> Result<Response, Problem> {
    let Texts { texts, several } = request.input;
    let name = request.model.as_deref().map(|name| name.strip_suffix(":latest").unwrap_or(name));
    let mut run = Run::start(&state, name, "input", texts.len())?;
    let dimensions = run.loaded.dimensions(request.dimensions)?;
    let prompt = run.prompt(None, |own| own.for_texts())?;
    let cut = Cut { allowed: request.truncate.unwrap_or(true), side: None };
    let texts = texts.into_iter().map(Text::One);
    let rows = run.vectors(parts(texts, several, "input", &prompt), cut).await?;
    let embeddings = rows.into_iter().map(|row| shaped(row, dimensions, true)).collect();
    let response = OllamaResponse {
        model: run.served.name.clone(),
        embeddings,
        total_duration: u64::try_from(run.meter.since.elapsed().as_nanos()).unwrap_or(u64::MAX),
        load_duration: 0,
        prompt_eval_count: run.meter.tokens,
    };
    Ok(run.answer(response))
}

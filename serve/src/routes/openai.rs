//! OpenAI's routes: `/v1/embeddings` and `/v1/models`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::Body;
use crate::embedding::{Run, parts, shaped};
use crate::errors::OpenAiErrors;
use crate::input::{Input, TruncationDirection};
use crate::problem::Problem;
use crate::schema::InputSchema;
use crate::state::Shared;

/// A request for vectors.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmbeddingsRequest {
    #[schema(value_type = InputSchema)]
    input: Input,
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
    /// The form in which vectors are written.
    #[serde(default)]
    encoding_format: EncodingFormat,
    /// The number of values of a vector that are kept; these are the first ones, as if the vector
    /// had no others.
    #[schema(minimum = 1)]
    dimensions: Option<u32>,
    /// This is ignored.
    #[allow(dead_code, reason = "part of OpenAI's request")]
    user: Option<String>,
    /// Whether a text that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// The name of a prompt that the model declares.
    prompt_name: Option<String>,
}

/// The form in which vectors are written.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian f32, in base64.
    Base64,
}

/// Vectors in the order of their texts.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingsResponse {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<EmbeddingObject>,
    model: String,
    usage: Usage,
}

/// A text's vector.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbeddingObject {
    #[schema(example = "embedding")]
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// The values of a vector, or their bytes.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

/// The number of tokens that were read.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

/// Computes vectors of texts.
#[utoipa::path(post, path = "/v1/embeddings", tag = "OpenAI", request_body = EmbeddingsRequest,
    responses((status = 200, body = EmbeddingsResponse), OpenAiErrors))]
pub(crate) async fn embeddings(
    State(state): State<Shared>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Response, Problem> {
    let Input { texts, several } = request.input;
    let mut run = Run::start(&state, request.model.as_deref(), "input", texts.len())?;
    let dimensions = run.loaded.dimensions(request.dimensions)?;
    let unit = run.loaded.model.pooling().1;
    let prompt = run.prompt(request.prompt_name.as_deref(), |own| own.for_texts())?;
    let cut = run.cut(request.truncate, request.truncation_direction.map(Into::into));
    let rows = run.vectors(parts(texts, several, "input", &prompt), cut).await?;
    let object = |(index, row)| {
        let vector = shaped(row, dimensions, unit);
        let embedding = match request.encoding_format {
            EncodingFormat::Float => Vector::Float(vector),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
                Vector::Base64(BASE64_STANDARD.encode(bytes))
            }
        };
        EmbeddingObject { object: "embedding", index, embedding }
    };
    let data = rows.into_iter().enumerate().map(object).collect();
    let tokens = run.meter.tokens;
    let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
    let model = run.served.name.clone();
    Ok(run.answer(EmbeddingsResponse { object: "list", data, model, usage }))
}

/// The models that are served.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<ModelObject>,
}

/// A model that is served.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelObject {
    id: String,
    #[schema(example = "model")]
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl ModelObject {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), object: "model", created: 0, owned_by: "cmm" }
    }
}

/// Lists the models.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses((status = 200, body = ModelList), OpenAiErrors))]
pub(crate) async fn models(State(state): State<Shared>) -> Json<ModelList> {
    let data = state.models.iter().map(|model| ModelObject::new(&model.name)).collect();
    Json(ModelList { object: "list", data })
}

/// Returns a model by its name.
#[utoipa::path(get, path = "/v1/models/{model}", tag = "OpenAI", params(("model" = String, Path, description = "Its name")),
    responses((status = 200, body = ModelObject), OpenAiErrors))]
pub(crate) async fn model(
    State(state): State<Shared>,
    Path(model): Path<String>,
) -> Result<Response, Problem> {
    let model = state.model(Some(&model))?;
    Ok(Json(ModelObject::new(&model.name)).into_response())
}

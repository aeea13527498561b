//! Cohere's route `/v1/rerank`, and `/v2/rerank`, which is the same.

use axum::extract::State;
use axum::response::Response;
use cmm::CutSide;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::{Body, object};
use crate::embedding::Run;
use crate::errors::CohereErrors;
use crate::model::Cut;
use crate::problem::Problem;
use crate::rerank::{Rerank, ranked};
use crate::schema::NonEmptyText;
use crate::state::Shared;

/// A request to rank documents.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CohereRequest {
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
    #[schema(value_type = NonEmptyText)]
    query: String,
    #[schema(value_type = Vec<DocumentSchema>, min_items = 1)]
    documents: Vec<Document>,
    /// The most results.
    #[schema(minimum = 1)]
    top_n: Option<u32>,
    return_documents: Option<bool>,
    /// Whether a document that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    #[schema(default = true)]
    truncate: Option<bool>,
}

/// A document.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, or an object with a `text`")]
pub(crate) enum Document {
    Text(String),
    #[serde(deserialize_with = "object")]
    Object(TextField),
}

/// A document's text.
#[derive(Deserialize)]
pub(crate) struct TextField {
    text: String,
}

/// A document: a text, or an object with one.
#[derive(ToSchema)]
#[schema(as = Document)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum DocumentSchema {
    Text(NonEmptyText),
    Object { text: NonEmptyText },
}

/// The documents, the best first.
#[derive(Serialize, ToSchema)]
pub(crate) struct CohereResponse {
    model: String,
    results: Vec<CohereResult>,
    meta: Meta,
}

/// A document's place in the request, and its score.
#[derive(Serialize, ToSchema)]
pub(crate) struct CohereResult {
    index: usize,
    relevance_score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    document: Option<ReturnedDocument>,
}

/// A document's text.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReturnedDocument {
    text: String,
}

/// The cost of the request.
#[derive(Serialize, ToSchema)]
pub(crate) struct Meta {
    tokens: TokenCounts,
}

/// The number of tokens that were read.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenCounts {
    input_tokens: usize,
}

/// Ranks documents by how well they answer a query: by the model's head if it scores pairs,
/// otherwise by the cosine of vectors.
#[utoipa::path(post, path = "/v1/rerank", tag = "Cohere", request_body = CohereRequest,
    responses((status = 200, body = CohereResponse), CohereErrors))]
pub(crate) async fn rerank(
    State(state): State<Shared>,
    Body(request): Body<CohereRequest>,
) -> Result<Response, Problem> {
    let documents = request.documents;
    let mut run = Run::start(&state, request.model.as_deref(), "documents", documents.len())?;
    let top = match request.top_n {
        Some(0) => return Err(Problem::invalid("top_n", "at least 1", 0)),
        Some(top) => top as usize,
        None => documents.len(),
    };
    let cut = Cut { allowed: request.truncate.unwrap_or(true), side: Some(CutSide::Right) };
    let text = |document| match document {
        Document::Text(text) | Document::Object(TextField { text }) => text,
    };
    let texts: Vec<_> = documents.into_iter().map(text).collect();
    let kept = request.return_documents.unwrap_or(false).then(|| texts.clone());
    let rerank = Rerank { query: request.query, texts, field: "documents", raw_scores: false, cut };
    let result = |(index, relevance_score): (usize, f64)| {
        let text = kept.as_ref().and_then(|texts| texts.get(index).cloned());
        CohereResult {
            index,
            relevance_score,
            document: text.map(|text| ReturnedDocument { text }),
        }
    };
    let results = ranked(&mut run, rerank).await?.into_iter().take(top).map(result).collect();
    let meta = Meta { tokens: TokenCounts { input_tokens: run.meter.tokens } };
    let model = run.served.name.clone();
    Ok(run.answer(CohereResponse { model, results, meta }))
}

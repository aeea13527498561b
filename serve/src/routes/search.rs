//! `/search`: finds the texts of an index whose meaning is nearest to a query's.

use axum::extract::State;
use axum::response::Response;
use cmm::normalized;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::Body;
use crate::embedding::{Run, parts};
use crate::errors::TeiErrors;
use crate::input::TruncationDirection;
use crate::model::Text;
use crate::problem::{Kind, Problem};
use crate::schema::NonEmptyText;
use crate::state::Shared;

/// The default number of results, and the largest one.
const TOP: [u32; 2] = [5, 1000];

/// A request to search.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SearchRequest {
    #[schema(value_type = NonEmptyText)]
    query: String,
    /// The most results.
    #[schema(minimum = 1, maximum = 1000, default = 5)]
    top: Option<u32>,
    /// Whether a query that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// The name of a prompt that the model declares.
    prompt_name: Option<String>,
}

/// The texts, the most similar first.
#[derive(Serialize, ToSchema)]
pub(crate) struct SearchResponse {
    results: Vec<SearchResult>,
}

/// A text of the index.
#[derive(Serialize, ToSchema)]
pub(crate) struct SearchResult {
    /// The cosine of its vector and the query's.
    similarity: f64,
    /// The file that contains the text.
    file: String,
    /// The line in that file, from 1.
    line: u32,
    text: String,
}

/// Finds the texts of the index whose meaning is nearest to a query's.
#[utoipa::path(post, path = "/search", tag = "cmm", request_body = SearchRequest,
    responses((status = 200, body = SearchResponse), TeiErrors))]
pub(crate) async fn search(
    State(state): State<Shared>,
    Body(request): Body<SearchRequest>,
) -> Result<Response, Problem> {
    let Some((model, index)) = &state.index else {
        let message = "this server has no index; start it with --index";
        return Err(Problem::new(Kind::NotFound, message));
    };
    let name = state.models.get(*model).map(|model| model.name.as_str());
    let mut run = Run::start(&state, name, "query", 1)?;
    let [usual, most] = TOP;
    let top = request.top.unwrap_or(usual);
    if !(1..=most).contains(&top) {
        return Err(Problem::invalid("top", format!("1 to {most}"), top));
    }
    let prompt = run.prompt(request.prompt_name.as_deref(), |own| own.for_queries())?;
    let cut = run.cut(request.truncate, request.truncation_direction.map(Into::into));
    let query = parts([Text::One(request.query)], false, "query", &prompt);
    let vector = run.vectors(query, cut).await?.pop().unwrap_or_default();
    let index = index.clone();
    let work = move || {
        let found = index.search(&normalized(&vector), top as usize)?;
        let result = |hit: cmm_index::Hit<'_>| SearchResult {
            similarity: hit.similarity,
            file: hit.file.to_owned(),
            line: hit.line,
            text: hit.text.to_owned(),
        };
        Ok::<_, cmm_index::Error>(found.into_iter().map(result).collect())
    };
    let found = tokio::task::spawn_blocking(work).await;
    let found = found.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let results = found.map_err(|error| Problem::new(Kind::Backend, error.to_string()))?;
    Ok(run.answer(SearchResponse { results }))
}

//! Routes of text-embeddings-inference that run a model.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::body::{Body, object, object_or_null};
use crate::embedding::{Run, cosines, parts, shaped};
use crate::errors::TeiErrors;
use crate::input::{Input, Pairs, Texts, TruncationDirection};
use crate::model::Text;
use crate::problem::{Kind, Problem};
use crate::rerank::{Rerank, ranked};
use crate::schema::{InputSchema, NonEmptyText, PairsSchema, TextsSchema};
use crate::state::Shared;

/// A request for vectors.
#[derive(Deserialize, ToSchema)]
pub(crate) struct EmbedRequest {
    #[schema(value_type = InputSchema)]
    inputs: Input,
    /// Whether vectors are divided by their length.
    #[serde(default = "yes")]
    #[schema(default = true)]
    normalize: bool,
    /// Whether a text that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// The name of a prompt that the model declares.
    prompt_name: Option<String>,
    /// The number of values of a vector that are kept; these are the first ones.
    #[schema(minimum = 1)]
    dimensions: Option<u32>,
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
}

fn yes() -> bool {
    true
}

/// Computes vectors of texts.
#[utoipa::path(post, path = "/embed", tag = "text-embeddings-inference", request_body = EmbedRequest,
    responses((status = 200, body = Vec<Vec<f32>>), TeiErrors))]
pub(crate) async fn embed(
    State(state): State<Shared>,
    Body(request): Body<EmbedRequest>,
) -> Result<Response, Problem> {
    let Input { texts, several } = request.inputs;
    let mut run = Run::start(&state, request.model.as_deref(), "inputs", texts.len())?;
    let dimensions = run.loaded.dimensions(request.dimensions)?;
    let prompt = run.prompt(request.prompt_name.as_deref(), |own| own.for_texts())?;
    let cut = run.cut(request.truncate, request.truncation_direction.map(Into::into));
    let rows = run.vectors(parts(texts, several, "inputs", &prompt), cut).await?;
    let vectors: Vec<_> =
        rows.into_iter().map(|row| shaped(row, dimensions, request.normalize)).collect();
    Ok(run.answer(vectors))
}

/// A request for classes.
#[derive(Deserialize, ToSchema)]
pub(crate) struct PredictRequest {
    #[schema(value_type = PairsSchema)]
    inputs: Pairs,
    /// Whether scores are the model's own instead of probabilities.
    #[serde(default)]
    raw_scores: bool,
    /// Whether a text that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
}

/// A class and its score.
#[derive(Serialize, ToSchema)]
pub(crate) struct Prediction {
    score: f64,
    label: String,
}

/// The classes of a text, the likeliest first, or those of several texts.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PredictResponse {
    One(Vec<Prediction>),
    Several(Vec<Vec<Prediction>>),
}

/// Scores the classes of texts, or of pairs of texts.
#[utoipa::path(post, path = "/predict", tag = "text-embeddings-inference", request_body = PredictRequest,
    responses((status = 200, body = PredictResponse), TeiErrors))]
pub(crate) async fn predict(
    State(state): State<Shared>,
    Body(request): Body<PredictRequest>,
) -> Result<Response, Problem> {
    let Pairs { texts, several } = request.inputs;
    let mut run = Run::start(&state, request.model.as_deref(), "inputs", texts.len())?;
    if run.loaded.classes.is_none() {
        let message = format!("{} has no classification head", run.served.name);
        return Err(Problem::new(Kind::Backend, message));
    }
    let cut = run.cut(request.truncate, request.truncation_direction.map(Into::into));
    let rows = run.scores(parts(texts, several, "inputs", ""), cut).await?;
    let loaded = run.loaded.clone();
    let classes = |row: Vec<f32>| {
        let scores = match request.raw_scores {
            true => row.into_iter().map(f64::from).collect(),
            false => loaded.model.encoder().config().probabilities(&row),
        };
        let named = scores.into_iter().enumerate();
        let mut classes: Vec<_> =
            named.map(|(class, score)| Prediction { score, label: loaded.label(class) }).collect();
        classes.sort_by(|a, b| b.score.total_cmp(&a.score));
        classes
    };
    let mut all: Vec<_> = rows.into_iter().map(classes).collect();
    let response = match (several, all.pop()) {
        (false, Some(one)) => PredictResponse::One(one),
        (_, last) => {
            all.extend(last);
            PredictResponse::Several(all)
        }
    };
    Ok(run.answer(response))
}

/// A request to rank texts.
#[derive(Deserialize, ToSchema)]
pub(crate) struct RerankRequest {
    #[schema(value_type = NonEmptyText)]
    query: String,
    #[schema(value_type = Vec<NonEmptyText>, min_items = 1)]
    texts: Vec<String>,
    /// Whether scores are the model's own instead of probabilities. Cosines are always returned as
    /// they are.
    #[serde(default)]
    raw_scores: bool,
    #[serde(default)]
    return_text: bool,
    /// Whether a text that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
}

/// A text's place in the request, and its score.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rank {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    text: Option<String>,
    score: f64,
}

/// Ranks texts by how well they answer a query, the best first: by the model's head if it scores
/// pairs, otherwise by the cosine of vectors.
#[utoipa::path(post, path = "/rerank", tag = "text-embeddings-inference", request_body = RerankRequest,
    responses((status = 200, body = Vec<Rank>), TeiErrors))]
pub(crate) async fn rerank(
    State(state): State<Shared>,
    Body(request): Body<RerankRequest>,
) -> Result<Response, Problem> {
    let mut run = Run::start(&state, request.model.as_deref(), "texts", request.texts.len())?;
    let cut = run.cut(request.truncate, request.truncation_direction.map(Into::into));
    let RerankRequest { query, texts, raw_scores, return_text, .. } = request;
    let kept = return_text.then(|| texts.clone());
    let ranks = ranked(&mut run, Rerank { query, texts, field: "texts", raw_scores, cut }).await?;
    let rank = |(index, score): (usize, f64)| {
        let text = kept.as_ref().and_then(|texts| texts.get(index).cloned());
        Rank { index, text, score }
    };
    let ranks: Vec<_> = ranks.into_iter().map(rank).collect();
    Ok(run.answer(ranks))
}

/// A request for similarities.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SimilarityRequest {
    #[serde(deserialize_with = "object")]
    inputs: SimilarityInputs,
    #[serde(default, deserialize_with = "object_or_null")]
    parameters: Option<SimilarityParameters>,
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
}

/// A sentence, and the sentences that it is compared with.
#[derive(Deserialize, ToSchema)]
pub(crate) struct SimilarityInputs {
    #[schema(value_type = NonEmptyText)]
    source_sentence: String,
    #[schema(value_type = Vec<NonEmptyText>, min_items = 1)]
    sentences: Vec<String>,
}

/// Options of how the sentences are read.
#[derive(Default, Deserialize, ToSchema)]
pub(crate) struct SimilarityParameters {
    /// Whether a text that is too long is cut; the answer then says so in `x-cmm-truncated`.
    /// Otherwise it is an error.
    truncate: Option<bool>,
    truncation_direction: Option<TruncationDirection>,
    /// The name of a prompt that the model declares.
    prompt_name: Option<String>,
}

/// Computes the cosines of a sentence's vector with those of others.
#[utoipa::path(post, path = "/similarity", tag = "text-embeddings-inference", request_body = SimilarityRequest,
    responses((status = 200, body = Vec<f64>), TeiErrors))]
pub(crate) async fn similarity(
    State(state): State<Shared>,
    Body(request): Body<SimilarityRequest>,
) -> Result<Response, Problem> {
    let SimilarityInputs { source_sentence, sentences } = request.inputs;
    let parameters = request.parameters.unwrap_or_default();
    let mut run =
        Run::start(&state, request.model.as_deref(), "inputs.sentences", sentences.len())?;
    let prompt = run.prompt(parameters.prompt_name.as_deref(), |own| own.for_texts())?;
    let cut = run.cut(parameters.truncate, parameters.truncation_direction.map(Into::into));
    let mut all = parts([Text::One(source_sentence)], false, "inputs.source_sentence", &prompt);
    all.extend(parts(sentences.into_iter().map(Text::One), true, "inputs.sentences", &prompt));
    let similarities = cosines(&run.vectors(all, cut).await?);
    Ok(run.answer(similarities))
}

/// A request for tokens.
#[derive(Deserialize, ToSchema)]
pub(crate) struct TokenizeRequest {
    #[schema(value_type = TextsSchema)]
    inputs: Texts,
    /// Whether the template's own tokens are included.
    #[serde(default = "yes")]
    #[schema(default = true)]
    add_special_tokens: bool,
    /// The name of a prompt that the model declares.
    prompt_name: Option<String>,
    /// A name of `/v1/models`. The default is the first one.
    model: Option<String>,
}

/// A token, with the characters of the text that it stands for.
#[derive(Serialize, ToSchema)]
pub(crate) struct SimpleToken {
    id: u32,
    text: String,
    special: bool,
    #[schema(required = true)]
    start: Option<usize>,
    #[schema(required = true)]
    stop: Option<usize>,
}

/// Splits texts into tokens; nothing is cut off.
#[utoipa::path(post, path = "/tokenize", tag = "text-embeddings-inference", request_body = TokenizeRequest,
    responses((status = 200, body = Vec<Vec<SimpleToken>>), TeiErrors))]
pub(crate) async fn tokenize(
    State(state): State<Shared>,
    Body(request): Body<TokenizeRequest>,
) -> Result<Response, Problem> {
    let Texts { texts, several } = request.inputs;
    let mut run = Run::start(&state, request.model.as_deref(), "inputs", texts.len())?;
    let prompt = run.prompt(request.prompt_name.as_deref(), |own| own.for_texts())?;
    if let Some(index) = texts.iter().position(String::is_empty) {
        let field = if several { format!("inputs[{index}]") } else { "inputs".into() };
        let message = format!("`{field}` cannot be an empty text");
        return Err(Problem::new(Kind::Empty, message).about(field));
    }
    let loaded = run.loaded.clone();
    let stopped = || Problem::new(Kind::Unavailable, "the server is stopping");
    let permit = run.served.tokenizers.clone().acquire_owned().await.map_err(|_| stopped())?;
    let special = request.add_special_tokens;
    let work = move || {
        let _permit = permit;
        let tokens =
            |text: &String| loaded.model.tokenizer().tokens(&format!("{prompt}{text}"), special);
        texts.iter().map(tokens).collect::<cmm::Result<Vec<_>>>()
    };
    let tokens = tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?;
    let simple = |token: cmm::Token| SimpleToken {
        id: token.id,
        text: token.text,
        special: token.special,
        start: token.place.map(|(start, _)| start),
        stop: token.place.map(|(_, stop)| stop),
    };
    let tokens = tokens.map_err(|error| Problem::of(&error).about("inputs"))?;
    run.meter.tokens = tokens.iter().map(Vec::len).sum();
    let tokens = tokens.into_iter();
    let tokens: Vec<Vec<_>> = tokens.map(|of| of.into_iter().map(simple).collect()).collect();
    Ok(run.answer(tokens))
}

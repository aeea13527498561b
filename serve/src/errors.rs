//! The shapes of errors, for the OpenAPI document; [`crate::dialect`] writes them.

use std::collections::BTreeMap;

use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response::Response};
use utoipa::{IntoResponses, ToSchema};

/// The statuses of errors, in the words of docs/serve.md.
const STATUSES: [(&str, &str); 12] = [
    ("400", "The body is not JSON, a text is empty, or there is no text"),
    ("401", "The key is missing or wrong"),
    ("404", "There is no such route or model"),
    ("405", "The route has another method"),
    ("408", "The request took too long to arrive"),
    ("413", "The body is too large, there are too many texts or tokens, or a text is too long"),
    ("415", "The content type is not application/json"),
    ("422", "A field is missing or has an impossible value, or the tokenizer fails on a text"),
    ("424", "The model lacks the head that the route needs, or fails on this text"),
    ("429", "Too much is waiting already: try again after Retry-After"),
    ("500", "The server has a fault of its own"),
    (
        "503",
        "The model is being loaded, its device was lost, or memory ran out: try again after Retry-After",
    ),
];

/// OpenAI's shape of an error.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct OpenAiError {
    error: OpenAiErrorBody,
}

/// The details of an error.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct OpenAiErrorBody {
    message: String,
    r#type: String,
    #[schema(required = true)]
    param: Option<String>,
    #[schema(required = true)]
    code: Option<String>,
}

/// The shape of an error in text-embeddings-inference.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct TeiError {
    error: String,
    error_type: TeiErrorType,
}

/// The kinds of errors of text-embeddings-inference.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum TeiErrorType {
    Unhealthy,
    Backend,
    Overloaded,
    Validation,
    Tokenizer,
    Empty,
}

/// Cohere's shape of an error.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct CohereError {
    message: String,
}

/// Ollama's shape of an error.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct OllamaError {
    error: String,
}

fn responses<T: ToSchema>() -> BTreeMap<String, RefOr<Response>> {
    let response = |text: &str| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(T::name()))).build();
        ResponseBuilder::new().description(text).content("application/json", content).build().into()
    };
    STATUSES.iter().map(|(status, text)| ((*status).to_owned(), response(text))).collect()
}

macro_rules! errors {
    ($($name:ident: $body:ty),*) => {
        $(
            /// The error responses of this family of routes.
            pub(crate) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    responses::<$body>()
                }
            }
        )*
    };
}

errors!(OpenAiErrors: OpenAiError, TeiErrors: TeiError, CohereErrors: CohereError, OllamaErrors: OllamaError);

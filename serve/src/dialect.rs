//! The shape in which each family of routes reports an error.

use axum::http::Method;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use serde_json::{Value, json};

use crate::problem::{Kind, Problem};

/// The family of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    /// text-embeddings-inference.
    Tei,
    Cohere,
    Ollama,
}

impl Dialect {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "/v1/rerank" | "/v2/rerank" => Self::Cohere,
            path if path.starts_with("/v1/") => Self::OpenAi,
            path if path.starts_with("/api/") => Self::Ollama,
            _ => Self::Tei,
        }
    }

    fn body(self, problem: &Problem) -> Value {
        let Problem { kind, message, field } = problem;
        match self {
            Self::OpenAi => json!({ "error": {
                "message": message, "type": openai_type(*kind), "param": field, "code": openai_code(problem),
            }}),
            Self::Tei => json!({ "error": message, "error_type": tei_type(*kind) }),
            Self::Cohere => json!({ "message": message }),
            Self::Ollama => json!({ "error": message }),
        }
    }

    /// Writes the body of an error, unless the request was a HEAD.
    pub(crate) fn shape(self, method: &Method, response: &mut Response) {
        let Some(problem) = response.extensions().get::<Problem>() else { return };
        let body = self.body(problem).to_string();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.remove(CONTENT_LENGTH);
        if method != Method::HEAD {
            *response.body_mut() = body.into();
        }
    }
}

fn openai_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthorized => "authentication_error",
        Kind::Overloaded => "rate_limit_error",
        Kind::Unavailable => "service_unavailable_error",
        Kind::Internal | Kind::Backend => "server_error",
        _ => "invalid_request_error",
    }
}

fn openai_code(problem: &Problem) -> Option<&'static str> {
    match (problem.kind, problem.field.as_deref()) {
        (Kind::Unauthorized, _) => Some("invalid_api_key"),
        (Kind::NotFound, Some("model")) => Some("model_not_found"),
        (Kind::TooLarge, Some(_)) => Some("context_length_exceeded"),
        (Kind::Overloaded, _) => Some("rate_limit_exceeded"),
        _ => None,
    }
}

/// Returns the name of a kind in text-embeddings-inference.
pub(crate) fn tei_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Empty => "Empty",
        Kind::Tokenizer => "Tokenizer",
        Kind::Overloaded => "Overloaded",
        Kind::Backend | Kind::Internal => "Backend",
        Kind::Unavailable => "Unhealthy",
        _ => "Validation",
    }
}

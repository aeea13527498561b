//! Why a request is not answered as it was asked: one type, which each family of routes tells in its own shape.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Seconds after which a client may ask again.
const RETRY_AFTER: &str = "1";

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing to do: an empty text, or no text.
    Empty,
    /// The body is no JSON.
    Syntax,
    /// No bearer key, or a wrong one.
    Unauthorized,
    /// No such route or model.
    NotFound,
    /// Not with this method.
    Method,
    /// The client took too long to send it.
    Slow,
    /// A body, text or batch beyond the limits.
    TooLarge,
    /// Another type of content than JSON.
    MediaType,
    /// A value that cannot be.
    Invalid,
    /// A text that the tokenizer fails on.
    Tokenizer,
    /// The model or its device fails on it, or has no such head.
    Backend,
    /// Too much waits already.
    Overloaded,
    /// A fault of this program.
    Internal,
    /// The model is being loaded, or its device was lost.
    Unavailable,
}

impl Kind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Empty | Self::Syntax => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid | Self::Tokenizer => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Backend => StatusCode::FAILED_DEPENDENCY,
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// An answer that is an error.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// The field that is off.
    pub(crate) field: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None }
    }

    /// About this field of the request.
    pub(crate) fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// A field with a value that cannot be.
    pub(crate) fn invalid(
        field: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::new(Kind::Invalid, format!("`{field}`: expected {expected}, found {found}"))
            .about(field)
    }

    /// What the library says of a request.
    pub(crate) fn of(error: &cmm::Error) -> Self {
        let kind = match error {
            cmm::Error::Tokenizer { .. } => Kind::Tokenizer,
            cmm::Error::Input { .. } => Kind::Invalid,
            cmm::Error::OutOfMemory { .. } | cmm::Error::DeviceLost { .. } => Kind::Unavailable,
            _ => Kind::Backend,
        };
        Self::new(kind, error.to_string())
    }
}

/// The bare answer: its body is written by whoever knows the route, in that route's shape.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        let headers = response.headers_mut();
        if matches!(self.kind, Kind::Overloaded | Kind::Unavailable) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

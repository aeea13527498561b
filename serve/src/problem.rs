//! The error of a request. Each family of routes reports it in its own shape.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Seconds after which a client may try again.
const RETRY_AFTER: &str = "1";

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is nothing to do: an empty text, or no text.
    Empty,
    /// The body is not JSON.
    Syntax,
    /// The bearer key is missing or wrong.
    Unauthorized,
    /// The route or the model does not exist.
    NotFound,
    /// The route does not have this method.
    Method,
    /// The client took too long to send the request.
    Slow,
    /// A body, text or batch exceeds the limits.
    TooLarge,
    /// The content type is not JSON.
    MediaType,
    /// A field has an invalid value.
    Invalid,
    /// The tokenizer failed on a text.
    Tokenizer,
    /// The model or its device failed on the request, or the model has no such head.
    Backend,
    /// Too many requests are waiting.
    Overloaded,
    /// This program has a fault.
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

/// An answer that reports an error.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) message: String,
    /// The field that is wrong.
    pub(crate) field: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None }
    }

    /// Names the field of the request that is wrong.
    pub(crate) fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Returns the problem of a field with an invalid value.
    pub(crate) fn invalid(
        field: &str,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::new(Kind::Invalid, format!("`{field}`: expected {expected}, found {found}"))
            .about(field)
    }

    /// Turns an error of the library into a problem of the request.
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

/// Returns the answer without its body. The code that knows the route writes the body in that
/// route's shape.
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

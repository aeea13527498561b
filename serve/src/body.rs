//! The body of a request as JSON, with errors that name the field.

use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::dialect::Dialect;
use crate::problem::{Kind, Problem};
use crate::state::Shared;

/// The JSON body of a request.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Problem> {
        // A page of another origin may send other content types without asking. Ollama's users send
        // what curl calls a form.
        if Dialect::of(request.uri().path()) != Dialect::Ollama && !is_json(&request) {
            let message = "the body must be JSON, with content-type: application/json";
            return Err(Problem::new(Kind::MediaType, message));
        }
        let limits = &shared.settings.limits;
        let too_large = || {
            let message = format!("the body has more than {} bytes", limits.body_bytes);
            Problem::new(Kind::TooLarge, message)
        };
        let read = Limited::new(request.into_body(), limits.body_bytes).collect();
        let body = match tokio::time::timeout(limits.read, read).await {
            Err(_) => {
                let message = format!("the body took more than {} s", limits.read.as_secs());
                return Err(Problem::new(Kind::Slow, message));
            }
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(too_large());
            }
            Ok(Err(error)) => {
                return Err(Problem::new(Kind::Syntax, format!("the body ended early: {error}")));
            }
            Ok(Ok(body)) => body.to_bytes(),
        };
        parsed(&body).map(Self)
    }
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads a JSON object. serde alone would also accept a list of the fields' values.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct ObjectVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }
    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

/// Reads a JSON object like [`object`], or null.
pub(crate) fn object_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    struct OptionVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OptionVisitor<T> {
        type Value = Option<T>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
            formatter.write_str("an object or null")
        }

        fn visit_none<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> Result<Option<T>, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Option<T>, D::Error> {
            object(inner).map(Some)
        }
    }
    deserializer.deserialize_option(OptionVisitor(PhantomData))
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let parsed = object(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    let parsed = parsed.map_err(|error| (track.path().to_string(), error));
    let parsed = parsed.map_err(|(path, inner): (String, serde_json::Error)| {
        if !inner.is_data() {
            return Problem::new(Kind::Syntax, format!("the body is not JSON: {inner}"));
        }
        match path.as_str() {
            "." => Problem::new(Kind::Invalid, inner.to_string()),
            path => Problem::new(Kind::Invalid, format!("`{path}`: {inner}")).about(path),
        }
    })?;
    let end = reader.end();
    end.map_err(|error| Problem::new(Kind::Syntax, format!("the body is not JSON: {error}")))?;
    Ok(parsed)
}

//! All routes, and the layers that every request passes: the shapes of errors, the log, the key,
//! and a slot.

use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, HeaderValue};
use axum::http::{HeaderName, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use subtle::ConstantTimeEq;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::dialect::Dialect;
use crate::errors::{CohereError, OllamaError, OpenAiError, TeiError};
use crate::meter::Meter;
use crate::problem::{Kind, Problem};
use crate::routes::{cohere, ollama, openai, search, tei, tei_status};
use crate::settings::ServeError;
use crate::state::Shared;

/// Routes that need no key: those who ask whether the server lives have none.
const OPEN: [&str; 3] = ["/health", "/metrics", "/openapi.json"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "cmm serve",
        description = "FastBERT sentence encoders: the routes of OpenAI, text-embeddings-inference, Cohere and Ollama",
    ),
    components(schemas(OpenAiError, TeiError, CohereError, OllamaError))
)]
struct Document;

fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(openai::embeddings))
        .routes(routes!(openai::models))
        .routes(routes!(openai::model))
        .routes(routes!(cohere::rerank))
        .routes(routes!(ollama::embed))
        .routes(routes!(tei::embed))
        .routes(routes!(tei::predict))
        .routes(routes!(tei::rerank))
        .routes(routes!(tei::similarity))
        .routes(routes!(tei::tokenize))
        .routes(routes!(search::search))
        .routes(routes!(tei_status::info))
        .routes(routes!(tei_status::health))
        .routes(routes!(tei_status::metrics))
}

/// Builds the router of the whole server.
pub(crate) fn router(shared: &Shared) -> Result<Router, ServeError> {
    let (router, document) = routes().split_for_parts();
    let described = document.clone();
    let router = router
        .route("/v2/rerank", axum::routing::post(cohere::rerank))
        .route("/openapi.json", axum::routing::get(async move || Json(described)))
        .merge(SwaggerUi::new("/docs").url("/docs/openapi.json", document))
        .fallback(async |request: Request| {
            let message = format!("no route {}; see /docs", request.uri().path());
            Problem::new(Kind::NotFound, message)
        })
        .method_not_allowed_fallback(async |request: Request| {
            let message =
                format!("{} is not for {}; see /docs", request.uri().path(), request.method());
            Problem::new(Kind::Method, message)
        });
    let fault = |_| Problem::new(Kind::Internal, "a fault of the server itself").into_response();
    let router = router
        .layer(from_fn_with_state(shared.clone(), slot))
        .layer(CatchPanicLayer::custom(fault))
        .layer(from_fn_with_state(shared.clone(), key));
    let router = match cors(&shared.settings.cors)? {
        Some(layer) => router.layer(layer),
        None => router,
    };
    Ok(router.layer(from_fn_with_state(shared.clone(), outermost)).with_state(shared.clone()))
}

fn cors(origins: &[String]) -> Result<Option<CorsLayer>, ServeError> {
    if origins.is_empty() {
        return Ok(None);
    }
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, HeaderName::from_static("content-type")])
        .expose_headers(Any);
    if origins.iter().any(|origin| origin == "*") {
        return Ok(Some(layer.allow_origin(Any)));
    }
    let origin = |origin: &String| {
        HeaderValue::from_str(origin).map_err(|_| ServeError::Setting {
            what: "an origin".into(),
            expected: "such as https://example.org, or *".into(),
            found: origin.clone(),
        })
    };
    let origins: Vec<_> = origins.iter().map(origin).collect::<Result<_, _>>()?;
    Ok(Some(layer.allow_origin(origins)))
}

/// Writes errors in the route's shape, counts them, logs the request, and closes connections once
/// the server is stopping.
async fn outermost(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let since = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let running = Running::new(&shared);
    let mut response = next.run(request).await;
    drop(running);
    Dialect::of(&path).shape(&method, &mut response);
    if shared.stopping.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    let milliseconds = since.elapsed().as_secs_f64() * 1e3;
    let method = method.as_str();
    if let Some(problem) = response.extensions().get::<Problem>() {
        if method == "POST" {
            shared.metrics.failed(problem.kind);
        }
        let error = &problem.message;
        tracing::info!(method, path, status, milliseconds, error, "request");
    } else if let Some(meter) = response.extensions().get::<Meter>() {
        let Meter { tokens, characters, cut, .. } = *meter;
        let part = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        let (tokenization, queue) = (part(meter.tokenization), part(meter.queue));
        let inference = part(meter.inference);
        tracing::info!(
            method,
            path,
            status,
            milliseconds,
            tokens,
            characters,
            cut,
            tokenization,
            queue,
            inference,
            "request"
        );
    } else {
        tracing::info!(method, path, status, milliseconds, "request");
    }
    response
}

/// Counts a request until it has an answer, even if its client goes away.
struct Running<'s>(&'s Shared);

impl<'s> Running<'s> {
    fn new(shared: &'s Shared) -> Self {
        shared.running.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Refuses a request without the key, if the server has one.
async fn key(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = OPEN.contains(&path) || path == "/docs" || path.starts_with("/docs/");
    let Some(key) = shared.settings.key.as_ref().filter(|_| !open) else {
        return next.run(request).await;
    };
    let brought = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let brought = brought.and_then(|value| {
        let (scheme, rest) = value.split_at_checked("bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    let message = match brought {
        Some(brought) if bool::from(brought.ct_eq(key.as_bytes())) => {
            return next.run(request).await;
        }
        Some(_) => "the key is wrong",
        None => "a key is needed: Authorization: Bearer KEY",
    };
    Problem::new(Kind::Unauthorized, message).into_response()
}

/// Holds a slot for a request with a body, from before the body is read until the request is
/// answered.
async fn slot(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let Ok(_slot) = shared.slots.clone().try_acquire_owned() else {
        let message = format!(
            "{} requests are already being handled; try again later",
            shared.settings.limits.requests
        );
        return Problem::new(Kind::Overloaded, message).into_response();
    };
    next.run(request).await
}

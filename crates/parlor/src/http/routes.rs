//! The table of routes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use parlor_proto::websocket::handshake;
use tower::ServiceExt;

use super::service::refused;
use super::{Assets, Limits, metrics};
use crate::metrics::Exposition;
use crate::policy::{Policy, Provenance};

/// What is served, in order of precedence: health, doors, files, pages.
pub(crate) struct Routes {
    /// Doors and APIs that hyper serves: a foreign origin gets 403 for every method.
    pub(crate) doors: Router,
    /// What checks itself where a request comes from.
    pub(crate) polled: Router,
    /// The operator's files.
    pub(crate) assets: Option<Assets>,
    /// The embedder's pages, which get what nothing else answers.
    pub(crate) pages: Router,
    /// What `/metrics` tells, where it is told to everybody who comes in here.
    pub(crate) metrics: Option<Arc<Exposition>>,
    /// Where an endpoint stands that speaks WebSocket alone, and is asked by a plain request.
    pub(crate) endpoints: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// True while the server drains: `/readyz` says 503.
    pub(crate) draining: Arc<AtomicBool>,
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").finish_non_exhaustive()
    }
}

/// Puts the routes together.
///
/// # Panics
///
/// Where `doors` has a route twice, or a fallback of its own: a mistake of ours, seen at start.
pub(crate) fn router(routes: Routes, policy: &Policy, limits: &Limits) -> Router {
    let rest = Rest {
        assets: routes.assets,
        pages: routes.pages,
        endpoints: routes.endpoints,
    };
    let body_bytes_max = usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX);
    let guard = from_fn_with_state(Arc::new(policy.clone()), guard);
    let metrics = routes.metrics.map(metrics::routes);
    metrics::health(routes.draining)
        .merge(metrics.unwrap_or_default())
        .merge(routes.doors.layer(guard))
        .merge(routes.polled)
        .fallback_service(any(rest_of_them).with_state(rest))
        .layer(DefaultBodyLimit::max(body_bytes_max))
}

/// What no route names.
#[derive(Clone)]
struct Rest {
    assets: Option<Assets>,
    pages: Router,
    endpoints: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// Lets nobody of a foreign origin through, whatever the method.
async fn guard(State(policy): State<Arc<Policy>>, request: Request, next: Next) -> Response {
    match policy.check_origin(&Provenance::of_map(request.headers())) {
        Ok(_) => next.run(request).await,
        Err(refusal) => refused(refusal),
    }
}

async fn rest_of_them(State(rest): State<Rest>, request: Request) -> Response {
    let request = match &rest.assets {
        Some(assets) => match assets.serve(request).await {
            Ok(response) => return response,
            Err(request) => request,
        },
        None => request,
    };
    let refusal = (rest.endpoints)(request.uri().path()).then(|| match *request.method() {
        Method::GET => handshake::Refusal::UpgradeRequired,
        _ => handshake::Refusal::Method,
    });
    match rest.pages.oneshot(request).await {
        Ok(response) if is_bare_not_found(&response) => match refusal {
            Some(refusal) => refused_upgrade(refusal),
            None => (StatusCode::NOT_FOUND, "not found\n").into_response(),
        },
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// What a door says to a request that is no upgrade.
fn refused_upgrade(refusal: handshake::Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, refusal.to_string()).into_response();
    let headers = response.headers_mut();
    for (name, value) in refusal.headers() {
        if let Ok(name) = name.parse::<HeaderName>() {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if headers.contains_key(header::UPGRADE) {
        // A sender of Upgrade names it in Connection (RFC 9110, section 7.8).
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

/// axum's own answer where no route fits, which has no text.
fn is_bare_not_found(response: &Response<Body>) -> bool {
    response.status() == StatusCode::NOT_FOUND
        && response.body().is_end_stream()
        && !response.headers().contains_key(header::CONTENT_TYPE)
}

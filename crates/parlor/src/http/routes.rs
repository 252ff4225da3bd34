//! The table of routes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http::{StatusCode, header};
use tower::ServiceExt;

use super::service::refused;
use super::{Assets, Limits, metrics};
use crate::metrics::Exposition;
use crate::policy::{Policy, Provenance};

/// What is served, in order of precedence: health, doors, files, pages.
#[derive(Debug)]
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
    /// True while the server drains: `/readyz` says 503.
    pub(crate) draining: Arc<AtomicBool>,
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
#[derive(Debug, Clone)]
struct Rest {
    assets: Option<Assets>,
    pages: Router,
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
    match rest.pages.oneshot(request).await {
        Ok(response) if is_bare_not_found(&response) => {
            (StatusCode::NOT_FOUND, "not found\n").into_response()
        }
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// axum's own answer where no route fits, which has no text.
fn is_bare_not_found(response: &Response<Body>) -> bool {
    response.status() == StatusCode::NOT_FOUND
        && response.body().is_end_stream()
        && !response.headers().contains_key(header::CONTENT_TYPE)
}

//! `GET /metrics`: what the server has counted, for a scraper.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};

use crate::metrics::{Exposition, MEDIA_TYPE};

/// `/metrics`.
pub(crate) fn routes(exposition: Arc<Exposition>) -> Router {
    Router::new().route("/metrics", get(show).with_state(exposition))
}

/// `/healthz` and `/readyz`. `draining` is true once the server stops.
pub(crate) fn health(draining: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(ready).with_state(draining))
}

/// Everything on a listener for operators only.
pub(crate) fn router(exposition: Arc<Exposition>, draining: Arc<AtomicBool>) -> Router {
    routes(exposition).merge(health(draining))
}

async fn show(State(exposition): State<Arc<Exposition>>) -> Response {
    let Ok(text) = exposition.text() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, text).into_response()
}

async fn ready(State(draining): State<Arc<AtomicBool>>) -> (StatusCode, &'static str) {
    if draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

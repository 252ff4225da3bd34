//! Paths that say themselves what pages of other origins may.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use http::{Method, StatusCode, header};

use crate::policy::{Cors, Policy, Provenance};

/// Routes whose answers carry the headers of `cors`; as they are without it.
pub(super) fn layer(routes: Router, cors: Option<&Arc<Cors>>, policy: &Policy) -> Router {
    match cors {
        Some(cors) => {
            let state = Arc::new((Arc::clone(cors), policy.clone()));
            routes.layer(from_fn_with_state(state, answer))
        }
        None => routes,
    }
}

/// Whether the page behind a request may come in.
pub(super) fn admits(cors: Option<&Arc<Cors>>, policy: &Policy, request: &Provenance<'_>) -> bool {
    cors.is_some_and(|cors| cors.admits(request)) || policy.check_origin(request).is_ok()
}

async fn answer(
    State(state): State<Arc<(Arc<Cors>, Policy)>>,
    request: Request,
    next: Next,
) -> Response {
    let (cors, policy) = &*state;
    let provenance = Provenance::of_map(request.headers());
    let allowed = admits(Some(cors), policy, &provenance);
    let added = cors.headers(request.method(), request.headers(), allowed);
    let mut response = match cors.preflight {
        Some(status) if request.method() == Method::OPTIONS => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::NO_CONTENT);
            response
        }
        _ => next.run(request).await,
    };
    for (name, value) in added {
        match name == header::VARY {
            true => _ = response.headers_mut().append(name, value),
            false => _ = response.headers_mut().insert(name, value),
        }
    }
    response
}

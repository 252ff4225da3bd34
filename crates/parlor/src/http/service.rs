//! What happens to a request between hyper and its handler.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::exchange::{Exchange, TrackedBody};
use super::{Context, Site};
use crate::metrics::Refused;
use crate::policy::{Checks, Provenance, Refusal};

/// A response on its way to hyper.
type Answer = Pin<Box<dyn Future<Output = Result<Response<TrackedBody>, Infallible>>>>;

/// Answers one request of a connection of ours.
pub(super) fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    context: Rc<Context>,
    exchange: Rc<Exchange>,
) -> Answer {
    Box::pin(async move {
        let request = request.map(Body::new);
        let response = respond(&context.site, request, peer, || exchange.fault()).await;
        Ok(response.map(|body| TrackedBody::new(body, exchange)))
    })
}

/// Answers one request: policy, routes, and what every response carries. `fault` tells what was
/// wrong with the request's body, once somebody has read that.
pub(super) async fn respond(
    site: &Site,
    mut request: Request<Body>,
    peer: SocketAddr,
    fault: impl Fn() -> Option<Refusal>,
) -> Response<Body> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(ConnectInfo(peer));
    let checks = (site.checks)(&path);
    let mut response = match admit(&request, site, checks) {
        Admission::Refused(refusal) => {
            site.metrics.refused(Refused::of_request(refusal.status));
            refused(refusal)
        }
        Admission::Answered(response) => response,
        Admission::Allowed(cors) => {
            let routed = site.router.clone().oneshot(request);
            let mut response = match contain(routed).await {
                Some(Ok(response)) => response,
                None => {
                    tracing::error!(%peer, "http handler panicked");
                    site.metrics.panicked();
                    refused(INTERNAL)
                }
            };
            response.headers_mut().extend(cors);
            response
        }
    };
    if let Some(refusal) = fault() {
        site.metrics.refused(Refused::of_request(refusal.status));
        response = refused(refusal);
    }
    finish(response.headers_mut(), checks);
    let status = response.status().as_u16();
    tracing::debug!(%peer, %method, path = %Escaped(&path), status, "http request");
    response
}

/// Refuses a request that nobody has looked at.
pub(super) fn refuse(site: &Site, refusal: Refusal) -> Response<Body> {
    site.metrics.refused(Refused::of_request(refusal.status));
    let mut response = refused(refusal);
    finish(response.headers_mut(), Checks::Ours);
    response
}

/// What the policy says of a request.
enum Admission {
    /// It may pass; its response carries these fields besides its own.
    Allowed(HeaderMap),
    /// It is answered already: a preflight.
    Answered(Response<Body>),
    /// It may not.
    Refused(Refusal),
}

/// Host for every request; the origin for whatever is not a plain read. A page of another origin
/// may read nothing here, which the browser sees to: its response names no allowed origin.
fn admit(request: &Request<Body>, site: &Site, checks: Checks) -> Admission {
    let policy = &site.policy;
    let provenance = Provenance::of_map(request.headers());
    if let Err(refusal) = policy.check_host(&provenance) {
        return Admission::Refused(refusal);
    }
    if checks == Checks::TheirsWithHeaders {
        return Admission::Allowed(HeaderMap::new());
    }
    let method = request.method();
    let preflight = method == Method::OPTIONS
        && provenance.has_origin()
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    match policy.check_origin(&provenance) {
        Ok(origin) => {
            let cors = origin.map(cors_headers).unwrap_or_default();
            if preflight {
                Admission::Answered(preflight_response(request.headers(), cors))
            } else {
                Admission::Allowed(cors)
            }
        }
        Err(_) if (checks == Checks::Theirs || method.is_safe()) && !preflight => {
            Admission::Allowed(HeaderMap::new())
        }
        Err(refusal) => Admission::Refused(refusal),
    }
}

fn cors_headers(origin: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(origin) {
        // `null` is every sandboxed frame there is: it never gets credentials.
        if origin != b"null" {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
    headers
}

fn preflight_response(asked: &HeaderMap, cors: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.extend(cors);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH"),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    // The origin is allowed, so it may send the fields that it asks for.
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    response
}

/// A refusal as a response; the connection closes behind it.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{}\n", refusal.text)));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    for (name, value) in refusal.headers {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// What every response carries.
fn finish(headers: &mut HeaderMap, checks: Checks) {
    headers
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    // Whether an origin is echoed depends on the request, so no cache may mix the answers up.
    if checks != Checks::TheirsWithHeaders {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// Drives a handler; `None` where it panics.
async fn contain<F: Future>(handler: F) -> Option<F::Output> {
    let mut handler = Box::pin(handler);
    poll_fn(|cx| {
        // A handler that panicked is dropped and never polled again.
        catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx)))
            .map_or(Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}

/// Text from a client, fit for a log line: control characters escaped, at most
/// [`LOGGED_CHARS_MAX`] characters.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for character in chars.by_ref().take(LOGGED_CHARS_MAX) {
            if character.is_control() || character == '\\' {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        if chars.next().is_some() {
            f.write_str("...")
        } else {
            Ok(())
        }
    }
}

const INTERNAL: Refusal = Refusal::new(500, "internal error");

/// Characters of a path in a log line.
const LOGGED_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_break_a_log_line() {
        assert_eq!(Escaped("/a b").to_string(), "/a b");
        assert_eq!(
            Escaped("/a\n\x1b[31m\\").to_string(),
            "/a\\n\\u{1b}[31m\\\\"
        );
        let long = "x".repeat(LOGGED_CHARS_MAX + 1);
        assert_eq!(Escaped(&long).to_string().len(), LOGGED_CHARS_MAX + 3);
    }
}

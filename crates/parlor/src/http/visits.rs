//! The way in for clients whose request came to a server of the embedder's.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    net::SocketAddr,
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, extract::ConnectInfo};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use super::{Claims, Limits, Site, service, stream::Chunks, upload::Upload};
use crate::front::{Framing, Head};
use crate::handle::{self, Arrival, Handle, Visitor, engine};
use crate::policy::Checks;

/// A server as a service for HTTP servers that are built on hyper and tower; made by
/// [`Server::service`](crate::Server::service).
///
/// It answers requests as the server's own listeners do. WebSocket comes by HTTP/1.1 (RFC 6455) or,
/// with the feature `http2`, by HTTP/2 (RFC 8441), and takes the connection over; event streams are
/// bodies of responses. While the server does not run, everything gets 503.
#[derive(Clone)]
pub struct Visits {
    reception: Arc<Reception>,
}

/// What requests meet that somebody else has read.
pub(crate) struct Reception {
    /// The way to the shards.
    pub(crate) handle: Handle,
    /// What a door takes.
    pub(crate) claims: Claims,
    /// The session of Engine.IO that a request target names.
    pub(crate) session: Sessions,
    /// What answers the rest.
    pub(crate) site: Site,
    /// Of these only those of bodies count.
    pub(crate) limits: Limits,
}

type Sessions = Box<dyn Fn(&str) -> Option<engine::Sid> + Send + Sync>;

impl fmt::Debug for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visits").finish_non_exhaustive()
    }
}

impl Visits {
    pub(crate) fn new(reception: Reception) -> Self {
        let reception = Arc::new(reception);
        Self { reception }
    }
}

impl<B> tower::Service<Request<B>> for Visits
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reception = Arc::clone(&self.reception);
        let request = request.map(Body::new);
        Box::pin(async move { Ok(reception.answer(request).await) })
    }
}

/// How the request was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    /// By HTTP/1, with `Upgrade`.
    Http1,
    /// By HTTP/2, with an extended CONNECT or without.
    Http2,
}

impl Reception {
    async fn answer(&self, mut request: Request<Body>) -> Response<Body> {
        if !self.handle.is_connected() {
            return status(StatusCode::SERVICE_UNAVAILABLE);
        }
        let speech = match request.version() {
            Version::HTTP_2 => Speech::Http2,
            _ => Speech::Http1,
        };
        if speech == Speech::Http2 {
            name_host(&mut request);
        }
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |peer| peer.0);
        let (mut parts, body) = request.into_parts();
        match self.claimed(&parts, speech, peer) {
            Some(claimed) => {
                let upgrade = parts.extensions.remove::<OnUpgrade>();
                visit(&self.handle, claimed, speech, upgrade).await
            }
            None => {
                let request = Request::from_parts(parts, body);
                let mut response = self.respond(request, peer).await;
                if speech == Speech::Http2 {
                    // They are about a connection of HTTP/1 (RFC 9113, section 8.2.2).
                    response.headers_mut().remove(header::CONNECTION);
                    response.headers_mut().remove(header::UPGRADE);
                }
                response
            }
        }
    }

    /// The request as the doors know it, if one of them takes it.
    fn claimed(
        &self,
        parts: &http::request::Parts,
        speech: Speech,
        peer: SocketAddr,
    ) -> Option<handle::Request> {
        let target = parts.uri.path_and_query()?.as_str();
        let mut method = parts.method.as_str();
        let fields = parts.headers.iter();
        let mut headers: Vec<httparse::Header<'_>> = fields
            .map(|(name, value)| httparse::Header {
                name: name.as_str(),
                value: value.as_bytes(),
            })
            .collect();
        if speech == Speech::Http2 && asks_for_websocket(parts) {
            headers.extend(LEFT_OUT.map(|(name, value)| httparse::Header { name, value }));
            method = "GET";
        }
        let head = Head {
            method,
            target,
            // The server below puts a stream into the body of its own response, whatever the
            // version: only an upgrade has to know of it.
            minor_version: u8::from(
                parts.version != Version::HTTP_10 || !parts.headers.contains_key(header::UPGRADE),
            ),
            headers: &headers,
            used: 0,
            framing: Framing::None,
        };
        if !(self.claims)(&head) {
            return None;
        }
        let owned = |field: &httparse::Header<'_>| (field.name.to_owned(), field.value.to_vec());
        Some(handle::Request {
            method: method.to_owned(),
            target: target.to_owned(),
            minor_version: head.minor_version,
            headers: headers.iter().map(owned).collect(),
            peer,
            session: (self.session)(target),
        })
    }

    /// What answers requests that are no door's, with the bounds that our own listeners have for
    /// bodies.
    async fn respond(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        let (site, limits) = (&self.site, &self.limits);
        let bytes_max = match (site.checks)(request.uri().path()) {
            Checks::Theirs | Checks::TheirsWithHeaders => u64::MAX,
            Checks::Ours => limits.body_bytes_max,
        };
        let (parts, body) = request.into_parts();
        let (body, fault) = Upload::new(body, bytes_max, limits.body_timeout);
        match fault.refusal() {
            Some(refusal) => service::refuse(site, refusal),
            None => {
                let request = Request::from_parts(parts, Body::new(body));
                service::respond(site, request, peer, || fault.refusal()).await
            }
        }
    }
}

/// In HTTP/2 the host is in the target (RFC 9113, section 8.3.1).
fn name_host(request: &mut Request<Body>) {
    if !request.headers().contains_key(header::HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// An extended CONNECT for WebSocket (RFC 8441, section 4).
#[cfg(feature = "http2")]
fn asks_for_websocket(parts: &http::request::Parts) -> bool {
    let protocol = parts.extensions.get::<hyper::ext::Protocol>();
    parts.method == http::Method::CONNECT
        && protocol.is_some_and(|name| name.as_str() == "websocket")
}

#[cfg(not(feature = "http2"))]
const fn asks_for_websocket(_: &http::request::Parts) -> bool {
    false
}

/// Lets the door answer, and hands over what comes behind the answer.
async fn visit(
    handle: &Handle,
    request: handle::Request,
    speech: Speech,
    upgrade: Option<OnUpgrade>,
) -> Response<Body> {
    let Some(visited) = handle.visit(request).await else {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    };
    let visitor = visited.visitor;
    let upgrades = visited.answer.starts_with(b"HTTP/1.1 101 ");
    let response = response(&visited.answer, speech);
    match (response, upgrade) {
        (Some(response), _) if !visited.goes_on => response,
        (Some(response), Some(upgrade)) if upgrades => {
            tokio::spawn(hand_over(visitor, upgrade));
            response
        }
        (Some(response), _) if !upgrades => {
            let (body, door) = Chunks::new();
            visitor.arrive(Arrival::Stream(Box::new(door)));
            response.map(|_| Body::new(body))
        }
        // An upgrade that the server below has not let through.
        (Some(_) | None, _) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

async fn hand_over(visitor: Visitor, upgrade: OnUpgrade) {
    let arrival = match upgrade.await {
        Ok(upgraded) => arrival(upgraded),
        Err(error) => {
            tracing::debug!(%error, "a client has gone before its upgrade");
            Arrival::Nothing
        }
    };
    visitor.arrive(arrival);
}

/// The socket below an upgraded connection where it can be had, else the connection itself.
fn arrival(upgraded: Upgraded) -> Arrival {
    let upgraded = match taken::<TcpStream>(upgraded) {
        Ok((stream, read)) => {
            // Whoever accepted it may not have: a frame is to leave when it is written.
            let _ = stream.set_nodelay(true);
            return socket(stream.into_std().map(OwnedFd::from), read);
        }
        Err(upgraded) => upgraded,
    };
    match taken::<UnixStream>(upgraded) {
        Ok((stream, read)) => socket(stream.into_std().map(OwnedFd::from), read),
        Err(upgraded) => Arrival::Stream(Box::new(TokioIo::new(upgraded))),
    }
}

fn socket(socket: std::io::Result<OwnedFd>, read: Bytes) -> Arrival {
    match socket {
        Ok(socket) => Arrival::Socket(socket, read),
        Err(error) => {
            tracing::warn!(%error, "a socket cannot be taken over");
            Arrival::Nothing
        }
    }
}

/// The stream that an HTTP server was given, if it is of this type: by hyper alone, or by the server
/// of hyper-util, which wraps it.
fn taken<S>(upgraded: Upgraded) -> Result<(S, Bytes), Upgraded>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    use hyper_util::server::conn::auto::upgrade::downcast;
    let upgraded = match downcast::<TokioIo<S>>(upgraded) {
        Ok(parts) => return Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => upgraded,
    };
    let parts = upgraded.downcast::<TokioIo<S>>()?;
    Ok((parts.io.into_inner(), parts.read_buf))
}

/// A door's answer as a response. `None` where it is none, which is a mistake of ours.
fn response(answer: &[u8], speech: Speech) -> Option<Response<Body>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(used) = head.parse(answer).ok()? else {
        return None;
    };
    let mut status = StatusCode::from_u16(head.code?).ok()?;
    if speech == Speech::Http2 && status == StatusCode::SWITCHING_PROTOCOLS {
        status = StatusCode::OK;
    }
    let body = Bytes::copy_from_slice(answer.get(used..)?);
    let mut headers = HeaderMap::new();
    for field in head.headers.iter() {
        let name: HeaderName = field.name.parse().ok()?;
        // How a body ends is for the server to say, and so is what becomes of its connection.
        let hop = [
            header::CONNECTION,
            header::UPGRADE,
            header::SEC_WEBSOCKET_ACCEPT,
        ];
        let is_hop = hop.contains(&name) && speech == Speech::Http2;
        let is_close = name == header::CONNECTION && field.value == b"close";
        let is_framing = matches!(name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING);
        if !is_framing && !is_hop && !is_close {
            headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Some(response)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// What an upgrade by HTTP/2 leaves out (RFC 8441, section 5), so that the rules of the handshake can
/// be the same. The key is no secret, and nobody is told what is made of it.
const LEFT_OUT: [(&str, &[u8]); 3] = [
    ("upgrade", b"websocket"),
    ("connection", b"upgrade"),
    ("sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
];

/// Header fields of an answer, those of the embedder included.
const FIELDS_MAX: usize = 256;

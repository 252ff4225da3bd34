//! The way in for clients whose request came to a server of the embedder's.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, ready},
    net::SocketAddr,
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{body::Body, extract::ConnectInfo};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use crate::handle::{self, Arrival, Handle, Visitor};

/// The endpoints of a server as a service for HTTP servers that are built on hyper and tower; made
/// by [`Server::service`](crate::Server::service).
///
/// It answers requests for an upgrade to WebSocket, by HTTP/1.1 (RFC 6455) or, with the feature
/// `http2`, by HTTP/2 (RFC 8441), and takes the connection over. Whatever else comes to the path of
/// an endpoint gets 426 or another answer that says what is wrong, and all other paths 404. While
/// the server does not run, everything gets 503.
#[derive(Clone)]
pub struct Visits {
    handle: Handle,
}

impl fmt::Debug for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visits").finish_non_exhaustive()
    }
}

impl Visits {
    pub(crate) const fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl<B> tower::Service<Request<B>> for Visits {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, _) = request.into_parts();
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let Some((request, speech)) = read(&parts) else {
            return Box::pin(ready(Ok(status(StatusCode::BAD_REQUEST))));
        };
        let handle = self.handle.clone();
        Box::pin(async move { Ok(visit(&handle, request, speech, upgrade).await) })
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

/// The request as the doors know it.
fn read(parts: &http::request::Parts) -> Option<(handle::Request, Speech)> {
    let target = parts.uri.path_and_query()?.as_str().to_owned();
    let mut headers: Vec<(String, Vec<u8>)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let mut method = parts.method.as_str().to_owned();
    let speech = match parts.version {
        Version::HTTP_2 => Speech::Http2,
        _ => Speech::Http1,
    };
    if speech == Speech::Http2 {
        let mut add = |name: &str, value: &[u8]| headers.push((name.to_owned(), value.to_vec()));
        if let Some(authority) = parts.uri.authority()
            && !parts.headers.contains_key(header::HOST)
        {
            add("host", authority.as_str().as_bytes());
        }
        if asks_for_websocket(parts) {
            // What HTTP/2 leaves out (RFC 8441, section 5), so that the rules of the handshake can
            // be the same. The key is no secret, and nobody is told what is made of it.
            add("upgrade", b"websocket");
            add("connection", b"upgrade");
            add("sec-websocket-key", b"AAAAAAAAAAAAAAAAAAAAAA==");
            method = Method::GET.as_str().to_owned();
        }
    }
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let request = handle::Request {
        method,
        target,
        minor_version: u8::from(parts.version != Version::HTTP_10),
        headers,
        peer: peer.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |peer| peer.0),
    };
    Some((request, speech))
}

/// An extended CONNECT for WebSocket (RFC 8441, section 4).
#[cfg(feature = "http2")]
fn asks_for_websocket(parts: &http::request::Parts) -> bool {
    let protocol = parts.extensions.get::<hyper::ext::Protocol>();
    parts.method == Method::CONNECT && protocol.is_some_and(|name| name.as_str() == "websocket")
}

#[cfg(not(feature = "http2"))]
const fn asks_for_websocket(_: &http::request::Parts) -> bool {
    false
}

/// Lets the door answer, and hands the connection over behind the answer.
async fn visit(
    handle: &Handle,
    request: handle::Request,
    speech: Speech,
    upgrade: Option<OnUpgrade>,
) -> Response<Body> {
    let Some((visitor, answer)) = handle.visit(request).await else {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    };
    let response = response(&answer, speech);
    let accepted = answer.starts_with(b"HTTP/1.1 101 ");
    match (response, upgrade) {
        (Some(response), Some(upgrade)) if accepted => {
            let handle = handle.clone();
            tokio::spawn(async move { hand_over(&handle, visitor, upgrade).await });
            response
        }
        (response, _) => {
            handle.arrive(visitor, Arrival::Nothing);
            match response {
                Some(response) if !accepted => response,
                _ => status(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
    }
}

async fn hand_over(handle: &Handle, visitor: Visitor, upgrade: OnUpgrade) {
    let arrival = match upgrade.await {
        Ok(upgraded) => arrival(upgraded),
        Err(error) => {
            tracing::debug!(%error, "a client has gone before its upgrade");
            Arrival::Nothing
        }
    };
    handle.arrive(visitor, arrival);
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
        if name != header::CONTENT_LENGTH && !is_hop && !is_close {
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

/// Header fields of an answer, those of the embedder included.
const FIELDS_MAX: usize = 256;

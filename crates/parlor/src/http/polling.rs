//! Long-polling of Engine.IO: requests on their way to the sessions, and the answers back.

use std::{
    future::{Future as _, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    response::Response,
    routing::any,
};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parlor_proto::engineio::Method;
use tokio::{sync::oneshot, time::sleep};

use super::{
    coding::{Coding, Effort},
    entrance::Entrance,
};
use crate::handle::{Handle, engine};

/// A path that is polled.
#[derive(Debug, Clone)]
pub(crate) struct Polled {
    /// The path.
    pub(crate) path: String,
    /// Its place among all such.
    pub(crate) place: usize,
    /// What there is at it, and for whom.
    pub(crate) entrance: Entrance,
    /// The longest body of a POST, in bytes.
    pub(crate) body_bytes_max: usize,
    /// Answers to GETs of at least so many bytes are compressed; none never.
    pub(crate) compress_from: Option<usize>,
}

/// What the requests of one path need.
struct Context {
    polled: Polled,
    handle: Handle,
}

/// While the shard of a session is behind, requests wait: so long between two looks, and at most
/// so often.
const BEHIND: (Duration, u32) = (Duration::from_millis(5), 2000);

/// The routes of a path.
pub(crate) fn routes(polled: Polled, handle: Handle) -> Router {
    let path = polled.path.clone();
    let entrance = polled.entrance.clone();
    let context = Arc::new(Context { polled, handle });
    let routes = Router::new().route(&path, any(serve));
    let (routes, below) = match path.ends_with('/') {
        true => (routes, path),
        false => {
            let below = format!("{path}/");
            (routes.route(&below, any(serve)), below)
        }
    };
    let routes = routes
        .route(&format!("{below}{{*rest}}"), any(serve))
        .with_state(context);
    entrance.layer(routes)
}

/// Tells the shard what becomes of a request whose client goes before it is answered.
struct Watch<'a> {
    context: &'a Context,
    sid: Option<engine::Sid>,
    follow: Option<engine::Follow>,
}

impl Watch<'_> {
    fn done(&mut self) {
        self.follow = None;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let (Some(sid), Some(follow)) = (self.sid, self.follow.take()) {
            self.context.handle.follow(sid, follow);
        }
    }
}

async fn serve(
    State(context): State<Arc<Context>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let entrance = &context.polled.entrance;
    let mount = &entrance.mount;
    let sid = mount.session_of(target);
    let id = context.handle.next_request();
    let method = match parts.method {
        http::Method::GET => Method::Get,
        http::Method::POST => Method::Post,
        _ => Method::Other,
    };
    let coded = parts.headers.get_all(header::CONTENT_ENCODING).iter();
    if { coded }.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bodies are not decoded\n",
        );
    }
    let allowed = entrance.admits(&parts);
    let judging = allowed.then(|| mount.judge(&parts, peer)).flatten();
    let ruling = match entrance.rule(judging).await {
        Ok(ruling) => ruling,
        Err(refusal) => return refusal,
    };
    let mut body = (method == Method::Post).then_some(body);
    let ask = engine::Ask {
        mount: context.polled.place,
        method,
        target: target.to_owned(),
        headers: match method == Method::Get && engine::may_open(target) {
            true => fields(&parts.headers),
            false => Vec::new(),
        },
        content_type: parts
            .headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.as_bytes().to_vec()),
        peer,
        allowed,
        id,
        body: None,
        ruling,
    };
    let mut watch = Watch {
        context: &context,
        sid,
        follow: Some(match method {
            Method::Post => engine::Follow::Cut,
            Method::Get | Method::Other => engine::Follow::Gone(id),
        }),
    };
    let reply = context.exchange(ask, sid, &parts.headers, &mut body).await;
    watch.done();
    match reply {
        Some(mut reply) => {
            let added = (reply.status == 200).then(|| mount.headers_for(&parts, peer));
            if let Some(denied) = reply.denied.take() {
                mount.tell(&parts, peer, *denied);
            }
            let mut response = context.response(reply, method, &parts.headers);
            response.headers_mut().extend(added.unwrap_or_default());
            response
        }
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "the server is busy\n"),
    }
}

impl Context {
    /// Asks the session, and gives it the body where there is one. `None` where the server cannot
    /// take the request now.
    async fn exchange(
        &self,
        mut ask: engine::Ask,
        sid: Option<engine::Sid>,
        headers: &HeaderMap,
        body: &mut Option<Body>,
    ) -> Option<engine::Reply> {
        let mut reading = pin!(self.read(headers, body.take()));
        if ask.method == Method::Post
            && let Poll::Ready(whole) = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await
        {
            // A body that is there already goes with its head.
            ask.body = Some(whole);
        }
        match self.send(ask, sid).await? {
            engine::Answer::Reply(reply) => Some(reply),
            engine::Answer::SendBody => {
                let body = reading.await;
                let (answer, answered) = oneshot::channel();
                let follow = engine::Follow::Body { body, answer };
                self.handle.follow(sid?, follow);
                match answered.await.ok()? {
                    engine::Answer::Reply(reply) => Some(reply),
                    engine::Answer::SendBody => None,
                }
            }
        }
    }

    async fn send(&self, ask: engine::Ask, sid: Option<engine::Sid>) -> Option<engine::Answer> {
        for _ in 0..BEHIND.1 {
            if !self.handle.is_behind(sid)? {
                break;
            }
            sleep(BEHIND.0).await;
        }
        match self.handle.ask(ask, sid)?.await {
            Ok(answer) => Some(answer),
            // Where there is none yet the server has ended.
            Err(_) if sid.is_none() => None,
            // A session that ends without a word has forgotten its requests.
            Err(_) => Some(engine::Answer::Reply(engine::unknown())),
        }
    }

    /// Reads a body up to the limit.
    async fn read(&self, headers: &HeaderMap, body: Option<Body>) -> engine::Body {
        let bytes_max = self.polled.body_bytes_max;
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > bytes_max) {
            return engine::Body::TooLarge;
        }
        let Some(body) = body else {
            return engine::Body::Whole(Bytes::new());
        };
        let mut stream = body.into_data_stream();
        let mut whole = Vec::new();
        while let Some(chunk) = stream.next().await {
            let Ok(chunk) = chunk else {
                return engine::Body::Cut;
            };
            if whole.len().saturating_add(chunk.len()) > bytes_max {
                return engine::Body::TooLarge;
            }
            if whole.is_empty() && announced == Some(chunk.len()) {
                return engine::Body::Whole(chunk);
            }
            whole.extend_from_slice(&chunk);
        }
        engine::Body::Whole(whole.into())
    }

    fn response(&self, reply: engine::Reply, method: Method, asked: &HeaderMap) -> Response {
        let coding = self
            .polled
            .compress_from
            .filter(|from| reply.compress && reply.body.len() >= *from)
            .and_then(|_| Coding::preferred(asked, &CODINGS));
        let body = match coding {
            Some(coding) => coding.encode(&reply.body, Effort::Once).map(Bytes::from),
            None => None,
        };
        let coding = coding.filter(|_| body.is_some());
        let mut response = Response::new(Body::from(body.unwrap_or(reply.body)));
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_REQUEST);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(reply.content_type),
        );
        if method == Method::Get {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, coding.name());
            headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Some(cookie) = reply.cookie
            && let Ok(value) = HeaderValue::try_from(cookie)
        {
            headers.insert(header::SET_COOKIE, value);
        }
        if reply.status == 413 {
            // The rest of the body is not read.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// How answers are compressed; of those that a client likes equally the first. As the reference.
const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Deflate];

fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect()
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

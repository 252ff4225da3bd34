//! Every door of a server inside an application of the embedder's: event streams, publishing,
//! `parlor.v1`, Engine.IO with Socket.IO, health, and pages.

use std::{future::pending, net::SocketAddr, num::NonZero, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use parlor::{Config, Door, Endpoint, Server, ServerHandle, engineio::Hooks};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    mounted_support::{Background, Opaque, serve, tls},
    support::{frame, upgrade},
};

/// How long an answer may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// An application with a server below `/rt`.
pub(crate) struct Mounted {
    pub(crate) router: Router,
    handle: ServerHandle,
    metrics: SocketAddr,
    server: JoinHandle<Result<(), parlor::ServeError>>,
}

impl Mounted {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_at("/rt", change).await
    }

    async fn start_at(path: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        // A session is on one of them, and its requests may come to any.
        config.shards = NonZero::new(3);
        config.drain = Duration::ZERO;
        config.metrics_listen = Some(([127, 0, 0, 1], 0).into());
        change(&mut config);
        let server = Server::builder()
            .config(config)
            .endpoint("/at/{room}", Endpoint::new())
            .doors([
                Door::WebSocket,
                Door::Signal,
                Door::Sse,
                Door::Publish,
                Door::SocketIo,
            ])
            .routes(Router::new().route("/page", get(|| async { "of the server" })))
            .build()
            .unwrap();
        let router = Router::new()
            .route("/", get(|| async { "of the application" }))
            .nest(path, server.router())
            .layer(from_fn(shared));
        let (handle, metrics) = (server.handle(), server.metrics_address().unwrap());
        let server = tokio::spawn(server.run(Vec::new(), pending()));
        while handle.broadcast("").is_err() {
            tokio::task::yield_now().await;
        }
        Self {
            router,
            handle,
            metrics,
            server,
        }
    }

    /// What the server counts.
    pub(crate) async fn count(&self, name: &str) -> String {
        let mut wire = Wire::tcp(self.metrics).await;
        let (_, body) = wire.get("/metrics", "").await;
        let mut lines = body.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or("nothing").to_owned()
    }
}

/// A middleware that all routes share.
async fn shared(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let value = HeaderValue::from_static("yes");
    response.headers_mut().insert("x-shared", value);
    response
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// A connection to the application.
pub(crate) struct Wire {
    stream: Box<dyn Io>,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: impl Io + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            read: Vec::new(),
        }
    }

    async fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::new(stream)
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Says a text on a WebSocket.
    pub(crate) async fn say_frame(&mut self, text: &str) {
        self.say(frame(0x81, text.as_bytes())).await;
    }

    /// Everything up to the end of a text.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        loop {
            let at = self
                .read
                .windows(text.len())
                .position(|at| at == text.as_bytes());
            if let Some(at) = at {
                let rest = self.read.split_off(at + text.len());
                let whole = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&whole).into_owned();
            }
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            let read = self.stream.read_buf(&mut self.read);
            let read = timeout(PATIENCE, read).await;
            let read = read.map(|count| count.unwrap());
            assert!(
                matches!(read, Ok(1..)),
                "{read:?}: no {text:?} in {so_far:?}"
            );
        }
    }

    /// The head of a response, in lower case.
    async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await.to_lowercase()
    }

    /// The answer to a request: its head, and its body.
    async fn ask(&mut self, request: &str) -> (String, String) {
        self.say(request).await;
        let head = self.head().await;
        assert!(
            head.contains("\r\nx-shared: yes\r\n") || head.contains("openmetrics"),
            "{head}"
        );
        let len = head.split("content-length: ").nth(1);
        let len: usize = len.map_or(0, |rest| rest.split('\r').next().unwrap().parse().unwrap());
        while self.read.len() < len {
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0);
        }
        let rest = self.read.split_off(len);
        let body = std::mem::replace(&mut self.read, rest);
        (head, String::from_utf8(body).unwrap())
    }

    async fn get(&mut self, path: &str, headers: &str) -> (String, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        ))
        .await
    }

    async fn post(&mut self, path: &str, headers: &str, body: &str) -> (String, String) {
        let len = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
             Content-Length: {len}\r\n{headers}\r\n{body}"
        );
        self.ask(&request).await
    }
}

fn assert_status(answer: &(String, String), status: u16, body: &str) {
    let (head, text) = answer;
    assert!(
        head.starts_with(&format!("http/1.1 {status} ")),
        "{head}{text}"
    );
    assert!(text.contains(body), "{head}{text}");
}

pub(crate) const PUBLISH: &str = "/rt/rooms/tea/messages";

/// An event stream, a raw member and one of `parlor.v1` hear what is published by HTTP.
async fn check_rooms(open: &impl AsyncFn() -> Wire) -> Wire {
    let mut events = open().await;
    events
        .say("GET /rt/sse/tea HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let head = events.head().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    for field in [
        "content-type: text/event-stream",
        "x-shared: yes",
        "cache-control: no-cache",
    ] {
        assert!(head.contains(field), "{head}");
    }
    events.until("event: joined\n").await;
    let mut raw = open().await;
    raw.say(upgrade("/rt/ws/tea?last=0", "")).await;
    assert!(raw.head().await.starts_with("http/1.1 101 "));
    let mut signal = open().await;
    let protocol = "Sec-WebSocket-Protocol: parlor.v1\r\n";
    signal.say(upgrade("/rt/signal/tea", protocol)).await;
    assert!(
        signal
            .head()
            .await
            .contains("sec-websocket-protocol: parlor.v1")
    );
    signal.say_frame(r#"{"type":"join","room":"tea"}"#).await;
    signal.until(r#""type":"joined""#).await;
    let published = open().await.post(PUBLISH, "", "by post").await;
    assert_status(&published, 201, "\"receivers\":3}");
    events.until("data: by post\n\n").await;
    raw.until("by post").await;
    signal.until("by post").await;
    // More than waits anywhere between the shard and the client.
    let much = "x".repeat(200_000);
    assert_status(&open().await.post(PUBLISH, "", &much).await, 201, "");
    let heard = events.until("x\n\n").await;
    assert!(heard.matches('x').count() >= much.len(), "{}", heard.len());
    events
}

/// A client of Socket.IO begins by polling and goes on by WebSocket.
async fn check_socketio(open: &impl AsyncFn() -> Wire) {
    let path = "/rt/socket.io/?EIO=4&transport=polling";
    let mut polls = open().await;
    let opened = polls.get(path, "").await;
    assert_status(&opened, 200, "\"upgrades\":[\"websocket\"]");
    let sid = opened.1.split('"').nth(3).unwrap();
    let path = format!("{path}&sid={sid}");
    assert_status(&open().await.post(&path, "", "40").await, 200, "ok");
    assert_status(&polls.get(&path, "").await, 200, "40{\"sid\":");
    let mut socket = open().await;
    let target = format!("/rt/socket.io/?EIO=4&transport=websocket&sid={sid}");
    socket.say(upgrade(&target, "")).await;
    assert!(socket.head().await.starts_with("http/1.1 101 "));
    socket.say_frame("2probe").await;
    socket.until("3probe").await;
    // What waits is answered, so that the client can change over.
    assert_status(&polls.get(&path, "").await, 200, "6");
    socket.say_frame("5").await;
    socket.say_frame(r#"421["join","milk"]"#).await;
    socket.until("431[").await;
    let path = "/rt/rooms/milk/messages";
    assert_status(&open().await.post(path, "", "into the room").await, 201, "");
    socket.until("into the room").await;
    socket.say_frame("1").await;
    let mut direct = open().await;
    direct
        .say(upgrade("/rt/socket.io/?EIO=4&transport=websocket", ""))
        .await;
    direct.until("\"sid\"").await;
    let client = open().await.get("/rt/socket.io/socket.io.js", "").await;
    assert_status(&client, 200, "socket");
}

/// What is served beside the doors, and what is refused.
async fn check_answers(open: &impl AsyncFn() -> Wire) {
    let foreign = "Origin: https://elsewhere.example\r\n";
    let own = "Origin: http://localhost\r\n";
    let polling = "/rt/socket.io/?EIO=4&transport=polling";
    let rows = [
        ("/", "", 200, "of the application"),
        ("/rt/page", "", 200, "of the server"),
        ("/rt/healthz", "", 200, "ok"),
        ("/rt/readyz", "", 200, "ready"),
        ("/rt/metrics", "", 404, "not found"),
        ("/rt/nowhere", "", 404, "not found"),
        ("/rt/ws", "", 426, "Upgrade Required"),
        ("/rt/at/tea", "", 426, "Upgrade Required"),
        ("/rt/rooms/tea/messages", "", 405, ""),
        ("/rt/sse/tea", foreign, 403, "origin not allowed"),
        ("/rt/sse/%0a", "", 400, "room"),
        (polling, foreign, 403, "\"code\":4"),
    ];
    for (path, headers, status, body) in rows {
        assert_status(&open().await.get(path, headers).await, status, body);
    }
    assert_status(
        &open().await.post(PUBLISH, foreign, "x").await,
        403,
        "origin",
    );
    assert_status(&open().await.post("/rt/sse/tea", "", "x").await, 405, "");
    let allowed = open().await.post(PUBLISH, own, "x").await;
    assert_status(&allowed, 201, "");
    assert!(
        allowed
            .0
            .contains("access-control-allow-origin: http://localhost\r\n")
    );
    let preflight = format!(
        "OPTIONS /rt/sse/tea HTTP/1.1\r\nHost: localhost\r\n{own}\
         Access-Control-Request-Method: GET\r\n\r\n"
    );
    assert_status(&open().await.ask(&preflight).await, 204, "");
    // No more of a body is sent than is read: what is left in a socket when that is closed resets it.
    let post =
        format!("POST {PUBLISH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n");
    let announced = format!("{post}Content-Length: 250001\r\n\r\n");
    assert_status(&open().await.ask(&announced).await, 413, "over the limit");
    let long = "x".repeat(250_001);
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\nfffff\r\n{long}");
    assert_status(&open().await.ask(&chunked).await, 413, "over the limit");
}

pub(crate) fn limited(config: &mut Config) {
    config.http_body_bytes_max = 250_000;
}

/// A stream for who knows no chunks.
async fn check_http_1_0(open: &impl AsyncFn() -> Wire) {
    let mut events = open().await;
    let request = "GET /rt/sse/old HTTP/1.0\r\nHost: localhost\r\n\r\n";
    events.say(request).await;
    let head = events.head().await;
    assert!(head.contains(" 200 "), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(
        events
            .until("event: joined\n")
            .await
            .starts_with(": welcome\n")
    );
    let said = open().await.post("/rt/rooms/old/messages", "", "x").await;
    assert_status(&said, 201, "");
    events.until("\ndata: x\n\n").await;
}

/// All of it, and a stop.
async fn check(mounted: Mounted, open: impl AsyncFn() -> Wire) {
    let mut events = check_rooms(&open).await;
    check_socketio(&open).await;
    check_answers(&open).await;
    check_http_1_0(&open).await;
    while mounted.count("parlor_members{door=\"sse\"}").await != "1"
        || mounted.count("parlor_members{door=\"websocket\"}").await != "0"
    {
        tokio::task::yield_now().await;
    }
    mounted.handle.shutdown();
    events.until("0\r\n\r\n").await;
    mounted.server.await.unwrap().unwrap();
    let mut late = open().await;
    late.say("GET /rt/sse/tea HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(late.head().await.starts_with("http/1.1 503 "));
}

/// Serves with axum's own server; returns the address.
async fn axum_serves(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    address
}

#[test]
fn all_doors_on_plain_tcp_of_axum() {
    Background::start().block_on(async {
        let mounted = Mounted::start(limited).await;
        let address = axum_serves(mounted.router.clone()).await;
        check(mounted, async || Wire::tcp(address).await).await;
    });
}

#[test]
fn all_doors_on_a_stream_that_cannot_be_taken_over() {
    Background::start().block_on(async {
        let mounted = Mounted::start(limited).await;
        let address = serve(mounted.router.clone(), async |stream| Opaque(stream)).await;
        check(mounted, async || Wire::tcp(address).await).await;
    });
}

#[test]
fn all_doors_under_rustls() {
    let (acceptor, connector) = tls();
    Background::start().block_on(async {
        let mounted = Mounted::start(limited).await;
        let address = serve(mounted.router.clone(), move |stream| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream).await.unwrap() }
        });
        let address = address.await;
        let open = async || {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = "localhost".try_into().unwrap();
            Wire::new(connector.connect(name, stream).await.unwrap())
        };
        check(mounted, open).await;
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    Background::start().block_on(async {
        let slow = |config: &mut Config| config.http_body_timeout = Duration::from_millis(20);
        let mounted = Mounted::start(slow).await;
        let address = axum_serves(mounted.router).await;
        let request = format!(
            "POST {PUBLISH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
             Content-Length: 5\r\n\r\nhell"
        );
        let answer = Wire::tcp(address).await.ask(&request).await;
        assert_status(&answer, 408, "too slowly");
    });
}

#[test]
fn below_a_path_with_names_of_its_own() {
    Background::start().block_on(async {
        let mounted = Mounted::start_at("/of/{tenant}/{room}", |_| {}).await;
        let address = axum_serves(mounted.router).await;
        let mut events = Wire::tcp(address).await;
        events
            .say("GET /of/a/b/sse/tea HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        events.until("event: joined\n").await;
        let path = "/of/a/b/rooms/tea/messages";
        let published = Wire::tcp(address).await.post(path, "", "hello").await;
        assert_status(&published, 201, "\"receivers\":1}");
        events.until("data: hello\n\n").await;
    });
}

#[test]
fn an_address_has_as_many_connections_as_it_may() {
    Background::start().block_on(async {
        let one = |config: &mut Config| config.connections_per_address_max = 1;
        let mounted = Mounted::start(one).await;
        let address = axum_serves(mounted.router.clone()).await;
        let stream = "GET /rt/sse/tea HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut first = Wire::tcp(address).await;
        first.say(stream).await;
        first.until("event: joined\n").await;
        let mut second = Wire::tcp(address).await;
        second.say(stream).await;
        assert!(second.head().await.starts_with("http/1.1 503 "));
        let polling = "/rt/socket.io/?EIO=4&transport=polling";
        let refused = Wire::tcp(address).await.get(polling, "").await;
        assert_status(&refused, 403, "");
        // A stream whose client has gone gives its place back.
        drop(first);
        while mounted.count("parlor_members{door=\"sse\"}").await != "0" {
            tokio::task::yield_now().await;
        }
        let opened = Wire::tcp(address).await.get(polling, "").await;
        assert_status(&opened, 200, "\"sid\"");
    });
    // Nobody has said where these come from.
    Background::start().block_on(async {
        let one = |config: &mut Config| config.connections_per_address_max = 1;
        let mounted = Mounted::start(one).await;
        let address = serve(mounted.router, async |stream| stream).await;
        for _ in 0..3 {
            let mut events = Wire::tcp(address).await;
            events
                .say("GET /rt/sse/tea HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .await;
            events.until("event: joined\n").await;
        }
    });
}

#[test]
fn a_stream_that_is_not_read_is_ended_and_slows_nobody() {
    Background::start().block_on(async {
        let small = |config: &mut Config| config.outbox_bytes_max = 300_000;
        let mounted = Mounted::start(small).await;
        let address = axum_serves(mounted.router.clone()).await;
        let mut slow = Wire::tcp(address).await;
        slow.say("GET /rt/sse/tea HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await;
        slow.until("event: joined\n").await;
        let room = mounted.handle.room("tea").unwrap();
        let much = "x".repeat(100_000);
        while mounted.count("parlor_members{door=\"sse\"}").await != "0" {
            room.publish(much.clone()).unwrap();
            tokio::task::yield_now().await;
        }
        // What was on its way still comes, and then the end.
        slow.until("slow consumer\n").await;
        slow.until("0\r\n\r\n").await;
    });
}

#[test]
fn several_servers_in_one_application() {
    Background::start().block_on(async {
        let (tea, milk) = (Mounted::start(|_| {}).await, Mounted::start(|_| {}).await);
        let router = Router::new()
            .nest_service("/tea", tea.router)
            .nest_service("/milk", milk.router);
        let address = axum_serves(router).await;
        let stream =
            |server| format!("GET /{server}/rt/sse/room HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (mut one, mut other) = (Wire::tcp(address).await, Wire::tcp(address).await);
        one.say(stream("tea")).await;
        other.say(stream("milk")).await;
        one.until("event: joined\n").await;
        other.until("event: joined\n").await;
        for (server, said) in [("milk", "to milk"), ("tea", "to tea")] {
            let path = format!("/{server}/rt/rooms/room/messages");
            let published = Wire::tcp(address).await.post(&path, "", said).await;
            assert_status(&published, 201, "\"receivers\":1}");
        }
        assert!(!one.until("data: to tea\n\n").await.contains("milk"));
        assert!(!other.until("data: to milk\n\n").await.contains("to tea"));
    });
}

/// A middleware that takes its time over who may open a session, and over what it is called.
async fn asks_elsewhere(mut request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let name = query.split("&as=").nth(1).map(str::to_owned);
    if !query.contains("sid=") {
        tokio::task::yield_now().await;
        let Some(name) = name else {
            return StatusCode::FORBIDDEN.into_response();
        };
        let name = HeaderValue::try_from(name).unwrap();
        request.headers_mut().insert("x-session", name);
    }
    next.run(request).await
}

#[test]
fn a_layer_may_take_its_time_over_who_opens_a_session_and_its_id() {
    Background::start().block_on(async {
        let hooks = Hooks::new().generate_id(|head| async move {
            let name = head.header("x-session").ok_or("the layer is missing")?;
            Ok(name.to_owned())
        });
        let server = Server::builder()
            .doors([Door::SocketIo])
            .engineio_hooks("/socket.io/", hooks)
            .build()
            .unwrap();
        let router = server.router().layer(from_fn(asks_elsewhere));
        let handle = server.handle();
        tokio::spawn(server.run(Vec::new(), pending()));
        while handle.broadcast("").is_err() {
            tokio::task::yield_now().await;
        }
        let address = axum_serves(router).await;
        for (name, status) in [("", "403"), ("&as=ann", "200")] {
            let path = format!("/socket.io/?EIO=4&transport=polling{name}");
            let mut wire = Wire::tcp(address).await;
            wire.say(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
                .await;
            let head = wire.head().await;
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
            if status == "200" {
                wire.until(r#""sid":"ann""#).await;
            }
        }
        for (name, status) in [("", "403"), ("&as=bo", "101")] {
            let path = format!("/socket.io/?EIO=4&transport=websocket{name}");
            let mut wire = Wire::tcp(address).await;
            wire.say(upgrade(&path, "")).await;
            let head = wire.head().await;
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
            if status == "101" {
                wire.until(r#""sid":"bo""#).await;
            }
        }
    });
}

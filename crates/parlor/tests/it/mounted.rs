//! Endpoints inside an application of the embedder's: axum 0.8 on plain TCP, another stream, TLS,
//! and HTTP/2.

use std::{
    future::pending,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, StatusCode},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
#[cfg(feature = "http2")]
use hyper_util::rt::{TokioExecutor, TokioIo};
use parlor::{
    BoxError, Connect, Door, Endpoint, Handler, Member, Message, Refusal, Server, ServerHandle,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::JoinHandle,
};

use crate::mounted_support::{Background, Opaque, serve, tls};
use crate::support::{Client, block_on, frame, upgrade, wait_until};

/// Echoes, tells who is there, and welcomes before the client is let in.
struct Greeting;

impl Handler for Greeting {
    type State = String;

    async fn connect(&self, connect: &mut Connect) -> Result<String, Refusal> {
        let name = connect.query("name");
        let name =
            name.ok_or_else(|| Refusal::unauthorized("who?").with_header("x-why", "no name"))?;
        let state = format!("{name} {} {}", connect.path(), connect.param("room"));
        connect.add_header("x-greeting", "hello")?;
        connect.member().join("tea")?.await?;
        connect
            .member()
            .send(format!("welcome {}", connect.peer().ip()))?;
        Ok(state)
    }

    async fn message(
        &self,
        state: &mut String,
        member: &Member,
        message: Message,
    ) -> Result<(), BoxError> {
        match message.as_text() {
            Some("state") => member.send(state.as_str())?,
            Some("much") => {
                for number in 0..100 {
                    member.send(format!("{number:>10000}"))?;
                }
            }
            _ => member.send(message)?,
        }
        Ok(())
    }
}

/// An application with an endpoint below `/live`, and its server.
struct Mounted {
    router: Router,
    handle: ServerHandle,
    server: JoinHandle<Result<(), parlor::ServeError>>,
}

async fn mounted() -> Mounted {
    let server = Server::builder()
        .endpoint("/at/{room}", Greeting)
        .doors([Door::WebSocket, Door::Sse])
        .build()
        .unwrap();
    let router = Router::new()
        .route("/", get(|| async { "a page" }))
        .nest("/live", server.router())
        .layer(from_fn(shared));
    let handle = server.handle();
    let server = tokio::spawn(server.run(Vec::new(), pending()));
    while handle.broadcast("").is_err() {
        tokio::task::yield_now().await;
    }
    Mounted {
        router,
        handle,
        server,
    }
}

/// A middleware that all routes share.
async fn shared(request: Request, next: Next) -> Response {
    if request.uri().query() == Some("barred") {
        return (StatusCode::IM_A_TEAPOT, "barred").into_response();
    }
    let swallowed = request.uri().query() == Some("name=Ann&swallowed");
    let mut response = next.run(request).await;
    if swallowed {
        return StatusCode::IM_A_TEAPOT.into_response();
    }
    let value = HeaderValue::from_static("yes");
    response.headers_mut().insert("x-shared", value);
    response
}

fn tcp(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(request).unwrap();
    stream
}

fn exchange(address: SocketAddr, request: &str) -> String {
    let request = request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut response = Vec::new();
    let _ = tcp(address, request.as_bytes()).read_to_end(&mut response);
    String::from_utf8_lossy(&response).into_owned()
}

/// What every kind of stream has to do.
fn check_conversation(address: SocketAddr, peer: &str) -> Client {
    let mut early = upgrade("/live/at/cups?name=Ann", "").into_bytes();
    early.extend(frame(0x81, b"early"));
    let mut client = Client::opened(tcp(address, &early));
    let head = client.response.to_lowercase();
    assert!(head.contains("x-greeting: hello"), "{head}");
    assert!(head.contains("x-shared: yes"), "{head}");
    assert_eq!(client.receive_text(), format!("welcome {peer}"));
    assert_eq!(client.receive_text(), "early");
    client.send_text("state");
    assert_eq!(client.receive_text(), "Ann /at/cups cups");
    client.send_text("much");
    for number in 0..100 {
        assert_eq!(client.receive_text().trim_start(), number.to_string());
    }
    client.settle();
    client
}

fn check_goodbye(mut client: Client) {
    client.send(0x88, b"\x03\xe8bye");
    assert_eq!(client.receive_close(), (1000, String::new()));
}

/// What requests get that are no faultless upgrades.
fn check_answers(address: SocketAddr) {
    let rows = [
        (
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            200,
            "a page",
        ),
        (
            "GET /live/at/tea HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            426,
            "Upgrade Required",
        ),
        (upgrade("/live/at/tea", ""), 401, "who?"),
        (upgrade("/live/at/tea?barred", ""), 418, "barred"),
        (upgrade("/live/nowhere", ""), 404, "not found"),
        (
            upgrade(
                "/live/at/tea?name=Bo",
                "Origin: https://elsewhere.example\r\n",
            ),
            403,
            "origin",
        ),
        (
            upgrade("/live/at/tea", "").replace("on: 13", "on: 8"),
            426,
            "version 13",
        ),
    ];
    for (request, status, text) in rows {
        let response = exchange(address, &request);
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}{response}"
        );
        assert!(response.contains(text), "{request}{response}");
        assert_eq!(
            response.contains("x-shared: yes"),
            status != 418,
            "{response}"
        );
    }
}

#[test]
fn below_a_path_of_axum_the_socket_is_taken_over() {
    let shards = Background::start();
    let front = Background::start();
    let Mounted {
        router,
        handle,
        server,
    } = shards.block_on(mounted());
    let address = front.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, service).into_future());
        address
    });
    check_answers(address);
    // A page of the same host may come by either scheme, whoever ends TLS.
    let own = upgrade("/live/at/tea?name=Bo", "Origin: https://localhost\r\n");
    assert_eq!(
        Client::opened(tcp(address, own.as_bytes())).receive_text(),
        "welcome 127.0.0.1"
    );
    let mut client = check_conversation(address, "127.0.0.1");
    // A built-in door, which answers only when it knows what to replay.
    let path = "/live/ws/tea?last=5&name=Cy";
    let mut raw = Client::opened(tcp(address, upgrade(path, "").as_bytes()));
    raw.settle();
    raw.send_text("from the door");
    assert_eq!(client.receive_text(), "from the door");
    // Without the server that took the request in, the connection goes on: the socket is a shard's.
    drop(front);
    client.send_text("still here");
    assert_eq!(client.receive_text(), "still here");
    check_goodbye(client);
    drop(raw);
    handle.shutdown();
    shards.block_on(server).unwrap().unwrap();
}

#[test]
fn any_other_stream_is_driven_as_it_is() {
    let runtime = Background::start();
    let address = runtime.block_on(async {
        let router = mounted().await.router;
        serve(router, |stream| async move { Opaque(stream) }).await
    });
    check_goodbye(check_conversation(address, "0.0.0.0"));
    let client = check_conversation(address, "0.0.0.0");
    drop(client);
}

#[test]
fn under_rustls() {
    let (acceptor, connector) = tls();
    Background::start().block_on(async {
        let router = mounted().await.router;
        let address = serve(router, move |stream| {
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream).await.unwrap() }
        });
        let stream = tokio::net::TcpStream::connect(address.await).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let request = upgrade("/live/at/tls?name=Ann", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, behind) = read_until(&mut stream, b"\r\n\r\n").await;
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        check_frames(&mut stream, behind).await;
    });
}

async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(at) = bytes.windows(end.len()).position(|w| w == end) {
            let behind = bytes.split_off(at + end.len());
            return (bytes, behind);
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "{bytes:?}");
    }
}

/// Speaks to the endpoint on an open stream, of which some bytes were read already.
async fn check_frames(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), mut read: Vec<u8>) {
    let welcome = b"\x81\x0fwelcome 0.0.0.0";
    while read.len() < welcome.len() {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
    }
    assert_eq!(read, welcome);
    let long = "x".repeat(60_000);
    for _ in 0..10 {
        stream
            .write_all(&frame(0x81, long.as_bytes()))
            .await
            .unwrap();
        let mut echo = vec![0; 60_004];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(
            (&echo[..4], &echo[4..]),
            (&b"\x81\x7e\xea\x60"[..], long.as_bytes())
        );
    }
    stream.write_all(&frame(0x88, b"\x03\xe8")).await.unwrap();
    let mut close = Vec::new();
    stream.read_to_end(&mut close).await.unwrap();
    assert_eq!(close, b"\x88\x02\x03\xe8");
}

#[cfg(feature = "http2")]
#[test]
fn under_http2() {
    use axum::body::Body;
    use hyper::ext::Protocol;

    Background::start().block_on(async {
        let router = mounted().await.router;
        let address = serve(router, |stream| async move { stream }).await;
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = |path: &str| {
            let request = hyper::Request::connect(format!("http://localhost{path}"))
                .header("sec-websocket-version", "13")
                .header("sec-websocket-protocol", "v1")
                .extension(Protocol::from_static("websocket"));
            request.body(Body::empty()).unwrap()
        };
        let refused = sender.send_request(request("/live/at/tea")).await.unwrap();
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.headers()["x-why"], "no name");
        // Several connections on one socket.
        for _ in 0..3 {
            let answer = sender.send_request(request("/live/at/h2?name=Ann"));
            let response = answer.await.unwrap();
            assert_eq!(response.status(), 200, "{response:?}");
            assert_eq!(response.headers()["sec-websocket-protocol"], "v1");
            assert_eq!(response.headers()["x-greeting"], "hello");
            let upgraded = hyper::upgrade::on(response).await.unwrap();
            check_frames(&mut TokioIo::new(upgraded), Vec::new()).await;
        }
    });
}

#[test]
fn an_upgrade_that_nobody_finishes_leaves_nothing_behind() {
    let runtime = Background::start();
    let mounted = runtime.block_on(mounted());
    let handle = mounted.handle.clone();
    let address = runtime.block_on(serve(mounted.router, |stream| async move { stream }));
    // A layer answers in place of the endpoint, when that has let the client in already.
    for _ in 0..3 {
        let request = upgrade("/live/at/tea?name=Ann&swallowed", "");
        let mut status = [0; 13];
        let mut stream = tcp(address, request.as_bytes());
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 418 ");
    }
    // A client that goes without waiting for its answer.
    for _ in 0..3 {
        drop(tcp(
            address,
            upgrade("/live/at/tea?name=Ann", "").as_bytes(),
        ));
    }
    let tea = handle.room("tea").unwrap();
    wait_until("nobody is left", || {
        handle.connections() == 0 && block_on(tea.population()).unwrap() == 0
    });
    drop(check_conversation(address, "0.0.0.0"));
}

#[test]
fn while_the_server_does_not_run_everything_is_503() {
    let runtime = Background::start();
    let address = runtime.block_on(async {
        let echo =
            Endpoint::new().on_message(|member, message| async move { member.send(message) });
        let server = Server::builder().endpoint("/", echo).build().unwrap();
        let router = Router::new().fallback_service(server.service());
        serve(router, |stream| async move { stream }).await
    });
    assert!(exchange(address, &upgrade("/", "")).starts_with("HTTP/1.1 503 "));
}

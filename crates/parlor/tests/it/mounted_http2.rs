//! Every door inside an application of the embedder's, by HTTP/2.

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    ext::Protocol,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parlor::socketio::SocketIo;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    mounted_doors::{Mounted, PATIENCE, PUBLISH, Wire, limited},
    mounted_support::{Background, serve},
    socketio_gate::{Oracle, wait_until_served},
    support::TestServer,
};

/// One connection, of many requests.
struct Multiplexed(SendRequest<Body>);

impl Multiplexed {
    async fn open(mounted: &Mounted) -> Self {
        Self::to(mounted.router.clone()).await
    }

    async fn to(router: Router) -> Self {
        let address = serve(router, async |stream| stream).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    async fn response(&self, method: &str, path: &str, body: &str) -> Response<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"))
            .header("content-type", "text/plain")
            .body(Body::from(body.to_owned()));
        let sent = self.0.clone().send_request(request.unwrap());
        let response = timeout(PATIENCE, sent).await.unwrap().unwrap();
        assert_eq!(response.headers()["x-shared"], "yes");
        response
    }

    /// The status of a response, and its body.
    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let response = self.response(method, path, body).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A WebSocket (RFC 8441).
    async fn websocket(&self, path: &str) -> Wire {
        let response = self.connect(path).await;
        assert_eq!(response.status(), 200);
        Wire::new(TokioIo::new(hyper::upgrade::on(response).await.unwrap()))
    }

    /// The answer to a request for a WebSocket.
    async fn connect(&self, path: &str) -> Response<Incoming> {
        let request = Request::connect(format!("http://localhost{path}"))
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"));
        let sent = self
            .0
            .clone()
            .send_request(request.body(Body::empty()).unwrap());
        timeout(PATIENCE, sent).await.unwrap().unwrap()
    }
}

/// Reads a body until it has said something.
async fn until(body: &mut Incoming, wanted: &str) {
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&heard);
        if text.contains(wanted) {
            return;
        }
        let frame = timeout(PATIENCE, body.frame()).await;
        assert!(frame.is_ok(), "no {wanted:?} in {text:?}");
        let frame = frame.unwrap().unwrap().unwrap();
        heard.extend_from_slice(frame.data_ref().unwrap());
    }
}

#[test]
fn all_doors_under_http2() {
    Background::start().block_on(async {
        let mounted = Mounted::start(limited).await;
        let http = Multiplexed::open(&mounted).await;
        let events = http.response("GET", "/rt/sse/tea", "").await;
        assert_eq!(events.status(), 200);
        assert_eq!(events.headers()["content-type"], "text/event-stream");
        let mut events = events.into_body();
        until(&mut events, "event: joined\n").await;
        let much = "x".repeat(200_000);
        for body in ["hello", &much] {
            let (status, published) = http.ask("POST", PUBLISH, body).await;
            assert_eq!(status, 201);
            assert!(published.contains("\"receivers\":1}"), "{published}");
            until(&mut events, &format!("data: {body}\n\n")).await;
        }
        let rows = [
            (
                "POST",
                PUBLISH,
                &*much.repeat(2),
                413,
                "the body is over the limit\n",
            ),
            ("GET", "/rt/at/tea", "", 426, "Upgrade Required"),
            ("GET", "/rt/healthz", "", 200, "ok\n"),
            ("GET", "/rt/nowhere", "", 404, "not found\n"),
        ];
        for (method, path, body, status, text) in rows {
            let answer = http.ask(method, path, body).await;
            assert_eq!(answer, (status, text.to_owned()), "{path}");
        }
        let mut signal = http.websocket("/rt/signal/tea").await;
        signal.say_frame(r#"{"type":"join","room":"tea"}"#).await;
        signal.until(r#""type":"joined""#).await;
        // A reader that leaves takes nothing with it.
        drop(events);
        while mounted.count("parlor_members{door=\"sse\"}").await != "0" {
            tokio::task::yield_now().await;
        }
        assert_eq!(http.ask("POST", PUBLISH, "still here").await.0, 201);
        signal.until("still here").await;
    });
}

#[test]
fn a_socket_waits_for_whoever_decides_under_http2() {
    let (oracle, io) = (Oracle::new(), SocketIo::new());
    let _ = io.of("/");
    let hooks = oracle.hooks();
    let (server, router) = TestServer::build_mounted(
        |_| {},
        |builder| builder.socketio(&io).engineio_hooks("/socket.io/", hooks),
    );
    wait_until_served(&server);
    let application = Background::start();
    let http = application.block_on(Multiplexed::to(router));
    let ask = |query: &str| {
        let (http, query) = (Multiplexed(http.0.clone()), query.to_owned());
        let target = format!("/socket.io/?EIO=4&transport=websocket{query}");
        application.spawn(async move { http.connect(&target).await })
    };
    // A stream that is reset is forgotten, and its connection goes on.
    let gone = ask("&key=1&id=a");
    oracle.expect_waiting(1);
    gone.abort();
    oracle.expect_waiting(0);
    let (refused, let_in) = (ask(""), ask("&key=1&id=a"));
    oracle.expect_waiting(2);
    oracle.answer();
    let refused = application.block_on(refused).unwrap();
    assert_eq!(refused.status(), 403);
    let response = application.block_on(let_in).unwrap();
    assert_eq!(response.status(), 200);
    application.block_on(async {
        let upgraded = hyper::upgrade::on(response).await.unwrap();
        let mut socket = Wire::new(TokioIo::new(upgraded));
        socket.until(r#"0{"sid":"a","#).await;
    });
}

#[test]
fn socketio_under_http2() {
    Background::start().block_on(async {
        let mounted = Mounted::start(limited).await;
        let http = Multiplexed::open(&mounted).await;
        let polling = "/rt/socket.io/?EIO=4&transport=polling";
        let (_, opened) = http.ask("GET", polling, "").await;
        let sid = opened.split('"').nth(3).unwrap();
        let polling = format!("{polling}&sid={sid}");
        assert_eq!(http.ask("POST", &polling, "40").await.1, "ok");
        assert!(http.ask("GET", &polling, "").await.1.starts_with("40{"));
        let target = format!("/rt/socket.io/?EIO=4&transport=websocket&sid={sid}");
        let mut socket = http.websocket(&target).await;
        socket.say_frame("2probe").await;
        socket.until("3probe").await;
        assert_eq!(http.ask("GET", &polling, "").await.1, "6");
        socket.say_frame("5").await;
        socket.say_frame(r#"421["join","tea"]"#).await;
        socket.until("431[").await;
        assert_eq!(http.ask("POST", PUBLISH, "into the room").await.0, 201);
        socket.until("into the room").await;
    });
}

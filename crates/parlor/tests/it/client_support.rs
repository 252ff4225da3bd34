//! Servers of a few lines for the clients' tests.

use std::time::Duration;

use parlor::proto::websocket::handshake::{Answer, Request, validate};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A listener, and the URL that leads there.
pub(crate) async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, url)
}

/// Reads a request's head, and nothing after it.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Answers a handshake, without extensions, and gives its request.
pub(crate) async fn upgrade(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let text = head(stream).await;
    let headers = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let request = Request {
        method: "GET",
        minor_version: 1,
        headers: headers.map(|(name, value)| (name, value.as_bytes())),
    };
    let upgrade = validate(request).unwrap();
    let mut response = Vec::new();
    let answer = Answer {
        protocol: upgrade.protocols().first().copied(),
        deflate: None,
        headers: &[],
    };
    upgrade.respond(answer, &mut response).unwrap();
    stream.write_all(&response).await.unwrap();
    text
}

/// Accepts a connection and answers its handshake.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.set_nodelay(true).unwrap();
    upgrade(&mut stream).await;
    stream
}

//! Servers of a few lines for the clients' tests.

use std::time::Duration;

use parlor::client::{Backoff, Session, session::Event};
use parlor::proto::websocket::handshake::{Answer, Request, validate};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

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

/// Reconnections without much waiting.
pub(crate) fn quick() -> Backoff {
    let mut backoff = Backoff::default();
    backoff.first = Duration::from_millis(20);
    backoff.longest = Duration::from_millis(100);
    backoff
}

/// Takes events until one is the one that is looked for.
pub(crate) async fn until<T>(
    session: &mut Session,
    mut wanted: impl FnMut(Event) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = session.next().await.expect("the session is not over");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it comes in time")
}

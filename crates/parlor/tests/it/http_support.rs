//! Raw HTTP: bytes out, text in.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    routing::{get, post},
};
use parlor::Config;

use crate::support::TestServer;

/// A server with a page at `/`, which also takes POST, and an echo of request bodies at `/back`.
pub(crate) fn start(change: impl FnOnce(&mut Config)) -> TestServer {
    let home = || std::future::ready("home\n");
    let back = |body: Bytes| std::future::ready(body);
    let pages = Router::new()
        .route("/", get(home).post(home))
        .route("/back", post(back));
    TestServer::start_with(change, pages)
}

/// A GET without a body.
pub(crate) fn get_of(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The same, after which the server closes.
pub(crate) fn last_get_of(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// How the bytes of a request are cut up on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// One write.
    Whole,
    /// A write for each byte.
    Bytes,
    /// Behind a request that has been answered.
    Behind,
}

impl Cut {
    pub(crate) const ALL: [Self; 3] = [Self::Whole, Self::Bytes, Self::Behind];
}

/// Sends bytes cut up in this way, and returns what comes until the server closes, without the
/// answer to a request before them.
pub(crate) fn ask(server: &TestServer, bytes: &str, cut: Cut) -> String {
    let mut stream = server.tcp();
    // The server may have refused and closed before the last byte: what it said counts.
    let _ = match cut {
        Cut::Whole => stream.write_all(bytes.as_bytes()),
        Cut::Bytes => bytes.bytes().try_for_each(|byte| stream.write_all(&[byte])),
        Cut::Behind => {
            stream.write_all(get_of("/").as_bytes()).unwrap();
            assert!(response(&mut stream).ends_with("home\n"));
            stream.write_all(bytes.as_bytes())
        }
    };
    rest(&mut stream)
}

/// Sends bytes in one write and returns what comes until the server closes.
pub(crate) fn ask_whole(server: &TestServer, bytes: &str) -> String {
    ask(server, bytes, Cut::Whole)
}

/// Everything that comes until the server closes; a reset counts as a close, silence does not.
pub(crate) fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    if let Err(error) = stream.read_to_end(&mut read) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// One response that has a Content-Length, and not a byte more.
pub(crate) fn response(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        read.extend(byte);
    }
    let head = String::from_utf8(read).unwrap();
    let len = field(&head, "content-length").map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

/// The value of a response header field, by its name in lower case.
pub(crate) fn field<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let head = response.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The statuses of all the responses in a text.
pub(crate) fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ")
        .skip(1)
        .map(|response| response.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

/// Sends one of these bytes after the other, over and over, with a pause between two, until the
/// server says something or closes. Tells what it said.
pub(crate) fn trickle(server: &TestServer, first: &str, cycle: &[u8], pause: Duration) -> String {
    let mut stream = server.tcp();
    stream.write_all(first.as_bytes()).unwrap();
    stream.set_read_timeout(Some(pause)).unwrap();
    let mut said = [0; 4096];
    for byte in cycle.iter().cycle() {
        match stream.read(&mut said) {
            Ok(len) => {
                return String::from_utf8_lossy(&said[..len]).into_owned();
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    String::new()
}

//! Connections that go from the HTTP path to a door, and requests that follow each other.

use std::io::{Read, Write};

use crate::{
    http_support::{
        Cut, ask, ask_whole, field, get_of, last_get_of, response, rest, start, statuses,
    },
    support::{frame, upgrade},
};

#[test]
fn requests_follow_each_other_in_any_cut() {
    let server = start(|_| {});
    let post = "POST /back HTTP/1.1\r\nHost: localhost\r\n";
    let input = [
        &get_of("/"),
        "\r\n",
        &format!("{post}Content-Length: 5\r\n\r\nhello"),
        &format!(
            "{post}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nt: u\r\n\r\n"
        ),
        &get_of("/nowhere"),
        &last_get_of("/healthz"),
    ]
    .concat();
    for cut in Cut::ALL {
        let answer = ask(&server, &input, cut);
        assert_eq!(statuses(&answer), [200, 200, 200, 404, 200], "{cut:?}");
        let bodies: Vec<&str> = answer
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|response| response.split_once("\r\n\r\n").unwrap().1)
            .collect();
        assert_eq!(
            bodies,
            ["home\n", "hello", "abcde", "not found\n", "ok\n"],
            "{cut:?}"
        );
    }
}

/// Reads the head of a 101 and then these frames of the server.
fn expect_open(stream: &mut std::net::TcpStream, frames: &[u8]) {
    let answer = response(stream);
    assert_eq!(statuses(&answer), [101], "{answer}");
    let mut read = vec![0; frames.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, frames);
}

#[test]
fn an_upgrade_behind_other_requests_opens_the_door() {
    let server = start(|_| {});
    let upgrade = [upgrade("/echo", "").as_bytes(), &frame(0x81, b"hi")].concat();
    let before = get_of("/") + &get_of("/healthz");
    // One after the other, all in one segment, and byte by byte.
    for size in [before.len(), before.len() + upgrade.len(), 1] {
        let mut stream = server.tcp();
        for piece in [before.as_bytes(), &upgrade].concat().chunks(size) {
            stream.write_all(piece).unwrap();
        }
        assert!(response(&mut stream).ends_with("home\n"));
        assert!(response(&mut stream).ends_with("ok\n"));
        expect_open(&mut stream, b"\x81\x02hi");
        stream.write_all(&frame(0x89, b"more")).unwrap();
        let mut pong = [0; 6];
        stream.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\x8a\x04more");
    }
}

#[test]
fn a_refused_upgrade_behind_other_requests_is_answered_and_closed() {
    let server = start(|_| {});
    for (request, status) in [
        (get_of("/ws"), 426),
        (
            "POST /ws HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".to_owned(),
            405,
        ),
        (upgrade("/ws", "Origin: http://evil.example\r\n"), 403),
        (
            upgrade("/ws", "").replace("Version: 13", "Version: 12"),
            426,
        ),
        (
            upgrade("/ws", "").replace("Upgrade: websocket", "Upgrade: other"),
            400,
        ),
        (upgrade("/ws", "").replace("HTTP/1.1", "HTTP/1.0"), 505),
        (
            upgrade("/ws", "").replace("Host: localhost", "Host: evil.example"),
            421,
        ),
        (upgrade("/ws", "Host: localhost\r\n"), 400),
        (upgrade("/ws/%ff", ""), 400),
    ] {
        for cut in Cut::ALL {
            let answer = ask(&server, &(request.clone() + &get_of("/")), cut);
            assert_eq!(statuses(&answer), [status], "{cut:?} {request:?}: {answer}");
        }
    }
}

#[test]
fn an_upgrade_to_something_else_is_an_ordinary_request() {
    let server = start(|_| {});
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    let ask_for = |method: &str, rest: &str| {
        format!("{method} / HTTP/1.1\r\nHost: localhost\r\n{h2c}{rest}\r\n")
    };
    let kept = ask_for("GET", "") + &ask_for("POST", "Content-Length: 5\r\n") + "hello";
    for cut in Cut::ALL {
        let answer = ask(&server, &(kept.clone() + &last_get_of("/healthz")), cut);
        assert_eq!(statuses(&answer), [200, 200, 200], "{cut:?}");
        let answer = ask(
            &server,
            &(kept.clone() + &ask_for("GET", "Connection: close\r\n")),
            cut,
        );
        assert_eq!(statuses(&answer), [200, 200, 200], "{cut:?}");
        assert!(answer.ends_with("home\n"), "{cut:?}: {answer}");
    }
}

#[test]
fn an_upgrade_with_a_body_is_none() {
    let server = start(|_| {});
    for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let request = upgrade("/ws", fields) + "hello" + &get_of("/");
        for cut in Cut::ALL {
            let answer = ask(&server, &request, cut);
            assert_eq!(statuses(&answer), [400], "{cut:?} {fields}: {answer}");
        }
    }
}

#[test]
fn health_and_absence_are_told_in_plain_text() {
    let server = start(|_| {});
    for (path, status, body) in [
        ("/healthz", 200, "ok\n"),
        ("/readyz", 200, "ready\n"),
        ("/nowhere", 404, "not found\n"),
    ] {
        let answer = ask_whole(&server, &last_get_of(path));
        assert_eq!(statuses(&answer), [status], "{path}");
        assert!(answer.ends_with(body), "{path}: {answer}");
        assert_eq!(
            field(&answer, "content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(field(&answer, "x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn a_stop_closes_idle_connections() {
    let mut server = start(|_| {});
    let mut idle = server.tcp();
    idle.write_all(get_of("/").as_bytes()).unwrap();
    response(&mut idle);
    let mut silent = server.tcp();
    let since = std::time::Instant::now();
    server.begin_stop();
    assert_eq!(rest(&mut idle), "");
    assert_eq!(rest(&mut silent), "");
    server.stop();
    assert!(
        since.elapsed() < std::time::Duration::from_secs(4),
        "{:?}",
        since.elapsed()
    );
}

//! What bad input gets by HTTP: a test for each rule.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use parlor::Config;

use crate::http_support::{
    Cut, ask, ask_whole, field, get_of, last_get_of, response, rest, start, statuses, trickle,
};

/// Sends each input in every way with another request right behind it: one answer, then the end.
fn check(rows: &[(&str, u16)]) {
    let server = start(|_| {});
    for (input, status) in rows {
        let input = [input, get_of("/").as_str()].concat();
        for cut in Cut::ALL {
            let answer = ask(&server, &input, cut);
            assert_eq!(
                statuses(&answer),
                [*status],
                "{cut:?} {input:?}: {answer:?}"
            );
            assert_eq!(
                field(&answer, "connection"),
                Some("close"),
                "{cut:?} {input:?}"
            );
        }
    }
    assert_eq!(statuses(&ask_whole(&server, &last_get_of("/"))), [200]);
}

/// Request heads to `/back` with these fields, and what follows.
fn check_posts(rows: &[(&str, &str, u16)]) {
    let rows: Vec<(String, u16)> = rows
        .iter()
        .map(|(fields, body, status)| {
            let head = format!("POST /back HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
            (head + body, *status)
        })
        .collect();
    let rows: Vec<(&str, u16)> = rows
        .iter()
        .map(|(row, status)| (row.as_str(), *status))
        .collect();
    check(&rows);
}

#[test]
fn a_length_in_doubt_is_no_request() {
    check_posts(&[
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n",
            400,
        ),
        ("Content-Length: 5\r\nContent-Length: 0\r\n", "hello", 400),
        ("Content-Length: 0\r\nContent-Length: 5\r\n", "hello", 400),
        ("Content-Length: +0\r\n", "", 400),
        ("Content-Length: -1\r\n", "", 400),
        ("Content-Length: 0x0\r\n", "", 400),
        ("Content-Length: 18446744073709551616\r\n", "", 400),
        ("Content-Length: 0, 5\r\n", "hello", 400),
        ("Content-Length: 5 \r\n 6\r\n", "hello", 400),
    ]);
}

#[test]
fn a_coding_in_doubt_is_no_request() {
    check_posts(&[
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "0\r\n\r\n",
            400,
        ),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n", 400),
        ("Transfer-Encoding:\u{b}chunked\r\n", "0\r\n\r\n", 400),
        ("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", 501),
        ("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n", 501),
        ("Transfer-Encoding: identity\r\n", "", 501),
    ]);
    check(&[(
        "POST /back HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    )]);
}

#[test]
fn broken_chunks_are_no_body() {
    let chunked = "Transfer-Encoding: chunked\r\n";
    check_posts(&[
        (chunked, "10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
        (chunked, "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", 400),
        (chunked, "0x0\r\n\r\n", 400),
        (chunked, "-1\r\n\r\n", 400),
        (chunked, "5\r\nhello0\r\n\r\n", 400),
        (chunked, "5\r\nhello\n0\r\n\r\n", 400),
        (chunked, "5\nhello\r\n0\r\n\r\n", 400),
        (chunked, "5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
        (chunked, "0\r\n", 400),
        (chunked, "\r\n", 400),
    ]);
}

#[test]
fn a_malformed_head_is_no_request() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: localhost\n\n", 400),
        ("G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /\u{e4} HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /#a HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 505),
        ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        ("GET / http/1.1\r\nHost: localhost\r\n\r\n", 400),
        ("GET /\r\nHost: localhost\r\n\r\n", 400),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03", 400),
    ]);
}

#[test]
fn a_request_has_exactly_one_host() {
    check(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\nhost: other\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost, localhost\r\n\r\n", 400),
    ]);
}

#[test]
fn trace_and_connect_get_405() {
    check(&[
        ("TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (
            "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
            405,
        ),
        ("TRACE /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ]);
}

#[test]
fn a_head_over_its_limits_is_refused() {
    let head = |target: usize, fields: usize, filler: usize| {
        format!(
            "GET /?{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}X: {}\r\n\r\n",
            "t".repeat(target - 2),
            "N: v\r\n".repeat(fields - 3),
            "f".repeat(filler),
        )
    };
    let server = start(|_| {});
    let spare = 16 * 1024 - head(8 * 1024, 100, 0).len();
    for cut in Cut::ALL {
        for (target, fields, filler, status) in [
            (8 * 1024, 100, spare, 200),
            (8 * 1024 + 1, 3, 1, 414),
            (17 * 1024, 3, 1, 414),
            (2, 101, 1, 431),
            (8 * 1024, 100, spare + 1, 431),
            (2, 3, 17 * 1024, 431),
        ] {
            let answer = ask(&server, &head(target, fields, filler), cut);
            assert_eq!(
                statuses(&answer),
                [status],
                "{cut:?} {target} {fields} {filler}"
            );
            assert_eq!(field(&answer, "connection"), Some("close"));
        }
    }
    // Without an end in sight.
    let open = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_owned() + &"x".repeat(20_000);
    assert_eq!(statuses(&ask_whole(&server, &open)), [431]);
    let open = "GET /".to_owned() + &"x".repeat(20_000);
    assert_eq!(statuses(&ask_whole(&server, &open)), [414]);
}

#[test]
fn the_limits_of_a_head_can_be_set() {
    let server = start(|config: &mut Config| {
        config.head_bytes_max = 64 * 1024;
        config.head_fields_max = 300;
        config.target_bytes_max = 100;
    });
    let with = |target: usize, fields: usize| {
        let target = format!("/?{}", "t".repeat(target - 2));
        last_get_of(&target).replace("Host", &format!("{}Host", "N: vvvv\r\n".repeat(fields - 2)))
    };
    for (target, fields, status) in [(100, 300, 200), (101, 300, 414), (100, 301, 431)] {
        let answer = ask_whole(&server, &with(target, fields));
        assert_eq!(statuses(&answer), [status], "{target} {fields}");
    }
}

#[test]
fn a_body_over_the_limit_gets_413() {
    let server = start(|config: &mut Config| config.http_body_bytes_max = 1000);
    let head = |fields: &str| format!("POST /back HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    // From the length alone, whether the body comes or not.
    for body in ["", &"x".repeat(1001)] {
        for fields in [
            "Content-Length: 1001\r\n",
            "Content-Length: 99999999999999\r\n",
        ] {
            let answer = ask_whole(&server, &(head(fields) + body + &get_of("/")));
            assert_eq!(statuses(&answer), [413]);
            assert_eq!(field(&answer, "connection"), Some("close"));
        }
    }
    // In chunks, at the one that passes it.
    let mut stream = server.tcp();
    stream
        .write_all(head("Transfer-Encoding: chunked\r\n").as_bytes())
        .unwrap();
    for _ in 0..10 {
        stream
            .write_all(format!("64\r\n{}\r\n", "x".repeat(100)).as_bytes())
            .unwrap();
    }
    stream.write_all(b"1\r\n").unwrap();
    assert_eq!(statuses(&rest(&mut stream)), [413]);
    // The largest one passes.
    let mut stream = server.tcp();
    let body = "x".repeat(1000);
    stream
        .write_all((head("Content-Length: 1000\r\n") + &body).as_bytes())
        .unwrap();
    assert!(response(&mut stream).ends_with(&body));
    let chunked = head("Transfer-Encoding: chunked\r\n") + "3E8\r\n" + &body + "\r\n0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).unwrap();
    assert!(response(&mut stream).ends_with(&body));
}

/// Far shorter than the pauses of a test could add up to by chance.
const SHORT: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(20);

/// Whether a server gave up after the time, told with 408 or not at all.
fn gave_up(said: &str, since: Instant) {
    assert!(
        said.is_empty() || statuses(said) == [408] || statuses(said) == [400],
        "{said}"
    );
    assert!(since.elapsed() < SHORT * 8, "{:?}", since.elapsed());
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    let server = start(|config: &mut Config| config.head_timeout = SHORT);
    let handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nX: ";
    // Nothing at all.
    let since = Instant::now();
    gave_up(&rest(&mut server.tcp()), since);
    for (first, cycle) in [
        // A header field without an end, a method that is not GET, TLS, a handshake.
        (
            "",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaa".as_slice(),
        ),
        (
            "",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        ("", b"\x16\x03\x01\x02"),
        ("\x16\x03\x01\x02", b"\0"),
        (handshake, b"a"),
    ] {
        let since = Instant::now();
        gave_up(&trickle(&server, first, cycle, PAUSE), since);
    }
    // The second head of a connection, behind an answer.
    let mut stream = server.tcp();
    stream
        .write_all((get_of("/") + "GET / HT").as_bytes())
        .unwrap();
    response(&mut stream);
    let since = Instant::now();
    let said = rest(&mut stream);
    assert_eq!(statuses(&said), [408]);
    gave_up(&said, since);
}

#[test]
fn a_body_that_does_not_come_gets_408() {
    let server = start(|config: &mut Config| config.http_body_timeout = SHORT);
    for fields in ["Content-Length: 9000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = format!("POST /back HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n1\r\n");
        let since = Instant::now();
        let said = trickle(&server, &head, b"1\r\n1\r\n", PAUSE);
        assert_eq!(statuses(&said), [408], "{fields}");
        assert_eq!(field(&said, "connection"), Some("close"));
        gave_up(&said, since);
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let server = start(|config: &mut Config| config.http_idle_timeout = SHORT);
    let mut stream = server.tcp();
    stream.write_all(get_of("/").as_bytes()).unwrap();
    response(&mut stream);
    let since = Instant::now();
    assert_eq!(rest(&mut stream), "");
    assert!(since.elapsed() >= SHORT / 2, "{:?}", since.elapsed());
    gave_up("", since);
}

#[test]
fn connections_over_the_total_get_503() {
    let server = start(|config: &mut Config| config.connections_max = 2.try_into().ok());
    let mut kept: Vec<_> = (0..2).map(|_| server.tcp()).collect();
    for stream in &mut kept {
        stream.write_all(get_of("/").as_bytes()).unwrap();
        assert_eq!(statuses(&response(stream)), [200]);
    }
    let answer = ask_whole(&server, &get_of("/"));
    assert_eq!(statuses(&answer), [503]);
    assert!(field(&answer, "retry-after").is_some());
    drop(kept.pop());
    let again = Instant::now();
    while statuses(&ask_whole(&server, &last_get_of("/"))) != [200] {
        assert!(
            again.elapsed() < Duration::from_secs(5),
            "there is room again"
        );
    }
    kept[0].write_all(get_of("/").as_bytes()).unwrap();
    assert_eq!(statuses(&response(&mut kept[0])), [200], "the others go on");
}

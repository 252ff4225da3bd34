use super::*;

const HEAD_BYTES_MAX: usize = 16 * 1024;
const TARGET_BYTES_MAX: usize = 8 * 1024;
const FIELDS_MAX: usize = 100;

/// A verdict in a word.
fn verdict(bytes: &[u8]) -> &'static str {
    let mut space = fields();
    match classify(
        bytes,
        &mut HeadScan::new(),
        &HeadLimits::default(),
        &mut space,
    ) {
        Classified::Incomplete => "incomplete",
        Classified::Door(_) => "door",
        Classified::Http => "http",
    }
}

fn check(bytes: impl AsRef<[u8]>, expected: &str) {
    let bytes = bytes.as_ref();
    assert_eq!(
        verdict(bytes),
        expected,
        "{:?}",
        String::from_utf8_lossy(bytes)
    );
}

const UPGRADE: &str = "GET /ws?name=a HTTP/1.1\r\nHost: localhost:8080\r\nConnection: keep-alive, \
    Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn recognises_doors() {
    check(UPGRADE, "door");
    check([UPGRADE.as_bytes(), b"\x81\x80\0\0\0\0"].concat(), "door");
    check(UPGRADE.replace("websocket", "foo/2, WebSocket"), "door");
    check(UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), "door");
    check(
        "GET /sse HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n",
        "door",
    );
    check(
        "GET /sse HTTP/1.1\r\nHost: a\r\naccept: text/html, Text/Event-Stream;q=1\r\n\r\n",
        "door",
    );
}

#[test]
fn leaves_the_rest_to_http() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http");
    check("P", "http");
    check("\x16\x03\x01", "http");
    check("GEX / HTTP/1.1\r\n", "http");
    check("\r\nGET / HTTP/1.1\r\n", "http");
    check(
        UPGRADE.replace("Upgrade: websocket", "Upgrade: h2c"),
        "http",
    );
    check(
        UPGRADE.replace("Upgrade: websocket", "Upgrade: websocketx"),
        "http",
    );
    check(
        UPGRADE.replace("Host:", "Content-Length: 0\r\nHost:"),
        "http",
    );
    check(
        UPGRADE.replace("Host:", "Transfer-Encoding: chunked\r\nHost:"),
        "http",
    );
    check(UPGRADE.replace("Host:", "Host: b\r\nHost:"), "http");
    check(UPGRADE.replace("Host:", "Hosts:"), "http");
    check(UPGRADE.replace("Host:", "Host :"), "http");
    check(
        UPGRADE.replace("Host: localhost", "Host: user@localhost"),
        "http",
    );
    check(UPGRADE.replace("/ws", "/w\u{e4}s"), "http");
    check(UPGRADE.replace("/ws", "/ws#a"), "http");
    check(UPGRADE.replace("/ws", "http://localhost:8080/ws"), "door");
    check(UPGRADE.replace("/ws", "http://localhost/ws"), "http");
    check(UPGRADE.replace("HTTP/1.1", "HTTP/2.0"), "http");
    check(UPGRADE.replace("\r\n", "\n"), "http");
    check(UPGRADE.replace("keep-alive,", "keep-alive,\r\n"), "http");
    check(UPGRADE.replace("keep-alive", "keep\0alive"), "http");
    check(UPGRADE.replace("keep-alive", "keep\ralive"), "http");
}

#[test]
fn waits_for_the_blank_line_and_no_longer() {
    for end in 0..UPGRADE.len() {
        check(UPGRADE.get(..end).expect("ASCII"), "incomplete");
    }
    let filled = |len: usize| {
        let rest = len - UPGRADE.len();
        UPGRADE
            .replace("name=a", &format!("name=a{}", "x".repeat(rest.min(8000))))
            .replace(
                "Host:",
                &if rest > 8000 {
                    format!("X: {}\r\nHost:", "y".repeat(rest - 8005))
                } else {
                    "Host:".to_owned()
                },
            )
    };
    assert_eq!(filled(HEAD_BYTES_MAX).len(), HEAD_BYTES_MAX);
    check(filled(HEAD_BYTES_MAX), "door");
    check(filled(HEAD_BYTES_MAX + 1), "http");
    let open = filled(HEAD_BYTES_MAX + 4);
    check(open.get(..HEAD_BYTES_MAX - 1).expect("ASCII"), "incomplete");
    check(open.get(..HEAD_BYTES_MAX).expect("ASCII"), "http");
}

#[test]
fn scans_each_byte_once() {
    for text in [
        "GET / HTTP/1.1\r\nA: b\r\n\r\nrest",
        "GET /\nA: b\n\nrest",
        "a\r\nb\n\r\nrest",
    ] {
        let end = text.find("rest").expect("it is there");
        let mut scan = HeadScan::new();
        for len in 0..end {
            assert_eq!(
                scan.end(text.as_bytes().get(..len).expect("within")),
                None,
                "{text:?} {len}"
            );
            assert!(
                scan.looked + 1 >= len.saturating_sub(1),
                "{text:?}: went back at {len}"
            );
        }
        assert_eq!(scan.end(text.as_bytes()), Some(end));
        assert_eq!(HeadScan::new().end(text.as_bytes()), Some(end));
    }
}

/// The status that a head is refused with, or its framing.
fn read(head: &str) -> Result<Framing, u16> {
    let mut space = fields();
    read_head(head.as_bytes(), &HeadLimits::default(), &mut space)
        .map(|head| head.framing)
        .map_err(|refusal| refusal.status)
}

#[test]
fn reads_framing_strictly() {
    let post = |fields: &str| read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let rows = [
        ("", Ok(Framing::None)),
        ("Content-Length: 5\r\n", Ok(Framing::Length(5))),
        ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
        ("content-length:\t 07 \r\n", Ok(Framing::Length(7))),
        (
            "Content-Length: 18446744073709551613\r\n",
            Ok(Framing::Length(u64::MAX - 2)),
        ),
        ("Content-Length: 18446744073709551614\r\n", Err(400)),
        ("Content-Length: 18446744073709551615\r\n", Err(400)),
        ("Content-Length: 18446744073709551616\r\n", Err(400)),
        ("Content-Length: 99999999999999999999999\r\n", Err(400)),
        ("Content-Length: +0\r\n", Err(400)),
        ("Content-Length: -1\r\n", Err(400)),
        ("Content-Length: 0x0\r\n", Err(400)),
        ("Content-Length: 0, 5\r\n", Err(400)),
        ("Content-Length: 5, 5\r\n", Err(400)),
        ("Content-Length: 5 5\r\n", Err(400)),
        ("Content-Length: 5.0\r\n", Err(400)),
        ("Content-Length: five\r\n", Err(400)),
        ("Content-Length:\r\n", Err(400)),
        ("Content-Length: \u{661}\r\n", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(400)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(400)),
        ("Content-Length : 5\r\n", Err(400)),
        ("Transfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
        ("transfer-encoding: CHUNKED\r\n", Ok(Framing::Chunked)),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(400),
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(400),
        ),
        ("Content-Length: 5\r\nTransfer-Encoding: gzip\r\n", Err(400)),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(400),
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            Err(400),
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(400)),
        ("Transfer-Encoding: ,chunked\r\n", Err(400)),
        ("Transfer-Encoding: chunked,\r\n", Err(400)),
        ("Transfer-Encoding:\r\n", Err(400)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(400)),
        ("Transfer-Encoding: \u{b}chunked\r\n", Err(400)),
        ("Transfer-Encoding : chunked\r\n", Err(400)),
        ("Transfer-Encoding\t: chunked\r\n", Err(400)),
        (" Transfer-Encoding: chunked\r\n", Err(400)),
        ("A: b\r\n Transfer-Encoding: chunked\r\n", Err(400)),
        ("Transfer-Encoding: xchunked\r\n", Err(501)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(501)),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(501)),
        ("Transfer-Encoding: identity\r\n", Err(501)),
        ("Transfer-Encoding: chunked;a=b\r\n", Err(501)),
        ("Transfer-Encoding: chunked foo\r\n", Err(501)),
    ];
    for (fields, expected) in rows {
        assert_eq!(post(fields), expected, "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(old), Err(400));
}

#[test]
fn reads_request_lines_strictly() {
    let line = |line: &str| read(&format!("{line}\r\nHost: a:1\r\n\r\n")).err();
    let rows = [
        ("GET / HTTP/1.1", None),
        ("GET / HTTP/1.0", None),
        ("GET /?a=/../%00 HTTP/1.1", None),
        ("GET http://a:1/x HTTP/1.1", None),
        ("GET HTTP://A:1?x HTTP/1.1", None),
        ("OPTIONS * HTTP/1.1", None),
        ("PROPFIND / HTTP/1.1", None),
        ("M-SEARCH / HTTP/1.1", None),
        ("TRACE / HTTP/1.1", Some(405)),
        ("CONNECT a:1 HTTP/1.1", Some(405)),
        ("get / HTTP/1.1", Some(400)),
        ("G3T / HTTP/1.1", Some(400)),
        ("G@T / HTTP/1.1", Some(400)),
        ("G\0T / HTTP/1.1", Some(400)),
        (" / HTTP/1.1", Some(400)),
        ("GET  / HTTP/1.1", Some(400)),
        ("GET / HTTP/1.1 ", Some(400)),
        ("GET /a b HTTP/1.1", Some(400)),
        ("GET\t/ HTTP/1.1", Some(400)),
        ("GET * HTTP/1.1", Some(400)),
        ("GET a HTTP/1.1", Some(400)),
        ("GET ?a HTTP/1.1", Some(400)),
        ("GET /#a HTTP/1.1", Some(400)),
        ("GET /\u{e4} HTTP/1.1", Some(400)),
        ("GET /\u{7f} HTTP/1.1", Some(400)),
        ("GET /\0 HTTP/1.1", Some(400)),
        ("GET http://b/ HTTP/1.1", Some(400)),
        ("GET http://u@a:1/ HTTP/1.1", Some(400)),
        ("GET http:/// HTTP/1.1", Some(400)),
        ("GET ftp://a:1/ HTTP/1.1", Some(400)),
        ("GET file:///etc/passwd HTTP/1.1", Some(400)),
        ("GET /", Some(400)),
        ("GET", Some(400)),
        ("GET / http/1.1", Some(400)),
        ("GET / HTTPS/1.1", Some(400)),
        ("GET / HTTP/11", Some(400)),
        ("GET / HTTP/1.1x", Some(400)),
        ("GET / HTTP/0.9", Some(505)),
        ("GET / HTTP/1.2", Some(505)),
        ("GET / HTTP/2.0", Some(505)),
        ("PRI * HTTP/2.0", Some(505)),
        ("GET / HTTP/9.9", Some(505)),
    ];
    for (text, expected) in rows {
        assert_eq!(line(text), expected, "{text:?}");
    }
    let methods = [("X".repeat(32), None), ("X".repeat(33), Some(400))];
    for (method, expected) in methods {
        assert_eq!(line(&format!("{method} / HTTP/1.1")), expected);
    }
}

#[test]
fn reads_hosts_strictly() {
    let with = |fields: &str| read(&format!("GET / HTTP/1.1\r\n{fields}\r\n")).err();
    for good in ["a", "a.b-c_d:80", "127.0.0.1", "[::1]:65535", "LOCALHOST"] {
        assert_eq!(with(&format!("Host: {good}\r\n")), None, "{good}");
    }
    for bad in [
        "", "a b", "a,b", "a@b", "a/b", "a:", "a:x", "a:65536", "[::1", "::1", "a\u{e4}", ":80",
    ] {
        assert_eq!(with(&format!("Host: {bad}\r\n")), Some(400), "{bad}");
    }
    assert_eq!(with(""), Some(400));
    assert_eq!(with("Host: a\r\nHost: a\r\n"), Some(400));
    assert_eq!(with("Host: a\r\nhOST: b\r\n"), Some(400));
    assert_eq!(with("Host : a\r\n"), Some(400));
    assert_eq!(read("GET / HTTP/1.0\r\n\r\n").err(), Some(400));
}

#[test]
fn keeps_the_limits_of_a_head() {
    let of = |target: usize, headers: usize, filler: usize| {
        read(&format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n{}X: {}\r\n\r\n",
            "t".repeat(target - 1),
            "N: v\r\n".repeat(headers - 2),
            "f".repeat(filler),
        ))
        .err()
    };
    assert_eq!(of(TARGET_BYTES_MAX, FIELDS_MAX, 1), None);
    assert_eq!(of(TARGET_BYTES_MAX + 1, 2, 1), Some(414));
    assert_eq!(of(HEAD_BYTES_MAX, 2, 1), Some(414));
    assert_eq!(of(1, FIELDS_MAX + 1, 1), Some(431));
    assert_eq!(of(1, 2, HEAD_BYTES_MAX), Some(431));
}

#[test]
fn finds_faults_early() {
    let fault =
        |bytes: &[u8]| early_fault(bytes, &HeadLimits::default()).map(|refusal| refusal.status);
    assert_eq!(fault(b"G"), None);
    assert_eq!(fault(b"GET / HTTP/1.1\r\nHost"), None);
    assert_eq!(fault(b"\x16\x03\x01\x02"), Some(400));
    assert_eq!(fault(b"GET / HTTP/3"), Some(400));
    assert_eq!(fault(b"GET / HTTP/3.0\r\n"), Some(505));
    assert_eq!(fault(b"GET / HTTP/1.1\r\nHost : "), Some(400));
    assert_eq!(
        fault(&[b"GET /".as_slice(), &[b'a'; 8 * 1024]].concat()),
        None
    );
    assert_eq!(
        fault(&[b"GET /".as_slice(), &[b'a'; 9 * 1024]].concat()),
        Some(414)
    );
    let fields = b"a: b\r\n".repeat(FIELDS_MAX + 1);
    assert_eq!(
        fault(&[b"GET / HTTP/1.1\r\n".as_slice(), &fields].concat()),
        Some(431)
    );
    let long = [b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'a'; HEAD_BYTES_MAX]].concat();
    assert_eq!(fault(&long), Some(431));
}

#[test]
fn tells_parts_of_a_head() {
    let mut space = fields();
    let Classified::Door(head) = classify(
        UPGRADE.as_bytes(),
        &mut HeadScan::new(),
        &HeadLimits::default(),
        &mut space,
    ) else {
        panic!("it is a door's");
    };
    assert_eq!(
        (head.path(), head.query(), head.used),
        ("/ws", Some("name=a"), UPGRADE.len())
    );
    assert_eq!((head.method, head.minor_version), ("GET", 1));
    assert_eq!(head.values("UPGRADE").collect::<Vec<_>>(), [b"websocket"]);
    assert_eq!(head.values("origin").count(), 0);
    let provenance = crate::policy::Provenance::of_head(head.headers);
    assert!(!provenance.has_origin());
}

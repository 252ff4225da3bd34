mod client;

use super::super::deflate::Policy;
use super::{Answer, Refusal, Request, ResponseMisuse, validate};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A good request with some headers replaced (or, with an empty value, left out) and others added.
fn request(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static [u8])> {
    let good = [
        ("Host", "localhost:8080"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    let kept = good
        .iter()
        .filter(|(name, _)| changes.iter().all(|(other, _)| name != other));
    let added = changes.iter().filter(|(_, value)| *value != "-");
    kept.chain(added)
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect()
}

fn refusal(
    method: &str,
    minor_version: u8,
    changes: &[(&'static str, &'static str)],
) -> Option<Refusal> {
    validate(Request {
        method,
        minor_version,
        headers: request(changes),
    })
    .err()
}

#[test]
fn rfc_6455_key() {
    let line = include_str!("../../../vectors/websocket/rfc6455-key.txt")
        .lines()
        .last()
        .unwrap();
    let (key, accept) = line.split_once(' ').unwrap();
    assert_eq!(key, KEY);
    let upgrade = validate(Request {
        method: "GET",
        minor_version: 1,
        headers: request(&[]),
    })
    .unwrap();
    assert_eq!(upgrade.accept_key(), accept);
}

/// Method, minor version, changes of a good request, and what it gets.
type Row = (
    &'static str,
    u8,
    &'static [(&'static str, &'static str)],
    Refusal,
);

const REFUSED: &[Row] = &[
    // The method, and a plain GET.
    ("POST", 1, &[], Refusal::Method),
    ("HEAD", 1, &[], Refusal::Method),
    ("get", 1, &[], Refusal::Method),
    ("CONNECT", 1, &[("Upgrade", "-")], Refusal::Method),
    (
        "GET",
        1,
        &[("Upgrade", "-"), ("Connection", "-")],
        Refusal::UpgradeRequired,
    ),
    (
        "GET",
        1,
        &[("Upgrade", "-"), ("Connection", "keep-alive")],
        Refusal::UpgradeRequired,
    ),
    (
        "GET",
        0,
        &[("Upgrade", "-"), ("Connection", "-")],
        Refusal::UpgradeRequired,
    ),
    // HTTP/1.0.
    ("GET", 0, &[], Refusal::HttpVersion),
    // Host.
    ("GET", 1, &[("Host", "-")], Refusal::Host),
    ("GET", 1, &[("Host", "a"), ("host", "b")], Refusal::Host),
    // Upgrade and Connection: one of them missing, or wrong.
    ("GET", 1, &[("Upgrade", "-")], Refusal::Upgrade),
    ("GET", 1, &[("Upgrade", "h2c")], Refusal::Upgrade),
    ("GET", 1, &[("Upgrade", "websocket2")], Refusal::Upgrade),
    ("GET", 1, &[("Upgrade", "web socket")], Refusal::Upgrade),
    ("GET", 1, &[("Connection", "-")], Refusal::Connection),
    (
        "GET",
        1,
        &[("Connection", "keep-alive")],
        Refusal::Connection,
    ),
    ("GET", 1, &[("Connection", "Upgraded")], Refusal::Connection),
    // A body, which would be read as frames.
    ("GET", 1, &[("Content-Length", "5")], Refusal::Body),
    ("GET", 1, &[("Content-Length", "+0")], Refusal::Body),
    ("GET", 1, &[("Transfer-Encoding", "chunked")], Refusal::Body),
    // The key: missing, empty, not 16 bytes, not base64, twice.
    ("GET", 1, &[("Sec-WebSocket-Key", "-")], Refusal::Key),
    ("GET", 1, &[("Sec-WebSocket-Key", "")], Refusal::Key),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j")],
        Refusal::Key,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=")],
        Refusal::Key,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZWE=")],
        Refusal::Key,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ_==")],
        Refusal::Key,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==x")],
        Refusal::Key,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Key", KEY), ("sec-websocket-key", KEY)],
        Refusal::Key,
    ),
    // The version: missing, twice, another.
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "-")],
        Refusal::VersionMissing,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "")],
        Refusal::VersionMissing,
    ),
    (
        "GET",
        1,
        &[
            ("Sec-WebSocket-Version", "13"),
            ("sec-websocket-version", "13"),
        ],
        Refusal::VersionMissing,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "8")],
        Refusal::Version,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "0")],
        Refusal::Version,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "14")],
        Refusal::Version,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "013")],
        Refusal::Version,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "13, 8")],
        Refusal::Version,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Version", "x")],
        Refusal::Version,
    ),
    // Subprotocols: not tokens, empty elements, doubled.
    (
        "GET",
        1,
        &[("Sec-WebSocket-Protocol", "")],
        Refusal::Protocol,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Protocol", "a,,b")],
        Refusal::Protocol,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Protocol", "a b")],
        Refusal::Protocol,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Protocol", "a,")],
        Refusal::Protocol,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Protocol", "a/b")],
        Refusal::Protocol,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Protocol", "ä")],
        Refusal::Protocol,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Protocol", "a, b, a")],
        Refusal::Protocol,
    ),
    (
        "GET",
        1,
        &[
            ("Sec-WebSocket-Protocol", "a"),
            ("sec-websocket-protocol", "a"),
        ],
        Refusal::Protocol,
    ),
    // Extensions that do not follow the grammar.
    (
        "GET",
        1,
        &[("Sec-WebSocket-Extensions", "")],
        Refusal::Extensions,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Extensions", "permessage-deflate;")],
        Refusal::Extensions,
    ),
    (
        "GET",
        1,
        &[("Sec-WebSocket-Extensions", "a; b=\"c d\"")],
        Refusal::Extensions,
    ),
];

#[test]
fn refused_requests() {
    for (method, version, changes, expected) in REFUSED {
        assert_eq!(
            refusal(method, *version, changes),
            Some(*expected),
            "{changes:?}"
        );
    }
}

#[test]
fn good_requests() {
    let rows: &[&[(&str, &str)]] = &[
        &[],
        &[
            ("Upgrade", "WebSocket"),
            ("Connection", "keep-alive, Upgrade"),
        ],
        &[("Upgrade", "h2c, websocket")],
        &[("Connection", "keep-alive"), ("connection", "upgrade")],
        &[("Sec-WebSocket-Version", " 13\t")],
        &[("Content-Length", "0")],
        &[("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAB==")],
        &[("Origin", "http://example.org"), ("Cookie", "a=b")],
        &[(
            "Sec-WebSocket-Extensions",
            "unknown; x=1, permessage-deflate; bad=1",
        )],
    ];
    for changes in rows {
        assert_eq!(refusal("GET", 1, changes), None, "{changes:?}");
    }
}

#[test]
fn answers_to_refusals() {
    let rows = [
        (Refusal::Method, "405 Method Not Allowed", "Allow: GET\r\n"),
        (
            Refusal::UpgradeRequired,
            "426 Upgrade Required",
            "Upgrade: websocket\r\n",
        ),
        (Refusal::HttpVersion, "505 HTTP Version Not Supported", ""),
        (Refusal::Host, "400 Bad Request", ""),
        (Refusal::Upgrade, "400 Bad Request", ""),
        (Refusal::Connection, "400 Bad Request", ""),
        (Refusal::Body, "400 Bad Request", ""),
        (Refusal::Key, "400 Bad Request", ""),
        (Refusal::VersionMissing, "400 Bad Request", ""),
        (
            Refusal::Version,
            "426 Upgrade Required",
            "Sec-WebSocket-Version: 13\r\n",
        ),
        (Refusal::Protocol, "400 Bad Request", ""),
        (Refusal::Extensions, "400 Bad Request", ""),
    ];
    for (refusal, status, header) in rows {
        let mut out = Vec::new();
        refusal.respond(&mut out);
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.starts_with(&format!("HTTP/1.1 {status}\r\nConnection: ")),
            "{out}"
        );
        assert!(out.contains("close\r\n") && out.contains(header), "{out}");
        let (head, body) = out.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, refusal.to_string());
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert_eq!(
            head.contains("Connection: Upgrade, close"),
            refusal.status() == 426
        );
    }
}

#[test]
fn the_response() {
    let headers = request(&[
        ("Sec-WebSocket-Protocol", "chat, parlor.v1"),
        ("sec-websocket-protocol", "last"),
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        ),
    ]);
    let upgrade = validate(Request {
        method: "GET",
        minor_version: 1,
        headers,
    })
    .unwrap();
    assert_eq!(upgrade.protocols(), ["chat", "parlor.v1", "last"]);
    assert_eq!(upgrade.extensions().len(), 1);
    let answer = Answer {
        protocol: Some("parlor.v1"),
        deflate: upgrade.deflate(&Policy::default()),
        headers: &[("Parlor-Gap", "e-1"), ("Set-Cookie", "ä=1;\tb")],
    };
    let mut out = Vec::new();
    upgrade.respond(answer, &mut out).unwrap();
    let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: parlor.v1\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
        client_no_context_takeover\r\nParlor-Gap: e-1\r\nSet-Cookie: ä=1;\tb\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn responses_that_cannot_be_written() {
    let upgrade = validate(Request {
        method: "GET",
        minor_version: 1,
        headers: request(&[]),
    })
    .unwrap();
    let answer = Answer::default();
    let mut out = Vec::new();
    let rows: &[(Answer<'_>, ResponseMisuse)] = &[
        (
            Answer {
                protocol: Some("other"),
                ..Answer::default()
            },
            ResponseMisuse::Protocol,
        ),
        (
            Answer {
                headers: &[("A", "b\r\nC: d")],
                ..answer
            },
            ResponseMisuse::HeaderValue,
        ),
        (
            Answer {
                headers: &[("A", "b\nC: d")],
                ..answer
            },
            ResponseMisuse::HeaderValue,
        ),
        (
            Answer {
                headers: &[("A", "b\0")],
                ..answer
            },
            ResponseMisuse::HeaderValue,
        ),
        (
            Answer {
                headers: &[("A: b\r\nC", "d")],
                ..answer
            },
            ResponseMisuse::HeaderName,
        ),
        (
            Answer {
                headers: &[("", "d")],
                ..answer
            },
            ResponseMisuse::HeaderName,
        ),
        (
            Answer {
                headers: &[("connection", "close")],
                ..answer
            },
            ResponseMisuse::HeaderName,
        ),
        (
            Answer {
                headers: &[("SEC-WEBSOCKET-X", "1")],
                ..answer
            },
            ResponseMisuse::HeaderName,
        ),
    ];
    for (answer, misuse) in rows {
        assert_eq!(upgrade.respond(*answer, &mut out), Err(*misuse));
        assert_eq!(out, b"", "nothing is appended");
    }
}

/// CVE-2021-32640: many subprotocols, or many spaces, take time in proportion.
#[test]
fn long_headers_take_one_pass() {
    let tokens: Vec<String> = (0..3000).map(|n| format!("p{n}")).collect();
    let spaces = format!("a{}b", " ".repeat(16_000));
    for (value, good) in [(tokens.join(","), true), (spaces, false)] {
        let mut headers = request(&[]);
        headers.push(("Sec-WebSocket-Protocol", value.as_bytes().to_vec().leak()));
        let result = validate(Request {
            method: "GET",
            minor_version: 1,
            headers,
        });
        assert_eq!(result.is_ok(), good);
    }
}

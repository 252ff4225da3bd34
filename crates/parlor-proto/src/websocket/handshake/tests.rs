use super::super::deflate::{Mode, Policy};
use super::{Answer, ClientRequest, Refusal, Request, ResponseError, ResponseMisuse, validate};

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

const CLIENT: ClientRequest<'_> = ClientRequest {
    host: "localhost:8080",
    target: "/ws/tea?name=Ann",
    protocols: &["parlor.v1", "chat"],
    deflate: Policy::new(Mode::Shared),
    headers: &[("Origin", "http://localhost:8080")],
};

#[test]
fn the_request_of_a_client() {
    let mut out = Vec::new();
    CLIENT.encode(*b"the sample nonce", &mut out).unwrap();
    let expected = "GET /ws/tea?name=Ann HTTP/1.1\r\nHost: localhost:8080\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: parlor.v1, chat\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
        client_no_context_takeover; client_max_window_bits\r\nOrigin: http://localhost:8080\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let rows = [
        ClientRequest {
            host: "a\r\nb: c",
            ..CLIENT
        },
        ClientRequest { host: "", ..CLIENT },
        ClientRequest {
            target: "/ HTTP/1.1\r\nx: y\r\n",
            ..CLIENT
        },
        ClientRequest {
            target: "/a b",
            ..CLIENT
        },
        ClientRequest {
            protocols: &["a b"],
            ..CLIENT
        },
        ClientRequest {
            headers: &[("Host", "other")],
            ..CLIENT
        },
        ClientRequest {
            headers: &[("A", "b\r\nc: d")],
            ..CLIENT
        },
    ];
    for request in rows {
        let mut out = Vec::new();
        assert_eq!(
            request.encode([0; 16], &mut out).unwrap_err(),
            ResponseError::Request
        );
        assert_eq!(out, b"");
    }
}

#[test]
fn both_sides_meet() {
    let mut bytes = Vec::new();
    let mut client = CLIENT.encode(*b"the sample nonce", &mut bytes).unwrap();
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut parsed = httparse::Request::new(&mut headers);
    assert!(parsed.parse(&bytes).unwrap().is_complete());
    let headers = parsed
        .headers
        .iter()
        .map(|header| (header.name, header.value));
    let upgrade = validate(Request {
        method: "GET",
        minor_version: 1,
        headers,
    })
    .unwrap();
    let answer = Answer {
        protocol: Some("chat"),
        deflate: upgrade.deflate(&Policy::new(Mode::Takeover)),
        headers: &[],
    };
    let mut response = Vec::new();
    upgrade.respond(answer, &mut response).unwrap();
    let head_len = response.len();
    // A frame in the same segment.
    response.extend_from_slice(b"\x81\x05Hello");
    for len in 0..head_len {
        assert_eq!(client.receive(&response[..len]), Ok(None), "{len}");
    }
    let accepted = client.receive(&response).unwrap().unwrap();
    assert_eq!(accepted.head_len, head_len);
    assert_eq!(accepted.protocol.as_deref(), Some("chat"));
    assert_eq!(accepted.deflate, answer.deflate);
    assert!(
        accepted
            .deflate
            .is_some_and(|agreement| agreement.server_no_context_takeover())
    );
}

const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
const TWO: &str = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n";

#[test]
fn responses_that_a_client_refuses() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: /there\r\n".to_owned();
    let status = |status, location: Option<&str>| ResponseError::Status {
        status,
        location: location.map(str::to_owned),
    };
    let extension = super::super::deflate::UnsupportedResponse::Extension;
    let rows = [
        (format!("{SWITCH}{UPGRADE}"), ResponseError::Accept),
        (
            format!("{SWITCH}{UPGRADE}{ACCEPT}{ACCEPT}"),
            ResponseError::Accept,
        ),
        (
            format!("{SWITCH}{UPGRADE}Sec-WebSocket-Accept: AAAA\r\n"),
            ResponseError::Accept,
        ),
        (
            format!("{SWITCH}{ACCEPT}Upgrade: websocket\r\n"),
            ResponseError::Upgrade,
        ),
        (
            format!("{SWITCH}{ACCEPT}Connection: upgrade\r\n"),
            ResponseError::Upgrade,
        ),
        (
            format!("{SWITCH}{UPGRADE}{ACCEPT}Sec-WebSocket-Protocol: x\r\n"),
            ResponseError::Protocol,
        ),
        (
            format!("{SWITCH}{UPGRADE}{ACCEPT}{TWO}"),
            ResponseError::Protocol,
        ),
        (
            format!("{SWITCH}{UPGRADE}{ACCEPT}Sec-WebSocket-Extensions: x\r\n"),
            extension.into(),
        ),
        (
            format!("HTTP/1.0 101 Switching\r\n{UPGRADE}{ACCEPT}"),
            ResponseError::Malformed,
        ),
        ("SSH-2.0-OpenSSH\r\n".to_owned(), ResponseError::Malformed),
        ("HTTP/1.1 200 OK\r\n".to_owned(), status(200, None)),
        (
            "HTTP/1.1 401 Unauthorized\r\n".to_owned(),
            status(401, None),
        ),
        (redirect, status(302, Some("/there"))),
        (
            format!("{SWITCH}{}", "A: b\r\n".repeat(101)),
            ResponseError::LimitHead,
        ),
        (
            format!("{SWITCH}A: {}\r\n", "b".repeat(16 << 10)),
            ResponseError::LimitHead,
        ),
    ];
    for (head, error) in rows {
        let mut client = CLIENT
            .encode(*b"the sample nonce", &mut Vec::new())
            .unwrap();
        assert_eq!(
            client.receive(format!("{head}\r\n").as_bytes()),
            Err(error),
            "{head}"
        );
    }
}

#[test]
fn a_response_without_an_end() {
    let mut client = CLIENT
        .encode(*b"the sample nonce", &mut Vec::new())
        .unwrap();
    let endless = vec![b'x'; 16 << 10];
    assert_eq!(client.receive(&endless[..endless.len() - 1]), Ok(None));
    assert_eq!(client.receive(&endless), Err(ResponseError::LimitHead));
}

//! The side of the client.

use super::super::super::deflate::{Mode, Policy, UnsupportedResponse};
use super::super::{Answer, ClientRequest, Request, ResponseError, validate};

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
    let extension = UnsupportedResponse::Extension;
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

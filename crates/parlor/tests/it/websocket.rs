//! The WebSocket rows of bad input: what a connection gets, and that it is its own affair.

use std::io::{Read, Write};

use crate::support::{TestServer, frame, upgrade};

/// The status line of the answer to a request.
fn status(server: &TestServer, request: &str) -> String {
    let response = server.exchange(request.as_bytes());
    response.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn requests_that_are_no_upgrade_are_refused_before_the_101() {
    let server = TestServer::start(|_| {});
    let good = upgrade("/ws", "");
    let without = |line: &str| {
        let mut lines: Vec<&str> = good.split("\r\n").collect();
        lines.retain(|l| !l.starts_with(line));
        lines.join("\r\n")
    };
    let with = |from: &str, to: &str| good.replace(from, to);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let cases = [
        (without("Sec-WebSocket-Key"), 400, "key missing"),
        (with("dGhlIHNhbXBsZSBub25jZQ==", ""), 400, "key empty"),
        (
            with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            400,
            "key not 16 bytes",
        ),
        (with(key, &key.repeat(2)), 400, "key twice"),
        (without("Upgrade"), 400, "Upgrade missing"),
        (without("Connection"), 400, "Connection missing"),
        (without("Host"), 400, "no Host"),
        (without("Sec-WebSocket-Version"), 400, "version missing"),
        (with("Version: 13", "Version: 8"), 426, "version 8"),
        (with("GET", "POST"), 405, "POST"),
        (with("HTTP/1.1", "HTTP/1.0"), 505, "HTTP/1.0"),
        (
            "GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            426,
            "plain GET",
        ),
        (
            "GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            426,
            "plain GET of the echo",
        ),
        (
            with("Host: localhost", "Host: example.com"),
            421,
            "another host",
        ),
        (with("/ws", "/ws/%00"), 400, "control character in a room"),
        (with("/ws", "/ws/%ff"), 400, "a room that is not UTF-8"),
        (
            with("/ws", &format!("/ws/{}", "x".repeat(129))),
            400,
            "a long room",
        ),
    ];
    for (request, expected, what) in cases {
        let line = status(&server, &request);
        assert!(
            line.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{what}: {line}"
        );
    }
    server.websocket("/ws").settle();
}

#[test]
fn a_refusal_of_the_version_names_the_one_that_is_spoken() {
    let server = TestServer::start(|_| {});
    let response = server.exchange(upgrade("/ws", "").replace("n: 13", "n: 12").as_bytes());
    assert!(
        response
            .to_lowercase()
            .contains("sec-websocket-version: 13\r\n"),
        "{response}"
    );
    let response = server.exchange(b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(
        response.to_lowercase().contains("upgrade: websocket\r\n"),
        "{response}"
    );
}

#[test]
fn foreign_origins_are_refused_at_every_door() {
    let server = TestServer::start(|config| config.origins = vec!["https://good.example".into()]);
    let foreign = [
        "https://evil.example",
        "https://good.example.evil.example",
        "https://evilgood.example",
        "https://good.example:444",
        "http://good.example",
        "https://user@good.example",
        "https://good.example\r\nOrigin: https://good.example",
    ];
    for path in ["/", "/ws", "/ws/tea", "/echo"] {
        for origin in foreign {
            let line = status(&server, &upgrade(path, &format!("Origin: {origin}\r\n")));
            assert!(line.starts_with("HTTP/1.1 403 "), "{path} {origin}: {line}");
        }
        for origin in [
            "https://good.example",
            "http://localhost",
            "http://127.0.0.1:3000",
            "null",
        ] {
            server
                .websocket_with(path, &format!("Origin: {origin}\r\n"))
                .settle();
        }
    }
}

/// Sends frames to the echo and returns the close code that comes.
fn close_code(server: &TestServer, bytes: &[u8]) -> u16 {
    let mut client = server.websocket("/echo");
    client.stream.write_all(bytes).unwrap();
    client.receive_close().0
}

#[test]
fn frames_against_the_rules_get_1002() {
    let server = TestServer::start(|_| {});
    let unmasked = |first: u8, payload: &[u8]| {
        let mut bytes = vec![first, u8::try_from(payload.len()).unwrap()];
        bytes.extend_from_slice(payload);
        bytes
    };
    let mut cases: Vec<(String, Vec<u8>)> = vec![
        ("unmasked".into(), unmasked(0x81, b"x")),
        ("RSV1 without an extension".into(), frame(0xc1, b"x")),
        ("RSV2".into(), frame(0xa1, b"x")),
        ("RSV3".into(), frame(0x91, b"x")),
        ("fragmented ping".into(), frame(0x09, b"x")),
        ("fragmented close".into(), frame(0x08, &[3, 232])),
        ("long ping".into(), frame(0x89, &[0; 126])),
        ("continuation of nothing".into(), frame(0x80, b"x")),
        (
            "text inside a message".into(),
            [frame(0x01, b"x"), frame(0x81, b"y")].concat(),
        ),
        (
            "length with the top bit".into(),
            [&[0x82, 0xff, 0x80][..], &[0; 11]].concat(),
        ),
        (
            "length in more bytes than needed".into(),
            [0x82, 0xfe, 0, 5, 0, 0, 0, 0].to_vec(),
        ),
        ("close of one byte".into(), frame(0x88, &[3])),
    ];
    for opcode in (3..8).chain(11..16) {
        cases.push((format!("opcode {opcode}"), frame(0x80 | opcode, b"x")));
    }
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535_u16,
    ] {
        cases.push((
            format!("close code {code}"),
            frame(0x88, &code.to_be_bytes()),
        ));
    }
    for (what, bytes) in cases {
        assert_eq!(close_code(&server, &bytes), 1002, "{what}");
    }
}

#[test]
fn text_that_is_not_utf8_gets_1007_at_the_first_bad_byte() {
    let server = TestServer::start(|_| {});
    let mut reason = 1000_u16.to_be_bytes().to_vec();
    reason.extend([0xc3, 0x28]);
    for bytes in [
        frame(0x81, &[0xce, 0xba, 0xff]),
        frame(0x81, &[0xed, 0xa0, 0x80]),
        [frame(0x01, &[0xce]), frame(0x80, &[0x28])].concat(),
        frame(0x88, &reason),
        // The message is not finished, and need not be.
        frame(0x01, &[0xf4, 0x90]),
        frame(0x81, &[0x80; 100])[..7].to_vec(),
    ] {
        assert_eq!(close_code(&server, &bytes), 1007, "{bytes:02x?}");
    }
}

#[test]
fn messages_over_the_limit_get_1009_and_too_many_fragments_1008() {
    let server = TestServer::start(|config| {
        config.message_bytes_max = 1000;
        config.message_fragments_max = 16;
    });
    let declared = [0x82, 0xff, 0, 0, 0, 255, 0, 0, 0, 0, 1, 2, 3, 4];
    assert_eq!(close_code(&server, &declared), 1009, "declared");
    assert_eq!(close_code(&server, &frame(0x82, &[0; 1001])), 1009);
    let fragments = [frame(0x02, &[0; 600]), frame(0x00, &[0; 600])].concat();
    assert_eq!(close_code(&server, &fragments), 1009, "in fragments");
    let mut empty = frame(0x02, b"");
    for _ in 0..16 {
        empty.extend(frame(0x00, b""));
    }
    assert_eq!(close_code(&server, &empty), 1008);
    let mut client = server.websocket("/echo");
    client.send(0x82, &[7; 1000]);
    assert_eq!(client.receive().unwrap().payload, [7; 1000]);
}

#[test]
fn a_valid_close_is_echoed_and_the_server_closes() {
    let server = TestServer::start(|_| {});
    for code in [
        1000, 1001, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999_u16,
    ] {
        let mut client = server.websocket("/echo");
        client.send(0x88, &code.to_be_bytes());
        assert_eq!(client.receive_close().0, code);
    }
    let mut client = server.websocket("/echo");
    client.send(0x88, b"");
    assert_eq!(client.receive().unwrap().payload, b"");
    assert!(client.receive().is_err());
}

#[test]
fn a_flood_of_pings_gets_one_pending_pong() {
    let server = TestServer::start(|_| {});
    let mut client = server.websocket("/echo");
    let pings: Vec<u8> = (0..1000_u32)
        .flat_map(|n| frame(0x89, &n.to_be_bytes()))
        .collect();
    client.stream.write_all(&pings).unwrap();
    client.send_text("done");
    let mut pongs = 0;
    loop {
        let frame = client.receive().unwrap();
        if frame.first == 0x81 {
            break;
        }
        assert_eq!(frame.first, 0x8a);
        pongs += 1;
    }
    assert!(
        pongs <= 1000 / 2,
        "{pongs} pongs for pings that came together"
    );
}

#[test]
fn frames_in_the_segment_of_the_upgrade_are_read() {
    let server = TestServer::start(|_| {});
    let mut stream = server.tcp();
    let mut bytes = upgrade("/echo", "").into_bytes();
    bytes.extend(frame(0x81, b"early"));
    stream.write_all(&bytes).unwrap();
    let mut response = Vec::new();
    let mut buffer = [0; 1024];
    while !response.ends_with(b"\x81\x05early") {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn a_head_byte_by_byte_is_read() {
    let server = TestServer::start(|_| {});
    let mut stream = server.tcp();
    for byte in upgrade("/echo", "").bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[test]
fn the_first_subprotocol_is_chosen() {
    let server = TestServer::start(|_| {});
    let client = server.websocket_with("/ws", "Sec-WebSocket-Protocol: chat, superchat\r\n");
    assert!(
        client
            .response
            .to_lowercase()
            .contains("\r\nsec-websocket-protocol: chat")
    );
    let client = server.websocket("/ws");
    assert!(
        !client
            .response
            .to_lowercase()
            .contains("sec-websocket-protocol")
    );
}

#[test]
fn a_broken_deflate_stream_gets_1007_and_a_bomb_1009() {
    let server = TestServer::start(|_| {});
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let close = |bytes: &[u8]| {
        let mut client = server.websocket_with("/echo", offer);
        client.stream.write_all(bytes).unwrap();
        client.receive_close().0
    };
    assert_eq!(close(&frame(0xc1, &[0xff; 20])), 1007);
    // Zeros deflated: one block that repeats a zero 258 bytes at a time.
    let mut bomb = Vec::new();
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let zeros = vec![0; 8 << 20];
    bomb.reserve(1 << 20);
    deflate
        .compress_vec(&zeros, &mut bomb, flate2::FlushCompress::Sync)
        .unwrap();
    bomb.truncate(bomb.len() - 4);
    assert_eq!(close(&frame(0xc2, &bomb)), 1009);
}

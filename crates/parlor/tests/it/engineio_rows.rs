//! What clients of Engine.IO do wrong by long-polling, row by row, through the whole server.
//! `docs/protocols/socketio.md` says which test shows which row.

use std::{
    io::{Read as _, Write as _},
    num::NonZero,
    time::Duration,
};

use crate::{
    polling_support::Reply,
    support::{TestServer, upgrade},
};

/// Waits until no session is left.
pub(crate) fn until_all_ended(server: &TestServer) {
    server.expect(r#"parlor_members{door="socketio"}"#, 0);
}

#[test]
fn requests_are_refused_with_the_reference_s_codes() {
    let server = TestServer::start(|_| {});
    let mut session = server.poll_engine(4, "");
    let sid = &session.sid;
    let none = "AAAAAAAAAAAAAAAAAAAA";
    let rows = [
        // The transport.
        ("GET", "EIO=4".to_owned(), 0),
        ("GET", "EIO=4&transport=".to_owned(), 0),
        ("GET", "EIO=4&transport=tcp".to_owned(), 0),
        ("POST", "EIO=4&transport=__proto__".to_owned(), 0),
        ("GET", "EIO=4&transport=constructor".to_owned(), 0),
        ("GET", format!("EIO=4&transport=webtransport&sid={sid}"), 0),
        // The session.
        ("GET", format!("EIO=4&transport=polling&sid={none}"), 1),
        ("POST", format!("EIO=4&transport=polling&sid={none}"), 1),
        ("GET", "EIO=4&transport=polling&sid=__proto__".to_owned(), 1),
        ("POST", "EIO=4&transport=polling&sid=toString".to_owned(), 1),
        (
            "GET",
            "EIO=4&transport=websocket&sid=__proto__".to_owned(),
            1,
        ),
        // The method.
        ("POST", "EIO=4&transport=polling".to_owned(), 2),
        ("DELETE", "EIO=4&transport=polling".to_owned(), 2),
        // Another transport than the session's, another revision, no upgrade.
        ("GET", "EIO=4&transport=websocket".to_owned(), 3),
        ("GET", format!("EIO=4&transport=websocket&sid={sid}"), 3),
        ("GET", format!("EIO=3&transport=polling&sid={sid}"), 3),
        ("PUT", format!("EIO=4&transport=polling&sid={sid}"), 3),
        // The revision.
        ("GET", "transport=polling".to_owned(), 5),
        ("GET", "EIO=3&transport=polling".to_owned(), 5),
        ("GET", "EIO=5&transport=polling".to_owned(), 5),
        ("GET", "EIO=__proto__&transport=polling".to_owned(), 5),
    ];
    for (method, query, code) in rows {
        let reply = server.ask_poll(method, &query, "", b"");
        assert_eq!(reply.refusal(), (400, code), "{method} {query}");
    }
    // The session that was named has not noticed.
    session.connect("/");
    session.settle();
}

#[test]
fn a_websocket_is_refused_in_text_before_it_is_one() {
    let server = TestServer::start(|_| {});
    for (query, text) in [
        ("EIO=4", "Transport unknown"),
        (
            "EIO=4&transport=websocket&sid=__proto__",
            "Session ID unknown",
        ),
        ("EIO=3&transport=websocket", "Unsupported protocol version"),
        ("transport=websocket", "Unsupported protocol version"),
        ("EIO=4&transport=polling", "Bad request"),
    ] {
        let request = upgrade(&format!("/socket.io/?{query}"), "");
        let answer = server.exchange(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{query} {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{text}")), "{answer}");
    }
    let foreign = upgrade(
        "/socket.io/?EIO=4&transport=websocket",
        "Origin: http://e.example\r\n",
    );
    let answer = server.exchange(foreign.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nForbidden"), "{answer}");
}

#[test]
fn who_may_not_come_in_is_forbidden() {
    let server = TestServer::start(|_| {});
    let (mut session, _) = server.poll_io("");
    let foreign = "Origin: http://e.example\r\n";
    let forbidden = |reply: &Reply| {
        assert_eq!(reply.refusal(), (403, 4));
        assert!(!reply.head.contains("access-control-allow"), "{reply:?}");
    };
    let open = "EIO=4&transport=polling";
    forbidden(&server.ask_poll("GET", open, foreign, b""));
    forbidden(&server.ask_poll("GET", &session.query, foreign, b""));
    let text = format!("{foreign}Content-Type: text/plain\r\n");
    forbidden(&server.ask_poll("POST", &session.query, &text, b"1"));
    let cross = "Sec-Fetch-Site: cross-site\r\n";
    forbidden(&server.ask_poll("POST", &session.query, cross, b"1"));
    let long = "x".repeat(129);
    for query in ["&room=%0A", "&room=", "&room=%FF", &format!("&name={long}")] {
        forbidden(&server.ask_poll("GET", &format!("{open}{query}"), "", b""));
    }
    session.settle();
}

#[test]
fn sessions_count_as_connections() {
    let server = TestServer::start(|config| config.connections_max = NonZero::new(24));
    let mut sessions = 0;
    let refused = loop {
        let mut stream = server.tcp();
        let request = b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\
            Connection: close\r\n\r\n";
        let mut answer = Vec::new();
        // A connection that is one too many itself may be reset behind its answer, or before it.
        let _ = stream.write_all(request);
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        if answer.starts_with("HTTP/1.1 200 ") {
            sessions += 1;
        } else if !answer.is_empty() && !answer.starts_with("HTTP/1.1 503 ") {
            break answer;
        }
        assert!(sessions < 24);
    };
    assert!(sessions > 0);
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(
        refused.ends_with(r#"{"code":4,"message":"Forbidden"}"#),
        "{refused}"
    );
}

#[test]
fn of_two_requests_at_once_the_second_ends_the_session() {
    let server = TestServer::start(|_| {});
    for _ in 0..4 {
        let (session, _) = server.poll_io("");
        let gets = [(); 2].map(|()| server.send_poll("GET", &session.query, "", b""));
        // Whichever came second is refused, and the other one hears of the end.
        let mut replies = gets.map(Reply::read);
        replies.sort_by_key(|reply| reply.status);
        let [told, refused] = replies;
        assert_eq!((told.status, told.text()), (200, "1"));
        assert_eq!(refused.refusal(), (400, 3));
        assert!(session.get().is_unknown());
        assert!(session.post(b"6").is_unknown());
    }
    let (session, _) = server.poll_io("");
    let slow = server.send_poll("POST", &session.query, "Content-Length: 2\r\n", b"6");
    let refused = loop {
        // Until the first one is being read both may pass.
        let second = session.post(b"6");
        if second.status != 200 {
            break second;
        }
    };
    assert_eq!(refused.refusal(), (400, 3));
    assert!(session.get().is_unknown());
    drop(slow);
    until_all_ended(&server);
}

#[test]
fn bodies_of_other_kinds_are_not_taken() {
    let server = TestServer::start(|_| {});
    let (mut session, _) = server.poll_io("");
    for coding in ["gzip", "deflate", "br", "identity, gzip"] {
        let coding = format!("Content-Encoding: {coding}\r\n");
        let reply = server.ask_poll("POST", &session.query, &coding, b"6");
        assert_eq!(reply.status, 415, "{coding}");
    }
    session.settle();
    for kind in ["application/octet-stream", "Application/Octet-Stream ; x=1"] {
        let (session, _) = server.poll_io("");
        let kind = format!("Content-Type: {kind}\r\n");
        let reply = server.ask_poll("POST", &session.query, &kind, b"6");
        assert_eq!(reply.refusal(), (400, 3), "{kind}");
        assert!(session.get().is_unknown());
    }
    // What asks for a script is passed over.
    let asked = format!("{}&j=1", session.query);
    assert_eq!(session.say(r#"29["leave","x"]"#), 200);
    let reply = server.ask_poll("GET", &asked, "", b"");
    assert!(reply.text().starts_with("439["), "{reply:?}");
    assert!(reply.head.contains("content-type: text/plain"), "{reply:?}");
}

#[test]
fn bodies_that_are_too_long_end_the_session() {
    let server = TestServer::start(|config| config.socketio.engine.payload_bytes_max = 10_000);
    let long = "4".repeat(10_001);
    let chunked = format!("2711\r\n{long}\r\n0\r\n\r\n");
    let rows = [
        // Announced, and never sent.
        ("Content-Length: 18446744073709551613\r\n", ""),
        ("Content-Length: 10001\r\n", "4"),
        ("", &long),
        ("Transfer-Encoding: chunked\r\n", &chunked),
    ];
    for (more, body) in rows {
        let (session, _) = server.poll_io("");
        let reply = server.ask_poll("POST", &session.query, more, body.as_bytes());
        assert_eq!((reply.status, reply.text()), (413, ""), "{more}");
        assert!(reply.head.contains("connection: close"), "{reply:?}");
        assert!(session.get().is_unknown(), "{more}");
    }
    // As long as it may be.
    let (mut session, _) = server.poll_io("");
    let text = "x".repeat(10_000 - 19);
    assert_eq!(session.say(&format!(r#"2["message","{text}"]"#)), 200);
    assert_eq!(session.hear(), format!(r#"2["message","{text}"]"#));
    session.settle();
    drop(session);
}

#[test]
fn payloads_that_cannot_be_read_end_the_session() {
    let server = TestServer::start(|_| {});
    let rows: [&[u8]; 16] = [
        b"",
        b"\x1e",
        b"\x1e6",
        b"6\x1e",
        b"6\x1e\x1e6",
        b"7",
        b"x",
        b"\x00",
        b"6\x1e9",
        // As revision 3 writes it.
        b"9:42[\"x\",1]",
        b"4\xff",
        b"4\xed\xa0\x80",
        b"42[\"x\",\"\xc3\"]",
        // Base64 that is none.
        b"b=",
        b"bA",
        b"b-_8=",
    ];
    for row in rows {
        let (session, _) = server.poll_io("");
        let reply = session.post(row);
        assert_eq!(reply.status, 400, "{}", row.escape_ascii());
        assert_eq!(reply.refusal(), (400, 3), "{}", row.escape_ascii());
        assert!(session.get().is_unknown(), "{}", row.escape_ascii());
    }
    // A ping is a packet, though none of a client's.
    let (mut session, _) = server.poll_io("");
    session.say_all(&["2"]);
    session.ends();
    until_all_ended(&server);
}

#[test]
fn packets_of_a_payload_are_bounded() {
    let server = TestServer::start(|_| {});
    let (mut session, _) = server.poll_io("");
    let most = vec!["6"; 131_072];
    assert_eq!(session.say_all(&most), 200);
    session.settle();
    let more = vec!["6"; 131_073];
    assert_eq!(session.say_all(&more), 400);
    assert!(session.get().is_unknown());
}

#[test]
fn a_body_that_comes_slowly_ends_the_session() {
    let server = TestServer::start(|config| {
        config.http_body_timeout = Duration::from_secs(2);
    });
    let (session, _) = server.poll_io("");
    let slow = server.send_poll("POST", &session.query, "Content-Length: 9\r\n", b"42[");
    let reply = Reply::read(slow);
    assert_eq!(reply.status, 408, "{reply:?}");
    assert!(session.get().is_unknown());
    until_all_ended(&server);
}

#[test]
fn an_upgrade_that_goes_wrong_leaves_the_session_alone() {
    let server = TestServer::start(|config| {
        config.socketio.engine.upgrade_timeout = Duration::from_secs(120);
    });
    let (mut session, _) = server.poll_io("");
    let frames: [(u8, &[u8]); 8] = [
        (0x81, b"5"),
        (0x81, b"2"),
        (0x81, b"2probe2"),
        (0x81, b"3probe"),
        (0x81, b"42[\"message\",1]"),
        (0x81, b"x"),
        (0x81, b""),
        (0x82, b"2probe"),
    ];
    for (first, payload) in frames {
        let mut socket = session.socket();
        socket.send(first, payload);
        assert_eq!(socket.receive().unwrap().first, 0x88, "{payload:?}");
        session.settle();
    }
    // A second one beside one that is tried, and one beside the session's own.
    let mut first = session.socket();
    first.send_text("2probe");
    assert_eq!(first.receive_text(), "3probe");
    let mut second = session.socket();
    assert_eq!(second.receive().unwrap().first, 0x88);
    first.send_text("5");
    first.send_text(r#"427["leave","x"]"#);
    assert!(first.receive_text().starts_with("437["));
    let mut third = session.socket();
    assert_eq!(third.receive().unwrap().first, 0x88);
    assert_eq!(session.get().refusal(), (400, 3));
    assert_eq!(session.post(b"6").refusal(), (400, 3));
    first.send_text(r#"428["leave","x"]"#);
    assert!(first.receive_text().starts_with("438["));
    drop(first);
    until_all_ended(&server);
}

#[test]
fn an_upgrade_that_is_left_open_is_closed() {
    let server = TestServer::start(|config| {
        config.socketio.engine.upgrade_timeout = Duration::from_millis(500);
    });
    let (mut session, _) = server.poll_io("");
    // One that says nothing, and one that says too little.
    for word in [None, Some("2probe")] {
        let mut socket = session.socket();
        if let Some(word) = word {
            socket.send_text(word);
        }
        // Its time may be over before its word has come.
        while socket.receive().unwrap().first != 0x88 {}
        session.settle();
    }
}

#[test]
fn a_session_that_nobody_asks_for_ends() {
    let server = TestServer::start(|config| {
        config.socketio.engine.ping_interval = Duration::from_millis(200);
        config.socketio.engine.ping_timeout = Duration::from_millis(200);
        config.socketio.engine.legacy = true;
    });
    for version in [4, 3] {
        // Some have joined, and some have asked and gone.
        let mut sessions = Vec::new();
        for number in 0..12 {
            let session = server.poll_engine(version, "");
            if number % 2 == 0 && version == 4 {
                session.say("0");
            }
            if number % 3 == 0 {
                drop(server.send_poll("GET", &session.query, "", b""));
            }
            sessions.push(session);
        }
        until_all_ended(&server);
        for session in sessions {
            assert!(session.get().is_unknown());
            assert!(session.post(b"6").is_unknown());
        }
    }
}

#[test]
fn binary_payloads_of_revision_3() {
    let server = TestServer::start(|config| config.socketio.engine.legacy = true);
    let octets = "Content-Type: application/octet-stream\r\n";
    let hearer = || {
        let mut hearer = server.poll_engine(3, "&b64=1");
        // The main namespace is joined without asking.
        assert_eq!(hearer.hear(), "0");
        hearer
    };
    let mut bo = hearer();
    let ann = hearer();
    let packet = r#"451-["x",{"_placeholder":true,"num":0}]"#;
    let mut body = vec![0, 3, 9, 0xFF];
    body.extend(packet.as_bytes());
    body.extend([1, 4, 0xFF, 4, 1, 2, 3]);
    assert_eq!(packet.len(), 39);
    let reply = server.ask_poll("POST", &ann.query, octets, &body);
    assert_eq!((reply.status, reply.text()), (200, "ok"));
    assert_eq!(bo.packet().unwrap(), packet);
    assert_eq!(bo.packet().unwrap(), "b4AQID");
    let wrong: [&[u8]; 12] = [
        b"",
        b"\x00",
        b"\x00\xff4",
        b"\x00\x01",
        b"\x00\x0a\xff4",
        b"\x00\x02\xff4",
        b"\x02\x01\xff6",
        b"\x00\x01\xff9",
        b"\x00\x02\xff4\xff",
        b"\x01\x00\xff",
        // A length that overflows, and one that is announced and not there.
        b"\x00\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff4",
        b"\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff\x04",
    ];
    for body in wrong {
        let ann = hearer();
        let reply = server.ask_poll("POST", &ann.query, octets, body);
        assert_eq!(reply.refusal(), (400, 3), "{}", body.escape_ascii());
        assert!(ann.get().is_unknown());
    }
    let wrong = [
        "",
        "6",
        ":6",
        "2:6",
        "1:67",
        "-1:6",
        "+1:6",
        "99999999999:6",
        // The half of a character.
        "2:4\u{1F600}",
        // Base64 that is none, and a type that it cannot have.
        "4:b4A=",
        "6:b2AQID",
    ];
    for body in wrong {
        let ann = hearer();
        assert_eq!(ann.post(body.as_bytes()).refusal(), (400, 3), "{body}");
        assert!(ann.get().is_unknown(), "{body}");
    }
    // Bytes where none are awaited are wrong to Socket.IO.
    let mut ann = hearer();
    server.ask_poll("POST", &ann.query, octets, b"\x01\x02\xff\x04x");
    ann.ends();
}

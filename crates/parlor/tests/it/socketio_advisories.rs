//! What the published advisories of engine.io, socket.io-parser and socket.io tell of, done to this
//! server. Each test is named for its advisory; in the end others are served as before.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    time::Duration,
};

use socket2::SockRef;

use crate::{
    engineio_rows::until_all_ended,
    polling_support::Reply,
    support::{TestServer, upgrade},
};

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// Sees that nobody has noticed: clients come, talk and go.
fn serves(server: &TestServer) {
    let (mut polled, _) = server.poll_io("");
    let (mut io, _) = server.io("");
    polled.settle();
    io.settle();
    drop(io);
    assert_eq!(polled.say_all(&["1"]), 200);
    until_all_ended(server);
}

/// Ids of sessions and sockets could be guessed from those before.
#[test]
fn cve_2017_16031_ids_that_can_be_guessed() {
    let server = TestServer::start(|_| {});
    let mut seen = BTreeSet::new();
    let mut halves = BTreeSet::new();
    for _ in 0..64 {
        let (session, id) = server.poll_io("");
        let ids = [session.sid.clone(), id];
        assert!(ids.iter().all(|id| id.len() == 20), "{ids:?}");
        for id in ids {
            halves.insert(id.get(10..).unwrap().to_owned());
            assert!(seen.insert(id));
        }
        // The one that others are shown says nothing of the one that must be kept.
        session.say_all(&["1"]);
    }
    assert_eq!(halves.len(), 128);
    serves(&server);
}

/// Every page could read the answers.
#[test]
fn cve_2020_28481_answers_for_all_origins() {
    let server = TestServer::start(|_| {});
    let open = "EIO=4&transport=polling";
    for origin in ["http://e.example", "http://localhost.e.example"] {
        let more = format!("Origin: {origin}\r\n");
        let reply = server.ask_poll("GET", open, &more, b"");
        assert!(!reply.head.contains("access-control-allow-origin: *"));
        assert!(!reply.head.contains("e.example"), "{reply:?}");
        assert_eq!(reply.status, 403, "{reply:?}");
    }
    serves(&server);
}

/// A body of 100 MB was taken in whole.
#[test]
fn cve_2020_36048_large_bodies() {
    let server = TestServer::start(|_| {});
    let (session, _) = server.poll_io("");
    let announced = "Content-Length: 100000000\r\n";
    let reply = server.ask_poll("POST", &session.query, announced, b"4");
    assert_eq!(reply.status, 413);
    assert!(session.get().is_unknown());
    // In chunks, without an end: it is cut at the first byte that is too much.
    let (session, _) = server.poll_io("");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut stream = server.send_poll("POST", &session.query, chunked, b"");
    let chunk = [b"10000\r\n".as_slice(), &[b'4'; 65_536], b"\r\n"].concat();
    let taken = (0..1600).take_while(|_| stream.write_all(&chunk).is_ok());
    assert!(taken.count() < 1600, "a hundred megabytes were taken");
    assert!(session.get().is_unknown());
    serves(&server);
}

/// Packets were put together by appending, at many times their size.
#[test]
fn cve_2020_36049_large_packets() {
    let server = TestServer::start(|_| {});
    for packet in [
        // As many digits, as long a name, as many elements as a message can have.
        format!("2{}", "1".repeat(999_000)),
        format!("5{}", "1".repeat(999_000)),
        format!("2/{}", "x".repeat(999_000)),
        format!("2[{}", "[],".repeat(333_000)),
        format!("2[\"x\"{}", ",".repeat(999_000)),
    ] {
        let (mut io, _) = server.io("");
        io.say(&packet);
        assert!(io.is_closed());
        let (mut session, _) = server.poll_io("");
        assert_eq!(session.say(&packet), 200);
        session.ends();
    }
    serves(&server);
}

/// A frame that breaks the protocol, before anybody listened for errors.
#[test]
fn cve_2022_21676_bad_frames_behind_the_handshake() {
    let server = TestServer::start(|_| {});
    let mut frames: Vec<Vec<u8>> = [0x40, 0x20, 0x10, 0x60, 0x30]
        .map(|bits| vec![0x81 | bits, 0x80, 0, 0, 0, 0])
        .into();
    // Unknown opcodes, no mask, lengths that cannot be.
    frames.extend([vec![0x83, 0x80, 0, 0, 0, 0], vec![0x81, 0x01, b'4']]);
    frames.push([&[0x81, 0xFF, 0xFF][..], &[0xFF; 11]].concat());
    frames.push(vec![0x89, 0xFE, 0, 126, 0, 0, 0, 0]);
    for frame in frames {
        // In the segment of the handshake, and behind it.
        let mut both = upgrade(WEBSOCKET, "").into_bytes();
        both.extend(&frame);
        let answer = server.exchange(&both);
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let mut client = server.websocket(WEBSOCKET);
        client.stream.write_all(&frame).unwrap();
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        // On a socket that is tried the session is left alone.
        let (mut session, _) = server.poll_io("");
        let mut tried = session.socket();
        tried.stream.write_all(&frame).unwrap();
        let _ = tried.stream.read_to_end(&mut rest);
        session.settle();
        session.say_all(&["1"]);
    }
    serves(&server);
}

/// Placeholders whose number was taken as it came: text, names of methods, nothing at all.
#[test]
fn cve_2022_2421_placeholders_that_are_no_numbers() {
    let server = TestServer::start(|_| {});
    for num in [
        r#""splice""#,
        r#""__proto__""#,
        r#""length""#,
        r#""0""#,
        "[0]",
        "{}",
        "null",
        "true",
        "-1",
        "1",
        "0.5",
        "1e999",
        "18446744073709551616",
    ] {
        for kind in ["51-", "61-0"] {
            let packet = format!(r#"{kind}["x",{{"_placeholder":true,"num":{num}}}]"#);
            let (mut io, _) = server.io("");
            io.say_binary(&packet, &[&[1]]);
            assert!(io.is_closed(), "{packet}");
            let (mut session, _) = server.poll_io("");
            session.say_all(&[&format!("4{packet}"), "bAQ=="]);
            session.ends();
        }
    }
    serves(&server);
}

/// Clients that reset the connection while their upgrade is refused.
#[test]
fn cve_2022_41940_resets_of_refused_upgrades() {
    let server = TestServer::start(|_| {});
    for _ in 0..20 {
        for target in [
            "/socket.io/?EIO=4&transport=websocket&sid=none",
            "/socket.io/?EIO=9&transport=websocket",
            "/socket.io/?EIO=4&transport=polling",
            "/socket.io/",
        ] {
            let mut stream = server.tcp();
            stream.write_all(upgrade(target, "").as_bytes()).unwrap();
            let reset = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            reset.unwrap();
            drop(stream);
        }
    }
    serves(&server);
}

/// Requests whose query names something that every object has, or the other transport.
#[test]
fn cve_2023_31125_odd_queries() {
    let server = TestServer::start(|_| {});
    for query in [
        "EIO=4&transport=__proto__",
        "EIO=4&transport=constructor",
        "EIO=4&transport=hasOwnProperty",
        "EIO=4&transport=polling&transport=websocket",
        "EIO=4&transport[]=polling",
        "EIO=4&transport=polling&sid=constructor",
        "EIO=4&transport=websocket&sid=toString",
        "EIO=4&EIO=4&transport=polling",
        "EIO=4&transport=%",
        "&&&===&EIO=&transport=polling",
    ] {
        for method in ["GET", "POST", "OPTIONS", "PATCH"] {
            let reply = server.ask_poll(method, query, "", b"");
            assert!((200..500).contains(&reply.status), "{method} {query}");
            assert!(reply.status >= 400 || method == "OPTIONS", "{query}");
        }
        let request = upgrade(&format!("/socket.io/?{query}"), "");
        let answer = server.exchange(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{query} {answer}");
    }
    // An upgrade by the transport that has none.
    let request = upgrade("/socket.io/?EIO=4&transport=polling", "");
    let answer = server.exchange(request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    serves(&server);
}

/// Names of events that were no text.
#[test]
fn cve_2023_32695_names_that_are_no_text() {
    let server = TestServer::start(|_| {});
    for packet in [
        r#"2[{"toString":"x"}]"#,
        r#"2[{}]"#,
        "2[[]]",
        "2[null]",
        "2[true]",
        "2[]",
        "2{}",
        "2null",
        r#"2"x""#,
        "2",
    ] {
        let (mut io, _) = server.io("");
        io.say(packet);
        assert!(io.is_closed(), "{packet}");
        let (mut session, _) = server.poll_io("");
        session.say(packet);
        session.ends();
    }
    serves(&server);
}

/// Events whose name was one of the server's own.
#[test]
fn cve_2024_38355_events_named_error() {
    let server = TestServer::start(|_| {});
    let (mut hearer, _) = server.io("");
    let (session, _) = server.poll_io("");
    // This one is a name like any other.
    for packet in [r#"2["error"]"#, r#"2["error",{"message":"x"}]"#] {
        session.say(packet);
        assert_eq!(hearer.hear(), packet);
    }
    session.say_all(&["1"]);
    for name in [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    ] {
        let (mut session, _) = server.poll_io("");
        session.say(&format!(r#"2["{name}"]"#));
        session.ends();
    }
    drop(hearer);
    serves(&server);
}

/// Attachments were kept for a packet that announced any number of them.
#[test]
fn cve_2026_33151_any_number_of_attachments() {
    let server = TestServer::start(|_| {});
    for count in ["11", "1000000", "9007199254740993", &"9".repeat(100)] {
        let packet = format!(r#"5{count}-["x",{{"_placeholder":true,"num":0}}]"#);
        let (mut io, _) = server.io("");
        io.say(&packet);
        assert!(io.is_closed(), "{count}");
        let (mut session, _) = server.poll_io("");
        session.say(&packet);
        session.ends();
    }
    // As many as there may be, and all of them too long together.
    let places: Vec<String> = (0..10)
        .map(|num| format!(r#",{{"_placeholder":true,"num":{num}}}"#))
        .collect();
    let (mut io, _) = server.io("");
    io.say(&format!(r#"510-["x"{}]"#, places.concat()));
    let bytes = vec![0; 900_000];
    for _ in 0..3 {
        io.client.send(0x82, &bytes);
    }
    assert!(io.is_closed());
    serves(&server);
}

/// A transport that was found by the name of something that every object has.
#[test]
fn cve_2026_59724_sessions_named_proto_by_webtransport() {
    let server = TestServer::start(|_| {});
    let query = "EIO=4&transport=webtransport&sid=__proto__";
    for method in ["GET", "POST", "CONNECT"] {
        let reply = server.ask_poll(method, query, "", b"");
        assert!(matches!(reply.status, 400 | 405), "{reply:?}");
    }
    let answer = server.exchange(upgrade(&format!("/socket.io/?{query}"), "").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    serves(&server);
}

/// POSTs of octets to sessions of revision 4 were never answered.
#[test]
fn cve_2026_59725_posts_of_octets() {
    let server = TestServer::start(|_| {});
    let octets = "Content-Type: application/octet-stream\r\n";
    let sent: Vec<_> = (0..50)
        .map(|_| {
            let session = server.poll_engine(4, "");
            server.send_poll("POST", &session.query, octets, b"\x04\x01")
        })
        .collect();
    for stream in sent {
        assert_eq!(Reply::read(stream).refusal(), (400, 3));
    }
    serves(&server);
}

/// A packet with attachments that announced none was kept, and so was what came behind it.
#[test]
fn cve_2026_69185_no_attachments() {
    let server = TestServer::start(|_| {});
    for packet in [r#"50-["x"]"#, r#"500-["x"]"#, r#"60-1["x"]"#, r#"5-["x"]"#] {
        let (mut io, _) = server.io("");
        io.say(packet);
        assert!(io.is_closed(), "{packet}");
        let (mut session, _) = server.poll_io("");
        session.say_all(&[&format!("4{packet}"), "bAQ=="]);
        session.ends();
    }
    serves(&server);
}

/// Of other servers: threads for each request (python-engineio), attachments that go on
/// accumulating (python-socketio).
#[test]
fn cve_2026_48802_and_48804_what_adds_up_over_requests() {
    let server = TestServer::start(|_| {});
    let (session, _) = server.poll_io("");
    // A packet that never ends, one attachment for each request.
    session.say(r#"52-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
    session.say_all(&["bAQ=="]);
    let mut session = session;
    assert_eq!(session.say_all(&["bAQ==", "bAQ=="]), 200);
    session.ends();
    // Requests that nobody waits for.
    let (session, _) = server.poll_io("");
    for _ in 0..100 {
        drop(server.send_poll("GET", &session.query, "", b""));
        drop(server.send_poll("POST", &session.query, "Content-Length: 9\r\n", b"4"));
    }
    serves(&server);
}

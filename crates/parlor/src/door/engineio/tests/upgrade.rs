//! From polling to WebSocket.

use super::*;

fn upgrade(server: &TestServer, sid: &str, version: u8) -> Client {
    let query = format!("EIO={version}&transport=websocket&sid={sid}");
    let (client, answer) = Client::ask(server, &query, "");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    client
}

#[test]
fn a_session_goes_on_over_a_socket() {
    let server = TestServer::start(Options::default());
    let (query, sid) = server.poll(4);
    let mut socket = upgrade(&server, &sid, 4);
    let pending = server.get_pending(&query);
    socket.say("2probe");
    assert_eq!(socket.text(), "3probe");
    // The GET that is pending is ended, so that the client can stop polling.
    assert_eq!(read(pending).text(), "6");
    // Until the client says so it goes on over polling.
    server.post(&query, "4over polling");
    assert_eq!(server.get(&query).text(), "4over polling");
    server.post(&query, "4waits");
    socket.say("5");
    assert_eq!(socket.text(), "4waits");
    socket.say("4over the socket");
    assert_eq!(socket.text(), "4over the socket");
    let refused = server.get(&query);
    assert_eq!(
        (refused.status, refused.text().contains("\"code\":3")),
        (400, true)
    );
    // A second socket is closed, and the session is left alone.
    let mut second = upgrade(&server, &sid, 4);
    assert_eq!(second.frame().0, 8);
    socket.say("4still");
    assert_eq!(socket.text(), "4still");
    socket.say("1");
    assert_eq!(socket.frame().0, 8);
    server.until("closed transport close");
}

#[test]
fn what_comes_with_the_last_word_is_taken_in() {
    let server = TestServer::start(Options {
        versions: Versions::V4V3,
        ..Options::default()
    });
    for version in [4, 3] {
        let (_, sid) = server.poll(version);
        let mut socket = upgrade(&server, &sid, version);
        socket.say("2probe");
        assert_eq!(socket.text(), "3probe");
        // All in one segment.
        let mut frames = Vec::new();
        for text in ["5", "4one", "4two"] {
            frames.extend([0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0]);
            frames.extend(text.as_bytes());
        }
        socket.0.write_all(&frames).unwrap();
        assert_eq!(socket.text(), "4one");
        assert_eq!(socket.text(), "4two");
    }
}

#[test]
fn a_wrong_word_closes_the_socket_and_not_the_session() {
    let server = TestServer::start(Options::default());
    let (query, sid) = server.poll(4);
    for words in [["2"], ["5"], ["4early"], ["x"]] {
        let mut socket = upgrade(&server, &sid, 4);
        for word in words {
            socket.say(word);
        }
        assert_eq!(socket.frame().0, 8);
    }
    // One that just ends.
    let mut socket = upgrade(&server, &sid, 4);
    socket.say("2probe");
    assert_eq!(socket.text(), "3probe");
    drop(socket);
    assert_eq!(server.post(&query, "4still").text(), "ok");
    let heard = server.get(&query);
    assert!(matches!(heard.text(), "4still"), "{}", heard.text());
    // A second one beside one that is tried; the first may go on.
    let mut first = loop {
        // The end of the one before may not be noticed yet.
        let mut first = upgrade(&server, &sid, 4);
        first.say("2probe");
        if let (1, _) = first.frame() {
            break first;
        }
    };
    let mut second = upgrade(&server, &sid, 4);
    assert_eq!(second.frame().0, 8);
    first.say("5");
    first.say("4here");
    assert_eq!(first.text(), "4here");
}

#[test]
fn a_socket_that_says_nothing_is_closed_in_time() {
    let server = TestServer::start(Options {
        upgrade_timeout: Duration::from_millis(200),
        ..Options::default()
    });
    let (query, sid) = server.poll(4);
    let mut socket = upgrade(&server, &sid, 4);
    assert_eq!(socket.frame().0, 8);
    server.post(&query, "4still");
    assert_eq!(server.get(&query).text(), "4still");
}

#[test]
fn nothing_is_lost_or_reordered_over_an_upgrade() {
    let server = TestServer::start(Options::default());
    for round in 0..50 {
        let (query, sid) = server.poll(4);
        let mut sent = 0;
        let mut heard = Vec::new();
        let mut say = || {
            sent += 1;
            format!("4{}", sent - 1)
        };
        let take = |text: &str, heard: &mut Vec<usize>| {
            for packet in text.split('\u{1e}') {
                match packet.split_at(1) {
                    ("4", number) => heard.push(number.parse().unwrap()),
                    ("6", _) => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        let mut pending = server.get_pending(&query);
        let mut socket = upgrade(&server, &sid, 4);
        server.post(&query, &[say(), say()].join("\u{1e}"));
        take(read(pending).text(), &mut heard);
        socket.say("2probe");
        assert_eq!(socket.text(), "3probe");
        pending = server.send("GET", &query, "", b"");
        server.post(&query, &say());
        take(read(pending).text(), &mut heard);
        server.post(&query, &[say(), say(), say()].join("\u{1e}"));
        if round % 2 == 0 {
            take(server.get(&query).text(), &mut heard);
        }
        socket.say("5");
        for _ in 0..3 {
            socket.say(&say());
        }
        while heard.len() < sent {
            take(&socket.text(), &mut heard);
        }
        assert_eq!(heard, (0..sent).collect::<Vec<_>>());
    }
}

#[test]
fn a_connection_that_was_polled_by_may_become_the_socket() {
    let server = TestServer::start(Options::default());
    // Several, since each may come in by another shard than its session.
    for _ in 0..6 {
        let (_, sid) = server.poll(4);
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let query = format!("/engine.io/?EIO=4&transport=polling&sid={sid}");
        let head = "HTTP/1.1\r\nHost: localhost\r\n";
        let request = format!("POST {query} {head}Content-Length: 6\r\n\r\n4hello");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let query = format!("/engine.io/?EIO=4&transport=websocket&sid={sid}");
        let request = format!(
            "GET {query} {head}Upgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        let mut socket = Client(stream);
        socket.say("2probe");
        assert_eq!(socket.text(), "3probe");
        socket.say("5");
        assert_eq!(socket.text(), "4hello");
    }
}

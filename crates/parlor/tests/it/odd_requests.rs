//! Requests that RFC 9110, RFC 9112 and RFC 3986 allow and few clients send, at every door.

use std::{
    io::{Read, Write},
    net::TcpStream,
    num::NonZero,
};

use serde_json::{Value, json};

use crate::{
    http_support::{field, get_of, last_get_of, statuses},
    support::{Client, TestServer, upgrade},
};

#[test]
fn a_target_in_absolute_form_reaches_the_doors() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    for target in [
        "http://localhost/ws/tea?name=Bo",
        "HTTP://LOCALHOST/ws/tea?name=Bo",
    ] {
        let mut bo = server.websocket(target);
        let told = ann.hear();
        assert_eq!(
            (&told["room"], &told["name"]),
            (&json!("tea"), &json!("Bo"))
        );
        bo.send_text("hello");
        assert_eq!(ann.hear()["data"], "hello");
        drop(bo);
        assert_eq!(ann.hear()["type"], "peer-left");
    }
    let mut stream = server.events("http://localhost/sse/tea");
    assert_eq!(stream.joined()["room"], "tea");
    // Without a path it is `/`, which is a door for whoever asks for an upgrade.
    for target in [
        "http://localhost",
        "http://localhost?echo=1",
        "http://localhost/",
    ] {
        let mut member = server.websocket(target);
        if target.contains("echo") {
            member.send_text("to all");
            assert_eq!(member.receive_text(), "to all");
        }
    }
    for target in [
        "http://elsewhere/ws/tea",
        "ws://localhost/ws/tea",
        "localhost/ws",
    ] {
        let answer = server.exchange(upgrade(target, "").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
}

#[test]
fn the_answer_to_head_has_no_body() {
    let server = TestServer::start(|_| {});
    let long = format!("/{}", "x".repeat(9000));
    for (target, status) in [
        ("/ws", 405),
        ("/ws/tea", 405),
        ("/echo", 405),
        ("/signal", 405),
        ("/sse/tea", 405),
        ("/rooms/tea/messages", 405),
        ("/nowhere", 404),
        (&*long, 414),
    ] {
        let head = last_get_of(target).replace("GET", "HEAD");
        let answer = server.exchange(head.as_bytes());
        assert_eq!(statuses(&answer), [status], "{target}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{target}: {answer}");
    }
}

#[test]
fn every_answer_but_an_upgrade_has_a_date() {
    let server = TestServer::start(|_| {});
    for request in [
        last_get_of("/ws"),
        last_get_of("/ws/%ff"),
        last_get_of("/sse/%ff"),
        last_get_of("/healthz"),
        last_get_of("/nowhere"),
        last_get_of("/sse").replace("localhost", "evil.example"),
        last_get_of("/").replace("Host", "Hosts"),
        upgrade("/ws", "Sec-WebSocket-Version: 13\r\n"),
    ] {
        let answer = server.exchange(request.as_bytes());
        let dates = answer.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            name.eq_ignore_ascii_case("date") && line.ends_with(" GMT")
        });
        assert_eq!(dates.count(), 1, "{request}: {answer}");
    }
    let stream = server.events("/sse/tea");
    assert!(field(&stream.response, "date").unwrap().ends_with(" GMT"));
}

#[test]
fn a_percent_sign_without_digits_names_no_room() {
    let server = TestServer::start(|_| {});
    for name in ["%", "%zz", "a%4", "%%34", "caf%C3%A", "%ff"] {
        for path in ["/ws/", "/signal/"] {
            let request = upgrade(&format!("{path}{name}"), "");
            let answer = server.exchange(request.as_bytes());
            assert!(
                answer.starts_with("HTTP/1.1 400 "),
                "{path}{name}: {answer}"
            );
        }
        let answer = server.exchange(last_get_of(&format!("/sse/{name}")).as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "/sse/{name}: {answer}");
        let (status, answer) = server.post(&format!("/rooms/{name}/messages"), TEXT, b"x");
        assert_eq!(status, 400, "{name}");
        assert!(answer["error"].is_string(), "{name}: {answer}");
    }
    let mut events = server.events("/sse/100%25");
    assert_eq!(events.joined()["room"], "100%");
    let (status, answer) = server.post("/rooms/%310%30%25/messages", TEXT, b"x");
    assert_eq!((status, &answer["receivers"]), (201, &json!(1)));
    assert_eq!(events.event().parts().2, "x");
}

const TEXT: &str = "Content-Type: text/plain\r\n";

#[test]
fn an_id_that_is_no_text_is_a_gap() {
    let server = TestServer::start(|_| {});
    server.publish("tea", &json!({"data": "old"}));
    for since in ["%ff", "a%00b", "a%0Ab", "%"] {
        let mut member = server.websocket(&format!("/ws/tea?since={since}"));
        assert!(field(&member.response, "parlor-gap").is_some(), "{since}");
        assert_eq!(member.receive_text(), "old");
        let mut stream = server.events(&format!("/sse/tea?since={since}"));
        stream.joined();
        assert_eq!(stream.event().name.as_deref(), Some("gap"), "{since}");
        assert_eq!(stream.event().parts().2, "old");
    }
}

#[test]
fn a_post_is_refused_in_json_and_never_changed() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    let gzip = format!("{TEXT}Content-Encoding: gzip\r\n");
    for (query, headers, expected) in [
        ("?event=%ff", TEXT, 400),
        ("?priority=%ff", TEXT, 400),
        ("?event=a%0Ab", TEXT, 400),
        ("", &*gzip, 415),
    ] {
        let (status, answer) = server.post(&format!("/rooms/tea/messages{query}"), headers, b"x");
        assert_eq!(status, expected, "{query}{headers}");
        assert!(answer["error"].is_string(), "{query}{headers}: {answer}");
    }
    let plain = format!("{TEXT}Content-Encoding: identity\r\n");
    for (query, headers, event) in [
        ("?event=one&event=two", TEXT, "one"),
        ("?event=a+b%2B%E2%82%AC", TEXT, "a b+\u{20ac}"),
        ("?event", TEXT, "message"),
        ("?other=%ff", TEXT, "message"),
        ("", &*plain, "message"),
    ] {
        let (status, answer) = server.post(&format!("/rooms/tea/messages{query}"), headers, b"x");
        assert_eq!(status, 201, "{query}: {answer}");
        assert_eq!(ann.hear()["event"], event, "{query}");
    }
}

#[test]
fn a_path_without_a_room_has_the_only_room_as_its_default() {
    let server = TestServer::start(|_| {});
    for path in ["/signal", "/ws", "/"] {
        let subprotocol = "Sec-WebSocket-Protocol: parlor.v1\r\n";
        let mut member = server.websocket_with(path, subprotocol);
        let mut ask = |message: Value| {
            member.send_text(&message.to_string());
            serde_json::from_str::<Value>(&member.receive_text()).unwrap()
        };
        assert_eq!(ask(json!({"type": "join", "room": "tea"}))["room"], "tea");
        let ack = ask(json!({"type": "message", "data": 1, "ref": 1}));
        assert_eq!(ack["type"], "ack", "{path}: {ack}");
        assert_eq!(ask(json!({"type": "leave", "ref": 2}))["type"], "ack");
        assert_eq!(ask(json!({"type": "join"}))["room"], "lobby", "{path}");
    }
}

#[test]
fn an_empty_event_name_is_that_of_a_message() {
    let server = TestServer::start(|_| {});
    let mut raw = server.websocket("/ws/tea");
    let mut stream = server.events("/sse/tea");
    stream.joined();
    let mut ann = server.peer_in("tea");
    ann.say(&json!({"type": "message", "event": "", "data": "hello"}));
    assert_eq!(raw.receive_text(), "hello");
    let event = stream.event();
    assert_eq!((event.name, event.data.as_deref()), (None, Some("hello")));
}

/// A stream as HTTP/1.0 has it: no chunks, and the connection's end is its end.
#[test]
fn a_stream_goes_to_proxies_that_ask_in_http_1_0() {
    let mut server = TestServer::start(|_| {});
    let mut streams = Vec::new();
    for (room, headers) in [
        ("tea", ""),
        (
            "milk",
            "Connection: keep-alive\r\nAccept-Encoding: gzip\r\n",
        ),
    ] {
        let mut stream = server.tcp();
        let request = format!("GET /sse/{room} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let begun = until(&mut stream, "-0\n\n");
        let (head, body) = begun.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert_eq!(field(head, "connection"), Some("close"));
        for name in ["transfer-encoding", "content-length", "content-encoding"] {
            assert_eq!(field(head, name), None, "{head}");
        }
        assert!(body.starts_with(": welcome\n\nretry: "), "{body}");
        let joined = format!("\n\nevent: joined\ndata: {{\"room\":\"{room}\",");
        assert!(body.contains(&joined), "{body}");
        let id = server.publish(room, &json!({"data": "one\ntwo"}));
        let event = until(&mut stream, "two\n\n");
        assert_eq!(event, format!("id: {id}\ndata: one\ndata: two\n\n"));
        streams.push(stream);
    }
    server.begin_stop();
    for mut stream in streams {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "retry: 3000\n\n");
    }
    server.stop();
}

/// What comes, up to and with this.
fn until(stream: &mut TcpStream, what: &str) -> String {
    let mut read = String::new();
    let mut byte = [0];
    while !read.ends_with(what) {
        stream.read_exact(&mut byte).unwrap();
        read.push(char::from(byte[0]));
    }
    read
}

#[test]
fn a_stream_that_heard_nothing_yet_comes_back_to_where_it_was() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = NonZero::new(shards));
        let _ann = server.peer_in("tea");
        let _bo = server.peer_in("milk");
        for path in ["/sse/tea", "/sse?room=tea&room=milk"] {
            let mut stream = server.events(path);
            stream.joined();
            let mut here = stream.block().unwrap();
            if path.contains("milk") {
                stream.joined();
                here = stream.block().unwrap();
            }
            assert_eq!((&here.name, &here.data), (&None, &None));
            let here = here.id.unwrap();
            drop(stream);
            server.publish("tea", &json!({"data": "missed"}));
            let mut back = server.events_with(path, &format!("Last-Event-ID: {here}\r\n"));
            let missed = loop {
                let event = back.event();
                if event.name.as_deref() != Some("joined") {
                    break event;
                }
            };
            assert_eq!(missed.parts().1, None, "{path}, {shards} shards");
            assert_eq!(missed.parts().2, "missed", "{path}, {shards} shards");
        }
    }
}

#[test]
fn after_a_gap_the_next_return_has_none() {
    let server = TestServer::start(|_| {});
    let _ann = server.peer_in("tea");
    let mut stream = server.events_with("/sse/tea", "Last-Event-ID: deadbeef-7\r\n");
    stream.joined();
    assert_eq!(stream.event().name.as_deref(), Some("gap"));
    let here = stream.block().unwrap().id.unwrap();
    drop(stream);
    server.publish("tea", &json!({"data": "missed"}));
    let mut back = server.events_with("/sse/tea", &format!("Last-Event-ID: {here}\r\n"));
    back.joined();
    assert_eq!(back.event().data.as_deref(), Some("missed"));
}

#[test]
fn an_upgrade_may_follow_an_empty_line_and_other_requests() {
    let server = TestServer::start(|_| {});
    let mut stream = server.tcp();
    let request = format!("{}\r\n{}", get_of("/healthz"), upgrade("/echo", ""));
    stream.write_all(request.as_bytes()).unwrap();
    assert!(crate::http_support::response(&mut stream).ends_with("ok\n"));
    let mut echo = Client::opened(stream);
    echo.send_text("hello");
    assert_eq!(echo.receive_text(), "hello");
}

//! `POST /rooms/{room}/messages`: publishing without a connection.

use serde_json::{Value, json};

use crate::{http_support::field, support::TestServer};

const JSON: &str = "Content-Type: application/json\r\n";
const TEXT: &str = "Content-Type: text/plain\r\n";
const BINARY: &str = "Content-Type: application/octet-stream\r\n";

#[test]
fn a_message_is_answered_with_its_id_and_how_many_hear_it() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = std::num::NonZero::new(shards));
        // Nobody is there: it is kept for those who come.
        let (status, answer) = server.post("/rooms/tea/messages", TEXT, b"early");
        assert_eq!((status, &answer["receivers"]), (201, &json!(0)));
        let mut early = server.events("/sse/tea?last=1");
        early.joined();
        let id = answer["id"].as_str();
        assert_eq!(early.event().parts(), (id, None, "early"));
        drop(early);
        server.expect("parlor_members{door=\"sse\"}", 0);
        let mut ann = server.peer_in("tea");
        let mut events = server.events("/sse/tea");
        events.joined();
        ann.hear();
        for (kind, body) in [
            (JSON, &br#"{"data":"x"}"#[..]),
            (
                "Content-Type: Application/JSON; charset=utf-8\r\n",
                br#"{ "data" : "x" }"#,
            ),
            (TEXT, b"x"),
            ("Content-Type: text/plain;charset=UTF-8\r\n", b"x"),
        ] {
            let (status, answer) = server.post("/rooms/tea/messages", kind, body);
            assert_eq!((status, &answer["receivers"]), (201, &json!(2)), "{kind}");
            let heard = ann.hear();
            assert_eq!(heard["id"], answer["id"]);
            assert_eq!(
                (&heard["from"], &heard["name"]),
                (&Value::Null, &Value::Null)
            );
            let event = events.event();
            assert_eq!(event.parts(), (answer["id"].as_str(), None, "x"));
        }
        let (status, answer) = server.post("/rooms/tea/messages?event=e", BINARY, &[255]);
        assert_eq!((status, &answer["receivers"]), (201, &json!(2)));
        assert_eq!(ann.hear()["data"], json!({"base64": "/w=="}));
        // The room is percent-decoded.
        let mut bo = server.peer_in("caf\u{e9} / bar");
        server.publish("caf%C3%A9%20%2F%20bar", &json!({"data": 1}));
        assert_eq!(bo.hear()["data"], 1);
    }
}

#[test]
fn without_history_a_message_to_nobody_has_no_id() {
    let server = TestServer::start(|config| config.history_messages = 0);
    let (status, answer) = server.post("/rooms/tea/messages", TEXT, b"x");
    assert_eq!((status, answer), (201, json!({"id": null, "receivers": 0})));
    server.expect("parlor_rooms", 0);
}

#[test]
fn a_retry_sets_the_delay_of_event_streams() {
    let server = TestServer::start(|_| {});
    let mut events = server.events("/sse/tea");
    events.joined();
    server.publish("tea", &json!({"data": "x", "retry": 4711}));
    let event = events.event();
    assert_eq!(
        (event.retry.as_deref(), event.data.as_deref()),
        (Some("4711"), Some("x"))
    );
    for retry in [json!(-1), json!("1"), json!(1.5), json!(1_u64 << 40)] {
        let body = json!({"data": "x", "retry": retry}).to_string();
        let (status, _) = server.post("/rooms/tea/messages", JSON, body.as_bytes());
        assert_eq!(status, 400, "{retry}");
    }
}

/// A message that is refused: its room, header lines and body, the status, and what is wrong.
type Case<'a> = (&'a str, &'a str, &'a [u8], u16, &'a str);

#[track_caller]
fn refused(server: &TestServer, cases: &[Case<'_>]) {
    for (room, headers, body, expected, what) in cases {
        let (status, answer) = server.post(&format!("/rooms/{room}/messages"), headers, body);
        assert_eq!(status, *expected, "{what}: {answer}");
    }
}

#[test]
fn json_that_is_no_message_is_refused() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    let too_deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(129), "]".repeat(129));
    let long_event = format!(r#"{{"data":1,"event":"{}"}}"#, "x".repeat(257));
    refused(
        &server,
        &[
            ("tea", JSON, b"", 400, "nothing"),
            ("tea", JSON, b"hello", 400, "no JSON"),
            ("tea", JSON, b"[1]", 400, "no object"),
            ("tea", JSON, b"{}", 400, "no data"),
            (
                "tea",
                JSON,
                br#"{"data":1,"id":"a\nb"}"#,
                400,
                "an id of the client's",
            ),
            ("tea", JSON, br#"{"data":1,"data":2}"#, 400, "data twice"),
            ("tea", JSON, br#"{"data":{"base64":"A"}}"#, 400, "no base64"),
            (
                "tea",
                JSON,
                br#"{"data":1,"event":7}"#,
                400,
                "an event that is no text",
            ),
            (
                "tea",
                JSON,
                br#"{"data":1,"event":"a\nb"}"#,
                400,
                "LF in an event",
            ),
            (
                "tea",
                JSON,
                br#"{"data":1,"event":"a\rb"}"#,
                400,
                "CR in an event",
            ),
            (
                "tea",
                JSON,
                br#"{"data":1,"event":"a\u0000b"}"#,
                400,
                "NUL in an event",
            ),
            ("tea", JSON, long_event.as_bytes(), 400, "a long event"),
            (
                "tea",
                JSON,
                br#"{"data":1,"priority":"urgent"}"#,
                400,
                "a priority",
            ),
            ("tea", JSON, too_deep.as_bytes(), 400, "deep data"),
            ("tea", JSON, b"{\"data\":\"\xff\"}", 400, "not UTF-8"),
        ],
    );
    // None of it reached anybody; what is just deep enough does.
    ann.client.settle();
    let deep = format!(r#"{{"data":{}{}}}"#, "[".repeat(120), "]".repeat(120));
    let (status, answer) = server.post("/rooms/tea/messages", JSON, deep.as_bytes());
    assert_eq!(status, 201, "{answer}");
    assert!(ann.client.receive_text().contains("[[[[[[]]]]]]"));
}

#[test]
fn a_body_that_is_no_message_is_refused() {
    let server = TestServer::start(|config| config.http_body_bytes_max = 1000);
    let mut ann = server.peer_in("tea");
    let large = [b'x'; 1001];
    let long = "x".repeat(129);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let uplink = "Content-Type: text/plain\r\nParlor-Uplink: x\r\n";
    let origin = "Content-Type: text/plain\r\nOrigin: http://evil.example\r\n";
    refused(
        &server,
        &[
            ("tea", TEXT, b"\xff", 400, "text that is not UTF-8"),
            (
                "tea",
                "Content-Type: image/png\r\n",
                b"x",
                415,
                "another type",
            ),
            ("tea", "", b"x", 415, "no type"),
            ("tea", form, b"data=x", 415, "a form"),
            ("tea", TEXT, &large, 413, "a large body"),
            ("a%00b", TEXT, b"x", 400, "a control character in the room"),
            ("%ff", TEXT, b"x", 400, "a room that is not UTF-8"),
            (&long, TEXT, b"x", 400, "a long room"),
            ("", TEXT, b"x", 400, "no room"),
            ("a/b", TEXT, b"x", 404, "two segments"),
            ("tea", uplink, b"x", 403, "no uplink"),
            ("tea", origin, b"x", 403, "a foreign origin"),
        ],
    );
    for event in ["a%0Ab", "a%0D", "%00"] {
        let target = format!("/rooms/tea/messages?event={event}");
        assert_eq!(server.post(&target, TEXT, b"x").0, 400, "{event}");
    }
    ann.client.settle();
}

#[test]
fn messages_are_only_posted() {
    let server = TestServer::start(|_| {});
    for method in ["GET", "PUT", "DELETE", "HEAD"] {
        let request = format!(
            "{method} /rooms/tea/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        let answer = server.exchange(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 405 "), "{method}: {answer}");
        assert_eq!(field(&answer, "allow"), Some("POST"));
    }
}

#[test]
fn whoever_shows_the_uplink_speaks_as_the_streams_member() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = std::num::NonZero::new(shards));
        let mut ann = server.peer_in("tea");
        let mut events = server.events("/sse/tea?name=Sue");
        let joined = events.joined();
        let id = joined["id"].as_str().unwrap();
        let uplink = joined["uplink"].as_str().unwrap();
        assert_eq!(ann.hear()["data"], id);
        let post = |room: &str, uplink: &str| {
            let headers = format!("{TEXT}Parlor-Uplink: {uplink}\r\n");
            server.post(&format!("/rooms/{room}/messages"), &headers, b"hi")
        };
        let (status, answer) = post("tea", uplink);
        assert_eq!((status, &answer["receivers"]), (201, &json!(1)));
        let heard = ann.hear();
        assert_eq!(
            (&heard["from"], &heard["name"], &heard["data"], &heard["id"]),
            (&json!(id), &json!("Sue"), &json!("hi"), &answer["id"])
        );
        // Not to itself.
        assert!(events.is_quiet());
        // Another room, another secret, another member's id, and none of these.
        assert_eq!(post("coffee", uplink).0, 403);
        let flip = |text: &str| {
            let last = if text.ends_with('0') { '1' } else { '0' };
            let mut text = text.to_owned();
            text.pop();
            text.push(last);
            text
        };
        let (_, secret) = uplink.split_once('.').unwrap();
        for forged in [
            flip(uplink),
            format!("{}.{secret}", ann.id),
            format!("{id}.{}", "0".repeat(32)),
            id.to_owned(),
            String::new(),
        ] {
            assert_eq!(post("tea", &forged).0, 403, "{forged}");
        }
        // Gone with the stream.
        let uplink = uplink.to_owned();
        drop(events);
        assert_eq!(ann.hear()["type"], "peer-left");
        assert_eq!(post("tea", &uplink).0, 403);
        ann.client.settle();
    }
}

#[test]
fn messages_of_one_sender_keep_their_order_between_stream_and_uplink() {
    let server = TestServer::start(|config| config.shards = std::num::NonZero::new(3));
    let mut raw = server.websocket("/ws/tea");
    raw.settle();
    let mut events = server.events("/sse/tea");
    let uplink = events.joined()["uplink"].as_str().unwrap().to_owned();
    let headers = format!("{TEXT}Parlor-Uplink: {uplink}\r\n");
    for number in 0..50 {
        let body = number.to_string();
        let (status, _) = server.post("/rooms/tea/messages", &headers, body.as_bytes());
        assert_eq!(status, 201);
        raw.send_text(&body);
    }
    for number in 0..50 {
        assert_eq!(raw.receive_text(), number.to_string());
        assert_eq!(events.event().parts().2, number.to_string());
    }
}

#[test]
fn a_page_of_an_allowed_origin_may_publish() {
    let server = TestServer::start(|config| config.origins = vec!["https://good.example".into()]);
    let preflight = "OPTIONS /rooms/tea/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
        Origin: https://good.example\r\nAccess-Control-Request-Method: POST\r\n\
        Access-Control-Request-Headers: content-type,parlor-uplink\r\n\r\n";
    let answer = server.exchange(preflight.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert_eq!(
        field(&answer, "access-control-allow-headers"),
        Some("content-type,parlor-uplink")
    );
    let body = "Content-Type: text/plain\r\nOrigin: https://good.example\r\n";
    assert_eq!(server.post("/rooms/tea/messages", body, b"x").0, 201);
}

#[test]
fn an_uplink_keeps_the_rates_of_members() {
    let server = TestServer::start(|config| config.messages_per_second = 2);
    let mut ann = server.peer_in("tea");
    let mut events = server.events("/sse/tea");
    let uplink = events.joined()["uplink"].as_str().unwrap().to_owned();
    ann.hear();
    let headers = format!("{TEXT}Parlor-Uplink: {uplink}\r\n");
    let post = || server.post("/rooms/tea/messages", &headers, b"x").0;
    // A burst of two seconds, then no more.
    assert_eq!([(); 4].map(|()| post()), [201; 4]);
    let request = format!(
        "POST /rooms/tea/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: 1\r\n{headers}\r\nx"
    );
    let refused = server.exchange(request.as_bytes());
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert_eq!(field(&refused, "retry-after"), Some("1"));
    for _ in 0..4 {
        assert_eq!(ann.hear()["type"], "message");
    }
    server.expect("parlor_refusals_total{reason=\"rate\"}", 1);
    // The stream goes on, and so does the uplink once it may.
    let began = std::time::Instant::now();
    while post() != 201 {
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
    }
    assert_eq!(ann.hear()["type"], "message");
}

//! One room, many tongues: Socket.IO beside the other doors.

use std::num::NonZero;

use serde_json::{Value, json};

use crate::support::{Frame, TestServer};

/// An event as a client sends it, with its attachments, and how others hear it: the frame of raw
/// members, event and data of envelopes, event and data of event streams.
struct Row {
    said: (&'static str, &'static [&'static [u8]]),
    raw: Option<(u8, &'static [u8])>,
    envelope: (&'static str, &'static str),
    sse: (Option<&'static str>, &'static str),
}

const fn row(
    said: (&'static str, &'static [&'static [u8]]),
    raw: Option<(u8, &'static [u8])>,
    envelope: (&'static str, &'static str),
    sse: (Option<&'static str>, &'static str),
) -> Row {
    Row {
        said,
        raw,
        envelope,
        sse,
    }
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

const ROWS: [Row; 10] = [
    row(
        (r#"2["message","Hello, \"you\"\n"]"#, &[]),
        Some((TEXT, b"Hello, \"you\"\n")),
        ("message", r#""Hello, \"you\"\n""#),
        (None, "Hello, \"you\"\n"),
    ),
    row(
        (
            r#"51-["message",{"_placeholder":true,"num":0}]"#,
            &[b"\x00\xff"],
        ),
        Some((BINARY, b"\x00\xff")),
        ("message", r#"{"base64":"AP8="}"#),
        (Some("binary"), "AP8="),
    ),
    row(
        (r#"2["message",{"base64":"AP8="}]"#, &[]),
        Some((BINARY, b"\x00\xff")),
        ("message", r#"{"base64":"AP8="}"#),
        (Some("binary"), "AP8="),
    ),
    row(
        (r#"2["message",{"a": [1,2]}]"#, &[]),
        Some((TEXT, br#"{"a": [1,2]}"#)),
        ("message", r#"{"a": [1,2]}"#),
        (None, r#"{"a": [1,2]}"#),
    ),
    row(
        (r#"2["message","a",1,null]"#, &[]),
        Some((TEXT, br#"["a",1,null]"#)),
        ("message", r#"["a",1,null]"#),
        (None, r#"["a",1,null]"#),
    ),
    row(
        (r#"2["message"]"#, &[]),
        Some((TEXT, b"[]")),
        ("message", "[]"),
        (None, "[]"),
    ),
    row(
        (
            r#"52-["message",{"x":{"_placeholder":true,"num":0}},[{"_placeholder":true,"num":1}]]"#,
            &[b"a", b"b"],
        ),
        Some((TEXT, br#"[{"x":{"base64":"YQ=="}},[{"base64":"Yg=="}]]"#)),
        (
            "message",
            r#"[{"x":{"base64":"YQ=="}},[{"base64":"Yg=="}]]"#,
        ),
        (None, r#"[{"x":{"base64":"YQ=="}},[{"base64":"Yg=="}]]"#),
    ),
    row(
        (r#"2["draw",{"x":1}]"#, &[]),
        None,
        ("draw", r#"{"x":1}"#),
        (Some("draw"), r#"{"x":1}"#),
    ),
    row(
        (r#"2["draw","text"]"#, &[]),
        None,
        ("draw", r#""text""#),
        (Some("draw"), r#""text""#),
    ),
    row(
        (r#"2[7,true]"#, &[]),
        None,
        ("7", "true"),
        (Some("7"), "true"),
    ),
];

#[test]
fn other_doors_hear_what_socketio_says() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = NonZero::new(shards));
        let mut raw = server.websocket("/ws/tea");
        raw.settle();
        let mut all = server.websocket("/ws/tea?events=all");
        assert!(all.receive_text().starts_with(r#"{"type":"joined""#));
        let mut sse = server.events("/sse/tea");
        sse.joined();
        assert!(all.receive_text().starts_with(r#"{"type":"peer-joined""#));
        let (mut ann, id) = server.io("&room=tea&name=Ann");
        let joined: Value = serde_json::from_str(&all.receive_text()).unwrap();
        let member = joined["peer"]["id"].as_str().unwrap();
        assert!(member.starts_with(&id), "{member} {id}");
        let (mut bo, _) = server.io("&room=tea");
        assert!(all.receive_text().starts_with(r#"{"type":"peer-joined""#));
        for row in &ROWS {
            let (packet, attachments) = row.said;
            ann.say_binary(packet, attachments);
            assert_eq!(bo.hear(), packet, "exactly as sent");
            for attachment in attachments {
                assert_eq!(bo.hear_binary(), *attachment);
            }
            if let Some((first, payload)) = row.raw {
                let payload = payload.to_vec();
                assert_eq!(raw.receive().unwrap(), Frame { first, payload }, "{packet}");
            }
            let event = sse.event();
            let place = event.id.clone().unwrap();
            let (name, data) = row.sse;
            assert_eq!(event.parts(), (Some(&*place), name, data), "{packet}");
            let (name, data) = row.envelope;
            let envelope = format!(
                r#"{{"type":"message","room":"tea","from":"{member}","name":"Ann","id":"{place}","event":"{name}","data":{data}}}"#
            );
            assert_eq!(all.receive_text(), envelope, "{packet}");
        }
        raw.settle();
        all.settle();
    }
}

#[test]
fn socketio_hears_what_other_doors_say() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = NonZero::new(shards));
        let (mut ann, _) = server.io("&room=tea");
        let mut raw = server.websocket("/ws/tea");
        let mut sue = server.peer_in("tea");
        raw.send_text("Hello, \"you\"");
        assert_eq!(ann.hear(), r#"2["message","Hello, \"you\""]"#);
        raw.send(BINARY, b"\x00\xff");
        assert_eq!(
            ann.hear(),
            r#"51-["message",{"_placeholder":true,"num":0}]"#
        );
        assert_eq!(ann.hear_binary(), b"\x00\xff");
        for (said, heard) in [
            (json!({"data": "a\u{1}b"}), r#"2["message","a\u0001b"]"#),
            (json!({"data": {"a": [1]}}), r#"2["message",{"a":[1]}]"#),
            (json!({"data": [1, 2]}), r#"2["message",[1,2]]"#),
            (json!({"event": "draw", "data": null}), r#"2["draw",null]"#),
            (
                json!({"event": "two\nlines", "data": 1}),
                r#"2["two\nlines",1]"#,
            ),
        ] {
            let mut message = said.clone();
            message["type"] = "message".into();
            message["room"] = "tea".into();
            sue.say(&message);
            assert_eq!(ann.hear(), heard);
            let (status, _) = server.post(
                "/rooms/tea/messages",
                "Content-Type: application/json\r\n",
                said.to_string().as_bytes(),
            );
            if status == 201 {
                assert_eq!(ann.hear(), heard);
            }
        }
        sue.say(&json!({"type": "message", "room": "tea", "data": {"base64": "AP8="}}));
        assert_eq!(
            ann.hear(),
            r#"51-["message",{"_placeholder":true,"num":0}]"#
        );
        assert_eq!(ann.hear_binary(), b"\x00\xff");
        // Names that would end a client's connection are not heard, nor is who comes and goes.
        for reserved in ["connect", "disconnect", "newListener"] {
            sue.say(&json!({"type": "message", "room": "tea", "event": reserved, "data": 1}));
        }
        sue.say(&json!({"type": "presence", "data": {"mood": "fine"}}));
        raw.send_text("end");
        sue.say(&json!({"type": "message", "room": "tea", "event": "end", "data": 1}));
        let mut heard = [ann.hear(), ann.hear()];
        heard.sort_unstable();
        assert_eq!(heard, [r#"2["end",1]"#, r#"2["message","end"]"#]);
        ann.settle();
    }
}

#[test]
fn a_room_of_a_namespace_is_no_room_of_other_doors() {
    let server = TestServer::start(|_| {});
    let mut raw = server.websocket("/ws/lobby");
    raw.settle();
    let mut ann = server.engine("");
    ann.connect("/chat");
    ann.say(r#"2/chat,["message","hidden"]"#);
    assert_eq!(ann.hear(), r#"2/chat,["message","hidden"]"#);
    raw.send_text("loud");
    raw.settle();
    ann.say(r#"2/chat,0["leave","nowhere"]"#);
    assert!(ann.hear().starts_with("3/chat,0["));
    // What stands around the names of hidden rooms cannot be named.
    let answer = server.exchange(crate::support::upgrade("/ws/%01%2Fchat%01lobby", "").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

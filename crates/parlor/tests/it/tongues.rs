//! One room, many tongues: what a member of each kind hears when another kind speaks.

use std::num::NonZero;

use serde_json::json;

use crate::{
    event_stream::EventStream,
    peer::Peer,
    support::{Client, Frame, TestServer},
};

/// Where a message comes from. Texts are sent as they stand here.
#[derive(Debug, Clone, Copy)]
enum From {
    RawText(&'static str),
    RawBinary(&'static [u8]),
    /// The members of a `parlor.v1` message after its type.
    Signal(&'static str),
    /// A JSON body.
    Post(&'static str),
    /// Header, query and body.
    PostRaw(&'static str, &'static str, &'static [u8]),
}

/// One message, and how each kind of member hears it.
#[derive(Debug, Clone, Copy)]
struct Case {
    from: From,
    /// The opcode and payload of the frame; none where raw members hear nothing.
    raw: Option<(u8, &'static [u8])>,
    /// The event and the JSON text of the data in an envelope.
    envelope: (&'static str, &'static str),
    /// The event name and data of a server-sent event.
    sse: (Option<&'static str>, &'static str),
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

const fn case(
    from: From,
    raw: Option<(u8, &'static [u8])>,
    envelope: (&'static str, &'static str),
    sse: (Option<&'static str>, &'static str),
) -> Case {
    Case {
        from,
        raw,
        envelope,
        sse,
    }
}

/// Event `message`, text or binary.
const PLAIN: [Case; 12] = [
    case(
        From::RawText("Hello, \"server\"!"),
        Some((TEXT, b"Hello, \"server\"!")),
        ("message", r#""Hello, \"server\"!""#),
        (None, "Hello, \"server\"!"),
    ),
    case(
        From::RawText("a\nb\r\nc\rd\n"),
        Some((TEXT, b"a\nb\r\nc\rd\n")),
        ("message", r#""a\nb\r\nc\rd\n""#),
        (None, "a\nb\nc\nd\n"),
    ),
    case(
        From::RawText(""),
        Some((TEXT, b"")),
        ("message", r#""""#),
        (None, ""),
    ),
    case(
        From::RawText("{\"type\":\"join\"}"),
        Some((TEXT, b"{\"type\":\"join\"}")),
        ("message", r#""{\"type\":\"join\"}""#),
        (None, "{\"type\":\"join\"}"),
    ),
    case(
        From::RawBinary(&[0, 255, 128]),
        Some((BINARY, &[0, 255, 128])),
        ("message", r#"{"base64":"AP+A"}"#),
        (Some("binary"), "AP+A"),
    ),
    case(
        From::RawBinary(&[]),
        Some((BINARY, &[])),
        ("message", r#"{"base64":""}"#),
        (Some("binary"), ""),
    ),
    case(
        From::Signal(r#""data":"caf\u00e9 \u0001""#),
        Some((TEXT, "caf\u{e9} \u{1}".as_bytes())),
        ("message", "\"caf\u{e9} \\u0001\""),
        (None, "caf\u{e9} \u{1}"),
    ),
    case(
        From::Signal(r#""event":"message","data":{"base64":"AP+A"}"#),
        Some((BINARY, &[0, 255, 128])),
        ("message", r#"{"base64":"AP+A"}"#),
        (Some("binary"), "AP+A"),
    ),
    case(
        From::Post(r#"{"data":"by post"}"#),
        Some((TEXT, b"by post")),
        ("message", r#""by post""#),
        (None, "by post"),
    ),
    case(
        From::Post(r#"{"event":"message","data":{"base64":"AP+A"}}"#),
        Some((BINARY, &[0, 255, 128])),
        ("message", r#"{"base64":"AP+A"}"#),
        (Some("binary"), "AP+A"),
    ),
    case(
        From::PostRaw("text/plain; charset=utf-8", "", b"two\nlines"),
        Some((TEXT, b"two\nlines")),
        ("message", r#""two\nlines""#),
        (None, "two\nlines"),
    ),
    case(
        From::PostRaw("application/octet-stream", "", &[0, 255, 128]),
        Some((BINARY, &[0, 255, 128])),
        ("message", r#"{"base64":"AP+A"}"#),
        (Some("binary"), "AP+A"),
    ),
];

/// Event `message`, structured: the JSON is the slice that it came in.
const STRUCTURED: [Case; 7] = [
    case(
        From::Signal(r#""data":{"n":1.50,"big":12345678901234567890123,"a":[ 1,2 ]}"#),
        Some((
            TEXT,
            br#"{"n":1.50,"big":12345678901234567890123,"a":[ 1,2 ]}"#,
        )),
        (
            "message",
            r#"{"n":1.50,"big":12345678901234567890123,"a":[ 1,2 ]}"#,
        ),
        (
            None,
            r#"{"n":1.50,"big":12345678901234567890123,"a":[ 1,2 ]}"#,
        ),
    ),
    case(
        From::Signal(r#""data":null"#),
        Some((TEXT, b"null")),
        ("message", "null"),
        (None, "null"),
    ),
    case(
        From::Signal(r#""data":{"base64":"AP+A","x":1}"#),
        Some((TEXT, br#"{"base64":"AP+A","x":1}"#)),
        ("message", r#"{"base64":"AP+A","x":1}"#),
        (None, r#"{"base64":"AP+A","x":1}"#),
    ),
    case(
        From::Signal(r#""data":"\ud800""#),
        Some((TEXT, br#""\ud800""#)),
        ("message", r#""\ud800""#),
        (None, r#""\ud800""#),
    ),
    case(
        From::Signal("\"data\":[1,\n2]"),
        Some((TEXT, b"[1,\n2]")),
        ("message", "[1,\n2]"),
        (None, "[1,\n2]"),
    ),
    case(
        From::Post(r#"{"data":4.20}"#),
        Some((TEXT, b"4.20")),
        ("message", "4.20"),
        (None, "4.20"),
    ),
    case(
        From::Post(r#"{"data":{"base64":7}}"#),
        Some((TEXT, br#"{"base64":7}"#)),
        ("message", r#"{"base64":7}"#),
        (None, r#"{"base64":7}"#),
    ),
];

/// Any other event.
const EVENTS: [Case; 8] = [
    case(
        From::Signal(r#""event":"chat","data":"hi""#),
        None,
        ("chat", r#""hi""#),
        (Some("chat"), r#""hi""#),
    ),
    case(
        From::Signal(r#""event":"chat","data":{"a":[1.0]}"#),
        None,
        ("chat", r#"{"a":[1.0]}"#),
        (Some("chat"), r#"{"a":[1.0]}"#),
    ),
    case(
        From::Signal(r#""event":"chat","data":{"base64":"AP+A"}"#),
        None,
        ("chat", r#"{"base64":"AP+A"}"#),
        (Some("chat"), r#"{"base64":"AP+A"}"#),
    ),
    case(
        From::Signal(r#""event":"a\r\nid: 1\u0000b","data":1"#),
        None,
        (r"a\r\nid: 1\u0000b", "1"),
        (Some("a\u{fffd}\u{fffd}id: 1\u{fffd}b"), "1"),
    ),
    case(
        From::Signal(r#""event":"binary","data":"x""#),
        None,
        ("binary", r#""x""#),
        (Some("binary"), r#""x""#),
    ),
    case(
        From::Post(r#"{"data":"hi","event":"chat"}"#),
        None,
        ("chat", r#""hi""#),
        (Some("chat"), r#""hi""#),
    ),
    case(
        From::PostRaw("text/plain", "?event=chat", b"hi\nho"),
        None,
        ("chat", r#""hi\nho""#),
        (Some("chat"), r#""hi\nho""#),
    ),
    case(
        From::PostRaw("application/octet-stream", "?event=chat", &[0, 255, 128]),
        None,
        ("chat", r#"{"base64":"AP+A"}"#),
        (Some("chat"), r#"{"base64":"AP+A"}"#),
    ),
];

/// Those who speak, all called Sue.
struct Speakers<'a> {
    server: &'a TestServer,
    raw: Client,
    raw_id: String,
    signal: Peer,
}

impl<'a> Speakers<'a> {
    fn new(server: &'a TestServer) -> Self {
        let mut raw = server.websocket("/ws/tea?name=Sue");
        raw.settle();
        let mut signal = server.peer("/signal?name=Sue");
        let joined = signal.join("tea");
        let raw_id = joined["peers"][0]["id"].as_str().unwrap().to_owned();
        Self {
            server,
            raw,
            raw_id,
            signal,
        }
    }

    /// Sends a message; returns the sender as an envelope names it.
    fn speak(&mut self, from: From) -> String {
        match from {
            From::RawText(text) => self.raw.send_text(text),
            From::RawBinary(bytes) => self.raw.send(0x82, bytes),
            From::Signal(members) => {
                let text = format!(r#"{{"type":"message","room":"tea",{members}}}"#);
                self.signal.client.send_text(&text);
                return format!(r#""from":"{}","name":"Sue""#, self.signal.id);
            }
            From::Post(body) => {
                let kind = "Content-Type: application/json\r\n";
                let answer = self
                    .server
                    .post("/rooms/tea/messages", kind, body.as_bytes());
                assert_eq!(answer.0, 201, "{answer:?}");
                return r#""from":null,"name":null"#.to_owned();
            }
            From::PostRaw(kind, query, body) => {
                let kind = format!("Content-Type: {kind}\r\n");
                let target = format!("/rooms/tea/messages{query}");
                let answer = self.server.post(&target, &kind, body);
                assert_eq!(answer.0, 201, "{answer:?}");
                return r#""from":null,"name":null"#.to_owned();
            }
        }
        format!(r#""from":"{}","name":"Sue""#, self.raw_id)
    }
}

/// Those who hear.
struct Listeners {
    raw: Client,
    all: Client,
    signal: Peer,
    sse: EventStream,
    gzip: EventStream,
}

impl Listeners {
    fn new(server: &TestServer) -> Self {
        let mut raw = server.websocket("/ws/tea");
        raw.settle();
        let mut sse = server.events("/sse/tea");
        sse.joined();
        let mut gzip = server.events_with("/sse/tea", "Accept-Encoding: gzip\r\n");
        gzip.joined();
        let mut all = server.websocket("/ws/tea?events=all");
        assert!(all.receive_text().starts_with(r#"{"type":"joined""#));
        let signal = server.peer_in("tea");
        assert!(all.receive_text().starts_with(r#"{"type":"peer-joined""#));
        Self {
            raw,
            all,
            signal,
            sse,
            gzip,
        }
    }

    /// Hears one message; returns its offset.
    fn hear(&mut self, case: Case, sender: &str) -> u64 {
        if let Some((first, payload)) = case.raw {
            let payload = payload.to_vec();
            assert_eq!(
                self.raw.receive().unwrap(),
                Frame { first, payload },
                "{case:?}"
            );
        }
        let event = self.sse.event();
        let id = event.id.clone().unwrap();
        let (name, data) = case.sse;
        assert_eq!(event.parts(), (Some(&*id), name, data), "{case:?}");
        assert_eq!(self.gzip.event(), event, "{case:?}");
        let (name, data) = case.envelope;
        let envelope = format!(
            r#"{{"type":"message","room":"tea",{sender},"id":"{id}","event":"{name}","data":{data}}}"#
        );
        assert_eq!(self.all.receive_text(), envelope, "{case:?}");
        assert_eq!(self.signal.client.receive_text(), envelope, "{case:?}");
        id.rsplit_once('-').unwrap().1.parse().unwrap()
    }
}

#[test]
fn every_cell_of_the_table_holds_and_all_hear_the_same_order() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| {
            config.shards = NonZero::new(shards);
            config.sse_gzip = parlor::config::SseGzip::Shared;
        });
        let mut speakers = Speakers::new(&server);
        let mut listeners = Listeners::new(&server);
        let cases = [&PLAIN[..], &STRUCTURED, &EVENTS].concat();
        // One after the other, so that the order of the senders is known.
        let mut expected = 0;
        for case in &cases {
            let sender = speakers.speak(case.from);
            expected += 1;
            assert_eq!(listeners.hear(*case, &sender), expected, "{case:?}");
        }
        // All of one sender at once: the order is that of sending.
        for case in &cases {
            if let From::Signal(_) = case.from {
                speakers.speak(case.from);
            }
        }
        let sender = format!(r#""from":"{}","name":"Sue""#, speakers.signal.id);
        for case in &cases {
            if let From::Signal(_) = case.from {
                expected += 1;
                assert_eq!(listeners.hear(*case, &sender), expected, "{case:?}");
            }
        }
        // Nothing more came to anybody.
        listeners.raw.settle();
        listeners.all.settle();
        listeners.signal.client.settle();
        server.publish("tea", &json!({"data": "end"}));
        assert_eq!(listeners.sse.event().parts().2, "end");
        assert_eq!(listeners.gzip.event().parts().2, "end");
    }
}

#[test]
fn what_concerns_one_member_or_who_is_there_is_not_told_to_raw_members_and_streams() {
    let server = TestServer::start(|_| {});
    let mut raw = server.websocket("/ws/tea");
    raw.settle();
    let mut sse = server.events("/sse/tea");
    let stream_id = sse.joined()["id"].as_str().unwrap().to_owned();
    let mut ann = server.peer_in("tea");
    let bo = server.peer_in("tea");
    ann.hear();
    ann.say(&json!({"type": "presence", "data": {"mood": "fine"}}));
    ann.say(&json!({"type": "sdp", "target": stream_id, "sdp": "v=0"}));
    drop(bo);
    assert_eq!(ann.hear()["type"], "peer-left");
    ann.say(&json!({"type": "message", "room": "tea", "data": "end"}));
    assert_eq!(raw.receive_text(), "end");
    assert_eq!(sse.event().parts().2, "end");
}

#[test]
fn a_message_to_one_member_is_heard_by_that_member_whatever_it_speaks() {
    let server = TestServer::start(|_| {});
    let mut raw = server.websocket("/ws/tea");
    raw.settle();
    let mut sse = server.events("/sse/tea");
    let stream_id = sse.joined()["id"].as_str().unwrap().to_owned();
    let mut ann = server.peer("/signal?name=Ann");
    let joined = ann.join("tea");
    let peers: Vec<&str> = joined["peers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| peer["id"].as_str().unwrap())
        .collect();
    let raw_id = *peers.iter().find(|id| **id != stream_id).unwrap();
    for target in [raw_id, &stream_id] {
        let ack = ann.ask(&json!({
            "type": "message", "target": target, "data": {"to": "you"}, "ref": target,
        }));
        assert_eq!(ack, json!({"type": "ack", "ref": target}));
    }
    assert_eq!(raw.receive_text(), r#"{"to":"you"}"#);
    assert_eq!(sse.event().parts(), (None, None, r#"{"to":"you"}"#));
}

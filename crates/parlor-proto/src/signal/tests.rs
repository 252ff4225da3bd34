//! Client messages in, server messages out.

use super::{encode::*, *};

fn request(text: &str) -> Request<'_> {
    parse(text).unwrap().request
}

fn cause(text: &str) -> Cause {
    parse(text).unwrap_err().cause
}

#[test]
fn the_bare_join_of_the_tutorial_is_enough() {
    assert_eq!(
        request(r#"{"type":"join"}"#),
        Request::Join {
            room: None,
            name: None,
            data: None,
            last: false,
            history: None,
        }
    );
    let asked = request(r#"{"type":"join","last":true}"#);
    assert!(matches!(asked, Request::Join { last: true, .. }));
    let other = request(r#"{"type":"resume","since":"x","last":"true"}"#);
    assert!(matches!(other, Request::Resume { last: false, .. }));
}

#[test]
fn fields_are_read_and_data_stays_as_it_came() {
    let text = r#" {"data" : {"a": [1, 2.50 ]} ,"room":"t\u0065a","type":"message","ref":7} "#;
    let envelope = parse(text).unwrap();
    assert_eq!(envelope.reference, Some("7"));
    let Request::Message {
        room,
        data,
        event,
        priority,
        ..
    } = envelope.request
    else {
        panic!()
    };
    assert_eq!(
        (room.as_deref(), data),
        (Some("tea"), r#"{"a": [1, 2.50 ]}"#)
    );
    assert_eq!((event, priority), (None, Priority::Normal));
}

#[test]
fn what_is_wrong_is_said() {
    for (text, expected) in [
        ("", Cause::Json),
        ("[]", Cause::Json),
        ("null", Cause::Json),
        ("{\"type\":\"join\"", Cause::Json),
        ("{\"type\":\"join\"} x", Cause::Json),
        ("{}", Cause::NoType),
        (r#"{"type":7}"#, Cause::WrongKind("type")),
        (r#"{"type":"hop"}"#, Cause::UnknownType),
        (r#"{"type":"message"}"#, Cause::Missing("data")),
        (
            r#"{"type":"message","data":1,"room":2}"#,
            Cause::WrongKind("room"),
        ),
        (
            r#"{"type":"message","data":1,"priority":"top"}"#,
            Cause::WrongKind("priority"),
        ),
        (r#"{"type":"sdp","sdp":{}}"#, Cause::Missing("target")),
        (r#"{"type":"resume","room":"x"}"#, Cause::Missing("since")),
        (r#"{"type":"join","type":"leave"}"#, Cause::Twice("type")),
        (
            r#"{"type":"join","t\u0079pe":"leave"}"#,
            Cause::Twice("type"),
        ),
        (
            r#"{"type":"sdp","target":"a","tar\u0067et":"b"}"#,
            Cause::Twice("target"),
        ),
    ] {
        assert_eq!(cause(text), expected, "{text}");
    }
    let malformed = parse(r#"{"ref":"r1","type":"hop"}"#).unwrap_err();
    assert_eq!(
        (malformed.reference, malformed.cause.code()),
        (Some("\"r1\""), "unknown-type")
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let data = "[".repeat(depth - 1) + &"]".repeat(depth - 1);
        format!(r#"{{"type":"presence","data":{data}}}"#)
    };
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(cause(&nested(DEPTH_MAX + 1)), Cause::Depth);
    assert_eq!(cause(&nested(1_000_000)), Cause::Depth);
    assert!(parse(r#"{"type":"presence","data":"[[[\"[[["}"#).is_ok());
}

#[test]
fn a_ref_is_a_short_scalar() {
    for (text, expected) in [
        (r#"{"type":"ping","ref":null}"#, Some("null")),
        (r#"{"type":"ping","ref":"a"}"#, Some("\"a\"")),
        (r#"{"type":"ping","ref":[1]}"#, None),
        (r#"{"type":"ping","ref":{}}"#, None),
    ] {
        assert_eq!(parse(text).unwrap().reference, expected, "{text}");
    }
    let long = format!(r#"{{"type":"ping","ref":"{}"}}"#, "x".repeat(300));
    assert_eq!(parse(&long).unwrap().reference, None);
}

#[test]
fn a_relay_keeps_everything_but_from_and_ref() {
    let text =
        r#"{"type":"sdp","from":"forged","fr\u006fm":"too","ref":1,"target":"t","sdp":{"a":1.0}}"#;
    let Request::Relay { target, members } = request(text) else {
        panic!()
    };
    assert_eq!(target, "t");
    let mut out = Vec::new();
    relay(&mut out, &"me", &members);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        r#"{"type":"sdp","target":"t","sdp":{"a":1.0},"from":"me"}"#
    );
}

#[test]
fn server_messages_are_json() {
    let mut out = Vec::new();
    let hostile = "\"\\\n\u{1}\u{2028}é";
    let ann = Peer {
        id: "i1",
        name: Some(hostile),
        data: Some("{\"x\":1}"),
    };
    joined(
        &mut out,
        Some("5"),
        (hostile, &"me", Some(&"e-7")),
        [
            ann,
            Peer {
                id: "i2",
                name: None,
                data: None,
            },
        ],
        true,
    );
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["room"], hostile);
    assert_eq!(value["last"], "e-7");
    assert_eq!(value["peers"][0]["name"], hostile);
    assert_eq!(value["peers"][0]["data"]["x"], 1);
    assert_eq!(value["peers"][1]["name"], serde_json::Value::Null);
    assert_eq!((&value["more"], &value["ref"]), (&true.into(), &5.into()));
}

/// A function that writes one message.
type Write = fn(&mut Vec<u8>);

#[test]
fn server_messages_have_their_fields() {
    let rows: [(&str, Write); 8] = [
        (r#"{"type":"ack","ref":"r","id":"e-1"}"#, |out| {
            ack(out, "\"r\"", Some(&"e-1"))
        }),
        (r#"{"type":"peer-left","room":"t","data":"i"}"#, |out| {
            peer_left(out, "t", &"i")
        }),
        (r#"{"type":"resumed","room":"t","gap":false}"#, |out| {
            resumed(out, None, "t", None)
        }),
        (
            r#"{"type":"resumed","room":"t","gap":true,"oldest":"e-3","ref":1}"#,
            |out| {
                resumed(out, Some("1"), "t", Some(Some(&"e-3")));
            },
        ),
        (r#"{"type":"dropped","room":"t","count":3}"#, |out| {
            dropped(out, "t", 3)
        }),
        (r#"{"type":"pong","time":12}"#, |out| pong(out, None, 12)),
        (r#"{"type":"error","code":"limit","message":"m"}"#, |out| {
            error(out, None, "limit", "m")
        }),
        (
            r#"{"type":"message","room":"t","from":"i","name":null,"id":"e-1","event":"message","data":{"base64":"AP8="}}"#,
            |out| {
                let data = Data::Binary(&[0, 255]);
                let (room, event) = ("t", "message");
                message(
                    out,
                    &Message {
                        room,
                        from: Some("i"),
                        name: None,
                        id: Some("e-1"),
                        event,
                        data,
                    },
                );
            },
        ),
    ];
    for (expected, write) in rows {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

/// A request as the vectors write it.
fn shown(envelope: &Envelope<'_>) -> String {
    let or = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let request = match &envelope.request {
        Request::Join {
            room,
            name,
            data,
            last,
            history,
        } => {
            let history = history.map(|count| format!(" history={count}"));
            format!(
                "join room={} name={} data={} last={last}{}",
                or(room.as_deref()),
                or(name.as_deref()),
                or(*data),
                history.unwrap_or_default()
            )
        }
        Request::Leave { room } => format!("leave room={}", or(room.as_deref())),
        Request::Message {
            room,
            target,
            event,
            data,
            priority,
        } => format!(
            "message room={} target={} event={} data={data} priority={}",
            or(room.as_deref()),
            or(target.as_deref()),
            or(event.as_deref()),
            match priority {
                Priority::High => "high",
                Priority::Normal => "normal",
                Priority::Low => "low",
            }
        ),
        Request::Relay { target, members } => {
            let members = members.iter().map(|(key, value)| format!("{key}:{value}"));
            let members: Vec<String> = members.collect();
            format!("relay target={target} {}", members.join(","))
        }
        Request::List { room, after } => format!(
            "list room={} after={}",
            or(room.as_deref()),
            or(after.as_deref())
        ),
        Request::Presence { data } => format!("presence data={data}"),
        Request::Resume { room, since, last } => {
            let room = or(room.as_deref());
            format!("resume room={room} since={since} last={last}")
        }
        Request::Ping => "ping".to_owned(),
    };
    format!("{request} ref={}", or(envelope.reference))
}

#[test]
fn requests_of_the_protocol_document() {
    let file = include_str!("../../vectors/signal/requests.txt");
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (text, expected) = line.split_once(" = ").unwrap();
        let got = match parse(text) {
            Ok(envelope) => shown(&envelope),
            Err(malformed) => format!("error {}", malformed.cause.code()),
        };
        assert_eq!(got, expected, "{text}");
        lines += 1;
    }
    assert_eq!(lines, 39);
}

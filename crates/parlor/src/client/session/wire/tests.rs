//! What the server writes is read, and what is written is understood there.

use parlor_hub::ShardId;
use parlor_proto::signal::{self, encode};

use super::*;

fn member(n: u32) -> MemberId {
    MemberId::new(ShardId(0), n, [7; 10])
}

/// What the server writes is what the client reads.
fn check(write: impl FnOnce(&mut Vec<u8>), expected: Heard) {
    let mut out = Vec::new();
    write(&mut out);
    let text = str::from_utf8(&out).unwrap();
    assert_eq!(decode(text), Ok(expected), "{text}");
}

#[test]
fn what_the_server_writes_is_read() {
    let tea: Arc<str> = "tea \"1\"".into();
    let last = MessageId::new(1, 7);
    let ann = encode::Peer {
        id: member(2),
        name: Some("Ann"),
        data: Some("{\"a\":1}"),
    };
    let own_ann = Peer {
        id: member(2),
        name: Some("Ann".to_owned()),
        data: Some("{\"a\":1}".to_owned()),
    };
    check(
        |out| encode::joined(out, Some("5"), (&tea, &member(1), Some(&last)), [ann], true),
        Heard::Joined {
            reference: Some(5),
            room: tea.clone(),
            id: member(1),
            last: Some(last),
            roster: Roster {
                peers: vec![own_ann.clone()],
                more: true,
            },
        },
    );
    check(
        |out| encode::peer_joined(out, &tea, &ann),
        Heard::PeerJoined {
            room: tea.clone(),
            peer: own_ann,
        },
    );
}

#[test]
fn answers_and_messages_are_read() {
    let tea: Arc<str> = "tea \"1\"".into();
    let last = MessageId::new(1, 7);
    check(
        |out| encode::resumed(out, Some("1"), &tea, Some(None)),
        Heard::Resumed {
            room: tea.clone(),
            gap: true,
            oldest: None,
        },
    );
    check(
        |out| encode::ack(out, "9", Some(&last)),
        Heard::Ack {
            reference: 9,
            id: Some(last),
        },
    );
    check(
        |out| {
            encode::relay(
                out,
                &member(3),
                &[("\"type\"", "\"sdp\""), ("\"x\"", "[1]")],
            )
        },
        Heard::Relayed {
            from: member(3),
            kind: "sdp".to_owned(),
            text: format!(r#"{{"type":"sdp","x":[1],"from":"{}"}}"#, member(3)),
        },
    );
    let message = encode::Message {
        room: &tea,
        from: Some(member(1)),
        name: None,
        id: Some(last),
        event: "message",
        data: encode::Data::Binary(&[0, 255]),
    };
    check(
        |out| encode::message(out, &message),
        Heard::Message(RoomMessage {
            room: tea.clone(),
            id: Some(last),
            from: Some(member(1)),
            name: None,
            event: "message".to_owned(),
            payload: vec![0, 255].into(),
        }),
    );
}

#[test]
fn what_the_client_writes_is_understood() {
    let payload = Payload::json(&[1]).unwrap();
    let text = Request::Message {
        room: "tea \"1\"",
        target: None,
        event: Some("tick"),
        priority: priority_word(Priority::Low),
        data: Said::new(&payload).unwrap(),
    };
    let text = with_reference(&text.encode(), 3);
    let envelope = signal::parse(&text).unwrap();
    assert_eq!(envelope.reference, Some("3"));
    let signal::Request::Message {
        room,
        target,
        event,
        data,
        priority,
    } = envelope.request
    else {
        panic!("{text}")
    };
    assert_eq!(room.as_deref(), Some("tea \"1\""));
    assert_eq!((target, event.as_deref()), (None, Some("tick")));
    assert_eq!((data, priority), ("[1]", Priority::Low));

    let text = relay("sdp", member(1), " {\"sdp\":\"v=0\"} ").unwrap();
    assert!(matches!(
        signal::parse(&text).unwrap().request,
        signal::Request::Relay { .. }
    ));
    assert!(relay("sdp", member(1), "{}").is_some());
    for bad in ["[]", "x", "{\"from\":1}", "{\"\\u0074ype\":1}"] {
        assert_eq!(relay("sdp", member(1), bad), None, "{bad}");
    }
}

#[test]
fn nonsense_is_refused_and_news_is_let_pass() {
    for text in [
        "",
        "[]",
        "{}",
        r#"{"type":"ack"}"#,
        r#"{"type":"joined","room":"x"}"#,
    ] {
        assert_eq!(decode(text), Err(MalformedServerMessage), "{text}");
    }
    assert_eq!(decode(r#"{"type":"pong","time":1}"#), Ok(Heard::Other));
    assert_eq!(decode(r#"{"x":[{}],"type":"news"}"#), Ok(Heard::Other));
}

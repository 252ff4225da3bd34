use std::sync::Arc;
use std::time::Duration;

use parlor::client::session::Roster;

use super::*;

/// Noon and a bit, on the first day.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(43_200_007)
}

fn line(text: &str) -> Shown {
    Shown::Line(format!("12:00:00.007Z  {text}"))
}

fn tea() -> Arc<str> {
    Arc::from("tea")
}

/// The ids of a member and a message.
fn ids() -> (MemberId, MessageId) {
    let member = "AAAAAAAAAAAAAAAAAAAAAA".parse().expect("an id");
    (member, "00000001-7".parse().expect("an id"))
}

fn joined(resumed: bool) -> Event {
    Event::Joined {
        room: tea(),
        id: ids().0,
        roster: Roster::default(),
        resumed,
    }
}

/// What is no message, and its line and its JSON.
fn events() -> Vec<(Event, String, String)> {
    let (who, what) = ids();
    let room = tea();
    vec![
        (
            Event::PeerLeft {
                room: tea(),
                id: who,
            },
            format!("-- {who} left"),
            format!(r#"{{"type":"peer-left","room":"tea","data":"{who}"}}"#),
        ),
        (
            Event::Presence {
                room: tea(),
                from: who,
                data: "{\"a\":\n1e400}".to_owned(),
            },
            format!(r#"-- {who} is now {{"a":\n1e400}}"#),
            format!(r#"{{"type":"presence","room":"tea","from":"{who}","data":{{"a": 1e400}}}}"#),
        ),
        (
            Event::Dropped {
                room: tea(),
                count: 7,
            },
            "-- 7 messages were left out, since this member was too slow".to_owned(),
            r#"{"type":"dropped","room":"tea","count":7}"#.to_owned(),
        ),
        (
            Event::Relayed {
                from: who,
                kind: Relay::Description,
                object: r#"{"type":"sdp","sdp":"\u001b"}"#.to_owned(),
            },
            format!("-- sdp from {who}"),
            r#"{"type":"sdp","sdp":"\u001b"}"#.to_owned(),
        ),
        (
            Event::Gap {
                room: tea(),
                oldest: Some(what),
            },
            format!(
                "-- gap: some messages since {what} are missing; the oldest that the room still \
                 had is {what}"
            ),
            format!(r#"{{"type":"resumed","room":"tea","gap":true,"oldest":"{what}"}}"#),
        ),
        (
            Event::Gap { room, oldest: None },
            format!("-- gap: some messages since {what} are missing"),
            r#"{"type":"resumed","room":"tea","gap":true,"oldest":null}"#.to_owned(),
        ),
    ]
}

#[test]
fn every_kind_of_event_has_its_line_and_its_json() {
    let since = Some(ids().1);
    let mut text = View::new(Form::Text, since);
    let mut json = View::new(Form::Json, since);
    for (event, as_text, as_json) in events() {
        assert_eq!(text.hear(&event, now()), line(&as_text));
        assert_eq!(json.hear(&event, now()), Shown::Line(as_json));
    }
    assert_eq!(text.hear(&Event::Connected, now()), Shown::Nothing);
    let error = Event::Error {
        code: "limit".to_owned(),
        message: "too\u{9b}much".to_owned(),
    };
    let told = Shown::Note("the server answered: too\\u{9b}much".to_owned());
    assert_eq!(json.hear(&error, now()), told);
}

#[test]
fn a_return_is_told() {
    let mut view = View::new(Form::Text, None);
    let own = ids().0;
    for (resumed, told) in [
        (false, format!("in tea as {own}, with nobody else")),
        (false, format!("again in tea as {own}, with nobody else")),
        (
            true,
            format!("again in tea as {own}, with nobody else; what was missed follows"),
        ),
    ] {
        assert_eq!(view.hear(&joined(resumed), now()), Shown::Note(told));
    }
    let gap = Event::Gap {
        room: tea(),
        oldest: None,
    };
    let told = line("-- gap: some messages are missing");
    assert_eq!(view.hear(&gap, now()), told);
}

#[test]
fn payloads_are_text_on_one_line() {
    for (said, shown) in [
        (Payload::from("a\u{7}\u{9b}\r\n"), "a\\u{7}\\u{9b}\\r\\n"),
        (Payload::from(vec![0, 255]), "[2 bytes] AP8="),
        (Payload::Json("[1,\n1e400]".to_owned()), "[1, 1e400]"),
    ] {
        assert_eq!(payload(&said), shown);
    }
}

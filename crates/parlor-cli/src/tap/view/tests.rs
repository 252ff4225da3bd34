use std::time::Duration;

use super::*;

/// Noon and a bit, on the first day.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(43_200_007)
}

fn line(text: &str) -> Shown {
    Shown::Line(format!("12:00:00.007Z  {text}"))
}

fn note(text: &str) -> Shown {
    Shown::Note(text.to_owned())
}

#[track_caller]
fn check(view: &mut View, message: &str, expected: impl Into<Option<Shown>>) {
    let expected = expected.into().unwrap_or(Shown::Nothing);
    assert_eq!(view.hear(message, now()), expected, "{message}");
}

const JOINED: &str =
    r#"{"type":"joined","room":"tea","id":"me","peers":[{"id":"a","name":"Ann","data":null}]}"#;
const RESUMED: &str = r#"{"type":"resumed","room":"tea","gap":false}"#;

fn message(id: &str, more: &str) -> String {
    format!(r#"{{"type":"message","room":"tea","id":"{id}",{more}}}"#)
}

#[test]
fn every_kind_of_message_has_its_line() {
    let mut view = View::new(Form::Text, Past::Last(0));
    check(&mut view, JOINED, note("in tea as me, with 1 other"));
    check(&mut view, RESUMED, Shown::Nothing);
    for (id, more, expected) in [
        (
            "e-1",
            r#""from":"a","name":"Ann","event":"message","data":"hi""#,
            "e-1  Ann  message  hi",
        ),
        (
            "e-2",
            r#""from":"a","name":null,"event":"tick","data":{"n":1}"#,
            r#"e-2  a  tick  {"n":1}"#,
        ),
        (
            "e-3",
            r#""from":null,"name":null,"event":"message","data":{"base64":"AP8="}"#,
            "e-3  -  message  [2 bytes] AP8=",
        ),
        (
            "e-4",
            r#""from":"a","name":"A\u001b[1m","event":"x\ny","data":"\u0007\u009b\r\n""#,
            r"e-4  A\u{1b}[1m  x\ny  \u{7}\u{9b}\r\n",
        ),
    ] {
        check(&mut view, &message(id, more), line(expected));
    }
    for (message, expected) in [
        (
            r#"{"type":"peer-joined","room":"tea","data":"b","name":"Bo","peer":{}}"#,
            "-- Bo came in",
        ),
        (
            r#"{"type":"presence","room":"tea","from":"b","data":{"busy":true}}"#,
            r#"-- Bo is now {"busy":true}"#,
        ),
        (
            r#"{"type":"peer-left","room":"tea","data":"b"}"#,
            "-- Bo left",
        ),
        (
            r#"{"type":"peer-left","room":"tea","data":"b"}"#,
            "-- b left",
        ),
        (
            r#"{"type":"dropped","room":"tea","count":7}"#,
            "-- 7 messages were left out, since this member was too slow",
        ),
        (r#"{"type":"sdp","from":"a","sdp":{}}"#, "-- sdp from a"),
    ] {
        check(&mut view, message, line(expected));
    }
    check(
        &mut view,
        r#"{"type":"error","code":"limit","message":"too much"}"#,
        note("the server answered: too much"),
    );
    check(
        &mut view,
        "{}",
        note("the server said what is not understood: {}"),
    );
}

#[test]
fn json_is_passed_on_as_it_came() {
    let mut view = View::new(Form::Json, Past::Last(3));
    check(&mut view, JOINED, note("in tea as me, with 1 other"));
    let text = "{\"type\":\"message\",\"id\":\"e-1\",\"data\":[1,\n 1e400]}";
    check(&mut view, text, Shown::Line(text.replace('\n', " ")));
}

#[test]
fn the_newest_message_is_where_to_go_on_but_is_not_shown() {
    let mut view = View::new(Form::Text, Past::Nothing);
    assert_eq!(view.query(), "last=1");
    check(&mut view, JOINED, note("in tea as me, with 1 other"));
    check(
        &mut view,
        &message("e-7", r#""data":"old""#),
        Shown::Nothing,
    );
    check(&mut view, RESUMED, Shown::Nothing);
    assert_eq!(view.query(), "since=e-7");
    check(
        &mut view,
        &message("e-8", r#""data":"new""#),
        line("e-8  -  message  new"),
    );
    assert_eq!(view.query(), "since=e-8");
    // A message to one member has no id.
    check(
        &mut view,
        r#"{"type":"message","data":"psst"}"#,
        line("-  -  message  psst"),
    );
    assert_eq!(view.query(), "since=e-8");
}

#[test]
fn in_a_silent_room_everything_after_a_loss_is_new() {
    let mut view = View::new(Form::Text, Past::Nothing);
    view.hear(JOINED, now());
    check(&mut view, RESUMED, Shown::Nothing);
    assert_eq!(view.query(), format!("last={}", 1 << 30));
    check(&mut view, JOINED, note("again in tea as me, with 1 other"));
    check(
        &mut view,
        &message("e-1", r#""data":"first""#),
        line("e-1  -  message  first"),
    );
    check(&mut view, RESUMED, note("nothing is missing"));
}

#[test]
fn a_gap_is_told() {
    let mut view = View::new(Form::Text, Past::Since("e-7".to_owned()));
    view.hear(JOINED, now());
    view.hear(&message("f-3", r#""data":"x""#), now());
    check(
        &mut view,
        r#"{"type":"resumed","room":"tea","gap":true,"oldest":"f-3"}"#,
        line(
            "-- gap: some messages since e-7 are missing; the oldest that the room still had is f-3",
        ),
    );
    check(
        &mut view,
        r#"{"type":"resumed","room":"tea","gap":true,"oldest":null}"#,
        line("-- gap: some messages since e-7 are missing; the room had none any more"),
    );
}

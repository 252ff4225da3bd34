//! Promises of the `parlor.v1` codec.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::signal::{
    Cause, Content, DEPTH_MAX, Malformed, Request, depth,
    encode::{self, Data},
    parse, parse_data,
};

/// Any text: it is read without harm; what is understood is JSON that is not too deep; and what is
/// passed on of it is JSON that carries the server's word for the sender and nobody else's.
///
/// # Panics
///
/// Where a promise is broken.
pub fn signal_request(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let envelope = match parse(text) {
        Ok(envelope) => envelope,
        Err(malformed) => return is_answerable(&malformed),
    };
    assert!(depth(text) <= DEPTH_MAX);
    if let Some(reference) = envelope.reference {
        assert!(is_scalar(reference));
        let mut answer = Vec::new();
        encode::ack(&mut answer, reference, None::<&String>);
        assert_eq!(object(&answer)["ref"].get(), reference);
    }
    match envelope.request {
        Request::Message { data, event, .. } => message(data, event.as_deref()),
        Request::Relay { members, .. } => relay(&members),
        Request::Join {
            data: Some(data), ..
        }
        | Request::Presence { data } => {
            let mut out = Vec::new();
            encode::presence(&mut out, "tea", &"me", data);
            assert_eq!(object(&out)["from"].get(), "\"me\"");
        }
        _ => {}
    }
}

fn is_answerable(malformed: &Malformed<'_>) {
    let mut answer = Vec::new();
    let text = malformed.cause.to_string();
    encode::error(
        &mut answer,
        malformed.reference,
        malformed.cause.code(),
        &text,
    );
    let code = object(&answer)["code"].get().trim_matches('"').to_owned();
    assert_eq!(code, malformed.cause.code());
    // What is no JSON has no `ref`.
    let has_none = matches!(malformed.cause, Cause::Json | Cause::Depth);
    assert!(!has_none || malformed.reference.is_none());
}

fn message(data: &str, event: Option<&str>) {
    let content = parse_data(data);
    let data = match &content {
        Ok(Content::Text(text)) => Data::Text(text.as_bytes()),
        Ok(Content::Binary(bytes)) => Data::Binary(bytes),
        Ok(Content::Json) => Data::Json(data.as_bytes()),
        Err(_) => return,
    };
    let mut out = Vec::new();
    encode::message(
        &mut out,
        &encode::Message {
            room: "tea",
            from: Some("me"),
            name: None,
            id: Some("7-1"),
            event: event.unwrap_or("message"),
            data,
        },
    );
    let told = object(&out);
    assert_eq!(told["from"].get(), "\"me\"");
    let name: String = serde_json::from_str(told["event"].get()).expect("a text");
    assert_eq!(name, event.unwrap_or("message"));
    // What a member is told means the same as what was said.
    assert_eq!(parse_data(told["data"].get()), content);
}

fn relay(members: &[(&str, &str)]) {
    let mut out = Vec::new();
    encode::relay(&mut out, &"me", members);
    let told = object(&out);
    assert_eq!(told["from"].get(), "\"me\"");
    assert!(!told.contains_key("ref"));
    for (key, value) in members {
        let key: String = serde_json::from_str(key).expect("a text");
        assert!(key != "from", "a forged sender");
        let last = members.iter().rev().find(|(other, _)| {
            serde_json::from_str::<String>(other).is_ok_and(|other| other == key)
        });
        assert!(
            last.is_some_and(|last| last.1 == told[&key].get()),
            "{value}"
        );
    }
}

fn is_scalar(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok() && !text.starts_with(['[', '{'])
}

/// The object that a server message is. Values stay text: half a surrogate pair and a number
/// beyond all bounds are JSON too.
fn object(bytes: &[u8]) -> HashMap<String, Box<RawValue>> {
    serde_json::from_slice(bytes).expect("an object")
}

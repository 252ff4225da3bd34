//! What holds for any input.

use proptest::collection::vec;
use proptest::prelude::*;

use super::json::{Elements, Scanner};
use super::*;
use crate::fuzzing;

/// A JSON value as text.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,5}\\.[0-9]{1,5}(e-?[0-9])?",
        ".{0,10}".prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let members = vec(("[a-z\"\u{1}é]{0,4}", inner.clone()), 0..5);
        prop_oneof![
            vec(inner, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
            members.prop_map(|all| {
                let member = |(key, value): &(String, String)| {
                    format!("{}:{value}", serde_json::Value::from(key.as_str()))
                };
                let all: Vec<String> = all.iter().map(member).collect();
                format!("{{{}}}", all.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        namespace in prop_oneof![Just("/".to_owned()), "/[^,]{1,10}"],
        name in "[a-z]{0,3}é",
        id in proptest::option::of(0..1_u64 << 53),
        arguments in vec(json(), 0..4),
        blobs in vec(vec(any::<u8>(), 0..20), 0..4),
        is_ack in any::<bool>(),
    ) {
        let places = (0..blobs.len()).map(placeholder_json);
        let arguments: Vec<String> = arguments.into_iter().chain(places).collect();
        let arguments = arguments.iter().map(String::as_str);
        let packet = if is_ack {
            Packet::ack(&namespace, id.unwrap_or(0), arguments)
        } else {
            Packet::event(&namespace, &name, arguments).with_id(id)
        };
        let packet = packet.with_attachments(blobs.into_iter().map(Bytes::from).collect());
        let (limits, mut decoder) = (Limits::default(), Decoder::new());
        let mut text = String::new();
        packet.encode_text(&mut text);
        let mut decoded = decoder.text(&text, &limits).unwrap();
        for attachment in &packet.attachments {
            prop_assert!(decoded.is_none());
            decoded = decoder.binary(attachment, &limits).unwrap();
        }
        prop_assert_eq!(decoded.as_ref(), Some(&packet));
        prop_assert_eq!(decoded.map(|packet| packet.arguments().count()),
            Some(packet.arguments().count()));

        // And by way of MessagePack.
        let unpacked = msgpack::decode(&msgpack::encode(&packet), &limits).unwrap();
        prop_assert_eq!(&unpacked.attachments, &packet.attachments);
        let value = |packet: &Packet<'_>| {
            let payload = packet.payload.as_deref().unwrap();
            serde_json::from_str::<serde_json::Value>(payload).unwrap()
        };
        prop_assert_eq!(value(&unpacked), value(&packet));
    }

    #[test]
    fn the_scanner_agrees_with_serde_json(text in "[\\[\\]{}:,\"0-9a\\\\ .eEtruflsn+-]{0,20}") {
        let mut scanner = Scanner::new(&text);
        let ours = loop {
            match scanner.next() {
                Ok(Some(_)) => {}
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text);
        prop_assert_eq!(ours, theirs.is_ok(), "{}", text);
    }

    #[test]
    fn elements_are_what_serde_json_finds(all in vec(json(), 0..6)) {
        let array = format!("[ {} ]", all.join(" , "));
        prop_assert_eq!(Elements::new(&array).collect::<Vec<_>>(), all);
    }

    #[test]
    fn any_text_does_no_harm(text in ".{0,60}") {
        fuzzing::socketio_packet(text.as_bytes());
    }

    #[test]
    fn any_text_of_likely_characters_does_no_harm(
        text in "[0-6]{1,2}-?(/a,)?[0-9]{0,2}\\[\"a\"(,(\\{\"_placeholder\":true,\"num\":[0-3]\\}|[\\[\\]{}0-9\",:]{0,10}|null)){0,4}\\]",
    ) {
        fuzzing::socketio_packet(text.as_bytes());
    }

    #[test]
    fn any_msgpack_does_no_harm(bytes in vec(any::<u8>(), 0..80)) {
        fuzzing::socketio_msgpack(&bytes);
    }

    #[test]
    fn any_msgpack_payload_does_no_harm(bytes in vec(prop_oneof![
        0x80..0xA4_u8, 0xC0..=0xDF_u8, 0..4_u8, Just(b'a')
    ], 0..60)) {
        let mut message = unhex("83a47479706502a36e7370a12fa46461746192a161");
        message.extend_from_slice(&bytes);
        fuzzing::socketio_msgpack(&message);
    }

    #[test]
    fn any_course_of_events_keeps_the_promises(bytes in vec(any::<u8>(), 0..200)) {
        fuzzing::socketio_connection(&bytes);
    }
}

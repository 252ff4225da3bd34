//! What holds for any input.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::fuzzing;

fn out_packet() -> impl Strategy<Value = OutPacket> {
    let kind = prop_oneof![
        Just(PacketType::Open),
        Just(PacketType::Close),
        Just(PacketType::Ping),
        Just(PacketType::Pong),
        Just(PacketType::Message),
        Just(PacketType::Upgrade),
        Just(PacketType::Noop),
    ];
    // The separator of version 4 cannot stand in text; JSON escapes it.
    let text = "[^\u{1e}]{0,20}";
    prop_oneof![
        (kind, text).prop_map(|(kind, text)| OutPacket {
            kind,
            data: text.into()
        }),
        vec(any::<u8>(), 0..40).prop_map(|bytes| OutPacket {
            kind: PacketType::Message,
            data: Bytes::from(bytes).into(),
        }),
    ]
}

fn described(packet: &OutPacket) -> String {
    match &packet.data {
        Message::Text(text) => shown(&Packet {
            kind: packet.kind,
            data: Data::Text(text.as_str()),
        }),
        Message::Binary(bytes) => shown(&Packet {
            kind: packet.kind,
            data: Data::Binary(bytes.as_ref().into()),
        }),
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        out in vec(out_packet(), 1..20),
        old in any::<bool>(),
        base64 in any::<bool>(),
    ) {
        let version = if old { Version::V3 } else { Version::V4 };
        let form = Form { base64, jsonp: None };
        let (body, content_type) = payload::encode(version, form, out.iter());
        let content = Content::from_header(Some(content_type.as_bytes()));
        let read = packets(version, content, &body).unwrap();
        let expected: Vec<String> = out.iter().map(described).collect();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn any_payload_does_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        fuzzing::engineio_payload(&bytes);
    }

    #[test]
    fn any_payload_of_likely_bytes_does_no_harm(
        text in "[0-9:b=\u{1e}A-D€😀\\\\n%&d+-]{0,60}",
        first in 0..16_u8,
    ) {
        let mut bytes = vec![first];
        bytes.extend_from_slice(text.as_bytes());
        fuzzing::engineio_payload(&bytes);
    }

    #[test]
    fn any_request_does_no_harm(text in "[A-Za-z0-9=&%+ -]{0,80}") {
        fuzzing::engineio_request(text.as_bytes());
    }

    #[test]
    fn any_course_of_events_keeps_the_promises(bytes in vec(any::<u8>(), 0..300)) {
        fuzzing::engineio_session(&bytes);
    }
}

//! Bodies from the protocol's documents and suites.

use bytes::Bytes;

use super::*;

/// The bytes of text with `\xNN` in it.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

/// The packet that a vector names.
fn packet(shown: &str) -> OutPacket {
    let (kind, data) = shown.split_once(' ').unwrap();
    let kinds = [("ping", PacketType::Ping), ("message", PacketType::Message)];
    match kinds.iter().find(|(name, _)| *name == kind) {
        Some((_, kind)) => OutPacket {
            kind: *kind,
            data: data.into(),
        },
        None => {
            let bytes = data.as_bytes().chunks(2);
            let hex = bytes.map(|pair| std::str::from_utf8(pair).unwrap());
            let bytes: Bytes = hex
                .map(|pair| u8::from_str_radix(pair, 16).unwrap())
                .collect();
            OutPacket {
                kind: PacketType::Message,
                data: bytes.into(),
            }
        }
    }
}

#[test]
fn payloads_of_the_protocol_documents() {
    let file = include_str!("../../../vectors/engineio/payloads.txt");
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (input, expected) = line.split_once(" = ").unwrap();
        let (version, input) = input.split_once(' ').unwrap();
        let (form, body) = input.split_once(' ').unwrap();
        let version = if version == "v3" {
            Version::V3
        } else {
            Version::V4
        };
        let content = if form == "octets" {
            Content::Octets
        } else {
            Content::Text
        };
        let body = unescape(body);
        let expected: Vec<&str> = expected.split(", ").collect();
        assert_eq!(
            packets(version, content, &body).unwrap(),
            expected,
            "{line}"
        );

        let out: Vec<OutPacket> = expected.iter().map(|shown| packet(shown)).collect();
        let base64 = content == Content::Text;
        let form = Form {
            base64,
            jsonp: None,
        };
        let (encoded, content_type) = payload::encode(version, form, out.iter());
        // Octets are only chosen where there is something binary.
        if base64 || expected.iter().any(|shown| shown.starts_with("binary")) {
            assert_eq!(encoded, body, "{line}");
            assert_eq!(content_type.starts_with("text/plain"), base64);
        }
        lines += 1;
    }
    assert!(lines > 0);
}

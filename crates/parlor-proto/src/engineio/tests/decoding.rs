//! What can be read, what cannot, and how answers look.

use bytes::Bytes;

use super::*;

fn check(version: Version, text: &str, expected: Result<&str, DecodeError>) {
    let packet = packet::decode_text(version, text).map(|packet| shown(&packet));
    assert_eq!(packet, expected.map(str::to_owned), "{text:?}");
}

#[test]
fn packets_in_text() {
    for version in [Version::V3, Version::V4] {
        check(version, "0{}", Ok("open {}"));
        check(version, "1", Ok("close "));
        check(version, "2probe", Ok("ping probe"));
        check(version, "3", Ok("pong "));
        check(version, "4", Ok("message "));
        check(version, "4€", Ok("message €"));
        check(version, "5", Ok("upgrade "));
        check(version, "6", Ok("noop "));
        check(version, "", Err(DecodeError::MalformedEmpty));
        for text in ["7", "abc", " 4", "é", "\u{134}", "-1"] {
            check(version, text, Err(DecodeError::MalformedType));
        }
    }
}

#[test]
fn packets_in_base64() {
    check(Version::V4, "b", Ok("binary "));
    check(Version::V4, "bAQIDBA==", Ok("binary 01020304"));
    check(Version::V4, "bAQIDBA", Ok("binary 01020304"));
    check(Version::V4, "b+/8=", Ok("binary fbff"));
    check(Version::V3, "b4AQIDBA==", Ok("binary 01020304"));
    check(Version::V3, "b4", Ok("binary "));
    for text in ["b-_8=", "bA", "b====", "bAQID BA==", "b€"] {
        check(Version::V4, text, Err(DecodeError::MalformedBase64));
    }
    for text in ["b", "b2AQIDBA==", "bAQIDBA=="] {
        check(Version::V3, text, Err(DecodeError::MalformedType));
    }
}

#[test]
fn packets_in_bytes() {
    fn decode(version: Version, bytes: &[u8]) -> Result<String, DecodeError> {
        packet::decode_binary(version, bytes).map(|new| shown(&new))
    }
    assert_eq!(decode(Version::V4, b"\x04\x01").unwrap(), "binary 0401");
    assert_eq!(decode(Version::V4, b"").unwrap(), "binary ");
    assert_eq!(decode(Version::V3, b"\x04\x01").unwrap(), "binary 01");
    assert_eq!(decode(Version::V3, b"\x04").unwrap(), "binary ");
    assert_eq!(decode(Version::V3, b""), Err(DecodeError::MalformedEmpty));
    for first in (0..=255_u8).filter(|first| *first != 4) {
        let error = Err(DecodeError::MalformedType);
        assert_eq!(decode(Version::V3, &[first, 1]), error);
    }
}

fn check_errors(version: Version, content: Content, rows: &[(&[u8], DecodeError)]) {
    for (body, error) in rows {
        let result = packets(version, content, body);
        assert_eq!(result, Err(*error), "{}", body.escape_ascii());
    }
}

#[test]
fn payloads_of_version_4_that_cannot_be_read() {
    use DecodeError::{MalformedEmpty, MalformedType, MalformedUtf8};
    let rows: [(&[u8], DecodeError); 6] = [
        (b"", MalformedEmpty),
        (b"4a\x1e", MalformedEmpty),
        (b"\x1e4a", MalformedEmpty),
        (b"4a\x1e\x1e4b", MalformedEmpty),
        (b"4a\x1exyz", MalformedType),
        (b"4\xff", MalformedUtf8),
    ];
    check_errors(Version::V4, Content::Text, &rows);
}

#[test]
fn payloads_of_version_3_that_cannot_be_read() {
    use DecodeError::{
        MalformedEmpty, MalformedForm, MalformedLength, MalformedType, MalformedUtf8,
    };
    let malformed_lengths: [&[u8]; 12] = [
        b"abc",
        b"1",
        b":4",
        b"3:4a",
        b"2:4a1",
        b"-1:4",
        b"+1:4",
        b" 1:4",
        b"1.0:4",
        b"99999999999:4",
        b"18446744073709551616:4",
        // The first half of a surrogate pair.
        "2:4\u{1F600}".as_bytes(),
    ];
    let rows = malformed_lengths.map(|body| (body, MalformedLength));
    check_errors(Version::V3, Content::Text, &rows);
    let rows: [(&[u8], DecodeError); 2] = [(b"", MalformedEmpty), (b"1:9", MalformedType)];
    check_errors(Version::V3, Content::Text, &rows);
    let rows: [(&[u8], DecodeError); 10] = [
        (b"", MalformedEmpty),
        (b"\x00", MalformedLength),
        (b"\x00\x01", MalformedLength),
        (b"\x00\xff4", MalformedLength),
        (b"\x00\x0a\xff4", MalformedLength),
        (b"\x00\x02\xff4", MalformedLength),
        (b"\x02\x01\xff4", MalformedType),
        (b"\x00\x02\xff4\xff", MalformedUtf8),
        (b"\x01\x00\xff", MalformedEmpty),
        (b"\x01\x01\xff4", MalformedType),
    ];
    check_errors(Version::V3, Content::Octets, &rows);
    let rows: [(&[u8], DecodeError); 2] = [(b"x=1:4", MalformedForm), (b"d=%FF", MalformedUtf8)];
    check_errors(Version::V3, Content::Form, &rows);
}

#[test]
fn packets_of_no_length_are_skipped_in_version_3() {
    let read = packets(Version::V3, Content::Text, b"0:2:4a0:2:4b");
    assert_eq!(read.unwrap(), ["message a", "message b"]);
}

#[test]
fn lengths_count_utf16_code_units() {
    let read = packets(Version::V3, Content::Text, "3:4😀4:4ä€ß".as_bytes());
    assert_eq!(read.unwrap(), ["message 😀", "message ä€ß"]);
    let out = OutPacket {
        kind: PacketType::Message,
        data: "a😀€".into(),
    };
    let (body, _) = payload::encode(Version::V3, Form::default(), [&out].into_iter());
    assert_eq!(body, "5:4a😀€".as_bytes());
}

#[test]
fn packets_of_a_payload_are_counted() {
    let body = ["4"; 4].join("\x1e");
    let mut payload = Payload::new(Version::V4, Content::Text, body.as_bytes(), 3).unwrap();
    for _ in 0..3 {
        assert!(payload.next_packet().unwrap().is_some());
    }
    let error = DecodeError::LimitPayloadPackets { packets_max: 3 };
    assert_eq!(payload.next_packet(), Err(error));
    assert_eq!(payload.next_packet(), Ok(None));
}

#[test]
fn payloads_are_read_as_far_as_is_granted() {
    let rows: [(Version, Content, &[u8]); 4] = [
        (Version::V4, Content::Text, b"4one\x1e4two\x1e4three"),
        (Version::V3, Content::Text, b"4:4one4:4two6:4three"),
        (
            Version::V3,
            Content::Octets,
            b"\0\x04\xff4one\0\x04\xff4two\0\x06\xff4three",
        ),
        (Version::V3, Content::Form, b"d=4%3A4one4%3A4two6%3A4three"),
    ];
    for (version, content, body) in rows {
        for bytes in 0..=body.len() {
            let mut payload = Payload::new(version, content, body, 3).unwrap();
            let mut read = Vec::new();
            let mut grants = 0;
            loop {
                payload.grant(bytes);
                grants += 1;
                while let Some(packet) = payload.next_packet().unwrap() {
                    read.push(shown(&packet));
                }
                if !payload.is_paused() {
                    break;
                }
                payload = payload.into_owned();
                assert!(payload.is_paused());
                assert_eq!(payload.next_packet(), Ok(None));
            }
            assert_eq!(read, ["message one", "message two", "message three"]);
            // In version 3 the end is found behind the last one.
            let packets = if bytes <= 1 { 3 } else { 1 };
            assert!((packets..=4).contains(&grants), "{grants} of {bytes}");
        }
    }
    // The count goes on, and so does what is wrong with the rest.
    let body = b"4a\x1e4b\x1e4c";
    let mut payload = Payload::new(Version::V4, Content::Text, body, 2).unwrap();
    payload.grant(1);
    assert!(payload.next_packet().unwrap().is_some());
    let mut payload = payload.into_owned();
    payload.grant(usize::MAX);
    assert!(payload.next_packet().unwrap().is_some());
    let error = DecodeError::LimitPayloadPackets { packets_max: 2 };
    assert_eq!(payload.next_packet(), Err(error));
    assert!(!payload.is_paused());
}

fn jsonp(packets: &[OutPacket]) -> String {
    let form = Form {
        base64: true,
        jsonp: Some(7),
    };
    let (body, content_type) = payload::encode(Version::V3, form, packets.iter());
    assert_eq!(content_type, "text/javascript; charset=UTF-8");
    String::from_utf8(body).unwrap()
}

#[test]
fn scripts_carry_any_text() {
    let text = |data: &str| OutPacket {
        kind: PacketType::Message,
        data: data.into(),
    };
    let check = |data: &str, expected: &str| assert_eq!(jsonp(&[text(data)]), expected);
    check("hello", r#"___eio[7]("6:4hello");"#);
    check(r#"a"b\c"#, r#"___eio[7]("6:4a\"b\\c");"#);
    check("\n\r\u{1}\u{7f}", "___eio[7](\"5:4\\n\\r\\u0001\u{7f}\");");
    check(
        "\u{2028}\u{2029}\u{2027}",
        "___eio[7](\"4:4\\u2028\\u2029\u{2027}\");",
    );
    let binary = OutPacket {
        kind: PacketType::Message,
        data: Bytes::from_static(&[1, 2, 3, 4]).into(),
    };
    assert_eq!(jsonp(&[binary]), r#"___eio[7]("10:b4AQIDBA==");"#);
}

#[test]
fn forms_carry_any_text() {
    let check = |form: &str, expected: &str| {
        let read = packets(Version::V3, Content::Form, form.as_bytes());
        assert_eq!(read.unwrap(), [format!("message {expected}")], "{form}");
    };
    check("d=6%3A4hello", "hello");
    check("d=6:4a+b%20c", "a b c");
    check("x=1&d=3:4ab&y=2", "ab");
    // A newline of the text, and a backslash with an n.
    check(r"d=4:4a\nb", "a\nb");
    check(r"d=5:4a\\nb", r"a\nb");
    check(r"d=6:4a\\\nb", r"a\\nb");
    check(r"d=4:4a\b", r"a\b");
    check("d=2:4%", "%");
    check("d=4:4%zz", "%zz");
}

#[test]
fn content_types() {
    let check = |header: Option<&str>, expected| {
        assert_eq!(Content::from_header(header.map(str::as_bytes)), expected);
    };
    check(None, Content::Text);
    check(Some("text/plain;charset=UTF-8"), Content::Text);
    check(Some("application/octet-stream"), Content::Octets);
    check(Some("Application/Octet-Stream; x=y"), Content::Octets);
    check(Some("text/plain; application/octet-stream"), Content::Text);
}

#[test]
fn a_response_says_whether_it_may_be_compressed() {
    let mut bench = Bench::polling(Version::V4);
    let compress = |bench: &mut Bench| match bench.session.poll_output(&bench.options) {
        Some(Output::Respond { response, .. }) => response.compress,
        other => panic!("{other:?}"),
    };
    for (plain, squeezed, expected) in [(1, 0, false), (0, 1, true), (1, 1, true)] {
        bench.get();
        for _ in 0..plain {
            bench.session.send_plain("a".into(), &bench.options);
        }
        for _ in 0..squeezed {
            bench.send("a");
        }
        assert_eq!(compress(&mut bench), expected);
        assert_eq!(bench.drain(), "");
    }
}

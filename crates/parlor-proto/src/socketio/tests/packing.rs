//! MessagePack.

use super::*;

fn unpack(hex: &str) -> Result<Packet<'static>, DecodeError> {
    msgpack::decode(&unhex(hex), &Limits::default())
}

#[test]
fn packets_of_the_clients_library() {
    let file = include_str!("../../../vectors/socketio/msgpack.txt");
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (hex, expected) = line.split_once(" = ").unwrap();
        let packet = unpack(hex).unwrap();
        assert_eq!(shown(&packet), expected, "{hex}");
        // What came in MessagePack goes out as it came, and JSON goes out equal.
        let again = msgpack::decode(&msgpack::encode(&packet), &Limits::default()).unwrap();
        assert_eq!(again, packet);
        let json = Packet {
            msgpack: None,
            ..packet
        };
        let again = msgpack::decode(&msgpack::encode(&json), &Limits::default()).unwrap();
        assert_eq!(shown(&again), expected);
        lines += 1;
    }
    assert!(lines > 0);
}

/// The data of a packet for `/` of a type, after `nsp` and before nothing.
fn packet(kind: u8, data: &str) -> String {
    format!("83a474797065{kind:02x}a36e7370a12fa464617461{data}")
}

#[test]
fn values_of_every_width() {
    let rows = [
        ("92a161c0", r#"["a",null]"#),
        ("dc0002a161c3", r#"["a",true]"#),
        ("dd00000002a161c2", r#"["a",false]"#),
        ("92a16180", r#"["a",{}]"#),
        ("92a161de0001a16201", r#"["a",{"b":1}]"#),
        ("92a161df00000001a16201", r#"["a",{"b":1}]"#),
        ("92a16182a16201a16302", r#"["a",{"b":1,"c":2}]"#),
        // Keys that are numbers are text to JavaScript.
        ("92a1618205c006c0", r#"["a",{"5":null,"6":null}]"#),
        ("92a16181ffc0", r#"["a",{"-1":null}]"#),
        ("91d90161", r#"["a"]"#),
        ("91da000161", r#"["a"]"#),
        ("91db0000000161", r#"["a"]"#),
        ("92a161ca3fc00000", r#"["a",1.5]"#),
        ("92a161d0ff", r#"["a",-1]"#),
        ("92a161d3000000000000007f", r#"["a",127]"#),
        ("92a161cfffffffffffffffff", r#"["a",18446744073709551615]"#),
        ("92a161d38000000000000000", r#"["a",-9223372036854775808]"#),
        ("9105", "[5]"),
        ("91cb3ff8000000000000", "[1.5]"),
        // The timestamp of the specification.
        ("92a161d6ff00000001", r#"["a","1970-01-01T00:00:01.000Z"]"#),
        (
            "92a161d7ff0000000000000001",
            r#"["a","1970-01-01T00:00:01.000Z"]"#,
        ),
        (
            "92a161d7ff7735940000000001",
            r#"["a","1970-01-01T00:00:01.500Z"]"#,
        ),
        (
            "92a161c70cff00000000ffffffffffffffff",
            r#"["a","1969-12-31T23:59:59.000Z"]"#,
        ),
        // The dates of the client's library, the last one there is and one more.
        (
            "92a161d700001eb208c2dc0000",
            r#"["a","+275760-09-13T00:00:00.000Z"]"#,
        ),
        ("92a161d700001eb208c2dc0001", r#"["a",null]"#),
        (
            "92a161d700ffe14df73d240000",
            r#"["a","-271821-04-20T00:00:00.000Z"]"#,
        ),
    ];
    for (data, json) in rows {
        let packet = unpack(&packet(2, data)).unwrap();
        assert_eq!(packet.payload.as_deref(), Some(json), "{data}");
    }
}

#[test]
fn binary_data_in_its_place() {
    for bin in [
        "c401ff",
        "c50001ff",
        "c600000001ff",
        "c70100ff",
        "c8000100ff",
        "c90000000100ff",
    ] {
        let packet = unpack(&packet(2, &format!("92a161{bin}"))).unwrap();
        assert_eq!(
            shown(&packet),
            r#"51-["a",{"_placeholder":true,"num":0}] + ff"#
        );
    }
    let ten = format!("9ba161{}", "c400".repeat(10));
    assert_eq!(unpack(&packet(2, &ten)).unwrap().attachments.len(), 10);
    let eleven = format!("9ca161{}", "c400".repeat(11));
    let limit = DecodeError::LimitAttachments {
        attachments_max: 10,
    };
    assert_eq!(unpack(&packet(2, &eleven)), Err(limit));
}

#[test]
fn objects_that_look_like_placeholders() {
    let fake = |number: &str| format!("82ac5f706c616365686f6c646572c3a36e756d{number}");
    // Without binary data it is an object like any other.
    let alone = unpack(&packet(2, &format!("92a161{}", fake("00")))).unwrap();
    assert_eq!(shown(&alone), r#"2["a",{"_placeholder":true,"num":0}]"#);
    // With them it would break the clients that read JSON.
    for number in ["00", "01", "c0", "a130"] {
        let data = format!("93a161{}c401ff", fake(number));
        assert_eq!(
            unpack(&packet(2, &data)),
            Err(DecodeError::ViolationPlaceholder)
        );
    }
}

#[test]
fn packets_that_cannot_be_read() {
    use DecodeError::*;
    let deep = |depth: usize| packet(2, &format!("92a161{}c0", "91".repeat(depth - 1)));
    assert!(unpack(&deep(128)).is_ok());
    let maps = |depth: usize| packet(0, &format!("{}c0", "81a161".repeat(depth)));
    assert!(unpack(&maps(128)).is_ok());
    let rows = [
        (String::new(), MalformedMsgpack),
        ("c0".into(), MalformedMsgpack),
        ("90".into(), MalformedMsgpack),
        ("80".into(), MalformedMsgpack),
        // `type` or `nsp` missing.
        ("81a36e7370a12f".into(), MalformedMsgpack),
        ("81a47479706500".into(), MalformedMsgpack),
        ("8100a12f".into(), MalformedMsgpack),
        (packet(2, "91a161") + "00", MalformedMsgpack),
        (packet(5, "91a161"), MalformedType),
        (packet(0xc0, "91a161"), MalformedType),
        (packet(0xff, "91a161"), MalformedType),
        ("82a474797065a132a36e7370a12f".into(), MalformedType),
        ("82a47479706500a36e7370a161".into(), MalformedNamespace),
        ("82a47479706500a36e737000".into(), MalformedNamespace),
        (
            "82a47479706500a36e7370a42f612c62".into(),
            MalformedNamespace,
        ),
        ("83a47479706500a36e7370a12fa26964ff".into(), MalformedId),
        ("83a47479706500a36e7370a12fa26964a131".into(), MalformedId),
        (
            "83a47479706500a36e7370a12fa26964cf0020000000000000".into(),
            MalformedId,
        ),
        (packet(2, "90"), ViolationEventName),
        (packet(2, "91c0"), ViolationEventName),
        (packet(2, "91a7636f6e6e656374"), ViolationEventName),
        (packet(2, "91c401ff"), ViolationEventName),
        (packet(2, "80"), ViolationPayload),
        (packet(2, "c0"), ViolationPayload),
        (packet(3, "a161"), ViolationPayload),
        (packet(0, "90"), ViolationPayload),
        (packet(0, "c401ff"), ViolationPayload),
        (packet(0, "81a161c401ff"), ViolationPayload),
        (packet(1, "80"), ViolationPayload),
        (packet(2, "92a161c1"), MalformedMsgpack),
        (packet(2, "92a161"), MalformedMsgpack),
        (packet(2, "92a161a2ff41"), MalformedMsgpack),
        (packet(2, "92a161a561"), MalformedMsgpack),
        (packet(2, "92a16181c0c0"), MalformedMsgpack),
        (packet(2, "92a1618190c0"), MalformedMsgpack),
        // Lengths that are not there.
        (packet(2, "ddffffffffa161"), MalformedMsgpack),
        (packet(2, "92a161dfffffffff"), MalformedMsgpack),
        (packet(2, "92a161c6ffffffff00"), MalformedMsgpack),
        (packet(2, "92a161dbffffffff00"), MalformedMsgpack),
        (packet(2, "92a161c9ffffffff0000"), MalformedMsgpack),
        ("dfffffffff".into(), MalformedMsgpack),
        (packet(2, "92a161d405ff"), UnsupportedExtension),
        (packet(2, "92a161d5000000"), UnsupportedExtension),
        (packet(2, "92a161c701ff00"), UnsupportedExtension),
        (deep(129), LimitDepth),
        (maps(129), LimitDepth),
    ];
    for (hex, error) in rows {
        assert_eq!(unpack(&hex), Err(error), "{hex}");
    }
}

#[test]
fn members_that_are_not_known_are_passed_over() {
    let deep = "91".repeat(10_000) + "c0";
    let hex = format!("83a474797065 01 a36e7370a12f a178{deep}").replace(' ', "");
    assert_eq!(shown(&unpack(&hex).unwrap()), "1");
}

#[test]
fn payloads_of_ours() {
    let check = |json: &str, expected: &str| {
        let packet = Packet {
            payload: Some(json.into()),
            ..Packet::event("/", "", [])
        };
        let packed = hex(&msgpack::encode(&packet));
        assert_eq!(
            packed,
            format!("83a47479706502a464617461{expected}a36e7370a12f"),
            "{json}"
        );
    };
    check(
        r#"["a",-0,1.5,1e2,-0.0]"#,
        "95a16100cb3ff8000000000000cb4059000000000000cb8000000000000000",
    );
    check("[18446744073709551615]", "91cfffffffffffffffff");
    check("[18446744073709551616]", "91cb43f0000000000000");
    check("[-9223372036854775808]", "91d38000000000000000");
    check("[1e999]", "91cb7ff0000000000000");
    check(r#"["\u0061\ud800"]"#, "91a461efbfbd");
    check(r#"[{"a":1,"a":2}]"#, "9182a16101a16102");
    // No JSON, and too deep for it.
    check("[", "c0");
    check(&format!("{}{}", "[".repeat(129), "]".repeat(129)), "c0");
    let long = format!("[{}0]", "0,".repeat(70_000));
    let packet = Packet {
        payload: Some(long.as_str().into()),
        ..Packet::event("/", "", [])
    };
    let packed = msgpack::encode(&packet);
    assert_eq!(hex(&packed[12..17]), "dd00011171");
    assert_eq!(packed.len(), 12 + 5 + 70_001 + 6);
}

#[test]
fn a_changed_payload_is_written_anew() {
    let packet = unpack(&packet(2, "92a161d40000")).unwrap();
    assert!(packet.msgpack.is_some());
    let changed = packet.with_argument("\"o\"");
    assert_eq!(changed.msgpack, None);
    assert_eq!(
        hex(&msgpack::encode(&changed)),
        "83a47479706502a46461746193a161c0a16fa36e7370a12f"
    );
}

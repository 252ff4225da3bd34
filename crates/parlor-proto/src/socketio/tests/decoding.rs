//! What can be read, and what closes the connection.

use super::*;

fn check(text: &str, error: DecodeError) {
    assert_eq!(decode(text).err(), Some(error), "{text}");
}

#[test]
fn types() {
    for text in [
        "",
        "7",
        "9",
        "a",
        "abc",
        "-1",
        " 2[\"a\"]",
        "é",
        "\u{132}[\"a\"]",
    ] {
        check(text, DecodeError::MalformedType);
    }
}

#[test]
fn namespaces() {
    let namespace = |text| decode(text).unwrap().unwrap().namespace.into_owned();
    assert_eq!(namespace("0"), "/");
    assert_eq!(namespace("0/"), "/");
    assert_eq!(namespace("0/,"), "/");
    assert_eq!(namespace("0/custom"), "/custom");
    assert_eq!(namespace("0/custom,"), "/custom");
    assert_eq!(namespace(r#"0/custom,{"token":"a,b"}"#), "/custom");
    assert_eq!(namespace("0/a{b}?c=d&e"), "/a{b}?c=d&e");
    assert_eq!(namespace("2/#*>é,[\"a\"]"), "/#*>é");
}

#[test]
fn ids() {
    let id = |text| decode(text).unwrap().unwrap().id;
    assert_eq!(id(r#"2["a"]"#), None);
    assert_eq!(id(r#"20["a"]"#), Some(0));
    assert_eq!(id(r#"2007["a"]"#), Some(7));
    assert_eq!(id(r#"2/a,12["a"]"#), Some(12));
    assert_eq!(id("39007199254740991[]"), Some(9_007_199_254_740_991));
    check("39007199254740992[]", DecodeError::MalformedId);
    check("399999999999999999999999[]", DecodeError::MalformedId);
    check(r#"2abc["a"]"#, DecodeError::MalformedJson);
    check(r#"2-1["a"]"#, DecodeError::ViolationPayload);
    check(r#"21.5["a"]"#, DecodeError::MalformedJson);
    check(r#"21e3["a"]"#, DecodeError::MalformedJson);
}

#[test]
fn payloads() {
    use DecodeError::{MalformedJson, ViolationPayload};
    for (text, error) in [
        ("2", ViolationPayload),
        ("21", ViolationPayload),
        ("2/a,", ViolationPayload),
        ("2/a", ViolationPayload),
        ("31", ViolationPayload),
        ("2{}", ViolationPayload),
        ("2\"a\"", ViolationPayload),
        ("2null", ViolationPayload),
        ("31{}", ViolationPayload),
        ("31null", ViolationPayload),
        ("0[]", ViolationPayload),
        ("0\"a\"", ViolationPayload),
        ("0null", ViolationPayload),
        ("0/a,[]", ViolationPayload),
        ("1{}", ViolationPayload),
        ("1[]", ViolationPayload),
        ("1/a,\"a\"", ViolationPayload),
        ("4[]", ViolationPayload),
        ("2[", MalformedJson),
        ("2[\"a\"", MalformedJson),
        ("2[\"a\"]x", MalformedJson),
        ("2[\"a\",]", MalformedJson),
        ("2[\"a\"]{}", MalformedJson),
        ("0{\"a\":}", MalformedJson),
        ("0{token}", MalformedJson),
        ("0,{}", MalformedJson),
    ] {
        check(text, error);
    }
}

#[test]
fn event_names() {
    for good in [
        r#"["a"]"#,
        "[1]",
        "[-1.5]",
        r#"[""]"#,
        r#"["error"]"#,
        r#"["Connect"]"#,
        r#"["__proto__"]"#,
        r#"["toString"]"#,
        r#"["\ud800"]"#,
        r#"["a","connect"]"#,
    ] {
        assert!(decode(&format!("2{good}")).unwrap().is_some(), "{good}");
    }
    for bad in [
        "[]",
        "[null]",
        "[true]",
        "[[]]",
        "[{}]",
        r#"[{"toString":"foo"}]"#,
        r#"["connect"]"#,
        r#"["connect_error"]"#,
        r#"["disconnect"]"#,
        r#"["disconnecting"]"#,
        r#"["newListener"]"#,
        r#"["removeListener"]"#,
        r#"["\u0063onnect"]"#,
        r#" [ "disconnect" , 1 ]"#,
    ] {
        check(&format!("2{bad}"), DecodeError::ViolationEventName);
        check(&format!("51-{bad}"), DecodeError::ViolationEventName);
    }
}

#[test]
fn numbers_of_attachments() {
    let limit = DecodeError::LimitAttachments {
        attachments_max: 10,
    };
    for (text, error) in [
        ("5[\"a\"]", DecodeError::MalformedAttachments),
        ("5-[\"a\"]", DecodeError::MalformedAttachments),
        ("51[\"a\"]", DecodeError::MalformedAttachments),
        ("51", DecodeError::MalformedAttachments),
        ("50-[\"a\"]", DecodeError::MalformedAttachments),
        ("5000-[\"a\"]", DecodeError::MalformedAttachments),
        ("5-1-[\"a\"]", DecodeError::MalformedAttachments),
        ("51.5-[\"a\"]", DecodeError::MalformedAttachments),
        ("5 1-[\"a\"]", DecodeError::MalformedAttachments),
        ("5Infinity-[\"a\"]", DecodeError::MalformedAttachments),
        ("50x1-[\"a\"]", DecodeError::MalformedAttachments),
        ("6-1[]", DecodeError::MalformedAttachments),
        ("511-[\"a\"]", limit),
        ("599999999-[\"a\"]", limit),
        ("518446744073709551617-[\"a\"]", limit),
        ("611-1[]", limit),
    ] {
        check(text, error);
    }
    // Those that no placeholder names are not missed.
    assert_eq!(decode("510-[\"a\"]"), Ok(None));
    assert_eq!(decode("501-[\"a\"]"), Ok(None));
}

#[test]
fn placeholders() {
    let good = [
        r#"{"_placeholder":true,"num":0}"#,
        r#"{"_placeholder":true,"num":1}"#,
        r#"{"num":0,"_placeholder":true}"#,
        r#"{"a":[{"b":{"_placeholder":true,"num":1}}]}"#,
        r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#,
        // The last of two members counts.
        r#"{"_placeholder":true,"num":9,"num":0}"#,
        r#"{"_placeholder":true,"num":9,"_placeholder":false}"#,
        // Only `true` makes a placeholder.
        r#"{"_placeholder":"true","num":9}"#,
        r#"{"_placeholder":1,"num":9}"#,
        r#"{"_placeholder":[true],"num":9}"#,
        r#"{"_placeholder":{"x":true},"num":9}"#,
        r#"{"_placeholder":false}"#,
        r#"{"num":9}"#,
        r#""_placeholder",true"#,
    ];
    for good in good {
        assert_eq!(decode(&format!(r#"52-["a",{good}]"#)), Ok(None), "{good}");
    }
    let bad = [
        r#"{"_placeholder":true,"num":2}"#,
        r#"{"_placeholder":true,"num":-1}"#,
        r#"{"_placeholder":true,"num":0.5}"#,
        r#"{"_placeholder":true,"num":1e1}"#,
        r#"{"_placeholder":true,"num":"0"}"#,
        r#"{"_placeholder":true,"num":"splice"}"#,
        r#"{"_placeholder":true,"num":null}"#,
        r#"{"_placeholder":true,"num":[0]}"#,
        r#"{"_placeholder":true,"num":{"num":0}}"#,
        r#"{"_placeholder":true,"num":18446744073709551616}"#,
        r#"{"_placeholder":true}"#,
        r#"{"_placeholder":true,"num":0,"num":2}"#,
        r#"{"\u005fplaceholder":true,"num":2}"#,
        r#"{"_placeholder":false,"num":2,"_placeholder":true}"#,
        r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}"#,
        r#"{"a":[{"b":{"_placeholder":true,"num":2}}]}"#,
        r#"{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":2}}"#,
    ];
    for bad in bad {
        let error = DecodeError::ViolationPlaceholder;
        check(&format!(r#"52-["a",{bad}]"#), error);
        check(&format!("62-1[{bad}]"), error);
        // Without attachments it is an object like any other.
        assert!(decode(&format!(r#"2["a",{bad}]"#)).unwrap().is_some());
    }
}

#[test]
fn attachments_arrive_after_their_header() {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    let text = r#"52-/a,3["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
    assert_eq!(decoder.text(text, &limits), Ok(None));
    assert!(decoder.is_mid_packet());
    assert_eq!(decoder.binary(&[1, 2], &limits), Ok(None));
    assert_eq!(decoder.buffered_bytes(), text.len() + 2);
    let packet = decoder.binary(&[], &limits).unwrap().unwrap();
    assert_eq!(shown(&packet), format!("{text} + 0102 + "));
    assert!(!decoder.is_mid_packet());
    assert_eq!(decoder.buffered_bytes(), 0);
    assert!(decoder.text(r#"2["a"]"#, &limits).unwrap().is_some());
}

#[test]
fn text_and_bytes_out_of_turn() {
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    let stray = decoder.binary(&[1], &limits);
    assert_eq!(stray, Err(DecodeError::ViolationStrayBinary));
    decoder.text(r#"51-["a"]"#, &limits).unwrap();
    let text = decoder.text(r#"2["a"]"#, &limits);
    assert_eq!(text, Err(DecodeError::ViolationTextForBinary));
    assert_eq!(decoder.buffered_bytes(), 0);
}

#[test]
fn a_packet_is_bounded_with_its_attachments() {
    let limits = Limits {
        packet_bytes_max: 20,
        ..Limits::default()
    };
    let mut decoder = Decoder::new();
    decoder.text(r#"510-["a"]"#, &limits).unwrap();
    decoder.binary(&[0; 11], &limits).unwrap();
    let error = DecodeError::LimitPacketBytes {
        bytes: 21,
        bytes_max: 20,
    };
    assert_eq!(decoder.binary(&[0], &limits), Err(error));
    assert_eq!(decoder.buffered_bytes(), 0);
    let header = decoder.text(r#"51-["aaaaaaaaaaaaa"]"#, &limits);
    assert!(header.is_ok());
    let mut decoder = Decoder::new();
    let header = decoder.text(r#"51-["aaaaaaaaaaaaaa"]"#, &limits);
    assert_eq!(header, Err(error));
}

#[test]
fn depth() {
    let nested = |depth: usize| {
        let arrays = depth - 1;
        format!("2[\"a\",{}{}]", "[".repeat(arrays), "]".repeat(arrays))
    };
    assert!(decode(&nested(128)).unwrap().is_some());
    check(&nested(129), DecodeError::LimitDepth);
    check(&"2[\"a\",".repeat(2), DecodeError::MalformedJson);
    let objects = |depth: usize| {
        let inner = "{\"a\":".repeat(depth - 1);
        format!("0{{\"a\":{inner}1{}", "}".repeat(depth))
    };
    assert!(decode(&objects(128)).unwrap().is_some());
    check(&objects(129), DecodeError::LimitDepth);
    // However deep it claims to be, it is refused at once.
    check(
        &format!("2{}", "[".repeat(1_000_000)),
        DecodeError::ViolationEventName,
    );
    check(
        &format!("2[\"a\",{}", "[".repeat(1_000_000)),
        DecodeError::LimitDepth,
    );
}

#[test]
fn an_idle_decoder_is_small() {
    assert_eq!(size_of::<Decoder>(), 8);
}

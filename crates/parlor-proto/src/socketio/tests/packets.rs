//! Packets as they are written.

use super::*;

#[test]
fn binary_data_can_be_said_in_json() {
    let rows = [
        (r#"{"_placeholder":true,"num":0}"#, r#"{"base64":"AP8="}"#),
        (
            r#"{"a":[{"num":1,"_placeholder":true}, 2],"b":{}}"#,
            r#"{"a":[{"base64":"AQ=="}, 2],"b":{}}"#,
        ),
        (
            r#"[{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":1}}]"#,
            r#"[{"base64":"AP8="}]"#,
        ),
        (
            r#"{"_placeholder":true,"num":7}"#,
            r#"{"_placeholder":true,"num":7}"#,
        ),
        (r#""text \" {}""#, r#""text \" {}""#),
        ("[]", "[]"),
        ("1", "1"),
    ];
    let attachments = vec![Bytes::from_static(&[0, 255]), Bytes::from_static(&[1])];
    let packet = Packet::event("/", "e", []).with_attachments(attachments);
    for (argument, expected) in rows {
        assert_eq!(packet.inline(argument), expected);
    }
    let plain = Packet::event("/", "e", []);
    let argument = r#"{"_placeholder":true,"num":0}"#;
    assert_eq!(plain.inline(argument), argument);
}

#[test]
fn packets_of_the_protocol_documents() {
    let file = include_str!("../../../vectors/socketio/packets.txt");
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (text, expected) = line.split_once(" = ").unwrap();
        let (packet, attachments) = decoder::parse(text, 10).unwrap();
        let kind = match packet.kind {
            PacketType::Connect => "connect",
            PacketType::Disconnect => "disconnect",
            PacketType::Event => "event",
            PacketType::Ack => "ack",
            PacketType::ConnectError => "connect_error",
        };
        let said = format!(
            "{kind} {} {} {attachments} {}",
            packet.namespace,
            packet
                .id
                .map_or_else(|| "-".to_owned(), |id| id.to_string()),
            packet.payload.as_deref().unwrap_or("-"),
        );
        assert_eq!(said, expected, "{line}");
        let packet = packet.with_attachments(vec![Bytes::new(); attachments]);
        let mut again = String::new();
        packet.encode_text(&mut again);
        assert_eq!(again, text);
        lines += 1;
    }
    assert!(lines > 0);
}

#[test]
fn what_the_server_says() {
    let (v4, v5) = (Version::V4, Version::V5);
    let rows = [
        (Packet::connect(v5, "/", "S", None), r#"0{"sid":"S"}"#),
        (Packet::connect(v5, "/a", "S", None), r#"0/a,{"sid":"S"}"#),
        (
            Packet::connect(v5, "/", "S", Some("P")),
            r#"0{"sid":"S","pid":"P"}"#,
        ),
        (Packet::connect(v4, "/", "S", Some("P")), "0"),
        (Packet::connect(v4, "/a", "S", None), "0/a,"),
        (
            Packet::connect_error(v5, "/", "no \"x\"", None),
            r#"4{"message":"no \"x\""}"#,
        ),
        (
            Packet::connect_error(v5, "/a", "no", Some(r#"{"a":1}"#)),
            r#"4/a,{"message":"no","data":{"a":1}}"#,
        ),
        (Packet::connect_error(v4, "/", "no", None), r#"4"no""#),
        (
            Packet::connect_error(v4, "/a", "no", Some(r#"{"a":1}"#)),
            r#"4/a,{"a":1}"#,
        ),
        (
            Packet::invalid_namespace("/random"),
            r#"4/random,{"message":"Invalid namespace"}"#,
        ),
        (Packet::disconnect("/"), "1"),
        (Packet::disconnect("/a"), "1/a,"),
        (Packet::event("/", "a", []), r#"2["a"]"#),
        (Packet::event("/", "a\n", ["1", "{}"]), r#"2["a\n",1,{}]"#),
        (
            Packet::event("/a", "e", ["1"]).with_id(Some(0)),
            r#"2/a,0["e",1]"#,
        ),
        (Packet::ack("/", 7, []), "37[]"),
        (Packet::ack("/a", 7, ["1", "2"]), "3/a,7[1,2]"),
        (
            Packet::event("/", "e", [&*placeholder_json(0)])
                .with_attachments(vec![Bytes::from_static(&[1])]),
            r#"51-["e",{"_placeholder":true,"num":0}] + 01"#,
        ),
        (
            Packet::ack("/", 3, [&*placeholder_json(0)])
                .with_attachments(vec![Bytes::from_static(&[1])]),
            r#"61-3[{"_placeholder":true,"num":0}] + 01"#,
        ),
        (
            Packet::event("/", "e", []).with_argument("\"o\""),
            r#"2["e","o"]"#,
        ),
        (Packet::ack("/", 1, []).with_argument("1"), "31[1]"),
        (
            Packet::event("/a", "e", []).with_namespace("/b"),
            r#"2/b,["e"]"#,
        ),
    ];
    for (packet, expected) in rows {
        assert_eq!(shown(&packet), expected);
    }
}

#[test]
fn attachments_follow_their_header() {
    let packet = Packet::event("/", "e", [&*placeholder_json(0), &placeholder_json(1)])
        .with_attachments(vec![Bytes::from_static(&[1]), Bytes::from_static(&[2])]);
    let encoded = packet.encode(Parser::Json);
    let expected = [
        crate::engineio::Message::from(
            r#"52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        ),
        Bytes::from_static(&[1]).into(),
        Bytes::from_static(&[2]).into(),
    ];
    assert_eq!(encoded.messages().collect::<Vec<_>>(), expected);
    assert_eq!(encoded.len(), 70);
    assert_eq!(encoded.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn names_and_arguments() {
    let packet = decode(r#"2[ "a\u0062" , {"x":[1,"]"]} ,null, -1.5e3,"y"]"#).unwrap();
    let packet = packet.unwrap();
    assert_eq!(packet.event_name(), Some(EventName::Text("ab".into())));
    let arguments: Vec<&str> = packet.arguments().collect();
    assert_eq!(arguments, [r#"{"x":[1,"]"]}"#, "null", "-1.5e3", r#""y""#]);

    let packet = decode(r#"2[42,"x"]"#).unwrap().unwrap();
    assert_eq!(packet.event_name(), Some(EventName::Number("42")));
    assert_eq!(packet.event_name().unwrap().as_str(), "42");

    let packet = decode("31[]").unwrap().unwrap();
    assert_eq!(packet.event_name(), None);
    assert_eq!(packet.arguments().count(), 0);
    let packet = decode(r#"31["connect"]"#).unwrap().unwrap();
    assert_eq!(packet.arguments().collect::<Vec<_>>(), [r#""connect""#]);
}

#[test]
fn attachments_of_arguments() {
    let attachments = vec![Bytes::from_static(&[1]), Bytes::from_static(&[2])];
    let packet = Packet::event("/", "e", []).with_attachments(attachments);
    assert_eq!(
        packet.attachment(&placeholder_json(1)),
        Some(&packet.attachments[1])
    );
    assert_eq!(packet.attachment(&placeholder_json(2)), None);
    for other in [
        "1",
        "null",
        "{}",
        r#"{"num":0}"#,
        r#"{"_placeholder":1,"num":0}"#,
        "",
    ] {
        assert_eq!(packet.attachment(other), None, "{other}");
    }
}

#[test]
fn recovery_wants_both_fields() {
    let recovery = Recovery::from_auth(r#"{"token":"t","pid":"p\u0041","offset":"1-2-3"}"#);
    let expected = Recovery {
        pid: "pA".into(),
        offset: "1-2-3".into(),
    };
    assert_eq!(recovery, Some(expected));
    for auth in [
        "{}",
        r#"{"pid":"p"}"#,
        r#"{"offset":"o"}"#,
        r#"{"pid":1,"offset":"o"}"#,
        r#"{"pid":"p","offset":["o"]}"#,
        r#"{"a":{"pid":"p","offset":"o"}}"#,
        r#"["pid","offset"]"#,
    ] {
        assert_eq!(Recovery::from_auth(auth), None, "{auth}");
    }
}

#[test]
fn socket_ids_of_version_4() {
    assert_eq!(socket_id_v4("/", "abc"), "abc");
    assert_eq!(socket_id_v4("/chat", "abc"), "/chat#abc");
}

#[test]
fn reasons_have_the_words_that_handlers_know() {
    use DisconnectReason::*;
    let rows = [
        (
            ClientNamespaceDisconnect,
            "client namespace disconnect",
            false,
        ),
        (
            ServerNamespaceDisconnect,
            "server namespace disconnect",
            false,
        ),
        (TransportClose, "transport close", true),
        (TransportError, "transport error", true),
        (PingTimeout, "ping timeout", true),
        (ParseError, "parse error", false),
        (ForcedClose, "forced close", true),
        (ForcedServerClose, "forced server close", true),
        (ServerShuttingDown, "server shutting down", true),
    ];
    for (reason, words, recoverable) in rows {
        assert_eq!(
            (reason.as_str(), reason.is_recoverable()),
            (words, recoverable)
        );
    }
    for cause in [
        crate::engineio::CloseReason::TransportError,
        crate::engineio::CloseReason::TransportClose,
        crate::engineio::CloseReason::ForcedClose,
        crate::engineio::CloseReason::PingTimeout,
        crate::engineio::CloseReason::ParseError,
    ] {
        assert_eq!(DisconnectReason::from(cause).as_str(), cause.as_str());
    }
}

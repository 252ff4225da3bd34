//! Namespaces, acknowledgements and deadlines of one connection.

use std::time::Duration;

use super::*;
use crate::engineio::Message;

const START: u64 = 1_000_000;

/// A connection under test.
struct Bench {
    connection: Connection,
    options: Options,
}

impl Bench {
    fn new(version: Version) -> Self {
        let options = Options::default();
        Self {
            connection: Connection::new(version, &options, START),
            options,
        }
    }

    /// In the main namespace.
    fn connected() -> Self {
        let mut new = Self::new(Version::V5);
        assert_eq!(new.text("0"), "connect / -");
        new.connection.accept("/", "S", None).unwrap();
        new
    }

    fn text(&mut self, text: &str) -> String {
        said(self.connection.text(text, &self.options))
    }

    fn due(&mut self, after_start: u64) -> String {
        said(Ok(self.connection.due(START + after_start)))
    }

    fn ack(&mut self, deadline: Option<u64>) -> Result<u64, Misuse> {
        let deadline = deadline.map(|deadline| START + deadline);
        self.connection
            .expect_ack("/", deadline, &self.options.limits)
    }
}

/// An event in words.
fn said(event: Result<Option<Event<'_>>, Error>) -> String {
    match event {
        Ok(None) => String::new(),
        Ok(Some(Event::Connect { namespace, auth })) => {
            format!("connect {namespace} {}", auth.as_deref().unwrap_or("-"))
        }
        Ok(Some(Event::Event(packet))) => format!("event {}", shown(&packet)),
        Ok(Some(Event::Ack(packet))) => format!("ack {}", shown(&packet)),
        Ok(Some(Event::Disconnect { namespace })) => format!("disconnect {namespace}"),
        Ok(Some(Event::AckTimeout { namespace, id })) => format!("ack timeout {namespace} {id}"),
        Ok(Some(Event::ConnectTimeout)) => "connect timeout".to_owned(),
        Err(error) => format!("{}: {error}", error.reason().as_str()),
    }
}

/// A packet in text, or as the connection writes it.
fn head(packet: Result<Packet<'_>, Misuse>) -> String {
    written(packet.map(|packet| packet.encode(Parser::Json)))
}

fn written(encoded: Result<Encoded, Misuse>) -> String {
    match encoded.map(|encoded| encoded.head) {
        Ok(Message::Text(text)) => text.as_str().to_owned(),
        Ok(Message::Binary(bytes)) => hex(&bytes),
        Err(error) => error.to_string(),
    }
}

#[test]
fn connect_and_be_let_in() {
    let mut bench = Bench::new(Version::V5);
    assert_eq!(bench.due(0), "");
    assert_eq!(
        bench.text(r#"0{"token":"123"}"#),
        r#"connect / {"token":"123"}"#
    );
    assert!(!bench.connection.is_connected("/"));
    assert_eq!(
        head(bench.connection.accept("/", "S", Some("P"))),
        r#"0{"sid":"S","pid":"P"}"#
    );
    assert!(bench.connection.is_connected("/"));
    assert_eq!(bench.text("0/custom"), "connect /custom -");
    assert_eq!(
        head(bench.connection.accept("/custom", "T", None)),
        r#"0/custom,{"sid":"T"}"#
    );
    assert_eq!(bench.text(r#"2["a"]"#), r#"event 2["a"]"#);
    assert_eq!(bench.text(r#"2/custom,3["a"]"#), r#"event 2/custom,3["a"]"#);
    assert_eq!(
        bench.connection.namespaces().collect::<Vec<_>>(),
        ["/", "/custom"]
    );
    // It is answered once.
    assert_eq!(
        bench.connection.accept("/", "S", None),
        Err(Misuse::NotConnecting)
    );
    assert_eq!(
        bench.connection.refuse_unknown("/none"),
        Err(Misuse::NotConnecting)
    );
}

#[test]
fn connect_and_be_refused() {
    let mut bench = Bench::new(Version::V5);
    bench.text("0/random");
    let refused = bench.connection.refuse_unknown("/random");
    assert_eq!(head(refused), r#"4/random,{"message":"Invalid namespace"}"#);
    bench.text("0");
    let refused = bench
        .connection
        .refuse("/", "Not authorized", Some(r#"{"code":1}"#));
    assert_eq!(
        head(refused),
        r#"4{"message":"Not authorized","data":{"code":1}}"#
    );
    // The connection stays, and may try again.
    assert_eq!(bench.text(r#"0{"again":1}"#), r#"connect / {"again":1}"#);
    assert_eq!(
        head(bench.connection.refuse("/", "no", None)),
        r#"4{"message":"no"}"#
    );
    assert_eq!(
        bench.text(r#"2["a"]"#),
        "forced server close: packet for a namespace that is not connected"
    );
}

#[test]
fn packets_for_namespaces_that_are_not_connected() {
    let error = "forced server close: packet for a namespace that is not connected";
    for text in [
        r#"2["a"]"#,
        "31[]",
        "1",
        r#"2/x,["a"]"#,
        "1/x",
        r#"2/,["a"]"#,
    ] {
        assert_eq!(Bench::new(Version::V5).text(text), error, "{text}");
    }
    // Nor while it waits for its answer.
    let mut bench = Bench::new(Version::V5);
    bench.text("0");
    assert_eq!(bench.text(r#"2["a"]"#), error);
    let mut bench = Bench::connected();
    assert_eq!(bench.text(r#"2/x,["a"]"#), error);
}

#[test]
fn packets_that_close_the_connection() {
    let mut bench = Bench::connected();
    assert_eq!(
        bench.text("0"),
        "forced server close: second CONNECT for a namespace"
    );
    let mut bench = Bench::new(Version::V5);
    bench.text("0/a");
    assert_eq!(
        bench.text("0/a,"),
        "forced server close: second CONNECT for a namespace"
    );
    for text in ["4", r#"4"x""#, r#"4{"message":"x"}"#] {
        let said = Bench::connected().text(text);
        assert_eq!(said, "forced server close: packet that only servers send");
    }
    assert_eq!(
        Bench::connected().text("2{}"),
        "parse error: payload does not fit the packet type"
    );
    let mut bench = Bench::connected();
    let stray = bench.connection.binary(&[1], &bench.options);
    assert_eq!(said(stray), "parse error: attachment that nothing awaits");
}

#[test]
fn binary_events() {
    let mut bench = Bench::connected();
    assert_eq!(bench.text(r#"51-["a",{"_placeholder":true,"num":0}]"#), "");
    assert!(bench.connection.buffered_bytes() > 0);
    let event = bench.connection.binary(&[1], &bench.options);
    assert_eq!(
        said(event),
        r#"event 51-["a",{"_placeholder":true,"num":0}] + 01"#
    );
}

#[test]
fn the_client_leaves() {
    let mut bench = Bench::connected();
    assert_eq!(bench.text("1"), "disconnect /");
    assert!(!bench.connection.is_connected("/"));
    assert_eq!(bench.text("0"), "connect / -");
    bench.connection.accept("/", "S2", None).unwrap();
    bench.text("1");
    assert!(bench.text(r#"2["a"]"#).starts_with("forced server close"));
}

#[test]
fn we_disconnect() {
    let mut bench = Bench::connected();
    assert_eq!(head(bench.connection.disconnect("/")), "1");
    assert_eq!(bench.connection.disconnect("/"), Err(Misuse::NotConnected));
    // What is still under way is passed over.
    for text in [r#"2["a"]"#, "31[]", "1"] {
        assert_eq!(bench.text(text), "");
    }
    assert_eq!(bench.text("0"), "connect / -");
    bench.connection.accept("/", "S", None).unwrap();
    bench.text("0/a");
    bench.connection.accept("/a", "S", None).unwrap();
    bench.text("0/waits");
    let all = bench.connection.disconnect_all();
    let all: Vec<String> = all.into_iter().map(|encoded| head(Ok(encoded))).collect();
    assert_eq!(all, ["1", "1/a,"]);
    assert_eq!(bench.connection.disconnect_all(), []);
}

#[test]
fn a_client_must_connect_in_45_seconds() {
    let mut bench = Bench::new(Version::V5);
    assert_eq!(bench.connection.next_deadline(), Some(START + 45_000));
    // An answer that is awaited, or was no, does not help.
    bench.text("0");
    bench.text("0/a");
    bench.connection.refuse("/a", "no", None).unwrap();
    assert_eq!(bench.due(44_999), "");
    assert_eq!(bench.due(45_000), "connect timeout");
    assert_eq!(bench.due(45_000), "");
    assert_eq!(bench.connection.next_deadline(), None);

    let mut bench = Bench::connected();
    assert_eq!(bench.connection.next_deadline(), None);
    bench.text("1");
    assert_eq!(bench.due(60_000), "");
}

#[test]
fn acknowledgements() {
    let mut bench = Bench::connected();
    assert_eq!((bench.ack(None), bench.ack(None)), (Ok(0), Ok(1)));
    assert_eq!(bench.text("31[\"b\"]"), "ack 31[\"b\"]");
    // Second, unknown and nameless ones mean nothing.
    for text in ["31[]", "32[]", "39007199254740991[]", "3[]"] {
        assert_eq!(bench.text(text), "");
    }
    assert_eq!(bench.text("30[]"), "ack 30[]");
    assert_eq!(bench.ack(None), Ok(2));
    assert!(bench.connection.forget_ack("/", 2));
    assert!(!bench.connection.forget_ack("/", 2));
    assert_eq!(bench.text("32[]"), "");
    // Each socket counts for itself.
    bench.text("0/a");
    assert_eq!(
        bench
            .connection
            .expect_ack("/a", None, &bench.options.limits),
        Err(Misuse::NotConnected)
    );
    bench.connection.accept("/a", "S", None).unwrap();
    let first = bench
        .connection
        .expect_ack("/a", None, &bench.options.limits);
    assert_eq!(first, Ok(0));
    assert_eq!(bench.ack(None), Ok(3));
    assert_eq!(bench.text("3/a,0[]"), "ack 3/a,0[]");
    bench.text("1/a");
    bench.text("0/a");
    bench.connection.accept("/a", "S2", None).unwrap();
    let again = bench
        .connection
        .expect_ack("/a", None, &bench.options.limits);
    assert_eq!(again, Ok(0));
}

#[test]
fn acknowledgements_have_deadlines() {
    let mut bench = Bench::connected();
    for deadline in [Some(300), None, Some(100), Some(200)] {
        bench.ack(deadline).unwrap();
    }
    assert_eq!(bench.connection.next_deadline(), Some(START + 100));
    assert_eq!(bench.due(99), "");
    assert_eq!(bench.text("33[]"), "ack 33[]");
    assert_eq!(bench.due(100), "ack timeout / 2");
    assert_eq!(bench.due(100), "");
    assert_eq!(bench.text("32[]"), "");
    assert_eq!(bench.connection.next_deadline(), Some(START + 300));
    assert_eq!(bench.due(500), "ack timeout / 0");
    assert_eq!(bench.due(500), "");
    assert_eq!(bench.connection.next_deadline(), None);
    assert_eq!(bench.text("31[]"), "ack 31[]");
}

#[test]
fn acknowledgements_are_bounded() {
    let mut bench = Bench::connected();
    bench.options.limits.acks_max = 2;
    assert_eq!((bench.ack(None), bench.ack(None)), (Ok(0), Ok(1)));
    assert_eq!(bench.ack(None), Err(Misuse::LimitAcks { acks_max: 2 }));
    bench.text("30[]");
    assert_eq!(bench.ack(None), Ok(2));
}

#[test]
fn namespaces_are_bounded() {
    let mut bench = Bench::new(Version::V5);
    bench.options.limits.namespaces_max = 2;
    bench.text("0");
    bench.connection.accept("/", "S", None).unwrap();
    bench.text("0/a");
    bench.connection.accept("/a", "S", None).unwrap();
    // One that we ended gives its place up.
    bench.connection.disconnect("/a").unwrap();
    assert_eq!(bench.text("0/b"), "connect /b -");
    assert_eq!(
        bench.text("0/c"),
        "forced server close: more namespaces than the limit of 2"
    );

    let mut bench = Bench::new(Version::V5);
    let long = format!("0/{}", "x".repeat(255));
    assert!(bench.text(&long).starts_with("connect /xxx"));
    let said = bench.text(&format!("{long}x"));
    assert_eq!(
        said,
        "forced server close: namespace longer than the limit of 256 bytes"
    );
}

#[test]
fn version_4_is_let_into_the_main_namespace() {
    let mut bench = Bench::new(Version::V4);
    assert_eq!(bench.due(0), "connect / -");
    assert_eq!(bench.due(0), "");
    assert_eq!(head(bench.connection.accept("/", "S", Some("P"))), "0");
    assert_eq!(bench.text(r#"2["a"]"#), r#"event 2["a"]"#);
    assert_eq!(
        bench.text("0/custom?token=abc&x=%22+1&token=d"),
        r#"connect /custom {"token":"d","x":"\" 1"}"#
    );
    assert_eq!(
        head(bench.connection.accept("/custom", "S", None)),
        "0/custom,"
    );
    assert_eq!(bench.text(r#"2/custom,["a"]"#), r#"event 2/custom,["a"]"#);
    assert_eq!(bench.text("0/b"), "connect /b -");
    assert_eq!(
        head(bench.connection.refuse("/b", "no", None)),
        r#"4/b,"no""#
    );
    assert_eq!(bench.text("0/b,"), "connect /b -");
    assert_eq!(
        head(bench.connection.refuse("/b", "no", Some("{}"))),
        "4/b,{}"
    );
    assert_eq!(bench.text("0/c?"), "connect /c {}");
    let unknown = bench.connection.refuse_unknown("/c");
    assert_eq!(head(unknown), r#"4/c,{"message":"Invalid namespace"}"#);
    assert!(bench.text("0").starts_with("forced server close: second"));
    // In version 5 the question mark is part of the name.
    assert_eq!(Bench::new(Version::V5).text("0/a?b=c"), "connect /a?b=c -");
}

#[test]
fn the_first_packet_shows_how_a_client_writes() {
    let connect = unhex("82a47479706500a36e7370a12f");
    let mut bench = Bench::new(Version::V5);
    assert_eq!(
        said(bench.connection.binary(&connect, &bench.options)),
        "connect / -"
    );
    assert_eq!(bench.connection.parser(), Parser::Msgpack);
    let sid = "83a47479706500a46461746181a3736964a153a36e7370a12f";
    let answer = bench.connection.accept("/", "S", None).unwrap();
    assert_eq!(written(Ok(bench.connection.encode(&answer))), sid);
    assert_eq!(
        bench.text("0/a"),
        "parse error: text where MessagePack is spoken"
    );

    let mut bench = Bench::connected();
    assert_eq!(bench.connection.parser(), Parser::Json);
    assert!(said(bench.connection.binary(&connect, &bench.options)).starts_with("parse error"));

    let mut bench = Bench::new(Version::V5);
    bench.options.parsers = Parsers::Json;
    bench.connection = Connection::new(Version::V5, &bench.options, START);
    assert!(said(bench.connection.binary(&connect, &bench.options)).starts_with("parse error"));
    bench.options.parsers = Parsers::Msgpack;
    bench.connection = Connection::new(Version::V5, &bench.options, START);
    assert!(bench.text("0").starts_with("parse error"));
}

#[test]
fn packets_of_another_decoder_are_checked_alike() {
    let event = || Packet::event("/", "a", [r#"{"_placeholder":true,"num":0}"#]);
    let with = |count: usize| event().with_attachments(vec![vec![1].into(); count]);
    let take = |packet| {
        let mut bench = Bench::connected();
        said(bench.connection.packet(packet, &bench.options))
    };
    assert_eq!(
        take(event().with_id(Some(7))),
        take_text(r#"27["a",{"_placeholder":true,"num":0}]"#)
    );
    assert!(take(with(1)).starts_with("event "));
    let mut packed = event();
    packed.msgpack = Some(vec![0xc0].into());
    assert_eq!(take(packed), take(event()));
    let deep = "[".repeat(129) + &"]".repeat(129);
    let rows = [
        (Packet::event("/", "connect", []), "event name"),
        (Packet::event("/", "a", ["{"]), "not JSON"),
        (Packet::event("/", "a", [&*deep]), "too deep"),
        (event().with_id(Some(1 << 53)), "acknowledgement id"),
        (Packet::event("chat", "a", []), "broken namespace"),
        (with(11), "limit of 10"),
        (
            Packet::event("/", "a", []).with_attachments(vec![vec![0; 2_000_000].into()]),
            "2000000",
        ),
        (
            Packet::event("/", "a", [r#"{"_placeholder":true,"num":1}"#])
                .with_attachments(vec![vec![1].into()]),
            "placeholder",
        ),
        (
            Packet::disconnect("/").with_attachments(vec![vec![1].into()]),
            "number of attachments",
        ),
    ];
    for (packet, expected) in rows {
        let said = take(packet);
        assert!(
            said.starts_with("parse error: ") && said.contains(expected),
            "{said}"
        );
    }
    assert!(take(Packet::disconnect("/x")).starts_with("forced server close"));
    assert!(take(Packet::invalid_namespace("/")).starts_with("forced server close"));
}

/// What a connection in the main namespace says of a text.
fn take_text(text: &str) -> String {
    Bench::connected().text(text)
}

#[test]
fn extreme_settings_do_no_harm() {
    let options = Options {
        connect_timeout: Duration::MAX,
        ..Options::default()
    };
    let mut connection = Connection::new(Version::V5, &options, u64::MAX - 1);
    assert_eq!(connection.next_deadline(), None);
    assert_eq!(connection.due(u64::MAX - 1), None);
}

#[test]
fn a_connection_is_small() {
    assert!(size_of::<Connection>() <= 56, "{}", size_of::<Connection>());
}

#[test]
fn a_main_namespace_is_small() {
    let mut kept = None;
    let counted = allocation_counter::measure(|| kept = Some(Bench::connected()));
    assert!(kept.is_some_and(|bench| bench.connection.is_connected("/")));
    assert!(
        counted.bytes_current <= 40,
        "{} bytes",
        counted.bytes_current
    );
}

//! What is sent, and what may not be.

use super::super::deflate::{Agreement, Compressors, Mode, Policy, WindowBits};
use super::super::frame::{self, OpCode};
use super::super::{CloseCode, Connection, Fragment, Input, Message, Misuse, Options, Scratch};
use super::{Kind, MASK, Role, Said, Setup, agreed, noise, text, transcript};

/// What the other end makes of these bytes.
fn heard(role: Role, agreement: Option<Agreement>, bytes: &[u8]) -> Vec<Said> {
    let setup = Setup {
        role,
        agreement,
        options: Options::default(),
    };
    let transcript = transcript(&setup, std::iter::once(bytes));
    assert_eq!((transcript.error, transcript.mid_message), (None, false));
    transcript.said
}

#[test]
fn messages_of_a_server() {
    let mut compressors = Compressors::new(Policy::default());
    let mut connection = Connection::new(Role::Server, None);
    let mut out = Vec::new();
    connection
        .send(Message::text("Hello"), None, &mut compressors, &mut out)
        .unwrap();
    connection
        .send(Message::binary(&[7; 126]), None, &mut compressors, &mut out)
        .unwrap();
    connection.ping(b"?", None, &mut out).unwrap();
    connection.pong(b"!", None, &mut out).unwrap();
    let expected = [
        b"\x81\x05Hello\x82\x7E\x00\x7E",
        &[7; 126][..],
        b"\x89\x01?\x8A\x01!",
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn messages_of_a_client() {
    let mut compressors = Compressors::new(Policy::default());
    let mut connection = Connection::new(Role::Client, None);
    let mut out = Vec::new();
    connection
        .send(Message::text("Hello"), MASK, &mut compressors, &mut out)
        .unwrap();
    assert_eq!(out, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    assert_eq!(heard(Role::Server, None, &out), [text("Hello")]);
}

#[test]
fn misuse() {
    let mut compressors = Compressors::new(Policy::default());
    let compressors = &mut compressors;
    let mut server = Connection::new(Role::Server, None);
    let mut out = Vec::new();
    let fragment = Fragment {
        kind: Kind::Text,
        payload: b"",
        compress: true,
        fin: false,
    };
    let message = Message::text("");
    assert_eq!(
        server.send(message, MASK, compressors, &mut out),
        Err(Misuse::Mask)
    );
    assert_eq!(server.ping(b"", MASK, &mut out), Err(Misuse::Mask));
    let mut client = Connection::new(Role::Client, None);
    assert_eq!(
        client.send(message, None, compressors, &mut out),
        Err(Misuse::Mask)
    );
    assert_eq!(
        client.send_fragment(fragment, None, compressors, &mut out),
        Err(Misuse::Mask)
    );
    let long = Misuse::ControlLength { bytes: 126 };
    assert_eq!(server.ping(&[0; 126], None, &mut out), Err(long));
    assert_eq!(server.pong(&[0; 126], None, &mut out), Err(long));
    assert_eq!(out, b"");
    server
        .send_fragment(fragment, None, compressors, &mut out)
        .unwrap();
    assert_eq!(
        server.send(message, None, compressors, &mut out),
        Err(Misuse::Interleaved)
    );
    let other = Fragment {
        kind: Kind::Binary,
        ..fragment
    };
    assert_eq!(
        server.send_fragment(other, None, compressors, &mut out),
        Err(Misuse::FragmentKind)
    );
    server.ping(b"", None, &mut out).unwrap();
    let last = Fragment {
        fin: true,
        ..fragment
    };
    server
        .send_fragment(last, None, compressors, &mut out)
        .unwrap();
    server.send(message, None, compressors, &mut out).unwrap();
    assert_eq!(out, [0x01, 0, 0x89, 0, 0x80, 0, 0x81, 0]);
    server.close(Some(CloseCode::NORMAL), "", None, &mut out);
    assert_eq!(
        server.send(message, None, compressors, &mut out),
        Err(Misuse::Closing)
    );
    assert_eq!(server.ping(b"", None, &mut out), Err(Misuse::Closing));
    assert_eq!(
        server.send_fragment(fragment, None, compressors, &mut out),
        Err(Misuse::Closing)
    );
    assert_eq!(out.len(), 12);
}

#[test]
fn the_threshold() {
    let policy = Policy::new(Mode::Shared);
    let mut compressors = Compressors::new(policy);
    let mut rsv1 = |mode, message: Message<'_>| {
        let mut out = Vec::new();
        let mut connection = Connection::new(Role::Server, agreed(mode));
        connection
            .send(message, None, &mut compressors, &mut out)
            .unwrap();
        frame::decode_header(&out).unwrap().unwrap().0.flags.rsv1
    };
    let (under, at) = ("a".repeat(1023), "a".repeat(1024));
    assert!(!rsv1(Mode::Shared, Message::text(&under)));
    assert!(rsv1(Mode::Shared, Message::text(&at)));
    assert!(!rsv1(Mode::Shared, Message::text(&at).plain()));
    // With takeover also short messages are compressed.
    assert!(rsv1(Mode::Takeover, Message::text("short")));
    // What would not get shorter goes as it is.
    assert!(!rsv1(Mode::Shared, Message::binary(&noise(2000))));
}

#[test]
fn compressed_messages_and_fragments_arrive() {
    let words: String = (0..2000).map(|n| format!("{} ", n % 77)).collect();
    for mode in [Mode::Shared, Mode::Takeover] {
        for (role, other, mask) in [
            (Role::Server, Role::Client, None),
            (Role::Client, Role::Server, MASK),
        ] {
            let mut compressors = Compressors::new(Policy::new(mode));
            let mut connection = Connection::new(role, agreed(mode));
            let mut out = Vec::new();
            let mut said = Vec::new();
            for _ in 0..3 {
                connection
                    .send(Message::text(&words), mask, &mut compressors, &mut out)
                    .unwrap();
                said.push(text(&words));
                let (front, back) = words.split_at(1500);
                for (payload, fin) in [(front, false), ("", false), (back, false), ("", true)] {
                    let payload = payload.as_bytes();
                    let fragment = Fragment {
                        kind: Kind::Text,
                        payload,
                        compress: true,
                        fin,
                    };
                    connection
                        .send_fragment(fragment, mask, &mut compressors, &mut out)
                        .unwrap();
                }
                said.push(text(&words));
                connection
                    .send(Message::text(""), mask, &mut compressors, &mut out)
                    .unwrap();
                said.push(text(""));
            }
            assert!(out.len() < words.len());
            assert_eq!(heard(other, agreed(mode), &out), said);
            assert_eq!(connection.buffered_bytes() == 0, mode == Mode::Shared);
        }
    }
}

#[test]
fn every_window_both_ways() {
    let words: String = (0..9000).map(|n| format!("{} ", n % 977)).collect();
    let messages = [&words, "short", &words, ""];
    for bits in (8..=15).filter_map(WindowBits::new) {
        for mode in [Mode::Shared, Mode::Takeover] {
            let flags = if mode == Mode::Shared { 3 } else { 0 };
            let agreement = Some(Agreement::from_parts(bits, bits, flags));
            for (role, other, mask) in [
                (Role::Server, Role::Client, None),
                (Role::Client, Role::Server, MASK),
            ] {
                let policy = Policy {
                    threshold: 0,
                    ..Policy::new(mode)
                };
                let mut compressors = Compressors::new(policy);
                let mut connection = Connection::new(role, agreement);
                let mut out = Vec::new();
                for message in messages {
                    let message = Message::text(message);
                    connection
                        .send(message, mask, &mut compressors, &mut out)
                        .unwrap();
                }
                // A window of 8 bits cannot be searched, so nothing is compressed for it.
                let smaller = out.len() < words.len();
                assert_eq!(smaller, bits > WindowBits::MIN, "{bits:?}");
                assert_eq!(heard(other, agreement, &out), messages.map(text));
            }
        }
    }
}

#[test]
fn levels() {
    let words: String = (0..3000).map(|n| format!("{} ", n % 977)).collect();
    for level in 0..=10 {
        for mode in [Mode::Shared, Mode::Takeover] {
            let policy = Policy {
                level,
                ..Policy::new(mode)
            };
            let mut compressors = Compressors::new(policy);
            let mut connection = Connection::new(Role::Server, agreed(mode));
            let mut out = Vec::new();
            for _ in 0..3 {
                connection
                    .send(Message::text(&words), None, &mut compressors, &mut out)
                    .unwrap();
            }
            assert_eq!(
                heard(Role::Client, agreed(mode), &out),
                [&*words; 3].map(text)
            );
        }
    }
}

/// Output that is longer than its input, and than the room that is made for it at a time.
#[test]
fn long_noise() {
    let noise = noise(200_000);
    for level in [0, 1, 6] {
        let mut compressors = Compressors::new(Policy {
            level,
            ..Policy::new(Mode::Takeover)
        });
        let mut connection = Connection::new(Role::Server, agreed(Mode::Takeover));
        let mut out = Vec::new();
        for _ in 0..2 {
            connection
                .send(Message::binary(&noise), None, &mut compressors, &mut out)
                .unwrap();
        }
        assert!(out.len() > 2 * noise.len());
        let said = [&noise; 2].map(|noise| super::binary(noise));
        assert_eq!(heard(Role::Client, agreed(Mode::Takeover), &out), said);
    }
}

/// One server's frame, compressed once, is read by every member that shares its window size.
#[test]
fn one_compressed_form_for_many() {
    let words = "one compressed form for many ".repeat(50);
    for bits in (9..=15).filter_map(WindowBits::new) {
        let mut compressors = Compressors::new(Policy::default());
        for _ in 0..2 {
            let (mut compressed, mut out) = (Vec::new(), Vec::new());
            compressors
                .get(bits)
                .compress(words.as_bytes(), &mut compressed);
            frame::encode(&mut out, frame::Flags::FIN_RSV1, OpCode::Text, &compressed);
            let agreement = Some(Agreement::from_parts(bits, WindowBits::MAX, 3));
            for _ in 0..3 {
                assert_eq!(heard(Role::Client, agreement, &out), [text(&words)]);
            }
        }
    }
}

/// An event does not borrow the connection: an echo answers from within the loop, compressed too.
#[test]
fn an_echo_from_within_the_loop() {
    let mut compressors = Compressors::new(Policy::new(Mode::Takeover));
    let mut client = Connection::new(Role::Client, agreed(Mode::Takeover));
    let mut wire = Vec::new();
    let words = "words ".repeat(500);
    for _ in 0..2 {
        client
            .send(Message::text(&words), MASK, &mut compressors, &mut wire)
            .unwrap();
    }
    client.ping(b"1", MASK, &mut wire).unwrap();
    client.ping(b"2", MASK, &mut wire).unwrap();
    let mut server = Connection::new(Role::Server, agreed(Mode::Takeover));
    let (options, mut scratch) = (Options::default(), Scratch::new());
    let mut out = Vec::new();
    let mut input = Input::new(&mut wire);
    while let Some(event) = server.receive(&mut input, &options, &mut scratch).unwrap() {
        match event {
            super::super::Event::Message {
                kind,
                payload,
                compressed,
            } => {
                let message = Message {
                    kind,
                    payload,
                    compress: compressed,
                };
                server
                    .send(message, None, &mut compressors, &mut out)
                    .unwrap();
            }
            _ => server.transmit(None, &mut out),
        }
    }
    let pong = |payload: &[u8]| Said::Pong(payload.to_vec());
    let said = [text(&words), text(&words), pong(b"1"), pong(b"2")];
    assert_eq!(
        heard(Role::Client, agreed(Mode::Takeover), &out),
        said,
        "a pong for each ping"
    );
}

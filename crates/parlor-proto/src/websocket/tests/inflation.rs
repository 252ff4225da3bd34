//! Compressed messages that come in.

use super::super::Delivery;
use super::super::deflate::{Compressor, Mode, WindowBits};
use super::super::frame::{Flags, OpCode};
use super::{
    Error, Kind, Options, Said, Setup, bare, binary, check, deflating_client, plain_client, text,
};

fn compress(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new(WindowBits::MAX, 6).compress(payload, &mut out);
    out
}

/// The payload in three fragments, with a ping between them.
fn fragments(payload: &[u8]) -> Vec<u8> {
    let (front, rest) = payload.split_at(payload.len() / 3);
    let (middle, back) = rest.split_at(rest.len() / 2);
    [
        bare(Flags::RSV1, OpCode::Text, front),
        bare(Flags::FIN, OpCode::Ping, b""),
        bare(Flags::NONE, OpCode::Continuation, middle),
        bare(Flags::FIN, OpCode::Continuation, back),
    ]
    .concat()
}

#[test]
fn text_is_checked_inside_the_stream() {
    let client = deflating_client(Mode::Shared);
    let good = compress("κόσμε".as_bytes());
    check(
        &client,
        &bare(Flags::FIN_RSV1, OpCode::Text, &good),
        &[text("κόσμε")],
        None,
    );
    check(
        &client,
        &fragments(&good),
        &[Said::Ping(vec![]), text("κόσμε")],
        None,
    );
    let error = Some(&Error::MalformedUtf8);
    for bad in [&b"bad \xED\xA0\x80 text"[..], b"begun \xCE"] {
        let bad = compress(bad);
        check(
            &client,
            &bare(Flags::FIN_RSV1, OpCode::Text, &bad),
            &[],
            error,
        );
        check(&client, &fragments(&bad), &[Said::Ping(vec![])], error);
    }
    // Before the message is complete: a stored block of which only the bad byte came.
    check(&client, b"\xC1\x64\x00\x40\x00\xBF\xFFok\xFF", &[], error);
}

#[test]
fn broken_streams() {
    let error = Some(&Error::MalformedDeflate);
    let rows: &[&[u8]] = &[
        // A block type that is reserved.
        b"\x07\x00",
        // Stored lengths that do not match.
        b"\x00\x05\x00\x00\x00Hello\x00",
        // A distance beyond the start.
        b"\x02\x84\x04\x00",
        // It stops inside a stored block.
        b"\x00\x05\x00\xFA\xFFHel",
        // It stops inside a block of fixed codes.
        b"\xF2\x48\xCD",
        // What the sender must leave out is there.
        b"\xF2\x48\xCD\xC9\xC9\x07\x00\x00\x00\xFF\xFF",
    ];
    for payload in rows {
        let input = bare(Flags::FIN_RSV1, OpCode::Binary, payload);
        check(&deflating_client(Mode::Shared), &input, &[], error);
    }
    for payload in &rows[..5] {
        let input = bare(Flags::FIN_RSV1, OpCode::Binary, payload);
        check(&deflating_client(Mode::Takeover), &input, &[], error);
    }
    // Plain text in a frame that says compressed.
    let input = bare(Flags::FIN_RSV1, OpCode::Text, b"plain text");
    check(&deflating_client(Mode::Shared), &input, &[], error);
}

#[test]
fn streams_that_others_make() {
    for mode in [Mode::Shared, Mode::Takeover] {
        let client = deflating_client(mode);
        // No byte at all; stopped after BFINAL without the byte that should follow; three streams.
        let rows: &[(&[u8], &str)] = &[
            (b"", ""),
            (b"\x00", ""),
            (b"\xF3\x48\xCD\xC9\xC9\x07\x00", "Hello"),
            (b"\xF3\x48\xCD\xC9\xC9\x07\x00\x00", "Hello"),
            (
                b"\xF3\x48\xCD\xC9\xC9\x07\x00\xF3\x48\xCD\xC9\xC9\x07\x00\xF2\x48\xCD\xC9\xC9\x07\x00",
                "HelloHelloHello",
            ),
        ];
        for (payload, said) in rows {
            let input = bare(Flags::FIN_RSV1, OpCode::Text, payload);
            let said = [text(said), text(said), text("Hello")];
            let hello = b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00";
            check(&client, &[&*input, &input, hello].concat(), &said, None);
        }
    }
}

#[test]
fn what_the_window_holds() {
    // The second message refers to the first: with takeover it is read, without it is broken.
    let input = b"\xC1\x07\xF2\x48\xCD\xC9\xC9\x07\x00\xC1\x05\xF2\x00\x11\x00\x00";
    let said = [text("Hello"), text("Hello")];
    check(&deflating_client(Mode::Takeover), input, &said, None);
    check(
        &deflating_client(Mode::Shared),
        input,
        &said[..1],
        Some(&Error::MalformedDeflate),
    );
}

#[test]
fn long_messages() {
    let words: String = (0..9_000).map(|n| format!("{} ", n * n)).collect();
    let compressed = compress(words.as_bytes());
    let client = deflating_client(Mode::Shared);
    let whole = bare(Flags::FIN_RSV1, OpCode::Text, &compressed);
    check(&client, &whole, &[text(&words)], None);
    check(
        &client,
        &fragments(&compressed),
        &[Said::Ping(vec![]), text(&words)],
        None,
    );
    let options = Options {
        delivery: Delivery::Fragments,
        ..client.options
    };
    check(&Setup { options, ..client }, &whole, &[text(&words)], None);
    // Exactly one chunk of output, and one byte to either side.
    for len in [16_383, 16_384, 16_385, 32_768] {
        let payload = vec![b'x'; len];
        let input = bare(Flags::FIN_RSV1, OpCode::Binary, &compress(&payload));
        check(&client, &input, &[binary(&payload)], None);
    }
}

#[test]
fn only_what_was_agreed_is_compressed() {
    let hello = bare(Flags::FIN_RSV1, OpCode::Text, &compress(b"Hello"));
    check(
        &plain_client(),
        &hello,
        &[],
        Some(&Error::ViolationReservedBit),
    );
    // Where it was agreed, a message may still be plain.
    let input = bare(Flags::FIN, OpCode::Text, b"Hello");
    let said = [Said::Message(Kind::Text, b"Hello".to_vec())];
    check(&deflating_client(Mode::Shared), &input, &said, None);
}

//! The rules of framing: what is refused, with what code (Autobahn's sections 1 to 6 in small).

use super::super::Delivery;
use super::super::frame::{Flags, OpCode};
use super::{
    Error, Options, Said, Setup, bare, binary, check, masked, plain_client, plain_server, text,
};

#[test]
fn refused_headers() {
    let rows: &[(&[u8], Error)] = &[
        // RSV without an extension, one by one and together.
        (&[0xC1, 0x00], Error::ViolationReservedBit),
        (&[0xA1, 0x00], Error::ViolationReservedBit),
        (&[0x91, 0x00], Error::ViolationReservedBit),
        (&[0xF1, 0x00], Error::ViolationReservedBit),
        (&[0xC9, 0x00], Error::ViolationReservedBit),
        // Reserved opcodes.
        (&[0x83, 0x00], Error::ViolationOpCode { opcode: 3 }),
        (&[0x84, 0x00], Error::ViolationOpCode { opcode: 4 }),
        (&[0x85, 0x00], Error::ViolationOpCode { opcode: 5 }),
        (&[0x86, 0x00], Error::ViolationOpCode { opcode: 6 }),
        (&[0x87, 0x00], Error::ViolationOpCode { opcode: 7 }),
        (&[0x8B, 0x00], Error::ViolationOpCode { opcode: 11 }),
        (&[0x8C, 0x00], Error::ViolationOpCode { opcode: 12 }),
        (&[0x8D, 0x00], Error::ViolationOpCode { opcode: 13 }),
        (&[0x8E, 0x00], Error::ViolationOpCode { opcode: 14 }),
        (&[0x8F, 0x00], Error::ViolationOpCode { opcode: 15 }),
        // Control frames: fragmented, long.
        (&[0x09, 0x00], Error::ViolationControlFragmented),
        (&[0x0A, 0x00], Error::ViolationControlFragmented),
        (&[0x08, 0x00], Error::ViolationControlFragmented),
        (&[0x89, 0x7E, 0x00, 0x7E], Error::ViolationControlLength),
        (&[0x8A, 0x7F], Error::ViolationControlLength),
        (&[0x88, 0x7E], Error::ViolationControlLength),
        // A continuation of nothing.
        (&[0x80, 0x00], Error::ViolationContinuation),
        (&[0x00, 0x00], Error::ViolationContinuation),
        // A message inside a message, and a compressed continuation.
        (&[0x01, 0x00, 0x81, 0x00], Error::ViolationInterleaved),
        (&[0x02, 0x00, 0x02, 0x00], Error::ViolationInterleaved),
        (&[0x01, 0x00, 0xC0, 0x00], Error::ViolationReservedBit),
        // Lengths: the top bit, more bytes than needed.
        (
            &[0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0],
            Error::ViolationLengthTopBit,
        ),
        (
            &[0x82, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            Error::ViolationLengthTopBit,
        ),
        (&[0x82, 0x7E, 0x00, 0x7D], Error::ViolationLengthForm),
        (&[0x82, 0x7E, 0x00, 0x00], Error::ViolationLengthForm),
        (
            &[0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            Error::ViolationLengthForm,
        ),
        (
            &[0x82, 0x7F, 0, 0, 0, 0, 0, 0, 0, 5],
            Error::ViolationLengthForm,
        ),
        // A server must not mask.
        (&[0x81, 0x80, 1, 2, 3, 4], Error::ViolationMaskPresent),
        (&[0x89, 0x80, 1, 2, 3, 4], Error::ViolationMaskPresent),
    ];
    for (input, error) in rows {
        check(&plain_client(), input, &[], Some(error));
        assert_eq!(error.close_code().get(), 1002);
    }
}

#[test]
fn a_client_must_mask() {
    for opcode in [
        OpCode::Text,
        OpCode::Binary,
        OpCode::Ping,
        OpCode::Pong,
        OpCode::Close,
    ] {
        let error = Error::ViolationMaskMissing;
        check(
            &plain_server(),
            &bare(Flags::FIN, opcode, b""),
            &[],
            Some(&error),
        );
    }
    check(
        &plain_server(),
        &masked(Flags::FIN, OpCode::Text, b"yes"),
        &[text("yes")],
        None,
    );
}

#[test]
fn control_frames_between_fragments() {
    let input = [
        masked(Flags::NONE, OpCode::Text, b"one "),
        masked(Flags::FIN, OpCode::Ping, b"ping"),
        masked(Flags::NONE, OpCode::Continuation, b""),
        masked(Flags::FIN, OpCode::Pong, b""),
        masked(Flags::FIN, OpCode::Continuation, b"two"),
        masked(Flags::FIN, OpCode::Binary, b""),
    ];
    let said = [
        Said::Ping(b"ping".to_vec()),
        Said::Pong(vec![]),
        text("one two"),
        binary(b""),
    ];
    check(&plain_server(), &input.concat(), &said, None);
    let options = Options {
        delivery: Delivery::Fragments,
        ..Options::default()
    };
    check(
        &Setup {
            options,
            ..plain_server()
        },
        &input.concat(),
        &said,
        None,
    );
}

#[test]
fn lengths_at_the_edges() {
    for len in [
        0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537,
    ] {
        let payload = vec![b'*'; len];
        let input = masked(Flags::FIN, OpCode::Binary, &payload);
        check(&plain_server(), &input, &[binary(&payload)], None);
    }
    let ping = masked(Flags::FIN, OpCode::Ping, &[7; 125]);
    check(&plain_server(), &ping, &[Said::Ping(vec![7; 125])], None);
}

#[test]
fn text_must_be_utf8_from_the_first_byte_on() {
    let rows: &[(&[u8], bool)] = &[
        ("κόσμε".as_bytes(), true),
        (
            "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}".as_bytes(),
            true,
        ),
        (b"\xEF\xBB\xBFbom", true),
        (b"\xC0\xAF", false),
        (b"\xED\xA0\x80", false),
        (b"\xF4\x90\x80\x80", false),
        (b"\xF8\x88\x80\x80\x80", false),
        (b"\x80", false),
        (b"fine\xFF", false),
        (b"begun\xE2\x82", false),
    ];
    for (payload, valid) in rows {
        let said = [Said::Message(super::Kind::Text, payload.to_vec())];
        let (said, error) = if *valid {
            (&said[..], None)
        } else {
            (&[][..], Some(&Error::MalformedUtf8))
        };
        check(
            &plain_client(),
            &bare(Flags::FIN, OpCode::Text, payload),
            said,
            error,
        );
        // One byte a fragment.
        let mut fragments = bare(Flags::NONE, OpCode::Text, b"");
        for byte in *payload {
            fragments.extend(bare(Flags::NONE, OpCode::Continuation, &[*byte]));
        }
        fragments.extend(bare(Flags::FIN, OpCode::Continuation, b""));
        check(&plain_client(), &fragments, said, error);
        // Binary is any bytes.
        let input = bare(Flags::FIN, OpCode::Binary, payload);
        check(&plain_client(), &input, &[binary(payload)], None);
        // And so is text where nobody checks.
        let options = Options {
            validate_utf8: false,
            ..Options::default()
        };
        let said = [Said::Message(super::Kind::Text, payload.to_vec())];
        let setup = Setup {
            options,
            ..plain_client()
        };
        check(
            &setup,
            &bare(Flags::FIN, OpCode::Text, payload),
            &said,
            None,
        );
    }
}

#[test]
fn utf8_fails_before_the_frame_is_complete() {
    // A frame of 100 bytes of which only the bad ones came.
    let error = Some(&Error::MalformedUtf8);
    check(&plain_client(), b"\x81\x64good\xED\xA0", &[], error);
    check(&plain_client(), b"\x81\x64\xF4\x90", &[], error);
    check(&plain_client(), b"\x01\x01\xCE\x80\x64\xCE", &[], error);
    check(&plain_client(), b"\x81\x64good\xED", &[], None);
}

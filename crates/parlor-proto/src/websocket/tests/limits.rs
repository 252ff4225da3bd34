//! What a message may cost.

use super::super::deflate::Mode;
use super::super::frame::{Flags, OpCode};
use super::super::{Connection, Delivery, Input, Limits, Scratch};
use super::{
    Error, MASK, Options, Role, Setup, agreed, bare, binary, check, deflating_client, masked,
    noise, plain_client, text,
};
use crate::websocket::deflate::{Compressor, WindowBits};

fn limited(bytes: usize, fragments: u32, setup: Setup) -> Setup {
    let limits = Limits {
        message_bytes_max: bytes,
        message_fragments_max: fragments,
    };
    Setup {
        options: Options {
            limits,
            ..setup.options
        },
        ..setup
    }
}

#[test]
fn sizes() {
    assert_eq!(size_of::<Connection>(), 32);
    assert_eq!(size_of::<Option<crate::websocket::deflate::Agreement>>(), 3);
}

#[test]
fn nothing_is_held_while_idle() {
    let mut connection = Connection::new(Role::Server, agreed(Mode::Shared));
    let (options, mut scratch) = (Options::default(), Scratch::new());
    let mut big = Vec::new();
    Compressor::new(WindowBits::MAX, 6).compress(&[b'a'; 100_000], &mut big);
    let frames = [
        masked(Flags::FIN, OpCode::Text, b"hello"),
        masked(Flags::NONE, OpCode::Binary, &[1; 1000]),
        masked(Flags::FIN, OpCode::Ping, b"ping"),
        masked(Flags::FIN, OpCode::Continuation, &[1; 1000]),
        masked(Flags::FIN_RSV1, OpCode::Text, &big),
        masked(Flags::FIN, OpCode::Pong, b"pong"),
    ]
    .concat();
    for chunk in [1, 3, 100, 1 << 20] {
        for piece in frames.chunks(chunk) {
            let mut bytes = piece.to_vec();
            let mut input = Input::new(&mut bytes);
            while connection
                .receive(&mut input, &options, &mut scratch)
                .unwrap()
                .is_some()
            {}
        }
        assert!(!connection.is_mid_message());
        connection.transmit(None, &mut Vec::new());
        assert_eq!(connection.buffered_bytes(), 0);
    }
}

#[test]
fn bytes_of_a_message() {
    let over = |bytes| Error::LimitMessageBytes {
        bytes,
        bytes_max: 100,
    };
    let client = limited(100, 0, plain_client());
    let exact = bare(Flags::FIN, OpCode::Binary, &[1; 100]);
    check(&client, &exact, &[binary(&[1; 100])], None);
    // Declared: at the header, before a byte of the payload.
    check(&client, &[0x82, 101], &[], Some(&over(101)));
    let error = over((1 << 63) - 1);
    check(
        &client,
        b"\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        &[],
        Some(&error),
    );
    // In fragments: at the header of the one that passes it.
    let begun = bare(Flags::NONE, OpCode::Binary, &[1; 60]);
    check(
        &client,
        &[begun.clone(), vec![0x80, 41]].concat(),
        &[],
        Some(&over(101)),
    );
    let input = [
        begun.clone(),
        bare(Flags::FIN, OpCode::Continuation, &[1; 40]),
    ]
    .concat();
    check(&client, &input, &[binary(&[1; 100])], None);
    // A sum that does not fit into 64 bits.
    let input = [begun, b"\x80\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF".to_vec()].concat();
    check(&client, &input, &[], Some(&over((1 << 63) - 1 + 60)));
    // Control frames have their own limit.
    let tiny = limited(1, 0, plain_client());
    let ping = bare(Flags::FIN, OpCode::Ping, &[1; 125]);
    check(&tiny, &ping, &[super::Said::Ping(vec![1; 125])], None);
    // 0 turns it off.
    let off = limited(0, 0, plain_client());
    let input = bare(Flags::FIN, OpCode::Text, &[b'a'; 70_000]);
    check(&off, &input, &[text(&"a".repeat(70_000))], None);
}

#[test]
fn fragments_of_a_message() {
    let error = Error::LimitMessageFragments { fragments_max: 4 };
    let client = limited(0, 4, plain_client());
    let first = bare(Flags::NONE, OpCode::Text, b"");
    let next = bare(Flags::NONE, OpCode::Continuation, b"");
    let last = bare(Flags::FIN, OpCode::Continuation, b"x");
    let four = [&*first, &next, &next, &last].concat();
    check(
        &client,
        &four.repeat(3),
        &[text("x"), text("x"), text("x")],
        None,
    );
    let five = [&*first, &next, &next, &next, &last].concat();
    check(&client, &five, &[], Some(&error));
    check(&limited(0, 0, plain_client()), &five, &[text("x")], None);
    // The same where nothing is put together.
    let options = Options {
        delivery: Delivery::Fragments,
        ..client.options
    };
    check(&Setup { options, ..client }, &five, &[], Some(&error));
}

#[test]
fn bytes_after_inflation() {
    let mut compressed = Vec::new();
    let mut compressor = Compressor::new(WindowBits::MAX, 6);
    compressor.compress(&[b'a'; 1000], &mut compressed);
    let input = bare(Flags::FIN_RSV1, OpCode::Text, &compressed);
    for mode in [Mode::Shared, Mode::Takeover] {
        let enough = limited(1000, 0, deflating_client(mode));
        check(&enough, &input, &[text(&"a".repeat(1000))], None);
        let error = Error::LimitMessageBytes {
            bytes: 1000,
            bytes_max: 999,
        };
        check(
            &limited(999, 0, deflating_client(mode)),
            &input,
            &[],
            Some(&error),
        );
    }
    // A message at the limit that compression made longer.
    let noise = noise(1000);
    compressed.clear();
    compressor.compress(&noise, &mut compressed);
    assert!(compressed.len() > 1000);
    let input = bare(Flags::FIN_RSV1, OpCode::Binary, &compressed);
    check(
        &limited(1000, 0, deflating_client(Mode::Shared)),
        &input,
        &[binary(&noise)],
        None,
    );
    // Declared so long that no encoder made it.
    let error = Error::LimitMessageBytes {
        bytes: 1500,
        bytes_max: 1000,
    };
    let client = limited(1000, 0, deflating_client(Mode::Shared));
    check(&client, &[0xC2, 126, 0x05, 0xDC], &[], Some(&error));
    // Bad text before the limit is bad text.
    compressed.clear();
    compressor.compress(&[&[0xFF][..], &[b'a'; 2000]].concat(), &mut compressed);
    let input = bare(Flags::FIN_RSV1, OpCode::Text, &compressed);
    check(&client, &input, &[], Some(&Error::MalformedUtf8));
}

#[test]
fn one_pong_for_many_pings() {
    let mut connection = Connection::new(Role::Client, None);
    let (options, mut scratch) = (Options::default(), Scratch::new());
    let mut bytes: Vec<u8> = (0..100)
        .flat_map(|n| bare(Flags::FIN, OpCode::Ping, &[n]))
        .collect();
    let mut input = Input::new(&mut bytes);
    while connection
        .receive(&mut input, &options, &mut scratch)
        .unwrap()
        .is_some()
    {}
    assert!(connection.buffered_bytes() < 200);
    let mut out = Vec::new();
    connection.transmit(MASK, &mut out);
    assert_eq!(out, masked(Flags::FIN, OpCode::Pong, &[99]), "the newest");
    connection.transmit(MASK, &mut out);
    assert_eq!(out.len(), 7);
    // Off, nothing is owed.
    let options = Options {
        auto_pong: false,
        ..options
    };
    let mut bytes = bare(Flags::FIN, OpCode::Ping, b"");
    let mut input = Input::new(&mut bytes);
    assert!(
        connection
            .receive(&mut input, &options, &mut scratch)
            .unwrap()
            .is_some()
    );
    assert!(!connection.owes());
}

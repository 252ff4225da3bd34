//! The WebSocket machine's memory, counted at the allocator.

use allocation_counter::{AllocationInfo, measure};
use parlor_proto::websocket::deflate::{
    self, Agreement, Compressor, Compressors, Mode, Policy, WindowBits,
};
use parlor_proto::websocket::frame::{self, Flags, Header, OpCode};
use parlor_proto::websocket::{
    Connection, Delivery, Error, Event, Input, Message, Options, Role, Scratch,
};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn masked(flags: Flags, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let len = payload.len() as u64;
    frame::encode_header(
        &mut out,
        &Header {
            flags,
            opcode,
            mask: Some(KEY),
            len,
        },
    );
    let start = out.len();
    out.extend_from_slice(payload);
    frame::apply_mask(&mut out[start..], KEY, 0);
    out
}

fn agreed(mode: Mode) -> Option<Agreement> {
    let policy = Policy::new(mode);
    deflate::negotiate([&b"permessage-deflate"[..]], &policy).expect("a good offer")
}

/// Receives, and says how many bytes of messages came.
fn receive(
    connection: &mut Connection,
    scratch: &mut Scratch,
    bytes: &mut [u8],
) -> Result<usize, Error> {
    let options = Options::default();
    let (mut input, mut received) = (Input::new(bytes), 0);
    while let Some(event) = connection.receive(&mut input, &options, scratch)? {
        if let Event::Message { payload, .. } = event {
            received += payload.len();
        }
    }
    Ok(received)
}

#[test]
fn a_message_in_one_read_allocates_nothing() {
    let mut bytes = [
        masked(Flags::FIN, OpCode::Text, b"hello"),
        masked(Flags::FIN, OpCode::Binary, &[1; 60]),
    ]
    .concat()
    .repeat(50);
    let mut out = Vec::with_capacity(100);
    let info = measure(|| {
        let mut connection = Connection::new(Role::Server, agreed(Mode::Shared));
        let mut scratch = Scratch::new();
        assert_eq!(
            receive(&mut connection, &mut scratch, &mut bytes),
            Ok(65 * 50)
        );
        connection.transmit(None, &mut out);
        frame::encode(&mut out, Flags::FIN, OpCode::Text, b"hello");
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn what_begun_is_freed_when_it_is_complete() {
    let mut scratch = Scratch::new();
    let mut connection = Connection::new(Role::Server, None);
    let mut wire = [
        masked(Flags::NONE, OpCode::Text, &[b'a'; 100_000]),
        masked(Flags::FIN, OpCode::Ping, b"ping"),
        masked(Flags::FIN, OpCode::Continuation, &[b'b'; 100_000]),
    ]
    .concat();
    let info = measure(|| {
        for chunk in wire.chunks_mut(1000) {
            assert!(receive(&mut connection, &mut scratch, chunk).is_ok());
        }
        connection.transmit(None, &mut Vec::with_capacity(10));
    });
    assert_eq!(
        info.bytes_current, 0,
        "nothing is kept by an idle connection"
    );
    // Twice while the buffer is moved, as it grows.
    assert!(info.bytes_max < 2 * 200_000 + 1000, "{info:?}");
}

#[test]
fn a_declared_length_allocates_nothing() {
    for len in [1 << 20, (1 << 20) + 1, u64::MAX >> 1] {
        let mut bytes = Vec::new();
        let mask = Some(KEY);
        let header = Header {
            flags: Flags::FIN,
            opcode: OpCode::Binary,
            mask,
            len,
        };
        frame::encode_header(&mut bytes, &header);
        bytes.push(0);
        let mut connection = Connection::new(Role::Server, None);
        let mut scratch = Scratch::new();
        let info = measure(|| {
            let result = receive(&mut connection, &mut scratch, &mut bytes);
            assert_eq!(result.is_ok(), len == 1 << 20);
        });
        assert!(info.bytes_max < 1000, "{info:?}");
        assert!(connection.buffered_bytes() < 1000);
    }
}

#[test]
fn tiny_reads_do_not_copy_again_and_again() {
    let mut wire = masked(Flags::FIN, OpCode::Text, &[b'x'; 300_000]);
    let mut connection = Connection::new(Role::Server, None);
    let mut scratch = Scratch::new();
    let mut received = 0;
    let info = measure(|| {
        for byte in wire.chunks_mut(1) {
            received += receive(&mut connection, &mut scratch, byte).unwrap_or(0);
        }
    });
    assert_eq!(received, 300_000);
    assert!(info.count_total < 30, "grown by doubling: {info:?}");
    assert!(info.bytes_max <= 2 * 300_000 + 1000, "{info:?}");
}

#[test]
fn many_empty_fragments_take_no_memory() {
    let mut wire = masked(Flags::NONE, OpCode::Binary, b"");
    wire.extend(masked(Flags::NONE, OpCode::Continuation, b"").repeat(4095));
    let mut connection = Connection::new(Role::Server, None);
    let info = measure(|| {
        assert_eq!(
            receive(&mut connection, &mut Scratch::new(), &mut wire),
            Ok(0)
        );
    });
    assert!(info.bytes_max < 1000, "{info:?}");
    let mut one_more = masked(Flags::FIN, OpCode::Continuation, b"");
    let error = receive(&mut connection, &mut Scratch::new(), &mut one_more).unwrap_err();
    assert_eq!(error.close_code().get(), 1008);
}

/// 1 GiB of zeros in about 1 MB: part of it repeated, each part closed by an empty block.
fn bomb() -> Vec<u8> {
    let mut part = Vec::new();
    Compressor::new(WindowBits::MAX, 9).compress(&vec![0; 1 << 20], &mut part);
    part.extend_from_slice(&[0, 0, 0xFF, 0xFF]);
    let bomb = part.repeat(1024);
    assert!(
        bomb.len() < (1 << 20) + (1 << 18),
        "it must pass for a message of 1 MiB"
    );
    bomb
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let wire = masked(Flags::FIN_RSV1, OpCode::Binary, &bomb());
    for (mode, read) in [
        (Mode::Shared, 2 << 20),
        (Mode::Shared, 65_536),
        (Mode::Takeover, 65_536),
    ] {
        let mut wire = wire.clone();
        let mut connection = Connection::new(Role::Server, agreed(mode));
        let mut scratch = Scratch::new();
        let mut failed = None;
        let info = measure(|| {
            for chunk in wire.chunks_mut(read) {
                failed = receive(&mut connection, &mut scratch, chunk).err();
                if failed.is_some() {
                    break;
                }
            }
        });
        let error = Error::LimitMessageBytes {
            bytes: (1 << 20) + 1,
            bytes_max: 1 << 20,
        };
        assert_eq!(failed, Some(error));
        assert!(info.bytes_max < 2 << 20, "{info:?}");
        assert_eq!(connection.buffered_bytes(), 0);
    }
}

/// Nor does it grow where pieces are handed over as they come.
#[test]
fn a_bomb_stops_at_the_limit_in_pieces_too() {
    let mut wire = masked(Flags::FIN_RSV1, OpCode::Binary, &bomb());
    let options = Options {
        delivery: Delivery::Fragments,
        ..Options::default()
    };
    let mut connection = Connection::new(Role::Server, agreed(Mode::Shared));
    let mut scratch = Scratch::new();
    let info = measure(|| {
        let mut input = Input::new(&mut wire);
        let error = connection
            .receive(&mut input, &options, &mut scratch)
            .unwrap_err();
        assert_eq!(error.close_code().get(), 1009);
    });
    assert!(info.bytes_max < 2 << 20, "{info:?}");
}

#[test]
fn scratch_is_released() {
    let mut scratch = Scratch::new();
    let mut compressed = Vec::new();
    Compressor::new(WindowBits::MAX, 6).compress(&[b'z'; 1 << 20], &mut compressed);
    let mut wire = [
        masked(Flags::FIN_RSV1, OpCode::Text, &compressed),
        masked(Flags::NONE, OpCode::Binary, &[1; 1 << 19]),
        masked(Flags::FIN, OpCode::Continuation, &[1; 1 << 19]),
    ]
    .concat();
    let info = measure(|| {
        let mut connection = Connection::new(Role::Server, agreed(Mode::Shared));
        assert_eq!(
            receive(&mut connection, &mut scratch, &mut wire),
            Ok(2 << 20)
        );
    });
    assert!(info.bytes_current <= (64 + 50) << 10, "{info:?}");
    assert!(info.bytes_max < 3 << 20, "{info:?}");
}

/// What `buffered_bytes` says of a connection's own streams is what they take.
#[test]
fn streams_of_a_connection_are_counted() {
    let words = "context takeover keeps a window ".repeat(20);
    let policy = Policy::new(Mode::Takeover);
    let mut compressors = Compressors::new(policy);
    let (mut server, mut client) = (
        Connection::new(Role::Server, agreed(Mode::Takeover)),
        None::<Connection>,
    );
    let mut out = Vec::with_capacity(4096);
    let sent = measure(|| {
        server
            .send(Message::text(&words), None, &mut compressors, &mut out)
            .expect("open");
    });
    check_count(&server, sent);
    let mut scratch = Scratch::new();
    let received = measure(|| {
        let client = client.insert(Connection::new(Role::Client, agreed(Mode::Takeover)));
        assert_eq!(receive(client, &mut scratch, &mut out), Ok(words.len()));
    });
    check_count(&client.expect("made"), received);
}

/// The estimate is not under what was allocated, less the shared buffers, and not far over it.
fn check_count(connection: &Connection, info: AllocationInfo) {
    let told = connection.buffered_bytes();
    let allocated = usize::try_from(info.bytes_current).unwrap_or(0);
    assert!(
        allocated <= told + (64 << 10) && told <= allocated + (32 << 10),
        "{told} {info:?}"
    );
}

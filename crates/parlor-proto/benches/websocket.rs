//! What the WebSocket machine costs, beside `memcpy` of the same bytes.
//!
//! `cargo bench -p parlor-proto` measures; `cargo test -p parlor-proto --benches` runs each once.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use parlor_proto::websocket::deflate::{self, Agreement, Compressor, Mode, Policy, WindowBits};
use parlor_proto::websocket::frame::{self, Flags, Header, OpCode};
use parlor_proto::websocket::handshake::{self, Answer, Request};
use parlor_proto::websocket::{Connection, Event, Input, Kind, Options, Role, Scratch};

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

const SIZES: [usize; 4] = [64, 1024, 65_536, 1 << 20];
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn main() {
    divan::main();
}

fn text(len: usize) -> Vec<u8> {
    "Room tea: {\"from\":\"Ann\",\"text\":\"hello everybody\"} "
        .bytes()
        .cycle()
        .take(len)
        .collect()
}

/// Text where every second character has two bytes or three.
fn wide_text(len: usize) -> Vec<u8> {
    let mut text: String = "aäb€".chars().cycle().take(len).collect();
    text.truncate(text.floor_char_boundary(len));
    text.into_bytes()
}

/// A client's frame.
fn masked(kind: Kind, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        flags,
        opcode: OpCode::from(kind),
        mask: Some(KEY),
        len: payload.len() as u64,
    };
    let mut out = Vec::new();
    frame::encode_header(&mut out, &header);
    let start = out.len();
    out.extend_from_slice(payload);
    frame::apply_mask(&mut out[start..], KEY, 0);
    out
}

fn agreed(mode: Mode) -> Option<Agreement> {
    let policy = Policy::new(mode);
    deflate::negotiate([&b"permessage-deflate"[..]], &policy)
        .ok()
        .flatten()
}

/// The yardstick: the same bytes, copied.
#[divan::bench(args = SIZES)]
fn memcpy(bencher: Bencher<'_, '_>, len: usize) {
    let source = text(len);
    let mut target = vec![0; len];
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| black_box(&mut target).copy_from_slice(black_box(&source)));
}

#[divan::bench(args = SIZES)]
fn unmask(bencher: Bencher<'_, '_>, len: usize) {
    let mut payload = text(len);
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| frame::apply_mask(black_box(&mut payload), black_box(KEY), 0));
}

/// One text message in one frame, whole in the input: unmask, check, event. The frame is copied
/// into the read buffer first, as a socket would.
#[divan::bench(args = SIZES)]
fn receive_text(bencher: Bencher<'_, '_>, len: usize) {
    receive(bencher, &masked(Kind::Text, Flags::FIN, &text(len)), None);
}

#[divan::bench(args = SIZES)]
fn receive_wide_text(bencher: Bencher<'_, '_>, len: usize) {
    receive(
        bencher,
        &masked(Kind::Text, Flags::FIN, &wide_text(len)),
        None,
    );
}

#[divan::bench(args = SIZES)]
fn receive_binary(bencher: Bencher<'_, '_>, len: usize) {
    receive(bencher, &masked(Kind::Binary, Flags::FIN, &text(len)), None);
}

#[divan::bench(args = [64, 1024, 65_536])]
fn receive_deflated(bencher: Bencher<'_, '_>, len: usize) {
    let mut payload = Vec::new();
    Compressor::new(WindowBits::MAX, 6).compress(&text(len), &mut payload);
    receive(
        bencher,
        &masked(Kind::Text, Flags::FIN_RSV1, &payload),
        agreed(Mode::Shared),
    );
}

fn receive(bencher: Bencher<'_, '_>, frame: &[u8], agreement: Option<Agreement>) {
    let (options, mut scratch) = (Options::default(), Scratch::new());
    let mut connection = Connection::new(Role::Server, agreement);
    let mut buffer = frame.to_vec();
    bencher
        .counter(BytesCount::new(frame.len()))
        .bench_local(|| {
            black_box(&mut buffer).copy_from_slice(frame);
            let mut input = Input::new(&mut buffer);
            let mut bytes = 0;
            while let Ok(Some(event)) = connection.receive(&mut input, &options, &mut scratch) {
                if let Event::Message { payload, .. } = black_box(event) {
                    bytes += payload.len();
                }
            }
            bytes
        });
}

/// 1 MiB that makes no byte of a message and as much work as it can: empty streams, each with an
/// end of its own, and empty blocks.
#[divan::bench(args = ["ends", "blocks", "tables"])]
fn receive_hostile_deflate(bencher: Bencher<'_, '_>, what: &str) {
    let unit: &[u8] = match what {
        "ends" => &[3, 0],
        "blocks" => &[0, 0, 0, 0xFF, 0xFF],
        // A block with codes of its own and nothing in it, and an empty one.
        _ => &[
            0x04, 0xC0, 0x81, 0x00, 0x00, 0x00, 0x00, 0x00, 0x90, 0xFF, 0x6B, 0x00, 0x00, 0x00,
            0xFF, 0xFF,
        ],
    };
    let mut payload = unit.repeat((1 << 20) / unit.len());
    payload.push(0);
    receive(
        bencher,
        &masked(Kind::Text, Flags::FIN_RSV1, &payload),
        agreed(Mode::Shared),
    );
}

/// 1 MiB that comes in reads of 64 KiB, as a shard reads it.
#[divan::bench(args = [1, 16, 64])]
fn receive_1_mib_in_reads_of_kib(bencher: Bencher<'_, '_>, kib: usize) {
    let (options, mut scratch) = (Options::default(), Scratch::new());
    let mut connection = Connection::new(Role::Server, None);
    let frame = masked(Kind::Text, Flags::FIN, &text(1 << 20));
    let mut buffer = vec![0; kib << 10];
    bencher
        .counter(BytesCount::new(frame.len()))
        .bench_local(|| {
            let mut bytes = 0;
            for read in frame.chunks(kib << 10) {
                let buffer = &mut buffer[..read.len()];
                buffer.copy_from_slice(read);
                let mut input = Input::new(buffer);
                while let Ok(Some(event)) = connection.receive(&mut input, &options, &mut scratch) {
                    if let Event::Message { payload, .. } = black_box(event) {
                        bytes += payload.len();
                    }
                }
            }
            bytes
        });
}

/// 16 small messages in one read.
#[divan::bench]
fn receive_16_messages_of_64_bytes(bencher: Bencher<'_, '_>) {
    receive(
        bencher,
        &masked(Kind::Text, Flags::FIN, &text(64)).repeat(16),
        None,
    );
}

/// What a publish costs once, however many members hear it.
#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher<'_, '_>, len: usize) {
    let payload = text(len);
    let mut batch = Vec::with_capacity(len + 16);
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        batch.clear();
        frame::encode(&mut batch, Flags::FIN, OpCode::Text, black_box(&payload));
    });
}

/// The same, deflated: once for all members of a window size.
#[divan::bench(args = [512, 4096])]
fn deflate_once(bencher: Bencher<'_, '_>, len: usize) {
    let payload = text(len);
    let mut compressor = Compressor::new(WindowBits::MAX, 6);
    let mut out = Vec::new();
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        out.clear();
        compressor.compress(black_box(&payload), &mut out);
    });
}

/// A good request, checked and answered, with an offer of compression.
#[divan::bench]
fn handshake(bencher: Bencher<'_, '_>) {
    let headers: [(&str, &[u8]); 7] = [
        ("Host", b"localhost:8080"),
        ("Upgrade", b"websocket"),
        ("Connection", b"Upgrade"),
        ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", b"13"),
        (
            "Sec-WebSocket-Extensions",
            b"permessage-deflate; client_max_window_bits",
        ),
        ("User-Agent", b"Mozilla/5.0"),
    ];
    let policy = Policy::default();
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        let request = Request {
            method: "GET",
            minor_version: 1,
            headers: black_box(headers),
        };
        let upgrade = handshake::validate(request).ok()?;
        let deflate = upgrade.deflate(&policy);
        upgrade
            .respond(
                Answer {
                    deflate,
                    ..Answer::default()
                },
                &mut out,
            )
            .ok()
    });
}

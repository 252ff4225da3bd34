//! The two streams. Raw DEFLATE, each message ended by an empty block whose last four bytes do not
//! travel (RFC 7692, section 7.2).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::super::Error;
use super::{Policy, WindowBits};

/// Compresses whole messages, each on its own.
///
/// A shard keeps one a window size and shares what it makes among all members. Up to 380 KiB.
#[derive(Debug)]
pub struct Compressor {
    stream: Deflater,
    used: bool,
}

impl Compressor {
    /// A compressor for a window, with effort `level` 0 to 9 (more is 9). For a window of 8 bits,
    /// which the library cannot search, messages are only wrapped, not made smaller.
    #[must_use]
    pub fn new(window_bits: WindowBits, level: u8) -> Self {
        Self {
            stream: Deflater::new(window_bits, level),
            used: false,
        }
    }

    /// Appends the compressed form of one whole message, to be sent in a frame with RSV1.
    pub fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if self.used {
            self.stream.reset();
        }
        self.used = true;
        self.stream.compress(payload, true, out);
    }
}

/// The compressors of a thread, one a window size, made when first needed, and a buffer for their
/// output, of which 64 KiB stay allocated.
#[derive(Debug)]
pub struct Compressors {
    policy: Policy,
    by_bits: [Option<Box<Compressor>>; 8],
    buffer: Vec<u8>,
}

impl Compressors {
    /// For connections that were negotiated with `policy`.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            by_bits: [const { None }; 8],
            buffer: Vec::new(),
        }
    }

    /// What the connections were negotiated with.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The compressor for a window, for messages on their own.
    ///
    /// # Panics
    ///
    /// Never: a window has 8 to 15 bits.
    pub fn get(&mut self, window_bits: WindowBits) -> &mut Compressor {
        let slot = self
            .by_bits
            .get_mut(usize::from(window_bits.get() - WindowBits::MIN.get()));
        let slot = slot.expect("eight window sizes");
        let level = self.policy.level;
        slot.get_or_insert_with(|| Box::new(Compressor::new(window_bits, level)))
    }

    /// An empty buffer, to be given back with [`Compressors::put_buffer`].
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    pub(crate) fn put_buffer(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(SPARE_BYTES_MAX);
        self.buffer = buffer;
    }
}

/// One direction's compressing stream, with its memory of what it compressed before.
#[derive(Debug)]
pub(crate) struct Deflater {
    stream: Compress,
}

impl Deflater {
    /// What it takes on the heap at most: two windows, a table of positions, one of heads, and the
    /// output that waits.
    pub(crate) const BYTES_MAX: usize = 380 << 10;

    pub(crate) fn new(window_bits: WindowBits, level: u8) -> Self {
        let (bits, level) = match window_bits {
            // Blocks of effort 0 never refer back, so any window holds them.
            WindowBits::MIN => (9, 0),
            bits => (bits.get(), level.min(9)),
        };
        let level = Compression::new(u32::from(level));
        Self {
            stream: Compress::new_with_window_bits(level, false, bits),
        }
    }

    fn reset(&mut self) {
        self.stream.reset();
    }

    /// Appends the compressed form of the next part of a message; at its end the last four bytes
    /// are left out (RFC 7692, section 7.2.1).
    pub(crate) fn compress(&mut self, mut payload: &[u8], fin: bool, out: &mut Vec<u8>) {
        if payload.is_empty() {
            // An empty block, which the library would not repeat (RFC 7692, section 7.2.3.6).
            out.extend_from_slice(if fin { &[0] } else { &[] });
            return;
        }
        loop {
            let start = out.len();
            // Room for blocks of nine bits a byte and for the empty block at the end.
            let room = (payload.len() + payload.len() / 8 + 64).min(ROOM_BYTES_MAX);
            out.resize(start + room, 0);
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let target = out.get_mut(start..).unwrap_or_default();
            let status = self.stream.compress(payload, target, FlushCompress::Sync);
            status.expect("a stream that was never finished takes any input");
            let written = count(self.stream.total_out() - written);
            out.truncate(start + written);
            payload = payload
                .get(count(self.stream.total_in() - read)..)
                .unwrap_or_default();
            if written < room {
                break;
            }
        }
        if fin && out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
    }
}

/// One direction's inflating stream. The window is always 32 KiB, so it takes any window size.
#[derive(Debug)]
pub(crate) struct Inflater {
    stream: Decompress,
    /// A block with BFINAL was read to its end and nothing after it.
    ended: bool,
    /// Nothing was read since the last message.
    fresh: bool,
}

impl Inflater {
    /// What it takes on the heap: the window and the tables.
    pub(crate) const BYTES_MAX: usize = 50 << 10;

    pub(crate) fn new() -> Self {
        Self {
            stream: Decompress::new(false),
            ended: false,
            fresh: true,
        }
    }

    /// Forgets earlier messages.
    pub(crate) fn reset(&mut self) {
        self.stream.reset(false);
        self.ended = false;
        self.fresh = true;
    }

    /// Inflates from the front of `input`, which is shortened, until `chunk` is full or the input is
    /// used up; says how many bytes were made. Where they fill `chunk`, more may wait.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedDeflate`], beside the bytes made before.
    pub(crate) fn inflate(
        &mut self,
        input: &mut &[u8],
        chunk: &mut [u8],
    ) -> (usize, Result<(), Error>) {
        let mut made = 0;
        loop {
            if self.ended {
                if input.is_empty() {
                    return (made, Ok(()));
                }
                // A message may have blocks after one with BFINAL (RFC 7692, section 7.2.3.5).
                // The window is forgotten, as the compressor that finished a stream forgot it.
                self.stream.reset(false);
                self.ended = false;
            }
            self.fresh &= input.is_empty();
            let room = chunk.get_mut(made..).unwrap_or_default();
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress(input, room, FlushDecompress::None);
            let written = count(self.stream.total_out() - written);
            let read = count(self.stream.total_in() - read);
            *input = input.get(read..).unwrap_or_default();
            made += written;
            match status {
                Err(_) => return (made, Err(Error::MalformedDeflate)),
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(Status::Ok | Status::BufError) => {
                    if made == chunk.len() || input.is_empty() || read + written == 0 {
                        return (made, Ok(()));
                    }
                }
            }
        }
    }

    /// Ends a message of which all bytes were inflated: what the sender left out is put back, and
    /// must end the last block and make no more bytes.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedDeflate`] where the message stopped inside a block.
    pub(crate) fn finish(&mut self, takeover: bool) -> Result<(), Error> {
        // A message without a byte, and one that stopped after BFINAL, are taken as they are, as
        // other implementations do.
        if !self.fresh && !self.ended {
            let mut none = [0];
            // Where the stream is not needed any more, a last empty block proves that it stood
            // between two blocks.
            let mut tail: &[u8] = if takeover { &TAIL } else { &TAIL_AND_END };
            let (made, result) = self.inflate(&mut tail, &mut none);
            result?;
            if made > 0 || !tail.is_empty() || self.ended == takeover {
                return Err(Error::MalformedDeflate);
            }
        }
        self.fresh = true;
        Ok(())
    }
}

/// What the sender leaves out: the lengths of an empty block.
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// The same, and an empty block with BFINAL.
const TAIL_AND_END: [u8; 9] = [0, 0, 0xFF, 0xFF, 1, 0, 0, 0xFF, 0xFF];
/// How much output is made room for at a time.
const ROOM_BYTES_MAX: usize = 64 << 10;
/// What stays allocated for the next message.
const SPARE_BYTES_MAX: usize = 64 << 10;

/// A count of bytes inside a slice.
fn count(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

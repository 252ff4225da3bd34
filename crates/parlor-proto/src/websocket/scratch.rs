//! Working memory for receiving, shared by the connections of one thread.

use super::deflate::Inflater;

/// Working memory that [`Connection::receive`](super::Connection::receive) needs for a moment: the
/// message that an event shows, an inflater without memory of earlier messages, and its output.
///
/// One a thread (or shard) is enough for any number of connections. Nothing is allocated before it
/// is needed. What an event shows is freed at the next call of `receive`; what stays is at most
/// 64 KiB, and about 50 KiB for the inflater once there was a compressed message.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The payload that the last event shows, where it was put together.
    pub(crate) message: Vec<u8>,
    /// What was inflated last; all of it initialised, empty until there was something to inflate.
    pub(crate) chunk: Vec<u8>,
    /// Reset before each message.
    pub(crate) inflater: Option<Box<Inflater>>,
}

impl Scratch {
    /// Working memory for one thread.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the last event's payload.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.message.clear();
        if self.message.capacity() > MESSAGE_BYTES_SPARE {
            self.message = Vec::new();
        }
    }

    /// An inflater without memory.
    pub(crate) fn take_inflater(&mut self) -> Box<Inflater> {
        let mut inflater = self
            .inflater
            .take()
            .unwrap_or_else(|| Box::new(Inflater::new()));
        inflater.reset();
        inflater
    }

    /// Makes room for what is inflated.
    pub(crate) fn ready_chunk(&mut self) {
        if self.chunk.is_empty() {
            self.chunk = vec![0; CHUNK_BYTES];
        }
    }
}

/// What stays allocated for the next message.
const MESSAGE_BYTES_SPARE: usize = 48 << 10;
/// How much is inflated at a time, and then checked.
const CHUNK_BYTES: usize = 16 << 10;

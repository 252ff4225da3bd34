//! Working memory for receiving, shared by the connections of one thread.

use super::deflate::Inflater;

/// Working memory that [`Connection::receive`](super::Connection::receive) needs for a moment: the
/// message that an event shows, an inflater without memory of earlier messages, and its output.
///
/// One a thread (or shard) is enough for any number of connections. Nothing is allocated before it
/// is needed. What an event shows is freed, except 64 KiB, at the next call of `receive`.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) message: Vec<u8>,
    pub(crate) chunk: Vec<u8>,
    pub(crate) inflater: Option<Inflater>,
}

impl Scratch {
    /// Working memory for one thread.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the last event's payload.
    pub(crate) fn clear(&mut self) {
        self.message.clear();
        self.message.shrink_to(SPARE_BYTES_MAX);
    }
}

/// What stays allocated for the next message.
const SPARE_BYTES_MAX: usize = 64 << 10;

//! What one socket would not take yet.
//!
//! An outbox exists only while there is a backlog. It holds slices of the batches that all members
//! of a room share, so that a hundred slow readers of one message hold it once.

use std::collections::VecDeque;

use bytes::Bytes;

/// A remainder that is smaller than this share of its batch is copied, so that a few bytes do not
/// keep a large batch alive.
const COPY_BELOW: usize = 4;

/// The backlog of one connection: whole frames, the first one perhaps sent in part.
#[derive(Debug)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    /// Bytes of the first chunk that the socket has taken.
    sent: usize,
    /// An offset of the first chunk at which a frame ends or begins.
    aligned: usize,
    /// Unsent bytes.
    bytes: usize,
    /// When the socket last took a byte, or the backlog began: milliseconds of the shard's clock.
    pub(crate) progress: u64,
}

impl Outbox {
    /// An empty backlog that begins now.
    pub(crate) fn new(now: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            sent: 0,
            aligned: 0,
            bytes: 0,
            progress: now,
        }
    }

    /// Unsent bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether all is sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds what the socket did not take of `batch`, whole frames. The first `sent` bytes are
    /// gone, which may be more than 0 only where the backlog is empty; `end` is where the frame
    /// ends that they stop in.
    pub(crate) fn push(&mut self, batch: &Bytes, sent: usize, end: usize) {
        debug_assert!(
            sent == 0 || self.chunks.is_empty(),
            "only the first chunk is sent in part"
        );
        let rest = batch.slice(sent..);
        let rest = if rest.len() < batch.len() / COPY_BELOW {
            Bytes::copy_from_slice(&rest)
        } else {
            rest
        };
        if self.chunks.is_empty() {
            self.sent = 0;
            self.aligned = end.saturating_sub(sent);
        }
        self.bytes += rest.len();
        self.chunks.push_back(rest);
    }

    /// The next bytes to send.
    pub(crate) fn front(&self) -> &[u8] {
        self.chunks
            .front()
            .and_then(|chunk| chunk.get(self.sent..))
            .unwrap_or_default()
    }

    /// The socket took `count` bytes of [`Outbox::front`].
    pub(crate) fn advance(&mut self, count: usize, now: u64) {
        self.sent += count;
        self.bytes -= count;
        self.progress = now;
        if self
            .chunks
            .front()
            .is_some_and(|chunk| self.sent >= chunk.len())
        {
            self.chunks.pop_front();
            self.sent = 0;
            self.aligned = 0;
        }
    }

    /// Drops everything but the frame that was begun; `boundary` tells where the frame ends in
    /// which an offset of whole frames lies. Returns the bytes dropped.
    pub(crate) fn discard(&mut self, boundary: impl Fn(&[u8], usize) -> usize) -> usize {
        let before = self.bytes;
        self.chunks.truncate(1);
        self.bytes = 0;
        if let Some(chunk) = self.chunks.front_mut() {
            let aligned = self.aligned.min(chunk.len());
            let end = match self.sent.checked_sub(aligned) {
                None => aligned,
                Some(beyond) => aligned + boundary(&chunk[aligned..], beyond),
            };
            let end = end.clamp(self.sent, chunk.len());
            self.bytes = end - self.sent;
            chunk.truncate(end);
        }
        if self.bytes == 0 {
            self.chunks.clear();
            self.sent = 0;
            self.aligned = 0;
        }
        before - self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of ten bytes.
    fn boundary(_: &[u8], sent: usize) -> usize {
        sent.div_ceil(10) * 10
    }

    #[test]
    fn sends_in_order_and_counts() {
        let mut outbox = Outbox::new(0);
        outbox.push(&Bytes::from_static(b"0123456789abcdefghij"), 13, 20);
        outbox.push(&Bytes::from_static(b"second"), 0, 0);
        assert_eq!(outbox.len(), 13);
        assert_eq!(outbox.front(), b"defghij");
        outbox.advance(3, 5);
        assert_eq!(outbox.front(), b"ghij");
        outbox.advance(4, 6);
        assert_eq!(outbox.front(), b"second");
        outbox.advance(6, 7);
        assert!(outbox.is_empty());
        assert_eq!(outbox.front(), b"");
    }

    #[test]
    fn finishes_the_frame_that_was_begun() {
        let mut outbox = Outbox::new(0);
        outbox.push(
            &Bytes::from_static(b"0123456789abcdefghijABCDEFGHIJ"),
            13,
            20,
        );
        outbox.push(&Bytes::from_static(b"second"), 0, 0);
        assert_eq!(outbox.discard(boundary), 16);
        assert_eq!(outbox.front(), b"defghij");
        outbox.advance(7, 0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn keeps_nothing_at_a_frame_boundary() {
        let mut outbox = Outbox::new(0);
        outbox.push(&Bytes::from_static(b"0123456789abcdefghij"), 10, 10);
        assert_eq!(outbox.discard(boundary), 10);
        assert!(outbox.is_empty());
        outbox.push(&Bytes::from_static(b"bye"), 0, 0);
        assert_eq!(outbox.front(), b"bye");
    }

    #[test]
    fn a_small_remainder_does_not_hold_its_batch() {
        let batch = Bytes::from(vec![1; 4000]);
        let mut outbox = Outbox::new(0);
        outbox.push(&batch, 3995, 4000);
        assert_eq!(outbox.len(), 5);
        assert!(batch.is_unique(), "the rest was copied");
    }
}

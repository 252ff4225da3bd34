//! What a socket was sent, for a client that has missed some of it.

use std::collections::VecDeque;

use parlor_hub::MessageId;

use crate::embed::socketio::Kept;

/// Events that a ring keeps at most; past it the oldest go, and who missed those gets a new
/// session.
const RING_EVENTS_MAX: usize = 1024;
/// Bytes that a ring keeps at most, likewise.
const RING_BYTES_MAX: usize = 1 << 20;
/// What was sent to a socket, newest last.
#[derive(Debug)]
pub(super) struct Ring {
    epoch: u32,
    /// The place of the oldest event.
    first: u64,
    events: VecDeque<(Kept, usize)>,
    bytes: usize,
}

impl Ring {
    pub(super) fn new(epoch: u32) -> Self {
        Self {
            epoch,
            first: 1,
            events: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Keeps an event; returns its place as the client is told it.
    pub(super) fn push(&mut self, kept: Kept) -> String {
        let bytes = size_of::<(Kept, usize)>() + kept.bytes();
        self.events.push_back((kept, bytes));
        self.bytes += bytes;
        while self.events.len() > RING_EVENTS_MAX
            || (self.bytes > RING_BYTES_MAX && self.events.len() > 1)
        {
            if let Some((_, bytes)) = self.events.pop_front() {
                self.bytes -= bytes;
                self.first += 1;
            }
        }
        let last = self.first + self.events.len() as u64 - 1;
        format!("{:08x}-{last}", self.epoch)
    }

    /// The place that a client was told, if all that came after it is still there.
    pub(super) fn find(&self, offset: &str) -> Option<u64> {
        let MessageId { epoch, offset } = offset.parse().ok()?;
        let next = self.first + self.events.len() as u64;
        let is_held = offset + 1 >= self.first && offset < next && offset > 0;
        (epoch == self.epoch && is_held).then_some(offset)
    }

    pub(super) fn after(&mut self, offset: u64) -> Vec<Kept> {
        let skip = usize::try_from((offset + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        let events = std::mem::take(&mut self.events);
        events
            .into_iter()
            .skip(skip)
            .map(|(kept, _)| kept)
            .collect()
    }
}

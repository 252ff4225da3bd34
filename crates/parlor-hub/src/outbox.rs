//! What one member's socket would not take yet, and what a slow member loses of it.
//!
//! An outbox exists only while there is a backlog. It holds slices of the batches that all members
//! of a room share, so that a hundred slow readers of one message hold it once. It knows bytes,
//! rooms, priorities and events; the shell has encoded the messages and writes to the socket.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use crate::{Priority, RoomKey};

/// A remainder that is smaller than this share of its batch is copied, so that a few bytes do not
/// keep a large batch alive.
const COPY_BELOW: usize = 4;

/// What a slow member of a room loses before it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the policies that an outbox knows")]
pub enum Slow {
    /// Messages of low priority.
    DropLow,
    /// All but the newest message of each event, and those of low priority.
    Conflate,
    /// Nothing.
    Close,
}

impl Slow {
    /// The policy by the [class](crate::RoomOptions::class) of a room; unknown classes drop what is
    /// of low priority.
    #[must_use]
    pub const fn from_class(class: u16) -> Self {
        match class {
            1 => Self::Conflate,
            2 => Self::Close,
            _ => Self::DropLow,
        }
    }

    /// The class of a policy.
    #[must_use]
    pub const fn class(self) -> u16 {
        match self {
            Self::DropLow => 0,
            Self::Conflate => 1,
            Self::Close => 2,
        }
    }
}

/// What may be lost of a chunk that holds one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by the shell, read here")]
pub struct Tag {
    /// The room, until the member leaves it: see [`Outbox::forget_room`].
    pub room: RoomKey,
    /// What is of low priority goes first.
    pub priority: Priority,
    /// The event, where a newer message of it takes the place of this one.
    pub event: Option<u64>,
}

/// Whole frames of one or more messages.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "made by the shell, read here")]
pub struct Chunk {
    /// The frames, end to end.
    pub bytes: Bytes,
    /// How many messages they hold.
    pub messages: usize,
    /// Only with one message. Without it the chunk is never dropped.
    pub tag: Option<Tag>,
}

/// The bounds of one outbox.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "made by the shell, read here")]
pub struct Bounds {
    /// Unsent bytes.
    pub bytes_max: usize,
    /// Unsent messages.
    pub messages_max: usize,
}

impl Bounds {
    /// No bounds.
    pub const NONE: Self = Self {
        bytes_max: usize::MAX,
        messages_max: usize::MAX,
    };
}

/// By how much a backlog is over its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Over {
    bytes: usize,
    messages: usize,
}

impl Over {
    const NOTHING: Self = Self {
        bytes: 0,
        messages: 0,
    };
    const ALL: Self = Self {
        bytes: usize::MAX,
        messages: usize::MAX,
    };
}

/// Messages that were dropped from an outbox, by room.
pub type Dropped = Vec<(RoomKey, u64)>;

/// The backlog of one connection: whole frames, the first one perhaps sent in part.
#[derive(Debug)]
pub struct Outbox {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that the socket has taken.
    sent: usize,
    /// An offset of the first chunk at which a frame ends or begins.
    aligned: usize,
    /// Whether the first chunk begins within a frame that was begun before.
    begun: bool,
    /// Unsent bytes.
    bytes: usize,
    messages: usize,
    dropped: Dropped,
    /// Messages dropped for being of low priority, and for a newer one, since this was last asked.
    losses: (u64, u64),
    /// Where the unsent bytes are told.
    gauge: Option<Arc<AtomicUsize>>,
    /// When the socket last took a byte, or the backlog began: milliseconds of the shell's clock.
    pub progress: u64,
}

impl Outbox {
    /// An empty backlog that begins now.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            sent: 0,
            aligned: 0,
            begun: false,
            bytes: 0,
            messages: 0,
            dropped: Vec::new(),
            losses: (0, 0),
            gauge: None,
            progress: now,
        }
    }

    /// The same, that tells its unsent bytes at `gauge`.
    #[must_use]
    pub fn with_gauge(mut self, gauge: Option<Arc<AtomicUsize>>) -> Self {
        self.gauge = gauge;
        self
    }

    /// What waits, from a backlog of which nothing was sent.
    pub fn into_chunks(mut self) -> impl Iterator<Item = Chunk> {
        self.bytes = 0;
        self.tell();
        std::mem::take(&mut self.chunks).into_iter()
    }

    fn tell(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.store(self.bytes, Ordering::Relaxed);
        }
    }

    /// Unsent bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether all is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds the rest of a chunk of which the socket has taken `sent` bytes, into an empty backlog;
    /// `end` is where the frame ends that they stop in.
    ///
    /// # Panics
    ///
    /// In debug builds, where the backlog is not empty.
    pub fn begin(&mut self, mut chunk: Chunk, sent: usize, end: usize) {
        debug_assert!(
            self.chunks.is_empty(),
            "only the first chunk is sent in part"
        );
        chunk.bytes = cut(&chunk.bytes, sent);
        self.append(chunk);
        self.aligned = end.saturating_sub(sent);
        self.begun = sent > 0;
    }

    /// Adds a chunk, and drops what may be dropped where it does not fit. False where that is not
    /// enough. An empty backlog takes any one chunk. A chunk without bytes is none: it would never
    /// be sent, nor what waits behind it.
    pub fn push(&mut self, chunk: Chunk, bounds: Bounds) -> bool {
        if chunk.bytes.is_empty() {
            return true;
        }
        if let Some(tag) = chunk.tag.filter(|tag| tag.event.is_some()) {
            let same = |other: &Tag| other.room == tag.room && other.event == tag.event;
            self.losses.1 += self.drop_where(same, Over::ALL);
        }
        let over = self.over(&chunk, bounds);
        if over != Over::NOTHING {
            self.losses.0 += self.drop_where(|tag| tag.priority == Priority::Low, over);
            if self.over(&chunk, bounds) != Over::NOTHING {
                return match chunk.tag {
                    Some(tag) if tag.priority == Priority::Low => {
                        self.note_dropped(tag.room);
                        self.losses.0 += 1;
                        true
                    }
                    _ => false,
                };
            }
        }
        self.append(chunk);
        true
    }

    /// By how much the backlog would be over its bounds with `chunk`.
    fn over(&self, chunk: &Chunk, bounds: Bounds) -> Over {
        if self.is_empty() {
            return Over::NOTHING;
        }
        let (bytes, messages) = (chunk.bytes.len(), chunk.messages);
        Over {
            bytes: (self.bytes + bytes).saturating_sub(bounds.bytes_max),
            messages: (self.messages + messages).saturating_sub(bounds.messages_max),
        }
    }

    fn append(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes.len();
        self.messages += chunk.messages;
        self.chunks.push_back(chunk);
        self.tell();
    }

    /// Drops tagged chunks that have not been begun, oldest first, until `enough` is gone. Tells
    /// how many.
    fn drop_where(&mut self, which: impl Fn(&Tag) -> bool, enough: Over) -> u64 {
        let (mut gone, mut count) = (Over::NOTHING, 0);
        let mut index = usize::from(self.begun || self.sent > 0);
        while gone.bytes < enough.bytes || gone.messages < enough.messages {
            let Some(chunk) = self.chunks.get(index) else {
                break;
            };
            let Some(tag) = chunk.tag.filter(&which) else {
                index += 1;
                continue;
            };
            gone.bytes += chunk.bytes.len();
            gone.messages += chunk.messages;
            count += 1;
            self.chunks.remove(index);
            self.note_dropped(tag.room);
        }
        self.bytes -= gone.bytes;
        self.messages -= gone.messages;
        self.tell();
        count
    }

    fn note_dropped(&mut self, room: RoomKey) {
        match self.dropped.iter_mut().find(|(other, _)| *other == room) {
            Some((_, count)) => *count += 1,
            None => self.dropped.push((room, 1)),
        }
    }

    /// The member is out of `room`, whose key may come to name another: what waits of it is not
    /// dropped any more. Tells how many messages of it were dropped since this was last asked.
    pub fn forget_room(&mut self, room: RoomKey) -> u64 {
        for chunk in &mut self.chunks {
            chunk.tag = chunk.tag.filter(|tag| tag.room != room);
        }
        let at = self.dropped.iter().position(|(other, _)| *other == room);
        at.map_or(0, |at| self.dropped.swap_remove(at).1)
    }

    /// How many messages were dropped for being of low priority, and how many for a newer one,
    /// since this was last asked.
    pub fn take_losses(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.losses)
    }

    /// Messages that wait, one that was sent in part included.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// What was dropped since this was last asked.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// The next bytes to send.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        self.chunks
            .front()
            .and_then(|chunk| chunk.bytes.get(self.sent..))
            .unwrap_or_default()
    }

    /// The socket took `count` bytes of [`Outbox::front`].
    pub fn advance(&mut self, count: usize, now: u64) {
        self.sent += count;
        self.bytes -= count;
        self.tell();
        self.progress = now;
        if self
            .chunks
            .front()
            .is_some_and(|chunk| self.sent >= chunk.bytes.len())
        {
            if let Some(chunk) = self.chunks.pop_front() {
                self.messages -= chunk.messages;
            }
            self.sent = 0;
            self.aligned = 0;
            self.begun = false;
        }
    }

    /// Drops everything but the frame that was begun; `boundary` tells where the frame ends in
    /// which an offset of whole frames lies. Returns the bytes dropped.
    pub fn discard(&mut self, boundary: impl Fn(&[u8], usize) -> usize) -> usize {
        let before = self.bytes;
        self.chunks.truncate(1);
        self.bytes = 0;
        self.messages = 0;
        if let Some(Chunk {
            bytes, messages, ..
        }) = self.chunks.front_mut()
        {
            let aligned = self.aligned.min(bytes.len());
            let end = match self.sent.checked_sub(aligned) {
                None => aligned,
                Some(beyond) => aligned + boundary(&bytes[aligned..], beyond),
            };
            let end = end.clamp(self.sent, bytes.len());
            self.bytes = end - self.sent;
            bytes.truncate(end);
            // Begun as it is, it is never dropped, and needs no tag any more.
            *messages = 0;
        }
        if self.bytes == 0 {
            self.chunks.clear();
            self.sent = 0;
            self.aligned = 0;
            self.begun = false;
        }
        self.tell();
        before - self.bytes
    }
}

/// The bytes from `from` on: a slice, or a copy where little is left of much.
fn cut(bytes: &Bytes, from: usize) -> Bytes {
    let rest = bytes.slice(from..);
    if rest.len() < bytes.len() / COPY_BELOW {
        Bytes::copy_from_slice(&rest)
    } else {
        rest
    }
}

#[cfg(test)]
mod tests;

//! What one socket would not take yet.
//!
//! An outbox exists only while there is a backlog. It holds slices of the batches that all members
//! of a room share, so that a hundred slow readers of one message hold it once.

use std::collections::VecDeque;

use bytes::Bytes;
use parlor_hub::{Priority, RoomKey};

use crate::embed::Gauge;

/// A remainder that is smaller than this share of its batch is copied, so that a few bytes do not
/// keep a large batch alive.
const COPY_BELOW: usize = 4;

/// What a slow member of a room loses before it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slow {
    /// Messages of low priority.
    DropLow,
    /// All but the newest message of each event, and those of low priority.
    Conflate,
    /// Nothing.
    Close,
}

impl Slow {
    /// The policies by the class that a room has in the hub.
    pub(crate) const fn from_class(class: u16) -> Self {
        match class {
            1 => Self::Conflate,
            2 => Self::Close,
            _ => Self::DropLow,
        }
    }

    /// The class of a policy.
    pub(crate) const fn class(self) -> u16 {
        match self {
            Self::DropLow => 0,
            Self::Conflate => 1,
            Self::Close => 2,
        }
    }
}

/// What may be lost of a chunk that holds one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) room: RoomKey,
    pub(crate) priority: Priority,
    /// The event, where a newer message of it takes the place of this one.
    pub(crate) event: Option<u64>,
}

/// Whole frames of one or more messages.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) bytes: Bytes,
    pub(crate) messages: usize,
    /// Only with one message.
    pub(crate) tag: Option<Tag>,
}

/// The bounds of one outbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) messages_max: usize,
}

impl Bounds {
    /// No bounds.
    pub(crate) const NONE: Self = Self {
        bytes_max: usize::MAX,
        messages_max: usize::MAX,
    };
}

/// Messages that were dropped from an outbox, by room.
pub(crate) type Dropped = Vec<(RoomKey, u64)>;

/// The backlog of one connection: whole frames, the first one perhaps sent in part.
#[derive(Debug)]
pub(crate) struct Outbox {
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
    gauge: Option<Gauge>,
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
            begun: false,
            bytes: 0,
            messages: 0,
            dropped: Vec::new(),
            losses: (0, 0),
            gauge: None,
            progress: now,
        }
    }

    /// The same, that tells its unsent bytes.
    pub(crate) fn with_gauge(mut self, gauge: Option<Gauge>) -> Self {
        self.gauge = gauge;
        self
    }

    /// What waits, from a backlog of which nothing was sent.
    pub(crate) fn into_chunks(mut self) -> impl Iterator<Item = Chunk> {
        self.bytes = 0;
        self.tell();
        std::mem::take(&mut self.chunks).into_iter()
    }

    fn tell(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.set(self.bytes);
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

    /// Adds the rest of a chunk of which the socket has taken `sent` bytes, into an empty backlog;
    /// `end` is where the frame ends that they stop in.
    pub(crate) fn begin(&mut self, mut chunk: Chunk, sent: usize, end: usize) {
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
    pub(crate) fn push(&mut self, chunk: Chunk, bounds: Bounds) -> bool {
        if chunk.bytes.is_empty() {
            return true;
        }
        if let Some(tag) = chunk.tag.filter(|tag| tag.event.is_some()) {
            let same = |other: &Tag| other.room == tag.room && other.event == tag.event;
            self.losses.1 += self.drop_where(same, usize::MAX);
        }
        let over = self.over(&chunk, bounds);
        if over > 0 {
            self.losses.0 += self.drop_where(|tag| tag.priority == Priority::Low, over);
            if self.over(&chunk, bounds) > 0 {
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

    /// By how many bytes the backlog would be over its bounds with `chunk`; any number where it
    /// is the count of messages.
    fn over(&self, chunk: &Chunk, bounds: Bounds) -> usize {
        if self.is_empty() {
            return 0;
        }
        if self.messages + chunk.messages > bounds.messages_max {
            return usize::MAX;
        }
        (self.bytes + chunk.bytes.len()).saturating_sub(bounds.bytes_max)
    }

    fn append(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes.len();
        self.messages += chunk.messages;
        self.chunks.push_back(chunk);
        self.tell();
    }

    /// Drops tagged chunks that have not been begun, oldest first, until `enough` bytes are gone.
    /// Tells how many.
    fn drop_where(&mut self, which: impl Fn(&Tag) -> bool, enough: usize) -> u64 {
        let begun = self.begun || self.sent > 0;
        let (mut gone, mut count, mut index) = (0, 0, 0);
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.retain(|chunk| {
            let first = index == 0 && begun;
            index += 1;
            let Some(tag) = chunk
                .tag
                .filter(|tag| !first && gone < enough && which(tag))
            else {
                return true;
            };
            gone += chunk.bytes.len();
            count += 1;
            self.messages -= chunk.messages;
            self.note_dropped(tag.room);
            false
        });
        self.bytes -= gone;
        self.chunks = chunks;
        self.tell();
        count
    }

    fn note_dropped(&mut self, room: RoomKey) {
        match self.dropped.iter_mut().find(|(other, _)| *other == room) {
            Some((_, count)) => *count += 1,
            None => self.dropped.push((room, 1)),
        }
    }

    /// How many messages were dropped for being of low priority, and how many for a newer one,
    /// since this was last asked.
    pub(crate) fn take_losses(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.losses)
    }

    /// Messages that wait, one that was sent in part included.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// What was dropped since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    /// The next bytes to send.
    pub(crate) fn front(&self) -> &[u8] {
        self.chunks
            .front()
            .and_then(|chunk| chunk.bytes.get(self.sent..))
            .unwrap_or_default()
    }

    /// The socket took `count` bytes of [`Outbox::front`].
    pub(crate) fn advance(&mut self, count: usize, now: u64) {
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
    pub(crate) fn discard(&mut self, boundary: impl Fn(&[u8], usize) -> usize) -> usize {
        let before = self.bytes;
        self.chunks.truncate(1);
        self.bytes = 0;
        self.messages = 0;
        if let Some(Chunk {
            bytes,
            messages,
            tag,
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
            (*messages, *tag) = (0, None);
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
mod tests {
    use super::*;

    const WIDE: Bounds = Bounds {
        bytes_max: 1000,
        messages_max: 1000,
    };

    fn plain(bytes: &'static [u8]) -> Chunk {
        Chunk {
            bytes: Bytes::from_static(bytes),
            messages: 1,
            tag: None,
        }
    }

    fn tagged(bytes: &'static [u8], priority: Priority, event: Option<u64>) -> Chunk {
        let room = room();
        Chunk {
            tag: Some(Tag {
                room,
                priority,
                event,
            }),
            ..plain(bytes)
        }
    }

    fn room() -> RoomKey {
        let mut hub = parlor_hub::Hub::new(
            parlor_hub::ShardId(0),
            1,
            parlor_hub::Seeds {
                placement: 0,
                epochs: 0,
            },
            parlor_hub::Limits::default(),
        );
        let key = parlor_hub::MemberKey {
            slot: 0,
            generation: 0,
        };
        let name = parlor_hub::RoomName::new("tea").unwrap();
        hub.connect(key, [0; 10], None).unwrap();
        hub.join(
            key,
            &name,
            parlor_hub::JoinOptions::default(),
            &mut parlor_hub::Effects::new(),
        )
        .unwrap();
        hub.room_key(&name).unwrap()
    }

    fn rest(outbox: &mut Outbox) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let front = outbox.front().to_vec();
            all.extend_from_slice(&front);
            outbox.advance(front.len(), 0);
        }
        all
    }

    /// Frames of ten bytes.
    fn boundary(_: &[u8], sent: usize) -> usize {
        sent.div_ceil(10) * 10
    }

    #[test]
    fn sends_in_order_and_counts() {
        let mut outbox = Outbox::new(0);
        outbox.begin(plain(b"0123456789abcdefghij"), 13, 20);
        assert!(outbox.push(plain(b"second"), WIDE));
        assert_eq!(outbox.len(), 13);
        assert_eq!(outbox.front(), b"defghij");
        outbox.advance(3, 5);
        assert_eq!(outbox.front(), b"ghij");
        outbox.advance(4, 6);
        assert_eq!(outbox.front(), b"second");
        outbox.advance(6, 7);
        assert!(outbox.is_empty());
        assert_eq!(outbox.front(), b"");
        assert_eq!(outbox.messages, 0);
    }

    #[test]
    fn finishes_the_frame_that_was_begun() {
        let mut outbox = Outbox::new(0);
        outbox.begin(plain(b"0123456789abcdefghijABCDEFGHIJ"), 13, 20);
        outbox.push(plain(b"second"), WIDE);
        assert_eq!(outbox.discard(boundary), 16);
        assert_eq!(rest(&mut outbox), b"defghij");
    }

    #[test]
    fn keeps_nothing_at_a_frame_boundary() {
        let mut outbox = Outbox::new(0);
        outbox.begin(plain(b"0123456789abcdefghij"), 10, 10);
        assert_eq!(outbox.discard(boundary), 10);
        assert!(outbox.is_empty());
        outbox.push(plain(b"bye"), WIDE);
        assert_eq!(rest(&mut outbox), b"bye");
    }

    #[test]
    fn a_small_remainder_does_not_hold_its_batch() {
        let batch = Bytes::from(vec![1; 4000]);
        let mut outbox = Outbox::new(0);
        outbox.begin(
            Chunk {
                bytes: batch.clone(),
                messages: 1,
                tag: None,
            },
            3995,
            4000,
        );
        assert_eq!(outbox.len(), 5);
        assert!(batch.is_unique(), "the rest was copied");
    }

    #[test]
    fn low_priority_goes_first_and_the_begun_frame_stays() {
        let bounds = Bounds {
            bytes_max: 30,
            messages_max: 10,
        };
        let mut outbox = Outbox::new(0);
        outbox.begin(tagged(b"low-begun.", Priority::Low, None), 3, 10);
        assert!(outbox.push(tagged(b"low-a.....", Priority::Low, None), bounds));
        assert!(outbox.push(tagged(b"normal....", Priority::Normal, None), bounds));
        assert!(outbox.push(tagged(b"normal-2..", Priority::Normal, None), bounds));
        assert!(
            outbox.push(tagged(b"low-b.....", Priority::Low, None), bounds),
            "dropped itself"
        );
        assert!(!outbox.push(tagged(b"normal-3..", Priority::Normal, None), bounds));
        assert_eq!(outbox.take_dropped(), [(room(), 2)]);
        assert_eq!(rest(&mut outbox), b"-begun.normal....normal-2..");
    }

    #[test]
    fn only_the_newest_of_an_event_is_kept() {
        let mut outbox = Outbox::new(0);
        outbox.begin(plain(b"first"), 1, 5);
        for bytes in [b"a1", b"b1", b"a2", b"a3"] {
            let event = Some(u64::from(bytes[0]));
            assert!(outbox.push(tagged(bytes, Priority::Normal, event), WIDE));
        }
        assert_eq!(outbox.take_dropped(), [(room(), 2)]);
        assert_eq!(rest(&mut outbox), b"irstb1a3");
    }

    #[test]
    fn a_message_without_bytes_takes_no_place() {
        let mut outbox = Outbox::new(0);
        outbox.begin(plain(b"first"), 1, 5);
        let event = Some(1);
        assert!(outbox.push(tagged(b"a", Priority::Normal, event), WIDE));
        assert!(outbox.push(tagged(b"", Priority::Normal, event), WIDE));
        assert!(outbox.push(plain(b"b"), WIDE));
        assert_eq!(outbox.messages, 3);
        assert_eq!(rest(&mut outbox), b"irstab");
    }

    #[test]
    fn messages_are_bounded_too() {
        let bounds = Bounds {
            bytes_max: 1000,
            messages_max: 2,
        };
        let mut outbox = Outbox::new(0);
        assert!(outbox.push(plain(b"1"), bounds));
        assert!(outbox.push(plain(b"2"), bounds));
        assert!(!outbox.push(plain(b"3"), bounds));
    }

    /// A small generator, so that a failure names the seed that it came from.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (self.0 >> 33) % sides
        }
    }

    /// What the reader must see: everything in order, less what was dropped, of which the newest
    /// of each event and everything that may not be dropped is never part.
    #[test]
    fn random_backlogs_lose_only_what_they_may() {
        let room = room();
        for seed in 0..200 {
            let mut dice = Dice(seed);
            let conflates = seed % 2 == 0;
            let bounds = Bounds {
                bytes_max: 60,
                messages_max: 50,
            };
            let mut outbox = Outbox::new(0);
            let (mut pushed, mut refused) = (Vec::new(), Vec::new());
            let mut seen: Vec<u8> = Vec::new();
            for number in 0..60_u8 {
                let low = dice.roll(3) == 0;
                let event = dice.roll(3);
                let bytes = Bytes::from(vec![number; 4]);
                let priority = if low { Priority::Low } else { Priority::Normal };
                let tag = Tag {
                    room,
                    priority,
                    event: conflates.then_some(event),
                };
                let chunk = Chunk {
                    bytes,
                    messages: 1,
                    tag: Some(tag),
                };
                if outbox.is_empty() {
                    let sent = usize::try_from(dice.roll(4)).unwrap();
                    seen.extend(std::iter::repeat_n(number, sent));
                    outbox.begin(chunk, sent, 4);
                } else if !outbox.push(chunk, bounds) {
                    refused.push(number);
                }
                pushed.push((number, low, event));
                let read = outbox
                    .front()
                    .len()
                    .min(usize::try_from(dice.roll(4)).unwrap());
                seen.extend_from_slice(&outbox.front()[..read]);
                if read > 0 {
                    outbox.advance(read, 0);
                }
            }
            let dropped: u64 = outbox.take_dropped().iter().map(|(_, count)| count).sum();
            seen.extend(rest(&mut outbox));
            assert!(seen.is_sorted(), "seed {seed}: order");
            let heard = |number: u8| seen.iter().filter(|byte| **byte == number).count();
            let mut lost = 0;
            for (at, (number, low, event)) in pushed.iter().enumerate() {
                match heard(*number) {
                    4 => continue,
                    0 => lost += 1,
                    part => panic!("seed {seed}: {part} bytes of message {number}"),
                }
                let newer = pushed[at + 1..].iter().any(|(_, _, other)| other == event);
                let may = *low || refused.contains(number) || conflates && newer;
                assert!(may, "seed {seed}: message {number} must not be lost");
            }
            assert_eq!(
                lost,
                dropped + refused.len() as u64,
                "seed {seed}: every drop is counted"
            );
        }
    }
}

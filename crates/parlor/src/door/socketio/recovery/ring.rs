//! What a socket was sent, for a client that has missed some of it.

use std::{cell::Cell, collections::VecDeque, rc::Rc, sync::Arc};

use parlor_hub::MessageId;

use crate::embed::socketio::Kept;

/// Events that a ring keeps at most; past it the oldest go, and who missed those gets a new
/// session.
const RING_EVENTS_MAX: usize = 1024;
/// Bytes that a ring keeps at most, likewise.
const RING_BYTES_MAX: usize = 1 << 20;

/// What all rings of a shard keep together.
#[derive(Debug)]
pub(crate) struct Keep {
    bytes: Cell<usize>,
    rings: Cell<usize>,
    /// Past it rings that keep more than their share lose the oldest, when they are given more;
    /// past twice as much every ring does, for those that are given nothing may keep a share of a
    /// time when there were few.
    bytes_max: usize,
}

#[derive(Debug)]
pub(super) struct Ring {
    epoch: u32,
    /// The place of the oldest event.
    first: u64,
    events: VecDeque<Held>,
    bytes: usize,
    charged: usize,
    keep: Rc<Keep>,
}

#[derive(Debug)]
struct Held {
    kept: Kept,
    bytes: usize,
    /// Its part of them, where several rings keep the same message.
    charged: usize,
}

impl Keep {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Cell::new(0),
            rings: Cell::new(0),
            bytes_max,
        }
    }

    /// Whether one that is charged so much has to lose some of it.
    const fn is_over(&self, charged: usize) -> bool {
        let rings = self.rings.get();
        let share = self.bytes_max / if rings == 0 { 1 } else { rings };
        let (bytes, bytes_max) = (self.bytes.get(), self.bytes_max);
        bytes > bytes_max && charged > share || bytes > bytes_max.saturating_mul(2)
    }
}

impl Held {
    fn new(kept: Kept) -> Self {
        let shared = kept.bytes();
        let holders = match &kept {
            // This one and the batch that it came in hold it too.
            Kept::Message(message) => Arc::strong_count(message).saturating_sub(2).max(1),
            Kept::Packet(_) => 1,
        };
        Self {
            kept,
            bytes: size_of::<Self>() + shared,
            charged: size_of::<Self>() + shared / holders,
        }
    }
}

impl Ring {
    pub(super) fn new(epoch: u32, keep: Rc<Keep>) -> Self {
        keep.rings.set(keep.rings.get() + 1);
        Self {
            epoch,
            first: 1,
            events: VecDeque::new(),
            bytes: 0,
            charged: 0,
            keep,
        }
    }

    /// Keeps an event; returns its place as the client is told it.
    pub(super) fn push(&mut self, kept: Kept) -> String {
        let last = self.first + self.events.len() as u64;
        let held = Held::new(kept);
        self.bytes += held.bytes;
        self.charged += held.charged;
        self.keep.bytes.set(self.keep.bytes.get() + held.charged);
        self.events.push_back(held);
        while self.events.len() > RING_EVENTS_MAX
            || (self.bytes > RING_BYTES_MAX && self.events.len() > 1)
            || (self.keep.is_over(self.charged) && !self.events.is_empty())
        {
            self.forget_oldest();
        }
        format!("{:08x}-{last}", self.epoch)
    }

    /// The place that a client was told, if all that came after it is still there.
    pub(super) fn find(&self, offset: &str) -> Option<u64> {
        let MessageId { epoch, offset } = offset.parse().ok()?;
        let next = self.first + self.events.len() as u64;
        let is_held = offset.saturating_add(1) >= self.first && offset < next && offset > 0;
        (epoch == self.epoch && is_held).then_some(offset)
    }

    /// What came after a place. Nothing is kept from then on.
    pub(super) fn after(&mut self, offset: u64) -> Vec<Kept> {
        let next = offset.saturating_add(1);
        let skip = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let events = std::mem::take(&mut self.events);
        self.give_back();
        let after = events.into_iter().skip(skip);
        after.map(|held| held.kept).collect()
    }

    fn forget_oldest(&mut self) {
        if let Some(held) = self.events.pop_front() {
            self.bytes -= held.bytes;
            self.charged -= held.charged;
            self.keep.bytes.set(self.keep.bytes.get() - held.charged);
            self.first += 1;
        }
    }

    fn give_back(&mut self) {
        self.bytes = 0;
        let charged = std::mem::take(&mut self.charged);
        self.keep.bytes.set(self.keep.bytes.get() - charged);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.give_back();
        self.keep.rings.set(self.keep.rings.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use parlor_proto::socketio::Packet;

    use super::*;

    const EVENT_BYTES: usize = 1000;

    fn event() -> Kept {
        let text = format!("\"{}\"", "x".repeat(EVENT_BYTES - 2 - "[\"x\",]".len()));
        Kept::Packet(Packet::event("/", "x", [&*text]).into_owned())
    }

    fn rings(count: usize, keep: &Rc<Keep>) -> Vec<Ring> {
        let ring = |epoch| Ring::new(epoch, Rc::clone(keep));
        (0..u32::try_from(count).unwrap()).map(ring).collect()
    }

    #[test]
    fn a_place_is_found_while_all_behind_it_is_kept() {
        let keep = Rc::new(Keep::new(1 << 30));
        let mut ring = Ring::new(7, Rc::clone(&keep));
        assert_eq!(ring.push(event()), "00000007-1");
        for _ in 1..RING_EVENTS_MAX + 10 {
            ring.push(event());
        }
        // The bytes count first: a few less than 1,048 events.
        let kept = ring.events.len();
        assert!((900..RING_EVENTS_MAX).contains(&kept), "{kept}");
        let last = RING_EVENTS_MAX + 10;
        for (offset, found) in [
            (last, true),
            (last - kept, true),
            (last - kept - 1, false),
            (last + 1, false),
            (0, false),
        ] {
            let text = format!("00000007-{offset}");
            assert_eq!(ring.find(&text).is_some(), found, "{text}");
        }
        for text in [
            "00000008-1034",
            "00000007-18446744073709551615",
            "00000007-18446744073709551616",
            "00000007--1",
            "00000007-",
            "",
            "x",
        ] {
            assert_eq!(ring.find(text), None, "{text}");
        }
        let after = ring.after(u64::try_from(last - 3).unwrap());
        assert_eq!((after.len(), keep.bytes.get()), (3, 0));
        drop(ring);
        assert_eq!(keep.rings.get(), 0);
    }

    #[test]
    fn rings_that_keep_more_than_their_share_lose_the_oldest() {
        const COUNT: usize = 10;
        let keep = Rc::new(Keep::new(COUNT * 10 * EVENT_BYTES));
        let mut rings = rings(COUNT, &keep);
        let (greedy, modest) = rings.split_at_mut(COUNT - 1);
        for ring in modest {
            ring.push(event());
        }
        for _ in 0..200 {
            for ring in &mut *greedy {
                ring.push(event());
            }
            assert!(keep.bytes.get() <= 2 * keep.bytes_max, "{:?}", keep.bytes);
        }
        let [.., modest] = &mut rings[..] else {
            unreachable!("there are some");
        };
        modest.push(event());
        assert_eq!(modest.events.len(), 2);
        assert!(rings[0].find("00000000-200").is_some());
        assert!(rings[0].find("00000000-100").is_none());
        drop(rings);
        assert_eq!((keep.bytes.get(), keep.rings.get()), (0, 0));
    }

    #[test]
    fn rings_that_are_made_one_by_one_keep_no_more_than_twice_as_much() {
        const COUNT: usize = 100;
        let keep = Rc::new(Keep::new(100 * EVENT_BYTES));
        let mut rings = Vec::new();
        for epoch in 0..COUNT {
            // Those before it have had a larger share, and are given nothing any more.
            let mut ring = Ring::new(u32::try_from(epoch).unwrap(), Rc::clone(&keep));
            for _ in 0..100 {
                ring.push(event());
            }
            rings.push(ring);
            assert!(keep.bytes.get() <= 2 * keep.bytes_max, "{epoch} {keep:?}");
        }
        drop(rings);
        assert_eq!((keep.bytes.get(), keep.rings.get()), (0, 0));
    }

    #[test]
    fn an_event_that_is_more_than_all_may_keep_is_told_its_place_only() {
        let keep = Rc::new(Keep::new(100));
        let mut ring = Ring::new(7, Rc::clone(&keep));
        assert_eq!(ring.push(event()), "00000007-1");
        assert_eq!(ring.push(event()), "00000007-2");
        assert_eq!((keep.bytes.get(), ring.find("00000007-1")), (0, None));
        assert_eq!(ring.find("00000007-2"), Some(2));
    }
}

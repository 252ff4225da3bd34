//! The messages of one room in one turn.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use parlor_hub::{
    MemberKey, Priority, RoomKey,
    outbox::{Slow, Tag},
};

use crate::door::{FORMS, Hearers, Item, Tools};

/// Encoding buffers above this are given back after a flush.
const KEEP_BYTES: usize = 64 * 1024;

/// What is to be heard, and by which of the local members.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) item: Item,
    pub(crate) hearers: Hearers,
}

/// Members that hear only the entries from a position on.
pub(crate) type Late = HashMap<MemberKey, usize>;

/// What has been published to a room since its last flush, and the flush that is under way.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// Members that came in when so many entries were already there.
    pub(crate) late: Late,
    /// Payload bytes of the entries.
    pub(crate) bytes: usize,
    /// The room is on the shard's list of rooms to flush.
    pub(crate) listed: bool,
    /// A flush that used up its slice of the turn.
    pub(crate) flush: Option<Box<Flush>>,
    /// Publishers that are not read until the flush is done.
    pub(crate) paused: Vec<MemberKey>,
}

impl Batch {
    /// `key` hears of this batch only what comes from now on.
    pub(crate) fn pass_over(&mut self, key: MemberKey) {
        let from = self.entries.len();
        if from > 0 {
            self.late.insert(key, from);
        } else {
            self.late.remove(&key);
        }
    }

    /// `key` is no member any more; should it come back, that is another story.
    pub(crate) fn forget(&mut self, key: MemberKey) {
        self.late.remove(&key);
    }
}

/// A batch on its way to the members.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) entries: Vec<Entry>,
    pub(crate) late: Late,
    pub(crate) forms: Forms,
    /// What a slow member may lose of each entry; none where it may lose nothing.
    pub(crate) tags: Option<Vec<Tag>>,
    /// The members still to be served.
    pub(crate) remaining: Vec<MemberKey>,
    /// Payload bytes of the entries.
    pub(crate) bytes: usize,
}

impl Flush {
    /// Takes what has been published so far out of `batch`.
    pub(crate) fn of(room: RoomKey, batch: &mut Batch, slow: Slow) -> Self {
        let bytes = std::mem::take(&mut batch.bytes);
        let entries = std::mem::take(&mut batch.entries);
        let lossy = match slow {
            Slow::DropLow => entries
                .iter()
                .any(|entry| entry.item.priority() == Priority::Low),
            Slow::Conflate => true,
            Slow::Close => false,
        };
        let tag = |entry: &Entry| Tag {
            room,
            priority: entry.item.priority(),
            event: entry.item.event_hash().filter(|_| slow == Slow::Conflate),
        };
        Self {
            tags: lossy.then(|| entries.iter().map(tag).collect()),
            entries,
            late: std::mem::take(&mut batch.late),
            forms: Forms::default(),
            remaining: Vec::new(),
            bytes,
        }
    }

    /// One thing for these members.
    pub(crate) fn once(entry: Entry, members: Vec<MemberKey>) -> Self {
        Self {
            bytes: entry.item.cost(),
            entries: vec![entry],
            late: Late::new(),
            forms: Forms::default(),
            tags: None,
            remaining: members,
        }
    }

    /// Whether `key` hears less than the whole batch.
    pub(crate) fn is_special(&self, key: MemberKey) -> bool {
        self.entries.iter().any(|entry| !entry.hearers.include(key)) || self.late.contains_key(&key)
    }

    /// The only members that hear anything of the batch, each once; none where there is something
    /// for everybody.
    pub(crate) fn only(&self) -> Option<Vec<MemberKey>> {
        let mut all = Vec::new();
        for entry in &self.entries {
            let Hearers::Only(only) = &entry.hearers else {
                return None;
            };
            all.extend_from_slice(only);
        }
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    /// The entries that `key` hears, with their positions.
    pub(crate) fn heard<'a>(
        entries: &'a [Entry],
        late: &Late,
        key: MemberKey,
    ) -> impl Iterator<Item = (usize, &'a Entry)> + use<'a> {
        let from = late.get(&key).copied().unwrap_or_default();
        entries
            .iter()
            .enumerate()
            .skip(from)
            .filter(move |(_, entry)| entry.hearers.include(key))
    }
}

/// A batch in one wire form: all entries, end to end.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    /// Where each entry ends.
    pub(crate) ends: Vec<usize>,
    /// How many messages there are in this form: not notices, nor what it has no words for.
    pub(crate) messages: u64,
}

impl Encoded {
    /// The bytes of one entry.
    pub(crate) fn entry(&self, position: usize) -> Bytes {
        self.bytes.slice(self.range(position))
    }

    /// Where the bytes of one entry lie.
    pub(crate) fn range(&self, position: usize) -> std::ops::Range<usize> {
        let before = position
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let start = before.copied().unwrap_or(0);
        start..self.ends.get(position).copied().unwrap_or(start)
    }
}

/// The wire forms of a batch, each made when the first member needs it.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    encoded: [Option<Encoded>; FORMS],
}

impl Forms {
    /// The batch in wire form `form`.
    #[inline]
    pub(crate) fn get<'a>(
        &'a mut self,
        form: u8,
        entries: &[Entry],
        encoder: &mut Encoder<'_>,
    ) -> &'a Encoded {
        let encoded = &mut self.encoded[usize::from(form) % FORMS];
        encoded.get_or_insert_with(|| encoder.encode(form, entries))
    }
}

/// What is needed to encode a batch.
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    pub(crate) tools: &'a mut Tools,
    pub(crate) buffers: &'a mut Buffers,
}

impl Encoder<'_> {
    fn encode(&mut self, form: u8, entries: &[Entry]) -> Encoded {
        let buffer = &mut self.buffers.forms[usize::from(form) % FORMS];
        let mut ends = Vec::with_capacity(entries.len());
        let mut messages = 0;
        for entry in entries {
            let before = buffer.len();
            self.tools.encode(form, &entry.item, buffer);
            ends.push(buffer.len());
            messages += u64::from(buffer.len() > before && entry.item.is_message());
        }
        let bytes = buffer.split().freeze();
        if bytes.len() > KEEP_BYTES {
            *buffer = BytesMut::new();
        }
        Encoded {
            bytes,
            ends,
            messages,
        }
    }
}

/// One encoding buffer for each wire form, used again flush after flush.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    forms: [BytesMut; FORMS],
    /// One member's own selection of a batch.
    pub(crate) assembly: Vec<u8>,
}

impl Buffers {
    /// Gives back what a large batch has left behind.
    pub(crate) fn release(&mut self) {
        if self.assembly.capacity() > KEEP_BYTES {
            self.assembly = Vec::new();
        }
    }
}

//! The end of a turn: each room's batch to each of its members, one `send` a member.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use parlor_hub::{
    MemberKey, RoomKey,
    outbox::{Chunk, Slow},
};

use super::{
    Shard,
    batch::{Batch, Buffers, Encoder, Entry, Flush},
    connections::{BACKLOG, CLOSING, Connections, OWN_FORM, PAUSED, SLOW_PATH, SPECIAL, Stage},
};
use crate::door::{CloseReason, Hearers, Heartbeat, Tools};

/// How long a turn may flush before other work gets its chance.
const SLICE: Duration = Duration::from_millis(2);
/// How many members are served between two looks at the clock.
const MEMBERS_PER_LOOK: usize = 64;
/// A batch above so many payload bytes is flushed before the turn ends; while one that large waits
/// for an earlier flush, its publishers are not read.
const BATCH_BYTES_MAX: usize = 256 * 1024;

impl Shard {
    /// Adds a message to its room's batch. `publisher` is the local member that sent it.
    pub(super) fn append(&mut self, room: RoomKey, entry: Entry, publisher: Option<MemberKey>) {
        let cost = entry.item.cost();
        self.unflushed_bytes += cost;
        let batch = self.batch(room);
        batch.bytes += cost;
        batch.entries.push(entry);
        let large = batch.bytes > BATCH_BYTES_MAX;
        let busy = batch.flush.is_some();
        if !std::mem::replace(&mut batch.listed, true) {
            self.unflushed.push_back(room);
        }
        if large && !busy {
            if !self.large.contains(&room) {
                self.large.push(room);
            }
        } else if let Some(publisher) = publisher.filter(|_| large) {
            self.pause(room, publisher);
        }
    }

    /// Flushes the rooms whose batch has become large. Only once all effects are performed: before
    /// that the hub's list of members is ahead of what they have been told.
    pub(super) fn flush_large(&mut self) {
        while let Some(room) = self.large.pop() {
            self.flush_room(room, Instant::now() + SLICE);
        }
    }

    /// Stops reading from a publisher until its room's flush is done.
    fn pause(&mut self, room: RoomKey, publisher: MemberKey) {
        if let Some(hot) = self.connections.hot.get_mut(publisher.slot as usize)
            && hot.flags & PAUSED == 0
        {
            hot.flags |= PAUSED;
            self.batch(room).paused.push(publisher);
        }
    }

    pub(super) fn batch(&mut self, room: RoomKey) -> &mut Batch {
        let index = room.index();
        if index >= self.batches.len() {
            self.batches.resize_with(index + 1, Batch::default);
        }
        &mut self.batches[index]
    }

    /// Flushes rooms until none is left or the slice is used up.
    pub(super) fn flush(&mut self) {
        let deadline = Instant::now() + SLICE;
        self.flush_broadcasts(deadline);
        for _ in 0..self.unflushed.len() {
            let Some(room) = self.unflushed.pop_front() else {
                break;
            };
            let done = self.flush_room(room, deadline);
            let batch = &mut self.batches[room.index()];
            if done && batch.entries.is_empty() {
                batch.listed = false;
                let paused = std::mem::take(&mut batch.paused);
                self.resume(paused);
            } else {
                self.unflushed.push_back(room);
            }
            if Instant::now() > deadline {
                break;
            }
        }
    }

    /// Whether so much waits to be flushed that nothing should be added.
    pub(super) fn has_much_unflushed(&self) -> bool {
        self.unflushed_bytes > super::UNFLUSHED_BYTES_MAX
    }

    /// Sends something to these members, in this turn and those after it.
    pub(super) fn broadcast_to(&mut self, entry: Entry, members: Vec<MemberKey>) {
        let flush = Flush::once(entry, members);
        self.unflushed_bytes += flush.bytes;
        self.broadcasts.push_back(Box::new(flush));
    }

    fn flush_broadcasts(&mut self, deadline: Instant) {
        while let Some(mut flush) = self.broadcasts.pop_front() {
            let mut delivery = Delivery {
                connections: &mut self.connections,
                tools: &mut self.tools,
                buffers: &mut self.buffers,
            };
            let members = std::mem::take(&mut flush.remaining);
            let served = delivery.serve(&mut flush, &members, deadline);
            if let Some(rest) = members.get(served..).filter(|rest| !rest.is_empty()) {
                flush.remaining = rest.to_vec();
                self.broadcasts.push_front(flush);
                return;
            }
            self.unflushed_bytes -= flush.bytes;
        }
    }

    fn resume(&mut self, paused: Vec<MemberKey>) {
        for key in paused {
            if self.connections.is_current(key) {
                self.connections.hot[key.slot as usize].flags &= !PAUSED;
                self.list_heavy(key);
            }
        }
    }

    /// Serves the members of one room until all have the batch. False when the time is up before.
    fn flush_room(&mut self, room: RoomKey, deadline: Instant) -> bool {
        let batch = &mut self.batches[room.index()];
        let (mut flush, resumed) = match batch.flush.take() {
            Some(flush) => (flush, true),
            None if batch.entries.is_empty() => return true,
            None => {
                let slow = Slow::from_class(self.hub.room_class(room));
                (Box::new(Flush::of(room, batch, slow)), false)
            }
        };
        let named = match resumed {
            true => Some(std::mem::take(&mut flush.remaining)),
            false => flush.only().map(|mut only| {
                only.retain(|key| self.hub.is_seated(*key, room));
                only
            }),
        };
        let members = match &named {
            Some(named) => &named[..],
            None => self.hub.members_of(room),
        };
        let mut delivery = Delivery {
            connections: &mut self.connections,
            tools: &mut self.tools,
            buffers: &mut self.buffers,
        };
        delivery.set_special(&flush, members, SPECIAL);
        let served = delivery.serve(&mut flush, members, deadline);
        flush.remaining = members.get(served..).unwrap_or_default().to_vec();
        delivery.set_special(&flush, members, 0);
        if flush.remaining.is_empty() {
            self.unflushed_bytes -= flush.bytes;
            let entries = std::mem::take(&mut flush.entries);
            self.recycle(room, entries);
            return true;
        }
        self.batches[room.index()].flush = Some(flush);
        false
    }

    /// Gives the entry list of a finished flush back to its room, empty.
    fn recycle(&mut self, room: RoomKey, mut entries: Vec<Entry>) {
        entries.clear();
        let batch = &mut self.batches[room.index()];
        if batch.entries.is_empty() && entries.capacity() <= 1024 {
            batch.entries = entries;
        }
    }

    /// Delivers to one member at once what its room's batch still holds for it: it is leaving, or
    /// is about to hear something that may not come before.
    pub(super) fn deliver_rest(&mut self, room: RoomKey, key: MemberKey) {
        let Some(batch) = self.batches.get_mut(room.index()) else {
            return;
        };
        let mut delivery = Delivery {
            connections: &mut self.connections,
            tools: &mut self.tools,
            buffers: &mut self.buffers,
        };
        if let Some(flush) = &mut batch.flush
            && let Some(position) = flush.remaining.iter().position(|member| *member == key)
        {
            flush.remaining.remove(position);
            delivery.serve_apart(flush, key);
        }
        let entries: Vec<Entry> = Flush::heard(&batch.entries, &batch.late, key)
            .map(|(_, entry)| Entry {
                item: entry.item.clone(),
                hearers: Hearers::All,
            })
            .collect();
        if !entries.is_empty() {
            let slow = Slow::from_class(self.hub.room_class(room));
            let mut own = Batch {
                entries,
                ..Batch::default()
            };
            delivery.serve_apart(&mut Flush::of(room, &mut own, slow), key);
        }
    }
}

/// What a flush works with.
struct Delivery<'a> {
    connections: &'a mut Connections,
    tools: &'a mut Tools,
    buffers: &'a mut Buffers,
}

impl Delivery<'_> {
    /// Sends the batch to `members` in turn; returns how many were served before the deadline.
    fn serve(&mut self, flush: &mut Flush, members: &[MemberKey], deadline: Instant) -> usize {
        let mut delivered = 0;
        for (position, key) in members.iter().enumerate() {
            if position % MEMBERS_PER_LOOK == MEMBERS_PER_LOOK - 1 && Instant::now() > deadline {
                self.connections.counters.delivered(delivered);
                return position;
            }
            let Some(hot) = self.connections.hot.get(key.slot as usize) else {
                continue;
            };
            if hot.generation != key.generation {
                continue;
            }
            if hot.flags & SLOW_PATH != 0 {
                self.serve_apart(flush, *key);
                continue;
            }
            let mut encoder = Encoder {
                tools: self.tools,
                buffers: self.buffers,
            };
            let encoded = flush.forms.get(hot.form, &flush.entries, &mut encoder);
            delivered += encoded.messages;
            self.connections
                .send_batch(*key, encoded, flush.tags.as_deref());
        }
        self.connections.counters.delivered(delivered);
        members.len()
    }

    /// Serves a member that does not simply get the whole batch.
    fn serve_apart(&mut self, flush: &mut Flush, key: MemberKey) {
        let Some(hot) = self.connections.hot.get(key.slot as usize) else {
            return;
        };
        if hot.generation != key.generation || hot.flags & CLOSING != 0 {
            return;
        }
        if hot.flags & OWN_FORM != 0 {
            return self.serve_own_form(flush, key);
        }
        let form = hot.form;
        let full = hot.flags & BACKLOG != 0;
        let passes = |entry: &Entry| full && entry.item.is_volatile();
        let special = flush.is_special(key) || (full && flush.entries.iter().any(passes));
        let Flush {
            entries,
            late,
            forms,
            tags,
            ..
        } = flush;
        let mut encoder = Encoder {
            tools: self.tools,
            buffers: self.buffers,
        };
        let encoded = forms.get(form, entries, &mut encoder);
        if !special {
            self.connections.counters.delivered(encoded.messages);
            return self.connections.send_batch(key, encoded, tags.as_deref());
        }
        if let Some(tags) = tags {
            // Rare enough to go one by one: some entries may be dropped, some are not for it.
            for (position, entry) in Flush::heard(entries, late, key) {
                if passes(entry) {
                    continue;
                }
                let tag = tags.get(position).copied();
                let bytes = encoded.entry(position);
                let counts = entry.item.is_message() && !bytes.is_empty();
                self.connections.counters.delivered(u64::from(counts));
                self.connections.send_chunk(
                    key,
                    Chunk {
                        bytes,
                        messages: 1,
                        tag,
                    },
                );
            }
            return;
        }
        self.buffers.assembly.clear();
        let assembly = &mut self.buffers.assembly;
        let (mut messages, mut delivered) = (0, 0);
        for (position, entry) in Flush::heard(entries, late, key) {
            if passes(entry) {
                continue;
            }
            let range = encoded.range(position);
            delivered += u64::from(entry.item.is_message() && !range.is_empty());
            assembly.extend_from_slice(encoded.bytes.get(range).unwrap_or_default());
            messages += 1;
        }
        self.connections.counters.delivered(delivered);
        self.connections.send(key, assembly, messages);
        self.buffers.release();
    }

    /// Lets the member's session encode what it hears.
    fn serve_own_form(&mut self, flush: &Flush, key: MemberKey) {
        let Stage::Open(session) = &mut self.connections.cold[key.slot as usize].stage else {
            return;
        };
        let Some(session) = session else { return };
        let reply = &mut self.buffers.assembly;
        reply.clear();
        let mut messages = 0;
        // Where the socket is full, what is volatile passes by.
        let full = self.connections.hot[key.slot as usize].flags & BACKLOG != 0;
        let heard = Flush::heard(&flush.entries, &flush.late, key);
        let mut items = heard
            .filter(|(_, entry)| !(full && entry.item.is_volatile()))
            .map(|(_, entry)| &entry.item)
            .inspect(|_| messages += 1);
        let deliver = || session.deliver(&mut items, self.tools, reply);
        let result = catch_unwind(AssertUnwindSafe(deliver));
        if let Heartbeat::At(due) = session.heartbeat() {
            self.connections.wheel.set_earlier(key.slot, due);
        }
        let held = session.held_bytes();
        if self.connections.is_plain(key) {
            self.connections.hold(key, held);
        }
        self.connections.note_held(key);
        if result.is_err() {
            reply.clear();
            self.connections.counters.panicked();
            self.connections.doom(key, CloseReason::Fault);
        }
        let traffic = std::mem::take(&mut self.tools.traffic);
        self.connections.counters.delivered(traffic.messages_out);
        self.connections.send(key, reply, messages);
        self.buffers.release();
    }

    /// Flags, or unflags, those of `members` that hear less than the whole batch.
    fn set_special(&mut self, flush: &Flush, members: &[MemberKey], flag: u16) {
        let mut set = |key: &MemberKey| {
            if let Some(hot) = self.connections.hot.get_mut(key.slot as usize) {
                hot.flags = hot.flags & !SPECIAL | flag;
            }
        };
        let is_only = |entry: &Entry| matches!(entry.hearers, Hearers::Only(_));
        if flush.entries.len() > 1 && flush.entries.iter().any(is_only) {
            members.iter().for_each(&mut set);
        }
        for entry in flush.entries.iter().filter(|entry| !is_only(entry)) {
            entry.hearers.named().iter().for_each(&mut set);
        }
        flush.late.keys().for_each(set);
    }
}

//! Rooms made, kept for their history, and freed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::effect::{Effect, Effects};
use crate::history::History;
use crate::home::Home;
use crate::hub::Hub;
use crate::message::Message;
use crate::refused::Refused;
use crate::request::Counts;
use crate::room::{Keyed, Room, RoomKey, RoomName};

/// What a hub keeps about the rooms whose home it is, taken together.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// The shell's last tick.
    now_ms: u64,
    homed: usize,
    epochs_drawn: u64,
    history: Held,
    /// Rooms that only their history keeps, by the order in which they lost their last member.
    empty: BTreeMap<u64, RoomKey>,
    emptied: u64,
    /// When rooms have messages to forget; at most one entry a room. An entry may be early, never
    /// late: publishing does not touch it while there is one.
    due: BTreeSet<(u64, RoomKey)>,
    rooms_evicted: u64,
    history_shed: u64,
}

/// What logs hold.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: usize,
    messages: usize,
}

impl Held {
    fn of(log: Option<&dyn History>) -> Self {
        log.map_or_else(Self::default, |log| Self {
            bytes: log.bytes(),
            messages: log.messages(),
        })
    }

    /// A log that held `before` holds `after`.
    fn change(&mut self, before: Self, after: Self) {
        self.bytes = (self.bytes + after.bytes).saturating_sub(before.bytes);
        self.messages = (self.messages + after.messages).saturating_sub(before.messages);
    }
}

impl Hub {
    /// Tells the time, in milliseconds from any beginning, never going back; messages kept from
    /// now on count their age from here. Forgets what is too old and frees rooms that nothing
    /// keeps any more.
    ///
    /// Returns when there is more to forget: the shell ticks again then, or sooner. One call
    /// treats at most 4,096 rooms; if there are more, the time returned is not in the future.
    pub fn tick(&mut self, now_ms: u64, effects: &mut Effects) -> Option<u64> {
        self.upkeep.now_ms = self.upkeep.now_ms.max(now_ms);
        let now_ms = self.upkeep.now_ms;
        for _ in 0..TICK_ROOMS_MAX {
            let Some((due_ms, key)) = self.upkeep.due.first().copied() else {
                break;
            };
            if due_ms > now_ms {
                break;
            }
            self.upkeep.due.pop_first();
            if let Some(home) = self.home_mut(key) {
                home.due_ms = None;
                let before = Held::of(home.log.as_deref());
                if let Some(log) = &mut home.log {
                    log.expire(now_ms);
                }
                let after = Held::of(home.log.as_deref());
                self.upkeep.history.change(before, after);
                self.schedule(key);
                self.settle(key, effects);
            }
        }
        self.upkeep.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// How much the hub holds now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            members: self.members.len(),
            rooms: self.rooms.len(),
            rooms_homed: self.upkeep.homed,
            rooms_empty: self.upkeep.empty.len(),
            history_bytes: self.upkeep.history.bytes,
            history_messages: self.upkeep.history.messages,
            rooms_evicted: self.upkeep.rooms_evicted,
            history_shed: self.upkeep.history_shed,
        }
    }

    /// The room, made if this shard does not know it.
    pub(crate) fn open(
        &mut self,
        name: &RoomName,
        effects: &mut Effects,
    ) -> Result<RoomKey, Refused> {
        if let Some(key) = self.rooms.find(name) {
            return Ok(key);
        }
        let shard = self.home_of(name);
        let options = self.table.options(name.as_str());
        let class = options.class;
        let mut home = None;
        if shard == self.shard {
            let history = options.has_history();
            let log = history.then(|| self.histories.open(name, options));
            let max = self.limits.rooms_max.div_ceil(self.shards.into());
            if self.upkeep.homed >= max && !self.evict(None, effects) {
                return Err(Refused::LimitRooms { max });
            }
            self.upkeep.homed += 1;
            let held = Held::of(log.as_deref());
            self.upkeep.history.change(Held::default(), held);
            home = Some(Box::new(Home::new(self.draw_epoch(), log)));
        }
        let key = self.rooms.insert(Room {
            name: name.clone(),
            members: Vec::new(),
            pending: 0,
            shard,
            class,
            home,
        });
        self.schedule(key);
        Ok(key)
    }

    /// Keeps a message of the room, if the room keeps any.
    pub(crate) fn keep(&mut self, key: RoomKey, message: &Arc<Message>, effects: &mut Effects) {
        let now_ms = self.upkeep.now_ms;
        let Some(log) = self.home_mut(key).and_then(|home| home.log.as_mut()) else {
            return;
        };
        let before = Held::of(Some(&**log));
        log.append(now_ms, message);
        let after = Held::of(Some(&**log));
        self.upkeep.history.change(before, after);
        self.schedule(key);
        let max = self.limits.history_bytes_total.div_ceil(self.shards.into());
        while self.upkeep.history.bytes > max {
            if !self.evict(Some(key), effects) && !self.shed(key) {
                break;
            }
        }
    }

    /// Frees the room if nothing holds it any more.
    pub(crate) fn settle(&mut self, key: RoomKey, effects: &mut Effects) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if room.population() > 0 || room.pending > 0 {
            return;
        }
        match &mut room.home {
            Some(home) if home.keeps_history() => {
                if home.empty.is_none() {
                    self.upkeep.emptied += 1;
                    home.empty = Some(self.upkeep.emptied);
                    self.upkeep.empty.insert(self.upkeep.emptied, key);
                }
            }
            Some(_) | None => self.free(key, effects),
        }
    }

    /// The room has a member again.
    pub(crate) fn occupy(&mut self, key: RoomKey) {
        if let Some(empty) = self.home_mut(key).and_then(|home| home.empty.take()) {
            self.upkeep.empty.remove(&empty);
        }
    }

    /// Frees the room that has been empty longest, but not `except`; false if there is none.
    fn evict(&mut self, except: Option<RoomKey>, effects: &mut Effects) -> bool {
        let mut longest = self.upkeep.empty.values().copied();
        let Some(key) = longest.find(|key| Some(*key) != except) else {
            return false;
        };
        self.upkeep.rooms_evicted += 1;
        self.free(key, effects);
        true
    }

    /// Drops the oldest message of a room, to save memory.
    fn shed(&mut self, key: RoomKey) -> bool {
        let Some(log) = self.home_mut(key).and_then(|home| home.log.as_mut()) else {
            return false;
        };
        let before = Held::of(Some(&**log));
        let shed = log.shed();
        let after = Held::of(Some(&**log));
        self.upkeep.history.change(before, after);
        self.upkeep.history_shed += u64::from(shed);
        shed
    }

    fn free(&mut self, key: RoomKey, effects: &mut Effects) {
        let Some(room) = self.rooms.remove(key) else {
            return;
        };
        if let Some(home) = room.home {
            self.upkeep.homed -= 1;
            let held = Held::of(home.log.as_deref());
            self.upkeep.history.change(held, Held::default());
            if let Some(empty) = home.empty {
                self.upkeep.empty.remove(&empty);
            }
            if let Some(due_ms) = home.due_ms {
                self.upkeep.due.remove(&(due_ms, key));
            }
        }
        effects.push(Effect::Freed { room: key });
    }

    /// Notes when the room has something to forget, unless that is noted.
    fn schedule(&mut self, key: RoomKey) {
        let earliest_ms = self.upkeep.now_ms + 1;
        let Some(home) = self.home_mut(key) else {
            return;
        };
        let due_ms = home.log.as_ref().and_then(|log| log.due_ms());
        if let (None, Some(due_ms)) = (home.due_ms, due_ms) {
            // Never now, or a tick would not end.
            let due_ms = due_ms.max(earliest_ms);
            home.due_ms = Some(due_ms);
            self.upkeep.due.insert((due_ms, key));
        }
    }

    fn draw_epoch(&mut self) -> u32 {
        self.upkeep.epochs_drawn += 1;
        let drawn = Keyed(self.seeds.epochs).hash_one((self.shard, self.upkeep.epochs_drawn));
        let [a, b, c, d, ..] = drawn.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Rooms treated by one tick.
const TICK_ROOMS_MAX: usize = 4096;

//! The oracle's idea of history: which messages a room still holds, which rooms live for that
//! alone, and what a returning member must be told.

use std::collections::VecDeque;

use parlor_hub::{Counts, Gap, Message, MessageId, Refused, Resume, RoomName, ShardId};

use crate::model::{Heard, Model, Place};

#[derive(Debug)]
pub(crate) struct Kept {
    at_ms: u64,
    cost: usize,
    heard: Heard,
}

impl Model {
    /// The room begins a life, if it has none.
    pub(crate) fn begin(&mut self, room: &RoomName) -> Result<(), Refused> {
        if self.rooms.contains_key(room) {
            return Ok(());
        }
        let home = self.home_of(room);
        let max = self.limits.rooms_max.div_ceil(self.shards.into());
        if self.homed(home).count() >= max && !self.evict(home, None) {
            return Err(Refused::LimitRooms { max });
        }
        self.lives.push(Vec::new());
        let life = self.lives.len() - 1;
        let place = Place {
            life,
            ..Place::default()
        };
        self.rooms.insert(room.clone(), place);
        Ok(())
    }

    /// Whether a room could begin a life without being refused.
    pub(crate) fn may_begin(&self, room: &RoomName) -> Result<(), Refused> {
        let home = self.home_of(room);
        let max = self.limits.rooms_max.div_ceil(self.shards.into());
        let mut empty = self.homed(home).filter(|(_, place)| place.empty.is_some());
        let full = self.homed(home).count() >= max && empty.next().is_none();
        if full && !self.rooms.contains_key(room) {
            return Err(Refused::LimitRooms { max });
        }
        Ok(())
    }

    pub(crate) fn keep(&mut self, room: &RoomName, heard: &Heard, event_bytes: usize) {
        let home = self.home_of(room);
        let at_ms = self.now_ms[usize::from(home.0)];
        let options = self.table.options(room.as_str()).clone();
        let Some(place) = self.rooms.get_mut(room) else {
            return;
        };
        self.lives[place.life].push(heard.clone());
        if !options.has_history() {
            return;
        }
        let cost = size_of::<Message>() + 8 + event_bytes;
        let heard = heard.clone();
        place.kept.push_back(Kept { at_ms, cost, heard });
        while place.kept.len() > options.history_messages
            || bytes(&place.kept) > options.history_bytes
        {
            place.kept.pop_front();
        }
        let max = self.limits.history_bytes_total.div_ceil(self.shards.into());
        while self.history_bytes(home) > max {
            let evicted = self.evict(home, Some(room));
            let place = self.rooms.get_mut(room);
            if !evicted && place.is_none_or(|place| place.kept.pop_front().is_none()) {
                break;
            }
        }
    }

    /// The room ends if nothing keeps it.
    pub(crate) fn settle(&mut self, room: &RoomName) {
        let Some(place) = self.rooms.get_mut(room) else {
            return;
        };
        if !place.members.is_empty() {
            place.empty = None;
        } else if place.kept.is_empty() {
            self.rooms.remove(room);
        } else if place.empty.is_none() {
            self.emptied += 1;
            place.empty = Some(self.emptied);
        }
    }

    pub(crate) fn tick(&mut self, home: ShardId, now_ms: u64) {
        self.now_ms[usize::from(home.0)] = now_ms;
        let rooms: Vec<RoomName> = self.homed(home).map(|(room, _)| room.clone()).collect();
        for room in rooms {
            let age = self.table.options(room.as_str()).history_age;
            let age_ms = u64::try_from(age.as_millis()).unwrap();
            let place = self.rooms.get_mut(&room).unwrap();
            place.kept.retain(|kept| kept.at_ms + age_ms > now_ms);
            self.settle(&room);
        }
    }

    /// What a returning member must be told, which is also compared with all that was ever said:
    /// either it hears everything after what it has heard, or it is told of a gap.
    pub(crate) fn replay(
        &self,
        place: &Place,
        resume: Option<Resume>,
    ) -> (Vec<Heard>, Option<Option<u64>>) {
        let oldest = place.kept.front().map(|kept| kept.heard.offset());
        let held: Vec<Heard> = place.kept.iter().map(|kept| kept.heard.clone()).collect();
        let said = &self.lives[place.life];
        let id = match resume {
            None => return (Vec::new(), None),
            Some(Resume::Last(count)) => {
                let skipped = held.len().saturating_sub(count);
                return (held[skipped..].to_vec(), None);
            }
            Some(Resume::Since(id)) => id,
        };
        let is_ours = self.epochs.get(&place.life) == Some(&id.epoch) && id.offset <= place.head;
        let heard = usize::try_from(id.offset).unwrap_or(usize::MAX);
        let missed = said.get(heard..).filter(|_| is_ours).map(<[Heard]>::to_vec);
        match missed {
            Some(missed) if missed.len() <= held.len() => (missed, None),
            _ => (held, Some(oldest)),
        }
    }

    /// Compares how much the hub of a shard says that it holds.
    pub(crate) fn check_counts(&self, home: ShardId, counts: Counts) -> Result<(), String> {
        let rooms = self.homed(home).count();
        let empty = self.homed(home).filter(|(_, place)| place.empty.is_some());
        let kept: usize = self.homed(home).map(|(_, place)| place.kept.len()).sum();
        let expected = (rooms, empty.count(), self.history_bytes(home), kept);
        let told = (
            counts.rooms_homed,
            counts.rooms_empty,
            counts.history_bytes,
            counts.history_messages,
        );
        if expected != told {
            return Err(format!("{home:?} holds {told:?}, expected {expected:?}"));
        }
        Ok(())
    }

    fn evict(&mut self, home: ShardId, except: Option<&RoomName>) -> bool {
        let empty = self.homed(home).filter(|(room, _)| Some(*room) != except);
        let empty = empty.filter_map(|(room, place)| Some((place.empty?, room.clone())));
        let Some((_, longest)) = empty.min() else {
            return false;
        };
        self.rooms.remove(&longest);
        true
    }

    fn history_bytes(&self, home: ShardId) -> usize {
        self.homed(home).map(|(_, place)| bytes(&place.kept)).sum()
    }

    fn homed(&self, home: ShardId) -> impl Iterator<Item = (&RoomName, &Place)> {
        let rooms = self.rooms.iter();
        rooms.filter(move |(room, _)| self.home_of(room) == home)
    }
}

/// A gap as the oracle notes it: the offset of the oldest message held.
pub(crate) fn gap_of(gap: Option<Gap>, head: MessageId) -> Result<Option<Option<u64>>, String> {
    let Some(Gap { oldest }) = gap else {
        return Ok(None);
    };
    if oldest.is_some_and(|oldest| oldest.epoch != head.epoch) {
        return Err(format!("the oldest message, {oldest:?}, is not of {head}"));
    }
    Ok(Some(oldest.map(|oldest| oldest.offset)))
}

fn bytes(kept: &VecDeque<Kept>) -> usize {
    kept.iter().map(|kept| kept.cost).sum()
}

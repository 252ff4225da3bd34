//! What the home of a room knows: the last offset, the members on other shards, and the history.
//! `sequence.rs` gives joins, leaves and messages their order by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::history::{Gap, History, Resume};
use crate::member::{MemberId, MemberKey, Peer, Profile, SECRET, ShardId};
use crate::message::{Message, MessageId};
use crate::room::Room;

/// What only the home of a room knows.
#[derive(Debug)]
pub(crate) struct Home {
    epoch: u32,
    /// The last offset given.
    head: u64,
    /// What the room keeps, if it keeps anything.
    pub(crate) log: Option<Box<dyn History>>,
    /// When the log has something to forget, as noted in the hub's schedule.
    pub(crate) due_ms: Option<u64>,
    /// The room's number among the empty ones, while only its history keeps it.
    pub(crate) empty: Option<u64>,
    /// Members on other shards. Those of this shard are in the room's own list and the shard's
    /// table of members.
    pub(crate) remote: BTreeMap<Seat, Remote>,
    /// Other shards that have members of the room, and how many.
    pub(crate) shards: Vec<(ShardId, u32)>,
}

/// Where a member is. It sorts as the member's id does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub(crate) shard: ShardId,
    pub(crate) slot: u32,
}

/// A member on another shard: which use of its slot, and what others are told of it.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) generation: u32,
    pub(crate) secret: [u8; SECRET],
    pub(crate) profile: Option<Box<Profile>>,
}

impl Home {
    pub(crate) fn new(epoch: u32, log: Option<Box<dyn History>>) -> Self {
        let last = log.as_ref().and_then(|log| log.last());
        let MessageId {
            epoch,
            offset: head,
        } = last.unwrap_or(MessageId { epoch, offset: 0 });
        Self {
            epoch,
            head,
            log,
            due_ms: None,
            empty: None,

            remote: BTreeMap::new(),
            shards: Vec::new(),
        }
    }

    pub(crate) const fn head(&self) -> MessageId {
        MessageId::new(self.epoch, self.head)
    }

    /// Gives the next place.
    pub(crate) fn advance(&mut self) -> MessageId {
        self.head += 1;
        self.head()
    }

    /// Whether the room holds messages that would go with it.
    pub(crate) fn keeps_history(&self) -> bool {
        let log = self.log.as_ref().filter(|log| !log.outlives_room());
        log.is_some_and(|log| log.oldest().is_some())
    }

    /// What a returning member missed, and whether some of that is gone.
    pub(crate) fn replay(&self, resume: Option<Resume>) -> (Vec<Arc<Message>>, Option<Gap>) {
        let after = |offset| {
            self.log
                .as_ref()
                .map_or_else(Vec::new, |log| log.after(offset))
        };
        match resume {
            None => (Vec::new(), None),
            Some(Resume::Last(count)) => {
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                (after(self.head.saturating_sub(count)), None)
            }
            Some(Resume::Since(id)) => {
                let is_ours = id.epoch == self.epoch && id.offset <= self.head;
                let oldest = self.oldest();
                let next = id.offset.saturating_add(1);
                let is_held = oldest.is_some_and(|oldest| oldest <= next);
                if is_ours && (id.offset == self.head || is_held) {
                    return (after(id.offset), None);
                }
                let oldest = oldest.map(|offset| MessageId::new(self.epoch, offset));
                (after(0), Some(Gap { oldest }))
            }
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.log.as_ref()?.oldest()
    }

    pub(crate) fn enter(&mut self, seat: Seat, remote: Remote) {
        if self.remote.insert(seat, remote).is_some() {
            return;
        }
        match self
            .shards
            .iter_mut()
            .find(|(shard, _)| *shard == seat.shard)
        {
            Some((_, count)) => *count += 1,
            None => self.shards.push((seat.shard, 1)),
        }
    }

    pub(crate) fn exit(&mut self, seat: Seat, generation: u32) -> Option<Remote> {
        if self.remote.get(&seat)?.generation != generation {
            return None;
        }
        let remote = self.remote.remove(&seat)?;
        let at = self
            .shards
            .iter()
            .position(|(shard, _)| *shard == seat.shard)?;
        self.shards[at].1 -= 1;
        if self.shards[at].1 == 0 {
            self.shards.swap_remove(at);
        }
        Some(remote)
    }

    pub(crate) fn holds(&self, shard: ShardId, member: MemberKey) -> bool {
        let remote = self.remote.get(&Seat {
            shard,
            slot: member.slot,
        });
        remote.is_some_and(|remote| remote.generation == member.generation)
    }
}

impl Remote {
    pub(crate) fn peer(&self, seat: Seat) -> Peer {
        let id = MemberId::new(seat.shard, seat.slot, self.secret);
        Peer::new(id, self.profile.as_deref())
    }
}

impl Room {
    /// Members on all shards, as far as this shard knows: all of them at the home.
    pub(crate) fn population(&self) -> usize {
        self.members.len() + self.home.as_ref().map_or(0, |home| home.remote.len())
    }
}

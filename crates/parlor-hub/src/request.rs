//! What callers give to the hub beside names and keys, and what it tells of itself.

use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;

use crate::history::Resume;
use crate::member::{MemberId, ShardId};
use crate::room::{Keyed, RoomName};

/// Random numbers that the hub needs once.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// Decides which shard is the home of a room, so it is the same on all shards. Secret, or
    /// clients could choose names that all live on one shard.
    pub placement: u64,
    /// From which the epochs of rooms are drawn. It must differ in each run of the server: an
    /// epoch that comes again would hide a gap.
    pub epochs: u64,
}

impl Seeds {
    /// Which of `shards` gives the order of a room, as [`Hub::home_of`](crate::Hub::home_of) tells
    /// it; for those who have no hub.
    #[must_use]
    pub fn home_of(&self, room: &RoomName, shards: u16) -> ShardId {
        let [a, b, c, d, ..] = Keyed(self.placement).hash_one(room).to_be_bytes();
        // Scaling the high half is as even as a remainder, and needs no narrowing.
        let scaled = u64::from(u32::from_be_bytes([a, b, c, d])) * u64::from(shards.max(1));
        let [_, _, high, low, ..] = scaled.to_be_bytes();
        ShardId(u16::from_be_bytes([high, low]))
    }
}

/// How a member joins.
#[derive(Clone, Debug, Default)]
pub struct JoinOptions {
    /// Carried back by [`Joined`](crate::Joined) or [`Effect::Refused`](crate::Effect::Refused).
    pub token: Option<u64>,
    /// The member's new name; it keeps the one it has where none is given. A name belongs to the
    /// member, not to the room: its other rooms are told.
    pub name: Option<Arc<str>>,
    /// The member's new presence data, one JSON value; as with the name.
    pub data: Option<Bytes>,
    /// Whether to tell who else is there.
    pub roster: bool,
    /// What to replay; nothing where none is given.
    pub resume: Option<Resume>,
}

/// Which part of a room's members to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page {
    /// Carried back by [`Effect::Listed`](crate::Effect::Listed).
    pub token: Option<u64>,
    /// The last id of the page before; none for the first page. It may be of a member that has
    /// left since.
    pub after: Option<MemberId>,
}

/// How much a hub holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connected members of this shard.
    pub members: usize,
    /// Rooms that this shard knows: those whose home is here, and those with members here.
    pub rooms: usize,
    /// Rooms whose home is here. Their sum over all shards is the number of rooms.
    pub rooms_homed: usize,
    /// Those of them that have no member and live for their history.
    pub rooms_empty: usize,
    /// Bytes of history held here.
    pub history_bytes: usize,
    /// Messages of history held here.
    pub history_messages: usize,
    /// Rooms freed before their history had expired, to make space. Since the hub was made.
    pub rooms_evicted: u64,
    /// Messages dropped from histories because of the bound over all rooms. Since the hub was
    /// made.
    pub history_shed: u64,
}

//! Who is in a room: rosters, and the news of who comes, goes and changes.

use std::sync::Arc;

use crate::history::{Gap, Resume};
use crate::home::{Home, Seat};
use crate::hub::Hub;
use crate::member::{MemberId, Peer, ShardId};
use crate::message::Message;
use crate::room::{Room, RoomName};

/// Members of a room, sorted by id, the asking member left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The members, at most
    /// [`Limits::roster_members_max`](crate::Limits::roster_members_max) and within
    /// [`Limits::roster_bytes_max`](crate::Limits::roster_bytes_max).
    pub peers: Vec<Peer>,
    /// Whether there are others after the last one told.
    pub more: bool,
}

/// What happened in a room. None is sent while the room has more members than
/// [`Limits::presence_members_max`](crate::Limits::presence_members_max).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a door must know every notice")]
pub enum Notice {
    /// A member joined.
    PeerJoined(Peer),
    /// A member left or lost its connection.
    PeerLeft(Peer),
    /// A member changed its name or presence data.
    Presence(Peer),
}

impl Roster {
    /// What the roster costs in memory, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let told: usize = self.peers.iter().map(Peer::cost).sum();
        size_of::<Self>() + self.peers.len() * size_of::<Peer>() + told
    }
}

impl Notice {
    /// The member that it is about.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        match self {
            Self::PeerJoined(peer) | Self::PeerLeft(peer) | Self::Presence(peer) => peer,
        }
    }

    /// The id of the member that it is about.
    #[must_use]
    pub const fn id(&self) -> MemberId {
        self.peer().id
    }
}

impl Hub {
    /// Who is in a room whose home is this shard, sorted by id, from after the id `after` on.
    /// Nobody where the room is not known here.
    #[must_use]
    pub fn peers(&self, room: &RoomName, after: Option<MemberId>) -> Roster {
        self.homed(room)
            .map_or_else(Roster::default, |(room, home)| {
                self.roster(room, home, after, None)
            })
    }

    /// How many members a room has whose home is this shard, over all shards.
    #[must_use]
    pub fn population(&self, room: &RoomName) -> usize {
        self.homed(room).map_or(0, |(room, _)| room.population())
    }

    /// What a room keeps whose home is this shard, as a member that joins with `resume` would be
    /// told it. Nothing where the room is not known here.
    #[must_use]
    pub fn replay(&self, room: &RoomName, resume: Resume) -> (Vec<Arc<Message>>, Option<Gap>) {
        let gap = matches!(resume, Resume::Since(_)).then_some(Gap { oldest: None });
        self.homed(room)
            .map_or_else(|| (Vec::new(), gap), |(_, home)| home.replay(Some(resume)))
    }

    fn homed(&self, room: &RoomName) -> Option<(&Room, &Home)> {
        let room = self.rooms.get(self.rooms.find(room)?)?;
        Some((room, room.home.as_deref()?))
    }

    /// The members after `after`, but the one who asks.
    pub(crate) fn roster(
        &self,
        room: &Room,
        home: &Home,
        after: Option<MemberId>,
        asking: Option<Seat>,
    ) -> Roster {
        let after = after.map(|id| Seat {
            shard: id.shard(),
            slot: id.slot(),
        });
        let is_after =
            |seat: &Seat| Some(*seat) != asking && after.is_none_or(|after| *seat > after);
        let max = self.limits.roster_members_max;
        let shard = self.shard;
        let local = room.members.iter().map(|member| Seat {
            shard,
            slot: member.slot,
        });
        let mut seats: Vec<Seat> = local.filter(is_after).collect();
        if seats.len() > max + 1 {
            // Cheaper than to sort a large room.
            seats.select_nth_unstable(max);
            seats.truncate(max + 1);
        }
        let from = after.unwrap_or(Seat {
            shard: ShardId(0),
            slot: 0,
        });
        let remote = home.remote.range(from..).map(|(seat, _)| *seat);
        seats.extend(remote.filter(is_after).take(max + 1));
        seats.sort_unstable();

        let mut roster = Roster::default();
        let mut bytes = 0;
        for seat in seats {
            let Some(peer) = self.peer_at(home, seat) else {
                continue;
            };
            bytes += peer.cost();
            let full = roster.peers.len() >= max;
            if full || (bytes > self.limits.roster_bytes_max && !roster.peers.is_empty()) {
                roster.more = true;
                break;
            }
            roster.peers.push(peer);
        }
        roster
    }

    fn peer_at(&self, home: &Home, seat: Seat) -> Option<Peer> {
        if seat.shard == self.shard {
            let member = self.members.at(seat.slot)?;
            return Some(member.peer(seat.shard, seat.slot));
        }
        home.remote.get(&seat).map(|remote| remote.peer(seat))
    }
}

//! Who is in a room: rosters, and the news of who comes, goes and changes.

use crate::member::{MemberId, Peer};

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

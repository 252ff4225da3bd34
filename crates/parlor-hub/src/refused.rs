//! Why the hub refuses.

/// Why a verb was refused. A verb that returns it has changed nothing; the same reasons come in
/// [`Effect::Refused`](crate::Effect::Refused) where the room's home decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The key names no connected member; its connection has ended.
    #[error("no such member")]
    UnknownMember,
    /// The member is in the room already, or about to be.
    #[error("already in the room")]
    AlreadyJoined,
    /// The member is not in the room.
    #[error("not in the room")]
    NotJoined,
    /// No member with this id shares the room.
    #[error("no such peer in a shared room")]
    UnknownPeer,
    /// The member is in as many rooms as it may be.
    #[error("a member is in at most {max} rooms")]
    LimitRoomsPerMember {
        /// The bound.
        max: usize,
    },
    /// The room is full.
    #[error("a room has at most {max} members")]
    LimitMembersPerRoom {
        /// The bound.
        max: usize,
    },
    /// The server has as many rooms as it may have, and none of them is empty.
    #[error("no room for another room: {max} on this shard")]
    LimitRooms {
        /// The bound, this shard's share.
        max: usize,
    },
    /// Too many joins and leaves of one room wait for their answer.
    #[error("at most {max} joins and leaves of a room may be in flight")]
    LimitInFlight {
        /// The bound.
        max: usize,
    },
    /// The name is too long.
    #[error("a name of {value} bytes where {max} are allowed")]
    LimitName {
        /// The bound, in bytes.
        max: usize,
        /// The size of what was given.
        value: usize,
    },
    /// The presence data is too long.
    #[error("presence data of {value} bytes where {max} are allowed")]
    LimitPresence {
        /// The bound, in bytes.
        max: usize,
        /// The size of what was given.
        value: usize,
    },
    /// The caller connected a member in a slot that has not been disconnected.
    #[error("the slot is in use")]
    MisuseSlotInUse,
    /// The caller named no room for a message that is not to one member.
    #[error("only a message to one member goes without a room")]
    MisuseAudience,
}

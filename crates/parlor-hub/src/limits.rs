//! The bounds of the hub, in one place.

/// What one hub holds at most. Every bound is checked where the thing it bounds is kept.
///
/// The two totals ([`rooms_max`](Self::rooms_max) and
/// [`history_bytes_total`](Self::history_bytes_total)) are those of the whole server: each shard
/// takes an equal share of them, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rooms that one member may be in, joins in flight included. Default 256. Past it a join is
    /// refused with [`Refused::LimitRoomsPerMember`](crate::Refused::LimitRoomsPerMember).
    pub rooms_per_member_max: usize,
    /// Members of one room, over all shards. Default 1,000,000. Past it a join is refused with
    /// [`Refused::LimitMembersPerRoom`](crate::Refused::LimitMembersPerRoom).
    pub members_per_room_max: usize,
    /// Rooms of the server. Default 100,000. Past it the room that has been empty longest goes;
    /// where no room is empty, a join is refused with
    /// [`Refused::LimitRooms`](crate::Refused::LimitRooms).
    pub rooms_max: usize,
    /// Joins and leaves of one member in one room whose answer has not come. Default 16, at most
    /// 255. Past it: [`Refused::LimitInFlight`](crate::Refused::LimitInFlight).
    pub in_flight_max: u8,
    /// Bytes of a member's name. Default 128.
    pub name_bytes_max: usize,
    /// Bytes of a member's presence data. Default 4,096.
    pub presence_bytes_max: usize,
    /// A room with more members than this sends no notices. Default 1,000.
    pub presence_members_max: usize,
    /// Members told in one roster; what is beyond is told by
    /// [`Roster::more`](crate::Roster::more). Default 1,000.
    pub roster_members_max: usize,
    /// Bytes of names and presence data in one roster, so that one answer stays sendable.
    /// Default 524,288. At least one member is always told.
    pub roster_bytes_max: usize,
    /// Bytes of history over all rooms of the server. Default 268,435,456 (256 MiB). Past it the
    /// rooms that have been empty longest go, then the publishing room loses its oldest messages.
    pub history_bytes_total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms_per_member_max: 256,
            members_per_room_max: 1_000_000,
            rooms_max: 100_000,
            in_flight_max: 16,
            name_bytes_max: 128,
            presence_bytes_max: 4096,
            presence_members_max: 1000,
            roster_members_max: 1000,
            roster_bytes_max: 512 * 1024,
            history_bytes_total: 256 * 1024 * 1024,
        }
    }
}

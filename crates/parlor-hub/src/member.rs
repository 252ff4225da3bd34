//! Members: their names, and the compact table in which a shard keeps its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::Sender;
use crate::refused::Refused;
use crate::room::RoomKey;

/// A shard of this server, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A shard's own name of one of its connections: a slot of the shard's table and the generation
/// of that slot. A slot may be used again with another generation; a key of an earlier generation
/// then names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey {
    /// The slot; the hub's table is as long as the highest one, so slots are to be dense.
    pub slot: u32,
    /// Which use of the slot.
    pub generation: u32,
}

/// The public id of a member: shard, slot, and ten random bytes that make it unguessable.
///
/// Shard and slot lead to the member without a directory; all sixteen bytes are then compared.
/// Ids sort by shard, then by slot. The text form is 22 characters of base64url without padding
/// (RFC 4648, section 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId([u8; 16]);

/// Text that is not a [`MemberId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a member id of 22 base64url characters")]
pub struct MalformedMemberId;

/// What others see of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The member's id.
    pub id: MemberId,
    /// The name, at most [`Limits::name_bytes_max`](crate::Limits::name_bytes_max) bytes.
    pub name: Option<Arc<str>>,
    /// Presence data, one JSON value, at most
    /// [`Limits::presence_bytes_max`](crate::Limits::presence_bytes_max) bytes.
    pub data: Option<Bytes>,
}

/// Name and presence data; most members have neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) data: Option<Bytes>,
}

/// A member's place in one room, on the member's own shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) room: RoomKey,
    /// Index in the room's list; [`UNSEATED`] while the member is not in it.
    pub(crate) position: u32,
    /// Whether the last verb was a join.
    pub(crate) wanted: bool,
    /// Joins and leaves whose answer has not come.
    pub(crate) in_flight: u8,
}

/// One slot of the table.
#[derive(Debug, Default)]
pub(crate) struct Member {
    generation: u32,
    secret: [u8; SECRET],
    live: bool,
    /// Nearly every member is in one room: that one needs no allocation.
    first: Option<Membership>,
    extra: Option<Box<Extra>>,
}

/// What a member of two rooms has.
#[derive(Debug, Default)]
struct Extra {
    second: Option<Membership>,
    rare: Option<Box<Rare>>,
}

/// What few members have.
#[derive(Debug, Default)]
struct Rare {
    profile: Profile,
    /// Rooms beyond the second, sorted by key.
    more: Vec<Membership>,
}

/// All slots of a shard.
#[derive(Debug, Default)]
pub(crate) struct Members {
    slots: Vec<Member>,
    live: usize,
}

impl MemberId {
    /// The id of the member in `slot` of `shard`. The secret is to come from a source that nobody
    /// can guess.
    #[must_use]
    pub const fn new(shard: ShardId, slot: u32, secret: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        let (head, tail) = bytes.split_at_mut(6);
        let (a, b) = head.split_at_mut(2);
        a.copy_from_slice(&shard.0.to_be_bytes());
        b.copy_from_slice(&slot.to_be_bytes());
        tail.copy_from_slice(&secret);
        Self(bytes)
    }

    /// The sixteen bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The shard that the member is on.
    #[must_use]
    pub const fn shard(&self) -> ShardId {
        ShardId(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    /// The slot in that shard.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        u32::from_be_bytes([self.0[2], self.0[3], self.0[4], self.0[5]])
    }

    pub(crate) fn secret(&self) -> [u8; SECRET] {
        let mut secret = [0; SECRET];
        secret.copy_from_slice(&self.0[6..]);
        secret
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; ID_TEXT];
        let mut bits = 0u32;
        let mut held = 0;
        let mut bytes = self.0.iter();
        for out in &mut text {
            if held < 6 {
                // The last character holds two bits of the id and four zero bits.
                bits = bits << 8 | u32::from(bytes.next().copied().unwrap_or(0));
                held += 8;
            }
            held -= 6;
            *out = ALPHABET[(bits >> held & 63) as usize];
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberId({self})")
    }
}

impl FromStr for MemberId {
    type Err = MalformedMemberId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != ID_TEXT {
            return Err(MalformedMemberId);
        }
        let mut value = 0u128;
        let mut last = 0;
        for (index, byte) in text.bytes().enumerate() {
            last = sextet(byte).ok_or(MalformedMemberId)?;
            if index + 1 < ID_TEXT {
                value = value << 6 | u128::from(last);
            }
        }
        // Two bits of the last character count; the other four must be zero, or one id would
        // have several texts.
        if last & 0b1111 != 0 {
            return Err(MalformedMemberId);
        }
        value = value << 2 | u128::from(last >> 4);
        Ok(Self(value.to_be_bytes()))
    }
}

impl Member {
    pub(crate) fn id(&self, shard: ShardId, slot: u32) -> MemberId {
        MemberId::new(shard, slot, self.secret)
    }

    pub(crate) fn profile(&self) -> Option<&Profile> {
        self.rare().map(|rare| &rare.profile)
    }

    fn rare(&self) -> Option<&Rare> {
        self.extra.as_deref()?.rare.as_deref()
    }

    fn rare_or_new(&mut self) -> &mut Rare {
        let extra = self.extra.get_or_insert_default();
        extra.rare.get_or_insert_default()
    }

    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        self.profile()?.name.as_ref()
    }

    pub(crate) fn sender(&self, shard: ShardId, slot: u32) -> Sender {
        Sender {
            id: self.id(shard, slot),
            name: self.name().cloned(),
        }
    }

    pub(crate) fn peer(&self, shard: ShardId, slot: u32) -> Peer {
        Peer::new(self.id(shard, slot), self.profile())
    }

    /// Replaces what is given; true if that changed anything.
    pub(crate) fn update(&mut self, name: Option<Arc<str>>, data: Option<Bytes>) -> bool {
        if name.is_none() && data.is_none() {
            return false;
        }
        let profile = &mut self.rare_or_new().profile;
        let mut changed = false;
        if name.is_some() && profile.name != name {
            profile.name = name;
            changed = true;
        }
        if data.is_some() && profile.data != data {
            profile.data = data;
            changed = true;
        }
        changed
    }

    pub(crate) fn membership(&self, room: RoomKey) -> Option<&Membership> {
        let second = || self.extra.as_deref()?.second.as_ref();
        let is_it = |held: &&Membership| held.room == room;
        let few = self.first.as_ref().filter(is_it);
        few.or_else(|| second().filter(is_it)).or_else(|| {
            let more = &self.rare()?.more;
            more.get(place(more, room).ok()?)
        })
    }

    pub(crate) fn membership_mut(&mut self, room: RoomKey) -> Option<&mut Membership> {
        if self.first.is_some_and(|first| first.room == room) {
            return self.first.as_mut();
        }
        let extra = self.extra.as_deref_mut()?;
        if extra.second.is_some_and(|second| second.room == room) {
            return extra.second.as_mut();
        }
        let more = &mut extra.rare.as_deref_mut()?.more;
        let at = place(more, room).ok()?;
        more.get_mut(at)
    }

    /// The membership of `room`, made if there is none.
    pub(crate) fn enter(&mut self, room: RoomKey) -> &mut Membership {
        let fresh = Membership {
            room,
            position: UNSEATED,
            wanted: false,
            in_flight: 0,
        };
        let is_free = |held: Option<Membership>| held.is_none_or(|held| held.room == room);
        let more = self.rare().map_or(&[][..], |rare| &rare.more);
        let second = self.extra.as_ref().and_then(|extra| extra.second);
        let in_second = second.is_some_and(|second| second.room == room);
        match place(more, room) {
            Ok(at) => &mut self.rare_or_new().more[at],
            Err(_) if is_free(self.first) && !in_second => self.first.get_or_insert(fresh),
            Err(_) if is_free(second) => {
                let extra = self.extra.get_or_insert_default();
                extra.second.get_or_insert(fresh)
            }
            Err(at) => {
                let more = &mut self.rare_or_new().more;
                more.reserve_exact(1);
                more.insert(at, fresh);
                &mut more[at]
            }
        }
    }

    pub(crate) fn forget(&mut self, room: RoomKey) {
        if self.first.is_some_and(|first| first.room == room) {
            self.first = None;
            return;
        }
        let Some(extra) = &mut self.extra else { return };
        extra.second.take_if(|second| second.room == room);
        if let Some(rare) = &mut extra.rare {
            if let Ok(at) = place(&rare.more, room) {
                rare.more.remove(at);
            }
            if rare.more.is_empty() && rare.profile == Profile::default() {
                extra.rare = None;
            }
        }
        if extra.second.is_none() && extra.rare.is_none() {
            self.extra = None;
        }
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Membership> {
        let second = self.extra.iter().flat_map(|extra| &extra.second);
        let more = self.rare().into_iter().flat_map(|rare| &rare.more);
        self.first.iter().chain(second).chain(more)
    }

    pub(crate) fn rooms_len(&self) -> usize {
        let second = self.extra.as_ref().and_then(|extra| extra.second);
        let more = self.rare().map_or(0, |rare| rare.more.len());
        usize::from(self.first.is_some()) + usize::from(second.is_some()) + more
    }
}

/// Where a room stands in a sorted list, or is to stand.
fn place(sorted: &[Membership], room: RoomKey) -> Result<usize, usize> {
    sorted.binary_search_by_key(&room, |membership| membership.room)
}

impl Membership {
    pub(crate) const fn is_seated(&self) -> bool {
        self.position != UNSEATED
    }
}

impl Peer {
    pub(crate) fn new(id: MemberId, profile: Option<&Profile>) -> Self {
        Self {
            id,
            name: profile.and_then(|profile| profile.name.clone()),
            data: profile.and_then(|profile| profile.data.clone()),
        }
    }

    /// Bytes of name and presence data.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.name.as_ref().map_or(0, |name| name.len()) + self.data.as_ref().map_or(0, Bytes::len)
    }
}

impl Members {
    /// Takes a slot into use.
    pub(crate) fn connect(&mut self, key: MemberKey, secret: [u8; SECRET]) -> Result<(), Refused> {
        let slot = key.slot as usize;
        if slot >= self.slots.len() {
            reserve(&mut self.slots, slot + 1);
            self.slots.resize_with(slot + 1, Member::default);
        }
        let member = &mut self.slots[slot];
        if member.live {
            return Err(Refused::MisuseSlotInUse);
        }
        *member = Member {
            generation: key.generation,
            secret,
            live: true,
            ..Member::default()
        };
        self.live += 1;
        Ok(())
    }

    /// Takes the member out of its slot, which is then free.
    pub(crate) fn disconnect(&mut self, key: MemberKey) -> Option<Member> {
        let member = std::mem::take(self.get_mut(key)?);
        self.live -= 1;
        Some(member)
    }

    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn get(&self, key: MemberKey) -> Option<&Member> {
        let member = self.slots.get(key.slot as usize)?;
        (member.live && member.generation == key.generation).then_some(member)
    }

    pub(crate) fn get_mut(&mut self, key: MemberKey) -> Option<&mut Member> {
        let member = self.slots.get_mut(key.slot as usize)?;
        (member.live && member.generation == key.generation).then_some(member)
    }

    /// Whoever is in the slot now.
    pub(crate) fn at(&self, slot: u32) -> Option<&Member> {
        self.slots.get(slot as usize).filter(|member| member.live)
    }

    /// The local member with this id; the shard in the id is the caller's to check.
    pub(crate) fn find(&self, id: &MemberId) -> Option<MemberKey> {
        let member = self.slots.get(id.slot() as usize)?;
        let same = member.live && member.secret == id.secret();
        same.then_some(MemberKey {
            slot: id.slot(),
            generation: member.generation,
        })
    }
}

/// Makes room for `len` entries, growing by a quarter: doubling would leave as much again unused
/// with the tables that hold most of the memory of an idle member.
pub(crate) fn reserve<T>(list: &mut Vec<T>, len: usize) {
    if len > list.capacity() {
        let spare = len / 4 + 3;
        list.reserve_exact(len + spare - list.len());
    }
}

fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}

/// The position of a member that is not in the room's list.
pub(crate) const UNSEATED: u32 = u32::MAX;

/// Random bytes of an id.
pub(crate) const SECRET: usize = 10;

const ID_TEXT: usize = 22;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_member_of_one_room_costs_at_most_48_bytes() {
        assert!(size_of::<Member>() <= 40, "{}", size_of::<Member>());
        assert!(size_of::<Extra>() <= 24, "{}", size_of::<Extra>());
        assert_eq!(size_of::<MemberKey>(), 8);
    }

    #[test]
    fn an_id_keeps_its_parts_and_its_text() {
        let id = MemberId::new(ShardId(0x0102), 0x0304_0506, *b"\xff\x00abcdefgh");
        assert_eq!((id.shard(), id.slot()), (ShardId(0x0102), 0x0304_0506));
        assert_eq!(id.to_string(), "AQIDBAUG_wBhYmNkZWZnaA");
        assert_eq!("AQIDBAUG_wBhYmNkZWZnaA".parse(), Ok(id));
        let malformed = [
            "",
            "AQIDBAUG_wBhYmNkZWZna",
            "AQIDBAUG_wBhYmNkZWZnaAA",
            "AQIDBAUG_wBhYmNkZWZnaB",
            "AQIDBAUG/wBhYmNkZWZnaA",
            "AQIDBAUG+wBhYmNkZWZnaA",
            "AQIDBAUG_wBhYmNkZWZna=",
            "AQIDBAUG_wBhYmNkZWZn\u{e9}",
        ];
        for text in malformed {
            assert_eq!(text.parse::<MemberId>(), Err(MalformedMemberId), "{text:?}");
        }
    }

    #[test]
    fn memberships_are_found_wherever_they_are_kept() {
        let mut member = Member::default();
        for room in [5, 3, 9, 1, 7] {
            member.enter(RoomKey(room)).wanted = true;
            assert!(!member.enter(RoomKey(room)).is_seated());
        }
        assert_eq!(member.rooms_len(), 5);
        for room in [1, 3, 5, 7, 9] {
            assert_eq!(
                member.membership(RoomKey(room)).map(|held| held.wanted),
                Some(true)
            );
            assert_eq!(
                member.membership_mut(RoomKey(room)).map(|held| held.room.0),
                Some(room)
            );
        }
        member.forget(RoomKey(5));
        assert!(member.membership(RoomKey(5)).is_none());
        // A room kept beyond the first is not taken twice when the first place is free.
        member.enter(RoomKey(7));
        member.enter(RoomKey(3));
        assert_eq!(member.rooms_len(), 4);
        member.forget(RoomKey(3));
        for room in [1, 7, 9] {
            member.enter(RoomKey(room));
        }
        assert_eq!(member.rooms_len(), 3);
        assert_eq!(member.rooms().count(), 3);
        for room in [9, 1, 7, 3, 3] {
            member.forget(RoomKey(room));
        }
        assert_eq!(member.rooms_len(), 0);
        assert!(member.extra.is_none());
    }
}

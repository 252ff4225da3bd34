//! Rooms: their names and options, and the table in which a shard keeps those it knows.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use crate::home::Home;
use crate::member::{MemberKey, ShardId};

/// The name of a room: 1 to 128 bytes of UTF-8 without control characters. Nothing in it has a
/// meaning (`*`, `>`, `#` and `/` are ordinary). Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(Arc<str>);

/// Text that is not a [`RoomName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room name is 1 to 128 bytes without control characters")]
pub struct MalformedRoomName;

/// A room on this shard: a small index, dense enough for a table of the shell's own. It is valid
/// from the first effect that names it to [`Effect::Freed`](crate::Effect::Freed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomKey(pub(crate) u32);

/// How a verb names a room.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the ways to name a room")]
pub enum RoomRef<'a> {
    /// By its key on this shard; the cheapest.
    Key(RoomKey),
    /// By its name.
    Name(&'a RoomName),
    /// Any room that the sender and [`Audience::Member`](crate::Audience::Member) share.
    Shared,
}

/// A room as this shard sees it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    /// Local members only, in no order.
    pub(crate) members: Vec<MemberKey>,
    /// Answers of the home that are still to come. The key must not be given away before.
    pub(crate) pending: u32,
    pub(crate) shard: ShardId,
    /// What the shell decides by.
    pub(crate) class: u16,
    /// Present on the room's home shard.
    pub(crate) home: Option<Box<Home>>,
}

#[derive(Debug)]
pub(crate) struct Rooms {
    slots: Vec<Option<Room>>,
    free: Vec<u32>,
    names: HashMap<RoomName, RoomKey, Keyed>,
}

/// A hash that nobody can aim at without the key, and that is the same in every run with the same
/// key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed(pub(crate) u64);

impl RoomName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`MalformedRoomName`] if it is empty, longer than 128 bytes, or holds a control character.
    pub fn new(text: &str) -> Result<Self, MalformedRoomName> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// The same for text that is shared already: it is not copied.
    ///
    /// # Errors
    /// As [`RoomName::new`].
    pub fn from_shared(text: Arc<str>) -> Result<Self, MalformedRoomName> {
        check(&text)?;
        Ok(Self(text))
    }

    /// The name of a room that belongs to a space of its own, which the shell names: what people
    /// name can never be it, since a control character stands in it. Such a room keeps no history,
    /// and its members get no notices of each other. Without a name, the one room that stands for
    /// the whole space.
    ///
    /// # Errors
    /// [`MalformedRoomName`] for a name that [`RoomName::new`] refuses, and for a space of more
    /// than 256 bytes or with a control character.
    pub fn in_space(space: &str, name: Option<&str>) -> Result<Self, MalformedRoomName> {
        if space.len() > SPACE_BYTES_MAX || space.chars().any(char::is_control) {
            return Err(MalformedRoomName);
        }
        name.map_or(Ok(()), check)?;
        let name = name.unwrap_or_default();
        let mut text = String::with_capacity(space.len() + name.len() + 2 * SPACE.len_utf8());
        text.push(SPACE);
        text.push_str(space);
        text.push(SPACE);
        text.push_str(name);
        Ok(Self(text.into()))
    }

    /// Whether the room is one of a space of the shell's.
    #[must_use]
    pub fn is_in_space(&self) -> bool {
        self.0.starts_with(SPACE)
    }

    /// The name within its space; the whole name where it is in none.
    #[must_use]
    pub fn local(&self) -> &str {
        let inside = self.0.strip_prefix(SPACE);
        inside
            .and_then(|inside| inside.split_once(SPACE))
            .map_or(&self.0, |(_, name)| name)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text may be the name of a room.
fn check(text: &str) -> Result<(), MalformedRoomName> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len());
    if fits && !has_control(text) {
        Ok(())
    } else {
        Err(MalformedRoomName)
    }
}

/// Whether there is a control character in it. Most names are printable ASCII.
fn has_control(text: &str) -> bool {
    match text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => false,
        false => text.chars().any(char::is_control),
    }
}

impl FromStr for RoomName {
    type Err = MalformedRoomName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomName({:?})", &*self.0)
    }
}

impl RoomKey {
    /// The index, from 0; freed indices are given again.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Rooms {
    pub(crate) fn new(hash: Keyed) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            names: HashMap::with_hasher(hash),
        }
    }

    pub(crate) fn find(&self, name: &RoomName) -> Option<RoomKey> {
        self.names.get(name).copied()
    }

    pub(crate) fn get(&self, key: RoomKey) -> Option<&Room> {
        self.slots.get(key.index())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: RoomKey) -> Option<&mut Room> {
        self.slots.get_mut(key.index())?.as_mut()
    }

    /// Puts a room in the table; its name must not be there.
    pub(crate) fn insert(&mut self, room: Room) -> RoomKey {
        let name = room.name.clone();
        let key = if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(room);
            RoomKey(index)
        } else {
            let index = u32::try_from(self.slots.len()).expect("rooms are bounded far below 2^32");
            self.slots.push(Some(room));
            RoomKey(index)
        };
        self.names.insert(name, key);
        key
    }

    pub(crate) fn remove(&mut self, key: RoomKey) -> Option<Room> {
        let room = self.slots.get_mut(key.index())?.take()?;
        self.names.remove(&room.name);
        self.free.push(key.0);
        Some(room)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

/// Bytes of a room's name.
const NAME_BYTES_MAX: usize = 128;
/// Bytes of the name of a space.
const SPACE_BYTES_MAX: usize = 256;
/// Stands around the name of a space.
pub(crate) const SPACE: char = '\u{1}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names_are_checked() {
        let longest = "é".repeat(64);
        for name in [
            "a",
            "*",
            ">",
            "#",
            "a/b",
            " ",
            "__proto__",
            "\u{202e}",
            longest.as_str(),
        ] {
            assert_eq!(
                RoomName::new(name).map(|name| name.to_string()),
                Ok(name.to_owned())
            );
        }
        let too_long = "x".repeat(129);
        for name in ["", "\0", "a\nb", "\u{7f}", "\u{85}", too_long.as_str()] {
            assert_eq!(RoomName::new(name), Err(MalformedRoomName), "{name:?}");
        }
    }

    #[test]
    fn a_space_has_rooms_that_nobody_else_can_name() {
        let room = RoomName::in_space("/chat", Some("tea")).unwrap();
        assert!(room.is_in_space() && RoomName::new(room.as_str()).is_err());
        assert_eq!(room.local(), "tea");
        let whole = RoomName::in_space("/chat", None).unwrap();
        assert_eq!(whole.local(), "");
        assert_ne!(whole, RoomName::in_space("/cha", None).unwrap());
        assert_eq!(RoomName::new("tea").map(|tea| tea.is_in_space()), Ok(false));
        assert!(RoomName::in_space("/a\u{1}b", None).is_err());
        assert!(RoomName::in_space("/a", Some("\n")).is_err());
        assert!(RoomName::in_space(&"x".repeat(257), None).is_err());
    }

    #[test]
    fn the_hash_depends_on_its_key_alone() {
        let name = RoomName::new("tea").unwrap();
        assert_eq!(Keyed(7).hash_one(&name), Keyed(7).hash_one(&name));
        assert_ne!(Keyed(7).hash_one(&name), Keyed(8).hash_one(&name));
    }
}

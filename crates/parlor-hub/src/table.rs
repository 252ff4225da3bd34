//! Which options a room has: a default, and patterns over names that override it.

use std::time::Duration;

use crate::room::SPACE;

/// What is decided for a room when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomOptions {
    /// Messages of the room that are kept at most. Default 256. 0 keeps none.
    pub history_messages: usize,
    /// How long a message is kept at most, in steps of the shell's ticks. Default 120 s. 0 keeps
    /// none.
    pub history_age: Duration,
    /// Bytes of the room's messages that are kept at most, as [`Message::cost`] counts them.
    /// Default 1,048,576 (1 MiB). 0 keeps none.
    ///
    /// [`Message::cost`]: crate::Message::cost
    pub history_bytes: usize,
    /// A number that the hub does not read: an index into whatever else the shell decides for the
    /// room, such as what a slow member loses first. Default 0. See
    /// [`Hub::room_class`](crate::Hub::room_class).
    pub class: u16,
}

/// A pattern over room names: `*` stands for any characters, also none; everything else for
/// itself. 1 to 128 bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPattern(Box<str>);

/// Text that is not a [`RoomPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room pattern is 1 to 128 bytes without control characters")]
pub struct MalformedRoomPattern;

/// The options of all rooms. It must be the same on all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomTable {
    default: RoomOptions,
    rules: Vec<(RoomPattern, RoomOptions)>,
}

impl Default for RoomOptions {
    fn default() -> Self {
        Self {
            history_messages: 256,
            history_age: Duration::from_secs(120),
            history_bytes: 1024 * 1024,
            class: 0,
        }
    }
}

impl RoomOptions {
    /// The default options with the history off.
    #[must_use]
    pub fn without_history() -> Self {
        Self {
            history_messages: 0,
            ..Self::default()
        }
    }

    /// Whether the room keeps anything.
    #[must_use]
    pub const fn has_history(&self) -> bool {
        self.history_messages > 0 && !self.history_age.is_zero() && self.history_bytes > 0
    }
}

impl RoomPattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// [`MalformedRoomPattern`] if it is empty, longer than 128 bytes, or holds a control
    /// character.
    pub fn new(text: &str) -> Result<Self, MalformedRoomPattern> {
        let fits = (1..=PATTERN_BYTES_MAX).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(MalformedRoomPattern)
        }
    }

    /// Whether the pattern stands for the whole of a name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let pattern = self.0.as_bytes();
        let name = name.as_bytes();
        let (mut p, mut n) = (0, 0);
        // Where the last `*` was, and what it has taken so far: only that one is ever widened, so
        // the time is at most the product of the lengths.
        let mut star = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(byte) if *byte == name[n] => {
                    p += 1;
                    n += 1;
                }
                _ => {
                    let Some((at, taken)) = star else {
                        return false;
                    };
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

impl RoomTable {
    /// A table that gives every room the same options.
    #[must_use]
    pub const fn new(default: RoomOptions) -> Self {
        Self {
            default,
            rules: Vec::new(),
        }
    }

    /// Adds options for the rooms of a pattern. The first pattern that matches counts; each is
    /// tried when a room is made, so a table is to have few.
    pub fn push(&mut self, pattern: RoomPattern, options: RoomOptions) {
        self.rules.push((pattern, options));
    }

    /// The options of a room.
    #[must_use]
    pub fn options(&self, name: &str) -> &RoomOptions {
        static OF_A_SPACE: RoomOptions = RoomOptions {
            history_messages: 0,
            history_age: Duration::ZERO,
            history_bytes: 0,
            class: 0,
        };
        if name.starts_with(SPACE) {
            return &OF_A_SPACE;
        }
        let rule = self.rules.iter().find(|(pattern, _)| pattern.matches(name));
        rule.map_or(&self.default, |(_, options)| options)
    }
}

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        let rows = [
            ("tea", "tea", true),
            ("tea", "te", false),
            ("tea", "teas", false),
            ("*", "", true),
            ("*", "tea", true),
            ("te*", "te", true),
            ("te*", "tea", true),
            ("te*", "ta", false),
            ("*a", "tea", true),
            ("*a", "teas", false),
            ("t*a", "ta", true),
            ("t*a", "tabba", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
            ("é*", "été", true),
            ("?", "x", false),
            ("*aaaaaaaaaaaaaaaaaaaab", &"a".repeat(128), false),
        ];
        for (pattern, name, expected) in rows {
            let matches = RoomPattern::new(pattern).unwrap().matches(name);
            assert_eq!(matches, expected, "{pattern} {name}");
        }
        assert_eq!(RoomPattern::new(""), Err(MalformedRoomPattern));
        assert_eq!(RoomPattern::new("a\n"), Err(MalformedRoomPattern));
    }

    #[test]
    fn the_first_pattern_that_matches_counts() {
        let class = |class| RoomOptions {
            class,
            ..RoomOptions::default()
        };
        let mut table = RoomTable::new(class(1));
        table.push(RoomPattern::new("chat-*").unwrap(), class(2));
        table.push(RoomPattern::new("*").unwrap(), class(3));
        assert_eq!(table.options("chat-tea").class, 2);
        assert_eq!(table.options("tea").class, 3);
        assert_eq!(RoomTable::new(class(1)).options("tea").class, 1);
        assert!(RoomOptions::default().has_history());
        assert!(!RoomOptions::without_history().has_history());
    }
}

//! What a setting is: a key, a value, its default, its help and how its text is read.

use std::fmt;

use super::ConfigError;
use super::text::ValueError;

/// One setting of a structure `T`: what the command line, the file reader and the documentation
/// need to know about it.
#[expect(
    clippy::exhaustive_structs,
    reason = "programs add rows of their own beside ours"
)]
pub struct Setting<T> {
    /// The key, in lower case with `_`: the file's key; with `-` the flag; in capitals after
    /// `PARLOR_` the variable.
    pub key: &'static str,
    /// Where it stands in the help and in the documentation.
    pub group: Group,
    /// What its value is, in one word of capitals: `SIZE`, `TIME`, `COUNT`, `DIR`.
    pub value: &'static str,
    /// What the default is where the value of a default structure does not tell it.
    pub default: Option<&'static str>,
    /// One or two sentences.
    pub help: &'static str,
    /// Whether it is a list, so that its flag may be repeated.
    pub list: bool,
    /// Reads the text of a value. On an error the structure is unchanged.
    pub apply: fn(&mut T, &str) -> Result<(), ValueError>,
    /// Writes the value so that `apply` can read it; nothing where it is not set.
    pub show: fn(&T) -> Option<String>,
}

/// The headings under which settings stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Group {
    /// Where it listens and who may come in.
    Listening,
    /// What one message may be, and how connections are kept alive.
    WebSocket,
    /// Members, rooms and what waits for slow ones.
    Rooms,
    /// What is kept for members that come back.
    History,
    /// Event streams.
    Sse,
    /// The door of Socket.IO.
    SocketIo,
    /// Request heads and bodies.
    Http,
    /// What the program says about itself.
    Logging,
}

impl Group {
    /// Every group in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Listening,
        Self::WebSocket,
        Self::Rooms,
        Self::History,
        Self::Sse,
        Self::SocketIo,
        Self::Http,
        Self::Logging,
    ];

    /// The heading.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Listening => "Listening",
            Self::WebSocket => "WebSocket",
            Self::Rooms => "Members and rooms",
            Self::History => "History",
            Self::Sse => "Event streams",
            Self::SocketIo => "Socket.IO",
            Self::Http => "HTTP",
            Self::Logging => "Logging",
        }
    }
}

impl<T: Default> Setting<T> {
    /// The default as text: `10s`, `available cores`, `none`.
    #[must_use]
    pub fn default_text(&self) -> String {
        match self.default {
            Some(text) => text.to_owned(),
            None => (self.show)(&T::default()).unwrap_or_else(|| "none".to_owned()),
        }
    }
}

impl<T> Setting<T> {
    /// Reads a value; the error names this setting.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BadValue`] when the text is not a value of this setting.
    pub fn set(&self, target: &mut T, text: &str) -> Result<(), ConfigError> {
        let bad = |reason| ConfigError::BadValue {
            key: self.key,
            value: text.to_owned(),
            reason,
        };
        (self.apply)(target, text).map_err(bad)
    }

    /// Checks a value that was filled in by code: what it would be written as must be readable.
    pub(super) fn check(&self, target: &T, scratch: &mut T) -> Result<(), ConfigError> {
        (self.show)(target).map_or(Ok(()), |text| self.set(scratch, &text))
    }
}

impl<T> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Whether two keys are the same: `-` and `_` do not differ.
#[must_use]
pub fn same_key(left: &str, right: &str) -> bool {
    let plain = |b: u8| if b == b'-' { b'_' } else { b };
    left.len() == right.len() && left.bytes().map(plain).eq(right.bytes().map(plain))
}

/// The key that was probably meant by one that does not exist, if any is near.
#[must_use]
pub fn nearest_key(
    wrong: &str,
    keys: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    let distance = |key: &'static str| (edit_distance(wrong, key), key);
    let (distance, key) = keys.into_iter().map(distance).min()?;
    (distance <= key.len() / 4 + 1).then_some(key)
}

pub(super) fn apply<T>(
    settings: &'static [Setting<T>],
    target: &mut T,
    key: &str,
    text: &str,
) -> Result<(), ConfigError> {
    match settings.iter().find(|setting| same_key(setting.key, key)) {
        Some(setting) => setting.set(target, text),
        None => Err(ConfigError::UnknownKey {
            key: key.to_owned(),
            nearest: nearest_key(key, settings.iter().map(|setting| setting.key)),
        }),
    }
}

/// Insertions, deletions and replacements between two short words (Levenshtein).
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<u8> = right.bytes().take(KEY_BYTES_MAX).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().take(KEY_BYTES_MAX).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &b) in right.iter().enumerate() {
            let same = a == b || (a == b'-' && b == b'_');
            let replaced = diagonal + usize::from(!same);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

const KEY_BYTES_MAX: usize = 64;

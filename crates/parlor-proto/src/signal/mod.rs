//! `parlor.v1`: rooms, presence, messages and WebRTC signalling as JSON text.
//!
//! A codec: [`parse`] turns one client message into a [`Request`], the functions of [`encode`]
//! append server messages. Values that are only passed on (`data`, descriptions, candidates) stay
//! the slices that they came in and are never encoded again.
//!
//! ```
//! use parlor_proto::signal::{self, Request};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"{"type":"message","room":"tea","data":{"hot":true},"ref":7}"#;
//! let envelope = signal::parse(text).map_err(|_| "malformed")?;
//! let Request::Message { room, data, .. } = envelope.request else {
//!     return Err("another request".into());
//! };
//! assert_eq!((room.as_deref(), data), (Some("tea"), r#"{"hot":true}"#));
//! # Ok(())
//! # }
//! ```

mod data;
pub mod encode;
mod parse;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use data::{Content, MalformedData, parse_data};
pub use parse::{depth, parse};

/// The WebSocket subprotocol's name.
pub const SUBPROTOCOL: &str = "parlor.v1";

/// The deepest nesting of arrays and objects in a message; deeper is an error.
pub const DEPTH_MAX: usize = 128;

/// One message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The `ref` to answer with: the JSON text of a scalar, at most 256 bytes.
    pub reference: Option<&'a str>,
    /// What the client asks for.
    pub request: Request<'a>,
}

/// What a client may ask for. Texts are unescaped; `data` is JSON text as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// `join`: come into a room.
    Join {
        /// The room; none stands for the default one.
        room: Option<Cow<'a, str>>,
        /// The member's name from now on.
        name: Option<Cow<'a, str>>,
        /// The member's presence data from now on.
        data: Option<&'a str>,
        /// Whether `joined` is to tell the id of the room's last message (`"last":true`).
        last: bool,
        /// How many messages of the past to begin with (`"history":10`); none without the key.
        history: Option<u32>,
    },
    /// `leave`: go out of a room.
    Leave {
        /// The room; none stands for the default one.
        room: Option<Cow<'a, str>>,
    },
    /// `message`: to the others of a room, or to one member.
    Message {
        /// The room; none stands for the default one.
        room: Option<Cow<'a, str>>,
        /// The id of the one member to send it to.
        target: Option<Cow<'a, str>>,
        /// The event name; none stands for `message`.
        event: Option<Cow<'a, str>>,
        /// The payload.
        data: &'a str,
        /// `high`, `normal` or `low`.
        priority: Priority,
    },
    /// `sdp` or `ice-candidate`: to one member, opaque.
    Relay {
        /// The id of the member.
        target: Cow<'a, str>,
        /// The members of the object that are passed on, in order: everything but `from` and
        /// `ref`. Keys and values as they came, keys with their quotes.
        members: Vec<(&'a str, &'a str)>,
    },
    /// `list`: who is in a room.
    List {
        /// The room; none stands for the default one.
        room: Option<Cow<'a, str>>,
        /// Only members after this id.
        after: Option<Cow<'a, str>>,
    },
    /// `presence`: new presence data.
    Presence {
        /// The data.
        data: &'a str,
    },
    /// `resume`: come back into a room, and hear what was missed since a message.
    Resume {
        /// The room; none stands for the default one.
        room: Option<Cow<'a, str>>,
        /// The id of the last message heard.
        since: Cow<'a, str>,
        /// Whether `joined` is to tell the id of the room's last message (`"last":true`).
        last: bool,
    },
    /// `ping`.
    Ping,
}

/// What is dropped first under pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three priorities are the protocol"
)]
pub enum Priority {
    /// Last.
    High,
    /// The default.
    #[default]
    Normal,
    /// First.
    Low,
}

/// Why a client message was not understood. The connection stays open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct Malformed<'a> {
    /// The `ref` to answer with, where it could be read.
    pub reference: Option<&'a str>,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong with a client message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// It is not JSON, or not an object.
    #[error("the message is not a JSON object")]
    Json,
    /// It is nested deeper than [`DEPTH_MAX`].
    #[error("the message is nested deeper than 128")]
    Depth,
    /// The object has no `type`.
    #[error("`type` is missing")]
    NoType,
    /// There is no such `type`.
    #[error("unknown `type`")]
    UnknownType,
    /// A field that the type needs is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field has a value of another kind.
    #[error("`{0}` has the wrong kind of value")]
    WrongKind(&'static str),
    /// A field stands there twice, and it matters which one counts.
    #[error("`{0}` stands there twice")]
    Twice(&'static str),
}

impl Cause {
    /// The `code` of the `error` message.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Json => "bad-json",
            Self::Depth => "too-deep",
            Self::UnknownType => "unknown-type",
            Self::NoType | Self::Missing(_) => "missing-field",
            Self::WrongKind(_) | Self::Twice(_) => "bad-field",
        }
    }
}

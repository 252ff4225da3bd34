//! What came in.

use super::CloseCode;

/// The two kinds of messages (RFC 6455, section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// What [`Connection::receive`](super::Connection::receive) found. Payloads are unmasked, inflated
/// and, for text, valid UTF-8 (unless [`Options::validate_utf8`](super::Options::validate_utf8) is
/// off).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A whole message ([`Delivery::Messages`](super::Delivery::Messages)).
    Message {
        /// Text or binary.
        kind: Kind,
        /// The message; at most [`Limits::message_bytes_max`](super::Limits::message_bytes_max).
        payload: &'a [u8],
        /// Whether it was compressed on the wire.
        compressed: bool,
    },
    /// The next piece of a message ([`Delivery::Fragments`](super::Delivery::Fragments)), as soon
    /// as it came in: a piece may be less than a frame, and may end inside a character of text.
    Fragment {
        /// Text or binary, the same for all pieces of a message.
        kind: Kind,
        /// The piece; may be empty where `fin` is set.
        payload: &'a [u8],
        /// The first piece of its message.
        first: bool,
        /// The last piece of its message.
        fin: bool,
    },
    /// A ping; its pong is owed and leaves with the next
    /// [`Connection::transmit`](super::Connection::transmit). At most 125 bytes.
    Ping(&'a [u8]),
    /// A pong; at most 125 bytes.
    Pong(&'a [u8]),
    /// The peer's Close frame; the last event of a connection. The echo is owed and leaves with the
    /// next [`Connection::transmit`](super::Connection::transmit), unless
    /// [`Connection::close`](super::Connection::close) answers first or was called before.
    Close {
        /// The code; `None` where the frame had none (the API of browsers calls this 1005).
        code: Option<CloseCode>,
        /// The reason; at most 123 bytes. Empty where it is not UTF-8 and that is not checked.
        reason: &'a str,
    },
}

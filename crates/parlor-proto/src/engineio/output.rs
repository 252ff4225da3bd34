//! What a session wants done.

use bytes::Bytes;

use super::packet::{PacketType, Version};
use super::payload::Response;
use super::{CloseCause, Message};
use crate::websocket::Kind;

/// A number of the caller's for a GET, to tell which one is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number of the caller's")]
pub struct PollId(pub u64);

/// Something to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Answer a GET that is pending: 200, `Cache-Control: no-store`.
    Respond {
        /// Which GET.
        id: PollId,
        /// Its answer.
        response: Response,
    },
    /// Send a WebSocket message.
    Send(Frame),
    /// Close the WebSocket, in order. The session knows it no more: give it nothing that still
    /// comes in there.
    CloseSocket,
    /// The session is on WebSocket now. What was waiting follows.
    Upgraded,
    /// The session has ended; nothing comes after this. Forget it: requests with its id are
    /// answered with [`ErrorCode::UnknownSid`](super::ErrorCode::UnknownSid).
    Closed(CloseCause),
}

/// A WebSocket message to be sent: a byte that may be there, and data that may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the parts of one message")]
pub struct Frame {
    /// Text or binary.
    pub kind: Kind,
    /// The packet type: a digit in text, a byte in a binary message of version 3.
    pub head: Option<u8>,
    /// The data.
    pub body: Bytes,
    /// Whether it may be compressed.
    pub compress: bool,
}

impl Frame {
    pub(super) fn new(version: Version, kind: PacketType, data: Message, compress: bool) -> Self {
        match data {
            Message::Text(text) => Self {
                kind: Kind::Text,
                head: Some(kind.digit()),
                body: text.into_bytes(),
                compress,
            },
            Message::Binary(body) => Self {
                kind: Kind::Binary,
                head: (version == Version::V3).then_some(kind as u8),
                body,
                compress,
            },
        }
    }

    /// The payload of the message in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.head.iter().chain(&self.body).copied().collect()
    }
}

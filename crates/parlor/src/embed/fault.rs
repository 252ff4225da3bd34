//! What can go wrong, and how connections end.

use std::fmt;

use parlor_hub::{MalformedRoomName, Refused, RoomName};
use parlor_proto::websocket::{self, CloseCode};

use super::JsonError;

/// Any error of a handler.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why something was not sent.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too much waits already. Nothing was queued; try again later, or drop it.
    #[error("the queue is full")]
    Full,
    /// The connection has ended, or the server has: it stays so. Or the server does not run yet.
    #[error("the connection is closed, or the server does not run")]
    Closed,
    /// Another message is being sent to the member in fragments, and is not finished.
    #[error("another message is being sent in fragments")]
    Busy,
    /// The value cannot be said in JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
}

/// Why something in a room was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// The name is no room's.
    #[error(transparent)]
    Name(#[from] MalformedRoomName),
    /// Too much waits already. Nothing was queued; try again later, or drop it.
    #[error("the queue is full")]
    Full,
    /// The connection has ended, or the server has: it stays so. Or the server does not run yet.
    #[error("the connection is closed, or the server does not run")]
    Closed,
    /// The event's name is not 1 to 256 bytes without CR, LF and NUL.
    #[error("an event name is 1 to 256 bytes without CR, LF and NUL")]
    Event,
    /// The value cannot be said in JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The room does not take it: it is full, the member is there already, or is not there.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// What went wrong with a connection, as [`Handler::error`](super::Handler::error) is told it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The client broke the protocol or a limit of it, and is told so by the error's close code.
    #[error("the client broke the protocol: {0}")]
    Protocol(#[from] websocket::Error),
    /// The client sent more than it may
    /// ([`messages_per_second`](crate::Config::messages_per_second),
    /// [`bytes_per_second`](crate::Config::bytes_per_second)): closed with 1008.
    #[error("the client sent more than it may")]
    RateLimit,
    /// The client did not read what it was sent
    /// ([`outbox_bytes_max`](crate::Config::outbox_bytes_max),
    /// [`outbox_stall`](crate::Config::outbox_stall)): closed with 1013.
    #[error("the client does not read")]
    SlowConsumer,
    /// A message that was begun in fragments got none for too long
    /// ([`FragmentedText`](super::FragmentedText)): closed with 1011.
    #[error("a message was not finished")]
    Unfinished,
    /// The client did not answer a ping ([`ping_timeout`](crate::Config::ping_timeout)): cut.
    #[error("the client does not answer")]
    Silent,
    /// A handler could not read a message ([`Message::json`](super::Message::json)): closed with
    /// 1007.
    #[error("not the JSON that is expected: {0}")]
    Malformed(#[source] JsonError),
    /// A handler returned this error: closed with 1011.
    #[error("a handler failed: {0}")]
    Handler(#[source] BoxError),
    /// A room refused what nobody waited to hear about. The connection goes on.
    #[error("refused in a room: {reason}")]
    Refused {
        /// The room, where it is known still.
        room: Option<RoomName>,
        /// Why.
        reason: Refused,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Disconnect {
    /// The close code: that of the Close frame which came first, 1005 where it had none, 1006 where
    /// the connection ended without one (RFC 6455, section 7.4.1).
    pub code: u16,
    /// The reason in that Close frame, at most 123 bytes; empty where there was none.
    pub reason: String,
    /// Who ended it.
    pub by: Side,
}

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Side {
    /// The client, or the network on its way.
    Peer,
    /// This server.
    Server,
}

/// The code, and the reason where there is one: `1001 going away`.
impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.reason.is_empty() {
            return Ok(());
        }
        write!(f, " {}", self.reason)
    }
}

impl Disconnect {
    /// Whether it ended by a Close frame, from either side. Otherwise it was cut: the client or the
    /// network went away, or [`Member::terminate`](super::Member::terminate) was called.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.code != ABNORMAL
    }

    /// Without a Close frame.
    pub(crate) const fn cut(by: Side) -> Self {
        Self {
            code: ABNORMAL,
            reason: String::new(),
            by,
        }
    }

    pub(crate) fn closed(by: Side, code: Option<CloseCode>, reason: &str) -> Self {
        Self {
            code: code.map_or(NO_STATUS, CloseCode::get),
            reason: reason.to_owned(),
            by,
        }
    }
}

/// No code in the Close frame.
const NO_STATUS: u16 = 1005;
/// No Close frame.
const ABNORMAL: u16 = 1006;

impl From<SendError> for RoomError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Full | SendError::Busy => Self::Full,
            SendError::Closed => Self::Closed,
            SendError::Json(error) => Self::Json(error),
        }
    }
}

impl From<std::convert::Infallible> for RoomError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

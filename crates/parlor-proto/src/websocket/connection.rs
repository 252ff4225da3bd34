//! One connection: what it has agreed, what it is in the middle of.

use super::deflate::Agreement;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Role {
    /// Accepted the handshake; receives masked frames.
    Server,
    /// Began the handshake; sends masked frames.
    Client,
}

/// How far the close handshake is (RFC 6455, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "two Close frames make four states")]
pub enum State {
    /// No Close frame yet.
    Open,
    /// We sent ours and wait for theirs; their messages still yield events.
    CloseSent,
    /// They sent theirs; ours is owed ([`Connection::transmit`]).
    CloseReceived,
    /// Both were sent, or the connection failed: flush, then close the socket.
    Closed,
}

/// The machine of one connection.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    state: State,
    agreement: Option<Agreement>,
}

impl Connection {
    /// A connection after its handshake, with what was agreed about compression.
    #[must_use]
    pub const fn new(role: Role, agreement: Option<Agreement>) -> Self {
        Self {
            role,
            state: State::Open,
            agreement,
        }
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What was agreed about compression.
    #[must_use]
    pub const fn agreement(&self) -> Option<Agreement> {
        self.agreement
    }

    /// How far the close handshake is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether a frame or message has begun to come in and is not complete.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        false
    }

    /// How many bytes are allocated for what has begun to come in, an inflater in use included.
    #[must_use]
    pub const fn buffered_bytes(&self) -> usize {
        0
    }
}

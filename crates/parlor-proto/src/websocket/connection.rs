//! One connection: what it has agreed, what it is in the middle of.

use super::deflate::{Agreement, Deflater, Inflater};
use super::receive::Partial;
use super::{CloseCode, Kind};

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
///
/// 32 bytes and nothing on the heap while idle, unless messages are compressed with context
/// takeover. The bytes of an incomplete frame or message, and a pong that is owed, are on the heap
/// until they are complete or sent.
#[derive(Debug)]
pub struct Connection {
    /// What has begun to come in.
    pub(crate) partial: Option<Box<Partial>>,
    /// Streams that remember.
    pub(crate) context: Option<Box<Context>>,
    /// The pong that is owed.
    pub(crate) pong: Option<Box<ControlPayload>>,
    pub(crate) agreement: Option<Agreement>,
    /// The code of the Close frame that came in, to be echoed.
    pub(crate) echo: Option<CloseCode>,
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    pub(crate) sending: Sending,
}

/// [`State`], with what a failed connection still has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    CloseSent,
    CloseReceived,
    Closed,
    /// An error came in and no Close frame was sent.
    Failed,
}

/// The fragmented message that is being sent; flat, to take one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Nothing,
    PlainText,
    PlainBinary,
    CompressedText,
    CompressedBinary,
}

impl Sending {
    pub(crate) const fn new(kind: Kind, compressed: bool) -> Self {
        match (kind, compressed) {
            (Kind::Text, false) => Self::PlainText,
            (Kind::Binary, false) => Self::PlainBinary,
            (Kind::Text, true) => Self::CompressedText,
            (Kind::Binary, true) => Self::CompressedBinary,
        }
    }

    /// Its kind, and whether it is compressed.
    pub(crate) const fn message(self) -> Option<(Kind, bool)> {
        match self {
            Self::Nothing => None,
            Self::PlainText => Some((Kind::Text, false)),
            Self::PlainBinary => Some((Kind::Binary, false)),
            Self::CompressedText => Some((Kind::Text, true)),
            Self::CompressedBinary => Some((Kind::Binary, true)),
        }
    }
}

/// Streams that outlive a call.
#[derive(Debug, Default)]
pub(crate) struct Context {
    /// With context takeover, from the first compressed message that came in.
    pub(crate) inflater: Option<Inflater>,
    /// With context takeover, from the first compressed message that was sent; without, while a
    /// compressed message is sent in fragments.
    pub(crate) deflater: Option<Deflater>,
}

/// The payload of a control frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControlPayload {
    len: u8,
    bytes: [u8; CONTROL_BYTES_MAX],
}

/// The longest payload of a control frame (RFC 6455, section 5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

impl ControlPayload {
    pub(crate) const EMPTY: Self = Self {
        len: 0,
        bytes: [0; CONTROL_BYTES_MAX],
    };

    /// As much of `payload` as fits.
    pub(crate) fn new(payload: &[u8]) -> Self {
        let mut new = Self::EMPTY;
        new.push(payload);
        new
    }

    pub(crate) fn push(&mut self, payload: &[u8]) {
        let room = self
            .bytes
            .get_mut(usize::from(self.len)..)
            .unwrap_or_default();
        let len = room.len().min(payload.len());
        for (place, byte) in room.iter_mut().zip(payload) {
            *place = *byte;
        }
        self.len += u8::try_from(len).unwrap_or(0);
    }

    pub(crate) fn get(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Connection {
    /// A connection after its handshake, with what was agreed about compression.
    #[must_use]
    pub const fn new(role: Role, agreement: Option<Agreement>) -> Self {
        Self {
            partial: None,
            context: None,
            pong: None,
            agreement,
            echo: None,
            role,
            phase: Phase::Open,
            sending: Sending::Nothing,
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

    /// How far the close handshake is. After an error of [`Connection::receive`] it is
    /// [`State::Closed`], also before [`Connection::fail`].
    #[must_use]
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Open => State::Open,
            Phase::CloseSent => State::CloseSent,
            Phase::CloseReceived => State::CloseReceived,
            Phase::Closed | Phase::Failed => State::Closed,
        }
    }

    /// Whether a frame or message has begun to come in and is not complete.
    #[must_use]
    pub const fn is_mid_message(&self) -> bool {
        self.partial.is_some()
    }

    /// Whether [`Connection::transmit`] has something to append.
    #[must_use]
    pub const fn owes(&self) -> bool {
        self.pong.is_some() || matches!(self.phase, Phase::CloseReceived)
    }

    /// How many bytes of the heap this connection holds: what has begun to come in, a pong that is
    /// owed, and about 50 KiB for an inflater and 380 KiB for a compressor of its own.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        let partial = self
            .partial
            .as_ref()
            .map_or(0, |partial| partial.heap_bytes());
        let pong = self
            .pong
            .as_ref()
            .map_or(0, |_| size_of::<ControlPayload>());
        let context = self.context.as_ref().map_or(0, |context| {
            size_of::<Context>()
                + context.inflater.as_ref().map_or(0, |_| Inflater::BYTES_MAX)
                + context.deflater.as_ref().map_or(0, |_| Deflater::BYTES_MAX)
        });
        partial + pong + context
    }

    /// Whether the peer's messages depend on earlier ones.
    pub(crate) fn receives_with_takeover(&self) -> bool {
        self.agreement.is_some_and(|agreement| match self.role {
            Role::Server => !agreement.client_no_context_takeover(),
            Role::Client => !agreement.server_no_context_takeover(),
        })
    }

    /// Frees what only receiving needs, when nothing is received any more.
    pub(crate) fn stop_receiving(&mut self, phase: Phase) {
        self.phase = phase;
        self.partial = None;
        self.context = None;
        if phase != Phase::CloseReceived {
            self.pong = None;
        }
    }
}

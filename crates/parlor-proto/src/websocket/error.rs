//! What a peer, and what the embedder, can do wrong.

use thiserror::Error;

use super::CloseCode;

/// Why a connection must be failed (RFC 6455, section 7.1.7). [`Error::close_code`] is the one way
/// from here to the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// Text, or the reason of a Close frame, that is not UTF-8 (RFC 6455, sections 5.6 and 8.1).
    #[error("text is not UTF-8")]
    MalformedUtf8,
    /// A compressed message that does not inflate, or that ends inside a block (RFC 7692, section
    /// 7.2.2).
    #[error("compressed message does not inflate")]
    MalformedDeflate,
    /// A reserved bit is set that no agreed extension gives a meaning here (RFC 6455, section 5.2;
    /// RFC 7692, section 6).
    #[error("reserved bit set")]
    ViolationReservedBit,
    /// Opcode 3 to 7 or 11 to 15 (RFC 6455, section 5.2).
    #[error("reserved opcode {opcode}")]
    ViolationOpCode {
        /// The opcode, 0 to 15.
        opcode: u8,
    },
    /// A client sent a frame without a mask (RFC 6455, section 5.1).
    #[error("frame of a client is not masked")]
    ViolationMaskMissing,
    /// A server sent a masked frame (RFC 6455, section 5.1).
    #[error("frame of a server is masked")]
    ViolationMaskPresent,
    /// A control frame without FIN (RFC 6455, section 5.5).
    #[error("control frame is fragmented")]
    ViolationControlFragmented,
    /// A control frame with a payload of over 125 bytes (RFC 6455, section 5.5).
    #[error("control frame has over 125 bytes")]
    ViolationControlLength,
    /// A continuation frame while no message is open (RFC 6455, section 5.4).
    #[error("continuation without a message")]
    ViolationContinuation,
    /// A text or binary frame inside a fragmented message (RFC 6455, section 5.4).
    #[error("new message inside a message")]
    ViolationInterleaved,
    /// A payload length with the top bit of its 64 set (RFC 6455, section 5.2).
    #[error("payload length has its top bit set")]
    ViolationLengthTopBit,
    /// A payload length in more bytes than it needs (RFC 6455, section 5.2).
    #[error("payload length is not in its shortest form")]
    ViolationLengthForm,
    /// A Close frame with a payload of one byte (RFC 6455, section 5.5.1).
    #[error("Close frame with one byte")]
    ViolationCloseLength,
    /// A close code that must not be sent (RFC 6455, section 7.4).
    #[error("close code {code} must not be sent")]
    ViolationCloseCode {
        /// The code that was received.
        code: u16,
    },
    /// A message over [`Limits::message_bytes_max`](super::Limits::message_bytes_max): as declared,
    /// in its fragments together, or inflated.
    #[error("message of at least {bytes} bytes is over the limit of {bytes_max}")]
    LimitMessageBytes {
        /// What the message has at least: for an inflated one this is one over the limit.
        bytes: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// A message in more fragments than
    /// [`Limits::message_fragments_max`](super::Limits::message_fragments_max), empty ones included.
    #[error("message has over {fragments_max} fragments")]
    LimitMessageFragments {
        /// The limit.
        fragments_max: u32,
    },
}

impl Error {
    /// The close code that tells the peer: 1002 for a broken protocol, 1007 for broken data, 1008
    /// for too many fragments, 1009 for too many bytes.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::MalformedUtf8 | Self::MalformedDeflate => CloseCode::INVALID_PAYLOAD,
            Self::ViolationReservedBit
            | Self::ViolationOpCode { .. }
            | Self::ViolationMaskMissing
            | Self::ViolationMaskPresent
            | Self::ViolationControlFragmented
            | Self::ViolationControlLength
            | Self::ViolationContinuation
            | Self::ViolationInterleaved
            | Self::ViolationLengthTopBit
            | Self::ViolationLengthForm
            | Self::ViolationCloseLength
            | Self::ViolationCloseCode { .. } => CloseCode::PROTOCOL_ERROR,
            Self::LimitMessageFragments { .. } => CloseCode::POLICY_VIOLATION,
            Self::LimitMessageBytes { .. } => CloseCode::TOO_BIG,
        }
    }
}

/// What the embedder asked for and the protocol does not allow. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// A frame after a Close frame was sent or received (RFC 6455, section 5.5.1).
    #[error("the connection is closing or closed")]
    Closing,
    /// The payload of a ping or pong has over 125 bytes (RFC 6455, section 5.5).
    #[error("a control frame takes at most 125 bytes, not {bytes}")]
    ControlLength {
        /// The length that was given.
        bytes: usize,
    },
    /// A client sent without a mask, or a server with one (RFC 6455, section 5.1).
    #[error("a client sends with a mask, a server without")]
    Mask,
    /// A whole message while a fragmented one is unfinished (RFC 6455, section 5.4).
    #[error("a fragmented message is unfinished")]
    Interleaved,
    /// A fragment of another kind than the first one of its message.
    #[error("the fragments of a message are of one kind")]
    FragmentKind,
}

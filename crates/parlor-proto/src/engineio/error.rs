//! What clients do wrong, and how sessions end.

use std::fmt;

use thiserror::Error;

/// A packet or payload that cannot be read. It ends the session with
/// [`CloseReason::ParseError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A packet, or a payload, without a byte.
    #[error("empty packet")]
    MalformedEmpty,
    /// A packet that begins with neither a known type nor `b`.
    #[error("unknown packet type")]
    MalformedType,
    /// `b` followed by something else than base64 in the standard alphabet.
    #[error("broken base64")]
    MalformedBase64,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    MalformedUtf8,
    /// A length (version 3) that is no number, or that the payload does not have.
    #[error("broken packet length")]
    MalformedLength,
    /// A form (JSONP) without the field `d`.
    #[error("form without the field d")]
    MalformedForm,
    /// More packets in one payload than
    /// [`Limits::payload_packets_max`](super::Limits::payload_packets_max).
    #[error("payload has over {packets_max} packets")]
    LimitPayloadPackets {
        /// The limit.
        packets_max: usize,
    },
}

/// The code of a refused request (Engine.IO, "error codes" of the reference implementation).
/// [`ErrorCode::json`] is the body of the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "clients know these six")]
pub enum ErrorCode {
    /// The transport is missing, unknown, or not served.
    UnknownTransport = 0,
    /// There is no such session.
    UnknownSid = 1,
    /// A session is opened with GET only.
    BadHandshakeMethod = 2,
    /// The request does not fit the session, or is no WebSocket handshake though it should be.
    BadRequest = 3,
    /// The application refuses.
    Forbidden = 4,
    /// `EIO` is missing, or a revision that is not served.
    UnsupportedProtocolVersion = 5,
}

impl ErrorCode {
    /// The number of the code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The text of the code; the body of a refusal that answers a WebSocket handshake.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedProtocolVersion => "Unsupported protocol version",
        }
    }

    /// The body of a refusal, `application/json`.
    #[must_use]
    pub const fn json(self) -> &'static str {
        match self {
            Self::UnknownTransport => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::UnknownSid => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::BadHandshakeMethod => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            Self::Forbidden => r#"{"code":4,"message":"Forbidden"}"#,
            Self::UnsupportedProtocolVersion => {
                r#"{"code":5,"message":"Unsupported protocol version"}"#
            }
        }
    }

    /// The HTTP status of a refusal: 403 for [`ErrorCode::Forbidden`], else 400.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            Self::UnknownTransport
            | Self::UnknownSid
            | Self::BadHandshakeMethod
            | Self::BadRequest
            | Self::UnsupportedProtocolVersion => 400,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// The reason of a session's end, as applications are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "applications match on these five")]
pub enum CloseReason {
    /// The client broke a rule of the transport, or its connection broke.
    TransportError,
    /// The client closed.
    TransportClose,
    /// We closed.
    ForcedClose,
    /// The client was silent for too long.
    PingTimeout,
    /// A packet could not be read.
    ParseError,
}

impl CloseReason {
    /// The words that handlers of other implementations are given.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ForcedClose => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a session ended, in detail. Applications are told [`CloseCause::reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseCause {
    /// The heartbeat stopped.
    #[error("no heartbeat in time")]
    PingTimeout,
    /// The client sent a Close packet.
    #[error("closed by the client")]
    ClosePacket,
    /// The WebSocket was closed in order.
    #[error("WebSocket closed")]
    SocketClosed,
    /// The WebSocket broke, or broke its protocol.
    #[error("WebSocket failed")]
    SocketFailed,
    /// A GET that was pending is gone.
    #[error("pending GET aborted")]
    PollAborted,
    /// A second GET while one was pending.
    #[error("second GET")]
    PollOverlap,
    /// A POST ended before its body did.
    #[error("POST aborted")]
    PostAborted,
    /// A second POST while one was being read.
    #[error("second POST")]
    PostOverlap,
    /// A POST over [`Limits::payload_bytes_max`](super::Limits::payload_bytes_max).
    #[error("POST too large")]
    PostTooLarge,
    /// A POST of `application/octet-stream` in version 4.
    #[error("POST of octets")]
    PostContent,
    /// A packet could not be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A ping of the client (version 4), or a pong of it (version 3).
    #[error("heartbeat in the wrong direction")]
    ViolationHeartbeat,
    /// More waits to be sent than
    /// [`Limits::buffered_bytes_max`](super::Limits::buffered_bytes_max).
    #[error("more waits than the limit of {bytes_max} bytes")]
    LimitBufferedBytes {
        /// The limit.
        bytes_max: usize,
    },
    /// We closed, with [`Session::close`](super::Session::close).
    #[error("closed by us")]
    Forced,
}

impl CloseCause {
    /// What the application is told.
    #[must_use]
    pub const fn reason(self) -> CloseReason {
        match self {
            Self::PingTimeout => CloseReason::PingTimeout,
            Self::ClosePacket | Self::SocketClosed => CloseReason::TransportClose,
            Self::Decode(_) => CloseReason::ParseError,
            Self::Forced => CloseReason::ForcedClose,
            Self::SocketFailed
            | Self::PollAborted
            | Self::PollOverlap
            | Self::PostAborted
            | Self::PostOverlap
            | Self::PostTooLarge
            | Self::PostContent
            | Self::ViolationHeartbeat
            | Self::LimitBufferedBytes { .. } => CloseReason::TransportError,
        }
    }
}

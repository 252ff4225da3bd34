//! What clients do wrong, and how sockets end.

use std::fmt;

use thiserror::Error;

use crate::engineio::CloseReason;

/// A packet that cannot be read. It closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message without a byte, or that begins with no known type.
    #[error("unknown packet type")]
    MalformedType,
    /// The number of attachments of a binary packet is missing, zero or no number.
    #[error("broken number of attachments")]
    MalformedAttachments,
    /// An acknowledgement id over 2^53 - 1, or that is no whole number.
    #[error("broken acknowledgement id")]
    MalformedId,
    /// A namespace that does not begin with `/` (not in text).
    #[error("broken namespace")]
    MalformedNamespace,
    /// A payload that is not JSON.
    #[error("payload is not JSON")]
    MalformedJson,
    /// A message that is not MessagePack, or no map with the keys of a packet.
    #[error("not a MessagePack packet")]
    MalformedMsgpack,
    /// A payload that is missing, or of a kind that the type does not have.
    #[error("payload does not fit the packet type")]
    ViolationPayload,
    /// An event whose name is neither text nor a number, or is reserved.
    #[error("event name is reserved or not a name")]
    ViolationEventName,
    /// A placeholder for an attachment that there is not, or that another one stands for.
    #[error("placeholder without an attachment")]
    ViolationPlaceholder,
    /// Text while attachments are awaited.
    #[error("text where an attachment is awaited")]
    ViolationTextForBinary,
    /// Bytes while no attachment is awaited.
    #[error("attachment that nothing awaits")]
    ViolationStrayBinary,
    /// Text from a client that speaks MessagePack.
    #[error("text where MessagePack is spoken")]
    ViolationText,
    /// An extension type of MessagePack that has no meaning here.
    #[error("unknown extension type")]
    UnsupportedExtension,
    /// A message that the embedder's decoder does not take.
    #[error("not a packet of the embedder's parser")]
    MalformedForeign,
    /// More attachments than [`Limits::attachments_max`](super::Limits::attachments_max).
    #[error("more attachments than the limit of {attachments_max}")]
    LimitAttachments {
        /// The limit.
        attachments_max: usize,
    },
    /// A packet with its attachments over
    /// [`Limits::packet_bytes_max`](super::Limits::packet_bytes_max).
    #[error("packet of at least {bytes} bytes is over the limit of {bytes_max}")]
    LimitPacketBytes {
        /// What has come in so far.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A payload nested deeper than [`DEPTH_MAX`](super::json::DEPTH_MAX).
    #[error("payload nested too deep")]
    LimitDepth,
}

/// Why a client's connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A packet cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A packet for a namespace that is not connected.
    #[error("packet for a namespace that is not connected")]
    ViolationNotConnected,
    /// A second CONNECT for a namespace.
    #[error("second CONNECT for a namespace")]
    ViolationConnectedTwice,
    /// A packet that only servers send.
    #[error("packet that only servers send")]
    ViolationDirection,
    /// More namespaces than [`Limits::namespaces_max`](super::Limits::namespaces_max).
    #[error("more namespaces than the limit of {namespaces_max}")]
    LimitNamespaces {
        /// The limit.
        namespaces_max: usize,
    },
    /// A namespace longer than
    /// [`Limits::namespace_bytes_max`](super::Limits::namespace_bytes_max).
    #[error("namespace longer than the limit of {bytes_max} bytes")]
    LimitNamespaceBytes {
        /// The limit.
        bytes_max: usize,
    },
}

impl Error {
    /// What the sockets of the connection are told.
    #[must_use]
    pub const fn reason(&self) -> DisconnectReason {
        match self {
            Self::Decode(_) => DisconnectReason::ParseError,
            Self::ViolationNotConnected
            | Self::ViolationConnectedTwice
            | Self::ViolationDirection
            | Self::LimitNamespaces { .. }
            | Self::LimitNamespaceBytes { .. } => DisconnectReason::ForcedServerClose,
        }
    }
}

/// The embedder's call does not fit the state of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// No CONNECT of this namespace waits for an answer: it was answered, or its client is gone.
    #[error("no CONNECT waits for an answer")]
    NotConnecting,
    /// The namespace is not connected.
    #[error("namespace is not connected")]
    NotConnected,
    /// More acknowledgements are awaited than [`Limits::acks_max`](super::Limits::acks_max).
    #[error("more acknowledgements awaited than the limit of {acks_max}")]
    LimitAcks {
        /// The limit.
        acks_max: usize,
    },
}

/// Why a socket is disconnected, as handlers are told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "applications match on these nine")]
pub enum DisconnectReason {
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// We disconnected the socket.
    ServerNamespaceDisconnect,
    /// The client closed the connection.
    TransportClose,
    /// The connection broke, or the client broke a rule of the transport.
    TransportError,
    /// The client was silent for too long.
    PingTimeout,
    /// A packet could not be read.
    ParseError,
    /// We closed the Engine.IO session.
    ForcedClose,
    /// We closed the connection: the client broke a rule, or joined no namespace in time.
    ForcedServerClose,
    /// The server stops.
    ServerShuttingDown,
}

impl DisconnectReason {
    /// The words that handlers of other implementations are given.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ForcedServerClose => "forced server close",
            Self::ServerShuttingDown => "server shutting down",
        }
    }

    /// Whether the state of a socket that ended so may be recovered: nobody left the namespace,
    /// and what came in could be read.
    #[must_use]
    pub const fn is_recoverable(self) -> bool {
        match self {
            Self::TransportClose
            | Self::TransportError
            | Self::PingTimeout
            | Self::ForcedClose
            | Self::ForcedServerClose
            | Self::ServerShuttingDown => true,
            Self::ClientNamespaceDisconnect
            | Self::ServerNamespaceDisconnect
            | Self::ParseError => false,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::TransportError => Self::TransportError,
            CloseReason::TransportClose => Self::TransportClose,
            CloseReason::ForcedClose => Self::ForcedClose,
            CloseReason::PingTimeout => Self::PingTimeout,
            CloseReason::ParseError => Self::ParseError,
        }
    }
}

//! Ways of writing packets that embedders bring along.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parlor_proto::{
    engineio::Message,
    socketio::{DecodeError, Limits, Packet},
};

use super::super::BoxError;

/// A way of writing packets, in place of JSON and MessagePack; the counterpart of the client's
/// option `parser`. All clients of a server speak it: see [`SocketIo::with_parser`].
///
/// One `Parser` serves all connections, on the threads of all shards: it must not block.
///
/// ```
/// use parlor::{
///     BoxError,
///     engineio::Message,
///     socketio::{Decoder, Packet, Parser, SocketIo, TextDecoder, TextParser},
/// };
///
/// /// The default parser, with its text written backwards.
/// struct Backwards;
///
/// impl Parser for Backwards {
///     fn encode(&self, packet: &Packet<'_>) -> Vec<Message> {
///         let mut messages = TextParser.encode(packet);
///         if let Some(Message::Text(text)) = messages.first_mut() {
///             *text = text.as_str().chars().rev().collect::<String>().into();
///         }
///         messages
///     }
///
///     fn decoder(&self) -> Box<dyn Decoder> {
///         Box::new(Forwards(TextDecoder::new()))
///     }
/// }
///
/// struct Forwards(TextDecoder);
///
/// impl Decoder for Forwards {
///     fn text(&mut self, text: &str) -> Result<Option<Packet<'static>>, BoxError> {
///         self.0.text(&text.chars().rev().collect::<String>())
///     }
///
///     fn binary(&mut self, bytes: &[u8]) -> Result<Option<Packet<'static>>, BoxError> {
///         self.0.binary(bytes)
///     }
/// }
///
/// let io = SocketIo::with_parser(Backwards);
/// # let _ = io;
/// ```
///
/// [`SocketIo::with_parser`]: super::SocketIo::with_parser
pub trait Parser: Send + Sync + 'static {
    /// Writes a packet as messages of Engine.IO, which are sent right behind each other; none sends
    /// nothing. An event for many sockets is written once for each shard, and again for each
    /// client of Engine.IO 3 and each socket that can be recovered.
    ///
    /// Where this panics, nothing of the packet is sent, and an error is logged.
    fn encode(&self, packet: &Packet<'_>) -> Vec<Message>;

    /// The decoder of a new connection. It is called with the first message of the connection.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// Puts the packets of one connection together from its messages, each of which has at most
/// [`payload_bytes_max`](crate::config::EngineIo::payload_bytes_max) bytes.
///
/// What it returns is checked as the packets of other parsers are: payloads are JSON that fits the
/// type, at most 128 deep; event names are not reserved; there are at most 10 attachments, with a
/// placeholder each at most; and payload and attachments have at most 2,000,000 bytes. After an
/// error, a panic, or a packet that breaks one of these rules, the connection is closed and its
/// sockets end with `parse error`.
///
/// A packet comes in 11 messages and 2,000,000 bytes at most: a decoder that then still asks for
/// more is an error too, so what it keeps is bounded.
pub trait Decoder: Send {
    /// A text message came in. Returns the packet, unless more messages are to follow.
    ///
    /// # Errors
    ///
    /// What cannot be read. It is logged at the level `debug`.
    fn text(&mut self, text: &str) -> Result<Option<Packet<'static>>, BoxError>;

    /// A binary message came in.
    ///
    /// # Errors
    ///
    /// As [`Decoder::text`].
    fn binary(&mut self, bytes: &[u8]) -> Result<Option<Packet<'static>>, BoxError>;
}

/// The default parser, for those who change what it writes: text with JSON, and each attachment as
/// a binary message.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing to set")]
pub struct TextParser;

/// The decoder of [`TextParser`], with the default limits.
#[derive(Debug, Default)]
pub struct TextDecoder {
    decoder: parlor_proto::socketio::Decoder,
    limits: Limits,
}

impl TextDecoder {
    /// A decoder that awaits a packet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Parser for TextParser {
    fn encode(&self, packet: &Packet<'_>) -> Vec<Message> {
        let encoded = packet.encode(parlor_proto::socketio::Parser::Json);
        encoded.into_iter().collect()
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(TextDecoder::new())
    }
}

impl Decoder for TextDecoder {
    fn text(&mut self, text: &str) -> Result<Option<Packet<'static>>, BoxError> {
        let packet = self.decoder.text(text, &self.limits)?;
        Ok(packet.map(Packet::into_owned))
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<Option<Packet<'static>>, BoxError> {
        Ok(self.decoder.binary(bytes, &self.limits)?)
    }
}

/// The parser of a server, whose panics are caught.
#[derive(Clone)]
pub(crate) struct OwnParser(Arc<dyn Parser>);

/// What one connection has of it.
#[derive(Default)]
pub(crate) struct Decoding {
    /// From the first message.
    decoder: Option<Box<dyn Decoder>>,
    /// Messages since the last packet, and their bytes.
    messages: usize,
    bytes: usize,
}

/// A message that came in.
#[derive(Clone, Copy)]
pub(crate) enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

impl OwnParser {
    pub(super) fn new(parser: impl Parser) -> Self {
        Self(Arc::new(parser))
    }

    pub(crate) fn encode(&self, packet: &Packet<'_>) -> Vec<Message> {
        let encoded = catch_unwind(AssertUnwindSafe(|| self.0.encode(packet)));
        encoded.unwrap_or_else(|_| {
            tracing::error!(kind = ?packet.kind, "a parser panicked: its packet is not sent");
            Vec::new()
        })
    }

    /// Takes in the next message of a connection.
    pub(crate) fn decode(
        &self,
        decoding: &mut Decoding,
        message: Incoming<'_>,
        limits: &Limits,
    ) -> Result<Option<Packet<'static>>, DecodeError> {
        let Decoding {
            decoder,
            messages,
            bytes,
        } = decoding;
        let decoded = catch_unwind(AssertUnwindSafe(|| {
            let decoder = decoder.get_or_insert_with(|| self.0.decoder());
            match message {
                Incoming::Text(text) => decoder.text(text),
                Incoming::Binary(bytes) => decoder.binary(bytes),
            }
        }));
        match decoded {
            Ok(Ok(Some(packet))) => {
                (*messages, *bytes) = (0, 0);
                return Ok(Some(packet));
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a parser cannot read a packet");
                return Err(DecodeError::MalformedForeign);
            }
            Err(_) => {
                tracing::error!("a parser panicked: its connection is closed");
                return Err(DecodeError::MalformedForeign);
            }
        }
        *messages += 1;
        *bytes = bytes.saturating_add(message.len());
        let attachments_max = limits.attachments_max;
        if *messages > attachments_max {
            return Err(DecodeError::LimitAttachments { attachments_max });
        }
        let (bytes, bytes_max) = (*bytes, limits.packet_bytes_max);
        if bytes > bytes_max {
            return Err(DecodeError::LimitPacketBytes { bytes, bytes_max });
        }
        Ok(None)
    }
}

impl Incoming<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl fmt::Debug for OwnParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnParser").finish_non_exhaustive()
    }
}

impl fmt::Debug for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoding")
            .field("messages", &self.messages)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

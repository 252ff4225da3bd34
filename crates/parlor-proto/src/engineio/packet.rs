//! One packet: a type and its data.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};

use super::{DecodeError, Message};

/// A revision of the Engine.IO protocol, the `EIO` of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new revision is a new protocol")]
pub enum Version {
    /// `EIO=3`, spoken by Socket.IO 1 and 2: the client pings, payloads carry lengths.
    V3,
    /// `EIO=4`, spoken by Socket.IO 3 and 4: the server pings, payloads carry separators.
    V4,
}

/// The type of a packet (Engine.IO protocol, "Packet types"). The discriminants are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these seven")]
pub enum PacketType {
    /// The server's first packet: the handshake.
    Open = 0,
    /// The end of the session.
    Close = 1,
    /// A heartbeat, or with `probe` the first word of an upgrade.
    Ping = 2,
    /// The answer to a ping.
    Pong = 3,
    /// Data of the application.
    Message = 4,
    /// The client's last word of an upgrade.
    Upgrade = 5,
    /// Nothing: it ends a pending GET.
    Noop = 6,
}

impl PacketType {
    /// The type of a digit, `0` to `6`.
    #[must_use]
    pub const fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Open,
            b'1' => Self::Close,
            b'2' => Self::Ping,
            b'3' => Self::Pong,
            b'4' => Self::Message,
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            _ => return None,
        })
    }

    /// Its digit as a character, `0` to `6`.
    #[must_use]
    pub const fn digit(self) -> u8 {
        b'0' + self as u8
    }
}

/// What a packet that came in carries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Data<'a> {
    /// Text; empty where there was none.
    Text(&'a str),
    /// Bytes: as they stood, or decoded from base64.
    Binary(Cow<'a, [u8]>),
}

/// A packet that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a packet is these two")]
pub struct Packet<'a> {
    /// Its type; [`PacketType::Message`] where the data are binary.
    pub kind: PacketType,
    /// Its data.
    pub data: Data<'a>,
}

impl<'a> Packet<'a> {
    const fn binary(data: Cow<'a, [u8]>) -> Self {
        Self {
            kind: PacketType::Message,
            data: Data::Binary(data),
        }
    }
}

/// Reads a packet in text: a WebSocket text message, or one packet of a payload.
///
/// # Errors
///
/// [`DecodeError`] for an empty packet, an unknown type and broken base64.
pub fn decode_text(version: Version, text: &str) -> Result<Packet<'_>, DecodeError> {
    let mut rest = text.chars();
    match rest.next() {
        None => Err(DecodeError::MalformedEmpty),
        Some('b') => decode_base64(version, rest.as_str()),
        Some(first) => {
            let digit = u8::try_from(first).unwrap_or_default();
            let kind = PacketType::from_digit(digit).ok_or(DecodeError::MalformedType)?;
            Ok(Packet {
                kind,
                data: Data::Text(rest.as_str()),
            })
        }
    }
}

/// What follows the `b`: base64, in version 3 after the digit of a message.
fn decode_base64(version: Version, text: &str) -> Result<Packet<'_>, DecodeError> {
    let text = match version {
        Version::V4 => text,
        Version::V3 => text.strip_prefix('4').ok_or(DecodeError::MalformedType)?,
    };
    let bytes = LENIENT
        .decode(text)
        .map_err(|_| DecodeError::MalformedBase64)?;
    Ok(Packet::binary(Cow::Owned(bytes)))
}

/// Reads a packet in bytes: a WebSocket binary message, or a binary packet of a version 3 payload.
/// In version 3 the first byte is the type, which must be a message (4).
///
/// # Errors
///
/// [`DecodeError`] for an empty packet and another type, in version 3.
pub fn decode_binary(version: Version, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    let data = match (version, bytes.split_first()) {
        (Version::V4, _) => bytes,
        (Version::V3, Some((4, data))) => data,
        (Version::V3, Some(_)) => return Err(DecodeError::MalformedType),
        (Version::V3, None) => return Err(DecodeError::MalformedEmpty),
    };
    Ok(Packet::binary(Cow::Borrowed(data)))
}

/// Appends a packet in text; binary data in base64.
pub fn encode_text(version: Version, kind: PacketType, data: &Message, out: &mut Vec<u8>) {
    match data {
        Message::Text(text) => {
            out.push(kind.digit());
            out.extend_from_slice(text.as_bytes());
        }
        Message::Binary(bytes) => {
            out.push(b'b');
            if version == Version::V3 {
                out.push(kind.digit());
            }
            let start = out.len();
            out.resize(start + base64_len(bytes.len()), 0);
            let place = out.get_mut(start..).unwrap_or_default();
            // The place has the length of the encoding.
            let len = STANDARD.encode_slice(bytes, place).unwrap_or_default();
            out.truncate(start + len);
        }
    }
}

/// The bytes that [`encode_text`] appends.
pub(super) fn text_len(version: Version, data: &Message) -> usize {
    match data {
        Message::Text(text) => 1 + text.as_bytes().len(),
        Message::Binary(bytes) => 1 + usize::from(version == Version::V3) + base64_len(bytes.len()),
    }
}

const fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The standard alphabet; padding may be left out, as some clients do.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

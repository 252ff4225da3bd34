//! Several packets in one HTTP body.

use std::borrow::Cow;
use std::ops::Range;

use super::packet::{self, Data, Packet};
use super::{DecodeError, Message, PacketType, Version, jsonp};

/// What stands between the packets of a payload in version 4.
const SEPARATOR: u8 = 0x1E;

/// The most digits of a length in version 3.
const LENGTH_DIGITS_MAX: usize = 10;

/// What the body of a POST is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these three")]
pub enum Content {
    /// Packets in text.
    Text,
    /// Packets in bytes, version 3.
    Octets,
    /// Packets in text in the field `d` of a form, version 3 with JSONP.
    Form,
}

impl Content {
    /// What a `Content-Type` announces; anything that is not `application/octet-stream` is text.
    /// Whether it is a form is said by the query (`j`), not by the header.
    #[must_use]
    pub fn from_header(content_type: Option<&[u8]>) -> Self {
        let media = content_type.unwrap_or_default().split(|byte| *byte == b';');
        let is_octets = |media: &[u8]| {
            media
                .trim_ascii()
                .eq_ignore_ascii_case(b"application/octet-stream")
        };
        if media.take(1).any(is_octets) {
            Self::Octets
        } else {
            Self::Text
        }
    }
}

/// How the answers to a client's GETs are written; from the query of each
/// ([`Session::poll`](super::Session::poll)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the query has these two")]
pub struct Form {
    /// Version 3: binary data in base64, though there is a form for bytes (`b64=1`). In version 4
    /// it is always base64.
    pub base64: bool,
    /// The number of the callback (`j`) where the answer is a script (JSONP).
    pub jsonp: Option<u32>,
}

/// The packets of one POST, read one after the other.
///
/// Nothing is kept but the body itself, so the memory of hostile input is that of the body (and
/// of one packet in base64). It need not be read at once: see [`Payload::grant`].
#[derive(Debug)]
pub struct Payload<'a> {
    version: Version,
    body: Body<'a>,
    /// Where the next packet begins; none after the last one and after an error.
    at: Option<usize>,
    /// No packet is read that begins here or behind.
    until: usize,
    packets: usize,
    packets_max: usize,
}

#[derive(Debug)]
enum Body<'a> {
    Text(Cow<'a, str>),
    Octets(Cow<'a, [u8]>),
}

impl<'a> Payload<'a> {
    /// Prepares to read a body.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for text that is not UTF-8, a form without `d`, and a body without a byte.
    pub fn new(
        version: Version,
        content: Content,
        body: &'a [u8],
        packets_max: usize,
    ) -> Result<Self, DecodeError> {
        let body = match content {
            Content::Text => {
                let text = simdutf8::basic::from_utf8(body);
                Body::Text(text.map_err(|_| DecodeError::MalformedUtf8)?.into())
            }
            Content::Octets => Body::Octets(body.into()),
            Content::Form => Body::Text(jsonp::decode(body)?.into()),
        };
        if body.is_empty() {
            return Err(DecodeError::MalformedEmpty);
        }
        Ok(Self {
            version,
            body,
            at: Some(0),
            until: usize::MAX,
            packets: 0,
            packets_max,
        })
    }

    /// Lets packets be read that begin in the next `bytes` bytes: at least one. What comes behind
    /// them waits for another grant. Without any, all may be read.
    pub fn grant(&mut self, bytes: usize) {
        self.until = self.at.map_or(0, |at| at.saturating_add(bytes.max(1)));
    }

    /// Whether what may be read has been read, and there may be more.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.at.is_some_and(|at| at >= self.until)
    }

    /// The same without the body that it was made of: where it was borrowed, what was not read is
    /// copied.
    #[must_use]
    pub fn into_owned(self) -> Payload<'static> {
        let start = self.at.unwrap_or_else(|| self.body.bytes().len());
        let (body, cut) = self.body.into_owned(start);
        Payload {
            version: self.version,
            body,
            at: self.at.map(|at| at - cut),
            until: self.until.saturating_sub(cut),
            packets: self.packets,
            packets_max: self.packets_max,
        }
    }

    /// Has nothing more to read.
    pub(super) fn stop(&mut self) {
        self.at = None;
    }

    /// The next packet; none after the last one, and where it waits for a [grant](Payload::grant).
    /// Stop after an error.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for a packet that cannot be read, and for one over the limit.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, DecodeError> {
        let Some(found) = self.find()? else {
            return Ok(None);
        };
        self.packet(&found).map(Some)
    }

    /// Goes on to the next packet, without reading it.
    pub(super) fn find(&mut self) -> Result<Option<Found>, DecodeError> {
        if self.is_paused() {
            return Ok(None);
        }
        let Some(start) = self.at.take() else {
            return Ok(None);
        };
        let Some((piece, next)) = self.piece(start)? else {
            return Ok(None);
        };
        if self.packets == self.packets_max {
            return Err(DecodeError::LimitPayloadPackets {
                packets_max: self.packets_max,
            });
        }
        self.packets += 1;
        self.at = next;
        let message = match &piece {
            Piece::Text(range) => matches!(self.bytes(range).first(), Some(b'4' | b'b')),
            Piece::Binary(_) => true,
        };
        Ok(Some(Found { piece, message }))
    }

    /// Reads a packet that was found.
    pub(super) fn packet(&self, found: &Found) -> Result<Packet<'_>, DecodeError> {
        match (&found.piece, &self.body) {
            (Piece::Text(range), Body::Text(text)) => {
                packet::decode_text(self.version, text.get(range.clone()).unwrap_or_default())
            }
            (Piece::Text(range), Body::Octets(_)) => {
                let text = simdutf8::basic::from_utf8(self.bytes(range));
                let text = text.map_err(|_| DecodeError::MalformedUtf8)?;
                packet::decode_text(self.version, text)
            }
            (Piece::Binary(range), _) => packet::decode_binary(self.version, self.bytes(range)),
        }
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.body.bytes().get(range.clone()).unwrap_or_default()
    }

    /// The bounds of the next packet, and where the one after it begins.
    fn piece(&self, start: usize) -> Result<Option<(Piece, Option<usize>)>, DecodeError> {
        match (&self.body, self.version) {
            (Body::Text(text), Version::V4) => Ok(Some(separated(text.as_bytes(), start))),
            (Body::Text(text), Version::V3) => measured(text, start),
            (Body::Octets(bytes), _) => counted(bytes, start),
        }
    }
}

impl Body<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Octets(bytes) => bytes,
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// The same with memory of its own, and how much of the front it does without: at most up to
    /// `start`, which is between two packets.
    fn into_owned(self, start: usize) -> (Body<'static>, usize) {
        match self {
            Self::Text(Cow::Owned(text)) => (Body::Text(text.into()), 0),
            Self::Octets(Cow::Owned(bytes)) => (Body::Octets(bytes.into()), 0),
            Self::Text(Cow::Borrowed(text)) => {
                let rest = text.get(start..).unwrap_or_default().to_owned();
                (Body::Text(rest.into()), start)
            }
            Self::Octets(Cow::Borrowed(bytes)) => {
                let rest = bytes.get(start..).unwrap_or_default().to_vec();
                (Body::Octets(rest.into()), start)
            }
        }
    }
}

/// A packet that has not been read.
pub(super) struct Found {
    piece: Piece,
    message: bool,
}

impl Found {
    /// Whether it is a message, if it is anything.
    pub(super) const fn is_message(&self) -> bool {
        self.message
    }
}

/// Where a packet stands, and in which form.
enum Piece {
    Text(Range<usize>),
    Binary(Range<usize>),
}

/// Version 4: up to the next separator.
fn separated(bytes: &[u8], start: usize) -> (Piece, Option<usize>) {
    let rest = bytes.get(start..).unwrap_or_default();
    match rest.iter().position(|byte| *byte == SEPARATOR) {
        Some(len) => (Piece::Text(start..start + len), Some(start + len + 1)),
        None => (Piece::Text(start..bytes.len()), None),
    }
}

/// Version 3: `<length>:<packet>`, the length in UTF-16 code units. Packets of length 0 are
/// skipped.
fn measured(text: &str, mut start: usize) -> Result<Option<(Piece, Option<usize>)>, DecodeError> {
    let bytes = text.as_bytes();
    while let Some(rest) = bytes.get(start..).filter(|rest| !rest.is_empty()) {
        let head = rest.get(..rest.len().min(LENGTH_DIGITS_MAX + 1));
        let head = head.unwrap_or_default();
        let colon = head.iter().position(|byte| *byte == b':');
        let colon = colon.ok_or(DecodeError::MalformedLength)?;
        let mut units = number(head.iter().take(colon).map(|byte| byte.wrapping_sub(b'0')))?;
        start += colon + 1;
        if units == 0 {
            continue;
        }
        let mut end = start;
        for char in text.get(start..).unwrap_or_default().chars() {
            units = units
                .checked_sub(char.len_utf16())
                .ok_or(DecodeError::MalformedLength)?;
            end += char.len_utf8();
            if units == 0 {
                return Ok(Some((Piece::Text(start..end), Some(end))));
            }
        }
        return Err(DecodeError::MalformedLength);
    }
    Ok(None)
}

/// Version 3 in bytes: 0 (text) or 1 (binary), the length in bytes as digits of 0 to 9, 255, the
/// packet.
fn counted(bytes: &[u8], start: usize) -> Result<Option<(Piece, Option<usize>)>, DecodeError> {
    let rest = bytes.get(start..).unwrap_or_default();
    let Some((kind, rest)) = rest.split_first() else {
        return Ok(None);
    };
    let head = rest.get(..rest.len().min(LENGTH_DIGITS_MAX + 1));
    let head = head.unwrap_or_default();
    let digits = head.iter().position(|byte| *byte == 0xFF);
    let digits = digits.ok_or(DecodeError::MalformedLength)?;
    let len = number(head.iter().take(digits).copied())?;
    let start = start + 1 + digits + 1;
    let end = start.checked_add(len).filter(|end| *end <= bytes.len());
    let end = end.ok_or(DecodeError::MalformedLength)?;
    let piece = match kind {
        0 => Piece::Text(start..end),
        1 => Piece::Binary(start..end),
        _ => return Err(DecodeError::MalformedType),
    };
    Ok(Some((piece, Some(end))))
}

/// The number of decimal digits, each 0 to 9; at least one.
fn number(digits: impl Iterator<Item = u8>) -> Result<usize, DecodeError> {
    let mut value = None;
    for digit in digits {
        if digit > 9 {
            return Err(DecodeError::MalformedLength);
        }
        value = value
            .unwrap_or(0_usize)
            .checked_mul(10)
            .and_then(|value| value.checked_add(usize::from(digit)));
        if value.is_none() {
            return Err(DecodeError::MalformedLength);
        }
    }
    value.ok_or(DecodeError::MalformedLength)
}

/// The body of the answer to a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the answer to one GET")]
pub struct Response {
    /// What stands in it.
    pub body: Vec<u8>,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Whether it may be compressed: some packet was sent so.
    pub compress: bool,
}

/// A packet that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a packet is these two")]
pub struct OutPacket {
    /// Its type; [`PacketType::Message`] where the data are binary.
    pub kind: PacketType,
    /// Its data.
    pub data: Message,
}

/// Writes packets as the answer to a GET: [`Response::body`] and its content type.
#[must_use]
pub fn encode<'p>(
    version: Version,
    form: Form,
    packets: impl Iterator<Item = &'p OutPacket> + Clone,
) -> (Vec<u8>, &'static str) {
    let binary = || {
        let mut packets = packets.clone();
        packets.any(|packet| matches!(packet.data, Message::Binary(_)))
    };
    let mut body = Vec::new();
    if version == Version::V3 && !form.base64 && form.jsonp.is_none() && binary() {
        encode_octets(packets, &mut body);
        return (body, "application/octet-stream");
    }
    for packet in packets {
        match version {
            Version::V4 if body.is_empty() => {}
            Version::V4 => body.push(SEPARATOR),
            Version::V3 => {
                let units = match &packet.data {
                    Message::Text(text) => 1 + utf16_len(text.as_bytes()),
                    Message::Binary(_) => packet::text_len(version, &packet.data),
                };
                body.extend_from_slice(units.to_string().as_bytes());
                body.push(b':');
            }
        }
        packet::encode_text(version, packet.kind, &packet.data, &mut body);
    }
    match form.jsonp {
        None => (body, "text/plain; charset=UTF-8"),
        Some(callback) => (
            jsonp::encode(callback, &body),
            "text/javascript; charset=UTF-8",
        ),
    }
}

fn encode_octets<'p>(packets: impl Iterator<Item = &'p OutPacket>, body: &mut Vec<u8>) {
    for packet in packets {
        let (kind, digit, data) = match &packet.data {
            Message::Text(text) => (0, packet.kind.digit(), text.as_bytes()),
            Message::Binary(bytes) => (1, packet.kind as u8, &bytes[..]),
        };
        body.push(kind);
        let digits = (1 + data.len()).to_string();
        body.extend(digits.bytes().map(|digit| digit - b'0'));
        body.push(0xFF);
        body.push(digit);
        body.extend_from_slice(data);
    }
}

/// The length of UTF-8 text in UTF-16 code units.
fn utf16_len(text: &[u8]) -> usize {
    let starts = text.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    let pairs = text.iter().filter(|byte| **byte >= 0xF0).count();
    starts + pairs
}

impl<'a> Packet<'a> {
    /// Its text, where the data are text.
    #[must_use]
    pub const fn text(&self) -> Option<&'a str> {
        match self.data {
            Data::Text(text) => Some(text),
            Data::Binary(_) => None,
        }
    }
}

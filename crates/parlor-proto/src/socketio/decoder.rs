//! From Engine.IO messages to packets.

use std::borrow::Cow;

use bytes::Bytes;

use super::options::Limits;
use super::packet::{Packet, PacketType};
use super::{DecodeError, payload};

/// The largest acknowledgement id: what JavaScript counts exactly, 2^53 - 1.
const ID_MAX: u64 = (1 << 53) - 1;

/// The most digits of a number of attachments that are looked at.
const COUNT_DIGITS_MAX: usize = 9;

/// Puts packets together from text and the attachments that follow it (the default parser).
///
/// 8 bytes, and nothing on the heap unless attachments are awaited. After an error it is of no
/// more use: the connection is to be closed.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    packet: Packet<'static>,
    missing: usize,
    bytes: usize,
}

impl Decoder {
    /// A decoder that awaits a packet.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: None }
    }

    /// A text message came in. Returns the packet, unless attachments are to follow.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; the packet is checked as a whole here, its placeholders included.
    pub fn text<'a>(
        &mut self,
        text: &'a str,
        limits: &Limits,
    ) -> Result<Option<Packet<'a>>, DecodeError> {
        if self.partial.take().is_some() {
            return Err(DecodeError::ViolationTextForBinary);
        }
        let (packet, missing) = parse(text, limits.attachments_max)?;
        if missing == 0 {
            return Ok(Some(packet));
        }
        check_bytes(text.len(), limits.packet_bytes_max)?;
        self.partial = Some(Box::new(Partial {
            packet: packet.into_owned(),
            missing,
            bytes: text.len(),
        }));
        Ok(None)
    }

    /// A binary message came in: the next attachment. Returns the packet with its last one.
    ///
    /// # Errors
    ///
    /// [`DecodeError::ViolationStrayBinary`] where none is awaited,
    /// [`DecodeError::LimitPacketBytes`].
    pub fn binary(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<Packet<'static>>, DecodeError> {
        let Some(mut partial) = self.partial.take() else {
            return Err(DecodeError::ViolationStrayBinary);
        };
        partial.bytes = partial.bytes.saturating_add(bytes.len());
        check_bytes(partial.bytes, limits.packet_bytes_max)?;
        let attachments = &mut partial.packet.attachments;
        attachments.push(Bytes::copy_from_slice(bytes));
        if attachments.len() == partial.missing {
            return Ok(Some(partial.packet));
        }
        self.partial = Some(partial);
        Ok(None)
    }

    /// Whether attachments are awaited.
    #[must_use]
    pub const fn is_mid_packet(&self) -> bool {
        self.partial.is_some()
    }

    /// The bytes of a packet whose attachments are awaited.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.bytes)
    }
}

const fn check_bytes(bytes: usize, bytes_max: usize) -> Result<(), DecodeError> {
    if bytes > bytes_max {
        return Err(DecodeError::LimitPacketBytes { bytes, bytes_max });
    }
    Ok(())
}

/// Checks a packet that somebody else has read.
pub(super) fn check(packet: &Packet<'_>, limits: &Limits) -> Result<(), DecodeError> {
    let attachments_max = limits.attachments_max;
    let attachments = packet.attachments.len();
    if attachments > attachments_max {
        return Err(DecodeError::LimitAttachments { attachments_max });
    }
    if attachments > 0 && !matches!(packet.kind, PacketType::Event | PacketType::Ack) {
        return Err(DecodeError::MalformedAttachments);
    }
    check_bytes(packet.payload_bytes(), limits.packet_bytes_max)?;
    if !packet.namespace.starts_with('/') {
        return Err(DecodeError::MalformedNamespace);
    }
    if packet.id.is_some_and(|id| id > ID_MAX) {
        return Err(DecodeError::MalformedId);
    }
    payload::check(packet.kind, packet.payload.as_deref(), attachments)
}

/// Reads the text of a packet; also how many attachments it announces.
pub(super) fn parse(
    text: &str,
    attachments_max: usize,
) -> Result<(Packet<'_>, usize), DecodeError> {
    let (kind, attachments, rest) = head(text, attachments_max)?;
    let (namespace, rest) = namespace(rest);
    let (id, rest) = id(rest)?;
    let payload = (!rest.is_empty()).then_some(rest);
    payload::check(kind, payload, attachments)?;
    let packet = Packet {
        kind,
        namespace: Cow::Borrowed(namespace),
        id,
        payload: payload.map(Cow::Borrowed),
        attachments: Vec::new(),
        msgpack: None,
    };
    Ok((packet, attachments))
}

/// The type, the number of attachments, and what follows.
fn head(text: &str, attachments_max: usize) -> Result<(PacketType, usize, &str), DecodeError> {
    let mut rest = text.chars();
    let kind = rest.next().ok_or(DecodeError::MalformedType)?;
    let rest = rest.as_str();
    Ok(match kind {
        '0' => (PacketType::Connect, 0, rest),
        '1' => (PacketType::Disconnect, 0, rest),
        '2' => (PacketType::Event, 0, rest),
        '3' => (PacketType::Ack, 0, rest),
        '4' => (PacketType::ConnectError, 0, rest),
        '5' | '6' => {
            let (attachments, rest) = attachments(rest, attachments_max)?;
            let kind = if kind == '5' {
                PacketType::Event
            } else {
                PacketType::Ack
            };
            (kind, attachments, rest)
        }
        _ => return Err(DecodeError::MalformedType),
    })
}

/// `<n>-`, from 1 to the limit.
fn attachments(text: &str, attachments_max: usize) -> Result<(usize, &str), DecodeError> {
    let (digits, rest) = digits(text);
    let rest = rest
        .strip_prefix('-')
        .filter(|_| !digits.is_empty())
        .ok_or(DecodeError::MalformedAttachments)?;
    // A number with more digits is over any limit.
    let count = if digits.len() > COUNT_DIGITS_MAX {
        usize::MAX
    } else {
        digits.parse().unwrap_or(usize::MAX)
    };
    match count {
        0 => Err(DecodeError::MalformedAttachments),
        count if count > attachments_max => Err(DecodeError::LimitAttachments { attachments_max }),
        count => Ok((count, rest)),
    }
}

/// `/nsp,`; the comma may be left out where nothing follows.
fn namespace(text: &str) -> (&str, &str) {
    if text.starts_with('/') {
        text.split_once(',').unwrap_or((text, ""))
    } else {
        ("/", text)
    }
}

fn id(text: &str) -> Result<(Option<u64>, &str), DecodeError> {
    let (digits, rest) = digits(text);
    if digits.is_empty() {
        return Ok((None, rest));
    }
    let id = digits.parse().ok().filter(|id| *id <= ID_MAX);
    Ok((Some(id.ok_or(DecodeError::MalformedId)?), rest))
}

/// Leading decimal digits, and what follows.
fn digits(text: &str) -> (&str, &str) {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(len)
}

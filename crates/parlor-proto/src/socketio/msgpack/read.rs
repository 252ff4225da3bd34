//! From MessagePack to packets.

use std::borrow::Cow;

use bytes::Bytes;

use super::date;
use crate::socketio::json::{self, DEPTH_MAX};
use crate::socketio::packet::{Packet, PacketType};
use crate::socketio::{DecodeError, Limits, payload};

/// The largest acknowledgement id: what JavaScript counts exactly, 2^53 - 1.
const ID_MAX: u64 = (1 << 53) - 1;

/// Reads a packet. Its payload becomes JSON: binary data become attachments, dates text,
/// `undefined` null (or no member), numbers that are not finite null. [`Packet::msgpack`] keeps it
/// as it stood.
///
/// # Errors
///
/// [`DecodeError`]: as for a packet in text, and for what is no MessagePack.
pub fn decode(message: &[u8], limits: &Limits) -> Result<Packet<'static>, DecodeError> {
    let mut reader = Reader::new(message);
    let mut parts = Parts::default();
    let Item::Map(members) = reader.item()? else {
        return Err(DecodeError::MalformedMsgpack);
    };
    for _ in 0..members {
        let Item::Text(key) = reader.item()? else {
            return Err(DecodeError::MalformedMsgpack);
        };
        match key {
            "type" => parts.kind = Some(kind(&reader.item()?)?),
            "nsp" => parts.namespace = Some(namespace(&reader.item()?)?),
            "id" => parts.id = id(&reader.item()?)?,
            "data" => parts.read_data(&mut reader, limits)?,
            // Clients write their flags too.
            _ => reader.skip()?,
        }
    }
    if reader.rest.is_empty() {
        parts.packet()
    } else {
        Err(DecodeError::MalformedMsgpack)
    }
}

/// The members of a packet, as far as they have come.
#[derive(Default)]
struct Parts {
    kind: Option<PacketType>,
    namespace: Option<String>,
    id: Option<u64>,
    payload: Option<String>,
    attachments: Vec<Bytes>,
    msgpack: Option<Bytes>,
}

impl Parts {
    fn read_data(&mut self, reader: &mut Reader<'_>, limits: &Limits) -> Result<(), DecodeError> {
        self.attachments.clear();
        let before = reader.rest;
        let mut json = String::new();
        reader.json(&mut json, &mut self.attachments, limits.attachments_max)?;
        let len = before.len() - reader.rest.len();
        let raw = before.get(..len).unwrap_or_default();
        self.msgpack = Some(Bytes::copy_from_slice(raw));
        // Clients in Python write a nil where there is nothing.
        self.payload = (json != "null").then_some(json);
        Ok(())
    }

    fn packet(self) -> Result<Packet<'static>, DecodeError> {
        let kind = self.kind.ok_or(DecodeError::MalformedMsgpack)?;
        let namespace = self.namespace.ok_or(DecodeError::MalformedMsgpack)?;
        payload::check(kind, self.payload.as_deref(), self.attachments.len())?;
        let has_arguments = matches!(kind, PacketType::Event | PacketType::Ack);
        if !has_arguments && !self.attachments.is_empty() {
            return Err(DecodeError::ViolationPayload);
        }
        Ok(Packet {
            kind,
            namespace: Cow::Owned(namespace),
            id: self.id,
            payload: self.payload.map(Cow::Owned),
            attachments: self.attachments,
            msgpack: self.msgpack.filter(|_| has_arguments),
        })
    }
}

fn kind(item: &Item<'_>) -> Result<PacketType, DecodeError> {
    Ok(match item {
        Item::Whole(0) => PacketType::Connect,
        Item::Whole(1) => PacketType::Disconnect,
        Item::Whole(2) => PacketType::Event,
        Item::Whole(3) => PacketType::Ack,
        Item::Whole(4) => PacketType::ConnectError,
        _ => return Err(DecodeError::MalformedType),
    })
}

fn namespace(item: &Item<'_>) -> Result<String, DecodeError> {
    match item {
        // A comma would end it in text.
        Item::Text(text) if text.starts_with('/') && !text.contains(',') => Ok((*text).to_owned()),
        _ => Err(DecodeError::MalformedNamespace),
    }
}

fn id(item: &Item<'_>) -> Result<Option<u64>, DecodeError> {
    match item {
        Item::Whole(id) if *id <= ID_MAX => Ok(Some(*id)),
        Item::Nil | Item::Undefined => Ok(None),
        _ => Err(DecodeError::MalformedId),
    }
}

/// A value of MessagePack, or the head of an array or map.
#[derive(Clone, Copy, Debug)]
enum Item<'a> {
    Nil,
    Undefined,
    Bool(bool),
    Whole(u64),
    Negative(i64),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    /// Milliseconds since 1970.
    Date(i64),
    Array(u32),
    Map(u32),
}

/// An array or map that is being read.
struct Frame {
    missing: u32,
    is_map: bool,
    is_first: bool,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Reads a whole value as JSON.
    fn json(
        &mut self,
        out: &mut String,
        attachments: &mut Vec<Bytes>,
        attachments_max: usize,
    ) -> Result<(), DecodeError> {
        let mut open: Vec<Frame> = Vec::new();
        loop {
            match self.item()? {
                Item::Binary(_) if attachments.len() == attachments_max => {
                    return Err(DecodeError::LimitAttachments { attachments_max });
                }
                Item::Binary(bytes) => {
                    let number = attachments.len();
                    out.push_str(&crate::socketio::placeholder_json(number));
                    attachments.push(Bytes::copy_from_slice(bytes));
                }
                Item::Array(_) | Item::Map(_) if open.len() == DEPTH_MAX => {
                    return Err(DecodeError::LimitDepth);
                }
                Item::Array(missing) => open.push(Frame::new(missing, false, out)),
                Item::Map(missing) => open.push(Frame::new(missing, true, out)),
                scalar => write_scalar(&scalar, out),
            }
            if !self.go_on(&mut open, out)? {
                return Ok(());
            }
        }
    }

    /// Closes what is complete and writes what stands before the next value; whether there is one.
    fn go_on(&mut self, open: &mut Vec<Frame>, out: &mut String) -> Result<bool, DecodeError> {
        while let Some(frame) = open.last_mut() {
            if frame.missing == 0 {
                out.push(if frame.is_map { '}' } else { ']' });
                open.pop();
                continue;
            }
            frame.missing -= 1;
            if frame.is_map {
                let key = key(&self.item()?)?;
                if self.rest.starts_with(&UNDEFINED) {
                    self.item()?;
                    continue;
                }
                frame.comma(out);
                json::escape_into(&key, out);
                out.push(':');
            } else {
                frame.comma(out);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Goes over a whole value.
    fn skip(&mut self) -> Result<(), DecodeError> {
        // Each value takes at least a byte, so this ends with the message at the latest.
        let mut missing = 1_u64;
        while missing > 0 {
            missing -= 1;
            missing = missing.saturating_add(match self.item()? {
                Item::Array(len) => u64::from(len),
                Item::Map(len) => u64::from(len) * 2,
                _ => 0,
            });
        }
        Ok(())
    }

    fn item(&mut self) -> Result<Item<'a>, DecodeError> {
        let [first] = self.array()?;
        Ok(match first {
            0..=0x7F => Item::Whole(first.into()),
            0x80..=0x8F => Item::Map((first & 0x0F).into()),
            0x90..=0x9F => Item::Array((first & 0x0F).into()),
            0xA0..=0xBF => self.text((first & 0x1F).into())?,
            0xC0 => Item::Nil,
            0xC1 => return Err(DecodeError::MalformedMsgpack),
            0xC2 | 0xC3 => Item::Bool(first == 0xC3),
            0xC4..=0xC6 => {
                let len = self.len(first - 0xC4)?;
                Item::Binary(self.take(len)?)
            }
            0xC7..=0xC9 => {
                let len = self.len(first - 0xC7)?;
                self.extension(len, Fixed::No)?
            }
            0xCA => Item::Float(f32::from_be_bytes(self.array()?).into()),
            0xCB => Item::Float(f64::from_be_bytes(self.array()?)),
            0xCC => Item::Whole(u8::from_be_bytes(self.array()?).into()),
            0xCD => Item::Whole(u16::from_be_bytes(self.array()?).into()),
            0xCE => Item::Whole(u32::from_be_bytes(self.array()?).into()),
            0xCF => Item::Whole(u64::from_be_bytes(self.array()?)),
            0xD0 => signed(i8::from_be_bytes(self.array()?).into()),
            0xD1 => signed(i16::from_be_bytes(self.array()?).into()),
            0xD2 => signed(i32::from_be_bytes(self.array()?).into()),
            0xD3 => signed(i64::from_be_bytes(self.array()?)),
            0xD4..=0xD8 => self.extension(1 << (first - 0xD4), Fixed::Yes)?,
            0xD9..=0xDB => {
                let len = self.len(first - 0xD9)?;
                self.text(len)?
            }
            0xDC => Item::Array(u16::from_be_bytes(self.array()?).into()),
            0xDD => Item::Array(u32::from_be_bytes(self.array()?)),
            0xDE => Item::Map(u16::from_be_bytes(self.array()?).into()),
            0xDF => Item::Map(u32::from_be_bytes(self.array()?)),
            0xE0..=0xFF => signed(i8::from_be_bytes([first]).into()),
        })
    }

    /// A length of one, two or four bytes.
    fn len(&mut self, width: u8) -> Result<usize, DecodeError> {
        let len = match width {
            0 => u8::from_be_bytes(self.array()?).into(),
            1 => u16::from_be_bytes(self.array()?).into(),
            _ => u32::from_be_bytes(self.array()?),
        };
        usize::try_from(len).map_err(|_| DecodeError::MalformedMsgpack)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::MalformedMsgpack)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| DecodeError::MalformedMsgpack)
    }

    fn text(&mut self, len: usize) -> Result<Item<'a>, DecodeError> {
        let text = simdutf8::basic::from_utf8(self.take(len)?);
        text.map(Item::Text)
            .map_err(|_| DecodeError::MalformedMsgpack)
    }

    /// Type 0 is what the client's library makes of values that MessagePack has no type for: one
    /// byte for `undefined`, eight for a date, any length in the longer form for an `ArrayBuffer`.
    /// Type -1 is the timestamp of the specification.
    fn extension(&mut self, len: usize, fixed: Fixed) -> Result<Item<'a>, DecodeError> {
        let kind = i8::from_be_bytes(self.array()?);
        let data = self.take(len)?;
        match (kind, data, fixed) {
            (0, _, Fixed::No) => Ok(Item::Binary(data)),
            (0, [_], Fixed::Yes) => Ok(Item::Undefined),
            (0, [..], Fixed::Yes) if len == 8 => {
                let mut date = Reader::new(data);
                Ok(Item::Date(i64::from_be_bytes(date.array()?)))
            }
            (-1, _, _) => timestamp(data),
            _ => Err(DecodeError::UnsupportedExtension),
        }
    }
}

/// Whether an extension is in one of its short forms, whose lengths are fixed.
#[derive(Clone, Copy)]
enum Fixed {
    Yes,
    No,
}

/// How `undefined` begins.
const UNDEFINED: [u8; 2] = [0xD4, 0x00];

/// The timestamp of the MessagePack specification, of 4, 8 or 12 bytes.
fn timestamp(data: &[u8]) -> Result<Item<'static>, DecodeError> {
    let mut reader = Reader::new(data);
    let (seconds, nanos) = match data.len() {
        4 => (u32::from_be_bytes(reader.array()?).into(), 0),
        8 => {
            let both = u64::from_be_bytes(reader.array()?);
            let seconds = i64::try_from(both & 0x3_FFFF_FFFF).unwrap_or(i64::MAX);
            (seconds, u32::try_from(both >> 34).unwrap_or(0))
        }
        12 => {
            let nanos = u32::from_be_bytes(reader.array()?);
            (i64::from_be_bytes(reader.array()?), nanos)
        }
        _ => return Err(DecodeError::UnsupportedExtension),
    };
    let millis = seconds.saturating_mul(1000);
    Ok(Item::Date(
        millis.saturating_add((nanos / 1_000_000).into()),
    ))
}

fn signed(number: i64) -> Item<'static> {
    u64::try_from(number).map_or(Item::Negative(number), Item::Whole)
}

fn write_scalar(item: &Item<'_>, out: &mut String) {
    match item {
        Item::Bool(true) => out.push_str("true"),
        Item::Bool(false) => out.push_str("false"),
        Item::Whole(number) => out.push_str(&number.to_string()),
        Item::Negative(number) => out.push_str(&number.to_string()),
        Item::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => out.push_str(&number.to_string()),
            None => out.push_str("null"),
        },
        Item::Text(text) => json::escape_into(text, out),
        Item::Date(millis) => match date::iso(*millis) {
            Some(date) => json::escape_into(&date, out),
            None => out.push_str("null"),
        },
        Item::Nil | Item::Undefined | Item::Binary(_) | Item::Array(_) | Item::Map(_) => {
            out.push_str("null");
        }
    }
}

/// The text of a key; numbers are written as text, as JavaScript has them.
fn key<'a>(item: &Item<'a>) -> Result<Cow<'a, str>, DecodeError> {
    match item {
        Item::Text(text) => Ok(Cow::Borrowed(text)),
        Item::Whole(number) => Ok(Cow::Owned(number.to_string())),
        Item::Negative(number) => Ok(Cow::Owned(number.to_string())),
        _ => Err(DecodeError::MalformedMsgpack),
    }
}

impl Frame {
    fn new(missing: u32, is_map: bool, out: &mut String) -> Self {
        out.push(if is_map { '{' } else { '[' });
        Self {
            missing,
            is_map,
            is_first: true,
        }
    }

    fn comma(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.is_first) {
            out.push(',');
        }
    }
}

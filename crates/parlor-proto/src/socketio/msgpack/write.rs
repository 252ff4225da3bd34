//! From packets to MessagePack.

use bytes::Bytes;

use crate::socketio::json::{self, Scanner, Token};
use crate::socketio::packet::{Packet, PacketType};
use crate::socketio::payload::Objects;

/// Writes a packet as one message. A payload that came in MessagePack goes out as it came; one in
/// JSON is written anew, with its attachments in their places. A payload that is no JSON, or is
/// nested deeper than it may be, becomes nil.
#[must_use]
pub fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let data = packet.payload.is_some() || packet.msgpack.is_some();
    let members = 2 + u8::from(data) + u8::from(packet.id.is_some());
    out.push(0x80 | members);
    text("type", &mut out);
    out.push(match packet.kind {
        PacketType::Connect => 0,
        PacketType::Disconnect => 1,
        PacketType::Event => 2,
        PacketType::Ack => 3,
        PacketType::ConnectError => 4,
    });
    if data {
        text("data", &mut out);
    }
    if let Some(raw) = &packet.msgpack {
        out.extend_from_slice(raw);
    } else if let Some(payload) = &packet.payload {
        let start = out.len();
        if value(payload, &packet.attachments, &mut out).is_none() {
            out.truncate(start);
            out.push(0xC0);
        }
    }
    text("nsp", &mut out);
    text(&packet.namespace, &mut out);
    if let Some(id) = packet.id {
        text("id", &mut out);
        whole(id, &mut out);
    }
    out
}

/// The number of elements or members, or the number of an attachment and this bit.
const PLACEHOLDER: u32 = 1 << 31;

/// Appends a JSON text; none where it is none.
fn value(json: &str, attachments: &[Bytes], out: &mut Vec<u8>) -> Option<()> {
    let sizes = sizes(json, attachments.len())?;
    let mut sizes = sizes.into_iter();
    let mut scanner = Scanner::new(json);
    while let Some(token) = scanner.next().ok()? {
        match token {
            Token::ArrayStart => head(sizes.next()?, [0x90, 0xDC, 0xDD], out),
            Token::ObjectStart => {
                let size = sizes.next()?;
                if size & PLACEHOLDER == 0 {
                    head(size, [0x80, 0xDE, 0xDF], out);
                } else {
                    let number = usize::try_from(size & !PLACEHOLDER).ok()?;
                    binary(attachments.get(number)?, out);
                    skip_object(&mut scanner, &mut sizes)?;
                }
            }
            Token::ArrayEnd | Token::ObjectEnd => {}
            Token::Key(range) | Token::String(range) => {
                text(&json::unescape(scanner.get(&range))?, out);
            }
            Token::Number(range) => number(scanner.get(&range), out),
            Token::True => out.push(0xC3),
            Token::False => out.push(0xC2),
            Token::Null => out.push(0xC0),
        }
    }
    Some(())
}

/// Goes over the rest of an object.
fn skip_object(scanner: &mut Scanner<'_>, sizes: &mut impl Iterator<Item = u32>) -> Option<()> {
    let depth = scanner.depth();
    while scanner.depth() >= depth {
        if let Token::ArrayStart | Token::ObjectStart = scanner.next().ok()?? {
            sizes.next()?;
        }
    }
    Some(())
}

/// The sizes of all arrays and objects, in the order of their beginnings: MessagePack wants them
/// first.
fn sizes(json: &str, attachments: usize) -> Option<Vec<u32>> {
    let mut sizes: Vec<u32> = Vec::new();
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut objects = Objects::within(0);
    let mut scanner = Scanner::new(json);
    while let Some(token) = scanner.next().ok()? {
        let placeholder = objects.see(&scanner, &token);
        let counts = match (&token, open.last()) {
            (Token::ArrayEnd | Token::ObjectEnd, _) | (_, None) => false,
            (Token::Key(_), _) => true,
            (_, Some((_, is_object))) => !is_object,
        };
        if counts {
            let size = open.last().and_then(|(index, _)| sizes.get_mut(*index))?;
            *size = size.checked_add(1).filter(|size| *size < PLACEHOLDER)?;
        }
        match token {
            Token::ArrayStart | Token::ObjectStart => {
                open.push((sizes.len(), token == Token::ObjectStart));
                sizes.push(0);
            }
            Token::ArrayEnd | Token::ObjectEnd => {
                let (index, _) = open.pop()?;
                let number = placeholder.flatten().filter(|number| *number < attachments);
                if let Some(number) = number {
                    *sizes.get_mut(index)? = PLACEHOLDER | u32::try_from(number).ok()?;
                }
            }
            _ => {}
        }
    }
    Some(sizes)
}

/// The head of an array or map: short, with two bytes, with four.
fn head(size: u32, [short, two, four]: [u8; 3], out: &mut Vec<u8>) {
    match (u8::try_from(size), u16::try_from(size)) {
        (Ok(size @ 0..=15), _) => out.push(short | size),
        (_, Ok(size)) => prefixed(two, &size.to_be_bytes(), out),
        _ => prefixed(four, &size.to_be_bytes(), out),
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    let len = text.len();
    match u8::try_from(len) {
        Ok(len @ 0..=31) => out.push(0xA0 | len),
        _ => long_head(len, [0xD9, 0xDA, 0xDB], out),
    }
    out.extend_from_slice(text.as_bytes());
}

fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    long_head(bytes.len(), [0xC4, 0xC5, 0xC6], out);
    out.extend_from_slice(bytes);
}

/// A length in one, two or four bytes.
fn long_head(len: usize, [one, two, four]: [u8; 3], out: &mut Vec<u8>) {
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) => prefixed(one, &[len], out),
        (_, Ok(len)) => prefixed(two, &len.to_be_bytes(), out),
        // Nothing of 4 GiB gets here: messages are bounded far below it.
        _ => prefixed(
            four,
            &u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes(),
            out,
        ),
    }
}

fn prefixed(prefix: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(prefix);
    out.extend_from_slice(bytes);
}

/// A number of JSON: whole where it is written so and fits, else a float.
fn number(text: &str, out: &mut Vec<u8>) {
    if let Ok(number) = text.parse::<u64>() {
        whole(number, out);
    } else if let Ok(number) = text.parse::<i64>() {
        negative(number, out);
    } else {
        let number = text.parse::<f64>().unwrap_or(f64::NAN);
        prefixed(0xCB, &number.to_be_bytes(), out);
    }
}

fn whole(number: u64, out: &mut Vec<u8>) {
    match (
        u8::try_from(number),
        u16::try_from(number),
        u32::try_from(number),
    ) {
        (Ok(number @ 0..=0x7F), _, _) => out.push(number),
        (Ok(number), _, _) => prefixed(0xCC, &[number], out),
        (_, Ok(number), _) => prefixed(0xCD, &number.to_be_bytes(), out),
        (_, _, Ok(number)) => prefixed(0xCE, &number.to_be_bytes(), out),
        _ => prefixed(0xCF, &number.to_be_bytes(), out),
    }
}

fn negative(number: i64, out: &mut Vec<u8>) {
    match (
        i8::try_from(number),
        i16::try_from(number),
        i32::try_from(number),
    ) {
        (Ok(number @ -32..), _, _) => out.extend_from_slice(&number.to_be_bytes()),
        (Ok(number), _, _) => prefixed(0xD0, &number.to_be_bytes(), out),
        (_, Ok(number), _) => prefixed(0xD1, &number.to_be_bytes(), out),
        (_, _, Ok(number)) => prefixed(0xD2, &number.to_be_bytes(), out),
        _ => prefixed(0xD3, &number.to_be_bytes(), out),
    }
}

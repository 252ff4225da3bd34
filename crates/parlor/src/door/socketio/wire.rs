//! The forms in which many members hear the same frames.

use bytes::BytesMut;
use parlor_proto::{
    engineio::{self, Message, packet::PacketType},
    socketio::{Packet, Parser, msgpack},
    websocket::frame::{self, Flags, OpCode},
};

use super::{super::Item, said::packet_of};
use crate::embed::socketio::OwnParser;

/// How many forms there are: text over Engine.IO 4, text over Engine.IO 3, MessagePack, and the
/// server's own over Engine.IO 4.
pub(crate) const FORMS: u8 = 4;

const TEXT: u8 = 0;
const TEXT_V3: u8 = 1;
const MSGPACK: u8 = 2;
const OWN: u8 = 3;

/// The form of a client, counted from 0.
pub(super) const fn form(version: engineio::Version, parser: Parser) -> u8 {
    match (parser, version) {
        (Parser::Msgpack, _) => MSGPACK,
        (Parser::Json, engineio::Version::V4) => TEXT,
        (Parser::Json, engineio::Version::V3) => TEXT_V3,
    }
}

/// The form of a client where the server has a parser of its own. Over Engine.IO 3 there is none:
/// such clients are few.
pub(super) fn own_form(version: engineio::Version) -> Option<u8> {
    (version == engineio::Version::V4).then_some(OWN)
}

/// Appends an item as whole frames, as the server's own parser writes it.
fn encode_own(parser: &OwnParser, packet: &Packet<'_>, text: &mut String, out: &mut BytesMut) {
    for message in parser.encode(packet) {
        match message {
            Message::Text(said) => {
                text.clear();
                text.push(char::from(PacketType::Message.digit()));
                text.push_str(said.as_str());
                frame::encode(out, Flags::FIN, OpCode::Text, text.as_bytes());
            }
            Message::Binary(bytes) => frame::encode(out, Flags::FIN, OpCode::Binary, &bytes),
        }
    }
}

/// Appends an item as whole frames: a packet's text, and its attachments right behind it. Nothing
/// where Socket.IO has no word for it. `text` is working memory.
pub(crate) fn encode(
    (form, own): (u8, Option<&OwnParser>),
    item: &Item,
    text: &mut String,
    out: &mut BytesMut,
) {
    let Some(packet) = packet_of(item) else {
        return;
    };
    if form == OWN {
        if let Some(own) = own {
            encode_own(own, &packet, text, out);
        }
        return;
    }
    if form == MSGPACK {
        let bytes = msgpack::encode(&packet);
        return frame::encode(out, Flags::FIN, OpCode::Binary, &bytes);
    }
    text.clear();
    text.push(char::from(PacketType::Message.digit()));
    packet.encode_text(text);
    frame::encode(out, Flags::FIN, OpCode::Text, text.as_bytes());
    let mut typed = Vec::new();
    for attachment in &packet.attachments {
        if form == TEXT_V3 {
            typed.clear();
            typed.push(PacketType::Message as u8);
            typed.extend_from_slice(attachment);
            frame::encode(out, Flags::FIN, OpCode::Binary, &typed);
        } else {
            frame::encode(out, Flags::FIN, OpCode::Binary, attachment);
        }
    }
}

/// Where the packet ends in which offset `sent` of whole `frames` lies: the last frame of its
/// attachments, since nothing may come between.
pub(crate) fn boundary(frames: &[u8], sent: usize) -> usize {
    let mut end = 0;
    let mut owed = 0;
    while end < sent || owed > 0 {
        let rest = frames.get(end..).unwrap_or_default();
        let Ok(Some((header, len))) = frame::decode_header(rest) else {
            return frames.len();
        };
        let payload = rest.get(len..).unwrap_or_default();
        owed = match header.opcode {
            OpCode::Text => attachments(payload),
            OpCode::Binary => owed.saturating_sub(1),
            _ => owed,
        };
        let size = usize::try_from(header.len).unwrap_or(usize::MAX);
        end = end.saturating_add(len).saturating_add(size);
        if end >= frames.len() {
            return frames.len();
        }
    }
    end
}

/// How many attachments the text of a packet announces.
fn attachments(text: &[u8]) -> usize {
    let [b'4', b'5' | b'6', rest @ ..] = text else {
        return 0;
    };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(digits);
    match (str::from_utf8(digits).map(str::parse), rest) {
        (Ok(Ok(count)), [b'-', ..]) => count,
        _ => 0,
    }
}

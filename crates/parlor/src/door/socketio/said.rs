//! What is said in Socket.IO, and how it becomes a message that everybody hears.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use parlor_hub::{Draft, Message, Payload, Rider, RoomName, ShardId};
use parlor_proto::{
    signal::{Content, parse_data},
    socketio::{EventName, Packet, PacketType, json, placeholder_json},
};

use super::super::{Item, item::RELAY};

/// The main namespace: its rooms are those of all doors.
pub(crate) const MAIN: &str = "/";

/// An event as Socket.IO clients hear it. It rides on the message that the others hear.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// None for the main one.
    pub(crate) namespace: Option<Arc<str>>,
    /// The JSON array of the name and the arguments.
    pub(crate) payload: Box<str>,
    pub(crate) attachments: Vec<Bytes>,
    /// The payload as it stood in MessagePack.
    pub(crate) msgpack: Option<Bytes>,
    /// Who is to hear it of those in the room, unless that is everybody.
    pub(crate) filter: Option<Box<Filter>>,
    /// Those who cannot take it at once need not hear it.
    pub(crate) volatile: bool,
    /// It is not to be compressed.
    pub(crate) plain: bool,
}

/// Who of a room is to hear an event. Looked at on each shard, when it is delivered there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// The same in all copies of an event that goes to several rooms: each member hears one.
    pub(crate) copies: Option<CopyId>,
    /// Only these sockets, by their ids; everybody where none is given.
    pub(crate) only: Option<Vec<Arc<str>>>,
    /// Nobody who is in one of these rooms.
    pub(crate) except_rooms: Vec<RoomName>,
    /// None of these sockets.
    pub(crate) except_sockets: Vec<Arc<str>>,
}

/// What the copies of one event have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CopyId {
    pub(crate) shard: ShardId,
    pub(crate) number: u64,
}

impl Said {
    /// An event as it came in.
    pub(crate) fn new(packet: Packet<'_>) -> Self {
        Self {
            namespace: namespace(&packet.namespace),
            payload: packet.payload.unwrap_or_default().into(),
            attachments: packet.attachments,
            msgpack: packet.msgpack,
            filter: None,
            volatile: false,
            plain: false,
        }
    }

    /// The event as a packet.
    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet {
            kind: PacketType::Event,
            namespace: Cow::Borrowed(self.namespace.as_deref().unwrap_or(MAIN)),
            id: None,
            payload: Some(Cow::Borrowed(&self.payload)),
            attachments: self.attachments.clone(),
            msgpack: self.msgpack.clone(),
        }
    }

    /// The message that it is for everybody.
    pub(crate) fn into_draft(self) -> Draft {
        let packet = self.packet();
        let (event, payload) = match self.namespace {
            None => (event_of(&packet), payload_of(&packet)),
            // Nobody else is in the rooms of another namespace.
            Some(_) => (None, Payload::Json(Bytes::new())),
        };
        let mut draft = Draft::new(payload);
        draft.event = event;
        draft.rider = Some(self.into_rider());
        draft
    }

    fn into_rider(self) -> Rider {
        let attachments: usize = self.attachments.iter().map(Bytes::len).sum();
        let msgpack = self.msgpack.as_ref().map_or(0, Bytes::len);
        let bytes = size_of::<Self>() + self.payload.len() + attachments + msgpack;
        Rider::new(self, bytes)
    }
}

/// A namespace as it is kept.
pub(crate) fn namespace(name: &str) -> Option<Arc<str>> {
    (name != MAIN).then(|| name.into())
}

/// The event's name for those of other doors; none stands for `message`.
fn event_of(packet: &Packet<'_>) -> Option<Arc<str>> {
    let name = packet.event_name()?;
    (name.as_str() != "message").then(|| name.as_str().into())
}

/// The arguments for those of other doors: one stands for itself, others are an array.
fn payload_of(packet: &Packet<'_>) -> Payload {
    let mut arguments = packet.arguments();
    if let (Some(only), None) = (arguments.next(), arguments.next()) {
        let attachment = match packet.attachments.is_empty() {
            true => None,
            false => packet.attachment(only),
        };
        return match attachment {
            Some(bytes) => Payload::Binary(bytes.clone()),
            None => payload_of_json(&packet.inline(only)),
        };
    }
    let mut array = String::from("[");
    for (index, argument) in packet.arguments().enumerate() {
        if index > 0 {
            array.push(',');
        }
        array.push_str(&packet.inline(argument));
    }
    array.push(']');
    Payload::Json(array.into())
}

fn payload_of_json(json: &str) -> Payload {
    if let Some(Cow::Borrowed(text)) = json::unescape(json) {
        return Payload::Text(Bytes::copy_from_slice(text.as_bytes()));
    }
    match parse_data(json) {
        Ok(Content::Text(text)) => Payload::Text(text.into()),
        Ok(Content::Binary(bytes)) => Payload::Binary(bytes.into()),
        Ok(Content::Json) | Err(_) => Payload::Json(Bytes::copy_from_slice(json.as_bytes())),
    }
}

/// What rides on a message that came through this door.
pub(crate) fn said(message: &Message) -> Option<&Said> {
    message.rider.as_ref()?.get()
}

/// Whether those need not hear a message who cannot take it at once.
pub(crate) fn is_volatile(message: &Message) -> bool {
    said(message).is_some_and(|said| said.volatile)
}

/// Whether an item is not to be compressed.
pub(crate) fn is_plain(item: &Item) -> bool {
    match item {
        Item::Message(message) => said(message).is_some_and(|said| said.plain),
        Item::Notice(..) | Item::Broadcast(_) => false,
    }
}

/// An item as Socket.IO says it; none where it has no word for it.
pub(crate) fn packet_of(item: &Item) -> Option<Packet<'_>> {
    let Item::Message(message) = item else {
        return None;
    };
    if let Some(said) = said(message) {
        return Some(said.packet());
    }
    let name = message.event_name();
    // Such a name is no event: the client would end its connection.
    if message.hint == RELAY || EventName::Text(Cow::Borrowed(name)).is_reserved() {
        return None;
    }
    let packet = Packet::event(MAIN, name, [&*argument_of(&message.payload)]);
    Some(
        match &message.payload {
            Payload::Binary(bytes) => packet.with_attachments(vec![bytes.clone()]),
            _ => packet,
        }
        .into_owned(),
    )
}

/// A payload of another door as an argument.
fn argument_of(payload: &Payload) -> Cow<'_, str> {
    match payload {
        Payload::Text(text) => {
            let mut json = String::with_capacity(text.len() + 2);
            json::escape_into(str::from_utf8(text).unwrap_or_default(), &mut json);
            Cow::Owned(json)
        }
        Payload::Binary(_) => Cow::Owned(placeholder_json(0)),
        other => Cow::Borrowed(str::from_utf8(other.bytes()).unwrap_or("null")),
    }
}

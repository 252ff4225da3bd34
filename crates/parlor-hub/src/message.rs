//! Messages: what is said, by whom, to whom, and in which place of the room's order.

use std::any::Any;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::member::MemberId;
use crate::room::RoomName;

/// The place of a message in its room: `{epoch}-{offset}`.
///
/// The epoch is drawn when the room is created, so an id of an earlier life of the room is never
/// mistaken for one of this life. Offsets begin at 1 and rise by 1 in the order that every member
/// sees; 0 stands for "before the first message".
///
/// The text form is one form only: eight lower-case hexadecimal digits, `-`, the offset in decimal
/// without leading zeros, as `0012fe9c-417`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The life of the room.
    pub epoch: u32,
    /// The place in that life.
    pub offset: u64,
}

/// Text that is not a [`MessageId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message id of the form epoch-offset")]
pub struct MalformedMessageId;

/// What is said. The bytes are shared, never copied by the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Payload {
    /// UTF-8 text; whoever publishes has checked it.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// One JSON value as UTF-8 text; whoever publishes has checked it.
    Json(Bytes),
}

/// What goes first when a member cannot take everything. It never reorders a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three priorities are part of the protocol"
)]
pub enum Priority {
    /// Dropped first.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Dropped last.
    High,
}

/// Who is to hear a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a new audience concerns everyone who publishes"
)]
pub enum Audience {
    /// Every member of the room, the sender too.
    Room,
    /// Every member of the room but the sender.
    Others,
    /// Every member of the room but this one, whoever publishes.
    Except(MemberId),
    /// One member, provided that it is in the room. Such a message has no id and is not kept.
    Member(MemberId),
}

/// Who published a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The sender's id.
    pub id: MemberId,
    /// The sender's name when it published.
    pub name: Option<Arc<str>>,
}

/// A message in its place. Shared as `Arc<Message>` by everyone who delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The place in the room; none for a message to one member.
    pub id: Option<MessageId>,
    /// The room it was published in.
    pub room: RoomName,
    /// The event name; none stands for `message`.
    pub event: Option<Arc<str>>,
    /// What is said.
    pub payload: Payload,
    /// Who said it; none where no member did.
    pub from: Option<Sender>,
    /// What may be dropped first.
    pub priority: Priority,
    /// A number of the publisher's shell that is carried unread; 0 stands for none.
    pub hint: u32,
    /// More of the publisher's shell that is carried unread.
    pub rider: Option<Rider>,
}

/// Something of the shell's that travels with a message, unread by the hub. A clone shares it.
#[derive(Clone)]
pub struct Rider {
    inside: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

/// A message before it has a place: what a publisher gives.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The event name; none stands for `message`.
    pub event: Option<Arc<str>>,
    /// What is said. Its size is the publisher's to bound.
    pub payload: Payload,
    /// What may be dropped first.
    pub priority: Priority,
    /// Who is to hear it.
    pub audience: Audience,
    /// Where given, [`Effect::Published`](crate::Effect::Published) or
    /// [`Effect::Refused`](crate::Effect::Refused) carries it back.
    pub token: Option<u64>,
    /// Carried unread to every listener; 0 stands for none.
    pub hint: u32,
    /// Carried unread to every listener.
    pub rider: Option<Rider>,
}

impl MessageId {
    /// A message id from its two parts.
    #[must_use]
    pub const fn new(epoch: u32, offset: u64) -> Self {
        Self { epoch, offset }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.epoch, self.offset)
    }
}

impl FromStr for MessageId {
    type Err = MalformedMessageId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, offset) = text.split_once('-').ok_or(MalformedMessageId)?;
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if epoch.len() != 8 || !epoch.bytes().all(lower_hex) {
            return Err(MalformedMessageId);
        }
        let leading_zero = offset.len() > 1 && offset.starts_with('0');
        if leading_zero || !offset.bytes().all(|b| b.is_ascii_digit()) {
            return Err(MalformedMessageId);
        }
        let epoch = u32::from_str_radix(epoch, 16).map_err(|_| MalformedMessageId)?;
        let offset = offset.parse().map_err(|_| MalformedMessageId)?;
        Ok(Self { epoch, offset })
    }
}

impl Payload {
    /// The bytes, whatever they stand for.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        match self {
            Self::Text(bytes) | Self::Binary(bytes) | Self::Json(bytes) => bytes,
        }
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

impl Message {
    /// The event name, also where none was given: `message`. Where a slow member is to have only
    /// the newest message of each event, this is what tells them apart.
    #[must_use]
    pub fn event_name(&self) -> &str {
        self.event.as_deref().unwrap_or("message")
    }

    /// What the message costs in memory, in bytes, near enough to hold bounds with: its text and
    /// payload, and a fixed part for the rest.
    #[must_use]
    pub fn cost(&self) -> usize {
        let event = self.event.as_ref().map_or(0, |event| event.len());
        let rider = self.rider.as_ref().map_or(0, Rider::bytes);
        size_of::<Self>() + event + self.payload.len() + rider
    }
}

impl Rider {
    /// Something that costs so many bytes of memory.
    #[must_use]
    pub fn new(inside: impl Any + Send + Sync, bytes: usize) -> Self {
        Self {
            inside: Arc::new(inside),
            bytes,
        }
    }

    /// What was put in, where it is of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.inside.downcast_ref()
    }

    /// What it costs in memory, as its maker has said.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl PartialEq for Rider {
    /// Whether both are the same thing, not only alike.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inside, &other.inside)
    }
}

impl Eq for Rider {}

impl fmt::Debug for Rider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rider")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Draft {
    /// A draft with the usual choices: event `message`, normal priority, to everyone but the
    /// sender, without a token.
    #[must_use]
    pub const fn new(payload: Payload) -> Self {
        Self {
            event: None,
            payload,
            priority: Priority::Normal,
            audience: Audience::Others,
            token: None,
            hint: 0,
            rider: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_has_one_text_form() {
        let id = MessageId::new(0x0012_fe9c, 417);
        assert_eq!(id.to_string(), "0012fe9c-417");
        assert_eq!("0012fe9c-417".parse(), Ok(id));
        assert_eq!("00000000-0".parse(), Ok(MessageId::new(0, 0)));
        let last = MessageId::new(u32::MAX, u64::MAX);
        assert_eq!(last.to_string().parse(), Ok(last));
        let malformed = [
            "",
            "-",
            "1",
            "0012fe9c",
            "0012fe9c-",
            "-417",
            "0012FE9C-417",
            "12fe9c-417",
            "0012fe9c-0417",
            "0012fe9c-+1",
            "0012fe9c--1",
            "0012fe9c-1 ",
            "+012fe9c-1",
            "0012fe9c-18446744073709551616",
            "00012fe9c-1",
            "0012fe9é-1",
        ];
        for text in malformed {
            assert_eq!(
                text.parse::<MessageId>(),
                Err(MalformedMessageId),
                "{text:?}"
            );
        }
    }

    #[test]
    fn priorities_are_ordered() {
        assert!(Priority::Low < Priority::Normal && Priority::Normal < Priority::High);
    }
}

//! From packets to Engine.IO messages.

use bytes::Bytes;

use super::msgpack;
use super::options::Parser;
use super::packet::{Packet, PacketType};
use crate::engineio::{Message, Text};

/// A packet as it is sent: one message, and its attachments right behind it. Nothing else may be
/// sent on the connection in between.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the parts of what is sent")]
pub struct Encoded {
    /// Text, or one binary message of MessagePack.
    pub head: Message,
    /// What follows the text.
    pub attachments: Vec<Bytes>,
}

impl Encoded {
    /// The messages in their order.
    pub fn messages(&self) -> impl Iterator<Item = Message> {
        let attachments = self.attachments.iter().cloned().map(Message::Binary);
        std::iter::once(self.head.clone()).chain(attachments)
    }

    /// The bytes of all messages.
    #[must_use]
    pub fn len(&self) -> usize {
        let attachments: usize = self.attachments.iter().map(Bytes::len).sum();
        self.head.len() + attachments
    }

    /// Whether there is not one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl IntoIterator for Encoded {
    type Item = Message;
    type IntoIter = std::iter::Chain<
        std::iter::Once<Message>,
        std::iter::Map<std::vec::IntoIter<Bytes>, fn(Bytes) -> Message>,
    >;

    fn into_iter(self) -> Self::IntoIter {
        let binary: fn(Bytes) -> Message = Message::Binary;
        std::iter::once(self.head).chain(self.attachments.into_iter().map(binary))
    }
}

/// What stands before the payload is seldom longer.
const HEAD_BYTES: usize = 16;

impl Packet<'_> {
    /// Writes the packet.
    #[must_use]
    pub fn encode(&self, parser: Parser) -> Encoded {
        match parser {
            Parser::Json => {
                let payload = self.payload.as_ref().map_or(0, |payload| payload.len());
                let mut head = String::with_capacity(HEAD_BYTES + payload);
                self.encode_text(&mut head);
                Encoded {
                    head: Message::Text(Text::from(head)),
                    attachments: self.attachments.clone(),
                }
            }
            Parser::Msgpack => Encoded {
                head: Message::Binary(msgpack::encode(self).into()),
                attachments: Vec::new(),
            },
        }
    }

    /// Appends the text of the packet; its attachments are to follow as messages of their own.
    pub fn encode_text(&self, out: &mut String) {
        let attachments = self.attachments.len();
        out.push(match (self.kind, attachments) {
            (PacketType::Connect, _) => '0',
            (PacketType::Disconnect, _) => '1',
            (PacketType::Event, 0) => '2',
            (PacketType::Ack, 0) => '3',
            (PacketType::ConnectError, _) => '4',
            (PacketType::Event, _) => '5',
            (PacketType::Ack, _) => '6',
        });
        if attachments > 0 && matches!(self.kind, PacketType::Event | PacketType::Ack) {
            out.push_str(&attachments.to_string());
            out.push('-');
        }
        if self.namespace != "/" {
            out.push_str(&self.namespace);
            out.push(',');
        }
        if let Some(id) = self.id {
            out.push_str(&id.to_string());
        }
        out.push_str(self.payload.as_deref().unwrap_or_default());
    }
}

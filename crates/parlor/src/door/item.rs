//! What a room's members hear, whatever they speak.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use parlor_hub::{Message, Notice, Payload, Priority, RoomName};

use crate::embed;

/// The mark of a message that is handed to its target as the JSON text that it is: a description
/// or a candidate. Carried as [`Message::hint`].
pub(crate) const RELAY: u32 = 1;

/// The mark of a message that sets the delay before event streams reconnect.
pub(crate) fn retry_hint(retry_ms: u32) -> u32 {
    retry_ms.saturating_add(RETRY)
}

/// The delay that [`retry_hint`] has put into a mark.
pub(super) fn retry_ms(hint: u32) -> Option<u32> {
    hint.checked_sub(RETRY)
}

/// Marks from here on stand for a delay.
const RETRY: u32 = 2;

/// One thing that members of a room hear.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// A message.
    Message(Arc<Message>),
    /// Who came, went or changed.
    Notice(RoomName, Arc<Notice>),
    /// What everybody at an endpoint hears, in no room.
    Broadcast(Payload),
}

impl Item {
    /// About how many bytes its encoding takes.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Message(message) => message.payload.len(),
            Self::Notice(..) => 256,
            Self::Broadcast(payload) => payload.len(),
        }
    }

    /// What embedders' members hear of it, as a message of its own.
    pub(super) fn as_message(&self) -> Option<embed::Message> {
        match self {
            Self::Message(message) => Some(embed::Message::of_payload(&message.payload)),
            Self::Broadcast(payload) => Some(embed::Message::of_payload(payload)),
            Self::Notice(..) => None,
        }
    }

    /// Whether those need not hear it who cannot take it at once.
    pub(crate) fn is_volatile(&self) -> bool {
        match self {
            Self::Message(message) => super::socketio::is_volatile(message),
            Self::Notice(..) | Self::Broadcast(_) => false,
        }
    }

    /// Whether it is a message.
    pub(crate) const fn is_message(&self) -> bool {
        matches!(self, Self::Message(_) | Self::Broadcast(_))
    }

    /// What a newer message takes the place of an older one by, where a room conflates: a hash of
    /// the event name. Notices are never conflated.
    pub(crate) fn event_hash(&self) -> Option<u64> {
        match self {
            Self::Message(message) => {
                let mut hasher = DefaultHasher::new();
                message.event.hash(&mut hasher);
                Some(hasher.finish())
            }
            Self::Notice(..) | Self::Broadcast(_) => None,
        }
    }

    /// What goes first for a slow member. Who is in a room is not told twice, so it is not dropped
    /// early.
    pub(crate) fn priority(&self) -> Priority {
        match self {
            Self::Message(message) => message.priority,
            Self::Notice(..) => Priority::High,
            Self::Broadcast(_) => Priority::Normal,
        }
    }
}

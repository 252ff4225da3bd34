//! What a room remembers, and how a returning member asks for it.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use crate::message::{Message, MessageId};
use crate::room::RoomName;
use crate::table::RoomOptions;

/// What a joining member has heard before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "both ways to ask are part of the protocol"
)]
pub enum Resume {
    /// Everything up to this message: replay what came after it.
    Since(MessageId),
    /// Nothing: replay the last messages, at most so many and at most what is held.
    Last(usize),
}

/// Something that a returning member asked for is not held any more, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The oldest message still held; none where nothing is.
    pub oldest: Option<MessageId>,
}

/// The log of one room, kept by the room's home.
///
/// The messages in it have ids of one epoch and consecutive offsets: a log loses its oldest
/// messages and no others. All verbs answer at once; a log that lies on a slow medium keeps in
/// memory what may be asked for.
pub trait History: Debug + Send {
    /// The last message of an earlier life of the room, where the log has outlived it. The room
    /// then goes on in that epoch, after that offset. Asked once, when the room is made.
    fn last(&self) -> Option<MessageId> {
        None
    }

    /// Whether the messages are still there when the room is made again. Such a room does not
    /// have to live for them. False for a log that goes with its room.
    fn outlives_room(&self) -> bool {
        false
    }

    /// Takes the next message, and drops the oldest ones where a bound is passed. The message has
    /// an id.
    fn append(&mut self, now_ms: u64, message: &Arc<Message>);

    /// The offset of the oldest message held.
    fn oldest(&self) -> Option<u64>;

    /// The messages held after an offset, in order.
    fn after(&self, offset: u64) -> Vec<Arc<Message>>;

    /// When [`expire`](Self::expire) has something to drop; none where nothing is held.
    fn due_ms(&self) -> Option<u64>;

    /// Drops what is too old.
    fn expire(&mut self, now_ms: u64);

    /// Drops the oldest message, to save memory; false if there was none.
    fn shed(&mut self) -> bool;

    /// The memory held, in bytes, as [`Message::cost`] counts it.
    fn bytes(&self) -> usize;

    /// The number of messages held.
    fn messages(&self) -> usize;
}

/// Where logs come from. [`Hub::with_histories`](crate::Hub::with_histories) puts another one in
/// the place of memory.
pub trait Histories: Debug + Send {
    /// The log of a room that is being made. `options` has its history on.
    fn open(&mut self, room: &RoomName, options: &RoomOptions) -> Box<dyn History>;
}

/// Logs in memory, gone with their rooms.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryHistories;

#[derive(Debug)]
struct MemoryHistory {
    messages: VecDeque<Kept>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    age_ms: u64,
}

#[derive(Debug)]
struct Kept {
    at_ms: u64,
    message: Arc<Message>,
}

impl Histories for MemoryHistories {
    fn open(&mut self, _room: &RoomName, options: &RoomOptions) -> Box<dyn History> {
        Box::new(MemoryHistory {
            messages: VecDeque::new(),
            bytes: 0,
            messages_max: options.history_messages,
            bytes_max: options.history_bytes,
            age_ms: u64::try_from(options.history_age.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl History for MemoryHistory {
    fn append(&mut self, now_ms: u64, message: &Arc<Message>) {
        self.bytes += message.cost();
        let message = Arc::clone(message);
        self.messages.push_back(Kept {
            at_ms: now_ms,
            message,
        });
        while self.messages.len() > self.messages_max || self.bytes > self.bytes_max {
            if !self.shed() {
                break;
            }
        }
    }

    fn oldest(&self) -> Option<u64> {
        self.messages.front()?.message.id.map(|id| id.offset)
    }

    fn after(&self, offset: u64) -> Vec<Arc<Message>> {
        let Some(oldest) = self.oldest() else {
            return Vec::new();
        };
        // Offsets are consecutive, so the place in the log follows from the offset.
        let skipped = offset.saturating_add(1).saturating_sub(oldest);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let kept = self.messages.iter().skip(skipped);
        kept.map(|kept| Arc::clone(&kept.message)).collect()
    }

    fn due_ms(&self) -> Option<u64> {
        let oldest = self.messages.front()?;
        Some(oldest.at_ms.saturating_add(self.age_ms))
    }

    fn expire(&mut self, now_ms: u64) {
        while self.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.shed();
        }
    }

    fn shed(&mut self) -> bool {
        let Some(kept) = self.messages.pop_front() else {
            return false;
        };
        self.bytes -= kept.message.cost();
        if self.messages.is_empty() {
            self.messages = VecDeque::new();
        }
        true
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn messages(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::message::{Payload, Priority};

    fn message(offset: u64, bytes: usize) -> Arc<Message> {
        Arc::new(Message {
            id: Some(MessageId::new(1, offset)),
            room: RoomName::new("tea").unwrap(),
            event: None,
            payload: Payload::Binary(Bytes::from(vec![0; bytes])),
            from: None,
            priority: Priority::Normal,
            hint: 0,
            rider: None,
        })
    }

    fn offsets(log: &dyn History, after: u64) -> Vec<u64> {
        let messages = log.after(after);
        messages
            .iter()
            .filter_map(|message| message.id)
            .map(|id| id.offset)
            .collect()
    }

    fn open(messages: usize, age_ms: u64, bytes: usize) -> Box<dyn History> {
        let options = RoomOptions {
            history_messages: messages,
            history_age: Duration::from_millis(age_ms),
            history_bytes: bytes,
            class: 0,
        };
        MemoryHistories.open(&RoomName::new("tea").unwrap(), &options)
    }

    #[test]
    fn a_log_holds_its_bounds() {
        let empty = size_of::<Message>();
        let mut log = open(3, 100, 10_000);
        assert_eq!((log.oldest(), log.due_ms(), log.bytes()), (None, None, 0));
        assert_eq!(offsets(&*log, 0), []);
        for offset in 1..=5 {
            log.append(offset * 10, &message(offset, 100));
        }
        assert_eq!(offsets(&*log, 0), [3, 4, 5]);
        assert_eq!(offsets(&*log, 3), [4, 5]);
        assert_eq!(offsets(&*log, 5), []);
        assert_eq!(offsets(&*log, u64::MAX), []);
        assert_eq!(log.messages(), 3);
        assert_eq!(log.bytes(), 3 * (empty + 100));
        log.append(60, &message(6, 9800 - empty));
        assert_eq!(offsets(&*log, 0), [6]);
        // More than the log may hold at all.
        log.append(70, &message(7, 10_000));
        assert_eq!((log.oldest(), log.bytes()), (None, 0));
    }

    #[test]
    fn a_log_forgets_what_is_too_old() {
        let mut log = open(10, 100, 10_000);
        log.append(5, &message(1, 0));
        log.append(5, &message(2, 0));
        log.append(50, &message(3, 0));
        assert_eq!(log.due_ms(), Some(105));
        log.expire(104);
        assert_eq!(log.oldest(), Some(1));
        log.expire(105);
        assert_eq!((log.oldest(), log.due_ms()), (Some(3), Some(150)));
        assert!(log.shed());
        assert!(!log.shed());
        assert_eq!((log.due_ms(), log.bytes()), (None, 0));
    }
}

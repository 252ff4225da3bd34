//! How others than connections reach the hub: the HTTP API, and any task or thread.

use std::sync::{Arc, OnceLock};

use parlor_hub::{Draft, MemberId, MessageId, RoomName};
use tokio::sync::oneshot;

use crate::{
    door::UPLINK_BYTES,
    shard::{Letter, Mailboxes},
};

/// A way to the shards of a running server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handle {
    mailboxes: Arc<OnceLock<Mailboxes>>,
}

/// A message from outside.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) room: RoomName,
    pub(crate) draft: Draft,
    /// The member in whose name it is published, and the secret that proves it.
    pub(crate) uplink: Option<(MemberId, [u8; UPLINK_BYTES])>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What became of a message from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has its place and was sent to so many members. Without an id nobody was there and
    /// nothing is kept.
    Published {
        id: Option<MessageId>,
        receivers: usize,
    },
    /// The uplink names no member, or its secret is another.
    UnknownUplink,
    /// The hub refused it.
    Refused(parlor_hub::Refused),
}

impl Handle {
    /// Connects the handle, once the shards have their mailboxes.
    pub(crate) fn connect(&self, mailboxes: Mailboxes) {
        // A handle belongs to one server, which connects it once.
        let _ = self.mailboxes.set(mailboxes);
    }

    /// Publishes, and waits for the room's home to answer. `None` where the server cannot take
    /// it now.
    pub(crate) async fn publish(
        &self,
        room: RoomName,
        draft: Draft,
        uplink: Option<(MemberId, [u8; UPLINK_BYTES])>,
    ) -> Option<Answer> {
        let mailboxes = self.mailboxes.get()?;
        let shard = uplink.map_or(0, |(id, _)| usize::from(id.shard().0));
        let Some(mailbox) = mailboxes.get(shard) else {
            return Some(Answer::UnknownUplink);
        };
        if mailbox.is_congested() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let bytes = draft.payload.len() + size_of::<Publish>();
        let publish = Publish {
            room,
            draft,
            uplink,
            answer,
        };
        mailbox
            .post(&mut vec![Letter::Publish(Box::new(publish))], bytes)
            .ok()?;
        answered.await.ok()
    }
}

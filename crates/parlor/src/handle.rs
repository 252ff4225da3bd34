//! How others than connections reach the hub: the HTTP API, and any task or thread.

use std::sync::{Arc, OnceLock};

use parlor_hub::{Draft, MemberId, RoomName};
use tokio::sync::oneshot;

pub(crate) use crate::shard::Answer;
use crate::{
    door::{self, UPLINK_BYTES},
    shard::{Letter, Mailboxes, Publish},
};

/// A way to the shards of a running server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handle {
    mailboxes: Arc<OnceLock<Mailboxes>>,
}

/// Proof that one may speak as a member: what an event stream's client is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uplink(MemberId, [u8; UPLINK_BYTES]);

impl Uplink {
    /// Reads the text that the stream has told. Whether it proves anything the shard will see.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        door::parse_uplink(text).map(|(id, secret)| Self(id, secret))
    }
}

/// Makes a message set the delay before event streams reconnect.
pub(crate) fn set_retry(draft: &mut Draft, retry_ms: u32) {
    draft.hint = door::retry_hint(retry_ms);
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
        uplink: Option<Uplink>,
    ) -> Option<Answer> {
        let mailboxes = self.mailboxes.get()?;
        let shard = uplink.map_or(0, |Uplink(id, _)| usize::from(id.shard().0));
        let Some(mailbox) = mailboxes.get(shard) else {
            return Some(Answer::UnknownUplink);
        };
        if mailbox.is_congested() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let bytes = draft.payload.len() + size_of::<Publish>();
        let uplink = uplink.map(|Uplink(id, secret)| (id, secret));
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

//! How others than connections reach the hub: the HTTP API, and any task or thread.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parlor_hub::{Draft, MemberId, MemberKey, RoomName};
use tokio::sync::oneshot;

pub(crate) use crate::shard::Answer;
pub(crate) use crate::shard::Arrival;
use crate::{
    door::{self, UPLINK_BYTES},
    shard::{Answered, Letter, Mailbox, Mailboxes, Publish, Visit},
};

/// A way to the shards of a running server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handle {
    mailboxes: Arc<OnceLock<Mailboxes>>,
    /// How many requests of Engine.IO there were.
    requests: Arc<AtomicU64>,
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

/// A request for a door that came to a server of the embedder's.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) minor_version: u8,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) peer: SocketAddr,
    /// The session of Engine.IO that it is about.
    pub(crate) session: Option<engine::Sid>,
}

/// What became of such a request.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) visitor: Visitor,
    /// The answer, as HTTP/1.1.
    pub(crate) answer: Vec<u8>,
    /// Whether the answer is only a head, behind which the connection's own bytes come.
    pub(crate) goes_on: bool,
}

/// A connection that waits for what carries its bytes. Where this is dropped, nothing does.
#[derive(Debug)]
pub(crate) struct Visitor {
    mailbox: Arc<Mailbox>,
    key: Option<MemberKey>,
}

impl Visitor {
    /// Gives the connection what carries its bytes, once its request is answered.
    pub(crate) fn arrive(mut self, arrival: Arrival) {
        self.post(arrival);
    }

    fn post(&mut self, arrival: Arrival) {
        if let Some(key) = self.key.take() {
            // A shard that cannot be woken has ended, and its connections with it.
            let mail = &mut vec![Letter::Arrive(key, arrival)];
            let _ = self.mailbox.post(mail, 0);
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.post(Arrival::Nothing);
    }
}

/// An answer that is waited for. Where the client goes meanwhile, its connection does.
struct Awaited {
    answered: oneshot::Receiver<Answered>,
    mailbox: Arc<Mailbox>,
}

impl Awaited {
    fn visited(&self, answered: Answered) -> Visited {
        Visited {
            visitor: Visitor {
                mailbox: Arc::clone(&self.mailbox),
                key: Some(answered.key),
            },
            answer: answered.bytes,
            goes_on: answered.goes_on,
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        // One that is answered after this is told so.
        self.answered.close();
        if let Ok(answered) = self.answered.try_recv() {
            drop(self.visited(answered));
        }
    }
}

/// Makes a message set the delay before event streams reconnect.
pub(crate) fn set_retry(draft: &mut Draft, retry_ms: u32) {
    draft.hint = door::retry_hint(retry_ms);
}

/// What the requests of Engine.IO are made of.
pub(crate) mod engine {
    pub(crate) use crate::door::engineio::{
        Answer, Body, Follow, Judging, Mount, Reply, Request as Ask, Ruling, Sid, may_open, unknown,
    };
}

impl Handle {
    /// Connects the handle, once the shards have their mailboxes.
    pub(crate) fn connect(&self, mailboxes: Mailboxes) {
        // A handle belongs to one server, which connects it once.
        let _ = self.mailboxes.set(mailboxes);
    }

    /// Whether the server runs, or has run.
    pub(crate) fn is_connected(&self) -> bool {
        self.mailboxes.get().is_some()
    }

    /// Lets the door at a request's path answer it, as HTTP/1.1. `None` where the server cannot
    /// take it now.
    pub(crate) async fn visit(&self, request: Request) -> Option<Visited> {
        let mailboxes = self.mailboxes.get()?;
        let own = request.session.map(|sid| usize::from(sid.shard().0));
        let least = || (0..mailboxes.len()).min_by_key(|shard| mailboxes[*shard].connections());
        let shard = own
            .filter(|shard| *shard < mailboxes.len())
            .or_else(least)?;
        let mailbox = &mailboxes[shard];
        if mailbox.is_congested() {
            return None;
        }
        mailbox.expect_connection();
        let (answer, answered) = oneshot::channel();
        let Request {
            method,
            target,
            minor_version,
            headers,
            peer,
            session: _,
        } = request;
        let fields = headers.iter().map(|(name, value)| name.len() + value.len());
        let bytes = target.len() + fields.sum::<usize>() + size_of::<Visit>();
        let visit = Visit {
            method,
            target,
            minor_version,
            headers,
            peer,
            answer,
        };
        mailbox
            .post(&mut vec![Letter::Visit(Box::new(visit))], bytes)
            .ok()?;
        let mut awaited = Awaited {
            answered,
            mailbox: Arc::clone(mailbox),
        };
        let answered = (&mut awaited.answered).await.ok()?;
        Some(awaited.visited(answered))
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

    /// The shard for a request of Engine.IO: that of its session, or the one with the fewest
    /// connections.
    fn shard_for(&self, sid: Option<engine::Sid>) -> Option<&Mailbox> {
        let mailboxes = self.mailboxes.get()?;
        let own = sid.and_then(|sid| mailboxes.get(usize::from(sid.shard().0)));
        let least = || mailboxes.iter().min_by_key(|mailbox| mailbox.connections());
        own.or_else(least).map(|mailbox| &**mailbox)
    }

    /// A number for a request of Engine.IO that no other one of this server has.
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether that shard has more to do than it should be given. `None` where there is no shard.
    pub(crate) fn is_behind(&self, sid: Option<engine::Sid>) -> Option<bool> {
        self.shard_for(sid).map(Mailbox::is_congested)
    }

    /// Gives a request of Engine.IO to its shard. `None` where there is none.
    pub(crate) fn ask(
        &self,
        request: engine::Ask,
        sid: Option<engine::Sid>,
    ) -> Option<oneshot::Receiver<engine::Answer>> {
        let (answer, answered) = oneshot::channel();
        let bytes = request.bytes();
        let ask = Letter::Ask(Box::new(door::Ask { request, answer }));
        self.shard_for(sid)?.post(&mut vec![ask], bytes).ok()?;
        Some(answered)
    }

    /// Gives what comes later of such a request to its shard.
    pub(crate) fn follow(&self, sid: engine::Sid, follow: engine::Follow) {
        if let Some(mailbox) = self.shard_for(Some(sid)) {
            let bytes = follow.bytes();
            // A shard that cannot be woken has ended, and its sessions with it.
            let _ = mailbox.post(&mut vec![Letter::Follow(sid, Box::new(follow))], bytes);
        }
    }
}

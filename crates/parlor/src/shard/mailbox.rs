//! What shards tell each other.
//!
//! One lock and one wake-up per turn and shard, whatever the number of words. A mailbox never
//! blocks the one who posts: above its bound the poster stops reading from its own sockets until
//! the other shard has caught up, so that what has been read is never lost.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use mio::Waker;
use parlor_hub::{MemberKey, RoomName, Seeds, ShardId, Word};

use super::accept::Newcomer;
use super::gate::Ruled;
use super::outside::Publish;
use super::visit::{Arrival, Visit};
use crate::door::{Ask, Follow, Sid};
use crate::embed::{Command, Post, SendError};

/// Above so many waiting bytes the posting shards stop reading.
const CONGESTED_BYTES: usize = 8 << 20;

/// One letter.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A word from one hub to another.
    Word(ShardId, Word),
    /// An accepted socket that this shard is to serve.
    Socket(Newcomer),
    /// A socket whose request is about something of this shard's, and what was read from it.
    Passed(Newcomer, Bytes),
    /// A message from outside the shards.
    Publish(Box<Publish>),
    /// A request by HTTP for a session, or for a new one.
    Ask(Box<Ask>),
    /// What comes later of such a request.
    Follow(Sid, Box<Follow>),
    /// Something that a handle asks for.
    Command(Box<Command>),
    /// A client whose request came to a server of the embedder's.
    Visit(Box<Visit>),
    /// What carries that client's bytes from now on.
    Arrive(MemberKey, Arrival),
    /// The embedder has decided about a request.
    Ruled(Box<Ruled>),
    /// Such a stream can go on.
    Ready(MemberKey),
    /// Close every connection and end.
    Stop,
}

/// The letter box of one shard.
#[derive(Debug)]
pub(crate) struct Mailbox {
    waiting: Mutex<Vec<Mail>>,
    waker: Waker,
    bytes: AtomicUsize,
    /// Connections of the shard, told once a turn: where the next socket goes.
    connections: AtomicUsize,
    /// The shard has ended.
    closed: AtomicBool,
}

impl Mailbox {
    /// An empty box that wakes its shard through `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            waiting: Mutex::new(Vec::new()),
            waker,
            bytes: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Adds all of `mail`, which stand for `bytes` of memory, and leaves it empty. Where the shard
    /// has ended the mail is dropped, and with it the senders of its answers.
    pub(crate) fn post(&self, mail: &mut Vec<Mail>, bytes: usize) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock, under which the last mail is taken.
        if self.closed.load(Ordering::Acquire) {
            drop(waiting);
            mail.clear();
            return Ok(());
        }
        let was_empty = waiting.is_empty();
        // Counted under the lock, or a box that is being emptied forgets what has just come.
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        waiting.append(mail);
        drop(waiting);
        if was_empty { self.waker.wake() } else { Ok(()) }
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self, mail: &mut Vec<Mail>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, mail);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// The shard has ended: what waits is dropped, and so is what still comes.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.take(&mut Vec::new());
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the box holds so much that nothing more should be read for it.
    pub(crate) fn is_congested(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > CONGESTED_BYTES
    }

    /// Tells how many connections the shard has.
    pub(crate) fn tell_connections(&self, count: usize) {
        self.connections.store(count, Ordering::Relaxed);
    }

    /// How many connections the shard had at its last turn, and those dealt to it since.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a socket that is on its way.
    pub(crate) fn expect_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
}

/// The boxes of all shards, in order of their ids.
pub(crate) type Mailboxes = Arc<[Arc<Mailbox>]>;

/// Carries what handles ask for.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) mailboxes: Mailboxes,
    pub(crate) seeds: Seeds,
}

impl Post for Carrier {
    fn shards(&self) -> u16 {
        u16::try_from(self.mailboxes.len()).unwrap_or(u16::MAX)
    }

    fn connections(&self) -> usize {
        self.mailboxes.iter().map(|to| to.connections()).sum()
    }

    fn home_of(&self, room: &RoomName) -> ShardId {
        self.seeds.home_of(room, self.shards())
    }

    fn post(
        &self,
        to: ShardId,
        command: Command,
        bytes: usize,
        urgent: bool,
    ) -> Result<(), SendError> {
        let Some(to) = self.mailboxes.get(usize::from(to.0)) else {
            return Err(SendError::Closed);
        };
        if to.closed.load(Ordering::Acquire) {
            return Err(SendError::Closed);
        }
        if to.is_congested() && !urgent {
            return Err(SendError::Full);
        }
        to.post(&mut vec![Mail::Command(Box::new(command))], bytes)
            .map_err(|_| SendError::Closed)
    }
}

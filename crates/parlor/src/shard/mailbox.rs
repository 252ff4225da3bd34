//! What shards tell each other.
//!
//! One lock and one wake-up per turn and shard, whatever the number of words. A mailbox never
//! blocks the one who posts: above its bound the poster stops reading from its own sockets until
//! the other shard has caught up, so that what has been read is never lost.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use mio::Waker;
use parlor_hub::{ShardId, Word};

use super::accept::Newcomer;
use super::outside::Publish;

/// Above so many waiting bytes the posting shards stop reading.
const CONGESTED_BYTES: usize = 8 << 20;

/// One letter.
#[derive(Debug)]
pub(crate) enum Mail {
    /// A word from one hub to another.
    Word(ShardId, Word),
    /// An accepted socket that this shard is to serve.
    Socket(Newcomer),
    /// A message from outside the shards.
    Publish(Box<Publish>),
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
}

impl Mailbox {
    /// An empty box that wakes its shard through `waker`.
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            waiting: Mutex::new(Vec::new()),
            waker,
            bytes: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    /// Adds all of `mail`, which stand for `bytes` of memory, and leaves it empty.
    pub(crate) fn post(&self, mail: &mut Vec<Mail>, bytes: usize) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
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

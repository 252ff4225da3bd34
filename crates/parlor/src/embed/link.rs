//! The way from handles into the shards of a server.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parlor_hub::{RoomName, ShardId};
use tokio::sync::Notify;

use super::{Command, SendError, local};

/// What all handles of a server share.
pub(crate) struct Link {
    post: OnceLock<Box<dyn Post>>,
    pub(crate) limits: Limits,
    pub(crate) tally: Tally,
    stop: Notify,
    stopping: AtomicBool,
}

/// The bounds that handles check by themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) name_bytes_max: usize,
    pub(crate) presence_bytes_max: usize,
    pub(crate) outbox_bytes_max: usize,
    pub(crate) outbox_messages_max: usize,
}

/// What handlers have done that they should not.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) panics: AtomicU64,
    pub(crate) slow_turns: AtomicU64,
}

/// Carries commands to the shards.
pub(crate) trait Post: Send + Sync {
    /// How many shards there are.
    fn shards(&self) -> u16;

    /// How many connections they have.
    fn connections(&self) -> usize;

    /// Which shard gives the order of a room.
    fn home_of(&self, room: &RoomName) -> ShardId;

    /// Puts a command into a shard's mailbox. One that is `urgent` is taken even by a full one.
    fn post(
        &self,
        to: ShardId,
        command: Command,
        bytes: usize,
        urgent: bool,
    ) -> Result<(), SendError>;
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            post: OnceLock::new(),
            limits,
            tally: Tally::default(),
            stop: Notify::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Connects the handles, once the shards have their mailboxes.
    pub(crate) fn connect(&self, post: Box<dyn Post>) {
        // A link belongs to one server, which connects it once.
        let _ = self.post.set(post);
    }

    /// The way there. Before the server runs there is none.
    pub(crate) fn post(&self) -> Result<&dyn Post, SendError> {
        self.post.get().map(|post| &**post).ok_or(SendError::Closed)
    }

    /// Gives a command to a shard.
    pub(crate) fn command(
        self: &Arc<Self>,
        to: ShardId,
        command: Command,
    ) -> Result<(), SendError> {
        self.give(to, command, false)
    }

    /// The same, where nothing else will do: the queue takes it even if it is full. The caller
    /// sees to it that there are only so many.
    pub(crate) fn command_urgently(
        self: &Arc<Self>,
        to: ShardId,
        command: Command,
    ) -> Result<(), SendError> {
        self.give(to, command, true)
    }

    fn give(
        self: &Arc<Self>,
        to: ShardId,
        command: Command,
        urgent: bool,
    ) -> Result<(), SendError> {
        let bytes = command.cost();
        match local::here(self) {
            Some(local) => local.push(to, command, bytes, urgent),
            None => self.post()?.post(to, command, bytes, urgent),
        }
    }

    /// Gives a room's command to its home.
    pub(crate) fn command_home(
        self: &Arc<Self>,
        room: &RoomName,
        command: Command,
    ) -> Result<(), SendError> {
        self.command(self.post()?.home_of(room), command)
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }

    /// Waits until somebody has asked the server to stop.
    pub(crate) async fn stopped(&self) {
        let told = self.stop.notified();
        if !self.stopping.load(Ordering::Acquire) {
            told.await;
        }
    }
}

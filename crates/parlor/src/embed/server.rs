//! A handle to a server.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use parlor_hub::{MalformedRoomName, MemberId, ShardId};
use tokio::sync::oneshot;

use super::{Command, IntoRoom, Link, Member, Message, Question, Room, SendError};

/// A handle to a server: `Clone`, `Send`, `Sync`, usable from any task and any thread. Made by
/// [`Server::handle`](crate::Server::handle); handlers have it from
/// [`Member::server`](super::Member::server).
///
/// Before the server runs and after it has stopped, what needs it answers [`SendError::Closed`].
#[derive(Clone)]
pub struct ServerHandle(Arc<Link>);

impl ServerHandle {
    pub(crate) const fn new(link: Arc<Link>) -> Self {
        Self(link)
    }

    /// A handle to a room.
    ///
    /// # Errors
    ///
    /// [`MalformedRoomName`] for a name that is no room's.
    pub fn room(&self, name: impl IntoRoom) -> Result<Room, MalformedRoomName> {
        Ok(Room::new(Arc::clone(&self.0), name.into_room()?))
    }

    /// Sends a message to everybody who is connected to an endpoint, in rooms or not. It is encoded
    /// once for all of them.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the queue of a shard is full: the members of other shards may hear
    /// it all the same. [`SendError::Closed`] where the server has stopped.
    pub fn broadcast(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        let mut result = Ok(());
        for shard in 0..self.0.post()?.shards() {
            let told = self
                .0
                .command(ShardId(shard), Command::Broadcast(message.clone()));
            result = result.and(told);
        }
        result
    }

    /// Sends a message to the member of an endpoint that has this id; to nobody where it has gone.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn send_to(&self, to: MemberId, message: impl Into<Message>) -> Result<(), SendError> {
        let shard = to.shard();
        if shard.0 >= self.0.post()?.shards() {
            return Ok(());
        }
        let message = message.into();
        self.0.command(shard, Command::SendTo { to, message })
    }

    /// The member of an endpoint that has this id.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub async fn member(&self, id: MemberId) -> Result<Option<Member>, SendError> {
        if id.shard().0 >= self.0.post()?.shards() {
            return Ok(None);
        }
        self.ask(id.shard(), |answer| Question::Member(id, answer))
            .await
    }

    /// All members that are connected to endpoints, in no order.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub async fn members(&self) -> Result<Vec<Member>, SendError> {
        let mut members = Vec::new();
        for shard in 0..self.0.post()?.shards() {
            members.extend(self.ask(ShardId(shard), Question::Members).await?);
        }
        Ok(members)
    }

    async fn ask<T>(
        &self,
        shard: ShardId,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, SendError> {
        let (answer, answered) = oneshot::channel();
        let question = Command::Ask(Box::new(question(answer)));
        self.0.command(shard, question)?;
        answered.await.map_err(|_| SendError::Closed)
    }

    /// How many connections there are, of every kind: endpoints, built-in doors, HTTP, and those
    /// that have said nothing yet. As of the shards' last turns.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.post().map_or(0, super::Post::connections)
    }

    /// Closes the listeners: nobody new may connect, and those who have go on. Calling it again does
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] where the server does not run.
    pub fn stop_accepting(&self) -> Result<(), SendError> {
        // The first shard has them.
        self.0.command_urgently(ShardId(0), Command::StopAccepting)
    }

    /// Stops the server, as the end of the future does that [`Server::run`](crate::Server::run) is
    /// given. That call returns when everybody has been told goodbye.
    pub fn shutdown(&self) {
        self.0.stop();
    }

    /// Handlers that have panicked since the server was built.
    #[must_use]
    pub fn handler_panics(&self) -> u64 {
        self.0.tally.panics.load(Ordering::Relaxed)
    }

    /// Turns of a shard that took more than 100 ms, and handlers that kept their thread for that
    /// long, since the server was built. Something blocks.
    #[must_use]
    pub fn slow_turns(&self) -> u64 {
        self.0.tally.slow_turns.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").finish_non_exhaustive()
    }
}

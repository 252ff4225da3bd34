//! Events for many sockets.

use std::{future::Future, sync::Arc, time::Duration};

use parlor_hub::{MemberKey, ShardId};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    super::{Command, Link, SendError},
    Args, Socket,
    acks::{Collector, PartialAcks},
    args::Packed,
    command::{Addressees, Wide, WideAct},
};

/// An event on its way to many sockets of a namespace: to which, and how. Made by
/// [`Namespace::to`](super::Namespace::to), [`Socket::to`](super::Socket::to) and the like.
///
/// A socket that is in several of the rooms hears the event once.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct Broadcast {
    link: Option<Arc<Link>>,
    namespace: Arc<str>,
    from: Option<(ShardId, MemberKey, Arc<str>)>,
    to: Addressees,
    volatile: bool,
    compress: bool,
    timeout: Duration,
}

/// How long a broadcast waits for acknowledgements where nothing else was said.
const TIMEOUT: Duration = Duration::from_secs(20);

impl Broadcast {
    pub(super) fn new(link: Option<Arc<Link>>, namespace: Arc<str>) -> Self {
        Self {
            link,
            namespace,
            from: None,
            to: Addressees::default(),
            volatile: false,
            compress: true,
            timeout: TIMEOUT,
        }
    }

    pub(super) fn from(mut self, shard: ShardId, key: MemberKey, id: Arc<str>) -> Self {
        self.from = Some((shard, key, id));
        self
    }

    /// To those in this room too. The id of a socket is a room.
    pub fn to(mut self, room: impl AsRef<str>) -> Self {
        self.to.rooms.push(room.as_ref().into());
        self
    }

    /// To those in any of these rooms too. Of an empty list nobody is: it does not mean everybody.
    pub fn to_rooms<R: AsRef<str>>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        for room in rooms {
            self.to.rooms.push(room.as_ref().into());
        }
        if self.to.rooms.as_slice().is_empty() {
            // A room that there cannot be.
            self.to.rooms.push("".into());
        }
        self
    }

    /// Not to those in any of these rooms.
    pub fn except_rooms<R: AsRef<str>>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        for room in rooms {
            self.to.except.push(room.as_ref().into());
        }
        self
    }

    /// The same as [`Broadcast::to`], for sentences that read better so.
    pub fn within(self, room: impl AsRef<str>) -> Self {
        self.to(room)
    }

    /// Not to those in this room. The id of a socket is a room.
    pub fn except(mut self, room: impl AsRef<str>) -> Self {
        self.to.except.push(room.as_ref().into());
        self
    }

    /// Those who cannot take it at once need not hear it.
    pub const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Whether it may be compressed for those whose WebSocket agreed to that
    /// ([`EngineIo::deflate`](crate::config::EngineIo::deflate)). Default: yes.
    pub const fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Only to the sockets of this node. There is no other one, so far.
    pub const fn local(self) -> Self {
        self
    }

    /// How long to wait for acknowledgements. Default: 20 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends an event. A tuple is several arguments, `()` none.
    ///
    /// # Errors
    ///
    /// [`SendError`] where the arguments cannot be said in JSON, the queue is full, or the server
    /// does not run.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, args: &T) -> Result<(), SendError> {
        let link = self.link()?;
        let packed = Packed::event(event, args)?;
        let (shard, from) = match &self.from {
            Some((shard, key, _)) => (*shard, Some(*key)),
            None => (ShardId(0), None),
        };
        let act = WideAct::Publish {
            packed,
            from,
            volatile: self.volatile,
            compress: self.compress,
        };
        link.command(shard, self.wide(self.to.clone(), act))
    }

    /// Sends an event and waits for the acknowledgements of all who were sent it. The event is
    /// sent at once, whether or not this is awaited.
    ///
    /// # Errors
    ///
    /// [`PartialAcks`] where some have not answered in time; also where the event was not sent.
    pub fn emit_with_ack<T: Serialize + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<Vec<Args>, PartialAcks>> + Send + use<T> {
        let asked = Packed::event(event, args)
            .map_err(SendError::from)
            .and_then(|packed| self.ask(packed));
        let timeout = self.timeout;
        async move {
            let collector = asked.map_err(|error| {
                tracing::debug!(%error, "an event was not sent");
                PartialAcks {
                    answers: Vec::new(),
                    missing: 1,
                }
            })?;
            collector.gather(timeout).await
        }
    }

    fn ask(&self, packed: Packed) -> Result<Arc<Collector>, SendError> {
        let link = self.link()?;
        let shards = link.post()?.shards();
        let collector = Arc::new(Collector::new(shards.into()));
        let json = Arc::new(packed);
        for shard in 0..shards {
            let act = WideAct::Ask {
                json: Arc::clone(&json),
                collector: Arc::clone(&collector),
                compress: self.compress,
                timeout: self.timeout,
            };
            link.command(ShardId(shard), self.wide(self.addressees(), act))?;
        }
        Ok(collector)
    }

    /// The sockets that are meant.
    ///
    /// # Errors
    ///
    /// [`SendError`] where a queue is full, or the server does not run.
    pub async fn fetch_sockets(&self) -> Result<Vec<Socket>, SendError> {
        let link = self.link()?;
        let mut asked = Vec::new();
        for shard in 0..link.post()?.shards() {
            let (answer, answered) = oneshot::channel();
            let wide = self.wide(self.addressees(), WideAct::Fetch(answer));
            link.command(ShardId(shard), wide)?;
            asked.push(answered);
        }
        let mut sockets = Vec::new();
        for answered in asked {
            sockets.extend(answered.await.map_err(|_| SendError::Closed)?);
        }
        Ok(sockets)
    }

    /// How many sockets are meant, without a handle of each. Their shards are asked one by one, so it
    /// is no picture of one moment.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub async fn count_sockets(&self) -> Result<usize, SendError> {
        let link = self.link()?;
        let mut asked = Vec::new();
        for shard in 0..link.post()?.shards() {
            let (answer, answered) = oneshot::channel();
            let wide = self.wide(self.addressees(), WideAct::Count(answer));
            link.command(ShardId(shard), wide)?;
            asked.push(answered);
        }
        let mut count = 0;
        for answered in asked {
            count += answered.await.map_err(|_| SendError::Closed)?;
        }
        Ok(count)
    }

    /// Puts the sockets that are meant into rooms.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub fn sockets_join<R: AsRef<str>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), SendError> {
        let rooms: Vec<Box<str>> = rooms.into_iter().map(|room| room.as_ref().into()).collect();
        self.everywhere(|| WideAct::Join(rooms.clone()))
    }

    /// Takes the sockets that are meant out of rooms.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub fn sockets_leave<R: AsRef<str>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), SendError> {
        let rooms: Vec<Box<str>> = rooms.into_iter().map(|room| room.as_ref().into()).collect();
        self.everywhere(|| WideAct::Leave(rooms.clone()))
    }

    /// Disconnects the sockets that are meant from the namespace, or with `close` their
    /// connections.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub fn disconnect_sockets(&self, close: bool) -> Result<(), SendError> {
        self.everywhere(|| WideAct::Disconnect { close })
    }

    fn everywhere(&self, act: impl Fn() -> WideAct) -> Result<(), SendError> {
        let link = self.link()?;
        for shard in 0..link.post()?.shards() {
            link.command(ShardId(shard), self.wide(self.addressees(), act()))?;
        }
        Ok(())
    }

    /// Who is meant, where the sender is not left out by the hub.
    fn addressees(&self) -> Addressees {
        let mut to = self.to.clone();
        if let Some((_, _, id)) = &self.from {
            to.except.push(Arc::clone(id));
        }
        to
    }

    fn wide(&self, to: Addressees, act: WideAct) -> Command {
        Command::Wide(Box::new(Wide {
            namespace: Arc::clone(&self.namespace),
            to,
            act,
        }))
    }

    fn link(&self) -> Result<&Arc<Link>, SendError> {
        self.link.as_ref().ok_or(SendError::Closed)
    }
}

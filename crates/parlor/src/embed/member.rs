//! A handle to one connection.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parlor_hub::{MemberId, MemberKey, Refused, Resume, RoomName, ShardId};
use parlor_proto::websocket::CloseCode;
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    Act, Command, Compression, Flushed, Fragment, FragmentedBinary, FragmentedText, Head, IntoRoom,
    Joining, Limits, Link, Message, RoomError, SendError, ServerHandle,
};

/// A handle to a connection at an endpoint: `Clone`, `Send`, `Sync`, usable from any task and any
/// thread, also when the connection has ended. It keeps no connection open.
///
/// **Order.** What one task or thread sends to a member arrives in that order. What is published in
/// a room arrives in the room's order. Between the two there is no order: a message that is sent may
/// overtake one that was published before it.
///
/// **Bounds.** Every method that gives something to the member's shard may find its queue full
/// (65,536 commands or 8 MiB that no shard has looked at yet) and says so at once; none blocks. What
/// the client's socket does not take waits in its outbox, up to
/// [`outbox_bytes_max`](crate::Config::outbox_bytes_max) (1 MiB); past it the client is closed with
/// 1013, unless [`Member::try_send`] is used.
#[derive(Clone)]
pub struct Member(Arc<Inner>);

struct Inner {
    link: Arc<Link>,
    shard: ShardId,
    key: MemberKey,
    id: MemberId,
    peer: SocketAddr,
    /// [`OPEN`], [`CLOSING`] or [`CLOSED`].
    state: AtomicU8,
    paused: AtomicBool,
    /// Bytes of messages that the shard has not looked at yet.
    queued: AtomicUsize,
    /// Bytes that the socket has not taken.
    backlog: Gauge,
    /// Bytes of messages that wait for the end of one in fragments.
    held: AtomicUsize,
    /// How many messages were begun in fragments, and in the lowest bit whether one is not ended.
    fragmented: AtomicU32,
    name: Mutex<Option<Arc<str>>>,
    protocol: OnceLock<Option<Box<str>>>,
    compressed: AtomicBool,
    head: OnceLock<Option<Arc<Head>>>,
}

/// A number of bytes that the shard tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    pub(crate) fn set(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Where it stands.
    pub(crate) fn into_inner(self) -> Arc<AtomicUsize> {
        self.0
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

const OPEN: u8 = 0;
/// Somebody has called for the end.
const CLOSING: u8 = 1;
/// The connection is gone.
const CLOSED: u8 = 2;

impl Member {
    pub(crate) fn new(
        link: Arc<Link>,
        shard: ShardId,
        key: MemberKey,
        id: MemberId,
        peer: SocketAddr,
    ) -> Self {
        Self(Arc::new(Inner {
            link,
            shard,
            key,
            id,
            peer,
            state: AtomicU8::new(OPEN),
            paused: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            backlog: Gauge::default(),
            held: AtomicUsize::new(0),
            fragmented: AtomicU32::new(0),
            name: Mutex::new(None),
            protocol: OnceLock::new(),
            compressed: AtomicBool::new(false),
            head: OnceLock::new(),
        }))
    }

    /// The member's id, which others may know. Its text has 22 characters.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.0.id
    }

    /// The member's name, where it has been given one.
    #[must_use]
    pub fn name(&self) -> Option<Arc<str>> {
        let name = self.0.name.lock();
        name.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The other end of the socket. Behind a proxy that is the proxy.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The subprotocol that was agreed.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.0.protocol.get()?.as_deref()
    }

    /// Whether permessage-deflate (RFC 7692) was agreed, so that messages may be compressed.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.0.compressed.load(Ordering::Relaxed)
    }

    /// The request with which the client connected, if the connect handler has kept it
    /// ([`Connect::keep_head`](super::Connect::keep_head)).
    #[must_use]
    pub fn head(&self) -> Option<&Head> {
        self.0.head.get()?.as_deref()
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.0.link))
    }

    /// Whether it can still be sent to: not once the connection has ended or its end was called for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == OPEN
    }

    /// Sends a message: text from a `String` or `&str`, binary from bytes, anything by
    /// [`Message::from_json`].
    ///
    /// It is on its way when this returns, and arrives unless the connection ends before. A client
    /// that does not read as fast as this is called is closed with 1013 in the end; see
    /// [`Member::try_send`].
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the shard's queue is full, [`SendError::Closed`] where the
    /// connection or the server is.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.send_with(message, Compression::Agreed)
    }

    /// Sends a message, and says whether it may be compressed: what is compressed already, or holds
    /// a secret beside what the client chose, better is not.
    ///
    /// # Errors
    ///
    /// As [`Member::send`].
    pub fn send_with(
        &self,
        message: impl Into<Message>,
        compression: Compression,
    ) -> Result<(), SendError> {
        let message = message.into();
        let len = message.len();
        self.0.queued.fetch_add(len, Ordering::Relaxed);
        let command = Command::Send {
            to: self.0.key,
            message,
            compression,
        };
        self.command(command).inspect_err(|_| self.dequeued(len))
    }

    /// Sends a value as JSON text.
    ///
    /// # Errors
    ///
    /// As [`Member::send`], and [`SendError::Json`] where JSON cannot say the value.
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), SendError> {
        self.send(Message::from_json(value)?)
    }

    /// Sends a message unless the client is slow: not where the message would take
    /// [`Member::buffered_bytes`] over [`outbox_bytes_max`](crate::Config::outbox_bytes_max).
    ///
    /// # Errors
    ///
    /// As [`Member::send`]; [`SendError::Full`] also for a slow client.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        let buffered = self.buffered_bytes();
        if buffered > 0 && buffered + message.len() > self.limits().outbox_bytes_max {
            return Err(SendError::Full);
        }
        self.send(message)
    }

    /// Begins a text message that is sent in fragments. Nothing goes out before its first fragment.
    ///
    /// # Errors
    ///
    /// [`SendError::Busy`] while there is another such message that is neither finished nor
    /// dropped, [`SendError::Closed`].
    pub fn begin_text(&self) -> Result<FragmentedText, SendError> {
        let message = self.begin_fragments()?;
        Ok(FragmentedText::new(self.clone(), message))
    }

    /// Begins a binary message that is sent in fragments.
    ///
    /// # Errors
    ///
    /// As [`Member::begin_text`].
    pub fn begin_binary(&self) -> Result<FragmentedBinary, SendError> {
        let message = self.begin_fragments()?;
        Ok(FragmentedBinary::new(self.clone(), message))
    }

    /// Claims the member's one place for such a message.
    fn begin_fragments(&self) -> Result<u32, SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        let claim = |count: u32| (count & 1 == 0).then(|| count.wrapping_add(1));
        let fragmented = &self.0.fragmented;
        let claimed = fragmented.fetch_update(Ordering::AcqRel, Ordering::Acquire, claim);
        claimed.map_err(|_| SendError::Busy)
    }

    /// Gives that place back.
    pub(super) fn end_fragments(&self) {
        self.0.fragmented.fetch_add(1, Ordering::AcqRel);
    }

    /// Sends a fragment. The last one is taken in any case: there is one for each message.
    pub(super) fn send_fragment(&self, fragment: Fragment) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        let (len, fin) = (fragment.cost(), fragment.fin);
        self.0.queued.fetch_add(len, Ordering::Relaxed);
        let (link, command) = (&self.0.link, self.to_act(Act::Fragment(fragment)));
        let sent = match fin {
            true => link.command_urgently(self.0.shard, command),
            false => link.command(self.0.shard, command),
        };
        sent.inspect_err(|_| self.dequeued(len))
    }

    /// Ready when the fragments that were sent are with the system.
    pub(super) fn fragments_flushed(&self) -> Result<Flushed, SendError> {
        let (answer, answered) = oneshot::channel();
        self.act(Act::FragmentsFlushed(answer))?;
        Ok(Flushed::new(answered))
    }

    /// So much waits for the end of a message in fragments.
    pub(crate) fn set_held(&self, bytes: usize) {
        self.0.held.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that were sent and that the client's socket has not taken yet. Those the system has
    /// taken are not among them.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.on_its_way() + self.0.held.load(Ordering::Relaxed)
    }

    /// The same without what waits for the end of a message in fragments.
    pub(super) fn on_its_way(&self) -> usize {
        self.0.queued.load(Ordering::Relaxed) + self.0.backlog.get()
    }

    /// Becomes ready when the system has taken everything that was sent before, which does not say
    /// that the client has read it. While a message is sent in fragments that is behind its end.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn flushed(&self) -> Result<Flushed, SendError> {
        let (answer, answered) = oneshot::channel();
        self.act(Act::Flushed(answer))?;
        Ok(Flushed::new(answered))
    }

    /// Joins a room. See [`Joining`].
    ///
    /// # Errors
    ///
    /// [`RoomError::Name`], [`RoomError::Full`], [`RoomError::Closed`]; what the room says is in
    /// the answer.
    pub fn join(&self, room: impl IntoRoom) -> Result<Joining, RoomError> {
        self.join_room(room.into_room()?, None)
    }

    /// Joins a room, and sends the client what was said there: the last messages
    /// ([`Resume::Last`]), or those after one that it knows ([`Resume::Since`]).
    ///
    /// # Errors
    ///
    /// As [`Member::join`].
    pub fn join_with_history(
        &self,
        room: impl IntoRoom,
        resume: Resume,
    ) -> Result<Joining, RoomError> {
        self.join_room(room.into_room()?, Some(resume))
    }

    fn join_room(&self, room: RoomName, resume: Option<Resume>) -> Result<Joining, RoomError> {
        let (answer, answered) = oneshot::channel();
        self.act(Act::Join {
            room,
            resume,
            answer,
        })?;
        Ok(Joining::new(answered))
    }

    /// Leaves a room. What was published there before still arrives.
    ///
    /// # Errors
    ///
    /// [`RoomError::Name`], [`RoomError::Full`], [`RoomError::Closed`]. That the member is not there
    /// is told to [`Handler::error`](super::Handler::error).
    pub fn leave(&self, room: impl IntoRoom) -> Result<(), RoomError> {
        Ok(self.act(Act::Leave(room.into_room()?))?)
    }

    /// The rooms that it is in or has asked to join, in no order.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub async fn rooms(&self) -> Result<Vec<RoomName>, SendError> {
        let (answer, answered) = oneshot::channel();
        self.act(Act::Rooms(answer))?;
        answered.await.map_err(|_| SendError::Closed)
    }

    /// Publishes in a room that it is in or has asked to join, to everybody there but itself. What
    /// a member publishes in one room arrives in that order.
    ///
    /// # Errors
    ///
    /// [`RoomError::Name`], [`RoomError::Full`], [`RoomError::Closed`]. That the member is not there
    /// is told to [`Handler::error`](super::Handler::error).
    pub fn publish(
        &self,
        room: impl IntoRoom,
        message: impl Into<Message>,
    ) -> Result<(), RoomError> {
        self.publish_to(room.into_room()?, message.into(), false)
    }

    /// The same, to everybody there and itself.
    ///
    /// # Errors
    ///
    /// As [`Member::publish`].
    pub fn publish_to_all(
        &self,
        room: impl IntoRoom,
        message: impl Into<Message>,
    ) -> Result<(), RoomError> {
        self.publish_to(room.into_room()?, message.into(), true)
    }

    fn publish_to(&self, room: RoomName, message: Message, to_all: bool) -> Result<(), RoomError> {
        Ok(self.command(Command::PublishAs {
            from: self.0.key,
            room,
            message,
            to_all,
        })?)
    }

    /// Gives it another name.
    ///
    /// # Errors
    ///
    /// [`RoomError::Full`], [`RoomError::Closed`]; [`RoomError::Refused`] for a name of more than
    /// [`member_name_bytes_max`](crate::Config::member_name_bytes_max) bytes.
    pub fn set_name(&self, name: &str) -> Result<(), RoomError> {
        let (value, max) = (name.len(), self.limits().name_bytes_max);
        if value > max {
            return Err(Refused::LimitName { max, value }.into());
        }
        let name: Arc<str> = name.into();
        self.act(Act::Rename(Arc::clone(&name)))?;
        *self.0.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
        Ok(())
    }

    /// Sets what others see of it beside its name, as JSON: [`Peer::data`](crate::Peer::data).
    ///
    /// # Errors
    ///
    /// [`RoomError::Full`], [`RoomError::Closed`], [`RoomError::Json`]; [`RoomError::Refused`] for
    /// more than 4,096 bytes.
    pub fn set_presence<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), RoomError> {
        let json = Message::from_json(data)?.into_payload().bytes().clone();
        let (value, max) = (json.len(), self.limits().presence_bytes_max);
        if value > max {
            return Err(Refused::LimitPresence { max, value }.into());
        }
        Ok(self.act(Act::Present(json))?)
    }

    /// Sends a ping with up to 125 bytes; more are cut off. The server pings silent clients by
    /// itself.
    ///
    /// # Errors
    ///
    /// As [`Member::send`].
    pub fn ping(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let mut payload = payload.into();
        payload.truncate(PING_BYTES_MAX);
        self.act(Act::Ping(payload))
    }

    /// Sends a pong that answers no ping, with up to 125 bytes; more are cut off. The client need
    /// not answer it (RFC 6455, section 5.5.3). Pings of the client are answered without this.
    ///
    /// # Errors
    ///
    /// As [`Member::send`].
    pub fn pong(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        let mut payload = payload.into();
        payload.truncate(PING_BYTES_MAX);
        self.act(Act::Pong(payload))
    }

    /// Closes the connection behind what was sent, with a code and a reason of up to 123 bytes
    /// (more are cut off). Of several calls the first counts; later ones, and those on a connection
    /// that has ended, do nothing.
    ///
    /// The code is 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455, section 7.4). Any other
    /// is a mistake, which is logged, and becomes 1011.
    pub fn close(&self, code: u16, reason: &str) {
        let code = CloseCode::new(code).unwrap_or_else(|| {
            tracing::error!(code, "a close code that cannot be sent");
            CloseCode::INTERNAL_ERROR
        });
        let reason = reason.into();
        self.end(OPEN, Act::Close { code, reason });
    }

    /// Cuts the connection at once, without a Close frame and without what it was sent and has not
    /// taken.
    pub fn terminate(&self) {
        self.end(CLOSING, Act::Terminate);
    }

    /// Calls for the end, unless it is past `latest`.
    fn end(&self, latest: u8, act: Act) {
        let claim = |state| (state <= latest).then_some(CLOSING);
        let claimed = self
            .0
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, claim);
        if claimed.is_ok() {
            let command = self.to_act(act);
            // Once or twice for each connection, so a full queue can take it. A server that is
            // gone has no connections.
            let _ = self.0.link.command_urgently(self.0.shard, command);
        }
    }

    /// Stops reading from the client, once what has been read is handled. The network then slows
    /// the client down. It is not asked for signs of life meanwhile.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn pause(&self) -> Result<(), SendError> {
        self.set_paused(true, Act::Pause)
    }

    /// Reads again.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn resume(&self) -> Result<(), SendError> {
        self.set_paused(false, Act::Resume)
    }

    /// Whether [`Member::pause`] was called and not [`Member::resume`] after it.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Acquire)
    }

    fn set_paused(&self, paused: bool, act: Act) -> Result<(), SendError> {
        self.act(act)?;
        self.0.paused.store(paused, Ordering::Release);
        Ok(())
    }

    fn act(&self, act: Act) -> Result<(), SendError> {
        self.command(self.to_act(act))
    }

    fn to_act(&self, act: Act) -> Command {
        Command::Act {
            to: self.0.key,
            act: Box::new(act),
        }
    }

    fn command(&self, command: Command) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Closed);
        }
        self.0.link.command(self.0.shard, command)
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.0.link
    }

    pub(crate) fn key(&self) -> MemberKey {
        self.0.key
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.link.limits
    }

    pub(crate) fn gauge(&self) -> &Gauge {
        &self.0.backlog
    }

    /// The shard has looked at a message.
    pub(crate) fn dequeued(&self, bytes: usize) {
        self.0.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The connection is gone.
    pub(crate) fn set_closed(&self) {
        self.0.state.store(CLOSED, Ordering::Release);
        self.0.queued.store(0, Ordering::Relaxed);
        self.0.backlog.set(0);
        self.0.held.store(0, Ordering::Relaxed);
    }

    /// Compression was agreed.
    pub(crate) fn set_compressed(&self) {
        self.0.compressed.store(true, Ordering::Relaxed);
    }

    /// A task of the embedder's that served it has panicked.
    pub(crate) fn count_panic(&self) {
        self.0.link.tally.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// What was agreed when it was accepted.
    pub(crate) fn settle(&self, protocol: Option<Box<str>>, head: Option<Arc<Head>>) {
        // A client is accepted once.
        let _ = self.0.protocol.set(protocol);
        let _ = self.0.head.set(head);
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Member").field(&self.id()).finish()
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Member {}

impl Hash for Member {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// The longest payload of a ping (RFC 6455, section 5.5).
const PING_BYTES_MAX: usize = 125;

//! A client in a namespace.

use std::{
    any::Any,
    collections::BTreeSet,
    fmt,
    future::Future,
    hash::{Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parlor_proto::{engineio::CloseCause, socketio::Packet};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use super::{
    super::{Command, Head, SendError},
    AckError, Args, Broadcast, Conn, DisconnectReason,
    acks::wait_for,
    args::Packed,
    command::{AckSink, Act, Data, ToSocket},
    entering::Entering,
    handlers::Handlers,
};

/// A client in a namespace: `Clone`, `Send`, `Sync`, usable from any task and any thread.
///
/// What is asked of it goes into a bounded queue of its shard and is done in that order. After its
/// end it is told [`SendError::Closed`].
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

struct Inner {
    conn: Conn,
    namespace: Arc<str>,
    id: Arc<str>,
    auth: Option<Box<str>>,
    connected: AtomicBool,
    recovered: AtomicBool,
    reason: OnceLock<DisconnectReason>,
    rooms: Mutex<BTreeSet<Box<str>>>,
    handlers: Mutex<Handlers>,
    data: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

/// How one event is sent: made by [`Socket::volatile`], [`Socket::compress`] and
/// [`Socket::timeout`].
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct Emission {
    socket: Socket,
    volatile: bool,
    compress: bool,
    timeout: Option<Duration>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Socket {
    pub(crate) fn new(
        conn: Conn,
        (namespace, id): (Arc<str>, Arc<str>),
        auth: Option<&str>,
    ) -> Self {
        Self(Arc::new(Inner {
            conn,
            namespace,
            rooms: Mutex::new(BTreeSet::from([Box::from(&*id)])),
            id,
            auth: auth.map(Into::into),
            connected: AtomicBool::new(false),
            recovered: AtomicBool::new(false),
            reason: OnceLock::new(),
            handlers: Mutex::default(),
            data: Mutex::default(),
        }))
    }

    /// Its id, 20 characters, which others may know. In the main namespace they are the first ones
    /// of the id by which members of other doors know it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The request that opened the connection: headers, query, address.
    #[must_use]
    pub fn head(&self) -> &Head {
        self.0.conn.head()
    }

    /// Its connection: the session of Engine.IO, with its id, transport and end.
    #[must_use]
    pub fn conn(&self) -> &Conn {
        &self.0.conn
    }

    /// What the client said about itself when it asked for the namespace (`auth` in JavaScript);
    /// of client 2 the query of the namespace.
    ///
    /// # Errors
    ///
    /// A [`serde_json::Error`] where it is not of that type; nothing said is `{}`.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.auth_json())
    }

    /// The same as JSON text.
    #[must_use]
    pub fn auth_json(&self) -> &str {
        self.0.auth.as_deref().unwrap_or("{}")
    }

    /// Whether it is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Ordering::Acquire)
    }

    /// Whether it goes on where an earlier connection of the client was lost: with its id, rooms
    /// and data, and everything that was sent meanwhile. See
    /// [`recovery`](crate::config::SocketIo::recovery).
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        self.0.recovered.load(Ordering::Acquire)
    }

    /// Why it was disconnected, once it is.
    #[must_use]
    pub fn disconnect_reason(&self) -> Option<DisconnectReason> {
        self.0.reason.get().copied()
    }

    /// What more is known of how its connection has ended, where that is the reason. Node gives it to
    /// handlers of `disconnect` as details; here it is an error, `no heartbeat in time` for example.
    #[must_use]
    pub fn disconnect_details(&self) -> Option<CloseCause> {
        let cause = self.0.conn.close_cause()?;
        let reason = self.disconnect_reason()?;
        (DisconnectReason::from(cause.reason()) == reason).then_some(cause)
    }

    /// The rooms that it is in or was put into, its own included.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        lock(&self.0.rooms)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Keeps a value with the socket, in place of an earlier one.
    pub fn set_data(&self, data: impl Any + Send + Sync) {
        *lock(&self.0.data) = Some(Arc::new(data));
    }

    /// The value that was kept with the socket, if it is of this type.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let data = lock(&self.0.data).clone()?;
        data.downcast().ok()
    }

    /// Sends an event. A tuple is several arguments, `()` none.
    ///
    /// # Errors
    ///
    /// [`SendError`] where the arguments cannot be said in JSON, the queue is full, or the socket
    /// has gone.
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, args: &T) -> Result<(), SendError> {
        self.emission().emit(event, args)
    }

    /// Sends an event and waits for its acknowledgement, without end; see [`Socket::timeout`]. It
    /// is sent at once, whether or not this is awaited.
    ///
    /// # Errors
    ///
    /// [`AckError`].
    pub fn emit_with_ack<T, A>(
        &self,
        event: &str,
        args: &A,
    ) -> impl Future<Output = Result<T, AckError>> + Send + use<T, A>
    where
        T: DeserializeOwned,
        A: Serialize + ?Sized,
    {
        self.emission().emit_with_ack(event, args)
    }

    /// An event that may be dropped where it cannot go out at once.
    pub fn volatile(&self) -> Emission {
        self.emission().volatile()
    }

    /// An event that may, or may not, be compressed.
    pub fn compress(&self, compress: bool) -> Emission {
        self.emission().compress(compress)
    }

    /// An event whose acknowledgement is awaited for so long.
    pub fn timeout(&self, timeout: Duration) -> Emission {
        self.emission().timeout(timeout)
    }

    fn emission(&self) -> Emission {
        Emission {
            socket: self.clone(),
            volatile: false,
            compress: true,
            timeout: None,
        }
    }

    /// An event for those in a room but for this socket.
    pub fn to(&self, room: impl AsRef<str>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// An event for those in any of these rooms but for this socket; each socket hears it once. An empty list is
    /// nobody.
    pub fn to_rooms<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) -> Broadcast {
        self.broadcast().to_rooms(rooms)
    }

    /// The same as [`Socket::to`], for sentences that read better so.
    pub fn within(&self, room: impl AsRef<str>) -> Broadcast {
        self.to(room)
    }

    /// An event for everybody in the namespace but this socket and those in a room.
    pub fn except(&self, room: impl AsRef<str>) -> Broadcast {
        self.broadcast().except(room)
    }

    /// An event for everybody in the namespace but this socket.
    pub fn broadcast(&self) -> Broadcast {
        let member = self.0.conn.member();
        let all = Broadcast::new(
            Some(Arc::clone(member.link())),
            Arc::clone(&self.0.namespace),
        );
        all.from(member.id().shard(), member.key(), Arc::clone(&self.0.id))
    }

    /// Puts it into a room: 1 to 128 bytes without control characters. It takes place whether or
    /// not the result is awaited; what this socket's handlers send to the room afterwards comes
    /// after it. Await it where others are to find the socket there.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn join(&self, room: impl AsRef<str>) -> Result<Entering, SendError> {
        let room: Box<str> = room.as_ref().into();
        let (answer, answered) = oneshot::channel();
        self.act(Act::Join(vec![room.clone()], Some(answer)))?;
        self.note_joined(&room);
        Ok(Entering::new(answered))
    }

    /// Puts it into several rooms, one after the other. What is awaited is the last of them, or the
    /// first that refuses; it stays in the others. Of an empty list nothing is awaited.
    ///
    /// # Errors
    ///
    /// As [`Socket::join`]; of the rooms before it is in.
    pub fn join_rooms<R: AsRef<str>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<Entering, SendError> {
        let mut entering = Entering::default();
        for room in rooms {
            entering.and(self.join(room)?);
        }
        Ok(entering)
    }

    /// Takes it out of a room.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn leave(&self, room: impl AsRef<str>) -> Result<(), SendError> {
        let room: Box<str> = room.as_ref().into();
        self.act(Act::Leave(room.clone()))?;
        self.note_left(&room);
        Ok(())
    }

    /// Disconnects it from the namespace, or with `close` the whole connection.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn disconnect(&self, close: bool) -> Result<(), SendError> {
        self.act(Act::Disconnect { close })
    }

    pub(crate) fn handlers(&self) -> MutexGuard<'_, Handlers> {
        lock(&self.0.handlers)
    }

    /// Tells those who want to know what is sent to the socket.
    pub(crate) fn tell_outgoing(&self, event: &str, args: impl FnOnce() -> Args) {
        let listeners = lock(&self.0.handlers).outgoing();
        if listeners.is_empty() {
            return;
        }
        let args = args();
        for listener in listeners {
            listener(event, &args);
        }
    }

    /// The same of a packet that is delivered.
    pub(crate) fn tell_packet(&self, packet: &Packet<'_>) {
        if lock(&self.0.handlers).hears_outgoing()
            && let Some(name) = packet.event_name()
        {
            self.tell_outgoing(name.as_str(), || Args::of(packet.clone()));
        }
    }

    pub(crate) fn act(&self, act: Act) -> Result<(), SendError> {
        let command = self.command(act)?;
        let member = self.0.conn.member();
        member.link().command(member.id().shard(), command)
    }

    /// The same, also where the queue is full: for what is asked a few times only.
    pub(super) fn act_urgently(&self, act: Act) -> Result<(), SendError> {
        let command = self.command(act)?;
        let member = self.0.conn.member();
        member.link().command_urgently(member.id().shard(), command)
    }

    fn command(&self, act: Act) -> Result<Command, SendError> {
        if self.0.reason.get().is_some() || !self.0.conn.member().is_open() {
            return Err(SendError::Closed);
        }
        Ok(Command::Socket {
            to: self.0.conn.member().key(),
            to_socket: Box::new(ToSocket {
                namespace: Arc::clone(&self.0.namespace),
                act,
            }),
        })
    }

    pub(crate) fn any_data(&self) -> Option<Data> {
        lock(&self.0.data).clone()
    }

    pub(crate) fn set_recovered<'a>(
        &self,
        rooms: impl Iterator<Item = &'a str>,
        data: Option<Data>,
    ) {
        self.0.recovered.store(true, Ordering::Release);
        rooms.for_each(|room| self.note_joined(room));
        *lock(&self.0.data) = data;
    }

    pub(crate) fn set_connected(&self) {
        self.0.connected.store(true, Ordering::Release);
    }

    pub(crate) fn set_ended(&self, reason: DisconnectReason) {
        self.0.connected.store(false, Ordering::Release);
        let _ = self.0.reason.set(reason);
    }

    pub(crate) fn clear_rooms(&self) {
        lock(&self.0.rooms).clear();
    }

    pub(crate) fn is_in(&self, room: &str) -> bool {
        lock(&self.0.rooms).contains(room)
    }

    pub(crate) fn note_joined(&self, room: &str) {
        lock(&self.0.rooms).insert(room.into());
    }

    pub(crate) fn note_left(&self, room: &str) {
        lock(&self.0.rooms).remove(room);
    }
}

/// Two are equal that stand for the same id in the same namespace.
impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id && self.0.namespace == other.0.namespace
    }
}

impl Eq for Socket {}

impl Hash for Socket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("namespace", &self.0.namespace)
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}

impl Emission {
    /// The event may be dropped where it cannot go out at once.
    pub const fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Whether the event may be compressed. Default: yes.
    pub const fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// How long to wait for the acknowledgement. Default: without end.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an event; see [`Socket::emit`].
    ///
    /// # Errors
    ///
    /// As [`Socket::emit`].
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, args: &T) -> Result<(), SendError> {
        self.send(event, Packed::event(event, args)?, None)
    }

    /// Sends an event and waits for its acknowledgement; see [`Socket::emit_with_ack`].
    ///
    /// # Errors
    ///
    /// [`AckError`].
    pub fn emit_with_ack<T, A>(
        &self,
        event: &str,
        args: &A,
    ) -> impl Future<Output = Result<T, AckError>> + Send + use<T, A>
    where
        T: DeserializeOwned,
        A: Serialize + ?Sized,
    {
        let (answer, answered) = oneshot::channel();
        let sink = AckSink::One(answer, self.timeout);
        let sent = Packed::event(event, args)
            .map_err(SendError::from)
            .and_then(|packed| self.send(event, packed, Some(sink)));
        wait_for(sent.map(|()| answered), self.timeout)
    }

    fn send(&self, event: &str, packed: Packed, ack: Option<AckSink>) -> Result<(), SendError> {
        self.socket
            .tell_outgoing(event, || Args::of_event(packed.clone()));
        self.socket.act(Act::Emit {
            packed,
            volatile: self.volatile,
            compress: self.compress,
            ack,
        })
    }
}

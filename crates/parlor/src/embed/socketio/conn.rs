//! The connection below the sockets of a client.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering, fence},
    },
};

use parlor_proto::engineio::{CloseCause, State, Transport, Version};
use tokio::sync::oneshot;

use super::{
    super::{Command, Head, Member, SendError},
    Socket,
    command::{Act, ToSocket},
};

/// The connection of a client: its session of Engine.IO, which its sockets in all namespaces share.
/// `socket.conn` and `socket.client` in Node; got from [`Socket::conn`].
///
/// `Clone`, `Send`, `Sync`. It outlives the session, and tells then how that has ended.
#[derive(Clone)]
pub struct Conn(Arc<Inner>);

struct Inner {
    member: Member,
    head: Head,
    id: Box<str>,
    version: Version,
    is_on_websocket: AtomicBool,
    is_closing: AtomicBool,
    cause: OnceLock<CloseCause>,
    /// Where somebody listens.
    listeners: OnceLock<Box<Mutex<Listeners>>>,
}

type OnUpgrade = Box<dyn FnOnce(&Conn) + Send>;
type OnClose = Box<dyn FnOnce(&Conn, CloseCause) + Send>;

#[derive(Default)]
struct Listeners {
    upgrade: Vec<OnUpgrade>,
    close: Vec<OnClose>,
}

impl Conn {
    pub(crate) fn new(
        member: Member,
        head: Head,
        (id, version, transport): (&str, Version, Transport),
    ) -> Self {
        Self(Arc::new(Inner {
            member,
            head,
            id: id.into(),
            version,
            is_on_websocket: AtomicBool::new(transport == Transport::WebSocket),
            is_closing: AtomicBool::new(false),
            cause: OnceLock::new(),
            listeners: OnceLock::new(),
        }))
    }

    /// The id of the session, which is another one than [`Socket::id`]: 20 characters, or what
    /// [`Hooks::generate_id`](crate::engineio::Hooks::generate_id) has made. Whoever knows it can
    /// speak as its client, so it is a secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The request that opened the session: headers, query, address.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.0.head
    }

    /// The revision of Engine.IO that the client speaks: `V4` of clients 3 and 4, `V3` of clients
    /// before them.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// What the session goes over now; `transport().as_str()` is `polling` or `websocket`. One that
    /// is polled may go on over WebSocket: see [`Conn::on_upgrade`].
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self.0.is_on_websocket.load(Ordering::Acquire) {
            true => Transport::WebSocket,
            false => Transport::Polling,
        }
    }

    /// Whether it is open, is being closed by [`Conn::close`], or has ended.
    #[must_use]
    pub fn state(&self) -> State {
        let closing = self.0.is_closing.load(Ordering::Acquire);
        match (self.0.cause.get(), closing) {
            (Some(_), _) => State::Closed,
            (None, true) => State::Closing,
            (None, false) => State::Open,
        }
    }

    /// How it has ended, once it has.
    #[must_use]
    pub fn close_cause(&self) -> Option<CloseCause> {
        self.0.cause.get().copied()
    }

    /// Closes the session behind what was sent, without a word in the namespaces: their sockets end
    /// with [`ForcedClose`](super::DisconnectReason::ForcedClose), and clients come back by
    /// themselves. To keep them away there is [`Socket::disconnect`].
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub fn close(&self) -> Result<(), SendError> {
        self.ask(Act::Hangup)?;
        self.0.is_closing.store(true, Ordering::Release);
        Ok(())
    }

    /// The sockets of the client that are connected, one for each namespace that it is in, in no
    /// order. A session that has ended has none.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`].
    pub async fn sockets(&self) -> Result<Vec<Socket>, SendError> {
        let (answer, answered) = oneshot::channel();
        match self.ask(Act::Siblings(answer)) {
            Ok(()) => Ok(answered.await.unwrap_or_default()),
            Err(SendError::Closed) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Calls a function once the session goes on over WebSocket after polling. Not where it does
    /// already: look at [`Conn::transport`] first. It is called on the thread of the connection and
    /// must not block.
    pub fn on_upgrade(&self, hear: impl FnOnce(&Self) + Send + 'static) {
        self.listen(|listeners| {
            if self.transport() == Transport::Polling {
                listeners.upgrade.push(Box::new(hear));
            }
        });
    }

    /// Calls a function once the session has ended, whatever its namespaces; not where it has
    /// already. `cause.reason().as_str()` is the word that Node has for it. It is called on the
    /// thread of the connection, before the handlers of the sockets are, and must not block.
    pub fn on_close(&self, hear: impl FnOnce(&Self, CloseCause) + Send + 'static) {
        self.listen(|listeners| listeners.close.push(Box::new(hear)));
    }

    fn listen(&self, add: impl FnOnce(&mut Listeners)) {
        let mut listeners = self.listeners();
        // With the fence of those who tell: either they see that somebody listens, or it is seen
        // here what they tell.
        fence(Ordering::SeqCst);
        // What listens may hold this, so nothing is kept that is never called.
        if self.0.cause.get().is_none() {
            add(&mut listeners);
        }
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        let listeners = self.0.listeners.get_or_init(Box::default);
        listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody listens, once it is stored what there is to hear.
    fn has_listeners(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.listeners.get().is_some()
    }

    fn ask(&self, act: Act) -> Result<(), SendError> {
        let Inner { member, cause, .. } = &*self.0;
        if cause.get().is_some() || !member.is_open() {
            return Err(SendError::Closed);
        }
        let to_socket = Box::new(ToSocket {
            namespace: "/".into(),
            act,
        });
        let command = Command::Socket {
            to: member.key(),
            to_socket,
        };
        member.link().command(member.id().shard(), command)
    }

    pub(crate) fn member(&self) -> &Member {
        &self.0.member
    }

    /// The session goes on over WebSocket.
    pub(crate) fn set_upgraded(&self) {
        self.0.is_on_websocket.store(true, Ordering::Release);
        if self.has_listeners() {
            let listeners = std::mem::take(&mut self.listeners().upgrade);
            for hear in listeners {
                hear(self);
            }
        }
    }

    /// The session has ended.
    pub(crate) fn set_closed(&self, cause: CloseCause) {
        let is_first = self.0.cause.set(cause).is_ok();
        self.0.member.set_closed();
        if is_first && self.has_listeners() {
            let listeners = std::mem::take(&mut *self.listeners());
            for hear in listeners.close {
                hear(self, cause);
            }
        }
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn")
            .field("member", &self.0.member.id())
            .field("transport", &self.transport())
            .finish_non_exhaustive()
    }
}

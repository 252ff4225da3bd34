//! `parlor.v1` with reconnection: one ordered stream of events out of many connections.
//!
//! ```no_run
//! use parlor::client::{Builder, session::Event};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut session = Builder::new("ws://localhost:8080/signal").session().name("Ann").start()?;
//! let tea = session.join("tea")?;
//! let _receipt = tea.publish("Hello!").await?;
//! while let Some(event) = session.next().await {
//!     match event {
//!         Event::Message(message) => println!("{:?}", message.payload.as_text()),
//!         Event::Gap { room, .. } => println!("something is missing in {room}"),
//!         Event::Disconnected { reason, retry_in } => println!("{reason}, again in {retry_in:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is heard
//!
//! The messages of each sender in a room come in their order and none twice, over any number of
//! connections: a room is joined again from the last message that was heard. What the server cannot
//! replay is an [`Event::Gap`] before the next message. A client's own messages are not events; what
//! became of them is told by their [`Receipt`]s.
//!
//! # What becomes of what is said
//!
//! A message waits in a bounded queue until its room is joined, then it is sent, and its place in
//! the queue is free when the server has answered. While there is no connection the queue fills;
//! past its bound publishing fails at once or waits, as the caller likes, and what is older than its
//! time to live is given up and told.
//!
//! A message whose answer had not come when the connection was lost is *in doubt*. Nothing else is
//! sent to its room until that is over, which is when the server has put the old connection out of
//! the room: at once where it saw the loss too, else after its heartbeat. Then it holds that
//!
//! | what is replayed | the message |
//! |---|---|
//! | has it | was published: the receipt gives its id, and it is not sent again |
//! | has no gap, and not this message | was not published, and is sent again, in its order |
//! | has a gap, or the wait was longer than [`SessionBuilder::patience`] | is [`SessionError::Unconfirmed`]: it may have been published, and is not sent again |
//!
//! So a message is published at most once, and the application knows of each whether it was, or
//! that this cannot be known. Messages to one member alone are not kept by the server; in doubt they
//! are always unconfirmed.
//!
//! Two messages of the same text are told apart by their order alone. That is enough, since the
//! server takes the messages of one connection in order.

mod desk;
mod driver;
mod handle;
mod payload;
mod room;
mod wire;

use std::{
    fmt,
    ops::Deref,
    pin::Pin,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use parlor_proto::{signal::SUBPROTOCOL, websocket::CloseCode};
use tokio::sync::{Semaphore, mpsc};

pub use parlor_hub::{MemberId, MessageId};
pub use parlor_proto::signal::Priority;

pub use self::handle::{Handle, Receipt, Relay, Room, SessionError};
pub use self::payload::{Draft, Payload, Peer, RoomMessage, Roster};

use self::{
    desk::Desk,
    driver::{Driver, Settings},
    handle::Shared,
};
use super::{Backoff, Builder, ConnectError, SocketError, connect::Way};

/// What happens in a session, in order.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// There is a connection. The rooms are joined next.
    Connected,
    /// This client is in a room: for the first time, or again after a reconnection.
    Joined {
        /// The room.
        room: Arc<str>,
        /// This client's id on this connection.
        id: MemberId,
        /// The others, in place of all that was known of them before.
        roster: Roster,
        /// Whether what was missed follows.
        resumed: bool,
    },
    /// A message: of a room those of each sender in their order, and none twice.
    Message(RoomMessage),
    /// Messages of a room were missed, or may have been, that are not replayed: the server has
    /// restarted, they have become too old, or the connection was lost before the server told what
    /// it had dropped. What comes next is after them.
    Gap {
        /// The room.
        room: Arc<str>,
        /// The oldest message that the server still has, where it has one.
        oldest: Option<MessageId>,
    },
    /// Another member is in a room.
    PeerJoined {
        /// The room.
        room: Arc<str>,
        /// Who.
        peer: Peer,
    },
    /// Another member is out of a room.
    PeerLeft {
        /// The room.
        room: Arc<str>,
        /// Who.
        id: MemberId,
    },
    /// A member has new presence data.
    Presence {
        /// The room.
        room: Arc<str>,
        /// Who.
        from: MemberId,
        /// The data, as JSON text.
        data: String,
    },
    /// The server dropped messages of low priority because this client was too slow.
    Dropped {
        /// The room.
        room: Arc<str>,
        /// How many.
        count: u64,
    },
    /// A description or candidate of a member.
    Relayed {
        /// Who sent it.
        from: MemberId,
        /// Which.
        kind: Relay,
        /// The whole object, as JSON text.
        object: String,
    },
    /// The server did not let this client into a room, at first or again; what was queued for it
    /// is given up.
    RoomLost {
        /// The room.
        room: Arc<str>,
        /// The server's word for programs.
        code: String,
        /// The server's words for people.
        message: String,
    },
    /// The server complains about something that was not asked here, or said something that is not
    /// understood (code `malformed`).
    Error {
        /// The server's word for programs.
        code: String,
        /// The server's words for people.
        message: String,
    },
    /// There is no connection, or there was none to be had. The next attempt is made on its own.
    /// Of several attempts before the application takes this event only the last is told.
    Disconnected {
        /// Why.
        reason: Reason,
        /// When the next attempt is made; later where this process is held up then, see
        /// [`Backoff`].
        retry_in: Duration,
    },
    /// The session is over; the last event.
    Ended {
        /// Why, where it was not asked for.
        reason: Option<Reason>,
    },
}

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reason {
    /// There was none to be had.
    Connect(ConnectError),
    /// It broke.
    Broken(SocketError),
    /// The server closed it.
    Closed {
        /// The code.
        code: Option<CloseCode>,
        /// The server's words.
        reason: String,
    },
}

impl Reason {
    /// Whether another attempt would end the same way.
    fn is_final(&self, code_is_final: fn(CloseCode) -> bool) -> bool {
        match self {
            Self::Connect(error) => error.is_permanent(),
            // A limit of ours, or a server that breaks the protocol: so it would again.
            Self::Broken(SocketError::Violation(_)) => true,
            Self::Broken(_) => false,
            Self::Closed { code, .. } => code.is_some_and(code_is_final),
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Connect(error) => error.retry_after(),
            Self::Broken(_) | Self::Closed { .. } => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Broken(error) => error.fmt(f),
            Self::Closed { code: None, .. } => f.write_str("closed by the server"),
            Self::Closed {
                code: Some(code),
                reason,
            } => write!(f, "closed by the server: {code} {reason}"),
        }
    }
}

/// The codes after which there is no next attempt, unless
/// [`SessionBuilder::final_codes`] says otherwise: 1000, 1002, 1003, 1007 to 1010, 3000
/// (unauthorized), 3003 (forbidden), and the application's own, 4000 to 4999.
#[must_use]
pub fn is_final(code: CloseCode) -> bool {
    matches!(
        code.get(),
        1000 | 1002 | 1003 | 1007..=1010 | 3000 | 3003 | 4000..=4999
    )
}

/// Makes a [`Session`]; from [`Builder::session`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it starts"]
pub struct SessionBuilder {
    connection: Builder,
    name: Option<String>,
    backoff: Backoff,
    queue_messages_max: usize,
    queue_bytes_max: usize,
    publish_bytes_max: usize,
    time_to_live: Duration,
    events_max: usize,
    patience: Duration,
    drain: Duration,
    final_codes: fn(CloseCode) -> bool,
}

impl Builder {
    /// A session over connections of this kind: rooms by `parlor.v1`, kept across reconnections.
    /// The subprotocol is offered by itself.
    pub fn session(self) -> SessionBuilder {
        SessionBuilder {
            connection: self,
            name: None,
            backoff: Backoff::default(),
            queue_messages_max: 1024,
            queue_bytes_max: 4 << 20,
            publish_bytes_max: 1 << 20,
            time_to_live: Duration::from_secs(60),
            events_max: 1024,
            patience: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            final_codes: is_final,
        }
    }
}

impl SessionBuilder {
    /// The name that others see; the server takes at most 128 bytes unless it was told otherwise.
    /// Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// When to connect again.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The most messages that are not acknowledged yet, sent or not; past it
    /// [`SessionError::LimitQueue`]. Default: 1024.
    pub const fn queue_messages_max(mut self, max: usize) -> Self {
        self.queue_messages_max = max;
        self
    }

    /// The most bytes of these messages, as they stand on the wire. Default: 4 MiB.
    pub const fn queue_bytes_max(mut self, max: usize) -> Self {
        self.queue_bytes_max = max;
        self
    }

    /// The longest message to publish, as it stands on the wire; past it
    /// [`SessionError::LimitMessage`]. The server closes with 1009 past a limit of its own, and
    /// that ends the session. Default: 1 MiB, as the server's.
    pub const fn publish_bytes_max(mut self, max: usize) -> Self {
        self.publish_bytes_max = max;
        self
    }

    /// How long a message may wait to be sent, for a connection or in the queue; past it
    /// [`SessionError::LimitAge`] (looked at ten times a second). Zero stands for ever. Default:
    /// 60 s.
    pub const fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// The most events that wait to be taken. Past it nothing is read from the server, which may
    /// close the connection with 1013 when that lasts; the session then resumes. Default: 1024.
    pub const fn events_max(mut self, max: usize) -> Self {
        self.events_max = max;
        self
    }

    /// How long messages in doubt, and those behind them in the same room, wait for the server to
    /// find out that the old connection is dead; past it they are
    /// [`SessionError::Unconfirmed`]. Default: 60 s, over the 45 s that the server takes.
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long an end that was asked for waits for what is queued. Default: 5 s.
    pub const fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// After which close codes there is no next attempt. Default: [`is_final`].
    pub const fn final_codes(mut self, codes: fn(CloseCode) -> bool) -> Self {
        self.final_codes = codes;
        self
    }

    /// Starts the session's task, which connects at once. That a server cannot be reached is no
    /// error here but an event.
    ///
    /// # Errors
    ///
    /// [`ConnectError::MisuseUrl`]; [`ConnectError::Unsupported`] outside of a tokio runtime.
    pub fn start(self) -> Result<Session, ConnectError> {
        let mut connection = self.connection.protocol(SUBPROTOCOL);
        if let Some(name) = self.name {
            connection = connection.query("name", name);
        }
        Way::new(&connection)?;
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_| ConnectError::Unsupported {
                what: "a session outside of a tokio runtime",
            })?;
        let (commands, orders) = mpsc::channel(
            self.queue_messages_max
                .saturating_add(COMMANDS)
                .min(QUEUE_MAX),
        );
        let (tell, events) = mpsc::channel(self.events_max.clamp(1, QUEUE_MAX));
        let detached = Arc::new(AtomicBool::new(false));
        let shared = Shared {
            commands,
            slots: Arc::new(Semaphore::new(self.queue_messages_max.min(QUEUE_MAX))),
            bytes: Arc::new(Semaphore::new(
                self.queue_bytes_max.min(Semaphore::MAX_PERMITS),
            )),
            publish_bytes_max: self.publish_bytes_max.min(self.queue_bytes_max),
            time_to_live: self.time_to_live,
            detached: Arc::clone(&detached),
        };
        let settings = Settings {
            backoff: self.backoff,
            drain: self.drain,
            close_timeout: connection.socket.close_timeout,
            is_final: self.final_codes,
            detached,
        };
        let desk = Desk::new(self.patience);
        let driver = Driver::new(connection, settings, orders, tell, desk);
        runtime.spawn(driver.run());
        Ok(Session {
            events,
            handle: Handle::new(shared),
        })
    }
}

/// Commands beside messages that may wait.
const COMMANDS: usize = 256;
/// The longest queue.
const QUEUE_MAX: usize = 1 << 20;

/// A client in rooms, connection after connection.
///
/// [`Session::next`] gives what happens; everything else is said through its [`Handle`], to which a
/// session dereferences. Events must be taken: acknowledgements come the same way, and behind
/// [`SessionBuilder::events_max`] events that nobody takes nothing is read. A client that wants
/// none calls [`Session::detach`].
///
/// Dropped, it ends as by [`Handle::close`], but nobody waits for it.
///
/// Memory: that of a [`Socket`](super::Socket), and the queues, each within its bound.
#[derive(Debug)]
#[must_use = "a session ends when it is dropped"]
pub struct Session {
    events: mpsc::Receiver<Event>,
    handle: Handle,
}

impl Session {
    /// What happens next; `None` after [`Event::Ended`].
    ///
    /// Cancel-safe: dropped before it is done, it has taken nothing away.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// To speak to the session from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Goes on without events, as long as there are handles or rooms.
    #[must_use]
    pub fn detach(self) -> Handle {
        self.handle.detach();
        self.handle
    }
}

impl Deref for Session {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Stream for Session {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(cx)
    }
}

//! Sessions of Engine.IO for embedders who want nothing above it.

mod hooks;
mod traffic;

use std::{fmt, net::SocketAddr};

pub use parlor_proto::engineio::{
    CloseCause, CloseReason, ErrorCode, Message, PacketType, State, Text, Transport, Version,
};

pub(crate) use self::hooks::{Case, Judging, Ruling};
pub use self::{
    hooks::{Context, Hooks, RequestError},
    traffic::{Passing, Traffic},
};
use super::Head;

/// What happens to a session of Engine.IO.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It is open.
    Open,
    /// A text message came in.
    Text(&'a str),
    /// A binary message came in.
    Binary(&'a [u8]),
    /// It goes over WebSocket now, after polling; what waited is on its way there.
    Upgraded,
    /// It has ended; what is sent now goes nowhere. The last event, and always there.
    Closed(CloseReason),
}

/// A session of Engine.IO, while its handler is called.
#[derive(Debug)]
pub struct Session {
    id: Box<str>,
    peer: SocketAddr,
    version: Version,
    transport: Transport,
    writable: bool,
    pub(crate) sent: Vec<Message>,
    pub(crate) closing: bool,
}

/// What is called with the events of one session, one after the other.
///
/// It runs on the thread of the session's connection, so it must not wait: what takes longer
/// belongs into a task.
pub(crate) type Handle = Box<dyn FnMut(&mut Session, Event<'_>)>;

/// Makes the handler of a new session; none refuses it.
pub(crate) type Open = Box<dyn Fn(&Head) -> Option<Handle> + Send + Sync>;

/// [`Open`] with a face for logs.
pub(crate) struct Opener(pub(crate) Open);

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl Session {
    pub(crate) fn new(id: &str, peer: SocketAddr, version: Version, transport: Transport) -> Self {
        Self {
            id: id.into(),
            peer,
            version,
            transport,
            writable: true,
            sent: Vec::new(),
            closing: false,
        }
    }

    pub(crate) fn set(&mut self, transport: Transport, writable: bool) {
        self.transport = transport;
        self.writable = writable;
    }

    /// Its id: 20 characters, or what [`Hooks::generate_id`] has made. Whoever knows it can speak as its client, so it is a secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The other end of the connection that opened it. Behind a proxy that is the proxy.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The revision that its client speaks.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What it goes over now; a session that is polled may go on over WebSocket.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether what is sent would leave at once: on WebSocket nothing waits, over polling a GET
    /// is pending.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.writable
    }

    /// Sends text (`&str`, `String`) or bytes (`Bytes`), when the handler returns.
    ///
    /// Over polling it waits for a GET. A session for which more than
    /// [`Config::outbox_bytes_max`](crate::Config::outbox_bytes_max) wait is ended.
    pub fn send(&mut self, message: impl Into<Message>) {
        self.sent.push(message.into());
    }

    /// Closes the session, behind what was sent.
    pub fn close(&mut self) {
        self.closing = true;
    }
}

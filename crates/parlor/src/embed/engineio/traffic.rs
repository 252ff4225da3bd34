//! What passes in the sessions of a path, for those who want to look on.

use super::{Hooks, PacketType, Transport, Version};

/// What passes in a session; told to [`Hooks::on_traffic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Traffic<'a> {
    /// A packet came in, before anybody has handled it. Those of a WebSocket that a session only
    /// tries are not among them.
    #[non_exhaustive]
    Received {
        /// Its type.
        kind: PacketType,
        /// Its data: text as UTF-8, or bytes.
        data: &'a [u8],
    },
    /// A packet goes out. Of answers to JSONP packets are not told, only that they went.
    #[non_exhaustive]
    Sent {
        /// Its type.
        kind: PacketType,
        /// Its data: text as UTF-8, or bytes.
        data: &'a [u8],
    },
    /// The client has shown that it lives: a pong came in, or a ping from a client of revision 3.
    Heartbeat,
    /// The client asks to go on over WebSocket. It may not come to it.
    Upgrading,
    /// What waited has been given to the transport: to the socket, or in the answer to a GET.
    Flushed,
    /// What the transport did not take at once is gone: nothing waits any more. Over polling after
    /// each answer that left nothing behind; on WebSocket after a backlog, and sometimes without one.
    Drained,
}

/// The session that something passes in.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'a> {
    pub(crate) id: &'a str,
    pub(crate) version: Version,
    pub(crate) transport: Transport,
}

/// What is called with it.
pub(super) type OnTraffic = dyn Fn(&Passing<'_>, Traffic<'_>) + Send + Sync;

impl Passing<'_> {
    /// The session's id, as [`Session::id`](super::Session::id) and
    /// [`Conn::id`](crate::socketio::Conn::id) have it. A secret.
    #[must_use]
    pub const fn id(&self) -> &str {
        self.id
    }

    /// The revision that its client speaks.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What it goes over.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }
}

impl Hooks {
    /// Looks on as packets pass in the sessions of the path: for logs, counters, and finding out
    /// what a client does. It is called on the threads of connections, within the work that it
    /// looks at, and must not wait.
    ///
    /// Nothing is paid for it where it is not asked for. Where it is, packets are read a second time
    /// for it, and what is broadcast is encoded for each client alone.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
    ///
    /// use parlor::engineio::{Hooks, PacketType, Traffic};
    ///
    /// let bytes = Arc::new(AtomicUsize::new(0));
    /// let counted = Arc::clone(&bytes);
    /// let hooks = Hooks::new().on_traffic(move |_session, traffic| {
    ///     if let Traffic::Sent { kind: PacketType::Message, data, .. } = traffic {
    ///         counted.fetch_add(data.len(), Ordering::Relaxed);
    ///     }
    /// });
    /// # let _ = hooks;
    /// ```
    pub fn on_traffic(
        mut self,
        hear: impl Fn(&Passing<'_>, Traffic<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.traffic = Some(Box::new(hear));
        self
    }

    pub(crate) const fn hears_traffic(&self) -> bool {
        self.traffic.is_some()
    }

    pub(crate) fn pass(&self, session: &Passing<'_>, traffic: Traffic<'_>) {
        if let Some(hear) = &self.traffic {
            hear(session, traffic);
        }
    }
}

//! Handlers of sockets, and how they are found and taken out again.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    ptr,
    sync::{Arc, Weak},
};

use serde::de::DeserializeOwned;

use super::{super::BoxError, Args, DisconnectReason, IntoAck, Received, Socket, command::Act};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(super) type EventFn = dyn Fn(Received) -> Boxed<Result<(), BoxError>> + Send + Sync;
pub(super) type PacketFn = dyn Fn(Received) -> Boxed<Result<(), BoxError>> + Send + Sync;
pub(super) type EndFn = dyn Fn(Socket, DisconnectReason) -> Boxed<()> + Send + Sync;
pub(super) type ErrorFn = dyn Fn(Socket, Arc<BoxError>) -> Boxed<()> + Send + Sync;
pub(super) type OutgoingFn = dyn Fn(&str, &Args) + Send + Sync;

/// A handler that a [`Socket`] or a [`Namespace`](super::Namespace) was given: closures cannot be
/// compared, so this stands for one.
///
/// [`Socket::on`] and its kin return it, [`Socket::listeners`] and its kin list those that there
/// are, and [`Socket::off_listener`] takes the handler out. To drop it changes nothing. It keeps
/// neither the socket nor what the closure holds; two are equal where they stand for the same
/// registration.
#[derive(Clone)]
pub struct Listener(Which);

#[derive(Clone)]
pub(super) enum Which {
    Event(Weak<EventFn>),
    Packet(Weak<PacketFn>),
    End(Weak<EndFn>),
    Error(Weak<ErrorFn>),
    Outgoing(Weak<OutgoingFn>),
}

impl Listener {
    pub(super) const fn new(which: Which) -> Self {
        Self(which)
    }

    pub(super) const fn which(&self) -> &Which {
        &self.0
    }

    /// Nothing else is there as long as this is.
    fn address(&self) -> *const () {
        match &self.0 {
            Which::Event(it) => it.as_ptr().cast(),
            Which::Packet(it) => it.as_ptr().cast(),
            Which::End(it) => it.as_ptr().cast(),
            Which::Error(it) => it.as_ptr().cast(),
            Which::Outgoing(it) => it.as_ptr().cast(),
        }
    }
}

impl PartialEq for Listener {
    fn eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Listener {}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.address()).finish()
    }
}

/// Takes one out of a list. Whether it was there.
pub(super) fn take_out<T: ?Sized>(list: &mut Vec<Arc<T>>, given: &Weak<T>) -> bool {
    let at = list.iter().position(|own| is(own, given));
    at.map(|at| list.remove(at)).is_some()
}

/// Whether a handler is the one that was given.
pub(super) fn is<T: ?Sized>(own: &Arc<T>, given: &Weak<T>) -> bool {
    ptr::addr_eq(Arc::as_ptr(own), given.as_ptr())
}

impl Socket {
    /// Calls a handler for an event, after those that were given before. Events of one socket are
    /// handled one after the other. See [`Args::parse`] for what the arguments become; where they
    /// do not fit, or the handler returns an error, [`Socket::on_error`] is called; the client is not
    /// answered then.
    pub fn on<T, F, Fut>(&self, event: &str, handler: F) -> Listener
    where
        T: DeserializeOwned + Send,
        F: Fn(Self, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send,
    {
        self.handlers().on(event, false, handler)
    }

    /// The same for the next such event alone.
    pub fn once<T, F, Fut>(&self, event: &str, handler: F) -> Listener
    where
        T: DeserializeOwned + Send,
        F: Fn(Self, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send,
    {
        self.handlers().on(event, true, handler)
    }

    /// Calls a handler with an event as it came, and the right to acknowledge it.
    pub fn on_event<F, Fut>(&self, event: &str, handler: F) -> Listener
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers().on_event(event, handler)
    }

    /// Forgets the socket's own handlers of an event.
    pub fn off(&self, event: &str) {
        self.handlers().off(event);
    }

    /// Forgets one handler, of whatever this socket was given. Whether it was still there: one for
    /// once is not when it has been called, and one of the namespace is none of the socket's. Of an
    /// event that is being handled it may still be called.
    #[expect(clippy::must_use_candidate, reason = "it is out in any case")]
    pub fn off_listener(&self, listener: &Listener) -> bool {
        let mut handlers = self.handlers();
        let was_there = handlers.remove(listener);
        let unheard = was_there && !handlers.hears_outgoing();
        drop(handlers);
        if unheard && matches!(listener.which(), Which::Outgoing(_)) {
            self.watch();
        }
        was_there
    }

    /// The socket's own handlers of an event, in the order in which they are called. Their number
    /// is `listeners(event).len()`.
    #[must_use]
    pub fn listeners(&self, event: &str) -> Vec<Listener> {
        self.handlers().listeners(event)
    }

    /// The events that the socket has handlers of its own for, each once.
    #[must_use]
    pub fn event_names(&self) -> Vec<String> {
        self.handlers().event_names()
    }

    /// Calls a handler for every event, before those of the event.
    pub fn on_any<F, Fut>(&self, handler: F) -> Listener
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers().on_any(false, handler)
    }

    /// The same, before those that were given already.
    pub fn prepend_any<F, Fut>(&self, handler: F) -> Listener
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers().on_any(true, handler)
    }

    /// Forgets what was given to [`Socket::on_any`] and [`Socket::prepend_any`].
    pub fn off_any(&self) {
        self.handlers().off_any();
    }

    /// What was given to [`Socket::on_any`] and [`Socket::prepend_any`], in the order in which it
    /// is called.
    #[must_use]
    pub fn listeners_any(&self) -> Vec<Listener> {
        self.handlers().listeners_any()
    }

    /// Calls a function with the name and the arguments of every event that the socket is sent: by
    /// this handle and its clones where they send it, and of broadcasts where they are delivered,
    /// on the thread of its shard, which it must not block. Acknowledgements are no events.
    ///
    /// As long as there is one, what is broadcast is encoded for this connection alone.
    pub fn on_any_outgoing(
        &self,
        handler: impl Fn(&str, &Args) + Send + Sync + 'static,
    ) -> Listener {
        self.hear_outgoing(false, handler)
    }

    /// The same, before those that were given already.
    pub fn prepend_any_outgoing(
        &self,
        handler: impl Fn(&str, &Args) + Send + Sync + 'static,
    ) -> Listener {
        self.hear_outgoing(true, handler)
    }

    /// Forgets what was given to [`Socket::on_any_outgoing`] and [`Socket::prepend_any_outgoing`].
    pub fn off_any_outgoing(&self) {
        if self.handlers().off_any_outgoing() {
            self.watch();
        }
    }

    /// What was given to [`Socket::on_any_outgoing`] and [`Socket::prepend_any_outgoing`], in the
    /// order in which it is called.
    #[must_use]
    pub fn listeners_any_outgoing(&self) -> Vec<Listener> {
        self.handlers().listeners_any_outgoing()
    }

    fn hear_outgoing(
        &self,
        first: bool,
        handler: impl Fn(&str, &Args) + Send + Sync + 'static,
    ) -> Listener {
        let mut handlers = self.handlers();
        let was_heard = handlers.hears_outgoing();
        let listener = handlers.on_any_outgoing(first, handler);
        drop(handlers);
        if !was_heard {
            self.watch();
        }
        listener
    }

    /// Has the shard look whether what it delivers is to be told.
    fn watch(&self) {
        // One that has gone is delivered nothing.
        let _ = self.act_urgently(Act::Watch);
    }

    /// Asks a function about every event before it is handled. An error is for
    /// [`Socket::on_error`], and the event goes no further.
    pub fn middleware<F, Fut>(&self, handler: F) -> Listener
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.handlers().on_packet(handler)
    }

    /// Calls a handler when the socket ends, while [`Socket::rooms`] still tells its rooms.
    /// [`Socket::disconnect_details`] may say more than the reason.
    pub fn on_disconnecting<F, Fut>(&self, handler: F) -> Listener
    where
        F: Fn(Self, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers().on_end(true, handler)
    }

    /// Calls a handler when the socket has ended. [`Socket::disconnect_details`] may say more than
    /// the reason.
    pub fn on_disconnect<F, Fut>(&self, handler: F) -> Listener
    where
        F: Fn(Self, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers().on_end(false, handler)
    }

    /// Calls a handler with what went wrong: a middleware's error, arguments that do not fit, an
    /// error of a handler. Without one, here and at the namespace, it is logged.
    pub fn on_error<F, Fut>(&self, handler: F) -> Listener
    where
        F: Fn(Self, Arc<BoxError>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers().on_error(handler)
    }
}

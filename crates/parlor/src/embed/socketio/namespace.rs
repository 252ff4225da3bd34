//! One namespace of a server.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    super::{BoxError, SendError},
    Args, Broadcast, ConnectError, DisconnectReason, IntoAck, Listener, PartialAcks, Received,
    Socket,
    io::{Io, Rules},
};

/// A namespace, or those that a rule stands for: to give it handlers, and to send to it.
#[derive(Clone)]
pub struct Namespace {
    pub(super) io: Arc<Io>,
    /// None where it is a rule over names: it can be given handlers, and nothing be sent to it.
    pub(super) name: Option<Arc<str>>,
    pub(super) rules: Arc<Rules>,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Namespace {
    /// Its name; none where it is a rule over names.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Calls a handler for each socket that connects. Its end is awaited before the socket's first
    /// event is handled.
    pub fn on_connect<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.rules
            .on_connect(Arc::new(move |socket| Box::pin(handler(socket))));
        self
    }

    /// Asks a function whether a client may come in, after those that were given before.
    pub fn middleware<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Socket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ConnectError>> + Send + 'static,
    {
        self.rules
            .on_asked(Arc::new(move |socket| Box::pin(handler(socket))));
        self
    }

    /// Calls a handler for an event of any socket of the namespace, before those of the socket; see
    /// [`Socket::on`]. It costs nothing for each socket.
    pub fn on<T, F, Fut>(&self, event: &str, handler: F) -> &Self
    where
        T: DeserializeOwned + Send,
        F: Fn(Socket, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send,
    {
        self.rules.handlers().on(event, false, handler);
        self
    }

    /// The same with the event as it came; see [`Socket::on_event`].
    pub fn on_event<F, Fut>(&self, event: &str, handler: F) -> &Self
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.rules.handlers().on_event(event, handler);
        self
    }

    /// Calls a handler for every event of any socket; see [`Socket::on_any`].
    pub fn on_any<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.rules.handlers().on_any(false, handler);
        self
    }

    /// The same, before those that were given already; see [`Socket::prepend_any`].
    pub fn prepend_any<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.rules.handlers().on_any(true, handler);
        self
    }

    /// Forgets the namespace's handlers of an event, which [`Namespace::on`] and
    /// [`Namespace::on_event`] were given. Those of sockets stay.
    pub fn off(&self, event: &str) {
        self.rules.handlers().off(event);
    }

    /// Forgets what was given to [`Namespace::on_any`] and [`Namespace::prepend_any`].
    pub fn off_any(&self) {
        self.rules.handlers().off_any();
    }

    /// Forgets one handler of the namespace. Whether it was still there.
    #[expect(clippy::must_use_candidate, reason = "it is out in any case")]
    pub fn off_listener(&self, listener: &Listener) -> bool {
        self.rules.handlers().remove(listener)
    }

    /// The namespace's handlers of an event, in the order in which they are called.
    #[must_use]
    pub fn listeners(&self, event: &str) -> Vec<Listener> {
        self.rules.handlers().listeners(event)
    }

    /// What was given to [`Namespace::on_any`] and [`Namespace::prepend_any`], in the order in
    /// which it is called.
    #[must_use]
    pub fn listeners_any(&self) -> Vec<Listener> {
        self.rules.handlers().listeners_any()
    }

    /// Asks a function about every event of any socket; see [`Socket::middleware`].
    pub fn packet_middleware<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.rules.handlers().on_packet(handler);
        self
    }

    /// Calls a handler when a socket ends; see [`Socket::on_disconnecting`].
    pub fn on_disconnecting<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Socket, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.rules.handlers().on_end(true, handler);
        self
    }

    /// Calls a handler when a socket has ended; see [`Socket::on_disconnect`].
    pub fn on_disconnect<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Socket, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.rules.handlers().on_end(false, handler);
        self
    }

    /// Calls a handler for what went wrong with an event of any socket, before those of the socket;
    /// see [`Socket::on_error`].
    pub fn on_error<F, Fut>(&self, handler: F) -> &Self
    where
        F: Fn(Socket, Arc<BoxError>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.rules.handlers().on_error(handler);
        self
    }

    /// An event for all sockets of the namespace. Of a rule over names it is for nobody.
    pub fn all(&self) -> Broadcast {
        let link = self.name.as_ref().and_then(|_| self.io.link());
        let name = self.name.clone().unwrap_or_default();
        Broadcast::new(link, name)
    }

    /// An event for those in a room.
    pub fn to(&self, room: impl AsRef<str>) -> Broadcast {
        self.all().to(room)
    }

    /// An event for those in any of these rooms; each socket hears it once. An empty list is
    /// nobody.
    pub fn to_rooms<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) -> Broadcast {
        self.all().to_rooms(rooms)
    }

    /// The same as [`Namespace::to`], for sentences that read better so.
    pub fn within(&self, room: impl AsRef<str>) -> Broadcast {
        self.to(room)
    }

    /// An event for all but those in a room.
    pub fn except(&self, room: impl AsRef<str>) -> Broadcast {
        self.all().except(room)
    }

    /// Passes by those that would have to wait: see [`Broadcast::volatile`].
    pub fn volatile(&self) -> Broadcast {
        self.all().volatile()
    }

    /// Leaves an event uncompressed, or not: see [`Broadcast::compress`].
    pub fn compress(&self, compress: bool) -> Broadcast {
        self.all().compress(compress)
    }

    /// Only to sockets of this node: see [`Broadcast::local`].
    pub fn local(&self) -> Broadcast {
        self.all().local()
    }

    /// How long acknowledgements are waited for: see [`Broadcast::timeout`].
    pub fn timeout(&self, timeout: Duration) -> Broadcast {
        self.all().timeout(timeout)
    }

    /// Sends an event to all sockets of the namespace.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit`].
    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, args: &T) -> Result<(), SendError> {
        self.all().emit(event, args)
    }

    /// Sends an event to all sockets of the namespace and waits for their acknowledgements.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::emit_with_ack`].
    pub async fn emit_with_ack<T: Serialize + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> Result<Vec<Args>, PartialAcks> {
        self.all().emit_with_ack(event, args).await
    }

    /// All sockets of the namespace, in no order.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub async fn fetch_sockets(&self) -> Result<Vec<Socket>, SendError> {
        self.all().fetch_sockets().await
    }

    /// How many sockets there are in the namespace.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub async fn count_sockets(&self) -> Result<usize, SendError> {
        self.all().count_sockets().await
    }

    /// Puts all sockets of the namespace into rooms.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub fn sockets_join<R: AsRef<str>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), SendError> {
        self.all().sockets_join(rooms)
    }

    /// Takes all sockets of the namespace out of rooms.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub fn sockets_leave<R: AsRef<str>>(
        &self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), SendError> {
        self.all().sockets_leave(rooms)
    }

    /// Disconnects all sockets from the namespace, or with `close` their connections.
    ///
    /// # Errors
    ///
    /// As [`Broadcast::fetch_sockets`].
    pub fn disconnect_sockets(&self, close: bool) -> Result<(), SendError> {
        self.all().disconnect_sockets(close)
    }

    /// Sends an event to the other nodes of the cluster. There are none, so far.
    ///
    /// # Errors
    ///
    /// [`SendError::Json`] where the arguments cannot be said in JSON.
    pub fn server_side_emit<T: Serialize + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> Result<(), SendError> {
        super::args::Packed::event(event, args)?;
        Ok(())
    }

    /// The same, and waits for an answer of each. There are none, so far.
    ///
    /// # Errors
    ///
    /// As [`Namespace::server_side_emit`].
    pub async fn server_side_emit_with_ack<T: Serialize + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> Result<Vec<Value>, SendError> {
        std::future::ready(self.server_side_emit(event, args).map(|()| Vec::new())).await
    }

    /// Is to call a handler for events that other nodes of the cluster send with
    /// [`Namespace::server_side_emit`], and to answer those that wait with what it returns
    /// ([`IntoAck`]). There are no other nodes, so far, and a node does not hear itself: the
    /// handler is never called, and is dropped at once.
    pub fn on_server_side_emit<T, F, Fut>(&self, event: &str, handler: F) -> &Self
    where
        T: DeserializeOwned + Send,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send,
    {
        let _ = (event, handler);
        self
    }
}

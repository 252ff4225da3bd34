//! What an embedder does with connections.

use std::future::{Future, ready};

use bytes::Bytes;

use super::{BoxError, Connect, ConnectionError, Disconnect, Member, Message, Refusal};

/// A control frame from a client, but for Close (RFC 6455, section 5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Control {
    /// A ping with its payload, at most 125 bytes.
    Ping(Bytes),
    /// A pong with its payload, at most 125 bytes.
    Pong(Bytes),
}

/// What to do with the connections of an endpoint. Implement it with `async fn`s.
///
/// ```
/// use parlor::{BoxError, Connect, Handler, Member, Message, Refusal};
///
/// /// Counts what each client says.
/// struct Counting;
///
/// impl Handler for Counting {
///     type State = u64;
///
///     async fn connect(&self, _: &mut Connect) -> Result<u64, Refusal> {
///         Ok(0)
///     }
///
///     async fn message(
///         &self,
///         count: &mut u64,
///         member: &Member,
///         _: Message,
///     ) -> Result<(), BoxError> {
///         *count += 1;
///         member.send(format!("that was number {count}"))?;
///         Ok(())
///     }
/// }
/// # let _ = parlor::Server::builder().endpoint("/count", Counting);
/// ```
///
/// **Order.** A connection's events are handled one after the other, in the order in which they
/// came: the next one waits until the handler of the one before is done. Those of different
/// connections are handled side by side, on as many threads as there are shards.
///
/// **Waiting.** A handler may await whatever it likes. Meanwhile up to 256 further messages of its
/// connection, or 64 KiB, wait; past that its socket is not read, so that the client feels it. Pings
/// that were read are still answered, and the client is not held to its own pong. Other connections
/// go on.
///
/// **Blocking.** A handler that blocks its thread stops all connections of its shard for as long.
/// A turn of a shard over 100 ms is counted ([`ServerHandle::slow_turns`]), one over 1 s is logged.
/// Give long work to [`tokio::task::spawn_blocking`].
///
/// **Panics.** A handler that panics closes its connection with 1011, and is counted
/// ([`ServerHandle::handler_panics`]). The state is dropped and [`Handler::disconnect`] is not
/// called: what must be done in any case belongs into the [`Drop`] of the state.
///
/// The runtime is tokio's, of one thread for each shard: a task that is spawned in a handler runs on
/// that thread.
///
/// [`ServerHandle::slow_turns`]: super::ServerHandle::slow_turns
/// [`ServerHandle::handler_panics`]: super::ServerHandle::handler_panics
pub trait Handler: Send + Sync + 'static {
    /// What a connection keeps between its events: made by [`Handler::connect`], then exclusively
    /// its own. `()` where there is nothing to keep.
    type State: Send + 'static;

    /// A client asks to be connected. Its answer waits until this is done, for at most
    /// [`head_timeout`](crate::Config::head_timeout); then the client gets 503.
    ///
    /// The host and the origin were checked before.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] is sent to the client, and the connection is closed.
    fn connect(
        &self,
        connect: &mut Connect,
    ) -> impl Future<Output = Result<Self::State, Refusal>> + Send;

    /// A message has come. The default ignores it.
    ///
    /// # Errors
    ///
    /// Any error is told to [`Handler::error`], and the connection is closed: with 1007 for
    /// JSON of the client's that does not fit
    /// ([`JsonError::is_malformed`](super::JsonError::is_malformed)), with 1011 for any other. What has come in behind the message is not handled. That the connection is closed already
    /// ([`SendError::Closed`](super::SendError::Closed)) is no error here.
    fn message(
        &self,
        state: &mut Self::State,
        member: &Member,
        message: Message,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (state, member, message);
        ready(Ok(()))
    }

    /// Whether [`Handler::control`] is called. Asked once for each connection; the default is no.
    fn hears_control(&self) -> bool {
        false
    }

    /// The client has sent a ping, which is answered already, or a pong. Called in order with the
    /// messages, if [`Handler::hears_control`] says so; the server's own pings, too, bring pongs.
    fn control(
        &self,
        state: &mut Self::State,
        member: &Member,
        control: Control,
    ) -> impl Future<Output = ()> + Send {
        let _ = (state, member, control);
        ready(())
    }

    /// The connection has ended. Called once for each that was accepted, after all of its messages,
    /// unless a handler has panicked. The member is out of its rooms already.
    fn disconnect(
        &self,
        state: Self::State,
        member: &Member,
        disconnect: Disconnect,
    ) -> impl Future<Output = ()> + Send {
        let _ = (state, member, disconnect);
        ready(())
    }

    /// Something went wrong with the connection. Unless it is said otherwise of the error, the
    /// connection ends by it and [`Handler::disconnect`] follows. The default ignores it.
    fn error(
        &self,
        state: &mut Self::State,
        member: &Member,
        error: ConnectionError,
    ) -> impl Future<Output = ()> + Send {
        let _ = (state, member, error);
        ready(())
    }
}

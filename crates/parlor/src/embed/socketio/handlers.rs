//! What embedders have given to be called.

use std::{future::Future, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{super::BoxError, DisconnectReason, Socket, args::Packed, received::Received};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type OnEvent = Arc<dyn Fn(Received) -> Boxed<()> + Send + Sync>;
type OnPacket = Arc<dyn Fn(Received) -> Boxed<Result<(), BoxError>> + Send + Sync>;
type OnEnd = Arc<dyn Fn(Socket, DisconnectReason) -> Boxed<()> + Send + Sync>;
type OnError = Arc<dyn Fn(Socket, Arc<BoxError>) -> Boxed<()> + Send + Sync>;
type OnOutgoing = Arc<dyn Fn(&str) + Send + Sync>;

/// An acknowledgement as the result of a handler: `Ack(value)`. A tuple is several arguments, `()`
/// none. To serde an array of fixed length is a tuple too; a `Vec` or a slice is one argument.
///
/// It is sent even where the handler has filled the queue of commands: it waits for room there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the value, and nothing else")]
pub struct Ack<T>(pub T);

/// What a handler may return: `()`, [`Ack`], an option of that, or a result of any of them.
pub trait IntoAck: Send {
    #[doc(hidden)]
    fn into_reply(self) -> Result<Option<Reply>, BoxError>;
}

/// Something to be said in an acknowledgement.
#[doc(hidden)]
#[derive(Debug)]
pub struct Reply(pub(crate) Packed);

impl IntoAck for () {
    fn into_reply(self) -> Result<Option<Reply>, BoxError> {
        Ok(None)
    }
}

impl<T: Serialize + Send> IntoAck for Ack<T> {
    fn into_reply(self) -> Result<Option<Reply>, BoxError> {
        Ok(Some(Reply(Packed::ack(&self.0)?)))
    }
}

impl<A: IntoAck> IntoAck for Option<A> {
    fn into_reply(self) -> Result<Option<Reply>, BoxError> {
        self.map_or(Ok(None), IntoAck::into_reply)
    }
}

impl<A: IntoAck, E: Into<BoxError> + Send> IntoAck for Result<A, E> {
    fn into_reply(self) -> Result<Option<Reply>, BoxError> {
        self.map_err(Into::into)?.into_reply()
    }
}

/// Handlers of a namespace or of a socket, in the order in which they were given.
#[derive(Default)]
pub(crate) struct Handlers {
    events: Vec<Listener>,
    any: Vec<OnEvent>,
    outgoing: Vec<OnOutgoing>,
    packets: Vec<OnPacket>,
    disconnecting: Vec<OnEnd>,
    disconnect: Vec<OnEnd>,
    errors: Vec<OnError>,
}

struct Listener {
    event: Box<str>,
    call: OnEvent,
    once: bool,
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

impl Handlers {
    pub(crate) fn on<T, F, Fut>(&mut self, event: &str, once: bool, handler: F)
    where
        T: DeserializeOwned + Send,
        F: Fn(Socket, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send,
    {
        let handler = Arc::new(handler);
        self.add(event, once, move |received: Received| {
            let handler = Arc::clone(&handler);
            async move {
                let value = received.args().parse::<T>()?;
                let returned = handler(received.socket().clone(), value).await;
                if let Some(Reply(packed)) = returned.into_reply()? {
                    received.acknowledge(packed).await;
                }
                Ok(())
            }
        });
    }

    pub(crate) fn on_event<F, Fut>(&mut self, event: &str, handler: F)
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.events.push(Listener {
            event: event.into(),
            call: Arc::new(move |received| Box::pin(handler(received))),
            once: false,
        });
    }

    fn add<F, Fut>(&mut self, event: &str, once: bool, handler: F)
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send,
    {
        let handler = Arc::new(handler);
        self.events.push(Listener {
            event: event.into(),
            call: Arc::new(move |received: Received| {
                let handler = Arc::clone(&handler);
                Box::pin(async move {
                    let socket = received.socket().clone();
                    if let Err(error) = handler(received).await {
                        socket.failed(error).await;
                    }
                })
            }),
            once,
        });
    }

    pub(crate) fn on_any<F, Fut>(&mut self, first: bool, handler: F)
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let at = if first { 0 } else { self.any.len() };
        self.any
            .insert(at, Arc::new(move |received| Box::pin(handler(received))));
    }

    pub(crate) fn on_any_outgoing(&mut self, handler: impl Fn(&str) + Send + Sync + 'static) {
        self.outgoing.push(Arc::new(handler));
    }

    pub(crate) fn on_packet<F, Fut>(&mut self, handler: F)
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.packets
            .push(Arc::new(move |received| Box::pin(handler(received))));
    }

    pub(crate) fn on_end<F, Fut>(&mut self, before: bool, handler: F)
    where
        F: Fn(Socket, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let list = if before {
            &mut self.disconnecting
        } else {
            &mut self.disconnect
        };
        list.push(Arc::new(move |socket, reason| {
            Box::pin(handler(socket, reason))
        }));
    }

    pub(crate) fn on_error<F, Fut>(&mut self, handler: F)
    where
        F: Fn(Socket, Arc<BoxError>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.errors.push(Arc::new(move |socket, error| {
            Box::pin(handler(socket, error))
        }));
    }

    pub(crate) fn off(&mut self, event: &str) {
        self.events.retain(|listener| *listener.event != *event);
    }

    pub(crate) fn off_any(&mut self) {
        self.any.clear();
    }

    pub(crate) fn off_any_outgoing(&mut self) {
        self.outgoing.clear();
    }

    /// Those of an event; those that are for once are taken out.
    pub(crate) fn take(&mut self, event: &str) -> Vec<OnEvent> {
        let found = self.events.iter().filter(|it| *it.event == *event);
        let found: Vec<OnEvent> = found.map(|it| Arc::clone(&it.call)).collect();
        if self.events.iter().any(|it| it.once && *it.event == *event) {
            self.events.retain(|it| !(it.once && *it.event == *event));
        }
        found
    }

    pub(crate) fn any(&self) -> Vec<OnEvent> {
        self.any.clone()
    }

    pub(crate) fn packets(&self) -> Vec<OnPacket> {
        self.packets.clone()
    }

    pub(crate) fn outgoing(&self) -> Vec<OnOutgoing> {
        self.outgoing.clone()
    }

    pub(crate) fn errors(&self) -> Vec<OnError> {
        self.errors.clone()
    }

    pub(crate) fn ends(&self, before: bool) -> Vec<OnEnd> {
        if before {
            self.disconnecting.clone()
        } else {
            self.disconnect.clone()
        }
    }
}

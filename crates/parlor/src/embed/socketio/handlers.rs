//! What embedders have given to be called.

use std::{future::Future, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    super::BoxError,
    Args, DisconnectReason, Listener, Socket,
    args::Packed,
    listener::{Which, is, take_out},
    received::Received,
};

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(super) type OnEvent = Arc<dyn Fn(Received) -> Boxed<Result<(), BoxError>> + Send + Sync>;
type OnPacket = Arc<dyn Fn(Received) -> Boxed<Result<(), BoxError>> + Send + Sync>;
type OnEnd = Arc<dyn Fn(Socket, DisconnectReason) -> Boxed<()> + Send + Sync>;
type OnError = Arc<dyn Fn(Socket, Arc<BoxError>) -> Boxed<()> + Send + Sync>;
type OnOutgoing = Arc<dyn Fn(&str, &Args) + Send + Sync>;

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
    events: Vec<OfEvent>,
    any: Vec<OnEvent>,
    outgoing: Vec<OnOutgoing>,
    packets: Vec<OnPacket>,
    disconnecting: Vec<OnEnd>,
    disconnect: Vec<OnEnd>,
    errors: Vec<OnError>,
}

struct OfEvent {
    event: Box<str>,
    call: OnEvent,
    once: bool,
}

/// The handlers that an event concerns.
pub(super) enum Only<'a> {
    None,
    /// One that stays.
    This(&'a OnEvent),
    /// More, or such that are asked first or taken away.
    Others,
}

impl std::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

impl Handlers {
    pub(crate) fn on<T, F, Fut>(&mut self, event: &str, once: bool, handler: F) -> Listener
    where
        T: DeserializeOwned + Send,
        F: Fn(Socket, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoAck> + Send,
    {
        let handler = Arc::new(handler);
        let call: OnEvent = Arc::new(move |received: Received| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let value = received.args().parse::<T>()?;
                let returned = handler(received.socket().clone(), value).await;
                if let Some(Reply(packed)) = returned.into_reply()? {
                    received.acknowledge(packed).await;
                }
                Ok(())
            })
        });
        self.push(event, once, call)
    }

    pub(crate) fn on_event<F, Fut>(&mut self, event: &str, handler: F) -> Listener
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.push(event, false, never_failing(handler))
    }

    fn push(&mut self, event: &str, once: bool, call: OnEvent) -> Listener {
        let listener = of_event(&call);
        self.events.push(OfEvent {
            event: event.into(),
            call,
            once,
        });
        listener
    }

    pub(crate) fn on_any<F, Fut>(&mut self, first: bool, handler: F) -> Listener
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let at = if first { 0 } else { self.any.len() };
        let call = never_failing(handler);
        let listener = of_event(&call);
        self.any.insert(at, call);
        listener
    }

    pub(crate) fn on_any_outgoing(
        &mut self,
        first: bool,
        handler: impl Fn(&str, &Args) + Send + Sync + 'static,
    ) -> Listener {
        let at = if first { 0 } else { self.outgoing.len() };
        let call: OnOutgoing = Arc::new(handler);
        let listener = Listener::new(Which::Outgoing(Arc::downgrade(&call)));
        self.outgoing.insert(at, call);
        listener
    }

    pub(crate) fn on_packet<F, Fut>(&mut self, handler: F) -> Listener
    where
        F: Fn(Received) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let call: OnPacket = Arc::new(move |received| Box::pin(handler(received)));
        let listener = Listener::new(Which::Packet(Arc::downgrade(&call)));
        self.packets.push(call);
        listener
    }

    pub(crate) fn on_end<F, Fut>(&mut self, before: bool, handler: F) -> Listener
    where
        F: Fn(Socket, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let list = if before {
            &mut self.disconnecting
        } else {
            &mut self.disconnect
        };
        let call: OnEnd = Arc::new(move |socket, reason| Box::pin(handler(socket, reason)));
        let listener = Listener::new(Which::End(Arc::downgrade(&call)));
        list.push(call);
        listener
    }

    pub(crate) fn on_error<F, Fut>(&mut self, handler: F) -> Listener
    where
        F: Fn(Socket, Arc<BoxError>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let call: OnError = Arc::new(move |socket, error| Box::pin(handler(socket, error)));
        let listener = Listener::new(Which::Error(Arc::downgrade(&call)));
        self.errors.push(call);
        listener
    }

    pub(crate) fn off(&mut self, event: &str) {
        self.events.retain(|listener| *listener.event != *event);
    }

    pub(crate) fn off_any(&mut self) {
        self.any.clear();
    }

    /// Whether there was one.
    pub(crate) fn off_any_outgoing(&mut self) -> bool {
        let heard = self.hears_outgoing();
        self.outgoing.clear();
        heard
    }

    /// Whether somebody wants to know what is sent.
    pub(crate) const fn hears_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Takes one out. Whether it was there.
    pub(crate) fn remove(&mut self, listener: &Listener) -> bool {
        match listener.which() {
            Which::Event(given) => {
                let found = self.events.iter().position(|it| is(&it.call, given));
                let taken = found.map(|at| self.events.remove(at));
                taken.is_some() || take_out(&mut self.any, given)
            }
            Which::Packet(given) => take_out(&mut self.packets, given),
            Which::End(given) => {
                take_out(&mut self.disconnecting, given) || take_out(&mut self.disconnect, given)
            }
            Which::Error(given) => take_out(&mut self.errors, given),
            Which::Outgoing(given) => take_out(&mut self.outgoing, given),
        }
    }

    pub(crate) fn listeners(&self, event: &str) -> Vec<Listener> {
        let found = self.events.iter().filter(|it| *it.event == *event);
        found.map(|it| of_event(&it.call)).collect()
    }

    pub(crate) fn listeners_any(&self) -> Vec<Listener> {
        self.any.iter().map(of_event).collect()
    }

    pub(crate) fn listeners_any_outgoing(&self) -> Vec<Listener> {
        let all = self.outgoing.iter();
        all.map(|it| Listener::new(Which::Outgoing(Arc::downgrade(it))))
            .collect()
    }

    /// The events that there are handlers for, each once.
    pub(crate) fn event_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for listener in &self.events {
            if !names.iter().any(|name| **name == *listener.event) {
                names.push(listener.event.to_string());
            }
        }
        names
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

    /// Whether one handler is all that an event concerns.
    pub(super) fn only(&self, event: &str) -> Only<'_> {
        if !self.any.is_empty() || !self.packets.is_empty() {
            return Only::Others;
        }
        let mut found = self.events.iter().filter(|it| *it.event == *event);
        match (found.next(), found.next()) {
            (None, _) => Only::None,
            (Some(one), None) if !one.once => Only::This(&one.call),
            (Some(_), _) => Only::Others,
        }
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

fn never_failing<F, Fut>(handler: F) -> OnEvent
where
    F: Fn(Received) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |received| {
        let handled = handler(received);
        Box::pin(async move {
            handled.await;
            Ok(())
        })
    })
}

fn of_event(call: &OnEvent) -> Listener {
    Listener::new(Which::Event(Arc::downgrade(call)))
}

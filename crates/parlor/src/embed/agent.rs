//! A handler and one connection's state, whatever their types.

use std::{any::Any, future::Future, pin::Pin, rc::Rc, sync::Arc};

use super::{
    Accepted, BoxError, Caller, Connect, ConnectionError, Control, Disconnect, Endpoint, Handler,
    Message, Refusal, socketio::IoEvent,
};

/// An endpoint.
pub(crate) trait Serve: Send + Sync {
    /// Begins to serve a connection.
    fn agent(&self) -> Box<dyn Agent>;

    /// Whether it is told of pings and pongs.
    fn hears_control(&self) -> bool;
}

/// What handles the events of one connection.
pub(crate) trait Agent {
    /// Handles the next events of its caller, one after the other, until the caller gives no more
    /// or something is wanted of the connection. The agent comes back when that is done. So one
    /// future does for all messages that were read together.
    fn serve(self: Box<Self>, caller: Rc<Caller>) -> Call;
}

/// A handler at work. It stays on its shard's thread.
pub(crate) type Call = Pin<Box<dyn Future<Output = Returned>>>;

/// What is handled.
#[derive(Debug)]
pub(crate) enum Event {
    Connect(Box<Connect>),
    Message(Message),
    Control(Control),
    Error(ConnectionError),
    Disconnect(Disconnect),
    /// Of a socket of Socket.IO.
    Io(IoEvent),
}

/// A handler that is done.
pub(crate) struct Returned {
    pub(crate) agent: Box<dyn Agent>,
    pub(crate) outcome: Outcome,
}

/// What a handler wants of the connection.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing.
    Done,
    /// It may connect.
    Accepted(Box<Accepted>),
    /// It may not.
    Refused(Refusal),
    /// It has to end.
    Failed(BoxError),
}

/// A handler, and how it is given messages that were read together.
pub(crate) trait Attend: Send + Sync + 'static {
    type Handler: Handler;

    fn handler(&self) -> &Self::Handler;

    /// Handles a message and those right behind it, one after the other.
    fn messages(
        &self,
        state: &mut <Self::Handler as Handler>::State,
        caller: &Caller,
        message: Message,
    ) -> impl Future<Output = Result<(), BoxError>>;
}

/// Any handler: it is called with one message after the other.
struct Each<H>(H);

impl<H: Handler> Attend for Each<H> {
    type Handler = H;

    fn handler(&self) -> &H {
        &self.0
    }

    async fn messages(
        &self,
        state: &mut H::State,
        caller: &Caller,
        mut message: Message,
    ) -> Result<(), BoxError> {
        loop {
            self.0.message(state, &caller.member, message).await?;
            match caller.next_message() {
                Some(next) => message = next,
                None => return Ok(()),
            }
        }
    }
}

/// What serves the connections of a handler. Closures need no allocation for each message where
/// they are called by themselves.
pub(crate) fn serve(handler: impl Handler) -> Arc<dyn Serve> {
    match (&handler as &dyn Any).downcast_ref::<Endpoint>() {
        Some(closures) => Arc::new(Arc::new(closures.clone())),
        None => Arc::new(Arc::new(Each(handler))),
    }
}

struct Attending<A: Attend> {
    attend: Arc<A>,
    /// From the connection's acceptance to its end.
    state: Option<<A::Handler as Handler>::State>,
}

impl<A: Attend> Serve for Arc<A> {
    fn agent(&self) -> Box<dyn Agent> {
        Box::new(Attending {
            attend: Self::clone(self),
            state: None,
        })
    }

    fn hears_control(&self) -> bool {
        self.handler().hears_control()
    }
}

impl<A: Attend> Attending<A> {
    async fn handle(&mut self, event: Event, caller: &Caller) -> Outcome {
        let (handler, member) = (self.attend.handler(), &caller.member);
        match (event, &mut self.state) {
            (Event::Connect(mut connect), None) => match handler.connect(&mut connect).await {
                Ok(state) => {
                    self.state = Some(state);
                    Outcome::Accepted(Box::new(connect.finish()))
                }
                Err(refusal) => Outcome::Refused(refusal),
            },
            (Event::Message(message), Some(state)) => {
                match self.attend.messages(state, caller, message).await {
                    Ok(()) => Outcome::Done,
                    Err(error) => Outcome::Failed(error),
                }
            }
            (Event::Control(control), Some(state)) => {
                handler.control(state, member, control).await;
                Outcome::Done
            }
            (Event::Error(error), Some(state)) => {
                handler.error(state, member, error).await;
                Outcome::Done
            }
            (Event::Disconnect(disconnect), Some(_)) => {
                if let Some(state) = self.state.take() {
                    handler.disconnect(state, member, disconnect).await;
                }
                Outcome::Done
            }
            // A client that was not accepted has no state to be told with.
            (Event::Io(_), _)
            | (Event::Connect(_), Some(_))
            | (
                Event::Message(_) | Event::Control(_) | Event::Error(_) | Event::Disconnect(_),
                None,
            ) => Outcome::Done,
        }
    }
}

impl<A: Attend> Agent for Attending<A> {
    fn serve(mut self: Box<Self>, caller: Rc<Caller>) -> Call {
        Box::pin(async move {
            let mut outcome = Outcome::Done;
            while matches!(outcome, Outcome::Done)
                && let Some(event) = caller.next_event()
            {
                outcome = self.handle(event, &caller).await;
            }
            Returned {
                agent: self,
                outcome,
            }
        })
    }
}

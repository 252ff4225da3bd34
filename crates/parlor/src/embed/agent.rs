//! A handler and one connection's state, whatever their types.

use std::{future::Future, pin::Pin, sync::Arc};

use super::{
    Accepted, BoxError, Connect, ConnectionError, Control, Disconnect, Handler, Member, Message,
    Refusal, socketio::IoEvent,
};

/// An endpoint.
pub(crate) trait Serve: Send + Sync {
    /// Begins to serve a connection.
    fn agent(&self, member: Member) -> Box<dyn Agent>;

    /// Whether it is told of pings and pongs.
    fn hears_control(&self) -> bool;
}

/// What handles the events of one connection.
pub(crate) trait Agent: Send {
    /// Handles an event. The agent comes back when that is done.
    fn call(self: Box<Self>, event: Event) -> Call;
}

/// A handler at work.
pub(crate) type Call = Pin<Box<dyn Future<Output = Returned> + Send>>;

/// What is handled.
#[derive(Debug)]
pub(crate) enum Event {
    Connect(Box<Connect>),
    Message(Message),
    Control(Control),
    Error(ConnectionError),
    Disconnect(Disconnect),
    /// Of a socket of Socket.IO.
    Io(Box<IoEvent>),
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

struct Attending<H: Handler> {
    handler: Arc<H>,
    member: Member,
    /// From the connection's acceptance to its end.
    state: Option<H::State>,
}

impl<H: Handler> Serve for Arc<H> {
    fn agent(&self, member: Member) -> Box<dyn Agent> {
        Box::new(Attending {
            handler: Self::clone(self),
            member,
            state: None,
        })
    }

    fn hears_control(&self) -> bool {
        Handler::hears_control(&**self)
    }
}

impl<H: Handler> Attending<H> {
    async fn handle(&mut self, event: Event) -> Outcome {
        let handler = &*self.handler;
        match (event, &mut self.state) {
            (Event::Connect(mut connect), None) => match handler.connect(&mut connect).await {
                Ok(state) => {
                    self.state = Some(state);
                    Outcome::Accepted(Box::new(connect.finish()))
                }
                Err(refusal) => Outcome::Refused(refusal),
            },
            (Event::Message(message), Some(state)) => {
                match handler.message(state, &self.member, message).await {
                    Ok(()) => Outcome::Done,
                    Err(error) => Outcome::Failed(error),
                }
            }
            (Event::Control(control), Some(state)) => {
                handler.control(state, &self.member, control).await;
                Outcome::Done
            }
            (Event::Error(error), Some(state)) => {
                handler.error(state, &self.member, error).await;
                Outcome::Done
            }
            (Event::Disconnect(disconnect), Some(_)) => {
                if let Some(state) = self.state.take() {
                    handler.disconnect(state, &self.member, disconnect).await;
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

impl<H: Handler> Agent for Attending<H> {
    fn call(mut self: Box<Self>, event: Event) -> Call {
        Box::pin(async move {
            let outcome = self.handle(event).await;
            Returned {
                agent: self,
                outcome,
            }
        })
    }
}

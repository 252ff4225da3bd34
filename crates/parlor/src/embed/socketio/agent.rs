//! Calls the handlers of one socket, one event after the other.

use std::{rc::Rc, sync::Arc};

use super::{
    super::{
        BoxError, Caller, Told,
        agent::{Agent, Call, Event, Outcome, Returned},
    },
    ArgsError, ConnectError, DisconnectReason, Received, Socket,
    command::Act,
    handlers::{OnEvent, Only},
    io::Rules,
};

/// What happens to a socket.
#[derive(Debug)]
pub(crate) enum IoEvent {
    /// Its client asks to be let in.
    Connect,
    /// Its client was let in.
    Connected,
    /// An event.
    Event(Received),
    /// It has ended.
    Disconnect(DisconnectReason),
}

impl IoEvent {
    /// What it costs while it waits, in bytes.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Event(received) => received.cost(),
            Self::Connect | Self::Connected | Self::Disconnect(_) => 0,
        }
    }
}

/// The handlers of one socket.
pub(crate) struct SocketAgent {
    pub(crate) socket: Socket,
    pub(crate) rules: Arc<Rules>,
}

impl Agent for SocketAgent {
    fn serve(self: Box<Self>, caller: Rc<Caller>) -> Call {
        Box::pin(async move {
            while let Some(event) = caller.next_event() {
                if let Event::Io(event) = event {
                    self.handle(event).await;
                }
            }
            Returned {
                agent: self,
                outcome: Outcome::Done,
            }
        })
    }
}

impl SocketAgent {
    async fn handle(&self, event: IoEvent) {
        match event {
            IoEvent::Connect => {
                let act = match self.ask().await {
                    Ok(()) => Act::Accept,
                    Err(ConnectError { message, data }) => Act::Refuse(message, data),
                };
                // It waits for this alone, so a full queue is no reason. Where it has gone, nobody
                // waits.
                let _ = self.socket.act_urgently(act);
            }
            IoEvent::Connected => {
                for handler in self.rules.connect() {
                    handler(self.socket.clone()).await;
                }
            }
            IoEvent::Event(received) => match self.only(&received) {
                Some(handler) => {
                    if let Err(error) = handler(received).await {
                        self.failed(error).await;
                    }
                }
                None => self.event(received).await,
            },
            IoEvent::Disconnect(reason) => self.ended(reason).await,
        }
    }

    /// Whether the client may come in.
    async fn ask(&self) -> Result<(), ConnectError> {
        for middleware in self.rules.middleware() {
            middleware(self.socket.clone()).await?;
        }
        Ok(())
    }

    /// The handler of an event that has one, and that nobody else looks at.
    fn only(&self, received: &Received) -> Option<OnEvent> {
        let (shared, own) = (self.rules.handlers(), self.socket.handlers());
        match (shared.only(received.name()), own.only(received.name())) {
            (Only::This(handler), Only::None) | (Only::None, Only::This(handler)) => {
                Some(Arc::clone(handler))
            }
            _ => None,
        }
    }

    async fn event(&self, received: Received) {
        let shared = self.rules.handlers().packets();
        let own = self.socket.handlers().packets();
        for middleware in shared.into_iter().chain(own) {
            if let Err(error) = middleware(received.clone()).await {
                return self.failed(error).await;
            }
        }
        let shared = self.rules.handlers().any();
        let own = self.socket.handlers().any();
        self.call(shared.into_iter().chain(own), &received).await;
        let shared = self.rules.handlers().take(received.name());
        let own = self.socket.handlers().take(received.name());
        self.call(shared.into_iter().chain(own), &received).await;
    }

    async fn call(&self, handlers: impl Iterator<Item = OnEvent>, received: &Received) {
        for handler in handlers {
            if let Err(error) = handler(received.clone()).await {
                self.failed(error).await;
            }
        }
    }

    /// Something went wrong with an event.
    async fn failed(&self, error: BoxError) {
        let shared = self.rules.handlers().errors();
        let own = self.socket.handlers().errors();
        if shared.is_empty() && own.is_empty() {
            static TOLD: Told = Told::new();
            let socket = self.socket.id();
            // What the client sent may stand in the words of that error.
            let unfit = error.downcast_ref().map(ArgsError::column);
            match (TOLD.again(), unfit) {
                (true, Some(column)) => {
                    tracing::warn!(socket, column, "the arguments of an event do not fit")
                }
                (false, Some(column)) => {
                    tracing::debug!(socket, column, "the arguments of an event do not fit")
                }
                (true, None) => tracing::warn!(socket, %error, "an event was not handled"),
                (false, None) => tracing::debug!(socket, %error, "an event was not handled"),
            }
        }
        let error = Arc::new(error);
        for handler in shared.into_iter().chain(own) {
            handler(self.socket.clone(), Arc::clone(&error)).await;
        }
    }

    async fn ended(&self, reason: DisconnectReason) {
        for before in [true, false] {
            let shared = self.rules.handlers().ends(before);
            let own = self.socket.handlers().ends(before);
            for handler in shared.into_iter().chain(own) {
                handler(self.socket.clone(), reason).await;
            }
            self.socket.clear_rooms();
        }
    }
}

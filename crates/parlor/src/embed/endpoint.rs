//! Endpoints made of closures.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use super::{
    BoxError, Caller, Connect, ConnectionError, Control, Disconnect, Handler, Member, Message,
    Refusal, agent::Attend,
};

/// An endpoint made of closures, for connections that keep no state of their own. Where they do,
/// implement [`Handler`].
///
/// ```
/// use parlor::{Endpoint, Server};
///
/// let echo = Endpoint::new().on_message(|member, message| async move { member.send(message) });
/// let server = Server::builder().endpoint("/echo", echo).build()?;
/// # Ok::<(), parlor::BuildError>(())
/// ```
///
/// What is not given does nothing: everybody may connect, and messages are ignored. The closures
/// return futures; what [`Handler`] says of order, waiting, blocking and panics holds for them too.
#[derive(Clone)]
#[must_use = "an endpoint does nothing until a server has it"]
pub struct Endpoint {
    connect: Option<Run<Connect, Result<Connect, Refusal>>>,
    message: Option<Arc<dyn Take>>,
    control: Option<RunWith<Control, ()>>,
    disconnect: Option<RunWith<Disconnect, ()>>,
    error: Option<RunWith<ConnectionError, ()>>,
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Run<A, T> = Arc<dyn Fn(A) -> Later<T> + Send + Sync>;
type RunWith<A, T> = Arc<dyn Fn(Member, A) -> Later<T> + Send + Sync>;

/// A closure that takes messages.
trait Take: Send + Sync {
    /// Takes one.
    fn take(&self, member: Member, message: Message) -> Later<Result<(), BoxError>>;

    /// Takes one and those right behind it: one future on the heap does for all of them.
    fn take_all<'a>(&'a self, caller: &'a Caller, message: Message) -> Taking<'a>;
}

type Taking<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + 'a>>;

impl<F, Fut> Take for F
where
    F: Fn(Member, Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoOutcome> + Send + 'static,
{
    fn take(&self, member: Member, message: Message) -> Later<Result<(), BoxError>> {
        let call = self(member, message);
        Box::pin(async move { call.await.into_outcome() })
    }

    fn take_all<'a>(&'a self, caller: &'a Caller, mut message: Message) -> Taking<'a> {
        Box::pin(async move {
            loop {
                let call = self(caller.member.clone(), message);
                call.await.into_outcome()?;
                match caller.next_message() {
                    Some(next) => message = next,
                    None => return Ok(()),
                }
            }
        })
    }
}

/// What a message closure may come back with: nothing, or a result whose error closes the
/// connection as [`Handler::message`] says.
pub trait IntoOutcome {
    /// As a result.
    ///
    /// # Errors
    ///
    /// The closure's own.
    fn into_outcome(self) -> Result<(), BoxError>;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

impl Endpoint {
    /// An endpoint that everybody may connect to, and that ignores what they say.
    pub const fn new() -> Self {
        Self {
            connect: None,
            message: None,
            control: None,
            disconnect: None,
            error: None,
        }
    }

    /// Decides who may connect: the closure gives the request back, perhaps with something added
    /// to its answer, or a [`Refusal`].
    pub fn on_connect<F, Fut>(mut self, connect: F) -> Self
    where
        F: Fn(Connect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Connect, Refusal>> + Send + 'static,
    {
        self.connect = Some(Arc::new(move |request| Box::pin(connect(request))));
        self
    }

    /// Takes the messages.
    pub fn on_message<F, Fut>(mut self, message: F) -> Self
    where
        F: Fn(Member, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoOutcome> + Send + 'static,
    {
        self.message = Some(Arc::new(message));
        self
    }

    /// Hears of pings, which are answered already, and of pongs.
    pub fn on_control<F, Fut>(mut self, control: F) -> Self
    where
        F: Fn(Member, Control) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.control = Some(Arc::new(move |member, frame| {
            Box::pin(control(member, frame))
        }));
        self
    }

    /// Hears of the end of each connection that was accepted.
    pub fn on_disconnect<F, Fut>(mut self, disconnect: F) -> Self
    where
        F: Fn(Member, Disconnect) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.disconnect = Some(Arc::new(move |member, how| {
            Box::pin(disconnect(member, how))
        }));
        self
    }

    /// Hears what goes wrong.
    pub fn on_error<F, Fut>(mut self, error: F) -> Self
    where
        F: Fn(Member, ConnectionError) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.error = Some(Arc::new(move |member, what| Box::pin(error(member, what))));
        self
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

impl Attend for Endpoint {
    type Handler = Self;

    fn handler(&self) -> &Self {
        self
    }

    async fn messages(
        &self,
        (): &mut (),
        caller: &Caller,
        message: Message,
    ) -> Result<(), BoxError> {
        match &self.message {
            Some(closure) => closure.take_all(caller, message).await,
            None => Ok(()),
        }
    }
}

impl Handler for Endpoint {
    type State = ();

    async fn connect(&self, connect: &mut Connect) -> Result<(), Refusal> {
        if let Some(decide) = &self.connect {
            *connect = decide(connect.take()).await?;
        }
        Ok(())
    }

    async fn message(
        &self,
        (): &mut (),
        member: &Member,
        message: Message,
    ) -> Result<(), BoxError> {
        match &self.message {
            Some(closure) => closure.take(member.clone(), message).await,
            None => Ok(()),
        }
    }

    fn hears_control(&self) -> bool {
        self.control.is_some()
    }

    async fn control(&self, (): &mut (), member: &Member, control: Control) {
        if let Some(hear) = &self.control {
            hear(member.clone(), control).await;
        }
    }

    async fn disconnect(&self, (): (), member: &Member, disconnect: Disconnect) {
        if let Some(hear) = &self.disconnect {
            hear(member.clone(), disconnect).await;
        }
    }

    async fn error(&self, (): &mut (), member: &Member, error: ConnectionError) {
        if let Some(hear) = &self.error {
            hear(member.clone(), error).await;
        }
    }
}

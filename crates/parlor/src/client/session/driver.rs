//! The task behind a session: one connection after the other, commands in, events out.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use parlor_proto::{signal::SUBPROTOCOL, websocket::CloseCode};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{Event, Reason, desk::Desk, handle::Command};
use crate::client::{
    self, Backoff, Builder, ConnectError, Message, Socket, SocketError,
    backoff::{Random, Wait},
};

/// How often queues are looked through for what is too old.
const TICK: Duration = Duration::from_millis(100);

/// What the task is told at its start.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) backoff: Backoff,
    pub(super) drain: Duration,
    pub(super) close_timeout: Duration,
    pub(super) is_final: fn(CloseCode) -> bool,
    pub(super) detached: Arc<AtomicBool>,
}

/// The task.
pub(super) struct Driver {
    connection: Builder,
    settings: Settings,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    desk: Desk,
    link: Link,
    random: Random,
    /// Attempts in a row without a connection that lasted.
    attempt: u32,
    tick: Instant,
    ending: Option<Ending>,
}

/// The end that was asked for.
struct Ending {
    until: Instant,
    replies: Vec<oneshot::Sender<()>>,
}

/// The connection, or the way there.
enum Link {
    Waiting(Wait),
    Connecting(Connecting),
    Open { socket: Box<Socket>, since: Instant },
    Over,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Box<Socket>, ConnectError>> + Send>>;

/// What a connection brought; `None` at its end.
type Heard = Option<Result<client::Event, SocketError>>;

/// What happened.
enum Step {
    Command(Option<Command>),
    /// It is time to connect.
    Due,
    Connected(Result<Box<Socket>, ConnectError>),
    /// In order; an end is the last.
    Heard(Vec<Heard>),
    /// An event was taken.
    Told,
    /// Nobody takes events any more.
    Abandoned,
    Tick,
}

impl Driver {
    pub(super) fn new(
        connection: Builder,
        settings: Settings,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        desk: Desk,
    ) -> Self {
        Self {
            connection,
            settings,
            commands,
            events,
            desk,
            link: Link::Waiting(Wait::none()),
            random: Random::default(),
            attempt: 0,
            tick: Instant::now(),
            ending: None,
        }
    }

    pub(super) async fn run(mut self) {
        while !matches!(self.link, Link::Over) {
            let step = self.next_step().await;
            self.take(step);
            self.work();
        }
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Close(reply) => self.end_soon(Some(reply)),
                command => self.desk.take(command),
            }
        }
        self.desk.fail();
        for reply in self.ending.into_iter().flat_map(|ending| ending.replies) {
            // Who does not wait any more has chosen so.
            let _ = reply.send(());
        }
        for event in self.desk.events.drain(..) {
            if self.events.send(event).await.is_err() {
                break;
            }
        }
    }

    async fn next_step(&mut self) -> Step {
        // While the application is behind nothing is read: the server is to feel it.
        let behind = !self.desk.events.is_empty();
        let ticks = self.desk.waits() || self.ending.is_some();
        let Self {
            commands,
            events,
            desk,
            link,
            settings,
            ..
        } = self;
        let detached = settings.detached.load(Ordering::Acquire);
        tokio::select! {
            command = commands.recv(), if self.ending.is_none() || !commands.is_empty() => {
                Step::Command(command)
            }
            permit = events.reserve(), if behind && !detached => {
                match (permit, desk.events.pop_front()) {
                    (Ok(permit), Some(event)) => permit.send(event),
                    (_, event) => desk.events.extend(event),
                }
                Step::Told
            }
            () = events.closed(), if !detached => Step::Abandoned,
            step = link.step(!behind) => step,
            () = sleep_until(self.tick), if ticks => Step::Tick,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Command(Some(Command::Close(reply))) => self.end_soon(Some(reply)),
            Step::Command(Some(command)) => self.desk.take(command),
            Step::Command(None) => self.end_soon(None),
            Step::Due => {
                let connection = self.connection.clone();
                let connecting = async move { connection.connect().await.map(Box::new) };
                self.link = Link::Connecting(Box::pin(connecting));
            }
            Step::Connected(Ok(socket)) if socket.protocol() == Some(SUBPROTOCOL) => {
                self.link = Link::Open {
                    socket,
                    since: Instant::now(),
                };
                self.desk.connected();
            }
            Step::Connected(Ok(_)) => {
                let error = ConnectError::ViolationProtocol { what: SUBPROTOCOL };
                self.disconnected(Reason::Connect(error));
            }
            Step::Connected(Err(error)) => self.disconnected(Reason::Connect(error)),
            Step::Heard(heard) => heard.into_iter().for_each(|heard| self.hear(heard)),
            Step::Abandoned => {
                // `Session::detach` closes the events' end too, after it has said so.
                if !self.settings.detached.load(Ordering::Acquire) {
                    self.end_soon(None);
                    self.settings.detached.store(true, Ordering::Release);
                }
            }
            Step::Told => {}
            Step::Tick => {
                let now = Instant::now();
                self.tick = now + TICK;
                self.desk.expire(now);
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Some(Ok(client::Event::Message(Message::Text(text)))) => self.desk.hear(&text),
            Some(Ok(client::Event::Close { code, reason })) => {
                self.disconnected(Reason::Closed { code, reason });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => self.disconnected(Reason::Broken(error)),
            None => self.disconnected(Reason::Broken(SocketError::Cut)),
        }
    }

    /// Hands on what can be handed on.
    fn work(&mut self) {
        if self.settings.detached.load(Ordering::Acquire) {
            self.desk.events.clear();
        }
        while let Some(event) = self.desk.events.pop_front() {
            match self.events.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.desk.events.push_front(event);
                    break;
                }
            }
        }
        if let Link::Open { socket, .. } = &mut self.link {
            while socket.has_room() {
                let Some(text) = self.desk.next_text() else {
                    break;
                };
                // Refused only while the connection closes, of which the next event tells.
                if socket.queue(&Message::Text(text)).is_err() {
                    break;
                }
            }
        }
        self.end();
    }

    /// The application wants to end.
    fn end_soon(&mut self, reply: Option<oneshot::Sender<()>>) {
        self.commands.close();
        let until = Instant::now() + self.settings.drain;
        let ending = self.ending.get_or_insert(Ending {
            until,
            replies: Vec::new(),
        });
        ending.replies.extend(reply);
    }

    /// Ends, if that was asked for and there is nothing left to do, or no time.
    fn end(&mut self) {
        let Some(ending) = &self.ending else { return };
        let now = Instant::now();
        let idle = self.desk.is_idle() && self.commands.is_empty();
        if !idle && now < ending.until {
            return;
        }
        // An application that takes no events does not let the close handshake be read either.
        if now > ending.until + self.settings.close_timeout {
            return self.over(None);
        }
        match &mut self.link {
            Link::Open { socket, .. } => socket.begin_close(Some(CloseCode::NORMAL), ""),
            Link::Waiting(_) | Link::Connecting(_) => self.over(None),
            Link::Over => {}
        }
    }

    fn over(&mut self, reason: Option<Reason>) {
        if !matches!(self.link, Link::Over) {
            self.link = Link::Over;
            self.desk.lost();
            self.desk.events.push_back(Event::Ended { reason });
        }
    }

    /// The connection is gone, or there was none: whether and when the next attempt is.
    fn disconnected(&mut self, reason: Reason) {
        if let Link::Open { since, .. } = &self.link
            && since.elapsed() >= self.settings.backoff.settled
        {
            self.attempt = 0;
        }
        let now = Instant::now();
        let late = |ending: &Ending| self.desk.is_idle() || ending.until <= now;
        if self.ending.as_ref().is_some_and(late) {
            return self.over(None);
        }
        let backoff = &self.settings.backoff;
        let given_up = backoff.attempts_max.is_some_and(|max| self.attempt >= max);
        if given_up || reason.is_final(self.settings.is_final) {
            return self.over(Some(reason));
        }
        let at_least = reason.retry_after().unwrap_or_default();
        let wait = backoff.begin(self.attempt, self.random.number(), at_least);
        let retry_in = wait.time;
        self.attempt = self.attempt.saturating_add(1);
        self.link = Link::Waiting(wait);
        self.desk
            .disconnected(Event::Disconnected { reason, retry_in });
    }
}

impl Link {
    /// What happens on the way, or on the connection. Cancel-safe.
    async fn step(&mut self, read: bool) -> Step {
        match self {
            Self::Waiting(wait) => {
                wait.end().await;
                Step::Due
            }
            Self::Connecting(connecting) => Step::Connected(connecting.await),
            Self::Open { socket, .. } => {
                std::future::poll_fn(|cx| {
                    if read {
                        return poll_heard(socket, cx).map(Step::Heard);
                    }
                    socket.write_beside(cx.waker());
                    Poll::Pending
                })
                .await
            }
            Self::Over => std::future::pending().await,
        }
    }
}

/// What has come, some at a time: what surrounds a step costs more than a short message.
fn poll_heard(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<Vec<Heard>> {
    let mut heard = Vec::new();
    while heard.len() < HEARD_MAX {
        let Poll::Ready(event) = socket.poll_event(cx) else {
            break;
        };
        let goes_on = matches!(
            event,
            Some(Ok(client::Event::Message(_)
                | client::Event::Ping(_)
                | client::Event::Pong(_)))
        );
        heard.push(event);
        if !goes_on {
            break;
        }
    }
    match heard.is_empty() {
        true => Poll::Pending,
        false => Poll::Ready(heard),
    }
}

/// Events taken from a connection in one step, at most; so many may wait beyond
/// [`SessionBuilder::events_max`](super::SessionBuilder::events_max).
const HEARD_MAX: usize = 32;

//! Event streams (`EventSource`, HTML standard, section 9.2) with reconnection and resume.

mod driver;

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::{sync::mpsc, task::JoinHandle};

use self::driver::Driver;
use super::{Backoff, Builder, ConnectError, connect::Way, session::Event};

/// Makes an [`EventStream`]; from [`Builder::event_stream`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it starts"]
pub struct EventStreamBuilder {
    connection: Builder,
    backoff: Backoff,
    since: Option<String>,
    events_max: usize,
}

impl Builder {
    /// The events of a server at this URL (`http://host/sse/room`, the same as `ws:`), over as many
    /// connections as it takes. Subprotocols and compression play no part.
    pub fn event_stream(self) -> EventStreamBuilder {
        EventStreamBuilder {
            connection: self,
            backoff: Backoff::default(),
            since: None,
            events_max: 1024,
        }
    }
}

impl EventStreamBuilder {
    /// When to connect again. A `retry` of the server (at most a day of it) is waited at least, and
    /// then a random time over a window that is no narrower.
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The id of the last event that was heard in an earlier life: begins with what came after it.
    /// Default: none, which begins with what is said from now on.
    pub fn since(mut self, id: impl Into<String>) -> Self {
        self.since = Some(id.into());
        self
    }

    /// The most events that wait to be taken. Past it nothing is read from the server, which may
    /// end the connection when that lasts; the stream then resumes. Default: 1024.
    pub const fn events_max(mut self, max: usize) -> Self {
        self.events_max = max;
        self
    }

    /// Starts the stream's task, which connects at once. That a server cannot be reached is no
    /// error here but an event.
    ///
    /// # Errors
    ///
    /// [`ConnectError::MisuseUrl`]; [`ConnectError::MisuseRequest`] where a header or the id cannot
    /// stand in a request, or is one that is written here (`Host`, `Accept`, `Last-Event-ID` and
    /// those of the connection); [`ConnectError::Unsupported`] outside of a tokio runtime.
    pub fn start(self) -> Result<EventStream, ConnectError> {
        let way = Way::new(&self.connection)?;
        driver::request(&way, &self.connection, self.since.as_deref())?;
        let runtime =
            tokio::runtime::Handle::try_current().map_err(|_| ConnectError::Unsupported {
                what: "an event stream outside of a tokio runtime",
            })?;
        let (tell, events) = mpsc::channel(self.events_max.clamp(1, EVENTS_MAX));
        let driver = Driver::new(self.connection, self.backoff, self.since, tell);
        Ok(EventStream {
            events,
            task: runtime.spawn(driver.run()),
        })
    }
}

/// The longest queue of events.
const EVENTS_MAX: usize = 1 << 20;

/// What a server says as events, connection after connection; over when it is dropped.
///
/// The events are those of a [session](super::session): [`Event::Connected`], [`Event::Joined`]
/// (without a roster, which event streams do not have), [`Event::Message`] in order and none twice,
/// [`Event::Gap`], [`Event::Disconnected`] and, last, [`Event::Ended`]. A message has its sender
/// only in rooms that say it, that is never by this door; an event `binary` is bytes, the data of
/// an event `message` is text, and that of others JSON or, where it is none, text.
///
/// After a loss `Last-Event-ID` says where to go on: the last id that the stream has set, with an
/// event or alone, or before the first one that of the room's last message. A server that does not replay gives no [`Event::Gap`]
/// either; one of this project's does. Where its ids show that messages are missing that it did not
/// speak of, because they were dropped for a slow reader or were not for this one, that is an
/// [`Event::Gap`] as well.
///
/// A stream that is silent for [`Builder::ping_interval`] and [`Builder::ping_timeout`] together is
/// made anew; a server of this project's sends a comment every 15 s. An answer of 204, and every
/// other that would come again ([`ConnectError::is_permanent`]), ends it, as does an event over
/// [`Builder::message_bytes_max`].
///
/// ```no_run
/// use parlor::client::{Builder, session::Event};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut stream = Builder::new("http://localhost:8080/sse/tea").event_stream().start()?;
/// while let Some(event) = stream.next().await {
///     match event {
///         Event::Message(message) => println!("{:?}", message.payload.as_text()),
///         Event::Gap { .. } => println!("something is missing"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a stream ends when it is dropped"]
pub struct EventStream {
    events: mpsc::Receiver<Event>,
    task: JoinHandle<()>,
}

impl EventStream {
    /// What happens next; `None` after [`Event::Ended`].
    ///
    /// Cancel-safe: dropped before it is done, it has taken nothing away.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(cx)
    }
}

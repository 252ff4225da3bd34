//! The task behind an event stream: one connection after the other, events out.

use std::{io, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use parlor_hub::{MemberId, MessageId};
use parlor_proto::sse::{self, Decoder, LimitEventBytes, MEDIA_TYPE};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::client::{
    Backoff, Builder, ConnectError, SocketError,
    backoff::{Random, Wait},
    connect::{self, BoxedIo, Way},
    http::{self, Chunks, MalformedChunk},
    session::{Event, Payload, Reason, RoomMessage, Roster},
};

/// The longest wait that a server may ask for: a day, as with `Retry-After`.
const RETRY_MAX: Duration = Duration::from_secs(86_400);
/// Bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// One event.
struct Received {
    /// `message` where it named none.
    event: String,
    data: String,
}

impl From<sse::Event<'_>> for Received {
    fn from(event: sse::Event<'_>) -> Self {
        Self {
            event: event.event.unwrap_or("message").to_owned(),
            data: String::from_utf8_lossy(event.data).into_owned(),
        }
    }
}

/// The task.
pub(super) struct Driver {
    connection: Builder,
    backoff: Backoff,
    events: mpsc::Sender<Event>,
    /// What is sent as `Last-Event-ID`.
    last_id: Option<String>,
    /// The last id that the streams themselves have set, `last_id` but for what this project's
    /// servers say beside.
    set_id: String,
    /// What the server asks to wait at least before the next attempt.
    retry: Duration,
    /// The place of the last message, where its id is one of this project's.
    last: Option<MessageId>,
    room: Arc<str>,
    /// The id of the room's last message when it was joined.
    head: Option<String>,
    random: Random,
    /// Attempts in a row without a connection that lasted.
    attempt: u32,
}

/// Nobody takes events any more.
struct Abandoned;

/// An open stream.
struct Open {
    io: BoxedIo,
    /// What was read behind the head.
    read: Vec<u8>,
    /// How the body is cut; absent where it goes on to the end of the connection.
    chunks: Option<Chunks>,
}

/// `event: joined`.
#[derive(Deserialize)]
struct Joined {
    room: String,
    id: String,
    last: Option<String>,
}

/// `event: gap`.
#[derive(Deserialize)]
struct Gap {
    room: String,
    oldest: Option<String>,
}

/// What a server of this project's says about the stream itself.
enum About {
    Joined(Joined, MemberId),
    Gap(Gap),
}

impl About {
    fn parse(received: &Received) -> Option<Self> {
        match received.event.as_str() {
            "joined" => {
                let joined: Joined = serde_json::from_str(&received.data).ok()?;
                let id = joined.id.parse().ok()?;
                Some(Self::Joined(joined, id))
            }
            "gap" => Some(Self::Gap(serde_json::from_str(&received.data).ok()?)),
            _ => None,
        }
    }
}

impl Driver {
    pub(super) fn new(
        connection: Builder,
        backoff: Backoff,
        since: Option<String>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            connection,
            backoff,
            events,
            last: since.as_deref().and_then(|since| since.parse().ok()),
            set_id: since.clone().unwrap_or_default(),
            last_id: since,
            retry: Duration::ZERO,
            room: Arc::from(""),
            head: None,
            random: Random::default(),
            attempt: 0,
        }
    }

    pub(super) async fn run(mut self) {
        // Whoever has dropped the stream has aborted this task, too.
        let Err(Abandoned) = self.serve().await else {
            return;
        };
    }

    async fn serve(&mut self) -> Result<(), Abandoned> {
        loop {
            let reason = match open(&self.connection, self.last_id.as_deref()).await {
                Ok(open) => {
                    let since = Instant::now();
                    self.tell(Event::Connected).await?;
                    let reason = self.follow(open).await?;
                    if since.elapsed() >= self.backoff.settled {
                        self.attempt = 0;
                    }
                    reason
                }
                Err(error) => Reason::Connect(error),
            };
            let given_up = self.backoff.attempts_max;
            if given_up.is_some_and(|max| self.attempt >= max) || is_final(&reason) {
                let reason = Some(reason);
                return self.tell(Event::Ended { reason }).await;
            }
            let mut wait = self.wait(reason.retry_after().unwrap_or_default());
            let retry_in = wait.time;
            self.attempt = self.attempt.saturating_add(1);
            self.tell(Event::Disconnected { reason, retry_in }).await?;
            wait.end().await;
        }
    }

    /// How long to wait: what the server asks for at least, and as many clients wait the same time,
    /// up to as much again.
    fn wait(&mut self, at_least: Duration) -> Wait {
        let mut backoff = self.backoff;
        backoff.first = backoff.first.max(self.retry);
        backoff.longest = backoff.longest.max(backoff.first);
        let at_least = self.retry.max(at_least);
        backoff.begin(self.attempt, self.random.number(), at_least)
    }

    async fn tell(&self, event: Event) -> Result<(), Abandoned> {
        self.events.send(event).await.map_err(|_| Abandoned)
    }

    /// Tells what a connection brings, up to its end.
    async fn follow(&mut self, mut open: Open) -> Result<Reason, Abandoned> {
        let settings = self.connection.socket;
        let bytes_max = match settings.options.limits.message_bytes_max {
            0 => usize::MAX,
            max => max,
        };
        let silence = (!settings.ping_interval.is_zero())
            .then(|| settings.ping_interval.saturating_add(settings.ping_timeout));
        let mut decoder = Decoder::new(bytes_max).resume(&self.set_id);
        loop {
            let read = std::mem::take(&mut open.read);
            if let Err(reason) = self.take(&read, &mut open.chunks, &mut decoder).await? {
                return Ok(reason);
            }
            if open.chunks == Some(Chunks::Ended) {
                return Ok(ended());
            }
            open.read = read;
            open.read.clear();
            open.read.reserve(READ_BYTES);
            let count = match silence {
                None => open.io.read_buf(&mut open.read).await,
                Some(after) => match timeout(after, open.io.read_buf(&mut open.read)).await {
                    Ok(count) => count,
                    Err(_) => return Ok(Reason::Broken(SocketError::LimitSilence { after })),
                },
            };
            match count {
                // Without chunks the end of the connection is that of the stream.
                Ok(0) if open.chunks.is_none() => return Ok(ended()),
                Ok(0) => return Ok(Reason::Broken(SocketError::Cut)),
                Ok(_) => {}
                Err(error) => return Ok(Reason::Broken(error.into())),
            }
        }
    }

    /// Takes in bytes of a body. The inner error ends the connection.
    async fn take(
        &mut self,
        mut read: &[u8],
        chunks: &mut Option<Chunks>,
        decoder: &mut Decoder,
    ) -> Result<Result<(), Reason>, Abandoned> {
        loop {
            let piece = match chunks {
                None => Ok(Some(std::mem::take(&mut read)).filter(|piece| !piece.is_empty())),
                Some(chunks) => chunks.next(&mut read),
            };
            let mut piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(Ok(())),
                Err(MalformedChunk) => return Ok(Err(malformed("not a chunked body"))),
            };
            loop {
                match decoder.decode(&mut piece) {
                    Ok(Some(event)) => {
                        let id = event.id.map(str::to_owned);
                        self.hear(Received::from(event), id).await?;
                    }
                    Ok(None) => break self.note(decoder),
                    Err(LimitEventBytes { .. }) => {
                        return Ok(Err(malformed("an event is too long")));
                    }
                }
            }
        }
    }

    /// Takes what stands in no event: the delay, and an id without data, which counts as that of
    /// an event that was heard.
    fn note(&mut self, decoder: &Decoder) {
        if let Some(retry_ms) = decoder.retry_ms() {
            self.retry = Duration::from_millis(retry_ms.into()).min(RETRY_MAX);
        }
        let id = decoder.last_event_id();
        if id != self.set_id {
            self.set_last(id.to_owned());
            self.last = id.parse().ok();
        }
    }

    /// The stream has set an id; an empty one takes back those before.
    fn set_last(&mut self, id: String) {
        self.last_id = Some(id.clone()).filter(|id| !id.is_empty());
        self.set_id = id;
    }

    /// Takes in an event. What has no id and is about the stream itself is not told as a message.
    async fn hear(&mut self, received: Received, id: Option<String>) -> Result<(), Abandoned> {
        if id.is_none() {
            match About::parse(&received) {
                Some(About::Joined(joined, id)) => return self.joined(joined, id).await,
                Some(About::Gap(gap)) => return self.gap(gap).await,
                None => {}
            }
        }
        let place: Option<MessageId> = id.as_deref().and_then(|id| id.parse().ok());
        if let Some(id) = id {
            self.set_last(id);
        }
        if let Some(place) = place {
            let last = self.last.replace(place);
            match last {
                Some(last) if last.epoch == place.epoch && place.offset <= last.offset => {
                    self.last = Some(last);
                    self.last_id = Some(last.to_string());
                    return Ok(());
                }
                Some(last) if last.epoch == place.epoch && place.offset == last.offset + 1 => {}
                None => {}
                Some(_) => {
                    let room = Arc::clone(&self.room);
                    let oldest = Some(place);
                    self.tell(Event::Gap { room, oldest }).await?;
                }
            }
        }
        let (event, payload) = content(received);
        let message = RoomMessage {
            room: Arc::clone(&self.room),
            id: place,
            from: None,
            name: None,
            event,
            payload,
        };
        self.tell(Event::Message(message)).await
    }

    async fn joined(&mut self, joined: Joined, id: MemberId) -> Result<(), Abandoned> {
        self.room = Arc::from(joined.room);
        let resumed = self.last_id.is_some();
        if !resumed {
            self.last = joined.last.as_deref().and_then(|last| last.parse().ok());
            self.last_id.clone_from(&joined.last);
        }
        self.head = joined.last;
        let event = Event::Joined {
            room: Arc::clone(&self.room),
            id,
            roster: Roster::default(),
            resumed,
        };
        self.tell(event).await
    }

    async fn gap(&mut self, gap: Gap) -> Result<(), Abandoned> {
        // The next message is behind it, whatever its id.
        self.last = None;
        if gap.oldest.is_none() {
            // Nothing is replayed, so the next loss is not to tell of this gap again.
            self.last_id = self.head.take();
            let last = self.last_id.as_deref();
            self.last = last.and_then(|last| last.parse().ok());
        }
        let event = Event::Gap {
            room: Arc::from(gap.room),
            oldest: gap.oldest.and_then(|oldest| oldest.parse().ok()),
        };
        self.tell(event).await
    }
}

/// What an event says.
fn content(received: Received) -> (String, Payload) {
    let Received { event, data } = received;
    match event.as_str() {
        "message" => (event, Payload::Text(data)),
        "binary" => match STANDARD.decode(&data) {
            Ok(bytes) => ("message".to_owned(), Payload::from(bytes)),
            Err(_) => (event, Payload::Text(data)),
        },
        _ => {
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&data).is_ok();
            let payload = match is_json {
                true => Payload::of_json(data).unwrap_or_else(Payload::Json),
                false => Payload::Text(data),
            };
            (event, payload)
        }
    }
}

/// Whether another attempt would end the same way.
fn is_final(reason: &Reason) -> bool {
    match reason {
        Reason::Connect(error) => error.is_permanent(),
        Reason::Broken(SocketError::Io(error)) => error.kind() == io::ErrorKind::InvalidData,
        Reason::Broken(_) | Reason::Closed { .. } => false,
    }
}

/// The end that the server wanted.
fn ended() -> Reason {
    Reason::Closed {
        code: None,
        reason: String::new(),
    }
}

fn malformed(what: &'static str) -> Reason {
    Reason::Broken(io::Error::new(io::ErrorKind::InvalidData, what).into())
}

/// Connects and asks, wherever redirects lead.
async fn open(builder: &Builder, last_id: Option<&str>) -> Result<Open, ConnectError> {
    let mut way = Way::new(builder)?;
    loop {
        let attempt = async {
            let io = connect::dial(&way.target, builder).await?;
            ask(io, &request(&way, builder, last_id)?).await
        };
        match connect::limited(builder.handshake_timeout, attempt).await {
            Err(error) => way.redirect(builder, error)?,
            done => return done,
        }
    }
}

async fn ask(mut io: BoxedIo, request: &str) -> Result<Open, ConnectError> {
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    let mut read = Vec::new();
    let head = http::read_head(&mut io, &mut read).await?;
    if head.status != 200 {
        return Err(connect::refused(&head, &read));
    }
    let media_type = head.value("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        return Err(ConnectError::ViolationProtocol {
            what: "event streams",
        });
    }
    let chunks = head.chunks()?;
    read.drain(..head.len.min(read.len()));
    Ok(Open { io, read, chunks })
}

/// The request for a stream, head and all.
pub(super) fn request(
    way: &Way,
    builder: &Builder,
    last_id: Option<&str>,
) -> Result<String, ConnectError> {
    let mut head = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: {MEDIA_TYPE}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n",
        way.target.path,
        way.target.host_header(),
    );
    http::push_headers(&mut head, &way.headers(builder), &OURS)?;
    if let Some(id) = last_id {
        // Whatever a stream may call its events can be told back to its server.
        if !sse::is_field_safe(id) {
            return Err(ConnectError::MisuseRequest);
        }
        head.extend(["Last-Event-ID: ", id, "\r\n"]);
    }
    head.push_str("\r\n");
    Ok(head)
}

/// Headers that are written here.
const OURS: [&str; 9] = [
    "host",
    "accept",
    "cache-control",
    "connection",
    "last-event-id",
    "content-length",
    "transfer-encoding",
    "te",
    "upgrade",
];

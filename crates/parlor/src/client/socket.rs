//! One WebSocket connection, as a client has it.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use parlor_proto::websocket::{
    self, CloseCode, Connection, Input, Kind, Role, Scratch, State,
    deflate::{Agreement, Compressors},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{Event, Message, SocketError, backoff::Random, builder::Settings, connect::BoxedIo};

/// What a read buffer has at first, and at most, in bytes.
const READ_BYTES: (usize, usize) = (4 << 10, 64 << 10);
/// What an empty write buffer keeps, in bytes.
const SPARE_BYTES: usize = 64 << 10;

/// An open WebSocket connection.
///
/// [`Socket::next`] gives what comes in, [`Socket::send`] sends. Pings are answered, and a silent
/// server is asked by a ping whether it is there, while `next` is being waited for. The same is
/// there as [`Stream`] of `Result<Event, SocketError>` and [`Sink`] of [`Message`], which
/// `StreamExt::split` of the `futures` crates parts into two halves.
///
/// To end a connection, call [`Socket::close`] and then `next` until it gives `None`. A socket that
/// is dropped before is cut, and the server does not learn why.
///
/// Memory: 4 to 64 KiB for reading, up to [`Builder::write_bytes_max`](super::Builder::write_bytes_max)
/// and one message for writing, one message that is coming in, about 50 KiB once there was a
/// compressed message.
pub struct Socket {
    io: BoxedIo,
    machine: Connection,
    scratch: Scratch,
    compressors: Compressors,
    random: Random,
    settings: Settings,
    protocol: Option<String>,
    headers: Vec<(String, String)>,
    /// What was read; `taken..filled` is not used up.
    input: Vec<u8>,
    taken: usize,
    filled: usize,
    /// What is to be written from `written` on.
    out: Vec<u8>,
    written: usize,
    /// Something was written since the last flush of the stream below.
    unflushed: bool,
    writers: Arc<Writers>,
    /// Wakes the writers.
    waker: Waker,
    phase: Phase,
    heart: Heart,
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing more is told; the server is to close.
    Closing,
    Over,
}

/// The timer, and what is waited for.
struct Heart {
    timer: Pin<Box<Sleep>>,
    heard: Instant,
    asked: bool,
    /// When the close handshake must be over.
    close_by: Option<Instant>,
}

/// What the handshake agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) protocol: Option<String>,
    pub(super) deflate: Option<Agreement>,
    pub(super) headers: Vec<(String, String)>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("protocol", &self.protocol)
            .field("deflate", &self.machine.agreement())
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Socket {
    /// A connection after its handshake; `read` came in behind the response's head.
    pub(super) fn new(io: BoxedIo, read: Vec<u8>, agreed: Agreed, settings: Settings) -> Self {
        let now = Instant::now();
        let writers = Arc::<Writers>::default();
        Self {
            io,
            machine: Connection::new(Role::Client, agreed.deflate),
            scratch: Scratch::new(),
            compressors: Compressors::new(settings.deflate),
            random: Random::default(),
            settings,
            protocol: agreed.protocol,
            headers: agreed.headers,
            taken: 0,
            filled: read.len(),
            input: read,
            out: Vec::new(),
            written: 0,
            unflushed: false,
            waker: Waker::from(Arc::clone(&writers)),
            writers,
            phase: Phase::Open,
            heart: Heart {
                timer: Box::pin(sleep_until(now + far(settings.ping_interval))),
                heard: now,
                asked: false,
                close_by: None,
            },
        }
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// What was agreed about compression, the one extension there is.
    #[must_use]
    pub const fn extensions(&self) -> Option<Agreement> {
        self.machine.agreement()
    }

    /// The first value of a header of the handshake's response.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub const fn buffered_bytes(&self) -> usize {
        self.out.len() - self.written
    }

    /// Sends a message: waits for room in the write buffer, encodes, and waits until the system has
    /// taken it. While it waits nothing is read; a server that does not read either before it is
    /// read from needs [`Stream`] and [`Sink`] in two tasks.
    ///
    /// Dropped half-way, the message was either not queued at all or leaves whole with the next
    /// call on this socket; never a part of it. To know which, use [`Sink`].
    ///
    /// # Errors
    ///
    /// [`SocketError::Misuse`] after a Close in either direction; [`SocketError::Io`].
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SocketError> {
        std::future::poll_fn(|cx| self.poll_room(cx.waker())).await?;
        self.queue(&message.into())?;
        self.flush().await
    }

    /// Sends a ping of at most 125 bytes; the answer comes as [`Event::Pong`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send`], and [`SocketError::Misuse`] where the payload is too long.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), SocketError> {
        let mask = Some(self.random.bytes());
        self.machine.ping(payload, mask, &mut self.out)?;
        self.flush().await
    }

    /// Begins the close handshake, once; later calls do nothing. The reason is cut to 123 bytes,
    /// and there is none without a code.
    ///
    /// What the server sent before it heard of it is still given by [`Socket::next`], then its
    /// [`Event::Close`], then `None`.
    ///
    /// # Errors
    ///
    /// [`SocketError::Io`].
    pub async fn close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
    ) -> Result<(), SocketError> {
        self.begin_close(code, reason);
        self.flush().await
    }

    /// What comes in next; `None` when the connection is over. After an error there is only `None`.
    ///
    /// Cancel-safe: dropped before it is done, it has taken nothing away.
    ///
    /// # Errors
    ///
    /// Any [`SocketError`] but [`SocketError::Misuse`].
    pub async fn next(&mut self) -> Option<Result<Event, SocketError>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        std::future::poll_fn(|cx| self.poll_flushed(cx.waker())).await
    }

    fn poll_flushed(&mut self, waker: &Waker) -> Poll<Result<(), SocketError>> {
        self.writers.note(Side::Writer, waker);
        self.poll_write_out().map_err(Into::into)
    }

    /// Appends a message to what is to be written, however much that is.
    pub(super) fn queue(&mut self, message: &Message) -> Result<(), SocketError> {
        let mask = Some(self.random.bytes());
        let message = websocket::Message {
            kind: message.kind(),
            payload: message.as_bytes(),
            compress: true,
        };
        self.machine
            .send(message, mask, &mut self.compressors, &mut self.out)?;
        Ok(())
    }

    /// Appends a Close frame.
    pub(super) fn begin_close(&mut self, code: Option<CloseCode>, reason: &str) {
        if self.machine.state() == State::Open {
            let mask = Some(self.random.bytes());
            self.machine.close(code, reason, mask, &mut self.out);
            let by = Instant::now() + far(self.settings.close_timeout);
            self.heart.close_by = Some(by);
            self.heart.timer.as_mut().reset(by);
        }
    }

    /// Whether the next message may be queued.
    pub(super) fn has_room(&self) -> bool {
        self.buffered_bytes() < self.settings.write_bytes_max.max(1)
    }

    fn poll_room(&mut self, waker: &Waker) -> Poll<Result<(), SocketError>> {
        self.writers.note(Side::Writer, waker);
        while !self.has_room() {
            ready!(self.poll_write_some())?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes once. Who is to be woken was noted before.
    fn poll_write_some(&mut self) -> Poll<io::Result<()>> {
        let rest = self.out.get(self.written..).unwrap_or_default();
        if rest.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let cx = &mut Context::from_waker(&self.waker);
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += count;
        self.unflushed = true;
        if self.written >= self.out.len() {
            self.out.clear();
            self.out.shrink_to(SPARE_BYTES);
            self.written = 0;
        } else if self.written >= SPARE_BYTES {
            self.out.drain(..self.written);
            self.written = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes everything. Who is to be woken was noted before.
    fn poll_write_out(&mut self) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            ready!(self.poll_write_some())?;
        }
        if self.unflushed {
            let cx = &mut Context::from_waker(&self.waker);
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// The next event. Writes what waits to be written beside.
    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, SocketError>>> {
        loop {
            if self.phase == Phase::Over {
                return Poll::Ready(None);
            }
            let event = match self.phase {
                Phase::Open => self.decode(),
                _ => Ok(None),
            };
            self.write_beside(cx.waker());
            match event {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => {}
                Err(error) => {
                    self.phase = Phase::Closing;
                    self.close_soon();
                    return Poll::Ready(Some(Err(error)));
                }
            }
            let read = match self.poll_read(cx) {
                Poll::Ready(read) => read,
                Poll::Pending => return self.poll_timer(cx),
            };
            match read {
                Ok(0) | Err(_) if self.phase == Phase::Closing => self.phase = Phase::Over,
                Ok(0) => return Poll::Ready(self.over(SocketError::Cut)),
                Err(error) => return Poll::Ready(self.over(error.into())),
                Ok(_) if self.phase == Phase::Closing => self.taken = self.filled,
                Ok(_) => {
                    self.heart.heard = Instant::now();
                    self.heart.asked = false;
                }
            }
        }
    }

    /// Writes what the machine owes and what waits, as far as the system takes it.
    pub(super) fn write_beside(&mut self, waker: &Waker) {
        self.writers.note(Side::Reader, waker);
        loop {
            self.transmit();
            match self.poll_write_out() {
                // There was no room for what is owed, and now there is.
                Poll::Ready(Ok(())) if self.may_transmit() => {}
                Poll::Ready(Err(_)) => {
                    // What the server said before it went, its Close frame perhaps, is still to be
                    // read; the end of that tells.
                    self.out.clear();
                    self.written = 0;
                    self.unflushed = false;
                    return;
                }
                _ => return,
            }
        }
    }

    /// Appends what the machine owes, if it may.
    fn transmit(&mut self) {
        if self.may_transmit() {
            let mask = Some(self.random.bytes());
            self.machine.transmit(mask, &mut self.out);
        }
    }

    /// While nothing is taken, pongs merge into one instead of piling up.
    fn may_transmit(&self) -> bool {
        self.machine.owes() && (self.has_room() || self.machine.state() == State::CloseReceived)
    }

    #[expect(clippy::unnecessary_wraps, reason = "what `next` gives")]
    const fn over(&mut self, error: SocketError) -> Option<Result<Event, SocketError>> {
        self.phase = Phase::Over;
        Some(Err(error))
    }

    /// Reads more, once everything before is used up. 0 at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (first, most) = READ_BYTES;
        // A read that filled the buffer wants a larger one.
        let len = self.input.len();
        if len < first {
            self.input.resize(first, 0);
        } else if self.filled == len && len < most {
            self.input.resize((2 * len).min(most), 0);
        }
        let mut buffer = ReadBuf::new(&mut self.input);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        self.taken = 0;
        self.filled = buffer.filled().len();
        Poll::Ready(Ok(self.filled))
    }

    /// The next event in what was read.
    fn decode(&mut self) -> Result<Option<Event>, SocketError> {
        loop {
            let bytes = self
                .input
                .get_mut(self.taken..self.filled)
                .unwrap_or_default();
            let len = bytes.len();
            let mut input = Input::new(bytes);
            let options = &self.settings.options;
            let event = self
                .machine
                .receive(&mut input, options, &mut self.scratch)
                .map(|event| event.map(own));
            self.taken += len - input.remaining();
            match event {
                Ok(None) => return Ok(None),
                // Messages are asked for whole, so there is nothing that is left out here.
                Ok(Some(None)) => {}
                Ok(Some(Some(event))) => {
                    if matches!(event, Event::Close { .. }) {
                        self.phase = Phase::Closing;
                        self.close_soon();
                    }
                    return Ok(Some(event));
                }
                Err(error) => {
                    let mask = Some(self.random.bytes());
                    self.machine.fail(&error, mask, &mut self.out);
                    return Err(error.into());
                }
            }
        }
    }

    /// Gives the server time to close, from now on unless it has been running.
    fn close_soon(&mut self) {
        if self.heart.close_by.is_none() {
            let by = Instant::now() + far(self.settings.close_timeout);
            self.heart.close_by = Some(by);
            self.heart.timer.as_mut().reset(by);
        }
    }

    /// Nothing comes in: is it too long?
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, SocketError>>> {
        loop {
            ready!(self.heart.timer.as_mut().poll(cx));
            let now = Instant::now();
            if let Some(by) = self.heart.close_by {
                if now < by {
                    self.heart.timer.as_mut().reset(by);
                    continue;
                }
                if self.phase == Phase::Closing {
                    // The close handshake is done; the rest is a matter of politeness.
                    self.phase = Phase::Over;
                    return Poll::Ready(None);
                }
                let after = self.settings.close_timeout;
                return Poll::Ready(self.over(SocketError::LimitClose { after }));
            }
            let Settings {
                ping_interval,
                ping_timeout,
                ..
            } = self.settings;
            let silent_since = self.heart.heard + far(ping_interval);
            if now < silent_since {
                self.heart.timer.as_mut().reset(silent_since);
            } else if self.heart.asked {
                let after = ping_timeout;
                return Poll::Ready(self.over(SocketError::LimitSilence { after }));
            } else {
                self.heart.asked = true;
                self.heart.timer.as_mut().reset(now + far(ping_timeout));
                let mask = Some(self.random.bytes());
                // Open and short, so it is not refused.
                let _ = self.machine.ping(&[], mask, &mut self.out);
                self.write_beside(cx.waker());
            }
        }
    }
}

/// The event with bytes of its own; none for pieces of messages.
fn own(event: websocket::Event<'_>) -> Option<Event> {
    Some(match event {
        websocket::Event::Message { kind, payload, .. } => Event::Message(match kind {
            // The machine has checked it, so nothing is replaced.
            Kind::Text => Message::Text(String::from_utf8_lossy(payload).into_owned()),
            Kind::Binary => Message::Binary(Bytes::copy_from_slice(payload)),
        }),
        websocket::Event::Ping(payload) => Event::Ping(Bytes::copy_from_slice(payload)),
        websocket::Event::Pong(payload) => Event::Pong(Bytes::copy_from_slice(payload)),
        websocket::Event::Close { code, reason } => Event::Close {
            code,
            reason: reason.to_owned(),
        },
        _ => return None,
    })
}

/// Those who wait for a socket to take bytes: the stream's task and the sink's may be two, and the
/// system wakes one.
#[derive(Debug, Default)]
struct Writers {
    waiting: Mutex<[Option<Waker>; 2]>,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Reader,
    Writer,
}

impl Writers {
    /// Whoever polls a write is to be woken, beside those who polled before.
    fn note(&self, side: Side, waker: &Waker) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let [reader, writer] = &mut *waiting;
        let place = match side {
            Side::Reader => reader,
            Side::Writer => writer,
        };
        if !place.as_ref().is_some_and(|own| own.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }
}

impl Wake for Writers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().flatten().for_each(Waker::wake);
    }
}

/// A time that can be added to now; zero stands for never.
fn far(time: Duration) -> Duration {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    if time.is_zero() { YEAR } else { time.min(YEAR) }
}

impl Stream for Socket {
    type Item = Result<Event, SocketError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl Sink<Message> for Socket {
    type Error = SocketError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.poll_room(cx.waker())
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SocketError> {
        self.queue(&message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.poll_flushed(cx.waker())
    }

    /// Sends a Close frame with 1000; what comes in after it is still the stream's.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        self.begin_close(Some(CloseCode::NORMAL), "");
        self.poll_flushed(cx.waker())
    }
}

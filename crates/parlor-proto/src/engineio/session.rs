//! One session: what it is in the middle of.

use std::collections::VecDeque;
use std::time::Duration;

use super::handshake::open_json;
use super::packet::{self, Data, Packet, PacketType, Version};
use super::payload::{Content, Payload};
use super::{
    CloseCause, DecodeError, ErrorCode, Form, Frame, Message, Options, Output, PollId, Text,
};

mod heartbeat;
mod polling;
mod upgrade;

use heartbeat::Heartbeat;
use polling::Polling;

/// What a session goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "these two are served")]
pub enum Transport {
    /// HTTP long-polling; also while an upgrade is tried.
    Polling,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// Its name in queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a session opens and closes")]
pub enum State {
    /// Messages flow.
    Open,
    /// We closed, and what was waiting still goes out over polling.
    Closing,
    /// It has ended.
    Closed,
}

/// How a WebSocket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "in order or not")]
pub enum SocketEnd {
    /// With a Close frame, or with the end of the connection, however it came.
    Closed,
    /// The client broke the WebSocket protocol, or a limit of it.
    Failed,
}

/// The machine of one session. See the [module](super) for the law of its loop.
///
/// On WebSocket it holds nothing on the heap between two drains. Messages that many share need not
/// go through it there: while [`Session::is_direct`], the caller may write them to the socket
/// itself, after what [`Session::poll_output`] yielded.
#[derive(Debug)]
pub struct Session {
    version: Version,
    state: State,
    heartbeat: Heartbeat,
    /// While the session goes over polling.
    polling: Option<Box<Polling>>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session that opens over polling. Its first GET is the request that opened it: hand it to
    /// [`Session::poll`]. What is sent before that goes out in the same answer.
    #[must_use]
    pub fn polling(sid: &str, version: Version, options: &Options, now: u64) -> Self {
        let mut new = Self::new(version, Some(Box::default()), options, now);
        new.open(sid, options);
        new
    }

    /// A session that opens over a WebSocket.
    #[must_use]
    pub fn websocket(sid: &str, version: Version, options: &Options, now: u64) -> Self {
        let mut new = Self::new(version, None, options, now);
        new.open(sid, options);
        new
    }

    fn new(version: Version, polling: Option<Box<Polling>>, options: &Options, now: u64) -> Self {
        Self {
            version,
            state: State::Open,
            heartbeat: Heartbeat::new(version, options, now),
            polling,
            outputs: VecDeque::new(),
        }
    }

    fn open(&mut self, sid: &str, options: &Options) {
        let json = open_json(sid, self.transport(), options);
        self.push(PacketType::Open, json.into(), true);
    }

    /// Sends a message that may be compressed. See [`Session::send_plain`].
    pub fn send(&mut self, message: Message, options: &Options) {
        self.send_with(message, true, options);
    }

    /// Sends a message that is not to be compressed.
    ///
    /// Over polling it waits for a GET. Where more than [`Limits::buffered_bytes_max`] would wait,
    /// the session ends with [`CloseCause::LimitBufferedBytes`]. After the end it does nothing.
    ///
    /// [`Limits::buffered_bytes_max`]: super::Limits::buffered_bytes_max
    pub fn send_plain(&mut self, message: Message, options: &Options) {
        self.send_with(message, false, options);
    }

    fn send_with(&mut self, message: Message, compress: bool, options: &Options) {
        if self.state != State::Open {
            return;
        }
        self.push_bounded(PacketType::Message, message, compress, options);
    }

    /// Queues a packet, or ends a session that is not asked for what waits.
    fn push_bounded(
        &mut self,
        kind: PacketType,
        message: Message,
        compress: bool,
        options: &Options,
    ) {
        let bytes_max = options.limits.buffered_bytes_max;
        let full = |polling: &Polling| !polling.has_room(&message, bytes_max);
        if self.polling.as_deref().is_some_and(full) {
            return self.end(CloseCause::LimitBufferedBytes { bytes_max }, options);
        }
        self.push(kind, message, compress);
    }

    /// Closes the session. What waits still goes out, over polling for as long as
    /// [`Options::close_timeout`]; the client is told; then there is [`Output::Closed`].
    pub fn close(&mut self, options: &Options, now: u64) {
        if self.state != State::Open {
            return;
        }
        let Some(polling) = &mut self.polling else {
            return self.end(CloseCause::Forced, options);
        };
        self.outputs.extend(polling.abandon_upgrade());
        self.heartbeat = Heartbeat::until(now, options.close_timeout);
        self.state = State::Closing;
    }

    /// A WebSocket text message came in, on the session's socket or on the one that tries the
    /// upgrade. Returns the data of a message of the application.
    pub fn websocket_text<'a>(
        &mut self,
        text: &'a str,
        options: &Options,
        now: u64,
    ) -> Option<Data<'a>> {
        self.handle_timeout(options, now);
        let packet = packet::decode_text(self.version, text);
        self.websocket_packet(packet, options, now)
    }

    /// A WebSocket binary message came in. See [`Session::websocket_text`].
    pub fn websocket_binary<'a>(
        &mut self,
        bytes: &'a [u8],
        options: &Options,
        now: u64,
    ) -> Option<Data<'a>> {
        self.handle_timeout(options, now);
        let packet = packet::decode_binary(self.version, bytes);
        self.websocket_packet(packet, options, now)
    }

    fn websocket_packet<'a>(
        &mut self,
        packet: Result<Packet<'a>, DecodeError>,
        options: &Options,
        now: u64,
    ) -> Option<Data<'a>> {
        if self.state != State::Open {
            return None;
        }
        if self.polling.is_some() {
            self.upgrade_packet(packet.ok().as_ref(), options, now);
            return None;
        }
        match packet {
            Ok(packet) => self.accept(packet, options, now),
            Err(error) => {
                self.end(error.into(), options);
                None
            }
        }
    }

    /// The session's WebSocket, or the one that tries the upgrade, is gone.
    pub fn websocket_closed(&mut self, end: SocketEnd, options: &Options, now: u64) {
        self.handle_timeout(options, now);
        match (&mut self.polling, end) {
            (Some(polling), _) => polling.forget_upgrade(),
            (None, SocketEnd::Closed) => self.end(CloseCause::SocketClosed, options),
            (None, SocketEnd::Failed) => self.end(CloseCause::SocketFailed, options),
        }
    }

    /// What is to be done next; none when all is done, until another call changes the session.
    pub fn poll_output(&mut self, options: &Options) -> Option<Output> {
        if self.outputs.is_empty() {
            self.flush(options);
        }
        let next = self.outputs.pop_front();
        if next.is_none() {
            // Many sessions are idle, so the queue's memory is given back.
            self.outputs = VecDeque::new();
        }
        next
    }

    /// When to call [`Session::handle_timeout`], in the milliseconds of `now`; none after the end.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        if self.state == State::Closed {
            return None;
        }
        let polling = self.polling.as_ref().and_then(|polling| polling.deadline());
        let heartbeat = self.heartbeat.deadline();
        Some(polling.map_or(heartbeat, |deadline| deadline.min(heartbeat)))
    }

    /// Does what is due: pings, the end of silent sessions, the words of an upgrade. Every call
    /// that is given the time does it first, so an exact timer is not needed for correctness.
    pub fn handle_timeout(&mut self, options: &Options, now: u64) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            if self.heartbeat.deadline() <= now {
                self.heartbeat_due(options, now);
            } else {
                self.upgrade_due(options, now);
            }
        }
    }

    /// The revision that it speaks.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// What it goes over.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self.polling {
            Some(_) => Transport::Polling,
            None => Transport::WebSocket,
        }
    }

    /// How far it is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether it is open on WebSocket with nothing queued: the caller may write messages to the
    /// socket itself, each with the digit of [`PacketType::Message`] before it (version 4: text
    /// only).
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.state == State::Open && self.polling.is_none() && self.outputs.is_empty()
    }

    /// Whether a message would go out at once: over polling, a GET is pending. A volatile message
    /// is dropped where it would not. On WebSocket it is the caller's socket that says more.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let pending = |polling: &Polling| polling.is_pending();
        self.state == State::Open && self.polling.as_deref().is_none_or(pending)
    }

    /// The bytes that wait for a GET, each packet charged 64 besides its data.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.polling
            .as_ref()
            .map_or(0, |polling| polling.buffered_bytes())
    }

    /// Queues a packet on the session's transport.
    fn push(&mut self, kind: PacketType, data: Message, compress: bool) {
        match &mut self.polling {
            Some(polling) => polling.push(kind, data, compress),
            None => {
                let frame = Frame::new(self.version, kind, data, compress);
                self.outputs.push_back(Output::Send(frame));
            }
        }
    }

    /// A packet on the session's own transport.
    fn accept<'a>(&mut self, packet: Packet<'a>, options: &Options, now: u64) -> Option<Data<'a>> {
        match (packet.kind, self.version) {
            (PacketType::Message, _) => return Some(packet.data),
            (PacketType::Close, _) => self.end(CloseCause::ClosePacket, options),
            (PacketType::Ping, Version::V3) => {
                self.heartbeat = Heartbeat::new(self.version, options, now);
                let text = Text::from(packet.text().unwrap_or_default());
                self.push_bounded(PacketType::Pong, Message::Text(text), true, options);
            }
            (PacketType::Pong, Version::V4) => {
                self.heartbeat = Heartbeat::new(self.version, options, now);
            }
            (PacketType::Ping, Version::V4) | (PacketType::Pong, Version::V3) => {
                self.end(CloseCause::ViolationHeartbeat, options);
            }
            (PacketType::Open | PacketType::Upgrade | PacketType::Noop, _) => {}
        }
        None
    }

    fn heartbeat_due(&mut self, options: &Options, now: u64) {
        if self.state == State::Closing {
            self.end(CloseCause::Forced, options);
        } else if let Some(next) = self.heartbeat.ping(options, now) {
            self.heartbeat = next;
            self.push(PacketType::Ping, Message::Text(Text::default()), true);
        } else {
            self.end(CloseCause::PingTimeout, options);
        }
    }

    /// Ends the session: a GET that is pending is answered, sockets are closed.
    fn end(&mut self, cause: CloseCause, options: &Options) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        match self.polling.take() {
            Some(mut polling) => {
                self.outputs.extend(polling.abandon_upgrade());
                let last = match cause {
                    // The POST's own answer says why: where this one came first, clients would
                    // report an end without a cause.
                    CloseCause::ClosePacket | CloseCause::PostTooLarge => PacketType::Noop,
                    _ => PacketType::Close,
                };
                let packets_max = options.limits.response_packets_max;
                self.outputs
                    .extend(polling.respond_last(last, self.version, packets_max));
                // It stays a polling session for those who ask.
                polling.clear();
                self.polling = Some(polling);
            }
            None if matches!(cause, CloseCause::SocketClosed | CloseCause::SocketFailed) => {
                let sent = |output: &Output| matches!(output, Output::Send(_));
                self.outputs.retain(|output| !sent(output));
            }
            None => self.outputs.push_back(Output::CloseSocket),
        }
        self.outputs.push_back(Output::Closed(cause));
    }
}

/// Milliseconds of a duration.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

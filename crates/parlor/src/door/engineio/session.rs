//! One session, as the shard sees it.

mod edge;
mod polling;
mod watch;

use std::{sync::Arc, time::Instant};

use parlor_proto::{
    engineio::{
        self, CloseCause, Data, ErrorCode, Form, Frame, Known, Output, PollId, SocketEnd,
        Transport, Version,
    },
    websocket::{
        CloseCode, Connection, Event, Input, Kind, Message, Role,
        deflate::Agreement,
        frame::{self, Flags, Header},
    },
};

use self::edge::{Begins, Edge};
use super::{
    super::{
        CloseReason, Heartbeat, Item, News, Order, Session, Then, Tools, Turn,
        meter::Meter,
        pace::Pace,
        socket::{PONGS_AT_ONCE, goodbye, head_len, is_over_rate, leave, meter, pong},
    },
    Application, Mount, Port,
    open::Name,
    plain::{Plain, Verdict},
    request::{Answer, Asked, refusal, respond},
    sid::Sid,
};
use tokio::sync::oneshot;

use crate::metrics::{Door, End};

/// A session.
#[derive(Debug)]
pub(crate) struct Engine {
    session: engineio::Session,
    application: Box<dyn Application>,
    mount: Arc<Mount>,
    sid: Sid,
    /// The WebSocket that it is on.
    socket: Option<Connection>,
    /// While it goes over polling.
    plain: Option<Box<Plain>>,
    meter: Option<Box<Meter>>,
    /// What most sessions have neither need of nor memory for.
    edge: Option<Box<Edge>>,
}

/// In revision 3, how long the answer to a handshake is ahead of the first message, in
/// milliseconds: a client that begins to listen when its socket is open misses what came in the
/// same read. In revision 4, whose clients listen from the start, the first message leaves as soon
/// as the shard has had other things to do: a send of its own, as with the reference.
const OPEN_AFTER_MS: u64 = 3;

/// Splits an engine into its application and the port that it is called with.
macro_rules! port {
    ($engine:expr, $now:expr, $backlog:expr) => {
        (
            &mut $engine.application,
            &mut Port {
                session: &mut $engine.session,
                options: &$engine.mount.options,
                now: $now,
                backlog: $backlog,
            },
        )
    };
}

impl Engine {
    /// A session that opens over a WebSocket.
    pub(super) fn websocket(
        mount: &Arc<Mount>,
        (name, version): (Name, Version),
        agreement: Option<Agreement>,
        application: Box<dyn Application>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let options = &mount.options;
        let session = engineio::Session::websocket(&name.text, version, options, turn.now);
        let known = Known {
            transport: Transport::WebSocket,
            version,
        };
        let sid = name.sid;
        turn.tools.sessions.add(name, mount, turn.key, known);
        Self {
            session,
            application,
            mount: Arc::clone(mount),
            sid,
            socket: Some(Connection::new(Role::Server, agreement)),
            plain: None,
            meter: meter(turn),
            edge: None,
        }
    }

    /// A session that opens over polling, with the GET that opens it.
    pub(super) fn polling(
        mount: &Arc<Mount>,
        (name, version): (Name, Version),
        (id, form, answer): (u64, Form, oneshot::Sender<Answer>),
        application: Box<dyn Application>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let options = &mount.options;
        let mut session = engineio::Session::polling(&name.text, version, options, turn.now);
        let mut plain = Box::<Plain>::default();
        plain.cookie = mount.cookie_of(&name.text);
        let known = Known {
            transport: Transport::Polling,
            version,
        };
        let sid = name.sid;
        turn.tools.sessions.add(name, mount, turn.key, known);
        let id = PollId(id);
        match session.poll(id, form, options, turn.now) {
            Ok(()) => plain.wait(id, answer),
            Err(code) => respond(answer, refusal(code)),
        }
        Self {
            session,
            application,
            mount: Arc::clone(mount),
            sid,
            socket: None,
            plain: Some(plain),
            meter: meter(turn),
            edge: None,
        }
    }

    /// Says that the session is open.
    fn tell_open(&mut self, turn: &mut Turn<'_>) -> Then {
        self.edge.take_if(|edge| {
            edge.begins = None;
            edge.cause.is_none() && !edge.told && edge.goodbye.is_none()
        });
        let (application, port) = port!(self, turn.now, turn.stalled);
        application.open(port, turn);
        self.settle(turn)
    }

    /// The wire form that the member hears, if it is a shared one.
    pub(super) fn shared_form(&self) -> Option<u8> {
        let socket = self.socket.as_ref().filter(|_| !self.is_watched())?;
        match socket.agreement() {
            None => self.application.form(self.session.version()),
            Some(_) => None,
        }
    }

    /// The time for what was read: it came before any deadline that is not served yet.
    fn in_time(&self, now: u64) -> u64 {
        let deadline = self.session.next_deadline();
        deadline.map_or(now, |deadline| now.min(deadline.saturating_sub(1)))
    }

    /// A WebSocket message came in.
    fn message(&mut self, kind: Kind, payload: &[u8], turn: &mut Turn<'_>) {
        if self.is_watched() {
            self.watch_message(kind, payload, turn.tools);
        }
        let now = self.in_time(turn.now);
        let options = &self.mount.options;
        let data = match kind {
            // The connection has checked it.
            Kind::Text => match str::from_utf8(payload) {
                Ok(text) => self.session.websocket_text(text, options, now),
                Err(_) => None,
            },
            Kind::Binary => self.session.websocket_binary(payload, options, now),
        };
        if let Some(data) = data {
            self.hand_over(&data, turn);
        }
    }

    /// Gives a message to the application, if its sender may send so much.
    fn hand_over(&mut self, data: &Data<'_>, turn: &mut Turn<'_>) {
        let len = match data {
            Data::Text(text) => text.len(),
            Data::Binary(bytes) => bytes.len(),
        };
        turn.tools.traffic.messages_in += 1;
        turn.tools.traffic.bytes_in += len as u64;
        if is_over_rate(&mut self.meter, len, turn) {
            self.edge().goodbye = Some((CloseCode::POLICY_VIOLATION, "rate limit"));
            return self.session.close(&self.mount.options, turn.now);
        }
        let (application, port) = port!(self, turn.now, turn.stalled);
        match data {
            Data::Text(text) => application.text(text, port, turn),
            Data::Binary(bytes) => application.binary(bytes, port, turn),
        }
    }

    /// The WebSocket that the session is on, or the one that it tries.
    fn current(&mut self) -> Option<&mut Connection> {
        let trial = self.plain.as_mut().and_then(|plain| plain.trial.as_mut());
        self.socket.as_mut().or(trial)
    }

    /// Does what the session wants done, as far as that needs no turn.
    fn flush(&mut self, tools: &mut Tools, reply: &mut Vec<u8>) {
        let is_watched = self.is_watched();
        let before = reply.len();
        while let Some(output) = self.session.poll_output(&self.mount.options) {
            match output {
                Output::Respond { id, response } => {
                    if is_watched {
                        self.watch_response(&response, tools);
                    }
                    if let Some(plain) = &mut self.plain {
                        tools.traffic.messages_out += 1;
                        plain.respond(id, response);
                    }
                }
                Output::Send(frame) => {
                    if is_watched {
                        self.watch_frame(&frame, tools);
                    }
                    if let Some(socket) = self.current() {
                        write(socket, &frame, tools, reply);
                    }
                }
                Output::CloseSocket => {
                    let (code, text) = self.goodbye().unzip();
                    if let Some(socket) = self.current() {
                        socket.close(code, text.unwrap_or_default(), None, reply);
                    }
                    if let Some(plain) = &mut self.plain {
                        plain.trial = None;
                        plain.verdict = Verdict::Drop;
                    }
                }
                Output::Upgraded => {
                    if let Some(plain) = &mut self.plain {
                        self.socket = plain.trial.take();
                        plain.verdict = Verdict::Adopt;
                        tools.sessions.upgraded(self.sid);
                    }
                }
                Output::Closed(cause) => self.edge().cause = Some(cause),
                _ => {}
            }
        }
        if is_watched && reply.len() > before {
            self.watch_flushed(tools);
        }
    }

    /// Does what the session wants done.
    fn settle(&mut self, turn: &mut Turn<'_>) -> Then {
        let was_polled = self.socket.is_none();
        self.flush(turn.tools, turn.reply);
        if was_polled && self.socket.is_some() && self.cause().is_none() {
            let (application, port) = port!(self, turn.now, turn.stalled);
            application.upgraded(port, turn);
            self.flush(turn.tools, turn.reply);
        }
        match self.cause() {
            Some(cause) if !self.is_told() => {
                self.tell_end(cause, turn);
                let over_rate = matches!(self.goodbye(), Some((CloseCode::POLICY_VIOLATION, _)));
                Then::Linger(if over_rate { End::Rate } else { end(cause) })
            }
            _ => Then::Continue,
        }
    }

    /// Tells the application of the end, once.
    fn tell_end(&mut self, cause: CloseCause, turn: &mut Turn<'_>) {
        if !std::mem::replace(&mut self.edge().told, true) {
            turn.tools.sessions.remove(self.sid);
            if let Some(plain) = &mut self.plain {
                plain.drop_rest(ErrorCode::UnknownSid);
            }
            self.application.closed(cause, turn);
        }
    }

    /// Tells the application of an end that it does not know of.
    fn end_by(&mut self, end: End, turn: &mut Turn<'_>) {
        let cause = match end {
            End::Peer => CloseCause::SocketClosed,
            End::Silent => CloseCause::PingTimeout,
            End::ShuttingDown | End::Handler => CloseCause::Forced,
            _ => CloseCause::SocketFailed,
        };
        self.tell_end(cause, turn);
    }

    /// The WebSocket has ended, or is about to: that of the session, or the one that it tries.
    fn socket_ended(&mut self, end: SocketEnd, turn: &mut Turn<'_>) -> Then {
        let now = self.in_time(turn.now);
        self.session.websocket_closed(end, &self.mount.options, now);
        if self.socket.is_none()
            && let Some(plain) = &mut self.plain
        {
            plain.trial = None;
            plain.verdict = Verdict::Drop;
            return self.settle(turn);
        }
        self.settle(turn);
        match end {
            SocketEnd::Closed => Then::End,
            SocketEnd::Failed => Then::Linger(End::Violation),
        }
    }
}

/// Appends a WebSocket message of the session.
fn write(socket: &mut Connection, message: &Frame, tools: &mut Tools, reply: &mut Vec<u8>) {
    tools.traffic.messages_out += 1;
    if socket.agreement().is_some() {
        let payload = message.to_vec();
        let message = Message {
            kind: message.kind,
            payload: &payload,
            compress: message.compress,
        };
        // The only misuse is to send after our own Close, and then nobody listens.
        let _ = socket.send(message, None, &mut tools.compressors, reply);
        return;
    }
    let len = message.body.len() + usize::from(message.head.is_some());
    let header = Header {
        flags: Flags::FIN,
        opcode: message.kind.into(),
        mask: None,
        len: len as u64,
    };
    frame::encode_header(reply, &header);
    reply.extend(message.head);
    reply.extend_from_slice(&message.body);
}

/// How an end is counted.
const fn end(cause: CloseCause) -> End {
    match cause {
        CloseCause::ClosePacket
        | CloseCause::SocketClosed
        | CloseCause::PollAborted
        | CloseCause::PostAborted => End::Peer,
        CloseCause::PingTimeout => End::Silent,
        CloseCause::LimitBufferedBytes { .. } => End::SlowConsumer,
        CloseCause::Forced => End::Handler,
        _ => End::Violation,
    }
}

impl Session for Engine {
    fn door(&self) -> Door {
        self.mount.door
    }

    fn start(&mut self, turn: &mut Turn<'_>) -> Then {
        if self.socket.is_some() {
            let begins = match self.session.version() {
                Version::V3 => Begins::At(turn.now + OPEN_AFTER_MS),
                Version::V4 => Begins::Soon,
            };
            self.edge().begins = Some(begins);
            if begins == Begins::Soon {
                turn.tools.beginning.push_back((turn.key, Instant::now()));
            }
            return Then::Continue;
        }
        self.tell_open(turn)
    }

    fn begin(&mut self, turn: &mut Turn<'_>) -> Then {
        match self.begins() {
            Some(_) => self.tell_open(turn),
            // Its client has spoken meanwhile.
            None => Then::Continue,
        }
    }

    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        if self.begins().is_some() {
            let then = self.tell_open(turn);
            if then != Then::Continue {
                return then;
            }
        }
        let mut scratch = std::mem::take(&mut turn.tools.scratch);
        let options = self.mount.socket_options(&turn.tools.settings.options);
        let mut input = Input::new(bytes);
        let mut pongs = 0;
        let mut pace = Pace::new(turn);
        let then = loop {
            let Some(socket) = self.current() else {
                break Then::Continue;
            };
            match socket.receive(&mut input, &options, &mut scratch) {
                Ok(None) => break Then::Continue,
                Ok(Some(Event::Message { kind, payload, .. })) => {
                    self.message(kind, payload, turn);
                    let len = payload.len();
                    let then = self.settle(turn);
                    if then != Then::Continue || pace.is_over(len, turn) {
                        break then;
                    }
                }
                Ok(Some(Event::Close { .. })) => {
                    socket.transmit(None, turn.reply);
                    break self.socket_ended(SocketEnd::Closed, turn);
                }
                Ok(Some(Event::Ping(_))) if pongs < PONGS_AT_ONCE => {
                    pongs += 1;
                    pong(socket, turn);
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "websocket connection failed");
                    socket.fail(&error, None, turn.reply);
                    break self.socket_ended(SocketEnd::Failed, turn);
                }
            }
        };
        let left = input.remaining();
        turn.tools.scratch = scratch;
        if then == Then::Continue
            && let Some(socket) = self.current()
        {
            leave(bytes, left, turn);
            pong(socket, turn);
        }
        then
    }

    fn request(&mut self, asked: Asked, turn: &mut Turn<'_>) -> Then {
        self.asked(asked, turn);
        self.settle(turn)
    }

    fn has_more(&self) -> bool {
        self.is_taking()
    }

    fn take_more(&mut self, turn: &mut Turn<'_>) -> Then {
        self.take_on(turn);
        self.settle(turn)
    }

    fn held_bytes(&self) -> usize {
        self.session.buffered_bytes()
    }

    fn begin_trial(&mut self, agreement: Option<Agreement>, turn: &mut Turn<'_>) -> bool {
        let now = self.in_time(turn.now);
        let mut socket = Connection::new(Role::Server, agreement);
        let opened = self.session.websocket_open(&self.mount.options, now);
        if let (Ok(()), Some(plain)) = (opened, &mut self.plain) {
            plain.trial = Some(socket);
            // That of the one before is of no concern.
            plain.verdict = Verdict::Wait;
            return true;
        }
        let code = Some(CloseCode::POLICY_VIOLATION);
        socket.close(code, "the session goes on elsewhere", None, turn.reply);
        false
    }

    fn end_trial(&mut self, turn: &mut Turn<'_>) -> Then {
        self.socket_ended(SocketEnd::Closed, turn)
    }

    fn verdict(&mut self) -> Verdict {
        let Some(plain) = &mut self.plain else {
            return Verdict::Drop;
        };
        let verdict = std::mem::take(&mut plain.verdict);
        if verdict == Verdict::Adopt {
            // A client that goes on elsewhere before its POST is answered.
            plain.drop_rest(ErrorCode::BadRequest);
            self.plain = None;
        }
        verdict
    }

    fn form(&self) -> Option<u8> {
        self.shared_form()
    }

    fn hear(&mut self, news: &News<'_>, turn: &mut Turn<'_>) -> Then {
        let (application, port) = port!(self, turn.now, turn.stalled);
        application.hear(news, port, turn);
        self.settle(turn)
    }

    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    ) {
        let (application, port) = port!(self, 0, false);
        application.deliver(items, port, tools);
        // An end is noticed by the deadline that it leaves.
        self.flush(tools, reply);
    }

    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        let head = head_len(frames);
        match sent.checked_sub(head) {
            None => head,
            Some(sent) => {
                let frames = frames.get(head..).unwrap_or_default();
                head + self.application.boundary(frames, sent)
            }
        }
    }

    fn writable(&mut self, turn: &mut Turn<'_>) {
        if self.is_watched() && self.socket.is_some() && !turn.stalled {
            self.watch_drained(turn.tools);
        }
        if let Some(socket) = &mut self.socket {
            pong(socket, turn);
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        if self.is_told() {
            return Heartbeat::At(self.application.stays_until().unwrap_or(0));
        }
        if self.cause().is_some() {
            return Heartbeat::At(0);
        }
        if let Some(Begins::At(begins)) = self.begins() {
            return Heartbeat::At(begins);
        }
        let application = self.application.next_deadline();
        let due = self.session.next_deadline().into_iter().chain(application);
        Heartbeat::At(due.min().unwrap_or(u64::MAX))
    }

    fn beat(&mut self, _: &mut Turn<'_>) {}

    fn timeout(&mut self, turn: &mut Turn<'_>) -> Then {
        if self.begins().is_some() {
            return self.tell_open(turn);
        }
        self.session.handle_timeout(&self.mount.options, turn.now);
        let due = self.application.next_deadline();
        if due.is_some_and(|due| due <= turn.now) {
            let (application, port) = port!(self, turn.now, turn.stalled);
            application.timeout(port, turn);
        }
        if self.is_told() && self.application.stays_until().is_none() {
            return Then::End;
        }
        self.settle(turn)
    }

    fn has_ended(&self) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.kept)
    }

    fn stays(&self) -> bool {
        self.is_told() && self.application.stays_until().is_some()
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        if reason == CloseReason::ShuttingDown {
            let (application, port) = port!(self, turn.now, turn.stalled);
            application.shutdown(port, turn);
        }
        self.edge().goodbye = goodbye(reason);
        if self.goodbye().is_some() {
            self.session.close(&self.mount.options, turn.now);
        }
        self.settle(turn);
        self.end_by(reason.into(), turn);
    }

    fn obey(&mut self, order: Order, turn: &mut Turn<'_>) -> Then {
        if let Order::Socket(to) = order {
            let (application, port) = port!(self, turn.now, turn.stalled);
            application.obey(*to, port, turn);
        }
        self.settle(turn)
    }

    fn ended(&mut self, end: End, turn: &mut Turn<'_>) {
        self.end_by(end, turn);
        // The end has been counted, and that of a member that stays is not another one.
        if self.stays() {
            self.edge().kept = true;
        }
    }
}

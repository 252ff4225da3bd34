//! One session, as the shard sees it.

use std::sync::Arc;

use parlor_proto::{
    engineio::{self, CloseCause, Data, Frame, Known, Output, SocketEnd, Transport, Version},
    websocket::{
        CloseCode, Connection, Event, Input, Kind, Message, Role,
        deflate::Agreement,
        frame::{self, Flags, Header},
    },
};

use super::{
    super::{
        CloseReason, Heartbeat, Item, News, Session, Then, Tools, Turn,
        meter::Meter,
        socket::{PONGS_AT_ONCE, goodbye, head_len, is_over_rate, meter, pong},
    },
    Application, Mount, Port,
    sid::Sid,
};
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
    meter: Option<Box<Meter>>,
    /// Why it has ended.
    cause: Option<CloseCause>,
    /// The application knows that it has ended.
    told: bool,
    /// What a WebSocket is closed with, where that is not nothing.
    goodbye: Option<(CloseCode, &'static str)>,
}

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
        (sid, version): (Sid, Version),
        agreement: Option<Agreement>,
        application: Box<dyn Application>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let options = &mount.options;
        let session = engineio::Session::websocket(&sid.to_text(), version, options, turn.now);
        let known = Known {
            transport: Transport::WebSocket,
            version,
        };
        turn.tools.sessions.add(sid, known);
        Self {
            session,
            application,
            mount: Arc::clone(mount),
            sid,
            socket: Some(Connection::new(Role::Server, agreement)),
            meter: meter(turn),
            cause: None,
            told: false,
            goodbye: None,
        }
    }

    /// The wire form that the member hears, if it is a shared one.
    pub(super) fn form(&self) -> Option<u8> {
        let socket = self.socket.as_ref()?;
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
            self.goodbye = Some((CloseCode::POLICY_VIOLATION, "rate limit"));
            return self.session.close(&self.mount.options, turn.now);
        }
        let (application, port) = port!(self, turn.now, turn.stalled);
        match data {
            Data::Text(text) => application.text(text, port, turn),
            Data::Binary(bytes) => application.binary(bytes, port, turn),
        }
    }

    /// Does what the session wants done, as far as that needs no turn.
    fn flush(&mut self, tools: &mut Tools, reply: &mut Vec<u8>) {
        while let Some(output) = self.session.poll_output(&self.mount.options) {
            match output {
                Output::Send(frame) => {
                    if let Some(socket) = &mut self.socket {
                        write(socket, &frame, tools, reply);
                    }
                }
                Output::CloseSocket => {
                    if let Some(socket) = &mut self.socket {
                        let (code, text) = self.goodbye.unzip();
                        socket.close(code, text.unwrap_or_default(), None, reply);
                    }
                }
                Output::Closed(cause) => self.cause = Some(cause),
                _ => {}
            }
        }
    }

    /// Does what the session wants done.
    fn settle(&mut self, turn: &mut Turn<'_>) -> Then {
        self.flush(turn.tools, turn.reply);
        match self.cause {
            Some(cause) if !self.told => {
                self.tell_end(cause, turn);
                let over_rate = matches!(self.goodbye, Some((CloseCode::POLICY_VIOLATION, _)));
                Then::Linger(if over_rate { End::Rate } else { end(cause) })
            }
            _ => Then::Continue,
        }
    }

    /// Tells the application of the end, once.
    fn tell_end(&mut self, cause: CloseCause, turn: &mut Turn<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            turn.tools.sessions.remove(self.sid);
            self.application.closed(cause, turn);
        }
    }

    /// The WebSocket has ended, or is about to.
    fn socket_ended(&mut self, end: SocketEnd, turn: &mut Turn<'_>) {
        let now = self.in_time(turn.now);
        self.session.websocket_closed(end, &self.mount.options, now);
        self.settle(turn);
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
        let (application, port) = port!(self, turn.now, turn.stalled);
        application.open(port, turn);
        self.settle(turn)
    }

    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        let mut scratch = std::mem::take(&mut turn.tools.scratch);
        let options = self.mount.socket_options(&turn.tools.settings.options);
        let mut input = Input::new(bytes);
        let mut pongs = 0;
        let then = loop {
            let Some(socket) = &mut self.socket else {
                break Then::Continue;
            };
            match socket.receive(&mut input, &options, &mut scratch) {
                Ok(None) => break Then::Continue,
                Ok(Some(Event::Message { kind, payload, .. })) => {
                    self.message(kind, payload, turn);
                    let then = self.settle(turn);
                    if then != Then::Continue {
                        break then;
                    }
                }
                Ok(Some(Event::Close { .. })) => {
                    socket.transmit(None, turn.reply);
                    self.socket_ended(SocketEnd::Closed, turn);
                    break Then::End;
                }
                Ok(Some(Event::Ping(_))) if pongs < PONGS_AT_ONCE => {
                    pongs += 1;
                    pong(socket, turn);
                }
                Ok(Some(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "websocket connection failed");
                    socket.fail(&error, None, turn.reply);
                    self.socket_ended(SocketEnd::Failed, turn);
                    break Then::Linger(End::Violation);
                }
            }
        };
        turn.tools.scratch = scratch;
        if then == Then::Continue
            && let Some(socket) = &mut self.socket
        {
            pong(socket, turn);
        }
        then
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

    fn form(&self) -> Option<u8> {
        self.form()
    }

    fn writable(&mut self, turn: &mut Turn<'_>) {
        if let Some(socket) = &mut self.socket {
            pong(socket, turn);
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        if self.cause.is_some() {
            return Heartbeat::At(0);
        }
        let application = self.application.next_deadline();
        let due = self.session.next_deadline().into_iter().chain(application);
        Heartbeat::At(due.min().unwrap_or(u64::MAX))
    }

    fn beat(&mut self, _: &mut Turn<'_>) {}

    fn timeout(&mut self, turn: &mut Turn<'_>) -> Then {
        self.session.handle_timeout(&self.mount.options, turn.now);
        let due = self.application.next_deadline();
        if due.is_some_and(|due| due <= turn.now) {
            let (application, port) = port!(self, turn.now, turn.stalled);
            application.timeout(port, turn);
        }
        self.settle(turn)
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        if reason == CloseReason::ShuttingDown {
            let (application, port) = port!(self, turn.now, turn.stalled);
            application.shutdown(port, turn);
        }
        self.goodbye = goodbye(reason);
        if self.goodbye.is_some() {
            self.session.close(&self.mount.options, turn.now);
        }
        self.settle(turn);
        self.ended(reason.into(), turn);
    }

    fn ended(&mut self, end: End, turn: &mut Turn<'_>) {
        if self.told {
            return;
        }
        let cause = match end {
            End::Peer => CloseCause::SocketClosed,
            End::Silent => CloseCause::PingTimeout,
            End::ShuttingDown | End::Handler => CloseCause::Forced,
            _ => CloseCause::SocketFailed,
        };
        self.tell_end(cause, turn);
    }
}

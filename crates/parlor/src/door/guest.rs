//! The door of embedders' endpoints: WebSocket messages to a handler and back.

use std::rc::Rc;

use bytes::Bytes;
use parlor_hub::{JoinOptions, Request};
use parlor_proto::websocket::{
    self, CloseCode, Connection, Event, Input, Kind, Message, Role, State,
    deflate::Agreement,
    frame::{self, Flags},
    handshake::{self, Answer},
};

use super::{
    CloseReason, Fault, Heartbeat, Item, News, Order, Session, Then, Tools, Turn,
    fragmented::{Fragmented, Waiting},
    meter::Meter,
    socket::{PONGS_AT_ONCE, close, close_over_rate, goodbye, is_over_rate, meter, ping, pong},
    tools::RAW,
};
use crate::{
    embed::{
        self, Accepted, Act, Answered, Caller, Compression, ConnectionError, Control, Disconnect,
        Fragment, Joined, Outcome, Refusal, Side, Text,
    },
    metrics::{Door, End},
};

/// A connection at an endpoint.
#[derive(Debug)]
pub(crate) struct Guest {
    connection: Connection,
    meter: Option<Box<Meter>>,
    caller: Rc<Caller>,
    phase: Phase,
    /// Bytes that were read and are not taken in yet: at most one read.
    held: Vec<u8>,
    /// Joins whose answer has not come, each with the token by which the hub knows it.
    joins: Vec<(u64, Answered<Joined>)>,
    last_token: u64,
    /// Once a message was sent in fragments.
    fragmented: Option<Box<Fragmented>>,
}

/// How far a guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The connect handler has not answered.
    Connecting,
    Open,
    /// The client has said goodbye, and is answered once what it said before is handled.
    Leaving,
}

impl Guest {
    pub(crate) fn new(agreement: Option<Agreement>, caller: Rc<Caller>, turn: &Turn<'_>) -> Self {
        Self {
            connection: Connection::new(Role::Server, agreement),
            meter: meter(turn),
            caller,
            phase: Phase::Connecting,
            held: Vec::new(),
            joins: Vec::new(),
            last_token: 0,
            fragmented: None,
        }
    }

    /// Answers the request for an upgrade.
    fn accept(&mut self, accepted: &Accepted, turn: &mut Turn<'_>) -> Then {
        let head = &accepted.head;
        let request = handshake::Request {
            method: head.method.as_str(),
            minor_version: 1,
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        };
        let headers: Vec<(&str, &str)> = accepted
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let answer = Answer {
            protocol: accepted.protocol.as_deref(),
            deflate: self.connection.agreement(),
            headers: &headers,
        };
        let answered = handshake::validate(request)
            .map_err(|error| error.to_string())
            .and_then(|upgrade| {
                let answered = upgrade.respond(answer, turn.reply);
                answered.map_err(|error| error.to_string())
            });
        if let Err(error) = answered {
            // The request was checked when it came, the headers when they were added.
            tracing::error!(error, "an upgrade cannot be answered");
            return self.refuse(&Refusal::new(500, "internal error"), turn);
        }
        if self.connection.agreement().is_some() {
            self.caller.member.set_compressed();
        }
        self.phase = Phase::Open;
        Then::Continue
    }

    fn refuse(&self, refusal: &Refusal, turn: &mut Turn<'_>) -> Then {
        refusal.write(turn.reply);
        self.caller.set_ending(Disconnect::cut(Side::Server));
        Then::Linger(End::Handler)
    }

    /// Takes bytes in until the handler has enough to do; the rest is held.
    fn take(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        let mut scratch = std::mem::take(&mut turn.tools.scratch);
        let options = turn.tools.settings.options;
        let mut input = Input::new(bytes);
        let mut pongs = 0;
        let then = loop {
            if self.caller.is_overfull() {
                break Then::Continue;
            }
            match self.connection.receive(&mut input, &options, &mut scratch) {
                Ok(None) => break Then::Continue,
                Ok(Some(Event::Message { kind, payload, .. })) => {
                    turn.tools.traffic.messages_in += 1;
                    turn.tools.traffic.bytes_in += payload.len() as u64;
                    if is_over_rate(&mut self.meter, payload.len(), turn) {
                        self.fault(ConnectionError::RateLimit);
                        let code = Some(CloseCode::POLICY_VIOLATION);
                        let ending = Disconnect::closed(Side::Server, code, "rate limit");
                        self.caller.set_ending(ending);
                        break close_over_rate(&mut self.connection, turn);
                    }
                    let payload = Bytes::copy_from_slice(payload);
                    self.caller.push(embed::Event::Message(match kind {
                        Kind::Text => embed::Message::Text(Text::of_checked(payload)),
                        Kind::Binary => embed::Message::Binary(payload),
                    }));
                }
                Ok(Some(Event::Close { code, reason })) => {
                    self.caller
                        .set_ending(Disconnect::closed(Side::Peer, code, reason));
                    self.phase = Phase::Leaving;
                    break Then::Continue;
                }
                Ok(Some(Event::Ping(payload))) => {
                    self.heard(payload, Control::Ping);
                    if pongs < PONGS_AT_ONCE {
                        pongs += 1;
                        pong(&mut self.connection, turn);
                    }
                }
                Ok(Some(Event::Pong(payload))) => self.heard(payload, Control::Pong),
                Ok(Some(_)) => {}
                Err(error) => {
                    tracing::debug!(%error, "websocket connection failed");
                    let code = Some(error.close_code());
                    self.caller
                        .set_ending(Disconnect::closed(Side::Server, code, ""));
                    self.connection.fail(&error, None, turn.reply);
                    self.fault(ConnectionError::Protocol(error));
                    break Then::Linger(End::Violation);
                }
            }
        };
        let left = input.remaining();
        if then == Then::Continue && self.phase == Phase::Open && left > 0 {
            let from = bytes.len() - left;
            self.held
                .extend_from_slice(bytes.get(from..).unwrap_or_default());
        }
        turn.tools.scratch = scratch;
        match then {
            Then::Continue if self.phase == Phase::Open => {
                pong(&mut self.connection, turn);
                then
            }
            Then::Continue => self.leave(turn),
            Then::Linger(_) | Then::End | Then::Wait => then,
        }
    }

    /// Answers the client's goodbye, unless its handler is not done.
    fn leave(&mut self, turn: &mut Turn<'_>) -> Then {
        if !self.caller.is_idle() {
            return Then::Wait;
        }
        self.connection.transmit(None, turn.reply);
        Then::End
    }

    /// Tells the handler of a control frame, if it wants to know.
    fn heard(&self, payload: &[u8], control: fn(Bytes) -> Control) {
        if self.caller.hears_control {
            let control = control(Bytes::copy_from_slice(payload));
            self.caller.push(embed::Event::Control(control));
        }
    }

    /// Tells the handler what went wrong.
    fn fault(&self, error: ConnectionError) {
        self.caller.push(embed::Event::Error(error));
    }

    fn say_goodbye(&mut self, code: CloseCode, reason: &str, turn: &mut Turn<'_>) {
        self.caller
            .set_ending(Disconnect::closed(Side::Server, Some(code), reason));
        self.connection.close(Some(code), reason, None, turn.reply);
    }

    /// Keeps what has to wait for the end of a message in fragments; gives back what need not.
    fn hold(&mut self, waiting: Waiting) -> Option<Waiting> {
        match &mut self.fragmented {
            Some(fragmented) if fragmented.is_open() => {
                fragmented.push(waiting);
                self.caller.member.set_held(fragmented.held_bytes());
                None
            }
            Some(_) | None => Some(waiting),
        }
    }

    fn send_fragment(&mut self, fragment: Fragment, turn: &mut Turn<'_>) {
        if self.phase == Phase::Leaving {
            // The message stays unfinished, and nothing goes out behind it but our goodbye.
            return;
        }
        let fragmented = self.fragmented.get_or_insert_default();
        fragmented.heard = turn.now;
        match fragmented.passes(&fragment) {
            true => self.write_fragment(&fragment, turn),
            false => fragmented.push(Waiting::Fragment(fragment)),
        }
        while let Some(next) = self.fragmented.as_mut().and_then(|waiting| waiting.next()) {
            match next {
                Waiting::Whole(message, compression) => self.write(&message, compression, turn),
                Waiting::Fragment(fragment) => self.write_fragment(&fragment, turn),
            }
        }
        if let Some(fragmented) = &self.fragmented {
            self.caller.member.set_held(fragmented.held_bytes());
        }
    }

    fn write_fragment(&mut self, fragment: &Fragment, turn: &mut Turn<'_>) {
        let fragment = websocket::Fragment {
            kind: fragment.kind,
            payload: &fragment.payload,
            compress: fragment.compression == Compression::Agreed,
            fin: fragment.fin,
        };
        // The only misuse is to send after our Close, when nobody listens.
        let compressors = &mut turn.tools.compressors;
        let connection = &mut self.connection;
        let sent = connection.send_fragment(fragment, None, compressors, turn.reply);
        turn.tools.traffic.messages_out += u64::from(sent.is_ok() && fragment.fin);
    }

    fn write(&mut self, message: &embed::Message, compression: Compression, turn: &mut Turn<'_>) {
        let message = Message {
            kind: match message {
                embed::Message::Text(_) => Kind::Text,
                embed::Message::Binary(_) => Kind::Binary,
            },
            payload: message.as_bytes(),
            compress: compression == Compression::Agreed,
        };
        if self.phase == Phase::Leaving {
            // An answer to what the client said before its goodbye, which is not answered yet.
            frame::encode(turn.reply, Flags::FIN, message.kind.into(), message.payload);
        } else {
            // The only misuse is to send after our Close, when nobody listens.
            let _ = self
                .connection
                .send(message, None, &mut turn.tools.compressors, turn.reply);
        }
        turn.tools.traffic.messages_out += 1;
    }

    fn act(&mut self, act: Act, turn: &mut Turn<'_>) -> Then {
        match act {
            Act::Join {
                room,
                resume,
                answer,
            } => {
                self.last_token += 1;
                let options = JoinOptions {
                    token: Some(self.last_token),
                    resume,
                    ..JoinOptions::default()
                };
                match turn.hub.join(turn.key, &room, options, turn.effects) {
                    Ok(()) => self.joins.push((self.last_token, answer)),
                    Err(reason) => self.answer(answer, Err(reason), Some(room)),
                }
            }
            Act::Leave(room) => {
                if let Err(reason) = turn.hub.leave(turn.key, &room, None, turn.effects) {
                    let room = Some(room);
                    self.fault(ConnectionError::Refused { room, reason });
                }
            }
            Act::Close { code, reason } => {
                if self.phase == Phase::Connecting {
                    return self.refuse(&Refusal::new(503, reason.into_string()), turn);
                }
                self.say_goodbye(code, &reason, turn);
                return Then::Linger(End::Handler);
            }
            Act::Ping(payload) => {
                if self.connection.state() == State::Open {
                    // Its length is within the 125 bytes, and the connection is open.
                    let _ = self.connection.ping(&payload, None, turn.reply);
                }
            }
            Act::Pong(payload) => {
                if self.connection.state() == State::Open {
                    // As above.
                    let _ = self.connection.pong(&payload, None, turn.reply);
                }
            }
            Act::Fragment(fragment) => self.send_fragment(fragment, turn),
            Act::Rooms(answer) => {
                let rooms = turn.hub.rooms_of(turn.key);
                let names = rooms.filter_map(|room| turn.hub.room_name(room).cloned());
                // Who asked may be gone, which is no loss.
                let _ = answer.send(names.collect());
            }
            Act::Rename(name) => {
                let told = turn.hub.update(turn.key, Some(name), None, turn.effects);
                self.told(told);
            }
            Act::Present(data) => {
                let told = turn.hub.update(turn.key, None, Some(data), turn.effects);
                self.told(told);
            }
            // The shard's own.
            Act::Terminate
            | Act::Pause
            | Act::Resume
            | Act::Flushed(_)
            | Act::FragmentsFlushed(_) => {}
        }
        Then::Continue
    }

    fn told(&self, told: Result<(), parlor_hub::Refused>) {
        if let Err(reason) = told {
            self.fault(ConnectionError::Refused { room: None, reason });
        }
    }

    /// Answers a join, or tells the handler where nobody waits to hear of a refusal.
    fn answer(
        &self,
        answer: Answered<Joined>,
        joined: Result<Joined, parlor_hub::Refused>,
        room: Option<parlor_hub::RoomName>,
    ) {
        let refused = joined.as_ref().err().copied();
        if answer.send(joined).is_err()
            && let Some(reason) = refused
        {
            self.fault(ConnectionError::Refused { room, reason });
        }
    }

    fn take_join(&mut self, token: Option<u64>) -> Option<Answered<Joined>> {
        let at = self.joins.iter().position(|(t, _)| Some(*t) == token)?;
        Some(self.joins.swap_remove(at).1)
    }

    fn joined(&mut self, joined: &parlor_hub::Joined, turn: &mut Turn<'_>) {
        let items: Vec<Item> = joined.replay.iter().cloned().map(Item::Message).collect();
        self.deliver(&mut items.iter(), turn.tools, turn.reply);
        let Some(answer) = self.take_join(joined.token) else {
            return;
        };
        let Some(room) = turn.hub.room_name(joined.room).cloned() else {
            return;
        };
        let joined = Joined::new(room, joined);
        self.answer(answer, Ok(joined), None);
    }
}

impl Session for Guest {
    fn door(&self) -> Door {
        Door::Endpoint
    }

    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        if self.phase == Phase::Open && self.held.is_empty() {
            return self.take(bytes, turn);
        }
        if self.phase != Phase::Leaving {
            self.held.extend_from_slice(bytes);
        }
        Then::Continue
    }

    fn hear(&mut self, news: &News<'_>, turn: &mut Turn<'_>) -> Then {
        match news {
            News::Joined(joined) => self.joined(joined, turn),
            News::Refused {
                request,
                token,
                reason,
            } => {
                let room = match request {
                    Request::Join(room) | Request::Leave(room) | Request::List(room) => {
                        turn.hub.room_name(*room).cloned()
                    }
                    Request::Publish => None,
                };
                match self.take_join(*token) {
                    Some(answer) => self.answer(answer, Err(*reason), room),
                    None => self.fault(ConnectionError::Refused {
                        room,
                        reason: *reason,
                    }),
                }
            }
            News::Left { .. }
            | News::Published { .. }
            | News::Listed { .. }
            | News::Dropped { .. } => {}
        }
        Then::Continue
    }

    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    ) {
        for item in items {
            let Some((kind, payload)) = Tools::raw_frame(item) else {
                continue;
            };
            if self.fragmented.as_ref().is_some_and(|open| open.is_open()) {
                if let Some(message) = item.as_message() {
                    let _ = self.hold(Waiting::Whole(message, Compression::Agreed));
                }
                continue;
            }
            let message = Message {
                kind,
                payload,
                compress: true,
            };
            // A member that is closing is delivered nothing, so there is no misuse.
            let _ = self
                .connection
                .send(message, None, &mut tools.compressors, reply);
            tools.traffic.messages_out += 1;
        }
    }

    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        frame::boundary(frames, sent)
    }

    fn writable(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::Open {
            pong(&mut self.connection, turn);
        }
        if let Some(fragmented) = &mut self.fragmented {
            fragmented.heard = turn.now;
        }
    }

    fn form(&self) -> Option<u8> {
        let open = self.fragmented.as_ref().is_some_and(|open| open.is_open());
        match open {
            true => None,
            false => Tools::form(RAW, self.connection.agreement()),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        match self.phase {
            Phase::Connecting | Phase::Leaving => Heartbeat::Deadline,
            Phase::Open => Heartbeat::Ask,
        }
    }

    fn beat(&mut self, turn: &mut Turn<'_>) {
        ping(&mut self.connection, turn);
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Connecting => {
                let (status, text) = match reason {
                    CloseReason::Late => (503, "not served in time"),
                    CloseReason::ShuttingDown => (503, "server is stopping"),
                    _ => (500, "internal error"),
                };
                self.refuse(&Refusal::new(status, text), turn);
                return;
            }
            // Its goodbye is answered as it deserves, and not with a reason of ours.
            Phase::Leaving => return self.connection.transmit(None, turn.reply),
            Phase::Open => {}
        }
        if reason == CloseReason::SlowConsumer {
            self.fault(ConnectionError::SlowConsumer);
        }
        if reason == CloseReason::Unfinished {
            self.fault(ConnectionError::Unfinished);
        }
        if let Some((code, text)) = goodbye(reason) {
            self.caller
                .set_ending(Disconnect::closed(Side::Server, Some(code), text));
        }
        close(&mut self.connection, reason, turn);
    }

    fn caller(&self) -> Option<&Rc<Caller>> {
        Some(&self.caller)
    }

    fn fragmented(&mut self) -> Option<&mut Fragmented> {
        self.fragmented.as_deref_mut()
    }

    fn obey(&mut self, order: Order, turn: &mut Turn<'_>) -> Then {
        match order {
            Order::Send(message, compression) => {
                if let Some(Waiting::Whole(message, compression)) =
                    self.hold(Waiting::Whole(message, compression))
                {
                    self.write(&message, compression, turn);
                }
                Then::Continue
            }
            Order::Act(act) => self.act(*act, turn),
            Order::Outcome(Outcome::Accepted(accepted)) => self.accept(&accepted, turn),
            Order::Outcome(Outcome::Refused(refusal)) => self.refuse(&refusal, turn),
            Order::Fail(Fault::Client) => {
                self.say_goodbye(CloseCode::INVALID_PAYLOAD, "malformed message", turn);
                Then::Linger(End::Violation)
            }
            Order::Fail(Fault::Handler) => {
                self.say_goodbye(CloseCode::INTERNAL_ERROR, "internal error", turn);
                Then::Linger(End::Fault)
            }
            Order::Outcome(Outcome::Failed(_) | Outcome::Done) | Order::Socket(_) => Then::Continue,
            Order::GoOn => match self.phase {
                Phase::Connecting => Then::Continue,
                Phase::Leaving => self.leave(turn),
                Phase::Open => {
                    let mut held = std::mem::take(&mut self.held);
                    if held.is_empty() {
                        Then::Continue
                    } else {
                        self.take(&mut held, turn)
                    }
                }
            },
        }
    }
}

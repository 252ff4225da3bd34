//! The `parlor.v1` door: rooms, presence, messages and signalling as JSON over WebSocket.

mod dialogue;

use parlor_hub::{MemberId, Peer, Request, RoomName};
use parlor_proto::{
    signal::encode,
    websocket::{CloseCode, Connection, Kind, Message, Role, deflate::Agreement, frame},
};

use self::dialogue::{Dialogue, acknowledge, code, say_listed};
use super::{
    CloseReason, Heartbeat, Item, News, Session, Then, Tools, Turn,
    meter::Meter,
    socket::{close, close_over_rate, is_over_rate, meter, ping, pong, receive},
    tools::envelope,
};
use crate::metrics::{Door, End};

pub(crate) use self::dialogue::Speech;

/// A connection that hears `parlor.v1`.
#[derive(Debug)]
pub(crate) struct Signal {
    connection: Connection,
    meter: Option<Box<Meter>>,
    dialogue: Dialogue,
}

impl Signal {
    pub(crate) fn new(agreement: Option<Agreement>, speech: Speech, turn: &Turn<'_>) -> Self {
        Self {
            connection: Connection::new(Role::Server, agreement),
            meter: meter(turn),
            dialogue: Dialogue::new(speech),
        }
    }

    /// Notes a join whose answer comes later, perhaps at once.
    pub(crate) fn expect_join(&mut self, room: &RoomName, resumes: bool) -> u64 {
        self.dialogue.expect_of(room, None, resumes)
    }
}

/// A session at work: its connection, and what it may use.
struct Desk<'a, 't> {
    connection: &'a mut Connection,
    turn: &'a mut Turn<'t>,
}

impl Desk<'_, '_> {
    /// Sends one `parlor.v1` message.
    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        write(&mut text);
        say(self.connection, &text, self.turn.tools, self.turn.reply);
    }

    /// Sends messages as envelopes.
    fn deliver(&mut self, items: &mut dyn Iterator<Item = &Item>) {
        deliver(self.connection, items, self.turn.tools, self.turn.reply);
    }
}

impl Session for Signal {
    fn door(&self) -> Door {
        match self.dialogue.speech {
            Speech::Json(_) => Door::Signal,
            Speech::Raw(_) => Door::WebSocket,
        }
    }

    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        let Self {
            connection,
            meter,
            dialogue,
        } = self;
        receive(
            connection,
            bytes,
            turn,
            |connection, kind, payload, turn| {
                if is_over_rate(meter, payload.len(), turn) {
                    let text = "over the rate limit";
                    Desk { connection, turn }
                        .say(|out| encode::error(out, None, "rate-limit", text));
                    return close_over_rate(connection, turn);
                }
                dialogue.take(kind, payload, &mut Desk { connection, turn })
            },
        )
    }

    fn hear(&mut self, news: &News<'_>, turn: &mut Turn<'_>) -> Then {
        let Self {
            connection,
            dialogue,
            ..
        } = self;
        let desk = &mut Desk { connection, turn };
        match news {
            News::Joined(joined) => dialogue.joined(joined, desk),
            News::Left { token } => {
                let pending = dialogue.answered(*token);
                acknowledge(pending, None, desk);
            }
            News::Published { token, id } => {
                let pending = dialogue.answered(Some(*token));
                acknowledge(pending, *id, desk);
            }
            News::Listed { token, roster } => {
                let pending = dialogue.answered(*token);
                say_listed(pending.as_ref(), roster, desk);
            }
            News::Refused {
                request,
                token,
                reason,
            } => {
                let pending = dialogue.answered(*token);
                let reference = pending
                    .as_ref()
                    .and_then(|pending| pending.reference.as_deref());
                let (code, text) = (code(*reason), reason.to_string());
                desk.say(|out| encode::error(out, reference, code, &text));
                if matches!(
                    (request, &dialogue.speech),
                    (Request::Join(_), Speech::Raw(_))
                ) {
                    let code = CloseCode::TRY_AGAIN_LATER;
                    desk.connection
                        .close(Some(code), &text, None, desk.turn.reply);
                    return Then::Linger(End::Limit);
                }
            }
            News::Dropped { room, count } => {
                if let Some(room) = desk.turn.hub.room_name(*room).cloned() {
                    desk.say(|out| encode::dropped(out, room.as_str(), *count));
                }
            }
        }
        Then::Continue
    }

    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    ) {
        deliver(&mut self.connection, items, tools, reply);
    }

    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        frame::boundary(frames, sent)
    }

    fn writable(&mut self, turn: &mut Turn<'_>) {
        pong(&mut self.connection, turn);
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::Ask
    }

    fn beat(&mut self, turn: &mut Turn<'_>) {
        ping(&mut self.connection, turn);
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        close(&mut self.connection, reason, turn);
    }
}

/// A member as `parlor.v1` shows it.
pub(super) fn peer(peer: &Peer) -> encode::Peer<'_, MemberId> {
    encode::Peer {
        id: peer.id,
        name: peer.name.as_deref(),
        data: peer
            .data
            .as_ref()
            .and_then(|data| str::from_utf8(data).ok()),
    }
}

/// Sends JSON text as one message.
fn say(connection: &mut Connection, text: &[u8], tools: &mut Tools, reply: &mut Vec<u8>) {
    let message = Message {
        kind: Kind::Text,
        payload: text,
        compress: true,
    };
    // The only misuse is to send after a Close, when nobody listens.
    let _ = connection.send(message, None, &mut tools.compressors, reply);
}

fn deliver(
    connection: &mut Connection,
    items: &mut dyn Iterator<Item = &Item>,
    tools: &mut Tools,
    reply: &mut Vec<u8>,
) {
    let mut text = Vec::new();
    for item in items {
        text.clear();
        envelope(item, &mut text);
        say(connection, &text, tools, reply);
        tools.traffic.messages_out += u64::from(item.is_message());
    }
}

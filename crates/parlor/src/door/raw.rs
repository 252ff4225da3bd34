//! The raw WebSocket doors: opaque frames into a room, or back to where they came from.

use parlor_hub::Request;
use parlor_proto::websocket::{self, CloseCode, Connection, Role, deflate::Agreement};

use super::{
    CloseReason, Heartbeat, Item, News, Session, Then, Tools, Turn,
    meter::Meter,
    opaque::{Target, draft, publish},
    socket::{boundary, close, close_over_rate, is_over_rate, meter, ping, pong, receive},
};
use crate::metrics::{Door, End};

/// What a client may send before its upgrade is answered, in bytes.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// A connection at a raw WebSocket door.
#[derive(Debug)]
pub(crate) struct Raw {
    connection: Connection,
    meter: Option<Box<Meter>>,
    target: Target,
    opening: Option<Box<Opening>>,
}

/// An upgrade that is answered when the room's home has said what can be replayed.
#[derive(Debug)]
struct Opening {
    /// The answer, ended by its blank line.
    answer: Vec<u8>,
    /// What the client has sent meanwhile.
    held: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(agreement: Option<Agreement>, target: Target, turn: &Turn<'_>) -> Self {
        Self {
            connection: Connection::new(Role::Server, agreement),
            meter: meter(turn),
            target,
            opening: None,
        }
    }

    /// Holds the answer to the upgrade back until the member is in its room.
    pub(crate) fn answer_when_joined(mut self, answer: Vec<u8>) -> Self {
        self.opening = Some(Box::new(Opening {
            answer,
            held: Vec::new(),
        }));
        self
    }

    /// Answers the upgrade, replays what was missed, and takes in what came early.
    fn open(&mut self, joined: &parlor_hub::Joined, turn: &mut Turn<'_>) -> Then {
        let Some(mut opening) = self.opening.take() else {
            return Then::Continue;
        };
        opening
            .answer
            .truncate(opening.answer.len().saturating_sub(2));
        turn.reply.append(&mut opening.answer);
        if let Some(gap) = joined.gap {
            let oldest = gap
                .oldest
                .map_or_else(|| "none".to_owned(), |id| id.to_string());
            turn.reply
                .extend_from_slice(format!("Parlor-Gap: {oldest}\r\n").as_bytes());
        }
        turn.reply.extend_from_slice(b"\r\n");
        let items: Vec<Item> = joined.replay.iter().cloned().map(Item::Message).collect();
        self.deliver(&mut items.iter(), turn.tools, turn.reply);
        self.receive(&mut opening.held, turn)
    }
}

impl Raw {
    /// Answers the upgrade with a refusal.
    fn refuse(&mut self, status: u16, text: &'static str, turn: &mut Turn<'_>) -> Then {
        self.opening = None;
        let refusal = crate::policy::Refusal::new(status, text);
        turn.reply.extend_from_slice(&refusal.to_response());
        Then::Linger(End::Limit)
    }
}

impl Session for Raw {
    fn door(&self) -> Door {
        match self.target {
            Target::Sender => Door::Echo,
            Target::Others | Target::Room => Door::WebSocket,
        }
    }

    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        if let Some(opening) = &mut self.opening {
            opening.held.extend_from_slice(bytes);
            if opening.held.len() > HELD_BYTES_MAX {
                return self.refuse(400, "too much before the upgrade is answered", turn);
            }
            return Then::Continue;
        }
        let target = self.target;
        let meter = &mut self.meter;
        receive(
            &mut self.connection,
            bytes,
            turn,
            |connection, kind, payload, turn| {
                if is_over_rate(meter, payload.len(), turn) {
                    return close_over_rate(connection, turn);
                }
                if target == Target::Sender {
                    let message = websocket::Message {
                        kind,
                        payload,
                        compress: true,
                    };
                    // The only misuse is to send after our own Close, and none was sent here.
                    let _ = connection.send(message, None, &mut turn.tools.compressors, turn.reply);
                    turn.tools.traffic.messages_out += 1;
                } else if let Err(reason) = publish(draft(target, kind, payload), turn) {
                    tracing::debug!(%reason, "message refused");
                }
                Then::Continue
            },
        )
    }

    fn hear(&mut self, news: &News<'_>, turn: &mut Turn<'_>) -> Then {
        match news {
            News::Joined(joined) => self.open(joined, turn),
            News::Refused {
                request: Request::Join(_),
                reason,
                ..
            } => {
                if self.opening.is_some() {
                    return self.refuse(503, "no place in this room", turn);
                }
                let code = CloseCode::TRY_AGAIN_LATER;
                self.connection
                    .close(Some(code), &reason.to_string(), None, turn.reply);
                Then::Linger(End::Limit)
            }
            News::Refused { .. }
            | News::Left { .. }
            | News::Published { .. }
            | News::Listed { .. }
            | News::Dropped { .. } => Then::Continue,
        }
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
            let message = websocket::Message {
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
        boundary(frames, sent)
    }

    fn writable(&mut self, turn: &mut Turn<'_>) {
        pong(&mut self.connection, turn);
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::Ask
    }

    fn beat(&mut self, turn: &mut Turn<'_>) {
        if self.opening.is_none() {
            ping(&mut self.connection, turn);
        }
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        match (&self.opening, reason) {
            (None, _) => close(&mut self.connection, reason, turn),
            (Some(_), CloseReason::ShuttingDown) => {
                let _ = self.refuse(503, "server is stopping", turn);
            }
            (Some(_), _) => {
                let _ = self.refuse(500, "internal error", turn);
            }
        }
    }
}

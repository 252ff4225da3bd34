//! The WebSocket doors: opaque frames into a room, or back to where they came from.

use bytes::Bytes;
use parlor_hub::{Audience, Draft, Joined, Message, Payload, Refused, Request, RoomRef};
use parlor_proto::websocket::{
    self, CloseCode, Connection, Event, Input, Kind, Role, State, deflate::Agreement, frame,
};

use super::{CloseReason, Session, Then, Tools, Turn};

/// Where a raw connection's messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the others in the room.
    Others,
    /// To everyone in the room, the sender too.
    Room,
    /// Back to the sender: the `/echo` door.
    Sender,
}

/// A connection at a WebSocket door.
#[derive(Debug)]
pub(crate) struct Raw {
    connection: Connection,
    target: Target,
}

impl Raw {
    pub(crate) fn new(agreement: Option<Agreement>, target: Target) -> Self {
        Self {
            connection: Connection::new(Role::Server, agreement),
            target,
        }
    }

    /// Fails the connection: the Close frame of the error, and nothing after it.
    fn fail(&mut self, error: &websocket::Error, turn: &mut Turn<'_>) -> Then {
        tracing::debug!(%error, "websocket connection failed");
        self.connection.fail(error, None, turn.reply);
        Then::Linger
    }

    fn say_goodbye(&mut self, code: CloseCode, reason: &str, turn: &mut Turn<'_>) {
        self.connection.close(Some(code), reason, None, turn.reply);
    }
}

impl Session for Raw {
    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        let mut input = Input::new(bytes);
        loop {
            let tools = &mut *turn.tools;
            let options = &tools.settings.options;
            match self
                .connection
                .receive(&mut input, options, &mut tools.scratch)
            {
                Ok(None) => break,
                Ok(Some(Event::Message { kind, payload, .. })) => {
                    if self.target == Target::Sender {
                        let message = websocket::Message {
                            kind,
                            payload,
                            compress: true,
                        };
                        let compressors = &mut tools.compressors;
                        // The only misuse is to send after our own Close, and none was sent here.
                        let _ = self.connection.send(message, None, compressors, turn.reply);
                    } else if let Err(reason) = publish(draft(self.target, kind, payload), turn) {
                        tracing::debug!(%reason, "message refused");
                    }
                }
                Ok(Some(Event::Close { .. })) => {
                    self.connection.transmit(None, turn.reply);
                    return Then::End;
                }
                Ok(Some(_)) => {}
                Err(error) => return self.fail(&error, turn),
            }
        }
        self.connection.transmit(None, turn.reply);
        Then::Continue
    }

    fn joined(&mut self, _: &Joined, _: &mut Turn<'_>) -> Then {
        Then::Continue
    }

    fn refused(&mut self, request: Request, reason: Refused, turn: &mut Turn<'_>) -> Then {
        match request {
            Request::Join(_) => {
                self.say_goodbye(CloseCode::TRY_AGAIN_LATER, &reason.to_string(), turn);
                Then::Linger
            }
            Request::Leave(_) | Request::Publish | Request::List(_) => Then::Continue,
        }
    }

    fn deliver(
        &mut self,
        messages: &mut dyn Iterator<Item = &Message>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    ) {
        for message in messages {
            let kind = match message.payload {
                Payload::Binary(_) => Kind::Binary,
                _ => Kind::Text,
            };
            let payload = message.payload.bytes();
            let message = websocket::Message {
                kind,
                payload,
                compress: true,
            };
            // A member that is closing is delivered nothing, so there is no misuse.
            let _ = self
                .connection
                .send(message, None, &mut tools.compressors, reply);
        }
    }

    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        frame::boundary(frames, sent)
    }

    fn ping(&mut self, turn: &mut Turn<'_>) {
        if self.connection.state() == State::Open {
            // An empty ping is within the 125 bytes, and the connection is open.
            let _ = self.connection.ping(&[], None, turn.reply);
        }
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        let (code, text) = match reason {
            CloseReason::SlowConsumer => (CloseCode::TRY_AGAIN_LATER, "slow consumer"),
            CloseReason::ShuttingDown => (CloseCode::GOING_AWAY, "server is stopping"),
            CloseReason::Fault => (CloseCode::INTERNAL_ERROR, "internal error"),
            CloseReason::Broken | CloseReason::Silent => return,
        };
        self.say_goodbye(code, text, turn);
    }
}

/// A message of a raw member: opaque, its bytes copied out of the read buffer.
fn draft(target: Target, kind: Kind, payload: &[u8]) -> Draft {
    let payload = Bytes::copy_from_slice(payload);
    let mut draft = Draft::new(match kind {
        Kind::Text => Payload::Text(payload),
        Kind::Binary => Payload::Binary(payload),
    });
    if target == Target::Room {
        draft.audience = Audience::Room;
    }
    draft
}

/// Publishes to the room of the sender. What it sends while its join is on the way follows it.
fn publish(draft: Draft, turn: &mut Turn<'_>) -> Result<(), Refused> {
    let room = turn
        .hub
        .rooms_of(turn.key)
        .next()
        .ok_or(Refused::NotJoined)?;
    turn.hub
        .publish(turn.key, RoomRef::Key(room), draft, turn.effects)
}

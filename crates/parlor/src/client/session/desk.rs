//! All that a session knows: its rooms, its questions, its events. No I/O.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parlor_hub::{MemberId, MessageId};
use serde_json::value::RawValue;
use tokio::{sync::oneshot, time::Instant};

use super::{
    Event,
    handle::{Command, Outgoing, Past, Relay, SessionError},
    payload::{RoomMessage, Roster},
    room::{Phase, RoomState, expire},
    wire::{self, Heard, Request},
};

/// Questions that the server may be asked at once; it refuses the 257th.
const IN_FLIGHT_MAX: usize = 200;
/// Rooms of one session, as many as the server takes of one member by default.
const ROOMS_MAX: usize = 256;
/// Own ids of earlier connections by which own messages are known.
const OWN_IDS_MAX: usize = 256;
/// Events that wait, above which it is not told any more that a room is too many.
const COMPLAINTS_MAX: usize = 256;
/// Questions for rosters that wait to be sent.
const LISTS_MAX: usize = 64;

/// The state of a session.
#[derive(Debug)]
pub(super) struct Desk {
    rooms: Vec<RoomState>,
    /// Where the next turn of sending begins.
    turn: usize,
    /// Ids of this client, the newest last.
    own: VecDeque<MemberId>,
    /// What the server was asked, by `ref`.
    asked: HashMap<u64, Asked>,
    references: u64,
    presence: Option<Box<RawValue>>,
    presence_told: bool,
    lists: VecDeque<List>,
    /// Messages to one member, not sent yet.
    direct: VecDeque<Outgoing>,
    /// What the application is to hear.
    pub(super) events: VecDeque<Event>,
    /// How long what is in doubt waits for the old connection to be gone.
    patience: Duration,
}

#[derive(Debug)]
struct List {
    room: Arc<str>,
    after: Option<MemberId>,
    reply: ListReply,
}

type ListReply = oneshot::Sender<Result<Roster, SessionError>>;

/// What a `ref` stands for.
#[derive(Debug)]
enum Asked {
    Join(Arc<str>),
    Leave(Arc<str>),
    Message(Arc<str>),
    Direct(Outgoing),
    List(ListReply),
}

impl Desk {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            rooms: Vec::new(),
            turn: 0,
            own: VecDeque::new(),
            asked: HashMap::new(),
            references: 0,
            presence: None,
            presence_told: true,
            lists: VecDeque::new(),
            direct: VecDeque::new(),
            events: VecDeque::new(),
            patience,
        }
    }

    /// Takes what the application asks for. `Close` is not for the desk.
    pub(super) fn take(&mut self, command: Command) {
        match command {
            Command::Join(name, past) => self.take_join(name, past),
            Command::Leave(name) => {
                let Some(room) = self.room(&name) else { return };
                room.leaving = true;
                if room.phase == Phase::Out && room.is_idle() {
                    self.rooms.retain(|room| room.name != name);
                }
            }
            Command::Publish(None, message) => self.direct.push_back(message),
            Command::Publish(Some(name), message) => match self.room(&name) {
                Some(room) if !room.leaving => room.queue(message),
                _ => message.resolve(Err(SessionError::MisuseNotJoined)),
            },
            Command::Presence(data) => {
                self.presence = Some(data);
                self.presence_told = false;
            }
            Command::List { room, after, reply } if self.lists.len() < LISTS_MAX => {
                self.lists.push_back(List { room, after, reply });
            }
            Command::List { reply, .. } => drop(reply.send(Err(SessionError::LimitQueue))),
            Command::Close(_) => {}
        }
    }

    fn take_join(&mut self, name: Arc<str>, past: Past) {
        if let Some(room) = self.room(&name) {
            room.leaving = false;
        } else if self.rooms.len() < ROOMS_MAX {
            self.rooms.push(RoomState::new(name, past));
        } else if self.events.len() >= COMPLAINTS_MAX {
            tracing::warn!("a room too many, and nobody takes the events");
        } else {
            self.events.push_back(Event::RoomLost {
                room: name,
                code: "limit".to_owned(),
                message: "a session has at most 256 rooms".to_owned(),
            });
        }
    }

    fn room(&mut self, name: &str) -> Option<&mut RoomState> {
        self.rooms.iter_mut().find(|room| *room.name == *name)
    }

    fn ask(&mut self, asked: impl FnOnce(u64) -> Asked) -> u64 {
        self.references += 1;
        self.asked.insert(self.references, asked(self.references));
        self.references
    }

    /// The next text for the server.
    pub(super) fn next_text(&mut self) -> Option<String> {
        if let Some(data) = self.presence.as_deref().filter(|_| !self.presence_told) {
            self.presence_told = true;
            return Some(Request::Presence { data }.encode());
        }
        if self.asked.len() >= IN_FLIGHT_MAX {
            return None;
        }
        for at in 0..self.rooms.len() {
            let at = (self.turn + at) % self.rooms.len();
            let next = self.references + 1;
            let Some(room) = self.rooms.get_mut(at) else {
                continue;
            };
            let name = Arc::clone(&room.name);
            let (text, asked) = match room.phase {
                Phase::Out => (room.join(next), Asked::Join(name)),
                Phase::In if room.leaving && room.is_sent() => {
                    let request = Request::Leave {
                        room: &room.name,
                        r#ref: next,
                    };
                    let text = request.encode();
                    room.phase = Phase::Leaving;
                    (text, Asked::Leave(name))
                }
                _ => match room.send(next) {
                    Some(text) => (text, Asked::Message(name)),
                    None => continue,
                },
            };
            self.ask(|_| asked);
            self.turn = at + 1;
            return Some(text);
        }
        self.next_question().or_else(|| self.next_direct())
    }

    fn next_question(&mut self) -> Option<String> {
        let list = self.lists.pop_front()?;
        let after = list.after.map(|after| after.to_string());
        let reference = self.ask(|_| Asked::List(list.reply));
        let request = Request::List {
            room: &list.room,
            after,
            r#ref: reference,
        };
        Some(request.encode())
    }

    /// A message to one member goes when this client is back in its rooms: they must share one.
    fn next_direct(&mut self) -> Option<String> {
        let back = |room: &RoomState| matches!(room.phase, Phase::In | Phase::Leaving);
        if !self.rooms.iter().all(back) {
            return None;
        }
        let message = self.direct.pop_front()?;
        let text = message.text.clone();
        let reference = self.ask(|_| Asked::Direct(message));
        Some(wire::with_reference(&text, reference))
    }

    /// Takes what the server said.
    pub(super) fn hear(&mut self, text: &str) {
        let Ok(heard) = wire::decode(text) else {
            self.events.push_back(Event::Error {
                code: "malformed".to_owned(),
                message: "what the server said was not understood".to_owned(),
            });
            return;
        };
        match heard {
            Heard::Message(message) => self.hear_message(message),
            Heard::Joined {
                reference,
                room,
                id,
                last,
                roster,
            } => {
                self.forget(reference);
                self.joined(&room, (id, last), roster);
            }
            Heard::Resumed { room, gap, oldest } => {
                let name = room;
                let Self { rooms, events, .. } = self;
                if let Some(room) = rooms.iter_mut().find(|room| room.name == name) {
                    room.resumed(gap, oldest, events);
                }
            }
            Heard::Peers { reference, roster } => {
                if let Some(Asked::List(reply)) = self.forget(reference) {
                    // Who does not wait any more has chosen so.
                    let _ = reply.send(Ok(roster));
                }
            }
            Heard::Ack { reference, id } => self.answered(Some(reference), Ok(id)),
            Heard::Error {
                reference,
                code,
                message,
            } => self.answered(reference, Err(SessionError::Refused { code, message })),
            other => self.hear_of_others(other),
        }
    }

    fn hear_of_others(&mut self, heard: Heard) {
        let event = match heard {
            Heard::PeerJoined { room, peer } => Event::PeerJoined { room, peer },
            Heard::PeerLeft { room, id } => {
                if let Some(room) = self.room(&room) {
                    room.peer_left(id);
                }
                if self.own.contains(&id) {
                    return;
                }
                Event::PeerLeft { room, id }
            }
            Heard::Presence { room, from, data } => Event::Presence { room, from, data },
            Heard::Dropped { room, count } => {
                if let Some(room) = self.room(&room) {
                    room.dropped();
                }
                Event::Dropped { room, count }
            }
            Heard::Relayed { from, kind, text } => Event::Relayed {
                from,
                kind: Relay::of_word(&kind),
                object: text,
            },
            _ => return,
        };
        self.events.push_back(event);
    }

    fn hear_message(&mut self, message: RoomMessage) {
        let Self {
            rooms, own, events, ..
        } = self;
        match rooms.iter_mut().find(|room| room.name == message.room) {
            Some(room) => room.hear(message, |id| own.contains(&id), events),
            None if message.id.is_none() => events.push_back(Event::Message(message)),
            // Of a room that was just left.
            None => {}
        }
    }

    fn joined(&mut self, name: &str, place: (MemberId, Option<MessageId>), mut roster: Roster) {
        if !self.own.contains(&place.0) {
            self.own.push_back(place.0);
            if self.own.len() > OWN_IDS_MAX {
                self.own.pop_front();
            }
        }
        let Self {
            rooms,
            own,
            events,
            patience,
            ..
        } = self;
        let Some(room) = rooms.iter_mut().find(|room| *room.name == *name) else {
            return;
        };
        room.look_for_sender(&roster, *patience);
        // What an earlier connection of this client left there is nobody else.
        roster.peers.retain(|peer| !own.contains(&peer.id));
        room.joined(place, roster, events);
    }

    fn forget(&mut self, reference: Option<u64>) -> Option<Asked> {
        self.asked.remove(&reference?)
    }

    fn answered(
        &mut self,
        reference: Option<u64>,
        result: Result<Option<MessageId>, SessionError>,
    ) {
        let asked = self.forget(reference);
        match (asked, result) {
            (Some(Asked::Message(name)), result) => {
                let reference = reference.unwrap_or_default();
                if let Some(room) = self.room(&name) {
                    room.answered(reference, result);
                }
            }
            (Some(Asked::Direct(message)), result) => message.resolve(result),
            (Some(Asked::List(reply)), Err(error)) => drop(reply.send(Err(error))),
            (Some(Asked::Leave(name)), _) => self.left(&name),
            (Some(Asked::Join(room)), Err(SessionError::Refused { code, message })) => {
                self.drop_room(&room, &SessionError::MisuseNotJoined);
                self.events.push_back(Event::RoomLost {
                    room,
                    code,
                    message,
                });
            }
            (None, Err(SessionError::Refused { code, message })) => {
                self.events.push_back(Event::Error { code, message });
            }
            _ => {}
        }
    }

    /// The server says that this client is out of a room; perhaps it is wanted again meanwhile.
    fn left(&mut self, name: &str) {
        match self.room(name) {
            Some(room) if room.leaving => self.drop_room(name, &SessionError::MisuseNotJoined),
            Some(room) => room.left(),
            None => {}
        }
    }

    fn drop_room(&mut self, name: &str, error: &SessionError) {
        if let Some(at) = self.rooms.iter().position(|room| *room.name == *name) {
            self.rooms.swap_remove(at).fail(error);
        }
    }

    /// A new connection is there.
    pub(super) fn connected(&mut self) {
        self.presence_told = self.presence.is_none();
        self.events.push_back(Event::Connected);
    }

    /// There is no connection, or still none: then only the last attempt is told.
    pub(super) fn disconnected(&mut self, event: Event) {
        self.lost();
        if let Some(Event::Disconnected { .. }) = self.events.back() {
            self.events.pop_back();
        }
        self.events.push_back(event);
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        for room in &mut self.rooms {
            room.lost();
        }
        // Nothing is left of a room but its leave: that the connection has done.
        self.rooms.retain(|room| !(room.leaving && room.is_idle()));
        for (_, asked) in self.asked.drain() {
            match asked {
                Asked::Direct(message) => message.resolve(Err(SessionError::Unconfirmed)),
                Asked::List(reply) => drop(reply.send(Err(SessionError::Unconfirmed))),
                // Rooms know of these themselves.
                Asked::Join(_) | Asked::Leave(_) | Asked::Message(_) => {}
            }
        }
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        for room in &mut self.rooms {
            room.expire(now);
        }
        expire(&mut self.direct, now, |after| SessionError::LimitAge {
            after,
        });
    }

    /// Whether time alone may change something.
    pub(super) fn waits(&self) -> bool {
        !self.direct.is_empty() || self.rooms.iter().any(RoomState::waits)
    }

    /// Whether everything was sent and answered.
    pub(super) fn is_idle(&self) -> bool {
        let direct = |asked: &Asked| matches!(asked, Asked::Direct(_));
        self.direct.is_empty()
            && self.rooms.iter().all(RoomState::is_idle)
            && !self.asked.values().any(direct)
    }

    /// Gives up everything: the session is over.
    pub(super) fn fail(&mut self) {
        self.lost();
        for room in self.rooms.drain(..) {
            room.fail(&SessionError::Ended);
        }
        for message in self.direct.drain(..) {
            message.resolve(Err(SessionError::Ended));
        }
        for list in self.lists.drain(..) {
            let _ = list.reply.send(Err(SessionError::Ended));
        }
    }
}

#[cfg(test)]
mod tests;

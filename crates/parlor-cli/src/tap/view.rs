//! What is shown of a room: one line for each thing that is told.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlor::client::session::{Event, MemberId, MessageId, Payload, Peer, Relay, RoomMessage};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::Form;
use crate::terminal::{harmless, harmless_json};

/// Watches one room over any number of connections.
#[derive(Debug)]
pub(super) struct View {
    form: Form,
    /// The last message that was shown, or that it began after.
    last: Option<MessageId>,
    /// How often it came into the room.
    joins: u32,
    names: HashMap<MemberId, String>,
}

/// What comes of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// For standard output.
    Line(String),
    /// For standard error.
    Note(String),
    /// It goes on without.
    Nothing,
}

/// An event in the words of parlor.v1.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Told<'a> {
    Message {
        room: &'a str,
        from: Option<String>,
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        event: &'a str,
        data: Option<Box<RawValue>>,
    },
    Resumed {
        room: &'a str,
        gap: bool,
        oldest: Option<String>,
    },
    PeerJoined {
        room: &'a str,
        data: String,
        name: Option<&'a str>,
        peer: TellPeer<'a>,
    },
    PeerLeft {
        room: &'a str,
        data: String,
    },
    Presence {
        room: &'a str,
        from: String,
        data: Option<Box<RawValue>>,
    },
    Dropped {
        room: &'a str,
        count: u64,
    },
}

#[derive(Debug, Serialize)]
struct TellPeer<'a> {
    id: String,
    name: Option<&'a str>,
    data: Option<Box<RawValue>>,
}

impl View {
    /// Begins after a message, if it is one.
    pub(super) fn new(form: Form, since: Option<MessageId>) -> Self {
        Self {
            form,
            last: since,
            joins: 0,
            names: HashMap::new(),
        }
    }

    /// Takes in what happens.
    pub(super) fn hear(&mut self, event: &Event, now: SystemTime) -> Shown {
        match event {
            Event::Joined {
                room,
                id,
                roster,
                resumed,
            } => {
                self.names.clear();
                for peer in &roster.peers {
                    self.learn(peer);
                }
                self.joined(room, *id, (roster.peers.len(), roster.more), *resumed)
            }
            Event::Error { message, .. } => {
                Shown::Note(format!("the server answered: {}", harmless(message)))
            }
            event => {
                let line = self.line(event);
                let line = match self.form {
                    Form::Text => line.map(|line| format!("{}  {line}", time(now))),
                    Form::Json => line.and_then(|_| json(event)),
                };
                line.map_or(Shown::Nothing, Shown::Line)
            }
        }
    }

    fn joined(
        &mut self,
        room: &str,
        id: MemberId,
        (count, more): (usize, bool),
        resumed: bool,
    ) -> Shown {
        self.joins += 1;
        let others = match (count, more) {
            (0, _) => "nobody else".to_owned(),
            (1, false) => "1 other".to_owned(),
            (_, more) => format!("{}{count} others", if more { "more than " } else { "" }),
        };
        let room = harmless(room);
        Shown::Note(match (self.joins, resumed) {
            (1, _) => format!("in {room} as {id}, with {others}"),
            (_, true) => {
                format!("again in {room} as {id}, with {others}; what was missed follows")
            }
            (_, false) => format!("again in {room} as {id}, with {others}"),
        })
    }

    /// The line of an event; none of what is not shown.
    fn line(&mut self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Message(message) => self.message(message),
            Event::Gap { oldest, .. } => self.gap(*oldest),
            Event::PeerJoined { peer, .. } => {
                self.learn(peer);
                format!("-- {} came in", self.name(peer.id))
            }
            Event::PeerLeft { id, .. } => {
                let line = format!("-- {} left", self.name(*id));
                self.names.remove(id);
                line
            }
            Event::Presence { from, data, .. } => {
                format!("-- {} is now {}", self.name(*from), harmless(data))
            }
            Event::Dropped { count, .. } => {
                format!("-- {count} messages were left out, since this member was too slow")
            }
            Event::Relayed { from, kind, .. } => {
                let kind = match kind {
                    Relay::Description => "sdp",
                    Relay::Candidate => "ice-candidate",
                };
                format!("-- {kind} from {}", self.name(*from))
            }
            _ => return None,
        })
    }

    fn message(&mut self, message: &RoomMessage) -> String {
        self.last = message.id.or(self.last);
        let id = message
            .id
            .map_or_else(|| "-".to_owned(), |id| id.to_string());
        let who = match (&message.name, message.from) {
            (Some(name), _) => harmless(name).into_owned(),
            (None, Some(from)) => from.to_string(),
            (None, None) => "-".to_owned(),
        };
        let event = harmless(&message.event);
        format!("{id}  {who}  {event}  {}", payload(&message.payload))
    }

    fn gap(&self, oldest: Option<MessageId>) -> String {
        let since = self
            .last
            .map_or_else(String::new, |id| format!(" since {id}"));
        match oldest {
            Some(oldest) => format!(
                "-- gap: some messages{since} are missing; the oldest that the room still had is \
                 {oldest}"
            ),
            None => format!("-- gap: some messages{since} are missing"),
        }
    }

    fn learn(&mut self, peer: &Peer) {
        if let Some(name) = peer.name.as_ref().filter(|_| self.names.len() < NAMES_MAX) {
            self.names.insert(peer.id, name.clone());
        }
    }

    fn name(&self, id: MemberId) -> String {
        match self.names.get(&id) {
            Some(name) => harmless(name).into_owned(),
            None => id.to_string(),
        }
    }
}

/// A payload: text as it is, binary as its length and base64, everything else as JSON.
fn payload(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) => harmless(text).into_owned(),
        Payload::Binary(bytes) => format!("[{} bytes] {}", bytes.len(), STANDARD.encode(bytes)),
        Payload::Json(text) => harmless_json(text).into_owned(),
    }
}

/// An event as one line of JSON.
fn json(event: &Event) -> Option<String> {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).ok();
    let told = match event {
        Event::Message(message) => Told::Message {
            room: &message.room,
            from: message.from.map(|id| id.to_string()),
            name: message.name.as_deref(),
            id: message.id.map(|id| id.to_string()),
            event: &message.event,
            data: match &message.payload {
                Payload::Text(text) => to_raw_value(text).ok(),
                Payload::Binary(bytes) => {
                    raw(&format!(r#"{{"base64":"{}"}}"#, STANDARD.encode(bytes)))
                }
                Payload::Json(text) => raw(text),
            },
        },
        Event::Gap { room, oldest } => Told::Resumed {
            room,
            gap: true,
            oldest: oldest.map(|id| id.to_string()),
        },
        Event::PeerJoined { room, peer } => Told::PeerJoined {
            room,
            data: peer.id.to_string(),
            name: peer.name.as_deref(),
            peer: TellPeer {
                id: peer.id.to_string(),
                name: peer.name.as_deref(),
                data: peer.data.as_deref().and_then(raw),
            },
        },
        Event::PeerLeft { room, id } => Told::PeerLeft {
            room,
            data: id.to_string(),
        },
        Event::Presence { room, from, data } => Told::Presence {
            room,
            from: from.to_string(),
            data: raw(data),
        },
        Event::Dropped { room, count } => Told::Dropped {
            room,
            count: *count,
        },
        Event::Relayed { object, .. } => return Some(harmless_json(object).into_owned()),
        _ => return None,
    };
    let text = serde_json::to_string(&told).ok()?;
    Some(harmless_json(&text).into_owned())
}

/// The time of day in UTC, to the millisecond.
fn time(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}Z", seconds % 60)
}

/// Members whose names are remembered; the others are called by their ids.
const NAMES_MAX: usize = 10_000;

#[cfg(test)]
mod tests;

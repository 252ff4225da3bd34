//! What is shown of a room: one line for each thing that the server tells.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parlor::proto::signal::{self, Content};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Form;
use crate::terminal::{harmless, harmless_json};
use crate::url::query_value;

/// What to hear of what was said before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Past {
    /// Nothing.
    Nothing,
    /// So many messages.
    Last(u32),
    /// Everything since a message.
    Since(String),
}

/// Watches one room over any number of connections.
#[derive(Debug)]
pub(super) struct View {
    form: Form,
    past: Past,
    /// What this connection began with.
    asked: Past,
    /// The replay under way is only there to learn the newest id.
    hides: bool,
    /// How often it came into the room.
    joins: u32,
    names: HashMap<String, String>,
}

/// What comes of a message from the server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// For standard output.
    Line(String),
    /// For standard error.
    Note(String),
    /// It goes on without.
    Nothing,
}

/// The members of a server message that are looked at.
#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    id: Option<String>,
    event: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    peers: Option<Vec<Peer>>,
    more: Option<bool>,
    gap: Option<bool>,
    oldest: Option<String>,
    count: Option<u64>,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Peer {
    id: String,
    name: Option<String>,
}

impl View {
    pub(super) fn new(form: Form, past: Past) -> Self {
        Self {
            form,
            asked: past.clone(),
            past,
            hides: false,
            joins: 0,
            names: HashMap::new(),
        }
    }

    /// The part of the query that asks for what was missed.
    pub(super) fn query(&self) -> String {
        match &self.past {
            // The newest message tells where to go on after a loss.
            Past::Nothing => "last=1".to_owned(),
            Past::Last(count) => format!("last={count}"),
            Past::Since(id) => format!("since={}", query_value(id)),
        }
    }

    /// Takes in a message of the server.
    pub(super) fn hear(&mut self, text: &str, now: SystemTime) -> Shown {
        let Ok(message) = serde_json::from_str::<Message<'_>>(text) else {
            let text = harmless(text);
            return Shown::Note(format!("the server said what is not understood: {text}"));
        };
        let hidden = self.hides;
        let shown = match &*message.kind {
            "joined" => self.joined(&message),
            "resumed" => self.resumed(&message),
            "message" => self.message(&message),
            "error" => Shown::Note(format!(
                "the server answered: {}",
                harmless(message.message.as_deref().unwrap_or("an error"))
            )),
            _ => Shown::Line(self.news(&message)),
        };
        let is_content = matches!(&*message.kind, "message" | "resumed");
        if hidden && is_content {
            return Shown::Nothing;
        }
        match (self.form, shown) {
            (Form::Json, Shown::Line(_)) => Shown::Line(harmless_json(text).into_owned()),
            (Form::Text, Shown::Line(line)) => Shown::Line(format!("{}  {line}", time(now))),
            (_, other) => other,
        }
    }

    fn joined(&mut self, message: &Message<'_>) -> Shown {
        self.hides = self.past == Past::Nothing;
        self.asked.clone_from(&self.past);
        self.joins += 1;
        self.names.clear();
        let peers = message.peers.as_deref().unwrap_or_default();
        for peer in peers {
            self.learn(&peer.id, peer.name.as_deref());
        }
        let room = harmless(message.room.as_deref().unwrap_or_default());
        let count = peers.len();
        let more = message.more.unwrap_or_default();
        let others = match (count, more) {
            (0, _) => "nobody else".to_owned(),
            (1, false) => "1 other".to_owned(),
            (_, more) => format!("{}{count} others", if more { "more than " } else { "" }),
        };
        let again = if self.joins > 1 { "again " } else { "" };
        let id = harmless(message.id.as_deref().unwrap_or_default());
        Shown::Note(format!("{again}in {room} as {id}, with {others}"))
    }

    fn resumed(&mut self, message: &Message<'_>) -> Shown {
        self.hides = false;
        if self.past == Past::Nothing {
            // Nothing was there. What is there after a loss has come since.
            self.past = Past::Last(ALL);
        }
        if message.gap != Some(true) {
            return Shown::Note("nothing is missing".to_owned()).only_if(self.joins > 1);
        }
        let from = match &self.asked {
            Past::Since(id) => format!(" since {}", harmless(id)),
            _ => String::new(),
        };
        Shown::Line(match &message.oldest {
            Some(oldest) => format!(
                "-- gap: some messages{from} are missing; the oldest that the room still had is {}",
                harmless(oldest)
            ),
            None => format!("-- gap: some messages{from} are missing; the room had none any more"),
        })
    }

    fn message(&mut self, message: &Message<'_>) -> Shown {
        if let Some(id) = &message.id {
            self.past = Past::Since(id.clone());
        }
        let id = harmless(message.id.as_deref().unwrap_or("-"));
        let who = message.name.as_ref().or(message.from.as_ref());
        let who = harmless(who.map_or("-", |who| who));
        let event = harmless(message.event.as_deref().unwrap_or("message"));
        let data = message.data.map_or("null", RawValue::get);
        Shown::Line(format!("{id}  {who}  {event}  {}", payload(data)))
    }

    /// What is no message: who comes and goes, and everything that is not known here.
    fn news(&mut self, message: &Message<'_>) -> String {
        let data = message.data.map_or("null", RawValue::get);
        let id = || serde_json::from_str::<String>(data).unwrap_or_default();
        match &*message.kind {
            "peer-joined" => {
                let id = id();
                self.learn(&id, message.name.as_deref());
                format!("-- {} came in", self.name(&id))
            }
            "peer-left" => {
                let id = id();
                let line = format!("-- {} left", self.name(&id));
                self.names.remove(&id);
                line
            }
            "presence" => {
                let from = message.from.as_deref().unwrap_or_default();
                format!("-- {} is now {}", self.name(from), harmless(data))
            }
            "dropped" => format!(
                "-- {} messages were left out, since this member was too slow",
                message.count.unwrap_or_default()
            ),
            kind => {
                let from = message.from.as_deref().unwrap_or("the server");
                format!("-- {} from {}", harmless(kind), harmless(from))
            }
        }
    }

    fn learn(&mut self, id: &str, name: Option<&str>) {
        if let Some(name) = name.filter(|_| self.names.len() < NAMES_MAX) {
            self.names.insert(id.to_owned(), name.to_owned());
        }
    }

    fn name(&self, id: &str) -> String {
        let name = self.names.get(id).map_or(id, String::as_str);
        harmless(name).into_owned()
    }
}

impl Shown {
    fn only_if(self, wanted: bool) -> Self {
        if wanted { self } else { Self::Nothing }
    }
}

/// A payload: text as it is, binary as its length and base64, everything else as JSON.
fn payload(data: &str) -> String {
    match signal::parse_data(data) {
        Ok(Content::Text(text)) => harmless(&text).into_owned(),
        Ok(Content::Binary(bytes)) => {
            format!("[{} bytes] {}", bytes.len(), STANDARD.encode(&bytes))
        }
        Ok(Content::Json) | Err(_) => harmless_json(data).into_owned(),
    }
}

/// The time of day in UTC, to the millisecond.
fn time(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{millis:03}Z", seconds % 60)
}

/// More than any room keeps.
const ALL: u32 = 1 << 30;
/// Members whose names are remembered; the others are called by their ids.
const NAMES_MAX: usize = 10_000;

#[cfg(test)]
mod tests;

//! A member of a room, whichever door it came in by.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use serde_json::{Value, json};

use crate::{
    event_stream::EventStream,
    http_support::field,
    peer::Peer,
    support::{Client, Frame},
};

/// A way to be in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Raw,
    All,
    Signal,
    Sse,
    SseQuery,
    SseGzip,
}

impl Door {
    pub(crate) const ALL: [Self; 6] = [
        Self::Raw,
        Self::All,
        Self::Signal,
        Self::Sse,
        Self::SseQuery,
        Self::SseGzip,
    ];
}

/// A member that came in through some door.
pub(crate) enum Member {
    Raw(Client),
    Json(Peer),
    Sse(Box<EventStream>),
}

/// A gap as it is told: the oldest id that is held, if any is.
pub(crate) type Gap = Option<String>;

/// What a member hears of a room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A text or a number, and its id where the door tells it.
    Message(String, Option<String>),
    /// Where the missed messages end without a gap; told by `parlor.v1` only.
    Resumed,
    /// There is a gap.
    Gap(Gap),
    /// `parlor.v1` only: so many messages were dropped.
    Dropped(u64),
    /// Nothing came for as long as the socket waits.
    Silence,
    /// The server closed with this code; 0 where the connection was just cut.
    Closed(u16),
}

impl From<io::Error> for Heard {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silence,
            _ => Self::Closed(0),
        }
    }
}

impl Member {
    /// Comes into a room on an open connection, after a message if there was one. Returns what is
    /// told of a gap before the first message; some doors tell it later.
    pub(crate) fn enter(
        stream: TcpStream,
        door: Door,
        room: &str,
        since: Option<&str>,
    ) -> (Self, Option<Gap>) {
        let query = since.map_or_else(String::new, |since| format!("?since={since}"));
        match door {
            Door::Raw => {
                let client = Client::open(stream, &format!("/ws/{room}{query}"), "");
                let gap = field(&client.response, "parlor-gap");
                let gap = gap.map(|oldest| (oldest != "none").then(|| oldest.to_owned()));
                (Self::Raw(client), gap)
            }
            Door::All => {
                let query = query.replace('?', "&");
                let path = format!("/ws/{room}?events=all{query}");
                let mut peer = Peer::of(Client::open(stream, &path, ""));
                assert_eq!(peer.hear()["type"], "joined");
                (Self::Json(peer), None)
            }
            Door::Signal => {
                let mut peer = Peer::of(Client::open(stream, "/signal", ""));
                match since {
                    None => _ = peer.join(room),
                    Some(since) => {
                        let answer =
                            peer.ask(&json!({"type": "resume", "room": room, "since": since}));
                        assert_eq!(answer["type"], "joined", "{answer}");
                    }
                }
                (Self::Json(peer), None)
            }
            Door::Sse | Door::SseQuery | Door::SseGzip => {
                let mut headers = String::new();
                let mut path = format!("/sse/{room}");
                match since {
                    Some(since) if door == Door::Sse => {
                        headers = format!("Last-Event-ID: {since}\r\n");
                    }
                    _ => path.push_str(&query),
                }
                if door == Door::SseGzip {
                    headers.push_str("Accept-Encoding: gzip\r\n");
                }
                let mut events = EventStream::open(stream, &path, &headers);
                events.joined();
                (Self::Sse(Box::new(events)), None)
            }
        }
    }

    /// The next thing that concerns the room's messages.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            let heard = match self {
                Self::Raw(client) => match client.receive() {
                    Ok(frame) => raw(&frame, client),
                    Err(error) => Some(error.into()),
                },
                Self::Json(peer) => match peer.client.receive() {
                    Ok(frame) if frame.first == 0x81 => {
                        envelope(&serde_json::from_slice(&frame.payload).unwrap())
                    }
                    Ok(frame) => raw(&frame, &mut peer.client),
                    Err(error) => Some(error.into()),
                },
                Self::Sse(events) => match events.next() {
                    Ok(event) if event.name.as_deref() == Some("gap") => {
                        assert_eq!(event.id, None);
                        let oldest = &event.json()["oldest"];
                        Some(Heard::Gap(oldest.as_str().map(str::to_owned)))
                    }
                    Ok(event) => event.data.map(|data| Heard::Message(data, event.id)),
                    Err(error) => Some(error.into()),
                },
            };
            if let Some(heard) = heard {
                return heard;
            }
        }
    }
}

/// What a frame tells a raw member; nothing where it is about the connection. A ping is answered.
fn raw(frame: &Frame, client: &mut Client) -> Option<Heard> {
    match frame.first {
        0x81 => Some(Heard::Message(frame.text().to_owned(), None)),
        0x88 => Some(Heard::Closed(frame.close().0)),
        0x89 => {
            // The other side may have closed meanwhile.
            let pong = crate::support::frame(0x8a, &frame.payload);
            let _ = client.stream.write_all(&pong);
            None
        }
        _ => None,
    }
}

/// What an envelope tells; nothing where it is about who is there.
fn envelope(value: &Value) -> Option<Heard> {
    match (
        value["type"].as_str().unwrap_or_default(),
        value["gap"].as_bool(),
    ) {
        ("message", _) => {
            let data = &value["data"];
            let text = data
                .as_str()
                .map_or_else(|| data.to_string(), str::to_owned);
            Some(Heard::Message(
                text,
                value["id"].as_str().map(str::to_owned),
            ))
        }
        ("resumed", Some(false)) => {
            assert!(value.get("oldest").is_none(), "{value}");
            Some(Heard::Resumed)
        }
        ("resumed", Some(true)) => Some(Heard::Gap(value["oldest"].as_str().map(str::to_owned))),
        ("dropped", _) => value["count"].as_u64().map(Heard::Dropped),
        ("peer-joined" | "peer-left", _) => None,
        _ => unreachable!("{value}"),
    }
}

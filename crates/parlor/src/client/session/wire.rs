//! `parlor.v1` from the client's side: requests to text, text to what the server says.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use parlor_hub::{MemberId, MessageId};
use parlor_proto::signal::Priority;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::payload::{Payload, Peer, RoomMessage, Roster};

/// What a client says. The keys that are `None` are left out.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Request<'a> {
    Join {
        room: &'a str,
        last: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        history: Option<u32>,
        r#ref: u64,
    },
    Resume {
        room: &'a str,
        since: String,
        last: bool,
        r#ref: u64,
    },
    Leave {
        room: &'a str,
        r#ref: u64,
    },
    Message {
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<&'static str>,
        data: Said<'a>,
    },
    Presence {
        data: &'a RawValue,
    },
    List {
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        r#ref: u64,
    },
}

/// A payload as it stands in `data`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Said<'a> {
    Text(&'a str),
    Binary { base64: String },
    Json(Box<RawValue>),
}

impl Request<'_> {
    /// The JSON text.
    pub(super) fn encode(&self) -> String {
        // Strings, numbers and JSON: there is nothing that cannot be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl<'a> Said<'a> {
    /// `None` where JSON is none.
    pub(super) fn new(payload: &'a Payload) -> Option<Self> {
        Some(match payload {
            Payload::Text(text) => Self::Text(text),
            Payload::Binary(bytes) => Self::Binary {
                base64: STANDARD.encode(bytes),
            },
            Payload::Json(text) => Self::Json(RawValue::from_string(text.clone()).ok()?),
        })
    }
}

/// Adds the `ref` to a request that was encoded without.
pub(super) fn with_reference(text: &str, reference: u64) -> String {
    let open = text.strip_suffix('}').unwrap_or(text);
    format!("{open},\"ref\":{reference}}}")
}

pub(super) const fn priority_word(priority: Priority) -> Option<&'static str> {
    match priority {
        Priority::High => Some("high"),
        Priority::Normal => None,
        Priority::Low => Some("low"),
    }
}

/// A description or candidate for one member: the caller's object with `type` and `target` put in
/// front. `None` where it is not a JSON object, or has one of these keys itself.
pub(super) fn relay(kind: &str, target: MemberId, object: &str) -> Option<String> {
    let object = object.trim();
    let map: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).ok()?;
    let ours = ["type", "target", "from", "ref"];
    if ours.iter().any(|key| map.contains_key(*key)) {
        return None;
    }
    let inner = object.strip_prefix('{')?;
    let comma = if map.is_empty() { "" } else { "," };
    Some(format!(
        r#"{{"type":"{kind}","target":"{target}"{comma}{inner}"#
    ))
}

/// What the server says.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Joined {
        reference: Option<u64>,
        room: Arc<str>,
        id: MemberId,
        last: Option<MessageId>,
        roster: Roster,
    },
    Resumed {
        room: Arc<str>,
        gap: bool,
        oldest: Option<MessageId>,
    },
    Message(RoomMessage),
    PeerJoined {
        room: Arc<str>,
        peer: Peer,
    },
    PeerLeft {
        room: Arc<str>,
        id: MemberId,
    },
    Presence {
        room: Arc<str>,
        from: MemberId,
        data: String,
    },
    Peers {
        reference: Option<u64>,
        roster: Roster,
    },
    Dropped {
        room: Arc<str>,
        count: u64,
    },
    Ack {
        reference: u64,
        id: Option<MessageId>,
    },
    Error {
        reference: Option<u64>,
        code: String,
        message: String,
    },
    /// `sdp` or `ice-candidate`: the whole text.
    Relayed {
        from: MemberId,
        kind: String,
        text: String,
    },
    /// Of no interest, or of a later version.
    Other,
}

/// Text that is not what a server of this protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedServerMessage;

/// Just the type, of an object with any other members.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Joined<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(deserialize_with = "id")]
    id: MemberId,
    #[serde(default, deserialize_with = "optional_id")]
    last: Option<MessageId>,
    #[serde(borrow)]
    peers: Vec<WirePeer<'a>>,
    #[serde(default)]
    more: bool,
    #[serde(rename = "ref", default)]
    reference: Option<u64>,
}

#[derive(Deserialize)]
struct Peers<'a> {
    #[serde(borrow)]
    peers: Vec<WirePeer<'a>>,
    #[serde(default)]
    more: bool,
    #[serde(rename = "ref", default)]
    reference: Option<u64>,
}

#[derive(Deserialize)]
struct WirePeer<'a> {
    #[serde(deserialize_with = "id")]
    id: MemberId,
    name: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(default, deserialize_with = "optional_id")]
    from: Option<MemberId>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "optional_id")]
    id: Option<MessageId>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct PeerJoined<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(borrow)]
    peer: WirePeer<'a>,
}

#[derive(Deserialize)]
struct PeerLeft<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(deserialize_with = "id")]
    data: MemberId,
}

#[derive(Deserialize)]
struct Presence<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(deserialize_with = "id")]
    from: MemberId,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Resumed<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    gap: bool,
    #[serde(default, deserialize_with = "optional_id")]
    oldest: Option<MessageId>,
}

#[derive(Deserialize)]
struct Dropped<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    count: u64,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(rename = "ref")]
    reference: u64,
    #[serde(default, deserialize_with = "optional_id")]
    id: Option<MessageId>,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(rename = "ref", default)]
    reference: Option<u64>,
    code: String,
    #[serde(default)]
    message: String,
}

/// Of a relayed object only what the server vouches for is read: the rest is another client's.
#[derive(Deserialize)]
struct Relayed {
    #[serde(deserialize_with = "id")]
    from: MemberId,
}

fn id<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<T, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| serde::de::Error::custom("not an id"))
}

fn optional_id<'de, D: Deserializer<'de>, T: std::str::FromStr>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    text.map(|text| {
        text.parse()
            .map_err(|_| serde::de::Error::custom("not an id"))
    })
    .transpose()
}

/// Reads what a server said. A type that is not known is [`Heard::Other`].
pub(super) fn decode(text: &str) -> Result<Heard, MalformedServerMessage> {
    // Servers write the type first, so the type of what comes most is seen at once.
    if text.starts_with(r#"{"type":"message","#) {
        return message(text);
    }
    let kind: Kind<'_> = read(text)?;
    Ok(match &*kind.kind {
        "message" => return message(text),
        "joined" => {
            let joined: Joined<'_> = read(text)?;
            Heard::Joined {
                reference: joined.reference,
                room: Arc::from(&*joined.room),
                id: joined.id,
                last: joined.last,
                roster: roster(joined.peers, joined.more),
            }
        }
        "resumed" => {
            let resumed: Resumed<'_> = read(text)?;
            Heard::Resumed {
                room: Arc::from(&*resumed.room),
                gap: resumed.gap,
                oldest: resumed.oldest,
            }
        }
        "peers" => {
            let peers: Peers<'_> = read(text)?;
            Heard::Peers {
                reference: peers.reference,
                roster: roster(peers.peers, peers.more),
            }
        }
        "sdp" | "ice-candidate" => Heard::Relayed {
            from: read::<Relayed>(text)?.from,
            kind: kind.kind.into_owned(),
            text: text.to_owned(),
        },
        other => return small(other, text),
    })
}

/// What is said about others, and the answers.
fn small(kind: &str, text: &str) -> Result<Heard, MalformedServerMessage> {
    Ok(match kind {
        "peer-joined" => {
            let joined: PeerJoined<'_> = read(text)?;
            Heard::PeerJoined {
                room: Arc::from(&*joined.room),
                peer: joined.peer.own(),
            }
        }
        "peer-left" => {
            let left: PeerLeft<'_> = read(text)?;
            Heard::PeerLeft {
                room: Arc::from(&*left.room),
                id: left.data,
            }
        }
        "presence" => {
            let presence: Presence<'_> = read(text)?;
            Heard::Presence {
                room: Arc::from(&*presence.room),
                from: presence.from,
                data: presence.data.get().to_owned(),
            }
        }
        "dropped" => {
            let dropped: Dropped<'_> = read(text)?;
            Heard::Dropped {
                room: Arc::from(&*dropped.room),
                count: dropped.count,
            }
        }
        "ack" => {
            let ack: Ack = read(text)?;
            Heard::Ack {
                reference: ack.reference,
                id: ack.id,
            }
        }
        "error" => {
            let error: WireError = read(text)?;
            Heard::Error {
                reference: error.reference,
                code: error.code,
                message: error.message,
            }
        }
        _ => Heard::Other,
    })
}

fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, MalformedServerMessage> {
    serde_json::from_str(text).map_err(|_| MalformedServerMessage)
}

fn message(text: &str) -> Result<Heard, MalformedServerMessage> {
    let message: Message<'_> = read(text)?;
    let payload = Payload::of_json(message.data.get().to_owned()).unwrap_or_else(Payload::Json);
    Ok(Heard::Message(RoomMessage {
        room: Arc::from(&*message.room),
        id: message.id,
        from: message.from,
        name: message.name,
        event: message.event.into_owned(),
        payload,
    }))
}

fn roster(peers: Vec<WirePeer<'_>>, more: bool) -> Roster {
    Roster {
        peers: peers.into_iter().map(WirePeer::own).collect(),
        more,
    }
}

impl WirePeer<'_> {
    fn own(self) -> Peer {
        let data = self.data.map(RawValue::get).filter(|data| *data != "null");
        Peer {
            id: self.id,
            name: self.name,
            data: data.map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests;

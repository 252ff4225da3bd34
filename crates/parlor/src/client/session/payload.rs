//! What is said in a room, and the ids of who and what.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parlor_hub::{MemberId, MessageId};
use parlor_proto::signal::{self, Content, DEPTH_MAX, MalformedData, Priority};
use serde::{Serialize, de::DeserializeOwned};

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three kinds of payload of the protocol"
)]
pub enum Payload {
    /// Text.
    Text(String),
    /// Any bytes; a third longer on the wire.
    Binary(Bytes),
    /// Any other JSON value, as text. [`Payload::json`] makes one.
    Json(String),
}

impl Payload {
    /// A value as JSON. One that becomes a JSON string is [`Payload::Text`], and an object whose
    /// only key is `base64` is [`Payload::Binary`], as the protocol has it.
    ///
    /// # Errors
    ///
    /// Those of the value's [`Serialize`], and where the value is nested deeper than 128.
    pub fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(value)?;
        if signal::depth(&text) > DEPTH_MAX {
            return Err(serde::ser::Error::custom("nested deeper than 128"));
        }
        Ok(Self::of_json(text).unwrap_or_else(Self::Json))
    }

    /// What JSON text stands for; given back where its base64 is none.
    pub(in crate::client) fn of_json(text: String) -> Result<Self, String> {
        match signal::parse_data(&text) {
            Ok(Content::Text(text)) => Ok(Self::Text(text)),
            Ok(Content::Binary(bytes)) => Ok(Self::Binary(bytes.into())),
            Ok(Content::Json) => Ok(Self::Json(text)),
            Err(MalformedData) => Err(text),
        }
    }

    /// Reads a value from JSON; text reads as a JSON string.
    ///
    /// # Errors
    ///
    /// Those of the value's [`Deserialize`](serde::Deserialize); binary is none.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match self {
            Self::Text(text) => serde_json::from_value(text.clone().into()),
            Self::Json(text) => serde_json::from_str(text),
            Self::Binary(_) => Err(serde::de::Error::custom("binary is no JSON")),
        }
    }

    /// The text; none of other kinds.
    #[must_use]
    pub const fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) | Self::Json(_) => None,
        }
    }

    /// How many bytes it has before it is escaped or encoded.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

/// A message that is to be published, where there is more to say than the payload.
#[derive(Clone, Debug)]
#[must_use = "a draft does nothing until it is published"]
pub struct Draft {
    pub(super) payload: Payload,
    pub(super) event: Option<String>,
    pub(super) priority: Priority,
    pub(super) target: Option<MemberId>,
    pub(super) time_to_live: Option<Duration>,
}

impl Draft {
    /// To all others of the room, as the event `message`.
    pub fn new(payload: impl Into<Payload>) -> Self {
        Self {
            payload: payload.into(),
            event: None,
            priority: Priority::Normal,
            target: None,
            time_to_live: None,
        }
    }

    /// Another event name.
    pub fn event(mut self, event: impl Into<String>) -> Self {
        self.event = Some(event.into()).filter(|event| event != "message");
        self
    }

    /// What is dropped first where a listener is slow.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// To one member of the room alone. Such a message has no id and is not kept: whether it
    /// arrived is not known where the connection is lost before the server's answer.
    pub const fn to(mut self, member: MemberId) -> Self {
        self.target = Some(member);
        self
    }

    /// How long it may wait to be sent, in place of
    /// [`SessionBuilder::time_to_live`](super::SessionBuilder::time_to_live).
    pub const fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = Some(time);
        self
    }
}

impl<P: Into<Payload>> From<P> for Draft {
    fn from(payload: P) -> Self {
        Self::new(payload)
    }
}

/// A message of a room, or one that was sent to this member alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomMessage {
    /// The room.
    pub room: Arc<str>,
    /// Its place in the room; none of a message to this member alone.
    pub id: Option<MessageId>,
    /// Who sent it; none where no member did.
    pub from: Option<MemberId>,
    /// The sender's name when it was sent.
    pub name: Option<String>,
    /// The event name; `message` where the sender named none.
    pub event: String,
    /// What is said.
    pub payload: Payload,
}

/// A member of a room, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its id: another one after each reconnection.
    pub id: MemberId,
    /// Its name.
    pub name: Option<String>,
    /// Its presence data, as JSON text.
    pub data: Option<String>,
}

/// Who is in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Roster {
    /// The others; at most 1,000 at a time.
    pub peers: Vec<Peer>,
    /// Whether there are more, to be asked for with the id of the last one.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_the_protocol_calls_them() {
        let text = Payload::json(&"a").unwrap();
        assert_eq!(text, Payload::Text("a".to_owned()));
        assert_eq!(text.parse::<String>().unwrap(), "a");
        let list = Payload::json(&[1, 2]).unwrap();
        assert_eq!(list, Payload::Json("[1,2]".to_owned()));
        assert_eq!(list.parse::<Vec<u8>>().unwrap(), [1, 2]);
        let binary = Payload::of_json(r#"{"base64":"AP8="}"#.to_owned()).unwrap();
        assert_eq!(binary, Payload::from(vec![0, 255]));
        assert!(binary.parse::<String>().is_err());
        assert!(Payload::of_json(r#"{"base64":"?"}"#.to_owned()).is_err());
    }
}

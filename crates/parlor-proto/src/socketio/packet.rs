//! One packet: what it is, for which namespace, and its payload as it stood.

use std::borrow::Cow;

use bytes::Bytes;

use super::json::{self, Elements};
use super::payload;
use crate::engineio;

/// A revision of the Socket.IO protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new revision is a new protocol")]
pub enum Version {
    /// Clients 1 and 2, over Engine.IO 3: the server connects the main namespace by itself.
    V4,
    /// Clients 3 and 4, over Engine.IO 4: clients ask for each namespace.
    V5,
}

impl From<engineio::Version> for Version {
    fn from(version: engineio::Version) -> Self {
        match version {
            engineio::Version::V3 => Self::V4,
            engineio::Version::V4 => Self::V5,
        }
    }
}

/// The type of a packet (Socket.IO protocol, "Packet types"). A packet with attachments is a
/// BINARY_EVENT or BINARY_ACK on the wire; there is no other difference, so none is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has these")]
pub enum PacketType {
    /// Into a namespace; from the server, that it is done.
    Connect,
    /// Out of a namespace.
    Disconnect,
    /// An event, with attachments or without.
    Event,
    /// The answer to an event, with attachments or without.
    Ack,
    /// A namespace refuses.
    ConnectError,
}

/// A packet.
///
/// Payload and attachments are what stood on the wire, so a packet can be passed on without being
/// read. In the payload, `{"_placeholder":true,"num":N}` stands for attachment N; what was decoded
/// has no such object for an attachment that there is not, and at most one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the parts of a packet")]
pub struct Packet<'a> {
    /// Its type.
    pub kind: PacketType,
    /// Its namespace; `/` is the main one.
    pub namespace: Cow<'a, str>,
    /// Its acknowledgement id: in an event one that is asked for, in an ACK the event's.
    pub id: Option<u64>,
    /// Its payload as JSON text: an object (CONNECT), an object or a string (CONNECT_ERROR), an
    /// array (EVENT, ACK), none (DISCONNECT).
    pub payload: Option<Cow<'a, str>>,
    /// Binary data that stood in the payload.
    pub attachments: Vec<Bytes>,
    /// The payload as it stood in MessagePack, where it came so: other clients of MessagePack are
    /// sent this, so that nothing that JSON has no word for is lost. None where the payload was
    /// made or changed here.
    pub msgpack: Option<Bytes>,
}

/// The name of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "names are text or numbers")]
pub enum EventName<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A number, as JSON text.
    Number(&'a str),
}

impl EventName<'_> {
    /// The name as text; a number as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number,
        }
    }

    /// Whether the name has a meaning of its own, so that clients and servers may not use it for
    /// events: `connect`, `connect_error`, `disconnect`, `disconnecting`, `newListener`,
    /// `removeListener`.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        const RESERVED: [&str; 6] = [
            "connect",
            "connect_error",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
        ];
        matches!(self, Self::Text(text) if RESERVED.contains(&&**text))
    }
}

impl<'a> Packet<'a> {
    fn new(kind: PacketType, namespace: &'a str) -> Self {
        Self {
            kind,
            namespace: Cow::Borrowed(namespace),
            id: None,
            payload: None,
            attachments: Vec::new(),
            msgpack: None,
        }
    }

    /// The answer to a CONNECT: with the socket's id, and its private id where its state can be
    /// recovered. Clients of version 4 are told neither.
    #[must_use]
    pub fn connect(version: Version, namespace: &'a str, sid: &str, pid: Option<&str>) -> Self {
        let mut new = Self::new(PacketType::Connect, namespace);
        if version == Version::V5 {
            let mut payload = String::from("{\"sid\":");
            json::escape_into(sid, &mut payload);
            if let Some(pid) = pid {
                payload.push_str(",\"pid\":");
                json::escape_into(pid, &mut payload);
            }
            payload.push('}');
            new.payload = Some(Cow::Owned(payload));
        }
        new
    }

    /// The refusal of a CONNECT, with a message and maybe more as JSON text. Clients of version 4
    /// are told the data if there are any, else the message.
    #[must_use]
    pub fn connect_error(
        version: Version,
        namespace: &'a str,
        message: &str,
        data: Option<&str>,
    ) -> Self {
        let mut payload = String::new();
        match (version, data) {
            (Version::V4, Some(data)) => payload.push_str(data),
            (Version::V4, None) => json::escape_into(message, &mut payload),
            (Version::V5, _) => {
                payload.push_str("{\"message\":");
                json::escape_into(message, &mut payload);
                if let Some(data) = data {
                    payload.push_str(",\"data\":");
                    payload.push_str(data);
                }
                payload.push('}');
            }
        }
        Self {
            payload: Some(Cow::Owned(payload)),
            ..Self::new(PacketType::ConnectError, namespace)
        }
    }

    /// The refusal of a namespace that there is not; alike in both versions.
    #[must_use]
    pub fn invalid_namespace(namespace: &'a str) -> Self {
        Self {
            payload: Some(Cow::Borrowed(r#"{"message":"Invalid namespace"}"#)),
            ..Self::new(PacketType::ConnectError, namespace)
        }
    }

    /// The end of a namespace.
    #[must_use]
    pub fn disconnect(namespace: &'a str) -> Self {
        Self::new(PacketType::Disconnect, namespace)
    }

    /// An event: a name, which is not checked here, and arguments as JSON text.
    #[must_use]
    pub fn event<'t>(
        namespace: &'a str,
        name: &str,
        arguments: impl IntoIterator<Item = &'t str>,
    ) -> Self {
        let mut payload = String::from("[");
        json::escape_into(name, &mut payload);
        for argument in arguments {
            payload.push(',');
            payload.push_str(argument);
        }
        payload.push(']');
        Self {
            payload: Some(Cow::Owned(payload)),
            ..Self::new(PacketType::Event, namespace)
        }
    }

    /// The answer to an event, with arguments as JSON text.
    #[must_use]
    pub fn ack<'t>(
        namespace: &'a str,
        id: u64,
        arguments: impl IntoIterator<Item = &'t str>,
    ) -> Self {
        let mut payload = String::from("[");
        for (index, argument) in arguments.into_iter().enumerate() {
            if index > 0 {
                payload.push(',');
            }
            payload.push_str(argument);
        }
        payload.push(']');
        Self {
            id: Some(id),
            payload: Some(Cow::Owned(payload)),
            ..Self::new(PacketType::Ack, namespace)
        }
    }

    /// The packet with attachments, which placeholders in its arguments stand for
    /// ([`placeholder_json`]).
    #[must_use]
    pub fn with_attachments(mut self, attachments: Vec<Bytes>) -> Self {
        self.attachments = attachments;
        self.msgpack = None;
        self
    }

    /// The packet with an acknowledgement id.
    #[must_use]
    pub fn with_id(mut self, id: Option<u64>) -> Self {
        self.id = id;
        self
    }

    /// The packet with one more argument, JSON text, after the others.
    #[must_use]
    pub fn with_argument(mut self, argument: &str) -> Self {
        let payload = self.payload.as_deref().unwrap_or_default().trim_end();
        if let Some(start) = payload.strip_suffix(']') {
            let comma = if start.trim() == "[" { "" } else { "," };
            self.payload = Some(Cow::Owned(format!("{start}{comma}{argument}]")));
            self.msgpack = None;
        }
        self
    }

    /// The packet for another namespace.
    #[must_use]
    pub fn with_namespace(mut self, namespace: &'a str) -> Self {
        self.namespace = Cow::Borrowed(namespace);
        self
    }

    /// The packet on its own, without what it borrows.
    #[must_use]
    pub fn into_owned(self) -> Packet<'static> {
        Packet {
            kind: self.kind,
            namespace: Cow::Owned(self.namespace.into_owned()),
            id: self.id,
            payload: self.payload.map(|payload| Cow::Owned(payload.into_owned())),
            attachments: self.attachments,
            msgpack: self.msgpack,
        }
    }

    /// The name of an event.
    #[must_use]
    pub fn event_name(&self) -> Option<EventName<'_>> {
        if self.kind != PacketType::Event {
            return None;
        }
        let first = self.elements().next()?;
        if first.starts_with('"') {
            json::unescape(first).map(EventName::Text)
        } else {
            Some(EventName::Number(first))
        }
    }

    /// The arguments of an event, without its name, or of an ACK; each as JSON text.
    #[must_use]
    pub fn arguments(&self) -> Elements<'_> {
        let mut elements = self.elements();
        if self.kind == PacketType::Event {
            elements.next();
        }
        elements
    }

    fn elements(&self) -> Elements<'_> {
        Elements::new(self.payload.as_deref().unwrap_or_default())
    }

    /// The attachment that an argument stands for, where the argument is a placeholder.
    #[must_use]
    pub fn attachment(&self, argument: &str) -> Option<&Bytes> {
        if json::member(argument, "_placeholder") != Some("true") {
            return None;
        }
        let number: usize = json::member(argument, "num")?.parse().ok()?;
        self.attachments.get(number)
    }

    /// An argument for those who hear no attachments: each placeholder becomes `{"base64":"…"}`.
    #[must_use]
    pub fn inline<'t>(&self, argument: &'t str) -> Cow<'t, str> {
        if self.attachments.is_empty() {
            Cow::Borrowed(argument)
        } else {
            Cow::Owned(payload::inline(argument, &self.attachments))
        }
    }

    /// The bytes that its parts take.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, |payload| payload.len());
        let attachments: usize = self.attachments.iter().map(Bytes::len).sum();
        payload + attachments + self.msgpack.as_ref().map_or(0, Bytes::len)
    }
}

/// JSON text that stands for the attachment of a number, from 0.
#[must_use]
pub fn placeholder_json(number: usize) -> String {
    format!(r#"{{"_placeholder":true,"num":{number}}}"#)
}

/// The id of a socket of version 4: the one of its Engine.IO session, after the namespace unless
/// that is the main one. In version 5 ids are new and secret; none is made here.
#[must_use]
pub fn socket_id_v4(namespace: &str, engine_sid: &str) -> String {
    if namespace == "/" {
        engine_sid.to_owned()
    } else {
        format!("{namespace}#{engine_sid}")
    }
}

/// What a CONNECT asks to be recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "clients send these two")]
pub struct Recovery<'a> {
    /// The private id of the session that the client had.
    pub pid: Cow<'a, str>,
    /// The last offset that it received.
    pub offset: Cow<'a, str>,
}

impl<'a> Recovery<'a> {
    /// What stands in the payload of a CONNECT; none unless both are there, and are strings.
    #[must_use]
    pub fn from_auth(auth: &'a str) -> Option<Self> {
        let text = |key| json::unescape(json::member(auth, key)?);
        Some(Self {
            pid: text("pid")?,
            offset: text("offset")?,
        })
    }
}

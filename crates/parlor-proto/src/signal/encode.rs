//! Server messages: each function appends one JSON object.
//!
//! Names and ids are escaped here; `data` and `reference` are JSON text already.

use std::fmt::Display;

/// A member as others see it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of one message")]
pub struct Peer<'a, I> {
    /// The member's id.
    pub id: I,
    /// The name, if it has one.
    pub name: Option<&'a str>,
    /// Presence data as JSON text, if there is any.
    pub data: Option<&'a str>,
}

/// One object under construction: members are appended in order.
#[derive(Debug)]
struct Object<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Object<'o> {
    fn new(out: &'o mut Vec<u8>, kind: &str) -> Self {
        out.extend_from_slice(b"{\"type\":");
        string(out, kind);
        Self { out }
    }

    fn key(&mut self, key: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(mut self, key: &str, text: &str) -> Self {
        string(self.key(key), text);
        self
    }

    fn optional_text(mut self, key: &str, text: Option<&str>) -> Self {
        optional(self.key(key), text);
        self
    }

    fn id(mut self, key: &str, id: &impl Display) -> Self {
        plain(self.key(key), id);
        self
    }

    fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key).extend_from_slice(json.as_bytes());
        self
    }

    fn reference(self, reference: Option<&str>) -> Self {
        match reference {
            Some(reference) => self.raw("ref", reference),
            None => self,
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

/// `joined`: to the one who joined: the room, its own id, and where it asked for that the id of the
/// last message before it came. `more` says that there are more members than listed.
pub fn joined<'a, I: Display>(
    out: &mut Vec<u8>,
    reference: Option<&str>,
    place: (&str, &impl Display, Option<&dyn Display>),
    peers: impl IntoIterator<Item = Peer<'a, I>>,
    more: bool,
) {
    let mut object = Object::new(out, "joined")
        .text("room", place.0)
        .id("id", place.1);
    if let Some(last) = place.2 {
        object = object.id("last", &last);
    }
    list(object.key("peers"), peers);
    if more {
        object = object.raw("more", "true");
    }
    object.reference(reference).end();
}

/// `peers`: the answer to `list`.
pub fn peers<'a, I: Display>(
    out: &mut Vec<u8>,
    reference: Option<&str>,
    room: &str,
    peers: impl IntoIterator<Item = Peer<'a, I>>,
    more: bool,
) {
    let mut object = Object::new(out, "peers").text("room", room);
    list(object.key("peers"), peers);
    if more {
        object = object.raw("more", "true");
    }
    object.reference(reference).end();
}

/// `peer-joined`: to the others of the room.
pub fn peer_joined<I: Display>(out: &mut Vec<u8>, room: &str, new: &Peer<'_, I>) {
    let mut object = Object::new(out, "peer-joined")
        .text("room", room)
        .id("data", &new.id)
        .optional_text("name", new.name);
    peer(object.key("peer"), new);
    object.end();
}

/// `peer-left`: to the others of the room.
pub fn peer_left(out: &mut Vec<u8>, room: &str, id: &impl Display) {
    Object::new(out, "peer-left")
        .text("room", room)
        .id("data", id)
        .end();
}

/// `presence`: to the others of the room. `data` is JSON text.
pub fn presence(out: &mut Vec<u8>, room: &str, from: &impl Display, data: &str) {
    Object::new(out, "presence")
        .text("room", room)
        .id("from", from)
        .raw("data", data)
        .end();
}

/// A room message, or one to a single member (which has no id).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data of one message")]
pub struct Message<'a, I, M> {
    /// The room.
    pub room: &'a str,
    /// The sender's id; none where no member sent it.
    pub from: Option<I>,
    /// The sender's name.
    pub name: Option<&'a str>,
    /// The message's id.
    pub id: Option<M>,
    /// The event name.
    pub event: &'a str,
    /// The payload.
    pub data: Data<'a>,
}

/// A payload.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the three kinds of payload of the protocol"
)]
pub enum Data<'a> {
    /// UTF-8 text: a JSON string.
    Text(&'a [u8]),
    /// Bytes: `{"base64":"…"}`.
    Binary(&'a [u8]),
    /// JSON text as it came.
    Json(&'a [u8]),
}

/// `message`.
pub fn message<I: Display, M: Display>(out: &mut Vec<u8>, message: &Message<'_, I, M>) {
    let mut object = Object::new(out, "message").text("room", message.room);
    object = match &message.from {
        Some(from) => object.id("from", from),
        None => object.raw("from", "null"),
    };
    object = object.optional_text("name", message.name);
    if let Some(id) = &message.id {
        object = object.id("id", id);
    }
    object = object.text("event", message.event);
    data(object.key("data"), message.data);
    object.end();
}

/// The payload as JSON text.
pub fn data(out: &mut Vec<u8>, data: Data<'_>) {
    match data {
        Data::Text(text) => match str::from_utf8(text) {
            Ok(text) => string(out, text),
            Err(_) => out.extend_from_slice(b"null"),
        },
        Data::Binary(bytes) => {
            use base64::Engine as _;
            out.extend_from_slice(b"{\"base64\":\"");
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"\"}");
        }
        Data::Json(json) => out.extend_from_slice(json),
    }
}

/// `ack`, with the id of the message where it acknowledges one.
pub fn ack(out: &mut Vec<u8>, reference: &str, id: Option<&impl Display>) {
    let mut object = Object::new(out, "ack").raw("ref", reference);
    if let Some(id) = id {
        object = object.id("id", id);
    }
    object.end();
}

/// `error`. `code` is for programs, `text` for people.
pub fn error(out: &mut Vec<u8>, reference: Option<&str>, code: &str, text: &str) {
    Object::new(out, "error")
        .reference(reference)
        .text("code", code)
        .text("message", text)
        .end();
}

/// `resumed`. After a gap `oldest` is the oldest id that is still held, if any is.
pub fn resumed(
    out: &mut Vec<u8>,
    reference: Option<&str>,
    room: &str,
    gap: Option<Option<&dyn Display>>,
) {
    let mut object = Object::new(out, "resumed").text("room", room);
    object = object.raw("gap", if gap.is_some() { "true" } else { "false" });
    object = match gap {
        None => object,
        Some(Some(oldest)) => object.id("oldest", &oldest),
        Some(None) => object.raw("oldest", "null"),
    };
    object.reference(reference).end();
}

/// `dropped`: how many messages of a room this member was not sent.
pub fn dropped(out: &mut Vec<u8>, room: &str, count: u64) {
    Object::new(out, "dropped")
        .text("room", room)
        .raw("count", &count.to_string())
        .end();
}

/// `pong`, with the server's clock in milliseconds since 1970.
pub fn pong(out: &mut Vec<u8>, reference: Option<&str>, time_ms: u64) {
    Object::new(out, "pong")
        .raw("time", &time_ms.to_string())
        .reference(reference)
        .end();
}

/// An object of texts, as events about a stream carry it; `null` stands where there is none.
pub fn object(out: &mut Vec<u8>, members: &[(&str, Option<&str>)]) {
    for (index, (key, text)) in members.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        string(out, key);
        out.push(b':');
        optional(out, *text);
    }
    out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
}

/// A description or candidate on its way to its target: the client's members as they came, and
/// the sender that the server vouches for.
pub fn relay(out: &mut Vec<u8>, from: &impl Display, members: &[(&str, &str)]) {
    out.push(b'{');
    for (key, value) in members {
        out.extend_from_slice(key.as_bytes());
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
        out.push(b',');
    }
    out.extend_from_slice(b"\"from\":");
    plain(out, from);
    out.push(b'}');
}

fn list<'a, I: Display>(out: &mut Vec<u8>, peers: impl IntoIterator<Item = Peer<'a, I>>) {
    out.push(b'[');
    for (index, each) in peers.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        peer(out, &each);
    }
    out.push(b']');
}

fn peer<I: Display>(out: &mut Vec<u8>, peer: &Peer<'_, I>) {
    out.extend_from_slice(b"{\"id\":");
    plain(out, &peer.id);
    out.extend_from_slice(b",\"name\":");
    optional(out, peer.name);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(peer.data.unwrap_or("null").as_bytes());
    out.push(b'}');
}

fn optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Text that needs no escaping, in quotes: an id.
fn plain(out: &mut Vec<u8>, text: &impl Display) {
    use std::io::Write as _;
    // Writing into a vector does not fail.
    let _ = write!(out, "\"{text}\"");
}

/// A JSON string (RFC 8259, section 7).
fn string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
    {
        let (clean, special) = rest.split_at(at);
        out.extend_from_slice(clean);
        match special.first().copied().unwrap_or_default() {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte @ (b'"' | b'\\') => out.extend_from_slice(&[b'\\', byte]),
            byte => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

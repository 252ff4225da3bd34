//! The event stream door: a room's messages as server-sent events, in chunks of one response that
//! does not end.

use std::{borrow::Cow, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BufMut;
use parlor_hub::{Joined, Message, MessageId, Payload, Request, RoomName};
use parlor_proto::{signal, sse};

use super::{
    CloseReason, Heartbeat, Item, News, Session, Settings, Then, Tools, Turn, UPLINK_BYTES, Uplink,
    enter::NEVER,
    item::{RELAY, retry_ms},
    meter::Meter,
    socket::meter,
    tools::{SSE, SSE_GZIP},
};

use crate::{
    metrics::{Door, End},
    policy::http_date,
};

/// The header of a gzip stream without name and time (RFC 1952, section 2.3).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The end of a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A connection at the event stream door.
#[derive(Debug)]
pub(crate) struct Stream {
    uplink: Box<[u8; UPLINK_BYTES]>,
    /// What the member may still say through its uplink, where that is limited.
    meter: Option<Box<Meter>>,
    body: Body,
    heartbeat_ms: u64,
    /// The rooms of a stream of several, each with the last message that was sent: an event's id
    /// tells them all, since a browser comes back with the id of one event.
    places: Option<Box<Places>>,
}

/// How the stream is put into the body of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// In chunks (RFC 9112, section 7.1).
    Chunked,
    /// In chunks of one gzip stream.
    Gzip,
    /// As it is, up to the end of the connection: HTTP/1.0 knows no chunks, and proxies still ask
    /// in it.
    Plain,
}

impl Body {
    /// The form in which events are encoded once for all such streams; none where each stream has
    /// its own.
    pub(crate) fn form(self) -> Option<u8> {
        match self {
            Self::Chunked => Some(SSE),
            Self::Gzip => Some(SSE_GZIP),
            Self::Plain => None,
        }
    }
}

/// Rooms in the order in which the client named them.
pub(crate) type Places = Vec<(RoomName, Option<MessageId>)>;

impl Stream {
    /// A stream whose member may be spoken for with `uplink`.
    pub(crate) fn new(uplink: [u8; UPLINK_BYTES], body: Body, turn: &Turn<'_>) -> Self {
        let tools = &*turn.tools;
        Self {
            uplink: Box::new(uplink),
            meter: meter(turn),
            body,
            heartbeat_ms: tools.settings.sse_heartbeat_ms,
            places: None,
        }
    }

    /// Makes it a stream of several rooms.
    pub(crate) fn of_places(mut self, places: Places) -> Self {
        self.places = Some(Box::new(places));
        self
    }

    /// Appends a message as an event whose id tells how far the client has come.
    fn event(&mut self, message: &Message, out: &mut Vec<u8>) {
        let Some(places) = &mut self.places else {
            return event_of(message, out);
        };
        if message.id.is_none() {
            return event_of(message, out);
        }
        let place = places.iter_mut().find(|(room, _)| *room == message.room);
        if let Some((_, last)) = place {
            *last = message.id;
        }
        encode_event(message, Some(&places_text(places)), out);
    }

    /// The head of the response, and the first bytes of the stream: browsers call it open only
    /// when some have come.
    ///
    /// `padding` bytes of comment follow, for proxies and old browsers that hold the first
    /// kilobytes back.
    pub(crate) fn begin(
        &self,
        origin: Option<&[u8]>,
        padding: usize,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    ) {
        reply.extend_from_slice(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
              cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n\
              x-content-type-options: nosniff\r\n",
        );
        let date = http_date(SystemTime::now());
        reply.extend_from_slice(format!("date: {date}\r\n").as_bytes());
        if self.body == Body::Gzip {
            reply.extend_from_slice(b"content-encoding: gzip\r\n");
        }
        if let Some(origin) = origin {
            reply.extend_from_slice(b"access-control-allow-origin: ");
            reply.extend_from_slice(origin);
            reply.extend_from_slice(b"\r\n");
            // `null` is every sandboxed frame there is: it never gets credentials.
            if origin != b"null" {
                reply.extend_from_slice(b"access-control-allow-credentials: true\r\n");
            }
        }
        reply.extend_from_slice(b"vary: origin, accept-encoding\r\n");
        reply.extend_from_slice(match self.body {
            Body::Chunked | Body::Gzip => b"transfer-encoding: chunked\r\n\r\n",
            Body::Plain => b"connection: close\r\n\r\n",
        });
        if self.body == Body::Gzip {
            chunk(&GZIP_HEADER, reply);
        }
        let mut text = Vec::new();
        sse::encode_comment(" welcome", &mut text);
        if padding > 0 {
            sse::encode_comment(&" ".repeat(padding), &mut text);
        }
        sse::encode_retry(tools.settings.sse_retry_ms, &mut text);
        self.write(&text, tools, reply);
    }

    /// Appends stream text as the body has it.
    fn write(&self, text: &[u8], tools: &mut Tools, reply: &mut Vec<u8>) {
        match self.body {
            Body::Chunked => chunk(text, reply),
            Body::Gzip => tools.gzip_piece(text, reply),
            Body::Plain => reply.extend_from_slice(text),
        }
    }

    fn joined(&mut self, joined: &Joined, turn: &mut Turn<'_>) {
        let room = turn
            .hub
            .room_name(joined.room)
            .map(|room| room.as_str().to_owned());
        let room = room.unwrap_or_default();
        let id = turn
            .hub
            .id_of(turn.key)
            .map(|id| id.to_string())
            .unwrap_or_default();
        let uplink = uplink_text(&id, &self.uplink);
        let mut text = Vec::new();
        let last = joined.head.to_string();
        let mut data = Vec::new();
        signal::encode::object(
            &mut data,
            &[
                ("room", Some(&room)),
                ("id", Some(&id)),
                ("last", Some(&last)),
                ("uplink", Some(&uplink)),
            ],
        );
        announce("joined", &data, &mut text);
        if let Some(gap) = joined.gap {
            let oldest = gap.oldest.map(|id| id.to_string());
            data.clear();
            signal::encode::object(
                &mut data,
                &[("room", Some(&room)), ("oldest", oldest.as_deref())],
            );
            announce("gap", &data, &mut text);
        }
        for message in &joined.replay {
            self.event(message, &mut text);
        }
        turn.tools.traffic.messages_out += joined.replay.len() as u64;
        let places = self.places.iter_mut().flat_map(|places| places.iter_mut());
        for (_, last) in places.filter(|(name, _)| name.as_str() == room) {
            *last = Some(joined.head);
        }
        if joined.replay.is_empty() {
            // Who loses the connection before it hears a message comes back to here.
            let here = self.places.as_deref().map_or(last, places_text);
            sse::encode_id(&here, &mut text);
        }
        self.write(&text, turn.tools, turn.reply);
    }
}

impl Session for Stream {
    fn door(&self) -> Door {
        Door::Sse
    }

    fn receive(&mut self, _: &mut [u8], _: &mut Turn<'_>) -> Then {
        // Nothing is expected from the client; what it sends all the same is read away.
        Then::Continue
    }

    fn hear(&mut self, news: &News<'_>, turn: &mut Turn<'_>) -> Then {
        match news {
            News::Joined(joined) => self.joined(joined, turn),
            News::Refused {
                request: Request::Join(_),
                ..
            } => {
                self.close(CloseReason::ShuttingDown, turn);
                return Then::Linger(End::Limit);
            }
            News::Refused { .. }
            | News::Left { .. }
            | News::Published { .. }
            | News::Listed { .. }
            | News::Dropped { .. } => {}
        }
        Then::Continue
    }

    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    ) {
        let mut text = Vec::new();
        for item in items {
            match item {
                Item::Message(message) if message.hint != RELAY => {
                    self.event(message, &mut text);
                    tools.traffic.messages_out += 1;
                }
                Item::Message(_) | Item::Notice(..) | Item::Broadcast(_) => {}
            }
        }
        if !text.is_empty() {
            self.write(&text, tools, reply);
        }
    }

    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        match self.body {
            Body::Chunked | Body::Gzip => chunk_boundary(frames, sent),
            Body::Plain => plain_boundary(frames, sent),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::Tell(self.heartbeat_ms)
    }

    fn beat(&mut self, turn: &mut Turn<'_>) {
        self.write(b":\n\n", turn.tools, turn.reply);
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        if reason.is_gone() {
            return;
        }
        let mut text = Vec::new();
        if reason == CloseReason::SlowConsumer {
            sse::encode_comment(" slow consumer", &mut text);
        }
        sse::encode_retry(turn.tools.settings.sse_retry_ms, &mut text);
        self.write(&text, turn.tools, turn.reply);
        if self.body == Body::Chunked {
            // A gzip stream that ended here would lack its checksum: that one is just cut.
            turn.reply.extend_from_slice(LAST_CHUNK);
        }
    }

    fn uplink(
        &mut self,
        secret: &[u8; UPLINK_BYTES],
        len: usize,
        now: u64,
        settings: &Settings,
    ) -> Uplink {
        if *secret != *self.uplink {
            return Uplink::Unknown;
        }
        let max = settings.options.limits.message_bytes_max;
        let meter = self.meter.as_mut();
        if meter.is_none_or(|meter| meter.take(len, now, settings.rates, max)) {
            Uplink::Granted
        } else {
            Uplink::OverRate
        }
    }
}

/// Appends an event about the stream itself, which has no id.
fn announce(name: &str, data: &[u8], out: &mut Vec<u8>) {
    sse::encode(
        &sse::Event {
            event: Some(name),
            data,
            ..sse::Event::default()
        },
        out,
    );
}

/// The secret as the client is told it: the member's id, a dot, 32 hexadecimal digits.
fn uplink_text(id: &str, secret: &[u8; UPLINK_BYTES]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{id}.");
    for byte in secret {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads what [`uplink_text`] wrote.
pub(crate) fn parse_uplink(text: &str) -> Option<(parlor_hub::MemberId, [u8; UPLINK_BYTES])> {
    let (id, digits) = text.split_once('.')?;
    let id = id.parse().ok()?;
    if digits.len() != 2 * UPLINK_BYTES || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = [0; UPLINK_BYTES];
    for (byte, pair) in secret.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some((id, secret))
}

/// Appends an item as an event; nothing for what event streams do not tell.
pub(super) fn event(item: &Item, out: &mut Vec<u8>) {
    match item {
        Item::Message(message) if message.hint != RELAY => event_of(message, out),
        Item::Message(_) | Item::Notice(..) | Item::Broadcast(_) => {}
    }
}

fn event_of(message: &Message, out: &mut Vec<u8>) {
    let id = message.id.map(|id| id.to_string());
    encode_event(message, id.as_deref(), out);
}

fn encode_event(message: &Message, id: Option<&str>, out: &mut Vec<u8>) {
    let (name, data) = content(message);
    let retry_ms = retry_ms(message.hint);
    sse::encode(
        &sse::Event {
            id,
            event: name,
            retry_ms,
            data: &data,
        },
        out,
    );
}

/// How far a stream of several rooms has come, as text: an id for each room, `-` for none.
fn places_text(places: &Places) -> String {
    let ids = places
        .iter()
        .map(|(_, last)| last.map_or_else(|| "-".to_owned(), |id| id.to_string()));
    ids.collect::<Vec<_>>().join(",")
}

/// Reads an event's id as a stream of `count` rooms gave it. One that is none of ours stands for
/// messages that no room gives.
pub(super) fn parse_places(text: &str, count: usize) -> Vec<Option<MessageId>> {
    let ids: Vec<&str> = text.split(',').collect();
    if ids.len() != count {
        return vec![Some(NEVER); count];
    }
    let none = |id: &&str| count > 1 && *id == "-";
    let parse = |id: &str| id.parse().unwrap_or(NEVER);
    ids.into_iter()
        .map(|id| (!none(&id)).then(|| parse(id)))
        .collect()
}

/// The event name and the data: text as it is, bytes as base64, everything else as JSON.
fn content(message: &Message) -> (Option<&str>, Cow<'_, [u8]>) {
    let name = message.event.as_deref();
    let as_json = |data| {
        let mut text = Vec::new();
        signal::encode::data(&mut text, data);
        Cow::Owned(text)
    };
    match (&message.payload, name) {
        (Payload::Binary(bytes), None) => (
            Some("binary"),
            Cow::Owned(STANDARD.encode(bytes).into_bytes()),
        ),
        (Payload::Binary(bytes), _) => (name, as_json(signal::encode::Data::Binary(bytes))),
        (Payload::Text(text), Some(_)) => (name, as_json(signal::encode::Data::Text(text))),
        (other, _) => (name, Cow::Borrowed(other.bytes())),
    }
}

/// Appends one chunk (RFC 9112, section 7.1).
pub(super) fn chunk(bytes: &[u8], out: &mut impl BufMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - bytes.len().leading_zeros())
        .div_ceil(4)
        .max(1);
    for digit in (0..digits).rev() {
        out.put_u8(HEX[bytes.len() >> (4 * digit) & 15]);
    }
    out.put_slice(b"\r\n");
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// Where the chunk ends in which offset `sent` of whole chunks lies. A response head before the
/// first chunk counts as part of it.
fn chunk_boundary(bytes: &[u8], sent: usize) -> usize {
    let mut at = head_len(bytes);
    while at < sent {
        let Some(line) = find(bytes, at, b"\r\n") else {
            return bytes.len();
        };
        let digits = bytes
            .get(at..line)
            .and_then(|digits| str::from_utf8(digits).ok());
        let Some(len) = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok()) else {
            return bytes.len();
        };
        at = line.saturating_add(len).saturating_add(4);
    }
    at.min(bytes.len())
}

/// Where the event ends in which offset `sent` of whole events lies, with a response head as above.
fn plain_boundary(bytes: &[u8], sent: usize) -> usize {
    let head = head_len(bytes);
    let events = bytes.get(head..).unwrap_or_default();
    head + sse::boundary(events, sent.saturating_sub(head))
}

/// The length of the response head that the bytes begin with, if they do.
fn head_len(bytes: &[u8]) -> usize {
    match bytes.starts_with(b"HTTP/") {
        true => find(bytes, 0, b"\r\n\r\n").map_or(bytes.len(), |end| end + 4),
        false => 0,
    }
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len())
        .position(|window| window == what)
        .map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_their_length_in_front() {
        for (len, head) in [(1, "1"), (15, "f"), (16, "10"), (255, "ff"), (4096, "1000")] {
            let mut out = Vec::new();
            chunk(&vec![b'x'; len], &mut out);
            let expected = format!("{head}\r\n{}\r\n", "x".repeat(len));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn the_end_of_a_plain_event_is_found_from_any_offset() {
        let head = "HTTP/1.1 200 OK\r\n\r\n";
        for (head, first) in [(head, "data: x\ndata: \n\n"), ("", ":\n\n")] {
            let bytes = format!("{head}{first}id: 1\ndata: y\n\n").into_bytes();
            let ends = [head.len(), head.len() + first.len(), bytes.len()];
            for sent in 0..=bytes.len() {
                let end = ends.into_iter().find(|end| *end >= sent);
                assert_eq!(Some(plain_boundary(&bytes, sent)), end, "{sent}");
            }
        }
    }

    #[test]
    fn the_end_of_a_chunk_is_found_from_any_offset() {
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let head = bytes.len();
        chunk(b"hello\r\n", &mut bytes);
        let first = bytes.len();
        chunk(&[b'\n'; 300], &mut bytes);
        let second = bytes.len();
        for sent in head..=bytes.len() {
            let end = [head, first, second]
                .into_iter()
                .find(|end| *end >= sent)
                .unwrap();
            assert_eq!(chunk_boundary(&bytes, sent), end, "{sent}");
        }
        assert_eq!(chunk_boundary(&bytes, 3), head);
    }

    #[test]
    fn an_uplink_is_read_as_it_was_written() {
        let id = parlor_hub::MemberId::new(parlor_hub::ShardId(3), 9, [7; 10]);
        let text = uplink_text(&id.to_string(), &[0xab; 16]);
        assert_eq!(parse_uplink(&text), Some((id, [0xab; 16])));
        for bad in [
            "",
            ".",
            "x.y",
            text.trim_start_matches('A'),
            text.trim_end_matches('b'),
            &text.replace("ab", "+b"),
        ] {
            assert_eq!(parse_uplink(bad), None, "{bad}");
        }
    }
}

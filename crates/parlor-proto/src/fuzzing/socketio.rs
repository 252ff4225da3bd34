//! Promises of the Socket.IO codecs and machine.

use bytes::Bytes;

use crate::socketio::json::{DEPTH_MAX, Elements};
use crate::socketio::{
    Connection, Decoder, Error, Event, Limits, Misuse, Options, Packet, PacketType, Version,
    msgpack, placeholder_json,
};

/// Any text: it is read without harm, what was read is good JSON of bounded depth, and the same
/// after it was written; also by way of MessagePack.
///
/// # Panics
///
/// Where a promise is broken.
pub fn socketio_packet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    let Ok(mut packet) = decoder.text(text, &limits) else {
        assert!(!decoder.is_mid_packet());
        return;
    };
    let mut blobs = 0_u8;
    while packet.is_none() {
        assert!(decoder.is_mid_packet());
        assert!(usize::from(blobs) < limits.attachments_max);
        blobs += 1;
        packet = decoder.binary(&[blobs], &limits).expect("it is awaited");
    }
    let packet = packet.expect("it is complete");
    assert_eq!(packet.attachments.len(), usize::from(blobs));
    check_payload(&packet);
    let mut again = String::new();
    packet.encode_text(&mut again);
    let mut decoder = Decoder::new();
    let mut second = decoder.text(&again, &limits).expect("it was good");
    for attachment in &packet.attachments {
        assert_eq!(second, None);
        second = decoder.binary(attachment, &limits).expect("it was good");
    }
    assert_eq!(second.as_ref(), Some(&packet));
    check_msgpack(&packet);
}

/// A payload is JSON, and its placeholders have their attachments.
fn check_payload(packet: &Packet<'_>) {
    let Some(payload) = packet.payload.as_deref() else {
        assert!(!matches!(packet.kind, PacketType::Event | PacketType::Ack));
        return;
    };
    // It goes on where a value would be too large for one in memory.
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok());
    assert!(crate::signal::depth(payload) <= DEPTH_MAX);
    if packet.kind == PacketType::Event {
        let name = packet.event_name().expect("events have names");
        assert!(!name.is_reserved());
    }
    let arguments = packet.arguments().count();
    let all = Elements::new(payload).count();
    assert_eq!(
        arguments + usize::from(packet.kind == PacketType::Event),
        all
    );
    for number in 0..packet.attachments.len() {
        let place = placeholder_json(number);
        assert_eq!(packet.attachment(&place), packet.attachments.get(number));
    }
}

/// Written in MessagePack and read again it says the same.
fn check_msgpack(packet: &Packet<'_>) {
    if packet.namespace.contains(',') || packet.attachments.len() > 10 {
        return;
    }
    let packed = msgpack::encode(packet);
    let unused = unused_attachments(packet);
    let Ok(unpacked) = msgpack::decode(&packed, &Limits::default()) else {
        // Half of a surrogate pair may have become what it was not.
        return;
    };
    assert_eq!(unpacked.kind, packet.kind);
    assert_eq!(
        (&unpacked.namespace, unpacked.id),
        (&packet.namespace, packet.id)
    );
    assert_eq!(
        unpacked.attachments.len() + unused,
        packet.attachments.len()
    );
    let packed_again = msgpack::encode(&unpacked);
    let raw = unpacked.msgpack.is_some();
    assert!(!raw || packed_again.len() == packed.len());
}

/// Attachments that no placeholder names.
fn unused_attachments(packet: &Packet<'_>) -> usize {
    // In MessagePack only those that are named are left.
    let packed = msgpack::encode(packet);
    let named = msgpack::decode(&packed, &Limits::default()).map(|new| new.attachments.len());
    packet.attachments.len() - named.unwrap_or(packet.attachments.len())
}

/// Any bytes as MessagePack: what is read is a good packet in text too.
///
/// # Panics
///
/// Where a promise is broken.
pub fn socketio_msgpack(data: &[u8]) {
    let limits = Limits::default();
    let Ok(packet) = msgpack::decode(data, &limits) else {
        return;
    };
    check_payload(&packet);
    assert!(packet.attachments.len() <= limits.attachments_max);
    // Six bytes for a control character, and what stands for an attachment.
    assert!(packet.payload.as_ref().map_or(0, |payload| payload.len()) <= data.len() * 12 + 400);
    let mut text = String::new();
    packet.encode_text(&mut text);
    let mut decoder = Decoder::new();
    let mut second = decoder.text(&text, &limits).expect("it was good");
    for attachment in &packet.attachments {
        assert_eq!(second, None);
        second = decoder.binary(attachment, &limits).expect("it was good");
    }
    let second = second.expect("it is complete");
    assert_eq!(
        (&second.payload, &second.attachments),
        (&packet.payload, &packet.attachments)
    );
    let again = msgpack::decode(&msgpack::encode(&packet), &limits).expect("it was good");
    assert_eq!(again, packet);
}

/// Any course of events: sockets are where they should be, acknowledgements are told once,
/// deadlines are kept.
///
/// # Panics
///
/// Where a promise is broken.
pub fn socketio_connection(data: &[u8]) {
    let Some((first, commands)) = data.split_first() else {
        return;
    };
    let version = if first & 1 == 0 {
        Version::V5
    } else {
        Version::V4
    };
    let mut options = Options::default();
    options.limits.namespaces_max = 3;
    options.limits.acks_max = 4;
    let mut course = Course {
        connection: Connection::new(version, &options, 0),
        options,
        now: 0,
        awaited: Vec::new(),
        over: false,
    };
    course.due();
    for command in commands {
        if course.over {
            return;
        }
        course.step(*command);
        course.due();
    }
}

/// A connection, and what is known of it from outside.
struct Course {
    connection: Connection,
    options: Options,
    now: u64,
    awaited: Vec<(&'static str, u64)>,
    over: bool,
}

/// The namespaces that the client of a course asks for.
const NAMESPACES: [&str; 4] = ["/", "/a", "/b", "/c"];

impl Course {
    fn step(&mut self, command: u8) {
        let namespace = NAMESPACES[usize::from(command >> 4 & 3)];
        let high = u64::from(command >> 6);
        let prefix = if namespace == "/" {
            String::new()
        } else {
            format!("{namespace},")
        };
        match command & 15 {
            0..=2 => self.text(&format!("0{prefix}")),
            3 => self.text(&format!("1{prefix}")),
            4 | 5 => self.text(&format!("2{prefix}[\"a\"]")),
            6 => self.text(&format!("3{prefix}{high}[]")),
            7 => self.text(&format!("51-{prefix}[\"a\"]")),
            8 => self.binary(),
            9 | 10 => self.answer(namespace, high != 0),
            11 => self.leave(namespace),
            12 | 13 => self.ask(namespace, high),
            14 => self.now = self.connection.next_deadline().unwrap_or(self.now),
            _ => self.now += 1 << (high * 4),
        }
    }

    fn text(&mut self, text: &str) {
        let event = self.connection.text(text, &self.options);
        let result = event.map(|event| event.map(owned));
        self.see(result);
    }

    fn binary(&mut self) {
        let result = self.connection.binary(&[1], &self.options);
        self.see(result.map(|event| event.map(owned)));
    }

    fn see(&mut self, result: Result<Option<(String, Option<u64>)>, Error>) {
        match result {
            Err(_) => self.over = true,
            Ok(None) => {}
            Ok(Some((what, id))) => {
                let (what, namespace) = what.split_once(' ').expect("two words");
                let known = NAMESPACES.iter().find(|known| **known == namespace);
                let namespace = known.expect("nobody else is here");
                let connected = self.connection.is_connected(namespace);
                assert_eq!(connected, matches!(what, "event" | "ack"), "{what}");
                match (what, id) {
                    ("ack", Some(id)) => self.forget(namespace, id),
                    ("disconnect", _) => self.awaited.retain(|(of, _)| of != namespace),
                    _ => {}
                }
            }
        }
    }

    fn forget(&mut self, namespace: &str, id: u64) {
        let found = self
            .awaited
            .iter()
            .position(|(of, this)| *of == namespace && *this == id);
        self.awaited.remove(found.expect("it was awaited"));
    }

    fn answer(&mut self, namespace: &str, yes: bool) {
        let was = self.connection.is_connected(namespace);
        let answer = if yes {
            self.connection.accept(namespace, "sid", None)
        } else {
            self.connection.refuse_unknown(namespace)
        };
        assert!(answer.is_ok() || answer == Err(Misuse::NotConnecting));
        let is = self.connection.is_connected(namespace);
        assert_eq!(is, was || (yes && answer.is_ok()));
    }

    fn leave(&mut self, namespace: &str) {
        let was = self.connection.is_connected(namespace);
        assert_eq!(self.connection.disconnect(namespace).is_ok(), was);
        assert!(!self.connection.is_connected(namespace));
        self.awaited.retain(|(of, _)| *of != namespace);
    }

    fn ask(&mut self, namespace: &'static str, wait: u64) {
        let deadline = (wait > 0).then_some(self.now + wait * 100);
        let limits = self.options.limits;
        match self.connection.expect_ack(namespace, deadline, &limits) {
            Ok(id) => self.awaited.push((namespace, id)),
            Err(Misuse::LimitAcks { .. }) => {
                let mine = self.awaited.iter().filter(|(of, _)| *of == namespace);
                assert_eq!(mine.count(), limits.acks_max);
            }
            Err(_) => assert!(!self.connection.is_connected(namespace)),
        }
    }

    fn due(&mut self) {
        while let Some(event) = self.connection.due(self.now) {
            match event {
                Event::AckTimeout { namespace, id } => self.forget(&namespace, id),
                Event::ConnectTimeout => {
                    assert!(self.now >= 45_000);
                    self.over = true;
                }
                Event::Connect { namespace, .. } => assert_eq!(namespace, "/"),
                other => unreachable!("not of its own: {other:?}"),
            }
        }
        let next = self.connection.next_deadline();
        assert!(
            next.is_none_or(|next| next > self.now),
            "all that was due is done"
        );
        assert!(self.connection.namespaces().count() <= self.options.limits.namespaces_max);
    }
}

/// An event in two words, and its id.
fn owned(event: Event<'_>) -> (String, Option<u64>) {
    match event {
        Event::Connect { namespace, .. } => (format!("connect {namespace}"), None),
        Event::Event(packet) => {
            let blob: &[Bytes] = &[Bytes::from_static(&[1])];
            assert!(packet.attachments.is_empty() || packet.attachments == blob);
            (format!("event {}", packet.namespace), packet.id)
        }
        Event::Ack(packet) => (format!("ack {}", packet.namespace), packet.id),
        Event::Disconnect { namespace } => (format!("disconnect {namespace}"), None),
        other => unreachable!("not from the client: {other:?}"),
    }
}

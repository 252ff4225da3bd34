//! Promises of the Engine.IO codec and machine.

use crate::engineio::payload::{self, OutPacket};
use crate::engineio::{
    Content, Data, DecodeError, ErrorCode, Form, Known, Message, Method, Options, Output,
    PacketType, Payload, PollId, Query, Request, Session, SocketEnd, State, Transport, Upgrade,
    Version, Versions, admit,
};

/// The most packets of a payload here.
const PACKETS_MAX: usize = 20;

/// Any body: it is read without harm, and what was read is the same after it was written.
///
/// # Panics
///
/// Where a promise is broken.
pub fn engineio_payload(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let version = if first & 1 == 0 {
        Version::V4
    } else {
        Version::V3
    };
    let content = match first >> 1 & 3 {
        0 | 1 => Content::Text,
        2 => Content::Octets,
        _ => Content::Form,
    };
    let (packets, _) = read(version, content, body);
    assert!(packets.len() <= PACKETS_MAX);
    let base64 = version == Version::V4 || first & 8 != 0;
    let form = Form {
        base64,
        jsonp: None,
    };
    if packets.is_empty() || version == Version::V4 && has_separator(&packets) {
        return;
    }
    let (written, content_type) = payload::encode(version, form, packets.iter());
    let content = Content::from_header(Some(content_type.as_bytes()));
    let (again, error) = read(version, content, &written);
    assert_eq!((again, error), (packets, None));
}

fn read(version: Version, content: Content, body: &[u8]) -> (Vec<OutPacket>, Option<DecodeError>) {
    let mut packets = Vec::new();
    let mut payload = match Payload::new(version, content, body, PACKETS_MAX) {
        Ok(payload) => payload,
        Err(error) => return (packets, Some(error)),
    };
    loop {
        match payload.next_packet() {
            Ok(Some(packet)) => packets.push(OutPacket {
                kind: packet.kind,
                data: match packet.data {
                    Data::Text(text) => text.into(),
                    Data::Binary(bytes) => bytes::Bytes::from(bytes.into_owned()).into(),
                },
            }),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

/// Whether text holds what separates packets in version 4, as octets of version 3 may.
fn has_separator(packets: &[OutPacket]) -> bool {
    let separator = |packet: &OutPacket| match &packet.data {
        Message::Text(text) => text.as_bytes().contains(&0x1E),
        Message::Binary(_) => false,
    };
    packets.iter().any(separator)
}

/// Any query: it is refused, or means a session that is known.
///
/// # Panics
///
/// Where a promise is broken.
pub fn engineio_request(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let query = Query::parse(text);
    for versions in [Versions::V4, Versions::V4V3Jsonp] {
        let options = Options {
            versions,
            ..Options::default()
        };
        for upgrade in [Upgrade::Plain, Upgrade::WebSocket] {
            for method in [Method::Get, Method::Post, Method::Other] {
                let request = Request {
                    method,
                    upgrade,
                    query: &query,
                };
                check_request(&request, &options);
            }
        }
    }
}

fn check_request(request: &Request<'_>, options: &Options) {
    let known = |sid: &str| {
        (sid == "a").then_some(Known {
            transport: Transport::Polling,
            version: Version::V4,
        })
    };
    use crate::engineio::Admission::{Open, Poll, Post, Upgrade as Upgraded};
    match admit(request, options, known) {
        Ok(Open(opening)) => {
            assert_eq!(request.method, Method::Get);
            let upgrade = request.upgrade == Upgrade::WebSocket;
            assert_eq!(opening.transport() == Transport::WebSocket, upgrade);
            assert!(opening.version() != Ok(Version::V3) || options.versions != Versions::V4);
        }
        Ok(Poll { sid, .. }) => assert_eq!((sid, request.method), ("a", Method::Get)),
        Ok(Post { sid, .. }) => assert_eq!((sid, request.method), ("a", Method::Post)),
        Ok(Upgraded { sid }) => assert_eq!((sid, request.upgrade), ("a", Upgrade::WebSocket)),
        Err(error) => assert!(matches!(error.status(), 400)),
    }
}

/// Any course of events: messages arrive once and in order, the end is told once, deadlines are
/// kept, memory is bounded.
///
/// # Panics
///
/// Where a promise is broken.
pub fn engineio_session(data: &[u8]) {
    let Some((first, commands)) = data.split_first() else {
        return;
    };
    let mut course = Course::new(*first);
    course.drain();
    for command in commands {
        course.step(*command);
        course.drain();
    }
    course.check_end();
}

/// A session, and what its client has seen.
struct Course {
    session: Session,
    options: Options,
    now: u64,
    version: Version,
    sent: u32,
    seen: u32,
    pending: Option<u64>,
    next_id: u64,
    socket: bool,
    open_seen: bool,
    closed: bool,
}

impl Course {
    fn new(first: u8) -> Self {
        let version = if first & 1 == 0 {
            Version::V4
        } else {
            Version::V3
        };
        let mut options = Options::default();
        options.limits.buffered_bytes_max = 2000;
        options.limits.response_packets_max = 1 + usize::from(first >> 4);
        let socket = first & 2 != 0;
        let open = if socket {
            Session::websocket
        } else {
            Session::polling
        };
        Self {
            session: open("sid", version, &options, 0),
            options,
            now: 0,
            version,
            sent: 0,
            seen: 0,
            pending: None,
            next_id: 0,
            socket,
            open_seen: false,
            closed: false,
        }
    }

    fn step(&mut self, command: u8) {
        let (options, now) = (self.options, self.now);
        let many = u64::from(command >> 4);
        match command & 15 {
            0..=2 => self.send(many),
            3 | 4 => self.get(),
            5 => self.post(b"4up"),
            6 => {
                self.post([&b"3"[..], b"1:2", b"1", b"\xff", b"abc"][usize::from(command >> 4) % 5])
            }
            7 => self.socket = self.session.websocket_open(&options, now).is_ok() || self.socket,
            8 => self.text("2probe"),
            9 => self.text("5"),
            10 => self.text(["3", "2", "4up", "", "1", "6"][usize::from(command >> 4) % 6]),
            11 | 12 => {
                self.now += 1 << many;
                self.session.handle_timeout(&options, self.now);
            }
            13 => {
                // What is due is done before a GET is found to have gone, and may answer it.
                self.session.handle_timeout(&options, now);
                self.drain();
                if let Some(id) = self.pending.take() {
                    self.session.poll_aborted(PollId(id), &options, now);
                }
            }
            14 if many == 0 => self.session.close(&options, now),
            14 => {
                self.now = self.session.next_deadline().unwrap_or(now).max(now);
                self.session.handle_timeout(&options, self.now);
            }
            _ if self.socket => {
                self.socket = false;
                self.session
                    .websocket_closed(SocketEnd::Closed, &options, now);
            }
            _ => {}
        }
    }

    fn send(&mut self, times: u64) {
        for _ in 0..times {
            if self.session.state() != State::Open {
                return;
            }
            self.session
                .send(format!("m{}", self.sent).into(), &self.options);
            self.sent += 1;
        }
    }

    fn get(&mut self) {
        self.next_id += 1;
        let id = PollId(self.next_id);
        let polled = self
            .session
            .poll(id, Form::default(), &self.options, self.now);
        if polled.is_ok() {
            assert_eq!(self.pending.replace(id.0), None);
        }
    }

    fn post(&mut self, body: &[u8]) {
        let result = self.try_post(body);
        assert!(matches!(
            result,
            Ok(()) | Err(ErrorCode::BadRequest | ErrorCode::UnknownSid)
        ));
    }

    fn try_post(&mut self, body: &[u8]) -> Result<(), ErrorCode> {
        let (options, now) = (&self.options, self.now);
        self.session.post_begin(options, now)?;
        let mut payload = self.session.post_end(Content::Text, body, options, now)?;
        loop {
            payload.grant(4);
            while let Some(data) = self.session.receive(&mut payload, options, now)? {
                assert_eq!(data, Data::Text("up"));
            }
            if !payload.is_paused() {
                return Ok(());
            }
            payload = payload.into_owned();
        }
    }

    fn text(&mut self, text: &str) {
        if self.socket {
            let data = self.session.websocket_text(text, &self.options, self.now);
            assert!(data.is_none_or(|data| data == Data::Text("up")));
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output(&self.options) {
            assert!(!self.closed, "nothing comes after the end: {output:?}");
            match output {
                Output::Respond { id, response } => {
                    assert_eq!(self.pending.take(), Some(id.0));
                    let (packets, error) = read(self.version, Content::Text, &response.body);
                    assert_eq!(error, None);
                    assert!(packets.len() <= self.options.limits.response_packets_max.max(1));
                    packets.iter().for_each(|packet| self.see(packet));
                }
                Output::Send(frame) => {
                    assert!(self.socket);
                    let text = String::from_utf8(frame.to_vec()).expect("text");
                    let (head, data) = text.split_at(1);
                    self.see(&OutPacket {
                        kind: PacketType::from_digit(head.as_bytes()[0]).expect("a type"),
                        data: data.into(),
                    });
                }
                Output::CloseSocket => assert!(std::mem::take(&mut self.socket)),
                Output::Upgraded => assert!(self.socket),
                Output::Closed(_) => self.closed = true,
            }
        }
        let closed = self.session.state() == State::Closed;
        assert_eq!(self.closed, closed, "the end is told");
        assert_eq!(self.session.next_deadline().is_none(), closed);
        // One message however long, and a packet or two of our own.
        assert!(self.session.buffered_bytes() <= 2000 + 1000);
    }

    fn see(&mut self, packet: &OutPacket) {
        match (packet.kind, &packet.data) {
            (PacketType::Open, _) => assert!(!std::mem::replace(&mut self.open_seen, true)),
            (PacketType::Message, Message::Text(text)) => {
                assert!(self.open_seen, "the handshake is first");
                assert_eq!(text.as_str(), format!("m{}", self.seen), "in order, once");
                self.seen += 1;
            }
            _ => {}
        }
    }

    /// A client that behaves hears everything that was sent to an open session.
    fn check_end(&mut self) {
        while self.session.state() == State::Open && self.seen < self.sent {
            let waited = self.session.buffered_bytes();
            if self.pending.is_none() {
                self.get();
            }
            self.drain();
            if self.session.transport() == Transport::WebSocket {
                break;
            }
            if waited == 0 {
                break;
            }
            assert!(
                self.session.buffered_bytes() < waited,
                "each GET brings something"
            );
        }
        if self.session.state() == State::Open {
            assert_eq!(self.seen, self.sent, "nothing is lost");
        }
    }
}

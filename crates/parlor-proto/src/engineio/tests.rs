//! Facts of the protocol, as tables.

use super::packet::{self, Packet};
use super::payload::OutPacket;
use super::*;

mod decoding;
mod handshakes;
mod lifecycle;
mod property;
mod upgrades;
mod vectors;

/// A moment that no deadline is near.
const START: u64 = 1_000_000;

/// The settings of the official test suites.
fn options() -> Options {
    Options {
        ping_interval: std::time::Duration::from_millis(300),
        ping_timeout: std::time::Duration::from_millis(200),
        ..Options::default()
    }
}

/// A packet as its type and its data in debug form.
fn shown(packet: &Packet<'_>) -> String {
    let kind = format!("{:?}", packet.kind).to_lowercase();
    match &packet.data {
        Data::Text(text) => format!("{kind} {text}"),
        Data::Binary(bytes) => {
            assert_eq!(packet.kind, PacketType::Message);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("binary {hex}")
        }
    }
}

/// All packets of a body, or the first error.
fn packets(version: Version, content: Content, body: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut payload = Payload::new(version, content, body, 100)?;
    let mut all = Vec::new();
    while let Some(packet) = payload.next_packet()? {
        all.push(shown(&packet));
    }
    Ok(all)
}

/// A session under test, with the time and the settings that belong to it.
struct Bench {
    session: Session,
    options: Options,
    now: u64,
    next_id: u64,
}

impl Bench {
    fn polling(version: Version) -> Self {
        let options = options();
        let session = Session::polling("SID", version, &options, START);
        let mut new = Self {
            session,
            options,
            now: START,
            next_id: 0,
        };
        new.get();
        assert!(new.drain().starts_with("1: 0{") || version == Version::V3);
        new
    }

    fn websocket(version: Version) -> Self {
        let options = options();
        let session = Session::websocket("SID", version, &options, START);
        let mut new = Self {
            session,
            options,
            now: START,
            next_id: 0,
        };
        assert!(new.drain().starts_with("send 0{"));
        new
    }

    /// A polling session in the middle of an upgrade: the probe was answered.
    fn probing() -> Self {
        let mut new = Self::polling(Version::V4);
        new.open_socket();
        assert_eq!(new.text("2probe"), "");
        assert_eq!(new.drain(), "send 3probe");
        new
    }

    fn open_socket(&mut self) {
        let opened = self.session.websocket_open(&self.options, self.now);
        assert_eq!(opened, Ok(()));
    }

    fn get(&mut self) -> u64 {
        self.next_id += 1;
        let id = PollId(self.next_id);
        let form = Form::default();
        let polled = self.session.poll(id, form, &self.options, self.now);
        assert_eq!(polled, Ok(()));
        self.next_id
    }

    /// A POST from head to end; what it said, and its status.
    fn post(&mut self, body: &str) -> (Vec<String>, u16) {
        let mut said = Vec::new();
        let status = self.try_post(body.as_bytes(), &mut said);
        (said, status.map_or_else(ErrorCode::status, |()| 200))
    }

    fn try_post(&mut self, body: &[u8], said: &mut Vec<String>) -> Result<(), ErrorCode> {
        let (options, now) = (&self.options, self.now);
        self.session.post_begin(options, now)?;
        let mut payload = self.session.post_end(Content::Text, body, options, now)?;
        while let Some(data) = self.session.receive(&mut payload, options, now)? {
            let packet = Packet {
                kind: PacketType::Message,
                data,
            };
            said.push(shown(&packet));
        }
        Ok(())
    }

    /// A WebSocket text message; what it said.
    fn text(&mut self, text: &str) -> String {
        let data = self.session.websocket_text(text, &self.options, self.now);
        data.map_or_else(String::new, |data| match data {
            Data::Text(text) => text.to_owned(),
            Data::Binary(bytes) => format!("{bytes:?}"),
        })
    }

    fn send(&mut self, text: &str) {
        self.session.send(text.into(), &self.options);
    }

    /// All outputs, one after the other.
    fn drain(&mut self) -> String {
        let mut all = Vec::new();
        while let Some(output) = self.session.poll_output(&self.options) {
            all.push(match output {
                Output::Respond { id, response } => {
                    format!("{}: {}", id.0, response.body.escape_ascii())
                }
                Output::Send(frame) => format!("send {}", frame.to_vec().escape_ascii()),
                Output::CloseSocket => "close socket".to_owned(),
                Output::Upgraded => "upgraded".to_owned(),
                Output::Closed(cause) => format!("closed: {}", cause.reason().as_str()),
            });
        }
        all.join("; ")
    }

    /// Goes to the next deadline, which must be at that moment after the start.
    fn wait_until(&mut self, after_start: u64) -> String {
        assert_eq!(self.session.next_deadline(), Some(START + after_start));
        self.now = START + after_start;
        self.session.handle_timeout(&self.options, self.now);
        self.drain()
    }
}

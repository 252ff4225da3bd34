//! What passes in a session, told to an embedder who looks on.

use parlor_proto::{
    engineio::{
        Content, Data, Frame, PacketType, Payload, Response, Transport, Version,
        packet::{self, Packet},
    },
    websocket::Kind,
};

use super::Engine;
use crate::{
    door::Tools,
    embed::engineio::{Passing, Traffic},
};

impl Engine {
    /// Whether somebody looks on.
    pub(super) fn is_watched(&self) -> bool {
        self.mount.hooks.hears_traffic()
    }

    fn tell(&self, tools: &Tools, traffic: &[Traffic<'_>]) {
        let id = tools.sessions.text_of(self.sid);
        let passing = Passing {
            id: &id,
            version: self.session.version(),
            transport: match self.socket {
                Some(_) => Transport::WebSocket,
                None => Transport::Polling,
            },
        };
        for traffic in traffic {
            self.mount.hooks.pass(&passing, *traffic);
        }
    }

    /// A WebSocket message came in, on the session's socket or on one that it tries.
    pub(super) fn watch_message(&self, kind: Kind, payload: &[u8], tools: &Tools) {
        let version = self.session.version();
        let packet = match kind {
            Kind::Text => str::from_utf8(payload)
                .ok()
                .and_then(|text| packet::decode_text(version, text).ok()),
            Kind::Binary => packet::decode_binary(version, payload).ok(),
        };
        match packet {
            Some(packet) if self.socket.is_some() => self.tell_received(&packet, tools),
            Some(packet) if packet.kind == PacketType::Ping => {
                self.tell(tools, &[Traffic::Upgrading]);
            }
            _ => {}
        }
    }

    /// The body of a POST came in.
    pub(super) fn watch_post(&self, content: Content, body: &[u8], tools: &Tools) {
        let packets_max = self.mount.options.limits.payload_packets_max;
        let payload = Payload::new(self.session.version(), content, body, packets_max);
        if let Ok(mut payload) = payload {
            while let Ok(Some(packet)) = payload.next_packet() {
                self.tell_received(&packet, tools);
            }
        }
    }

    fn tell_received(&self, packet: &Packet<'_>, tools: &Tools) {
        let kind = packet.kind;
        let data = bytes_of(&packet.data);
        self.tell(tools, &[Traffic::Received { kind, data }]);
        let alive = match self.session.version() {
            Version::V4 => PacketType::Pong,
            Version::V3 => PacketType::Ping,
        };
        if kind == alive {
            self.tell(tools, &[Traffic::Heartbeat]);
        }
    }

    /// A GET is answered.
    pub(super) fn watch_response(&self, response: &Response, tools: &Tools) {
        let content = match response.content_type {
            "application/octet-stream" => Some(Content::Octets),
            text if text.starts_with("text/plain") => Some(Content::Text),
            _ => None,
        };
        let version = self.session.version();
        let payload = content.map(|it| Payload::new(version, it, &response.body, usize::MAX));
        if let Some(Ok(mut payload)) = payload {
            while let Ok(Some(packet)) = payload.next_packet() {
                let data = bytes_of(&packet.data);
                let kind = packet.kind;
                self.tell(tools, &[Traffic::Sent { kind, data }]);
            }
        }
        self.tell(tools, &[Traffic::Flushed]);
        if self.session.buffered_bytes() == 0 {
            self.tell(tools, &[Traffic::Drained]);
        }
    }

    /// A WebSocket message goes out, and with the last one the rest.
    pub(super) fn watch_frame(&self, frame: &Frame, tools: &Tools) {
        // What is said on a socket that is only tried is none of the session's.
        if self.socket.is_none() {
            return;
        }
        let kind = match frame.kind {
            Kind::Text => frame.head.and_then(PacketType::from_digit),
            Kind::Binary => Some(PacketType::Message),
        };
        if let Some(kind) = kind {
            let data = &frame.body;
            self.tell(tools, &[Traffic::Sent { kind, data }]);
        }
    }

    /// What there was has been given to the socket.
    pub(super) fn watch_flushed(&self, tools: &Tools) {
        self.tell(tools, &[Traffic::Flushed]);
    }

    /// The socket has taken all that waited for it.
    pub(super) fn watch_drained(&self, tools: &Tools) {
        self.tell(tools, &[Traffic::Drained]);
    }
}

fn bytes_of<'a>(data: &'a Data<'_>) -> &'a [u8] {
    match data {
        Data::Text(text) => text.as_bytes(),
        Data::Binary(bytes) => bytes,
    }
}

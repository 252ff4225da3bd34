//! A Socket.IO client over WebSocket that shares no code with the server.

use std::io;

use serde_json::Value;

use crate::support::{Client, Frame, TestServer};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// A connection that speaks Engine.IO, with the namespaces that it has joined.
pub(crate) struct Io {
    pub(crate) client: Client,
    /// The open packet.
    pub(crate) open: Value,
    next_ack: u64,
}

impl TestServer {
    /// A session of Engine.IO 4; `query` follows the usual one, as `&room=tea`.
    pub(crate) fn engine(&self, query: &str) -> Io {
        self.engine_at(&format!("/socket.io/?EIO=4&transport=websocket{query}"))
    }

    /// A session whose whole target is given.
    pub(crate) fn engine_at(&self, target: &str) -> Io {
        let mut client = self.websocket(target);
        let open = client.receive_text();
        let open = open.strip_prefix('0').expect("an open packet");
        Io {
            open: serde_json::from_str(open).unwrap(),
            client,
            next_ack: 0,
        }
    }

    /// A client that is connected to the main namespace.
    pub(crate) fn io(&self, query: &str) -> (Io, String) {
        let mut io = self.engine(query);
        let id = io.connect("/");
        (io, id)
    }
}

impl Io {
    /// Sends one text message of the session.
    pub(crate) fn say(&mut self, packet: &str) {
        self.client.send_text(&format!("4{packet}"));
    }

    /// Sends a packet and its attachments.
    pub(crate) fn say_binary(&mut self, packet: &str, attachments: &[&[u8]]) {
        self.say(packet);
        for attachment in attachments {
            self.client.send(BINARY, attachment);
        }
    }

    /// The next text packet; pings are passed over.
    pub(crate) fn hear(&mut self) -> String {
        self.try_hear().unwrap()
    }

    pub(crate) fn try_hear(&mut self) -> io::Result<String> {
        loop {
            let frame = self.client.receive()?;
            if frame.first == 0x88 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let text = frame.text();
            match text.strip_prefix('4') {
                Some(packet) => return Ok(packet.to_owned()),
                None => assert_eq!(text, "2"),
            }
        }
    }

    /// The next attachment.
    pub(crate) fn hear_binary(&mut self) -> Vec<u8> {
        let Frame { first, payload } = self.client.receive().unwrap();
        assert_eq!(first, BINARY);
        payload
    }

    /// Joins a namespace; returns the socket's id.
    pub(crate) fn connect(&mut self, namespace: &str) -> String {
        let head = match namespace {
            "/" => "0".to_owned(),
            _ => format!("0{namespace},"),
        };
        self.say(&head);
        let answer = self.hear();
        assert!(answer.starts_with(&head), "{answer}");
        let answer = answer.strip_prefix(&head).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        answer["sid"].as_str().unwrap().to_owned()
    }

    /// Sends an event of the main namespace, a JSON array, and waits for its acknowledgement.
    pub(crate) fn ask(&mut self, event: &str) -> Value {
        let ack = self.next_ack;
        self.next_ack += 1;
        self.say(&format!("2{ack}{event}"));
        let head = format!("3{ack}");
        loop {
            let heard = self.hear();
            if let Some(answer) = heard.strip_prefix(&head) {
                let answer: Value = serde_json::from_str(answer).unwrap();
                return answer[0].clone();
            }
        }
    }

    /// Waits until all that was sent before has been served: nothing comes before the answer.
    pub(crate) fn settle(&mut self) {
        let ack = self.next_ack;
        self.next_ack += 1;
        self.say(&format!(r#"2{ack}["leave","no such room"]"#));
        let answer = self.hear();
        assert!(answer.starts_with(&format!("3{ack}[")), "{answer}");
    }

    /// Whether the server has closed the connection; whatever comes before is passed over.
    pub(crate) fn is_closed(&mut self) -> bool {
        loop {
            match self.client.receive() {
                Ok(Frame { first: 0x88, .. }) => return true,
                Ok(Frame { first, .. }) => assert!(matches!(first, TEXT | BINARY | 0x8a)),
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

//! A Socket.IO client over long-polling that shares no code with the server. Each request has a
//! connection of its own.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{Client, TestServer, upgrade};

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Reads an answer to the end of its connection.
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // The connection may be reset behind the answer.
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        let body = bytes.split_off(end.expect("an answer") + 4);
        let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
        let status = head.get(9..12).unwrap().parse().unwrap();
        Self { status, head, body }
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    /// Status and code of a refusal by the rules of Engine.IO, which is JSON with two members.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, u64) {
        assert!(
            self.head.contains("content-type: application/json"),
            "{self:?}"
        );
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let code = body["code"].as_u64().unwrap();
        let text = [
            "Transport unknown",
            "Session ID unknown",
            "Bad handshake method",
            "Bad request",
            "Forbidden",
            "Unsupported protocol version",
        ];
        let text = text[usize::try_from(code).unwrap()];
        assert_eq!(body, json!({"code": code, "message": text}));
        (self.status, code)
    }

    /// The refusal of a request for a session that there is not.
    pub(crate) fn is_unknown(&self) -> bool {
        self.status == 400 && self.text() == r#"{"code":1,"message":"Session ID unknown"}"#
    }
}

impl TestServer {
    /// Sends a request of polling; its query, more header lines, and a body.
    pub(crate) fn send_poll(
        &self,
        method: &str,
        query: &str,
        more: &str,
        body: &[u8],
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let measured = more.contains("Content-Length:") || more.contains("Transfer-Encoding:");
        let length = match (method, measured) {
            ("POST", false) => format!("Content-Length: {}\r\n", body.len()),
            _ => String::new(),
        };
        let head = format!(
            "{method} /socket.io/?{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             {length}{more}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused may be answered before it is read.
        let _ = stream.write_all(body);
        stream
    }

    /// The answer to such a request.
    pub(crate) fn ask_poll(&self, method: &str, query: &str, more: &str, body: &[u8]) -> Reply {
        Reply::read(self.send_poll(method, query, more, body))
    }

    /// Opens a session of a revision; `query` follows the usual one.
    pub(crate) fn poll_engine(&self, version: u8, query: &str) -> Polled<'_> {
        let usual = format!("EIO={version}&transport=polling");
        let open = self.ask_poll("GET", &format!("{usual}{query}"), "", b"");
        assert_eq!(open.status, 200, "{open:?}");
        let mut polled = Polled {
            server: self,
            version,
            query: String::new(),
            sid: String::new(),
            open: Value::Null,
            heard: VecDeque::new(),
            next_ack: 0,
        };
        polled.take_in(&open);
        let first = polled.heard.pop_front().unwrap();
        polled.open = serde_json::from_str(first.strip_prefix('0').unwrap()).unwrap();
        polled.sid = polled.open["sid"].as_str().unwrap().to_owned();
        polled.query = format!("{usual}&sid={}", polled.sid);
        polled
    }

    /// A client of revision 4 that is connected to the main namespace.
    pub(crate) fn poll_io(&self, query: &str) -> (Polled<'_>, String) {
        let mut polled = self.poll_engine(4, query);
        let id = polled.connect("/");
        (polled, id)
    }
}

/// A session over polling.
pub(crate) struct Polled<'a> {
    pub(crate) server: &'a TestServer,
    version: u8,
    /// What its requests ask for.
    pub(crate) query: String,
    pub(crate) sid: String,
    /// What the first packet says.
    pub(crate) open: Value,
    heard: VecDeque<String>,
    next_ack: u64,
}

impl Polled<'_> {
    pub(crate) fn get(&self) -> Reply {
        self.server.ask_poll("GET", &self.query, "", b"")
    }

    /// Posts packets as they stand.
    pub(crate) fn post(&self, body: &[u8]) -> Reply {
        self.server.ask_poll("POST", &self.query, "", body)
    }

    /// Posts a packet of Socket.IO; the status of the answer.
    pub(crate) fn say(&self, packet: &str) -> u16 {
        self.say_all(&[&format!("4{packet}")])
    }

    /// Posts packets of Engine.IO in one payload; the status of the answer.
    pub(crate) fn say_all(&self, packets: &[&str]) -> u16 {
        let body = match self.version {
            4 => packets.join("\u{1e}"),
            _ => packets
                .iter()
                .map(|packet| format!("{}:{packet}", packet.encode_utf16().count()))
                .collect(),
        };
        self.post(body.as_bytes()).status
    }

    /// The packets of an answer.
    fn take_in(&mut self, reply: &Reply) {
        let mut text = reply.text();
        if self.version == 4 {
            self.heard.extend(text.split('\u{1e}').map(str::to_owned));
            return;
        }
        while let Some((units, rest)) = text.split_once(':') {
            let units: usize = units.parse().unwrap();
            assert!(
                rest.is_ascii(),
                "tests of revision 3 hear no more than that"
            );
            let (packet, rest) = rest.split_at(units);
            self.heard.push_back(packet.to_owned());
            text = rest;
        }
    }

    /// The next packet of Engine.IO but for pings, which are answered; none once it is over.
    pub(crate) fn packet(&mut self) -> Option<String> {
        loop {
            while let Some(packet) = self.heard.pop_front() {
                match &*packet {
                    "1" => return None,
                    "2" => drop(self.say_all(&["3"])),
                    "6" => {}
                    _ => return Some(packet),
                }
            }
            let reply = self.get();
            if reply.is_unknown() {
                return None;
            }
            assert_eq!(reply.status, 200, "{reply:?}");
            self.take_in(&reply);
        }
    }

    /// The next text packet of Socket.IO.
    pub(crate) fn hear(&mut self) -> String {
        let packet = self.packet().expect("the session is open");
        packet.strip_prefix('4').unwrap().to_owned()
    }

    /// Joins a namespace; returns the socket's id.
    pub(crate) fn connect(&mut self, namespace: &str) -> String {
        let head = match namespace {
            "/" => "0".to_owned(),
            _ => format!("0{namespace},"),
        };
        assert_eq!(self.say(&head), 200);
        let answer = self.hear();
        let answer = answer.strip_prefix(&head).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        answer["sid"].as_str().unwrap().to_owned()
    }

    /// Sends an event of the main namespace, a JSON array, and waits for its acknowledgement.
    pub(crate) fn ask(&mut self, event: &str) -> Value {
        let ack = self.next_ack;
        self.next_ack += 1;
        assert_eq!(self.say(&format!("2{ack}{event}")), 200);
        let head = format!("3{ack}");
        loop {
            let heard = self.hear();
            if let Some(answer) = heard.strip_prefix(&head) {
                let answer: Value = serde_json::from_str(answer).unwrap();
                return answer[0].clone();
            }
        }
    }

    /// Sees that the session goes on, and that nothing was left to be heard.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        let ack = self.next_ack;
        self.next_ack += 1;
        assert_eq!(self.say(&format!(r#"2{ack}["leave","no such room"]"#)), 200);
        let answer = self.hear();
        assert!(answer.starts_with(&format!("3{ack}[")), "{answer}");
    }

    /// Waits until the session is over; whatever comes before is passed over.
    pub(crate) fn ends(&mut self) {
        while self.packet().is_some() {}
        // It is unknown from then on, by whatever request.
        assert!(self.get().is_unknown());
        assert!(self.post(b"6").is_unknown());
        let again = self.server.exchange(self.upgrade_request().as_bytes());
        assert!(again.starts_with("HTTP/1.1 400 "), "{again}");
        assert!(again.ends_with("\r\n\r\nSession ID unknown"), "{again}");
    }

    /// The request for a WebSocket of the session.
    pub(crate) fn upgrade_request(&self) -> String {
        let (version, sid) = (self.version, &self.sid);
        let target = format!("/socket.io/?EIO={version}&transport=websocket&sid={sid}");
        upgrade(&target, "")
    }

    /// A WebSocket of the session.
    pub(crate) fn socket(&self) -> Client {
        let mut stream = self.server.tcp();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(self.upgrade_request().as_bytes()).unwrap();
        Client::opened(stream)
    }
}

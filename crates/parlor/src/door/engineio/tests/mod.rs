//! Sessions over sockets, against a server that says everything again.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use parlor_proto::engineio::{
    CloseCause, CloseReason, Message, Options, Transport, Version, Versions,
};
use tokio::sync::oneshot;

mod polling;
mod upgrade;

use super::{Application, Applications, Forbidden, Mount, Opening, Port, SetCookie};
use crate::{
    Config, Server,
    door::{Item, News, Tools, Turn},
    metrics::Door,
};

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the applications of a server were told.
type Log = Sender<String>;

/// Held by a test, it holds sessions that were asked for with `held` before they begin.
static GATE: Mutex<()> = Mutex::new(());

#[derive(Debug)]
struct Echo {
    log: Log,
    held: bool,
}

impl Echo {
    fn note(&self, text: impl Into<String>) {
        // The test may be over.
        let _ = self.log.send(text.into());
    }
}

impl Application for Echo {
    fn open(&mut self, port: &mut Port<'_>, turn: &mut Turn<'_>) {
        assert!(port.is_open());
        if self.held {
            drop(GATE.lock().unwrap());
        }
        let transport = port.transport().as_str();
        self.note(format!("open {transport} {:?}", port.version()));
        if turn.stalled {
            port.close();
        }
    }

    fn text(&mut self, text: &str, port: &mut Port<'_>, _: &mut Turn<'_>) {
        match text {
            "close" => {
                port.send("bye".into());
                port.close();
            }
            "pending?" => self.note(format!("pending {}", port.is_writable())),
            "panic" => panic!("as asked"),
            text => port.send(text.into()),
        }
    }

    fn binary(&mut self, bytes: &[u8], port: &mut Port<'_>, _: &mut Turn<'_>) {
        port.send_plain(Message::Binary(bytes.to_vec().into()));
    }

    fn hear(&mut self, _: &News<'_>, _: &mut Port<'_>, _: &mut Turn<'_>) {}

    fn deliver(&mut self, _: &mut dyn Iterator<Item = &Item>, _: &mut Port<'_>, _: &mut Tools) {}

    fn form(&self, _: Version) -> Option<u8> {
        None
    }

    fn closed(&mut self, cause: CloseCause, _: &mut Turn<'_>) {
        self.note(format!("closed {}", cause.reason().as_str()));
    }

    fn shutdown(&mut self, port: &mut Port<'_>, _: &mut Turn<'_>) {
        port.send("stopping".into());
    }
}

#[derive(Debug)]
struct Echoes(Log);

impl Applications for Echoes {
    fn open(
        &self,
        opening: &Opening<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Box<dyn Application>, Forbidden> {
        assert_eq!(opening.sid.len(), 20);
        assert!((opening.peer)().ip().is_loopback());
        assert!(
            opening
                .headers
                .iter()
                .any(|header| header.name.eq_ignore_ascii_case("host"))
        );
        assert_eq!(
            opening.target.contains("=polling"),
            opening.transport == Transport::Polling
        );
        if opening.target.contains("refuse") {
            return Err(Forbidden);
        }
        let echo = Echo {
            log: self.0.clone(),
            held: opening.target.contains("held"),
        };
        echo.note(format!("for slot {} {:?}", turn.key.slot, opening.version));
        Ok(Box::new(echo))
    }
}

struct TestServer {
    address: SocketAddr,
    log: Receiver<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl TestServer {
    fn start(options: Options) -> Self {
        Self::start_with(options, None)
    }

    fn start_with(options: Options, cookie: Option<&str>) -> Self {
        Self::start_config(options, cookie, |_| {})
    }

    fn start_config(
        options: Options,
        cookie: Option<&str>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let (told, log) = channel();
        let mount = Mount {
            cors: None,
            hooks: crate::embed::engineio::Hooks::new(),
            ids: None,
            clients: std::sync::Arc::default(),
            path: "/engine.io/".into(),
            door: Door::EngineIo,
            options,
            cookie: cookie.map(|name| SetCookie {
                name: name.into(),
                attributes: "; Path=/; HttpOnly; SameSite=Lax".into(),
            }),
            compress_from: Some(1024),
            deflate: parlor_proto::websocket::deflate::Policy::new(
                parlor_proto::websocket::deflate::Mode::Off,
            ),
            applications: Box::new(Echoes(told)),
        };
        let mut config = Config {
            drain: Duration::ZERO,
            // So that sessions and their sockets meet on other shards than they come in by.
            shards: std::num::NonZeroUsize::new(3),
            ..Config::default()
        };
        change(&mut config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .config(config)
            .mount(mount)
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let run = server.run(vec![listener], async { _ = stopped.await });
            runtime.block_on(run).unwrap();
        });
        Self {
            address,
            log,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Waits until the applications were told this.
    #[track_caller]
    fn until(&self, line: &str) {
        while self.log.recv_timeout(PATIENCE).expect(line) != line {}
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The answer to a request.
struct Reply {
    status: u16,
    /// In lower case.
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

impl TestServer {
    /// Sends a request on a connection of its own.
    fn send(&self, method: &str, query: &str, more: &str, body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = match (method, more.contains("Content-Length")) {
            ("POST", false) => format!("Content-Length: {}\r\n", body.len()),
            _ => String::new(),
        };
        let head = format!(
            "{method} /engine.io/?{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             {length}{more}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused may be answered before it is read.
        let _ = stream.write_all(body);
        stream
    }

    /// The answer to a plain GET of any target.
    fn page(&self, target: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let rest = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let request = format!("GET {target} {rest}");
        stream.write_all(request.as_bytes()).unwrap();
        String::from_utf8(read(stream).body).unwrap()
    }

    fn ask(&self, method: &str, query: &str, more: &str, body: &[u8]) -> Reply {
        read(self.send(method, query, more, body))
    }

    fn get(&self, query: &str) -> Reply {
        self.ask("GET", query, "", b"")
    }

    fn post(&self, query: &str, body: &str) -> Reply {
        self.ask("POST", query, "", body.as_bytes())
    }

    /// Sends a GET that is pending when this returns.
    fn get_pending(&self, query: &str) -> TcpStream {
        let stream = self.send("GET", query, "", b"");
        loop {
            assert_eq!(self.post(query, "4pending?").status, 200);
            let line = loop {
                let line = self.log.recv_timeout(PATIENCE).unwrap();
                if line.starts_with("pending") {
                    break line;
                }
            };
            if line == "pending true" {
                return stream;
            }
        }
    }

    /// Opens a session over polling; the query of its requests, and its id.
    fn poll(&self, version: u8) -> (String, String) {
        let query = format!("EIO={version}&transport=polling");
        let open = self.get(&query);
        assert_eq!(open.status, 200, "{}", open.head);
        let text = open.text();
        let json = text.get(text.find('{').unwrap()..).unwrap();
        let json = json.split('\u{1e}').next().unwrap();
        let open: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(open["upgrades"], serde_json::json!(["websocket"]));
        let sid = open["sid"].as_str().unwrap().to_owned();
        (format!("{query}&sid={sid}"), sid)
    }
}

/// Reads an answer to the end of its connection.
fn read(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    // The connection may be reset behind the answer.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .expect("an answer");
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
    let status = head.get(9..12).unwrap().parse().unwrap();
    Reply { status, head, body }
}

/// A WebSocket client that knows short frames.
struct Client(TcpStream);

impl Client {
    /// Asks for a WebSocket; the status and the body of the answer.
    fn ask(server: &TestServer, query: &str, more: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (address, key) = (server.address, "dGhlIHNhbXBsZSBub25jZQ==");
        let head = format!(
            "GET /engine.io/?{query} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\
             {more}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        (Self(stream), String::from_utf8(answer).unwrap())
    }

    fn open(server: &TestServer, version: u8) -> (Self, serde_json::Value) {
        let query = format!("EIO={version}&transport=websocket&t=abc");
        let (mut client, answer) = Self::ask(server, &query, "");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        let open = client.text();
        let open = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        (client, open)
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | opcode, 0x80 | u8::try_from(payload.len()).unwrap()];
        frame.extend([0; 4]);
        frame.extend(payload);
        self.0.write_all(&frame).unwrap();
    }

    fn say(&mut self, text: &str) {
        self.send(1, text.as_bytes());
    }

    fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        assert!(head[1] < 126, "a long frame");
        let mut payload = vec![0; head[1].into()];
        self.0.read_exact(&mut payload).unwrap();
        (head[0] & 0x0F, payload)
    }

    fn text(&mut self) -> String {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        assert_eq!(head[0], 0x81);
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).unwrap();
                u16::from_be_bytes(len).into()
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).unwrap();
        String::from_utf8(payload).unwrap()
    }
}

#[test]
fn sessions_of_both_revisions_say_and_hear() {
    let mut server = TestServer::start(Options {
        versions: Versions::V4V3,
        ..Options::default()
    });
    let (mut four, open) = Client::open(&server, 4);
    let keys: Vec<&str> = open
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert_eq!(open["sid"].as_str().unwrap().len(), 20);
    assert_eq!(open["upgrades"], serde_json::json!([]));
    assert_eq!(open["pingInterval"], 25_000);
    assert_eq!(open["pingTimeout"], 20_000);
    assert_eq!(open["maxPayload"], 1_000_000);
    four.say("4hällo");
    assert_eq!(four.text(), "4hällo");
    four.send(2, &[1, 2, 3]);
    assert_eq!(four.frame(), (2, vec![1, 2, 3]));
    let (mut three, _) = Client::open(&server, 3);
    three.say("2ping");
    assert_eq!(three.text(), "3ping");
    three.send(2, &[4, 9, 8]);
    assert_eq!(three.frame(), (2, vec![4, 9, 8]));
    server.until("open websocket V4");
    server.until("open websocket V3");
    server.stop();
    assert_eq!(four.text(), "4stopping");
    assert_eq!(
        four.frame(),
        (8, [&[3, 233], b"server is stopping".as_slice()].concat())
    );
    server.until("closed forced close");
}

#[test]
fn an_idle_session_is_small() {
    let bytes = size_of::<super::session::Engine>();
    assert!(bytes <= 152, "{bytes}");
}

#[test]
fn the_open_packet_is_a_send_of_its_own() {
    let server = TestServer::start(Options {
        versions: Versions::V4V3,
        ..Options::default()
    });
    for version in [4, 3] {
        let query = format!("EIO={version}&transport=websocket&held");
        let gate = GATE.lock().unwrap();
        // The handshake is answered though the session cannot begin.
        let (mut client, answer) = Client::ask(&server, &query, "");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        drop(gate);
        let open = client.text();
        assert!(open.starts_with("0{") && open.ends_with('}'), "{open}");
    }
}

#[test]
fn requests_are_refused_by_the_reference_s_rules() {
    let server = TestServer::start(Options::default());
    let (mut held, open) = Client::open(&server, 4);
    let sid = open["sid"].as_str().unwrap().to_owned();
    for (query, more, status, text) in [
        ("EIO=4", "", 400, "Transport unknown"),
        ("EIO=4&transport=tcp", "", 400, "Transport unknown"),
        (
            "EIO=4&transport=websocket&sid=__proto__",
            "",
            400,
            "Session ID unknown",
        ),
        (
            "EIO=3&transport=websocket",
            "",
            400,
            "Unsupported protocol version",
        ),
        (
            "transport=websocket",
            "",
            400,
            "Unsupported protocol version",
        ),
        ("EIO=4&transport=websocket&refuse", "", 403, "Forbidden"),
        (
            "EIO=4&transport=websocket",
            "Origin: http://e.example\r\n",
            403,
            "Forbidden",
        ),
    ] {
        let (mut client, answer) = Client::ask(&server, query, more);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{query}: {answer}"
        );
        let mut body = String::new();
        client.0.read_to_string(&mut body).unwrap();
        assert_eq!(body, text, "{query}");
    }
    // A second WebSocket on a session is closed, and the session is left alone.
    let query = format!("EIO=4&transport=websocket&sid={sid}");
    let (mut second, answer) = Client::ask(&server, &query, "");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert_eq!(second.frame().0, 8);
    held.say("4still");
    assert_eq!(held.text(), "4still");
}

#[test]
fn the_end_is_told_with_its_reason() {
    let server = TestServer::start(Options::default());
    type End = fn(&mut Client);
    let ends: [(End, CloseReason); 5] = [
        (|client| client.say("4close"), CloseReason::ForcedClose),
        (|client| client.say("9"), CloseReason::ParseError),
        (|client| client.say("2"), CloseReason::TransportError),
        (|client| client.say("1"), CloseReason::TransportClose),
        (
            |client| client.send(8, &[3, 232]),
            CloseReason::TransportClose,
        ),
    ];
    for (end, reason) in ends {
        let (mut client, _) = Client::open(&server, 4);
        end(&mut client);
        server.until(&format!("closed {}", reason.as_str()));
        // The socket is closed in order.
        while client.frame().0 != 8 {}
    }
    let (client, _) = Client::open(&server, 4);
    drop(client);
    server.until("closed transport close");
    let told = server
        .log
        .try_iter()
        .filter(|line| line.starts_with("closed"));
    assert_eq!(told.count(), 0, "each end is told once");
}

#[test]
fn the_server_pings_and_gives_up_those_who_do_not_answer() {
    let server = TestServer::start(Options {
        ping_interval: Duration::from_millis(100),
        ..Options::default()
    });
    let (mut client, _) = Client::open(&server, 4);
    for _ in 0..3 {
        assert_eq!(client.text(), "2");
        client.say("3");
    }
    let server = TestServer::start(Options {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..Options::default()
    });
    let (mut client, _) = Client::open(&server, 4);
    assert_eq!(client.text(), "2");
    assert_eq!(client.frame().0, 8);
    server.until("closed ping timeout");
}

#[test]
fn messages_over_the_limit_end_the_session() {
    let server = TestServer::start(Options {
        limits: parlor_proto::engineio::Limits {
            payload_bytes_max: 100,
            ..parlor_proto::engineio::Limits::default()
        },
        ..Options::default()
    });
    let (mut client, open) = Client::open(&server, 4);
    assert_eq!(open["maxPayload"], 100);
    client.say(&format!("4{}", "x".repeat(99)));
    assert_eq!(client.text().len(), 100);
    client.say(&"4".repeat(101));
    let (opcode, payload) = client.frame();
    assert_eq!((opcode, payload.get(..2)), (8, Some([3, 241].as_slice())));
    server.until("closed transport error");
}

#[test]
fn broken_frames_end_the_session() {
    let server = TestServer::start(Options::default());
    // Reserved bits, an unknown opcode, a frame without a mask, text that is not UTF-8.
    for frame in [
        [0xF1, 0x80, 0, 0, 0, 0].as_slice(),
        &[0x83, 0x80, 0, 0, 0, 0],
        &[0x81, 0x01, b'4'],
        &[0x81, 0x82, 0, 0, 0, 0, b'4', 0xFF],
    ] {
        // Before the session is open, too: what comes with the handshake is read first.
        let (mut client, _) = Client::open(&server, 4);
        client.0.write_all(frame).unwrap();
        assert_eq!(client.frame().0, 8, "{frame:?}");
        server.until("closed transport error");
    }
    let query = "EIO=4&transport=websocket";
    let (mut client, _) = Client::ask(&server, query, "");
    client.0.write_all(&[0xF1, 0x80, 0, 0, 0, 0]).unwrap();
    server.until("closed transport error");
}

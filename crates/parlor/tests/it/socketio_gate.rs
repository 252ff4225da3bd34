//! Embedders who take their time over who may open a session of Engine.IO, over its id, and over
//! origins: on the server's own listeners, and inside an application.

use std::{
    future::{pending, ready},
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parlor::{BoxError, Config, engineio::Hooks, socketio::SocketIo};
use tokio::sync::watch;

use crate::{
    http_support::{field, statuses},
    mounted_support::{Background, serve},
    support::{Client, TestServer, frame, upgrade, wait_until},
};

const POLL: &str = "/socket.io/?EIO=4&transport=polling";
const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// Somebody who is asked, and answers when the test says so.
#[derive(Clone)]
pub(crate) struct Oracle {
    open: Arc<watch::Sender<bool>>,
    asked: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
}

/// Counts a question for as long as it is asked.
struct Asking(Arc<AtomicUsize>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Self {
            open: Arc::new(watch::Sender::new(false)),
            asked: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// Waits for the word.
    async fn ask(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _asking = Asking(Arc::clone(&self.waiting));
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    pub(crate) fn answer(&self) {
        self.open.send_replace(true);
    }

    pub(crate) fn expect_waiting(&self, count: usize) {
        wait_until(&format!("{count} are asked about"), || {
            self.count() == count
        });
    }

    /// How many are being asked about.
    fn count(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Lets in whoever has a key, and calls sessions as they like.
    pub(crate) fn hooks(&self) -> Hooks {
        let (allows, names) = (self.clone(), self.clone());
        Hooks::new()
            .allow_request(move |head| {
                let oracle = allows.clone();
                async move {
                    oracle.ask().await;
                    match head.query("key") {
                        Some(_) => Ok(()),
                        None => Err("a \"key\", please".to_owned()),
                    }
                }
            })
            .generate_id(move |head| {
                let oracle = names.clone();
                async move {
                    oracle.ask().await;
                    let id = head.query("id").ok_or("no id was asked for")?;
                    Ok::<String, BoxError>(id.into_owned())
                }
            })
    }
}

/// Inside an application there is nobody to ask before that.
pub(crate) fn wait_until_served(server: &TestServer) {
    wait_until("the server runs", || server.handle.broadcast("").is_ok());
}

/// A server that is asked for at a listener of its own, and inside an application.
struct Doors {
    server: TestServer,
    io: SocketIo,
    addresses: [SocketAddr; 2],
    _application: Background,
}

impl Doors {
    fn start(hooks: Hooks) -> Self {
        Self::start_with(hooks, |_| {})
    }

    fn start_with(hooks: Hooks, change: impl FnOnce(&mut Config)) -> Self {
        let io = SocketIo::new();
        let _ = io.of("/");
        let own = |config: &mut Config| {
            config.shards = NonZero::new(3);
            change(config);
        };
        let (server, router) = TestServer::build_mounted(own, |builder| {
            builder.socketio(&io).engineio_hooks("/socket.io/", hooks)
        });
        wait_until_served(&server);
        let application = Background::start();
        let mounted = application.block_on(serve(router, async |stream| stream));
        Self {
            addresses: [server.address, mounted],
            server,
            io,
            _application: application,
        }
    }

    fn expect_refused(&self, reason: &str, count: u64) {
        let series = format!("parlor_refusals_total{{reason=\"{reason}\"}}");
        self.server.expect(&series, count);
    }

    /// The address that a request is sent to.
    fn send(&self, at: usize, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addresses[at]).unwrap();
        let patience = Duration::from_secs(15);
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// Nobody is left: neither sessions nor connections that wait.
    fn expect_nobody(&self) {
        wait_until("the sessions have ended", || self.io.clients_count() == 0);
        // That of the scrape is open.
        self.server.expect("parlor_connections", 1);
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// A request by either transport, with this behind its query.
fn request(transport: &str, query: &str) -> String {
    match transport {
        "polling" => get(&format!("{POLL}{query}")),
        _ => upgrade(&format!("{SOCKET}{query}"), ""),
    }
}

/// The head of an answer.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    // A server that has closed with bytes of ours unread resets.
    let _ = stream.read_to_end(&mut rest);
    String::from_utf8_lossy(&rest).into_owned()
}

const TRANSPORTS: [&str; 2] = ["polling", "websocket"];

#[test]
fn whoever_is_let_in_late_comes_in_under_the_id_that_was_made() {
    let oracle = Oracle::new();
    let doors = Doors::start(oracle.hooks());
    let mut asked = Vec::new();
    for at in 0..2 {
        for transport in TRANSPORTS {
            let id = format!("{transport}-{at}");
            let stream = doors.send(at, &request(transport, &format!("&key=1&id={id}")));
            asked.push((transport, id, stream));
            oracle.expect_waiting(asked.len());
        }
    }
    for (_, id, stream) in &mut asked {
        stream.set_nonblocking(true).unwrap();
        let nothing = stream.read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock, "{id}");
        stream.set_nonblocking(false).unwrap();
    }
    assert_eq!(doors.io.clients_count(), 0);
    oracle.answer();
    for (transport, id, stream) in &mut asked {
        let head = head(stream);
        let open = format!(r#"{{"sid":"{id}","#);
        if *transport == "polling" {
            assert_eq!(statuses(&head), [200], "{head}");
            let body = rest(stream);
            assert!(body.starts_with(&format!("0{open}")), "{body}");
            continue;
        }
        assert_eq!(statuses(&head), [101], "{head}");
        let mut client = Client::adopt(stream.try_clone().unwrap());
        let first = client.receive_text();
        assert!(first.starts_with(&format!("0{open}")), "{first}");
        client.send_text("40");
        assert!(client.receive_text().starts_with("40{"));
    }
    assert_eq!(doors.io.clients_count(), 4);
    // For each of them both were asked, once.
    assert_eq!(oracle.asked.load(Ordering::SeqCst), 8);
}

#[test]
fn whoever_is_refused_late_is_told_why() {
    let oracle = Oracle::new();
    let doors = Doors::start(oracle.hooks());
    oracle.answer();
    let forbidden = r#"{"code":4,"message":"a \"key\", please"}"#;
    let bad = r#"{"code":3,"message":"Bad request"}"#;
    for at in 0..2 {
        for (transport, query, status, body) in [
            ("polling", "", 403, forbidden),
            ("websocket", "", 403, "a \"key\", please"),
            ("polling", "&key=1", 400, bad),
            ("websocket", "&key=1", 400, "Bad request"),
            ("polling", "&key=1&id=a%20b", 400, bad),
            ("websocket", "&key=1&id=a%20b", 400, "Bad request"),
        ] {
            let mut stream = doors.send(at, &request(transport, query));
            let head = head(&mut stream);
            assert_eq!(statuses(&head), [status], "{transport} {query}");
            if transport == "polling" || at == 0 {
                assert_eq!(rest(&mut stream), body, "{transport} {query}");
            }
        }
    }
    assert_eq!(oracle.asked.load(Ordering::SeqCst), 4 + 2 * 8);
    doors.expect_refused("handler", 4);
    doors.expect_nobody();
}

#[test]
fn of_two_who_are_given_one_id_the_second_is_refused() {
    let oracle = Oracle::new();
    let doors = Doors::start(oracle.hooks());
    let transports = ["polling", "websocket", "websocket", "polling"];
    let mut streams: Vec<TcpStream> = { transports.iter().zip([0, 1, 0, 1]) }
        .map(|(transport, at)| doors.send(at, &request(transport, "&key=1&id=ann")))
        .collect();
    oracle.expect_waiting(4);
    oracle.answer();
    let heads: Vec<String> = streams.iter_mut().map(head).collect();
    let mut found: Vec<u16> = heads.iter().flat_map(|head| statuses(head)).collect();
    found.sort_unstable();
    assert_eq!(found[1..], [400; 3], "{heads:?}");
    assert!(matches!(found[0], 101 | 200), "{heads:?}");
    assert_eq!(doors.io.clients_count(), 1);
}

#[test]
fn what_comes_behind_a_request_waits_with_it() {
    let oracle = Oracle::new();
    let doors = Doors::start(oracle.hooks());
    // Behind a head that came whole, behind one in two parts, and behind a request that was
    // answered by HTTP.
    let head = upgrade(&format!("{SOCKET}&key=1&id=a"), "");
    let (first, second) = head.split_at(40);
    let early = frame(0x81, b"40");
    let mut whole = doors.send(0, "");
    whole
        .write_all(&[head.as_bytes(), &early].concat())
        .unwrap();
    let mut parted = doors.send(0, first);
    let second = second.replace("id=a", "id=b");
    parted
        .write_all(&[second.as_bytes(), &early].concat())
        .unwrap();
    let page = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut behind = doors.send(0, page);
    assert_eq!(statuses(&self::head(&mut behind)), [200]);
    let mut body = [0; 3];
    behind.read_exact(&mut body).unwrap();
    let third = head.replace("id=a", "id=c");
    behind.write_all(third.as_bytes()).unwrap();
    oracle.expect_waiting(3);
    // More than is kept: the system has it, and then its sender feels it.
    let nothing = frame(0x81, b"6");
    let much = nothing.repeat(1000);
    whole.set_nonblocking(true).unwrap();
    let mut sent = 0;
    let full = loop {
        match whole.write(&much[sent % nothing.len()..]) {
            Ok(count) => sent += count,
            Err(error) => break error.kind(),
        }
        assert!(sent < 64 << 20, "the server has read {sent} bytes");
    };
    assert_eq!(full, io::ErrorKind::WouldBlock);
    whole.set_nonblocking(false).unwrap();
    oracle.answer();
    whole.write_all(&nothing[sent % nothing.len()..]).unwrap();
    for (mut stream, is_early) in [(whole, true), (parted, true), (behind, false)] {
        assert_eq!(statuses(&self::head(&mut stream)), [101]);
        let mut client = Client::adopt(stream);
        assert!(client.receive_text().starts_with("0{"));
        if is_early {
            assert!(client.receive_text().starts_with("40{"));
        }
        client.settle();
    }
}

#[test]
fn nobody_is_asked_any_more_about_a_client_that_has_gone() {
    let oracle = Oracle::new();
    let doors = Doors::start(oracle.hooks());
    let mut gone = 0;
    for at in 0..2 {
        for transport in TRANSPORTS {
            for ending in [Shutdown::Both, Shutdown::Write] {
                let stream = doors.send(at, &request(transport, "&key=1&id=a"));
                oracle.expect_waiting(1);
                stream.shutdown(ending).unwrap();
                oracle.expect_waiting(0);
                gone += 1;
                doors.expect_refused("gone", gone);
            }
        }
    }
    doors.expect_nobody();
    // Others are asked about as before.
    oracle.answer();
    let mut stream = doors.send(0, &request("websocket", "&key=1&id=a"));
    assert_eq!(statuses(&head(&mut stream)), [101]);
}

#[test]
fn no_more_wait_than_may_connect() {
    for transport in TRANSPORTS {
        let oracle = Oracle::new();
        let few = |config: &mut Config| config.connections_max = NonZero::new(3);
        let doors = Doors::start_with(oracle.hooks(), few);
        let ask = |id: &str| doors.send(1, &request(transport, &format!("&key=1&id={id}")));
        let mut waiting: Vec<TcpStream> = ["a", "b", "c"].map(ask).into();
        oracle.expect_waiting(3);
        let head_of_another = head(&mut ask("d"));
        assert_eq!(statuses(&head_of_another), [503], "{head_of_another}");
        // One that goes makes room.
        drop(waiting.pop());
        oracle.expect_waiting(2);
        wait_until("there is room", || {
            let mut stream = ask("e");
            stream.set_nonblocking(true).unwrap();
            let is_refused = |stream: &mut TcpStream| stream.read(&mut [0]).is_ok();
            wait_until("it waits or is refused", || {
                oracle.count() == 3 || is_refused(&mut stream)
            });
            let waits = oracle.count() == 3;
            waiting.extend(Some(stream).filter(|_| waits));
            waits
        });
        oracle.answer();
        for stream in &mut waiting {
            stream.set_nonblocking(false).unwrap();
            let head = head(stream);
            assert!(matches!(statuses(&head)[..], [200 | 101]), "{head}");
        }
    }
}

#[test]
fn nobody_waits_for_ever() {
    let limit = |config: &mut Config| config.head_timeout = Duration::from_secs(3);
    let hooks = Hooks::new().allow_request(|head| async move {
        match head.query("key") {
            Some(_) => Ok(()),
            None => pending().await,
        }
    });
    let doors = Doors::start_with(hooks, limit);
    let asked = [0, 1].map(|at| {
        TRANSPORTS.map(|transport| (at, transport, doors.send(at, &request(transport, ""))))
    });
    for (at, transport, mut stream) in asked.into_iter().flatten() {
        let head = head(&mut stream);
        assert_eq!(statuses(&head), [503], "{head}");
        if transport == "polling" || at == 0 {
            assert_eq!(rest(&mut stream), "not served in time\n");
        }
    }
    doors.expect_refused("late", 4);
    doors.expect_nobody();
    let mut stream = doors.send(0, &request("websocket", "&key=1"));
    assert_eq!(statuses(&head(&mut stream)), [101]);
}

#[test]
fn a_question_that_panics_ends_its_request_and_no_other() {
    let hooks = Hooks::new().allow_request(|head| {
        assert!(head.query("panic").as_deref() != Some("called"));
        async move {
            assert!(head.query("panic").as_deref() != Some("first"));
            tokio::task::yield_now().await;
            assert!(head.query("panic").is_none());
            Ok(())
        }
    });
    let doors = Doors::start(hooks);
    let mut others: Vec<Client> = { [0, 1].into_iter() }
        .map(|at| Client::opened(doors.send(at, &request("websocket", ""))))
        .collect();
    let mut panics = 0;
    for at in 0..2 {
        for transport in TRANSPORTS {
            for when in ["called", "first", "later"] {
                let mut stream = doors.send(at, &request(transport, &format!("&panic={when}")));
                let head = head(&mut stream);
                assert_eq!(statuses(&head), [500], "{transport} {when}: {head}");
                panics += 1;
                doors.server.expect("parlor_panics_total", panics);
            }
        }
    }
    for other in &mut others {
        assert!(other.receive_text().starts_with("0{"));
        other.settle();
    }
    assert_eq!(doors.io.clients_count(), 2);
}

#[test]
fn a_server_that_stops_waits_for_nobody() {
    let oracle = Oracle::new();
    let mut doors = Doors::start(oracle.hooks());
    let mut asked = Vec::new();
    for at in 0..2 {
        for transport in TRANSPORTS {
            let stream = doors.send(at, &request(transport, "&key=1&id=a"));
            asked.push((at, transport, stream));
        }
    }
    oracle.expect_waiting(4);
    doors.server.begin_stop();
    for (at, transport, mut stream) in asked {
        let head = head(&mut stream);
        assert_eq!(statuses(&head), [503], "{head}");
        if transport == "polling" || at == 0 {
            assert_eq!(rest(&mut stream), "server is stopping\n");
        }
    }
    oracle.expect_waiting(0);
    doors.server.stop();
}

#[test]
fn an_origin_may_be_let_in_by_whoever_is_asked() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let hooks = Hooks::new().allow_origin(move |origin| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if origin.contains("late") {
                tokio::task::yield_now().await;
            }
            assert!(!origin.contains("panic"));
            origin.ends_with(".example")
        }
    });
    let doors = Doors::start(hooks);
    let ask = |at: usize, method: &str, target: &str, origin: &str| {
        let origin = format!("Origin: {origin}\r\n");
        let request = match target {
            SOCKET => upgrade(target, &origin),
            _ => format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\n{origin}Content-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            ),
        };
        let mut stream = doors.send(at, &request);
        let head = head(&mut stream);
        (head, stream)
    };
    for at in 0..2 {
        for (origin, statuses_of) in [
            ("https://a.example", [200, 101]),
            ("https://late.example", [200, 101]),
            ("https://evil.test", [403, 403]),
            ("https://late.test", [403, 403]),
            ("https://panic.example", [500, 500]),
        ] {
            for (target, status) in [POLL, SOCKET].into_iter().zip(statuses_of) {
                let before = calls.load(Ordering::SeqCst);
                let (head, _) = ask(at, "GET", target, origin);
                assert_eq!(statuses(&head), [status], "{origin} {target}: {head}");
                assert_eq!(calls.load(Ordering::SeqCst), before + 1, "{origin}");
                if status != 500 && (target == POLL || status == 101) {
                    assert_eq!(field(&head, "vary"), Some("Origin"), "{head}");
                    let told = field(&head, "access-control-allow-origin");
                    assert_eq!(told, Some(origin).filter(|_| status < 300), "{head}");
                }
            }
        }
        for (method, target, status) in [
            ("OPTIONS", POLL, 204),
            ("GET", "/socket.io/socket.io.js", 200),
        ] {
            let (head, _) = ask(at, method, target, "https://late.example");
            assert_eq!(statuses(&head), [status], "{head}");
            let told = field(&head, "access-control-allow-origin");
            assert_eq!(told, Some("https://late.example"));
        }
    }
    // Whom settings let in nobody is asked about.
    let before = calls.load(Ordering::SeqCst);
    for origin in ["http://localhost:5173", "http://127.0.0.1"] {
        for target in [POLL, SOCKET] {
            let (head, _) = ask(0, "GET", target, origin);
            assert!(matches!(statuses(&head)[..], [200 | 101]), "{head}");
        }
    }
    assert_eq!(calls.load(Ordering::SeqCst), before);
}

#[test]
fn an_origin_is_asked_about_where_a_session_goes_on() {
    let hooks = Hooks::new().allow_origin(|origin| async move {
        tokio::task::yield_now().await;
        origin.ends_with(".example")
    });
    let doors = Doors::start(hooks);
    let origin = "Host: localhost\r\nOrigin: https://a.example\r\n";
    let open = get(POLL).replace("Host: localhost\r\n", origin);
    let mut stream = doors.send(0, &open);
    let head = head(&mut stream);
    assert_eq!(statuses(&head), [200], "{head}");
    let body = rest(&mut stream);
    let (_, sid) = body.split_once(r#""sid":""#).unwrap();
    let (sid, _) = sid.split_once('"').unwrap();
    for (origin, status) in [("https://late.test", 403), ("https://late.example", 101)] {
        let origin = format!("Origin: {origin}\r\n");
        let request = upgrade(&format!("{SOCKET}&sid={sid}"), &origin);
        let mut stream = doors.send(0, &request);
        assert_eq!(statuses(&self::head(&mut stream)), [status]);
    }
}

#[test]
fn what_is_said_at_once_needs_no_wait() {
    let hooks = Hooks::new()
        .allow_request(|_| ready(Ok(())))
        .generate_id(|head| ready(Ok(head.query("id").unwrap_or_default().into_owned())));
    let doors = Doors::start(hooks);
    let mut clients = Vec::new();
    for at in 0..2 {
        let id = format!("id-{at}");
        let stream = doors.send(at, &request("websocket", &format!("&id={id}")));
        let mut client = Client::opened(stream);
        assert!(client.receive_text().contains(&id));
        clients.push(client);
    }
    assert_eq!(doors.io.clients_count(), 2);
}

//! The connection below the sockets of a client, and Socket.IO as a whole.

use std::{
    num::NonZero,
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor::{
    engineio::{CloseCause, State, Transport, Version},
    socketio::{DisconnectReason, Socket, SocketIo},
};

use crate::support::{TestServer, block_on, wait_until};

fn serve(io: &SocketIo, shards: usize) -> TestServer {
    TestServer::build(
        |config| config.shards = NonZero::new(shards),
        |builder| builder.socketio(io).doors([parlor::Door::WebSocket]),
    )
}

/// The sockets of a namespace, once there are so many.
fn sockets(io: &SocketIo, name: &str, count: usize) -> Vec<Socket> {
    let mut found = Vec::new();
    wait_until("the sockets are there", || {
        found = block_on(io.of(name).fetch_sockets()).unwrap();
        found.len() == count
    });
    found
}

#[test]
fn a_connection_tells_its_id_its_transport_and_its_upgrade() {
    for version in [4, 3] {
        let io = SocketIo::new();
        let log = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&log);
        io.of("/").on_connect(move |socket| {
            let noted = Arc::clone(&noted);
            let conn = socket.conn();
            assert_eq!(conn.transport(), Transport::Polling);
            conn.on_upgrade(move |conn| {
                let transport = conn.transport().as_str();
                noted.lock().unwrap().push(format!("on {transport}"));
            });
            let _ = socket.emit("hello", &());
            async {}
        });
        let server = TestServer::build(
            |config| config.socketio.engine.legacy = true,
            |builder| builder.socketio(&io),
        );
        let mut ann = server.poll_engine(version, "");
        if version == 4 {
            ann.connect("/");
        } else {
            assert_eq!(ann.hear(), "0");
        }
        assert_eq!(ann.hear(), r#"2["hello"]"#);
        let socket = sockets(&io, "/", 1).remove(0);
        let conn = socket.conn();
        assert!(ann.query.contains(&format!("sid={}", conn.id())));
        let expected = match version {
            4 => Version::V4,
            _ => Version::V3,
        };
        assert_eq!((conn.version(), conn.state()), (expected, State::Open));
        assert_eq!(conn.head().path(), "/socket.io/");

        let mut upgraded = ann.socket();
        upgraded.send_text("2probe");
        assert_eq!(upgraded.receive_text(), "3probe");
        assert_eq!(conn.transport(), Transport::Polling);
        upgraded.send_text("5");
        upgraded.send_text(r#"42["x"]"#);
        wait_until("it has gone on", || !log.lock().unwrap().is_empty());
        assert_eq!(*log.lock().unwrap(), ["on websocket"]);
        assert_eq!(conn.transport(), Transport::WebSocket);
    }
}

/// The reason of an end, and its details.
type End = (DisconnectReason, Option<String>);

/// What handlers are told of ends.
struct Ends {
    io: SocketIo,
    server: TestServer,
    of_sockets: Arc<Mutex<Vec<End>>>,
    of_connections: Arc<Mutex<Vec<&'static str>>>,
}

impl Ends {
    fn start() -> Self {
        let io = SocketIo::new();
        let of_sockets = Arc::<Mutex<Vec<_>>>::default();
        let noted = Arc::clone(&of_sockets);
        io.of("/").on_disconnect(move |socket: Socket, reason| {
            let details = socket.disconnect_details().map(|cause| cause.to_string());
            noted.lock().unwrap().push((reason, details));
            async {}
        });
        Self {
            server: serve(&io, 1),
            io,
            of_sockets,
            of_connections: Arc::default(),
        }
    }

    /// The only socket, of whose connection it will be told.
    fn listen(&self) -> Socket {
        let socket = sockets(&self.io, "/", 1).remove(0);
        let noted = Arc::clone(&self.of_connections);
        socket.conn().on_close(move |_, cause| {
            noted.lock().unwrap().push(cause.reason().as_str());
        });
        socket
    }

    /// How a socket ends that is ended in this way.
    fn of(&self, cut: impl FnOnce(&TestServer)) -> End {
        cut(&self.server);
        let told = || !self.of_sockets.lock().unwrap().is_empty();
        wait_until("its end was told", told);
        self.of_sockets.lock().unwrap().remove(0)
    }
}

#[test]
fn a_connection_ends_in_a_way_that_can_be_told() {
    let ends = Ends::start();
    let rows = [
        ends.of(|server| {
            let (ann, _) = server.io("");
            ends.listen();
            drop(ann);
        }),
        ends.of(|server| {
            let (ann, _) = server.poll_io("");
            ends.listen();
            // A second GET while one is pending.
            let _first = server.send_poll("GET", &ann.query, "", b"");
            let _second = server.ask_poll("GET", &ann.query, "", b"");
        }),
        ends.of(|server| {
            let (mut ann, _) = server.io("");
            ends.listen();
            ann.client.send_text("x");
        }),
        ends.of(|server| {
            let (mut ann, _) = server.io("");
            ends.listen();
            ann.say("1");
            ann.client.settle();
        }),
        ends.of(|server| {
            let (mut ann, _) = server.io("");
            let socket = ends.listen();
            let conn = socket.conn();
            socket.emit("last", &()).unwrap();
            conn.close().unwrap();
            assert_eq!(ann.hear(), r#"2["last"]"#);
            assert!(ann.is_closed());
            wait_until("it is closed", || conn.state() == State::Closed);
            assert_eq!(conn.close_cause(), Some(CloseCause::Forced));
            assert!(conn.close().is_err());
            assert!(block_on(conn.sockets()).unwrap().is_empty());
        }),
    ];
    let said = |text: &str| Some(text.to_owned());
    let expected = [
        (DisconnectReason::TransportClose, said("WebSocket closed")),
        (DisconnectReason::TransportError, said("second GET")),
        (DisconnectReason::ParseError, said("unknown packet type")),
        (DisconnectReason::ClientNamespaceDisconnect, None),
        (DisconnectReason::ForcedClose, said("closed by us")),
    ];
    assert_eq!(rows, expected);
    let expected = [
        "transport close",
        "transport error",
        "parse error",
        "transport close",
        "forced close",
    ];
    let closed = &ends.of_connections;
    wait_until("all ends were told", || closed.lock().unwrap().len() == 5);
    assert_eq!(*closed.lock().unwrap(), expected);
}

#[test]
fn a_connection_has_the_sockets_of_its_namespaces() {
    for shards in [1, 2] {
        let io = SocketIo::new();
        let _ = io.of("/");
        let chat = io.of_pattern("/chat-*");
        chat.middleware(|_| async { Ok(()) });
        let server = serve(&io, shards);
        let (mut ann, _) = server.io("");
        let (_bo, _) = server.io("");
        for name in ["/chat-1", "/chat-2"] {
            ann.connect(name);
        }
        let socket = sockets(&io, "/chat-1", 1).remove(0);
        let all = block_on(socket.conn().sockets()).unwrap();
        let mut names: Vec<&str> = all.iter().map(Socket::namespace).collect();
        names.sort_unstable();
        assert_eq!(names, ["/", "/chat-1", "/chat-2"]);
        assert!(all.iter().all(|it| it.conn().id() == socket.conn().id()));
        let main = io.of("/");
        assert_eq!(block_on(main.count_sockets()).unwrap(), 2);
        assert_eq!(block_on(io.of("/chat-2").count_sockets()).unwrap(), 1);
        let ids: Vec<String> = { all.iter() }.map(|it| it.id().to_owned()).collect();
        assert_eq!(block_on(main.to_rooms(&ids).count_sockets()).unwrap(), 1);
        assert_eq!(
            block_on(main.except(&ids[0]).count_sockets()).unwrap(),
            2 - usize::from(all[0].namespace() == "/")
        );
    }
}

#[test]
fn several_rooms_are_named_at_once() {
    let io = SocketIo::new();
    io.of("/")
        .on("enter", |socket: Socket, rooms: Vec<String>| async move {
            socket.join_rooms(&rooms)?.await?;
            Ok::<_, parlor::BoxError>(parlor::socketio::Ack(socket.rooms().len()))
        });
    let server = serve(&io, 2);
    let [mut ann, mut bo, mut cy] = ["", "", ""].map(|query| server.io(query).0);
    for (peer, rooms) in [
        (&mut ann, r#"["enter",["a","b"]]"#),
        (&mut bo, r#"["enter",["b"]]"#),
        (&mut cy, r#"["enter",[]]"#),
    ] {
        let many = peer.ask(rooms);
        assert!((1..=3).contains(&many.as_u64().unwrap()));
    }
    let main = io.of("/");
    main.to_rooms(["a", "b"]).emit("x", &1).unwrap();
    main.to_rooms(Vec::<String>::new()).emit("x", &2).unwrap();
    main.all().except_rooms(["a", "b"]).emit("x", &3).unwrap();
    main.emit("x", &4).unwrap();
    for (peer, expected) in [
        (&mut ann, &[1, 4][..]),
        (&mut bo, &[1, 4]),
        (&mut cy, &[3, 4]),
    ] {
        let mut heard: Vec<String> = expected.iter().map(|_| peer.hear()).collect();
        heard.sort_unstable();
        let expected = expected.iter().map(|number| format!(r#"2["x",{number}]"#));
        assert!(heard.iter().eq(&expected.collect::<Vec<_>>()), "{heard:?}");
    }
    let socket = sockets(&io, "/", 3).remove(0);
    block_on(async { socket.join_rooms([""; 0]).unwrap().await }).unwrap();
    let refused = block_on(async { socket.join_rooms(["c", "\n", "d"]).unwrap().await });
    assert!(refused.is_err());
    assert_eq!(
        block_on(main.to_rooms(["c", "d"]).count_sockets()).unwrap(),
        1
    );
}

#[test]
fn socketio_is_closed_alone_and_tells_its_settings() {
    let io = SocketIo::new();
    let ends = Arc::new(Mutex::new(Vec::new()));
    for name in ["/", "/chat"] {
        let noted = Arc::clone(&ends);
        io.of(name).on_disconnect(move |_, reason| {
            noted.lock().unwrap().push(reason);
            async {}
        });
    }
    assert!(io.config().is_none() && SocketIo::new().close().is_err());
    let server = serve(&io, 2);
    let settings = &io.config().unwrap().socketio;
    assert_eq!(settings.path, "/socket.io/");
    assert_eq!(settings.connect_timeout, Duration::from_secs(45));

    let mut other = server.websocket("/ws/lobby");
    let (mut ann, _) = server.io("");
    let (mut bo, _) = server.poll_io("");
    ann.connect("/chat");
    io.close().unwrap();
    assert!(ann.is_closed());
    bo.ends();
    wait_until("all ends were told", || ends.lock().unwrap().len() == 3);
    let down = DisconnectReason::ServerShuttingDown;
    assert_eq!(*ends.lock().unwrap(), [down; 3]);
    let refused = server.ask_poll("GET", "EIO=4&transport=polling", "", b"");
    assert_eq!(refused.refusal(), (403, 4));
    other.settle();
}

//! What passes in sessions of Engine.IO, told to who looks on.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor::{
    engineio::{Hooks, Passing, Traffic},
    socketio::SocketIo,
};

use crate::support::{TestServer, wait_until};

/// What was told, in words.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn hooks(&self) -> Hooks {
        let log = self.clone();
        Hooks::new().on_traffic(move |session, traffic| log.note(session, traffic))
    }

    fn note(&self, session: &Passing<'_>, traffic: Traffic<'_>) {
        let line = match traffic {
            Traffic::Received { kind, data, .. } => {
                format!("in {kind:?} {}", String::from_utf8_lossy(data))
            }
            Traffic::Sent { kind, data, .. } => {
                format!("out {kind:?} {}", String::from_utf8_lossy(data))
            }
            other => format!("{other:?}"),
        };
        let line = format!("{} {}", session.transport().as_str(), line.trim());
        self.0.lock().unwrap().push(line);
    }

    /// Waits until all of these have been told, in this order, whatever is between them.
    fn wait_for(&self, expected: &[&str]) {
        wait_until(&format!("{expected:?}"), || {
            let log = self.0.lock().unwrap();
            let mut rest = log.iter();
            expected.iter().all(|line| rest.any(|told| told == line))
        });
    }

    fn has(&self, line: &str) -> bool {
        self.0.lock().unwrap().iter().any(|told| told == line)
    }
}

fn serve(io: &SocketIo, log: &Log) -> TestServer {
    TestServer::build(
        |config| {
            config.socketio.engine.legacy = true;
            config.socketio.engine.ping_interval = Duration::from_millis(200);
        },
        |builder| {
            let builder = builder.socketio(io);
            builder.engineio_hooks("/socket.io/", log.hooks())
        },
    )
}

#[test]
fn packets_are_told_over_polling_and_over_a_socket() {
    let io = SocketIo::new();
    io.of("/")
        .on("ask", |_, (): ()| async { parlor::socketio::Ack(1) });
    let log = Log::default();
    let server = serve(&io, &log);
    let (mut ann, id) = server.poll_io("");
    assert_eq!(ann.ask(r#"["ask"]"#), 1);
    let connected = format!("{{\"sid\":\"{id}\"}}");
    log.wait_for(&[
        "polling Flushed",
        "polling Drained",
        "polling in Message 0",
        &format!("polling out Message 0{connected}"),
        r#"polling in Message 20["ask"]"#,
        "polling out Message 30[1]",
        "polling Flushed",
        "polling Drained",
    ]);
    assert!(!log.has("polling Upgrading"));

    let mut socket = ann.socket();
    socket.send_text("2probe");
    assert_eq!(socket.receive_text(), "3probe");
    socket.send_text("5");
    socket.send_text(r#"421["ask"]"#);
    // What is broadcast is told of each client.
    while socket.receive_text() != "431[1]" {}
    io.of("/").emit("all", &true).unwrap();
    while socket.receive_text() != r#"42["all",true]"# {}
    log.wait_for(&[
        "polling Upgrading",
        r#"websocket in Message 21["ask"]"#,
        "websocket out Message 31[1]",
        "websocket Flushed",
        r#"websocket out Message 2["all",true]"#,
        "websocket Flushed",
    ]);
    let told = |line: &str| {
        let log = log.0.lock().unwrap();
        log.iter().filter(|told| told.contains(line)).count()
    };
    assert_eq!(told(r#"["all",true]"#), 1);
    assert_eq!(told("probe"), 0, "the socket was only tried");
}

#[test]
fn signs_of_life_are_told() {
    let io = SocketIo::new();
    let _ = io.of("/");
    let log = Log::default();
    let server = serve(&io, &log);
    let mut ann = server.engine("");
    assert_eq!(ann.client.receive_text(), "2");
    ann.client.send_text("3");
    log.wait_for(&[
        "websocket out Ping",
        "websocket in Pong",
        "websocket Heartbeat",
    ]);
    let bo = server.poll_engine(3, "");
    assert_eq!(bo.say_all(&["2"]), 200);
    log.wait_for(&["polling in Ping", "polling Heartbeat"]);
    let _ = bo.get();
    log.wait_for(&["polling out Pong"]);
}

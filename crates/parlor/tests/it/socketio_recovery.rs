//! Socket.IO sessions that outlive their connection.

use std::{
    num::NonZero,
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor::socketio::{ConnectError, Socket, SocketIo};
use serde_json::Value;

use crate::{
    socketio_support::Io,
    support::{TestServer, wait_until},
};

fn start(shards: usize) -> TestServer {
    TestServer::start(|config| {
        config.shards = NonZero::new(shards);
        config.socketio.recovery = Duration::from_secs(60);
    })
}

/// What a CONNECT is answered with.
#[derive(Debug, PartialEq, Eq)]
struct Session {
    sid: String,
    pid: String,
}

/// Sends a CONNECT and waits for its answer.
fn connect(io: &mut Io, auth: &str) -> Session {
    io.say(&format!("0{auth}"));
    let answer = io.hear();
    let answer: Value = serde_json::from_str(answer.strip_prefix('0').unwrap()).unwrap();
    let text = |key: &str| answer[key].as_str().unwrap().to_owned();
    Session {
        sid: text("sid"),
        pid: text("pid"),
    }
}

fn come_back(server: &TestServer, session: &Session, offset: &str) -> (Io, Session) {
    let mut io = server.engine("");
    let pid = &session.pid;
    let auth = format!(r#"{{"pid":"{pid}","offset":"{offset}"}}"#);
    let session = connect(&mut io, &auth);
    (io, session)
}

/// The next event without its offset, and that.
fn hear(io: &mut Io) -> (String, String) {
    let heard = io.hear();
    let (event, offset) = heard.rsplit_once(",\"").unwrap();
    let offset = offset.strip_suffix("\"]").unwrap();
    (format!("{event}]"), offset.to_owned())
}

#[test]
fn a_client_that_comes_back_hears_what_it_has_missed_once_and_in_order() {
    for shards in [1, 3] {
        let server = start(shards);
        for round in 0..4 {
            let (mut bo, _) = server.io("");
            let mut ann = server.engine("");
            let session = connect(&mut ann, "");
            ann.say(r#"20["join","tea"]"#);
            assert!(ann.hear().starts_with("30["));
            bo.say(r#"2["x",0]"#);
            let (event, offset) = hear(&mut ann);
            assert_eq!(event, r#"2["x",0]"#);
            drop(ann);
            for number in 1..=20 {
                let room = if number % 2 == 0 { "tea" } else { "lobby" };
                bo.say(&format!(r#"2["to","{room}","x",{number}]"#));
                if number == 10 {
                    bo.settle();
                }
            }
            bo.say_binary(
                &format!(
                    r#"51-["to","{}","b",{{"_placeholder":true,"num":0}}]"#,
                    session.sid
                ),
                &[&[round]],
            );
            let (mut ann, again) = come_back(&server, &session, &offset);
            assert_eq!(session, again);
            bo.say(r#"2["x",100]"#);
            bo.settle();
            let mut heard = Vec::new();
            let mut offset = String::new();
            while heard.len() < 21 {
                let (event, place) = hear(&mut ann);
                offset = place;
                if event.starts_with("51-") {
                    assert_eq!(ann.hear_binary(), [round]);
                } else {
                    let event: Value =
                        serde_json::from_str(event.strip_prefix('2').unwrap()).unwrap();
                    heard.push(event[1].as_u64().unwrap());
                }
            }
            // Each room has an order of its own.
            for rest in [0, 1] {
                let mut room = heard
                    .iter()
                    .filter(|number| **number < 100 && *number % 2 == rest);
                let wanted: Vec<u64> = (1..=20).filter(|number| number % 2 == rest).collect();
                assert!(room.by_ref().eq(&wanted), "{heard:?}");
            }
            ann.settle();
            // And once more, from there.
            drop(ann);
            bo.say(r#"2["x",101]"#);
            let (mut ann, again) = come_back(&server, &session, &offset);
            assert_eq!(session, again);
            assert_eq!(hear(&mut ann).0, r#"2["x",101]"#);
            ann.settle();
        }
    }
}

#[test]
fn a_session_is_restored_once_and_never_by_halves() {
    for shards in [1, 2] {
        let server = start(shards);
        let (mut bo, _) = server.io("");
        let mut lost = |say_goodbye: bool, messages: usize| {
            let mut ann = server.engine("");
            let session = connect(&mut ann, "");
            bo.say(r#"2["x"]"#);
            let offset = hear(&mut ann).1;
            if say_goodbye {
                ann.say("1");
                ann.client.settle();
            }
            drop(ann);
            for _ in 0..messages {
                bo.say(r#"2["y"]"#);
            }
            bo.settle();
            (session, offset)
        };
        let (session, offset) = lost(false, 0);
        let (_ann, first) = come_back(&server, &session, &offset);
        let (_eve, second) = come_back(&server, &session, &offset);
        assert_eq!(first, session);
        assert!(second.sid != session.sid && second.pid != session.pid);

        let (session, offset) = lost(true, 0);
        assert_ne!(
            come_back(&server, &session, &offset).1.sid,
            session.sid,
            "left"
        );

        let (session, offset) = lost(false, 1030);
        assert_ne!(
            come_back(&server, &session, &offset).1.sid,
            session.sid,
            "a gap"
        );

        let (session, offset) = lost(false, 0);
        let mut pid = session.pid.clone();
        pid.replace_range(4..6, "zz");
        let forged = Session {
            sid: String::new(),
            pid,
        };
        assert_ne!(come_back(&server, &forged, &offset).1.sid, session.sid);
        for wrong in ["", "x", "00000000-1", &format!("{offset}9")] {
            let (session, _) = lost(false, 0);
            assert_ne!(
                come_back(&server, &session, wrong).1.sid,
                session.sid,
                "{wrong}"
            );
        }
    }
}

#[test]
fn a_client_may_know_sooner_than_the_server_that_it_was_cut() {
    for shards in [1, 2] {
        let server = start(shards);
        let (mut bo, _) = server.io("");
        let mut ann = server.engine("");
        let session = connect(&mut ann, "");
        bo.say(r#"2["x",1]"#);
        let offset = hear(&mut ann).1;
        bo.say(r#"2["x",2]"#);
        hear(&mut ann);
        let (mut again, restored) = come_back(&server, &session, &offset);
        assert_eq!(restored, session);
        assert_eq!(hear(&mut again).0, r#"2["x",2]"#);
        assert!(ann.is_closed());
        bo.say(r#"2["x",3]"#);
        assert_eq!(hear(&mut again).0, r#"2["x",3]"#);
        again.settle();
    }
}

#[test]
fn a_session_is_kept_for_so_long() {
    let server = TestServer::start(|config| {
        config.socketio.recovery = Duration::from_millis(50);
    });
    let mut watch = server.peer_in("lobby");
    let mut ann = server.engine("");
    let session = connect(&mut ann, "");
    assert_eq!(watch.hear()["type"], "peer-joined");
    watch.say(&serde_json::json!({"type": "message", "room": "lobby", "event": "x", "data": 1}));
    let offset = hear(&mut ann).1;
    drop(ann);
    assert_eq!(watch.hear()["type"], "peer-left");
    assert_ne!(come_back(&server, &session, &offset).1.sid, session.sid);
}

#[test]
fn handlers_are_told_of_a_socket_that_is_recovered() {
    for shards in [1, 3] {
        let io = SocketIo::new();
        io.of("/").on_connect(|socket: Socket| async move {
            if socket.is_recovered() {
                let data = socket.data::<String>();
                let data = data.map_or_else(String::new, |data| data.to_string());
                let _ = socket.emit("again", &(data, socket.rooms().len()));
            } else {
                socket.set_data("kept".to_owned());
                socket.join("tea").unwrap().await.unwrap();
                let _ = socket.emit("hello", &());
            }
        });
        let server = TestServer::build(
            |config| {
                config.shards = NonZero::new(shards);
                config.socketio.recovery = Duration::from_secs(60);
            },
            |builder| builder.socketio(&io),
        );
        let mut ann = server.engine("");
        let session = connect(&mut ann, "");
        let (hello, offset) = hear(&mut ann);
        assert_eq!(hello, r#"2["hello"]"#);
        drop(ann);
        let main = io.of("/");
        wait_until("it is gone", || {
            let sockets = crate::support::block_on(main.fetch_sockets());
            sockets.unwrap().is_empty()
        });
        main.to("tea").emit("missed", &1).unwrap();
        main.to(&session.sid).emit("missed", &2).unwrap();
        main.to("tea").volatile().emit("never", &()).unwrap();
        let (mut ann, again) = come_back(&server, &session, &offset);
        assert_eq!(again, session);
        let mut heard: Vec<String> = (0..3).map(|_| hear(&mut ann).0).collect();
        heard.sort_unstable();
        let expected = [
            r#"2["again","kept",2]"#,
            r#"2["missed",1]"#,
            r#"2["missed",2]"#,
        ];
        assert_eq!(heard, expected);
    }
}

#[test]
fn whoever_has_stayed_and_gone_is_counted_once() {
    let server = TestServer::start(|config| {
        config.shards = NonZero::new(2);
        config.socketio.recovery = Duration::from_millis(300);
        config.socketio.engine.ping_interval = Duration::from_secs(2);
        config.socketio.engine.ping_timeout = Duration::from_secs(2);
    });
    let mut opened = 0;
    for way in 0..7 {
        opened += 2;
        let mut io = server.engine("");
        connect(&mut io, "");
        let mut session = server.poll_engine(4, "");
        assert_eq!(session.say("0"), 200);
        match way {
            // Goodbyes, by each protocol.
            0 => {
                io.client.send(0x88, &[]);
                session.say_all(&["1"]);
            }
            1 => {
                io.client.send_text("1");
                session.say("1");
            }
            // What cannot be read.
            2 => {
                io.say("x");
                session.say("x");
                // It is told, which would be waited for.
                session.ends();
            }
            3 => {
                io.client.send(0x80, b"x");
                session.say_all(&["x"]);
            }
            // The ends of connections.
            4 => {
                drop(io);
                drop(server.send_poll("POST", &session.query, "Content-Length: 9\r\n", b"4"));
            }
            5 => {
                let socket = session.socket();
                drop((io, socket));
                drop(server.send_poll("GET", &session.query, "", b""));
            }
            // Silence.
            _ => while io.client.receive().is_ok() {},
        }
    }
    server.expect(r#"parlor_members{door="socketio"}"#, 0);
    let series = r#"parlor_connections_closed_total{door="socketio""#;
    let closed = server.scrape();
    let closed = closed.lines().filter(|line| line.starts_with(series));
    let closed = closed.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(closed.sum::<u64>(), opened);
}

/// Asks for a session with something to say to the middleware.
fn ask_again(io: &mut Io, session: &Session, offset: &str, token: &str) -> String {
    let pid = &session.pid;
    io.say(&format!(
        r#"0{{"pid":"{pid}","offset":"{offset}","token":"{token}"}}"#
    ));
    io.hear()
}

#[test]
fn a_recovered_socket_passes_the_middleware_again_where_it_is_to() {
    for (shards, skips) in [(1, false), (3, false), (1, true)] {
        let io = SocketIo::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        io.of("/").middleware(move |socket: Socket| {
            let data = socket.data::<String>().is_some();
            let rooms = socket.rooms().len();
            let row = (socket.is_recovered(), data, rooms);
            seen.lock().unwrap().push(row);
            async move {
                match socket.auth_json().contains("expired") {
                    true => Err(ConnectError::new("sign in again")),
                    false => Ok(()),
                }
            }
        });
        io.of("/").on_connect(|socket: Socket| async move {
            if !socket.is_recovered() {
                socket.set_data("kept".to_owned());
                socket.join("tea").unwrap().await.unwrap();
            }
            let _ = socket.emit("hello", &socket.is_recovered());
        });
        let server = TestServer::build(
            |config| {
                config.shards = NonZero::new(shards);
                config.socketio.recovery = Duration::from_secs(60);
                config.socketio.recovery_skips_middleware = skips;
            },
            |builder| builder.socketio(&io),
        );
        let mut ann = server.engine("");
        let session = connect(&mut ann, "");
        let (hello, offset) = hear(&mut ann);
        assert_eq!(hello, r#"2["hello",false]"#);
        drop(ann);
        let main = io.of("/");
        wait_until("it is gone", || {
            let sockets = crate::support::block_on(main.fetch_sockets());
            sockets.unwrap().is_empty()
        });
        main.to("tea").emit("missed", &1).unwrap();
        let mut ann = server.engine("");
        if !skips {
            // Who is refused may ask again, on this connection or on another one.
            let refused = r#"4{"message":"sign in again"}"#;
            assert_eq!(ask_again(&mut ann, &session, &offset, "expired"), refused);
            assert_eq!(ask_again(&mut ann, &session, &offset, "expired"), refused);
            drop(ann);
            ann = server.engine("");
        }
        let answer = ask_again(&mut ann, &session, &offset, "fresh");
        assert!(answer.contains(&session.sid), "{answer}");
        let mut heard = [hear(&mut ann).0, hear(&mut ann).0];
        heard.sort_unstable();
        assert_eq!(heard, [r#"2["hello",true]"#, r#"2["missed",1]"#]);
        let mut rows = vec![(false, false, 1)];
        rows.resize(if skips { 1 } else { 4 }, (true, true, 2));
        assert_eq!(*asked.lock().unwrap(), rows);
    }
}

#[test]
fn a_session_that_ends_while_its_client_is_asked_about_is_not_recovered() {
    let io = SocketIo::new();
    let let_in = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&let_in);
    io.of("/").middleware(move |socket: Socket| {
        let gate = Arc::clone(&gate);
        async move {
            if socket.is_recovered() {
                gate.notified().await;
            }
            Ok(())
        }
    });
    io.of("/").on_connect(|socket: Socket| async move {
        socket.join("tea").unwrap().await.unwrap();
        let _ = socket.emit("hello", &socket.is_recovered());
    });
    let server = TestServer::build(
        |config| {
            config.socketio.recovery = Duration::from_secs(1);
            config.socketio.recovery_skips_middleware = false;
        },
        |builder| builder.socketio(&io).doors([parlor::Door::Signal]),
    );
    let mut watch = server.peer_in("tea");
    let mut ann = server.engine("");
    let session = connect(&mut ann, "");
    let offset = hear(&mut ann).1;
    drop(ann);
    let mut ann = server.engine("");
    ann.say(&format!(
        r#"0{{"pid":"{}","offset":"{offset}"}}"#,
        session.pid
    ));
    assert_eq!(watch.hear()["type"], "peer-joined");
    assert_eq!(watch.hear()["type"], "peer-left");
    let_in.notify_one();
    let answer = ann.hear();
    assert!(!answer.contains(&session.sid), "{answer}");
    assert_eq!(hear(&mut ann).0, r#"2["hello",false]"#);
}

//! Socket.IO with handlers.

use std::{
    num::NonZero,
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor::socketio::{
    Ack, AckError, Args, Binary, ConnectError, DisconnectReason, Received, Socket, SocketIo,
};
use serde_json::{Value, json};

use crate::support::{TestServer, block_on, wait_until};

fn serve(io: &SocketIo, shards: usize) -> TestServer {
    TestServer::build(
        |config| config.shards = NonZero::new(shards),
        |builder| builder.socketio(io).doors([parlor::Door::WebSocket]),
    )
}

#[test]
fn the_files_of_the_client_are_there_for_handlers_too() {
    let server = TestServer::build(|_| {}, |builder| builder.socketio(&SocketIo::new()));
    let request =
        "GET /socket.io/socket.io.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let response = server.exchange(request.as_bytes());
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert!(response.contains("application/javascript"), "{response}");
}

/// What handlers have seen.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn wait_for(&self, expected: &[&str]) {
        wait_until("handlers were called", || {
            self.0.lock().unwrap().len() >= expected.len()
        });
        assert_eq!(*self.0.lock().unwrap(), expected);
    }
}

#[test]
fn events_come_typed_and_are_acknowledged_by_what_the_handler_returns() {
    let io = SocketIo::new();
    io.of("/").on_connect(|socket| async move {
        socket.on("add", |_, (a, b): (u32, u32)| async move { Ack(a + b) });
        socket.on("maybe", |_, yes: bool| async move {
            yes.then_some(Ack(("a", [1])))
        });
        socket.on("fail", |_, (): ()| async move { Err::<(), _>("no") });
        socket.on("bytes", |socket: Socket, bytes: Binary| async move {
            let _ = socket.emit("back", &(bytes.clone(), [bytes]));
        });
        socket.on_event("later", |received: Received| async move {
            let ack = received.ack().unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            ack.clone().send(()).unwrap();
            ack.send(2).unwrap();
        });
        socket.on_error(|socket, error| async move {
            let _ = socket.emit("wrong", &error.to_string());
        });
    });
    let server = serve(&io, 1);
    let (mut ann, _) = server.io("");
    for (sent, heard) in [
        (r#"20["add",1,2]"#, "30[3]"),
        (r#"21["maybe",true]"#, r#"31["a",[1]]"#),
        (r#"22["later"]"#, "32[]"),
        (r#"2["fail"]"#, r#"2["wrong","no"]"#),
        (
            r#"2["add","x"]"#,
            r#"2["wrong","arguments of another type: invalid type: string \"x\", expected a tuple of size 2 at line 1 column 3"]"#,
        ),
    ] {
        ann.say(sent);
        assert_eq!(ann.hear(), heard);
    }
    ann.say_binary(r#"51-["bytes",{"_placeholder":true,"num":0}]"#, &[&[7]]);
    let back = r#"52-["back",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]"#;
    assert_eq!(ann.hear(), back);
    assert_eq!((ann.hear_binary(), ann.hear_binary()), (vec![7], vec![7]));
    // Events wait for those before them.
    ann.say(r#"23["later"]"#);
    ann.say(r#"24["add",1,1]"#);
    assert_eq!(
        (ann.hear(), ann.hear()),
        ("33[]".to_owned(), "34[2]".to_owned())
    );
}

#[test]
fn clients_are_answered_though_handlers_have_filled_the_queue() {
    let io = SocketIo::new();
    let text = "x".repeat(64 * 1024);
    io.of("/").middleware(move |socket| {
        let text = text.clone();
        async move {
            while socket.to("nobody").emit("text", &text).is_ok() {}
            match socket.auth_json() {
                "{}" => Ok(()),
                _ => Err(ConnectError::new("no")),
            }
        }
    });
    let server = serve(&io, 1);
    drop(server.io(""));
    let mut bo = server.engine("");
    bo.say("0{\"who\":\"bo\"}");
    assert_eq!(bo.hear(), r#"4{"message":"no"}"#);
}

#[test]
fn clients_acknowledge_events_of_the_server() {
    let io = SocketIo::new();
    io.of("/").on_connect(|socket| async move {
        let sum: Result<u32, AckError> = socket.emit_with_ack("add", &(1, 2)).await;
        let _ = socket.emit("sum", &sum.unwrap());
        let timeout = Duration::from_millis(50);
        let late = socket
            .timeout(timeout)
            .emit_with_ack::<Value, _>("slow", &())
            .await;
        let _ = socket.emit("late", &late.unwrap_err().to_string());
    });
    let server = serve(&io, 1);
    let (mut ann, _) = server.io("");
    assert_eq!(ann.hear(), r#"20["add",1,2]"#);
    ann.say("30[3]");
    assert_eq!(ann.hear(), r#"2["sum",3]"#);
    assert_eq!(ann.hear(), r#"21["slow"]"#);
    assert_eq!(ann.hear(), r#"2["late","no acknowledgement in time"]"#);
    ann.say("31[]");
    ann.say("30[]");
}

#[test]
fn namespaces_by_name_by_pattern_and_by_function() {
    let io = SocketIo::new();
    let name = |socket: Socket| async move {
        let _ = socket.emit("hello", socket.namespace());
    };
    io.of("admin").on_connect(name);
    io.of_pattern("/dynamic-*").on_connect(name);
    io.of_matching(|name, auth| name == "/secret" && auth.contains("swordfish"))
        .on_connect(name);
    let server = serve(&io, 2);
    let mut ann = server.engine("");
    for namespace in ["/admin", "/dynamic-1", "/dynamic-2"] {
        ann.connect(namespace);
        assert_eq!(
            ann.hear(),
            format!(r#"2{namespace},["hello","{namespace}"]"#)
        );
    }
    for unknown in ["", "/other,", r#"/secret,{"password":"x"}"#] {
        ann.say(&format!("0{unknown}"));
        assert!(
            ann.hear().ends_with(r#"{"message":"Invalid namespace"}"#),
            "{unknown}"
        );
    }
    ann.say(r#"0/secret,{"password":"swordfish"}"#);
    assert!(ann.hear().starts_with(r#"0/secret,{"sid":"#));
    assert_eq!(ann.hear(), r#"2/secret,["hello","/secret"]"#);
}

#[test]
fn middleware_lets_clients_in_or_not() {
    let io = SocketIo::new();
    io.of("/")
        .middleware(|socket: Socket| async move {
            #[derive(serde::Deserialize)]
            struct Auth {
                token: String,
            }
            let auth: Auth = socket.auth()?;
            match &*auth.token {
                "good" => {
                    socket.set_data(auth.token);
                    Ok(())
                }
                _ => Err(ConnectError::new("not authorized").with_data(&json!({"code": 1}))),
            }
        })
        .on_connect(|socket| async move {
            let token = socket.data::<String>().unwrap();
            let _ = socket.emit("hello", &*token);
        })
        .packet_middleware(|received: Received| async move {
            match received.name() {
                "forbidden" => Err("forbidden".into()),
                _ => Ok(()),
            }
        })
        .on("forbidden", |socket: Socket, (): ()| async move {
            let _ = socket.emit("never", &());
        })
        .on("ask", |_, (): ()| async move { Ack(true) });
    let server = serve(&io, 1);
    let mut ann = server.engine("");
    ann.say(r#"0{"token":"bad"}"#);
    assert_eq!(
        ann.hear(),
        r#"4{"message":"not authorized","data":{"code":1}}"#
    );
    ann.say("0");
    assert!(ann.hear().starts_with(r#"4{"message":"missing field"#));
    ann.say(r#"0{"token":"good"}"#);
    assert!(ann.hear().starts_with(r#"0{"sid":"#));
    assert_eq!(ann.hear(), r#"2["hello","good"]"#);
    ann.say(r#"2["forbidden"]"#);
    ann.say(r#"20["ask"]"#);
    assert_eq!(ann.hear(), "30[true]");
}

/// Rooms that clients join, and an event for some of them.
fn rooms_and_exceptions(io: &SocketIo, namespace: &str) {
    io.of(namespace)
        .on("join", |socket: Socket, room: String| async move {
            socket.join(room).unwrap().await.unwrap();
            Ack(())
        })
        .on(
            "to",
            |socket: Socket, (rooms, except): (Vec<String>, Vec<String>)| async move {
                let all = rooms
                    .iter()
                    .fold(socket.broadcast(), |all, room| all.to(room));
                let all = except.iter().fold(all, |all, room| all.except(room));
                all.emit("said", &1).unwrap();
                // What is said to each room afterwards comes afterwards.
                socket.broadcast().emit("end", &()).unwrap();
                for room in ["a", "b", "c"] {
                    socket.to(room).emit("end", &()).unwrap();
                }
                Ack(())
            },
        );
}

#[test]
fn broadcasts_go_to_rooms_and_leave_others_out_and_are_heard_once() {
    for (shards, name) in [(1, "/"), (3, "/"), (1, "/chat"), (3, "/chat")] {
        let io = SocketIo::new();
        rooms_and_exceptions(&io, name);
        let server = serve(&io, shards);
        let head = if name == "/" { "" } else { "/chat," };
        let mut clients: Vec<_> = (0..4).map(|_| server.engine("")).collect();
        let mut ids: Vec<String> = clients
            .iter_mut()
            .map(|client| client.connect(name))
            .collect();
        let mut number = 0;
        let mut ask = |client: &mut crate::socketio_support::Io, event: &str| {
            client.say(&format!("2{head}{number}{event}"));
            assert_eq!(client.hear(), format!("3{head}{number}[]"));
            number += 1;
        };
        for (index, room) in [(0, "a"), (1, "a"), (1, "b"), (2, "b"), (3, "c")] {
            ask(&mut clients[index], &format!(r#"["join","{room}"]"#));
        }
        let id = ids.pop().unwrap();
        let rows = [
            (r#"["a","b"]"#.to_owned(), "[]", [1, 1, 0]),
            (r#"["a","b"]"#.to_owned(), r#"["a"]"#, [0, 1, 0]),
            ("[]".to_owned(), "[]", [1, 1, 1]),
            ("[]".to_owned(), r#"["b","c"]"#, [0, 0, 0]),
            (format!(r#"["a","{id}"]"#), "[]", [1, 0, 1]),
            (format!(r#"["{id}"]"#), "[]", [0, 0, 1]),
        ];
        for (rooms, except, expected) in rows {
            let (first, others) = clients.split_first_mut().unwrap();
            ask(first, &format!(r#"["to",{rooms},{except}]"#));
            let heard = [0, 1, 2].map(|index| {
                // One for all, and one for each of its rooms.
                let mut ends = [3, 2, 2][index];
                let mut said = 0;
                while ends > 0 {
                    match others[index].hear().strip_prefix(&format!("2{head}")) {
                        Some(r#"["said",1]"#) => said += 1,
                        Some(r#"["end"]"#) => ends -= 1,
                        other => assert_eq!(other, None),
                    }
                }
                said
            });
            assert_eq!(heard, expected, "{rooms} {except} {name} {shards}");
        }
    }
}

#[test]
fn rooms_are_shared_with_other_doors() {
    let io = SocketIo::new();
    io.of("/").on_connect(|socket| async move {
        socket.join("tea").unwrap().await.unwrap();
        let _ = socket.emit("in", &());
        socket.on("say", |socket: Socket, text: String| async move {
            socket.to("tea").emit("message", &text).unwrap();
        });
    });
    let server = serve(&io, 2);
    let (mut ann, _) = server.io("");
    assert_eq!(ann.hear(), r#"2["in"]"#);
    let mut raw = server.websocket("/ws/tea");
    raw.settle();
    raw.send_text("from raw");
    assert_eq!(ann.hear(), r#"2["message","from raw"]"#);
    ann.say(r#"2["say","from ann"]"#);
    assert_eq!(raw.receive_text(), "from ann");
    io.of("/")
        .to("tea")
        .emit("message", "from the server")
        .unwrap();
    assert_eq!(raw.receive_text(), "from the server");
    assert_eq!(ann.hear(), r#"2["message","from the server"]"#);
}

#[test]
fn many_acknowledge_one_event() {
    let io = SocketIo::new();
    io.of("/").on_connect(|_| async {});
    let server = serve(&io, 2);
    let mut clients: Vec<_> = (0..3).map(|_| server.io("").0).collect();
    let all = io.of("/").all().timeout(Duration::from_secs(30));
    let gathered = all.emit_with_ack("ask", &1);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.hear(), r#"20["ask",1]"#);
        client.say(&format!("30[{number}]"));
    }
    let answers = block_on(gathered).unwrap();
    let mut answers: Vec<u8> = answers.iter().map(|args| args.parse().unwrap()).collect();
    answers.sort_unstable();
    assert_eq!(answers, [0, 1, 2]);
    let gathered = io
        .of("/")
        .all()
        .timeout(Duration::from_millis(300))
        .emit_with_ack("ask", &1);
    clients[0].hear();
    clients[0].say("31[5]");
    let partial = block_on(gathered).unwrap_err();
    let answers: Vec<u8> = partial
        .answers
        .iter()
        .map(|args: &Args| args.parse().unwrap())
        .collect();
    assert_eq!((answers, partial.missing), (vec![5], 2));
    // Nobody there: nobody to wait for.
    let nobody = block_on(io.of("/").to("nowhere").emit_with_ack("ask", &1));
    assert!(nobody.unwrap().is_empty());
}

#[test]
fn the_sockets_of_a_namespace_can_be_told_what_to_do() {
    let io = SocketIo::new();
    io.of("/").on_connect(|_| async {});
    let server = serve(&io, 3);
    let mut clients: Vec<_> = (0..4).map(|_| server.io("")).collect();
    let main = io.of("/");
    let sockets = || block_on(main.fetch_sockets()).unwrap();
    wait_until("all are there", || sockets().len() == 4);
    let first = clients[0].1.clone();
    main.to(&first).sockets_join(["x", "y"]).unwrap();
    let in_x = block_on(main.to("x").fetch_sockets()).unwrap();
    assert_eq!(in_x.iter().map(Socket::id).collect::<Vec<_>>(), [&*first]);
    assert_eq!(sockets().iter().filter(|it| **it == in_x[0]).count(), 1);
    assert_eq!(in_x[0].rooms().len(), 3);
    assert_eq!(block_on(main.except("x").fetch_sockets()).unwrap().len(), 3);
    in_x[0].emit("hello", &()).unwrap();
    assert_eq!(clients[0].0.hear(), r#"2["hello"]"#);
    main.to("x").sockets_leave(["x"]).unwrap();
    assert!(block_on(main.to("x").fetch_sockets()).unwrap().is_empty());
    main.to("y").disconnect_sockets(false).unwrap();
    assert_eq!(clients[0].0.hear(), "1");
    wait_until("one is gone", || sockets().len() == 3);
    assert_eq!(
        in_x[0].disconnect_reason(),
        Some(DisconnectReason::ServerNamespaceDisconnect)
    );
    assert!(in_x[0].emit("hello", &()).is_err());
    main.all().disconnect_sockets(true).unwrap();
    for (io, _) in &mut clients[1..] {
        assert_eq!(io.hear(), "1");
        assert!(io.is_closed());
    }
    assert!(sockets().is_empty());
}

#[test]
fn ends_have_reasons() {
    let log = Log::default();
    let io = SocketIo::new();
    let (before, after) = (log.clone(), log.clone());
    io.of("/")
        .on_disconnecting(move |socket: Socket, reason| {
            before.note(format!("{} {}", socket.rooms().len(), reason.as_str()));
            async {}
        })
        .on_disconnect(move |socket: Socket, _| {
            after.note(socket.rooms().len().to_string());
            async {}
        })
        .on("leave", |socket: Socket, close: bool| async move {
            socket.disconnect(close).unwrap();
        });
    let mut server = serve(&io, 1);
    let mut expected: Vec<String> = Vec::new();
    let mut expect = |reason: &str| {
        expected.extend([format!("1 {reason}"), "0".to_owned()]);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        log.wait_for(&expected);
    };
    let (mut ann, _) = server.io("");
    ann.say("1");
    expect("client namespace disconnect");
    ann.connect("/");
    ann.say(r#"2["leave",false]"#);
    assert_eq!(ann.hear(), "1");
    expect("server namespace disconnect");
    ann.connect("/");
    ann.say(r#"2["leave",true]"#);
    assert_eq!(ann.hear(), "1");
    assert!(ann.is_closed());
    expect("server namespace disconnect");
    let (mut ann, _) = server.io("");
    ann.say("2{}");
    expect("parse error");
    let (mut ann, _) = server.io("");
    ann.say(r#"2/other,["x"]"#);
    expect("forced server close");
    let (ann, _) = server.io("");
    drop(ann);
    expect("transport close");
    let (mut ann, _) = server.io("");
    ann.client.send_text("1");
    expect("transport close");
    let (_ann, _) = server.io("");
    server.stop();
    expect("server shutting down");
}

#[test]
fn rooms_are_there_while_a_socket_disconnects() {
    let io = SocketIo::new();
    io.of("/")
        .on("join", |socket: Socket, room: String| async move {
            socket.join(room).unwrap().await.unwrap();
            Ack(())
        })
        .on_disconnecting(|socket: Socket, reason| async move {
            let own = socket.id().to_owned();
            let rooms = socket.rooms().into_iter();
            for room in rooms.filter(|room| **room != *own) {
                socket
                    .to(&room)
                    .emit("left", &(room, reason.as_str()))
                    .unwrap();
            }
        });
    let server = serve(&io, 1);
    let ((mut ann, _), (mut bo, _)) = (server.io(""), server.io(""));
    for client in [&mut ann, &mut bo] {
        client.say(r#"20["join","den"]"#);
        assert_eq!(client.hear(), "30[]");
    }
    ann.say("1");
    let left = r#"2["left","den","client namespace disconnect"]"#;
    assert_eq!(bo.hear(), left);
}

#[test]
fn what_middleware_refuses_is_an_error() {
    let io = SocketIo::new();
    io.of("/").on_connect(|socket| async move {
        socket.middleware(|received: Received| async move {
            match received.name() {
                "bad" => Err("not so".into()),
                _ => Ok(()),
            }
        });
        for event in ["bad", "good"] {
            socket.on(event, |_, (): ()| async move { Ack(true) });
        }
        socket.on_error(|socket, error| async move {
            let _ = socket.emit("wrong", &error.to_string());
        });
    });
    let server = serve(&io, 1);
    let (mut ann, _) = server.io("");
    ann.say(r#"20["bad"]"#);
    assert_eq!(ann.hear(), r#"2["wrong","not so"]"#);
    ann.say(r#"21["good"]"#);
    assert_eq!(ann.hear(), "31[true]");
}

#[test]
fn a_namespace_is_told_what_goes_wrong_with_events() {
    let io = SocketIo::new();
    let namespace = io.of("/");
    namespace
        .on("double", |_, number: u32| async move { Ack(2 * number) })
        .on_event("count", |received: Received| async move {
            let _ = received.socket().emit("counted", &received.args().len());
        })
        .on_error(|socket, error| async move {
            let _ = socket.emit("wrong", &error.to_string());
        })
        .on_connect(|socket| async move {
            socket.on_error(|socket, _| async move {
                let _ = socket.emit("heard too", &());
            });
        });
    let server = serve(&io, 1);
    let (mut ann, _) = server.io("");
    ann.say(r#"20["double",21]"#);
    assert_eq!(ann.hear(), "30[42]");
    ann.say(r#"21["double","much"]"#);
    let wrong = ann.hear();
    assert!(wrong.starts_with(r#"2["wrong","#), "{wrong}");
    assert_eq!(ann.hear(), r#"2["heard too"]"#);
    ann.say(r#"2["count",1,2]"#);
    assert_eq!(ann.hear(), r#"2["counted",2]"#);
    namespace.compress(false).emit("all", &1).unwrap();
    assert_eq!(ann.hear(), r#"2["all",1]"#);
    namespace.disconnect_sockets(false).unwrap();
    assert_eq!(ann.hear(), "1");
}

#[test]
fn listeners_for_all_events_for_one_and_none() {
    let log = Log::default();
    let io = SocketIo::new();
    let noted = log.clone();
    io.of("/").on_connect(move |socket| {
        let log = noted.clone();
        async move {
            let note = |prefix: &'static str| {
                let log = log.clone();
                move |received: Received| {
                    log.note(format!("{prefix} {}", received.name()));
                    async {}
                }
            };
            socket.on_any(note("any"));
            socket.prepend_any(note("first"));
            socket.on_event("x", note("x"));
            let once = log.clone();
            socket.once("x", move |_, (): ()| {
                once.note("once");
                async {}
            });
            let out = log.clone();
            socket.on_any_outgoing(move |event, _| out.note(format!("out {event}")));
            socket.on("stop", |socket: Socket, (): ()| async move {
                socket.off("x");
                socket.off_any();
                let _ = socket.volatile().compress(false).emit("stopped", &());
            });
        }
    });
    let server = serve(&io, 1);
    let (mut ann, _) = server.io("");
    for event in ["x", "x", "stop", "x"] {
        ann.say(&format!(r#"2["{event}"]"#));
    }
    assert_eq!(ann.hear(), r#"2["stopped"]"#);
    log.wait_for(&[
        "first x",
        "any x",
        "x x",
        "once",
        "first x",
        "any x",
        "x x",
        "first stop",
        "any stop",
        "out stopped",
    ]);
}

#[test]
fn a_handler_that_panics_costs_its_connection_alone() {
    let io = SocketIo::new();
    io.of("/").on("panic", |_, (): ()| async move {
        assert!(std::hint::black_box(false), "as asked");
    });
    io.of("/").on("ask", |_, (): ()| async move { Ack(1) });
    let server = serve(&io, 1);
    let (mut ann, _) = server.io("");
    let (mut bo, _) = server.io("");
    ann.say(r#"2["panic"]"#);
    assert!(ann.is_closed());
    bo.say(r#"20["ask"]"#);
    assert_eq!(bo.hear(), "30[1]");
}

#[test]
fn what_is_volatile_passes_those_by_who_do_not_read() {
    let io = SocketIo::new();
    io.of("/").on_connect(|_| async {});
    let server = serve(&io, 1);
    let mut stalled = server.websocket_with_small_buffer("/socket.io/?EIO=4&transport=websocket");
    stalled.receive_text();
    stalled.send_text("40");
    stalled.receive_text();
    let (mut ann, _) = server.io("");
    let main = io.of("/");
    // What is sent before fills what the kernel takes.
    let full = "x".repeat(100_000);
    main.emit("filler", &full).unwrap();
    main.emit("filler", &full).unwrap();
    ann.hear();
    ann.hear();
    for number in 0..3 {
        main.all().volatile().emit("tick", &number).unwrap();
        assert_eq!(ann.hear(), format!(r#"2["tick",{number}]"#));
    }
    main.emit("end", &()).unwrap();
    assert_eq!(ann.hear(), r#"2["end"]"#);
    for _ in 0..2 {
        assert!(stalled.receive_text().starts_with(r#"42["filler""#));
    }
    assert_eq!(stalled.receive_text(), r#"42["end"]"#);
}

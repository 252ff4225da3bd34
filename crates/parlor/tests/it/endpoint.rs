//! Endpoints of an embedder: who may connect, what is heard, how it ends.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use parlor::{
    BoxError, Connect, ConnectionError, Disconnect, Door, Endpoint, Handler, Member, Message,
    Refusal, Resume, Side,
};

use crate::support::{Client, TestServer, frame, upgrade};

fn endpoint(handler: impl Handler) -> TestServer {
    TestServer::build(|_| {}, |builder| builder.endpoint("/at/{room}", handler))
}

fn echo() -> Endpoint {
    Endpoint::new().on_message(|member, message| async move { member.send(message) })
}

#[test]
fn a_closure_hears_and_answers() {
    let server = endpoint(echo());
    let mut client = server.websocket("/at/tea");
    client.send_text("h\u{e9}");
    assert_eq!(client.receive_text(), "h\u{e9}");
    client.send(0x82, &[0, 255]);
    let frame = client.receive().unwrap();
    assert_eq!((frame.first, frame.payload), (0x82, vec![0, 255]));
    // Answers to what was said before a goodbye come before the goodbye.
    client.send_text("last");
    client.send(0x88, &[0x03, 0xe8]);
    assert_eq!(client.receive_text(), "last");
    assert_eq!(client.receive_close(), (1000, String::new()));
}

/// Tells what it sees to a test.
struct Telling(Mutex<mpsc::Sender<String>>);

impl Telling {
    fn new() -> (Self, mpsc::Receiver<String>) {
        let (tell, told) = mpsc::channel();
        (Self(Mutex::new(tell)), told)
    }

    fn tell(&self, what: String) {
        let _ = self.0.lock().unwrap().send(what);
    }
}

impl Handler for Telling {
    type State = (String, u32);

    async fn connect(&self, connect: &mut Connect) -> Result<Self::State, Refusal> {
        if connect.query("token").as_deref() != Some("secret") {
            return Err(Refusal::unauthorized("a token is required")
                .with_header("www-authenticate", "Bearer"));
        }
        connect.add_header("X-Greeting", "hello")?;
        if connect.protocols().any(|protocol| protocol == "v2") {
            connect.choose_protocol("v2")?;
        }
        if connect.query("keep").is_some() {
            connect.keep_head();
        }
        if let Some(name) = connect.query("name").map(|name| name.into_owned()) {
            connect.set_name(&name)?;
        }
        Ok((connect.param("room").to_owned(), 0))
    }

    async fn message(
        &self,
        (room, count): &mut Self::State,
        member: &Member,
        message: Message,
    ) -> Result<(), BoxError> {
        *count += 1;
        let text = message.as_text().unwrap_or("binary");
        self.tell(format!("{room} {count} {text}"));
        match text {
            "close" => member.close(4001, "as you like"),
            "terminate" => member.terminate(),
            "fail" => return Err("cannot do that".into()),
            "panic" => unreachable!("a handler's mistake"),
            "late" => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                unreachable!("a late mistake");
            }
            "who" => {
                let (name, protocol) = (member.name(), member.protocol());
                let agent = member.head().and_then(|head| head.header("user-agent"));
                member.send(format!("{name:?} {protocol:?} {agent:?}"))?;
            }
            _ => member.send_json(&(text, *count))?,
        }
        Ok(())
    }

    async fn disconnect(&self, (room, count): Self::State, member: &Member, how: Disconnect) {
        let open = member.is_open();
        let sent = member.send("x").is_err();
        self.tell(format!("{room} {count} {how:?} {open} {sent}"));
    }

    async fn error(&self, _: &mut Self::State, _: &Member, error: ConnectionError) {
        self.tell(format!("error: {error}"));
    }
}

#[test]
fn a_handler_decides_who_may_connect() {
    let (telling, _told) = Telling::new();
    let server = endpoint(telling);
    let refused = server.exchange(upgrade("/at/tea", "").as_bytes());
    assert!(
        refused.starts_with("HTTP/1.1 401 Unauthorized\r\n"),
        "{refused}"
    );
    assert!(
        refused.contains("www-authenticate: Bearer\r\n"),
        "{refused}"
    );
    assert!(
        refused.ends_with("\r\n\r\na token is required"),
        "{refused}"
    );
    let offer = "Sec-WebSocket-Protocol: v1, v2\r\nUser-Agent: test\r\n";
    let mut client = server.websocket_with("/at/tea?token=secret&name=Ann&keep", offer);
    assert!(client.response.contains("X-Greeting: hello"));
    assert!(client.response.contains("Sec-WebSocket-Protocol: v2"));
    client.send_text("who");
    assert_eq!(
        client.receive_text(),
        r#"Some("Ann") Some("v2") Some("test")"#
    );
    let mut other = server.websocket_with("/at/tea?token=secret", "Sec-WebSocket-Protocol: v1\r\n");
    assert!(other.response.contains("Sec-WebSocket-Protocol: v1"));
    other.send_text("who");
    assert_eq!(other.receive_text(), r#"None Some("v1") None"#);
    // The doors that need no handler are closed, and where no upgrade is asked for there may be a page.
    for (path, status) in [
        ("/ws", 404),
        ("/at/%ff", 400),
        ("/at/a/b", 404),
        ("/at/", 404),
    ] {
        let response = server.exchange(upgrade(path, "Connection: close\r\n").as_bytes());
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {response}"
        );
    }
    let plain = "GET /at/tea HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let response = server.exchange(plain.as_bytes()).to_lowercase();
    assert!(response.starts_with("http/1.1 426 "), "{response}");
    assert!(
        response.contains("\r\nupgrade: websocket\r\n"),
        "{response}"
    );
    let post = plain.replace("GET", "POST");
    let response = server.exchange(post.as_bytes());
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
}

#[test]
fn a_handler_hears_everything_in_order_and_then_the_end() {
    let (telling, told) = Telling::new();
    let server = endpoint(telling);
    let path = "/at/tea?token=secret";
    let hear = |expected: &[&str]| {
        for expected in expected {
            let told = told.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(&told, expected);
        }
    };
    let mut client = server.websocket(path);
    client.send_text("one");
    client.send_text("two");
    assert_eq!(client.receive_text(), r#"["one",1]"#);
    assert_eq!(client.receive_text(), r#"["two",2]"#);
    client.send(0x88, b"\x0f\xa0bye");
    assert_eq!(client.receive_close(), (4000, String::new()));
    let peer = r#"tea 2 Disconnect { code: 4000, reason: "bye", by: Peer } false true"#;
    hear(&["tea 1 one", "tea 2 two", peer]);

    let mut client = server.websocket(path);
    client.send_text("close");
    assert_eq!(client.receive_close(), (4001, "as you like".to_owned()));
    let ours = r#"tea 1 Disconnect { code: 4001, reason: "as you like", by: Server } false true"#;
    hear(&["tea 1 close", ours]);

    let mut client = server.websocket(path);
    client.send_text("terminate");
    assert!(client.receive().is_err());
    let cut = r#"tea 1 Disconnect { code: 1006, reason: "", by: Server } false true"#;
    hear(&["tea 1 terminate", cut]);

    drop(server.websocket(path));
    hear(&[r#"tea 0 Disconnect { code: 1006, reason: "", by: Peer } false true"#]);

    let mut client = server.websocket(path);
    client.send_text("fail");
    assert_eq!(client.receive_close(), (1011, "internal error".to_owned()));
    let failed =
        r#"tea 1 Disconnect { code: 1011, reason: "internal error", by: Server } false true"#;
    hear(&[
        "tea 1 fail",
        "error: a handler failed: cannot do that",
        failed,
    ]);

    let mut client = server.websocket(path);
    client.send(0x83, b"");
    assert_eq!(client.receive_close().0, 1002);
    let broke = told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(
        broke.starts_with("error: the client broke the protocol: "),
        "{broke}"
    );
    hear(&[r#"tea 0 Disconnect { code: 1002, reason: "", by: Server } false true"#]);
}

#[test]
fn json_that_does_not_fit_is_the_client_s_fault() {
    let (told, hear) = mpsc::channel();
    let adding = Endpoint::new()
        .on_message(|member, message| async move {
            let (a, b): (u32, u32) = message.json()?;
            member.send(Message::from_json(&a.saturating_add(b))?)
        })
        .on_error(move |_, error| {
            let told = told.clone();
            async move {
                told.send(error.to_string()).unwrap();
            }
        });
    let server = endpoint(adding);
    for malformed in ["", "[1", "[1,\u{1b}]", "[1,2,3]", "{}", "[-1,2]"] {
        let mut client = server.websocket("/at/tea?token=secret");
        client.send_text("[1,2]");
        assert_eq!(client.receive_text(), "3");
        client.send_text(malformed);
        client.send_text("[1,2]");
        let goodbye = (1007, "malformed message".to_owned());
        assert_eq!(client.receive_close(), goodbye, "{malformed}");
        let error = hear.recv_timeout(Duration::from_secs(30)).unwrap();
        assert!(
            error.starts_with("not the JSON that is expected: "),
            "{error}"
        );
    }
}

#[test]
fn a_panic_ends_one_connection_and_is_counted() {
    let (telling, _told) = Telling::new();
    let server = endpoint(telling);
    let mut others = server.websocket("/at/tea?token=secret");
    for (count, how) in [(1, "panic"), (2, "late")] {
        let mut client = server.websocket("/at/tea?token=secret");
        client.send_text(how);
        assert_eq!(client.receive_close(), (1011, "internal error".to_owned()));
        assert_eq!(server.handle.handler_panics(), count);
    }
    others.send_text("still here");
    assert_eq!(others.receive_text(), r#"["still here",1]"#);
    let refusing = endpoint(Endpoint::new().on_connect(|_| async { unreachable!("at once") }));
    let response = refusing.exchange(upgrade("/at/tea", "").as_bytes());
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    assert_eq!(refusing.handle.handler_panics(), 1);
}

#[test]
fn a_connect_handler_may_take_its_time_and_is_bounded() {
    let slow = Endpoint::new().on_connect(|connect| async move {
        connect.member().join("tea")?.await?;
        connect.member().send("welcome")?;
        let room = connect.server().room("tea")?;
        room.publish("somebody comes")?;
        if connect.query("never").is_some() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(connect)
    });
    let slow = slow.on_message(|member, message| async move { member.send(message) });
    let server = TestServer::build(
        |config| config.head_timeout = Duration::from_millis(300),
        |builder| builder.endpoint("/slow", slow),
    );
    // Messages that come before the answer are kept, and what is sent before waits behind it.
    let mut stream = server.tcp();
    let mut early = upgrade("/slow", "").into_bytes();
    early.extend(frame(0x81, b"early"));
    std::io::Write::write_all(&mut stream, &early).unwrap();
    let mut client = Client::opened(stream);
    let mut heard: Vec<String> = (0..3).map(|_| client.receive_text()).collect();
    assert_eq!(heard.pop().as_deref(), Some("early"));
    heard.sort_unstable();
    assert_eq!(heard, ["somebody comes", "welcome"]);
    let response = server.exchange(upgrade("/slow?never", "").as_bytes());
    assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
    assert!(!response.contains("welcome"));
}

#[test]
fn rooms_are_joined_left_and_published_in() {
    for shards in [1, 3] {
        let server = TestServer::build(
            |config| config.shards = std::num::NonZero::new(shards),
            |builder| {
                let rooms = Endpoint::new().on_message(|member, message| async move {
                    let text = message.as_text().unwrap_or_default();
                    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
                    match verb {
                        "join" => {
                            let joined = member.join(rest)?.await?;
                            member.send(format!("{} {}", joined.room, joined.members))?;
                        }
                        "leave" => member.leave(rest)?,
                        "others" => member.publish("tea", rest)?,
                        "all" => member.publish_to_all("tea", rest)?,
                        "history" => {
                            let resume = Resume::Last(2);
                            member.join_with_history("tea", resume)?.await?;
                        }
                        "said" => {
                            let said = member.server().room("tea")?.history(9).await?;
                            let said: Vec<_> =
                                said.iter().map(|said| said.message.clone()).collect();
                            member.send(format!("{said:?}"))?;
                        }
                        _ => {
                            let mut rooms = member.rooms().await?;
                            rooms.sort();
                            member.send(format!("{rooms:?}"))?;
                        }
                    }
                    Ok::<(), BoxError>(())
                });
                builder.endpoint("/", rooms)
            },
        );
        let mut clients: Vec<_> = (0..3).map(|_| server.websocket("/")).collect();
        for (count, client) in clients.iter_mut().enumerate() {
            client.send_text("join tea");
            assert_eq!(client.receive_text(), format!("tea {}", count + 1));
        }
        clients[0].send_text("others one");
        clients[0].send_text("all two");
        assert_eq!(clients[0].receive_text(), "two");
        for client in &mut clients[1..] {
            assert_eq!(client.receive_text(), "one");
            assert_eq!(client.receive_text(), "two");
        }
        clients[0].send_text("join milk");
        assert_eq!(clients[0].receive_text(), "milk 1");
        clients[0].send_text("leave tea");
        clients[0].send_text("rooms");
        assert_eq!(clients[0].receive_text(), r#"[RoomName("milk")]"#);
        clients[1].send_text("all three");
        assert_eq!(clients[2].receive_text(), "three");
        assert_eq!(clients[1].receive_text(), "three");
        clients[0].send_text("history");
        assert_eq!(clients[0].receive_text(), "two");
        assert_eq!(clients[0].receive_text(), "three");
        clients[0].send_text("said");
        let said = r#"[Text("one"), Text("two"), Text("three")]"#;
        assert_eq!(clients[0].receive_text(), said);
    }
}

#[test]
fn doors_are_open_that_were_asked_for() {
    let open = [Door::Sse, Door::WebSocket];
    let server = TestServer::build(
        |_| {},
        |builder| builder.endpoint("/ws/{room}", echo()).doors(open),
    );
    let mut own = server.websocket("/ws/tea");
    own.send_text("mine");
    assert_eq!(own.receive_text(), "mine");
    // A built-in door stands where no endpoint does.
    server.websocket("/ws").settle();
    for path in ["/echo", "/signal"] {
        let response = server.exchange(upgrade(path, "Connection: close\r\n").as_bytes());
        assert!(response.starts_with("HTTP/1.1 404 "), "{path}: {response}");
    }
    let post = "POST /rooms/tea/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\
                Content-Type: text/plain\r\nConnection: close\r\n\r\nx";
    assert!(
        server
            .exchange(post.as_bytes())
            .starts_with("HTTP/1.1 404 ")
    );
}

#[test]
fn sides_and_codes_tell_how_it_ended() {
    let (telling, told) = Telling::new();
    let mut server = endpoint(telling);
    let _client = server.websocket("/at/tea?token=secret");
    server.stop();
    let how = told.recv_timeout(Duration::from_secs(10)).unwrap();
    let gone = r#"Disconnect { code: 1001, reason: "server is stopping", by: Server }"#;
    assert!(how.contains(gone), "{how}");
    assert_ne!(Side::Peer, Side::Server);
}

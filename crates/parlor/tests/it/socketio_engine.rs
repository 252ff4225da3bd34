//! What embedders set below Socket.IO: files, ids, headers, who is told of refusals.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    num::NonZero,
    sync::{Arc, Mutex},
};

use parlor::{
    Server,
    config::{ClientFiles, Cookie, Cors, CorsOrigins, Deflate, EngineIo},
    engineio::{Event, Hooks, RequestError, Session},
    socketio::{Ack, SocketIo},
};

use crate::{
    http_support::{field, last_get_of, statuses},
    support::{TestServer, block_on, upgrade, wait_until},
};

#[test]
fn a_server_with_handlers_serves_the_files_of_a_client() {
    let serve = |files: ClientFiles| {
        let io = SocketIo::new();
        let _ = io.of("/");
        TestServer::build(
            |config| {
                config.socketio_client = files;
                config.socketio.path = "/live/".to_owned();
            },
            |builder| builder.socketio(&io),
        )
    };
    let file = last_get_of("/live/socket.io.min.js");
    let answer = serve(ClientFiles::Own).exchange(file.as_bytes());
    assert_eq!(statuses(&answer), [200], "{answer}");
    assert_eq!(
        field(&answer, "content-type"),
        Some("application/javascript; charset=utf-8")
    );
    let answer = serve(ClientFiles::Off).exchange(file.as_bytes());
    assert_eq!(statuses(&answer), [400], "{answer}");
}

#[test]
fn pages_of_listed_origins_come_in_by_every_transport() {
    let serve = |origins: CorsOrigins| {
        TestServer::start(|config| {
            let mut cors = Cors::default();
            cors.origins = origins;
            config.socketio.engine.cors = Some(cors);
        })
    };
    let status = |server: &TestServer, transport: &str, origin: &str| {
        let target = format!("/socket.io/?EIO=4&transport={transport}");
        let origin = format!("Origin: {origin}\r\n");
        let request = match transport {
            "polling" => {
                format!(
                    "GET {target} HTTP/1.1\r\nHost: localhost\r\n{origin}Connection: close\r\n\r\n"
                )
            }
            _ => upgrade(&target, &origin),
        };
        let mut stream = server.tcp();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    let listed = vec![
        "https://a.example".to_owned(),
        "https://*.b.example".to_owned(),
    ];
    let these = serve(CorsOrigins::These(listed));
    let any = serve(CorsOrigins::Any);
    let policy = serve(CorsOrigins::Policy);
    for (server, origin, [polled, upgraded]) in [
        (&these, "https://a.example", ["200", "101"]),
        (&these, "https://x.b.example", ["200", "101"]),
        (&these, "https://b.example", ["403", "403"]),
        // The policy of all doors lets pages of this machine in.
        (&these, "http://localhost:5173", ["200", "101"]),
        (&any, "https://b.example", ["200", "101"]),
        (&any, "null", ["200", "101"]),
        (&policy, "https://a.example", ["403", "403"]),
        (&policy, "http://localhost:5173", ["200", "101"]),
    ] {
        assert_eq!(status(server, "polling", origin), polled, "{origin}");
        assert_eq!(status(server, "websocket", origin), upgraded, "{origin}");
    }
}

/// One request on a connection of its own: the answer, head in lower case.
fn plain(server: &TestServer, method: &str, target: &str, body: &str) -> String {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    server.exchange(request.as_bytes())
}

/// The answer to a handshake of a WebSocket, up to the end of its head.
fn handshake(server: &TestServer, target: &str) -> (TcpStream, String) {
    let mut stream = server.tcp();
    stream.write_all(upgrade(target, "").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    (stream, String::from_utf8(head).unwrap())
}

const POLL: &str = "/socket.io/?EIO=4&transport=polling";
const SOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

fn serve(io: &SocketIo, hooks: Hooks) -> TestServer {
    let _ = io.of("/");
    TestServer::build(
        |config| {
            config.shards = NonZero::new(3);
            config.socketio.engine.legacy = true;
            config.socketio.engine.cookie = Some(Cookie::default());
        },
        |builder| builder.socketio(io).engineio_hooks("/socket.io/", hooks),
    )
}

#[test]
fn the_answer_that_opens_a_session_has_its_cookie() {
    let io = SocketIo::new();
    let _ = io.of("/");
    let attributes = "; Max-Age=60; Domain=example.org; Path=/chat; Secure; SameSite=None";
    let server = TestServer::build(
        |config| config.socketio.engine.cookie = Some(format!("sid{attributes}").parse().unwrap()),
        |builder| builder.socketio(&io),
    );
    let open = plain(&server, "GET", POLL, "");
    let (_, id) = open.split_once(r#"0{"sid":""#).unwrap();
    let (id, _) = id.split_once('"').unwrap();
    let cookie = format!("sid={id}{attributes}");
    assert_eq!(field(&open, "set-cookie"), Some(&*cookie));
    // No other answer tells it.
    let session = format!("{POLL}&sid={id}");
    let post = plain(&server, "POST", &session, "40");
    assert!(post.ends_with("\r\nok"), "{post}");
    let get = plain(&server, "GET", &session, "");
    assert!(get.contains(r#"40{"sid":""#), "{get}");
    for answer in [&post, &get] {
        assert_eq!(field(answer, "set-cookie"), None);
    }
    let (_, trial) = handshake(&server, &format!("{SOCKET}&sid={id}"));
    assert_eq!(field(&trial, "set-cookie"), None, "{trial}");
    let (_, socket) = handshake(&server, SOCKET);
    let told = field(&socket, "set-cookie").unwrap();
    let told = told.strip_prefix("sid=").unwrap();
    assert!(told.ends_with(attributes), "{told}");
}

#[test]
fn embedders_make_the_ids_of_sessions() {
    let io = SocketIo::new();
    let hooks = Hooks::new().generate_id(|head| async move {
        let id = head.query("id").ok_or("no id was asked for")?;
        Ok(id.into_owned())
    });
    let server = serve(&io, hooks);
    let open = |id: &str| plain(&server, "GET", &format!("{POLL}&id={id}"), "");
    for id in ["ann", "bo-1.2_3~4"] {
        let answer = open(id);
        assert!(answer.contains(&format!(r#"0{{"sid":"{id}","#)), "{answer}");
        let cookie = format!("io={id}; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(field(&answer, "set-cookie"), Some(&*cookie));
    }
    // The id is known on whichever shard a request comes in.
    let ann = format!("{POLL}&sid=ann");
    for _ in 0..4 {
        assert!(plain(&server, "POST", &ann, "40").ends_with("\r\nok"));
        let answer = plain(&server, "GET", &ann, "");
        assert!(answer.contains(r#"40{"sid":""#), "{answer}");
        assert!(plain(&server, "POST", &ann, "41").ends_with("\r\nok"));
    }
    assert_eq!(io.clients_count(), 2);
    let refused = r#"{"code":3,"message":"Bad request"}"#;
    for bad in ["ann", "a%20b", "%C3%A9", "", &"x".repeat(129)] {
        let answer = open(bad);
        assert_eq!(statuses(&answer), [400], "{bad}");
        assert!(answer.ends_with(refused), "{answer}");
    }
    assert!(plain(&server, "GET", POLL, "").ends_with(refused));
    // It goes on over a WebSocket under its id, and can be another's when it has ended.
    let (stream, head) = handshake(&server, &format!("{SOCKET}&sid=ann"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    drop(stream);
    assert!(plain(&server, "POST", &ann, "1").ends_with("\r\nok"));
    wait_until("the session has ended", || io.clients_count() == 1);
    assert_eq!(statuses(&plain(&server, "GET", &ann, "")), [400]);
    let (stream, head) = handshake(&server, &format!("{SOCKET}&id=ann"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(io.clients_count(), 2);
    drop(stream);
    wait_until("the session has ended", || io.clients_count() == 1);
    // Sockets of clients 2 are called as their session.
    let v3 = "/socket.io/?EIO=3&transport=polling";
    let answer = plain(&server, "GET", &format!("{v3}&id=cy"), "");
    assert!(answer.contains(r#""sid":"cy""#), "{answer}");
}

#[test]
fn embedders_decide_who_may_open_a_session() {
    let io = SocketIo::new();
    let hooks = Hooks::new().allow_request(|head| async move {
        match head.query("key").as_deref() {
            Some("yes") => Ok(()),
            Some("") => Err(String::new()),
            _ => Err("a \"key\", please".to_owned()),
        }
    });
    let server = serve(&io, hooks);
    for (query, status, body) in [
        ("&key=yes", 200, r#"0{"sid":"#),
        ("", 403, r#"{"code":4,"message":"a \"key\", please"}"#),
        ("&key=", 403, r#"{"code":4,"message":"Forbidden"}"#),
        // The checks of the request come first, that of the revision later.
        ("&EIO=1", 403, r#"{"code":4,"message":"a \"key\", please"}"#),
        (
            "&sid=x",
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
    ] {
        let answer = plain(&server, "GET", &format!("{POLL}{query}"), "");
        assert_eq!(statuses(&answer), [status], "{query}");
        assert!(answer.contains(body), "{answer}");
    }
    let (_stream, head) = handshake(&server, &format!("{SOCKET}&key=yes"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let (mut stream, head) = handshake(&server, SOCKET);
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let mut body = String::new();
    stream.read_to_string(&mut body).unwrap();
    assert_eq!(body, "a \"key\", please");
}

#[test]
fn embedders_add_headers_to_answers() {
    let io = SocketIo::new();
    let hooks = Hooks::new()
        .on_initial_headers(|head, headers| {
            headers.insert("x-first", head.query("n").unwrap().parse().unwrap());
        })
        .on_headers(|_, headers| {
            headers.insert("x-each", "1".parse().unwrap());
            headers.insert("content-length", "0".parse().unwrap());
        });
    let server = serve(&io, hooks);
    let fields = |answer: &str| {
        ["x-first", "x-each"].map(|name| field(answer, name).unwrap_or_default().to_owned())
    };
    let opened = plain(&server, "GET", &format!("{POLL}&n=7"), "");
    assert_eq!(fields(&opened), ["7", "1"]);
    let (_, rest) = opened.split_once(r#""sid":""#).unwrap();
    let (sid, _) = rest.split_once('"').unwrap();
    let session = format!("{POLL}&sid={sid}");
    let posted = plain(&server, "POST", &session, "40");
    assert_eq!(fields(&posted), ["", "1"]);
    assert!(posted.ends_with("\r\nok"), "{posted}");
    assert_eq!(fields(&plain(&server, "GET", &session, "")), ["", "1"]);
    let (_stream, head) = handshake(&server, &format!("{SOCKET}&n=8"));
    assert_eq!(fields(&head), ["8", "1"]);
    let (_stream, head) = handshake(&server, &format!("{SOCKET}&sid={sid}"));
    assert_eq!(fields(&head), ["", "1"]);
    // A refusal is no answer of a session.
    assert_eq!(fields(&plain(&server, "GET", "/socket.io/", "")), ["", ""]);
}

#[test]
fn embedders_hear_of_requests_that_are_refused() {
    let io = SocketIo::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let hooks = Hooks::new()
        .allow_request(|head| async move {
            head.query("no")
                .map_or(Ok(()), |reason| Err(reason.into_owned()))
        })
        .on_connection_error(move |error: &RequestError| {
            assert_eq!(error.message(), error.code().message());
            let line = format!(
                "{} {} {}: {}",
                error.head().method(),
                error.code().code(),
                error.context().name().unwrap_or("-"),
                error.context()
            );
            log.lock().unwrap().push(line);
        });
    let server = serve(&io, hooks);
    let opened = plain(&server, "GET", POLL, "");
    let (_, rest) = opened.split_once(r#""sid":""#).unwrap();
    let (sid, _) = rest.split_once('"').unwrap();
    let path = "/socket.io/";
    let other = format!("{SOCKET}&sid={sid}");
    for (method, target, expected) in [
        ("GET", path, "GET 0 -: no transport, or not one"),
        (
            "GET",
            "/socket.io/?transport=tcp",
            "GET 0 -: transport `tcp`",
        ),
        ("GET", &format!("{POLL}&sid=x"), "GET 1 -: sid `x`"),
        ("PUT", POLL, "PUT 2 -: not GET"),
        (
            "GET",
            &other,
            "GET 3 TRANSPORT_MISMATCH: websocket after polling",
        ),
        (
            "GET",
            SOCKET,
            "GET 3 TRANSPORT_HANDSHAKE_ERROR: no handshake that fits",
        ),
        ("GET", &format!("{POLL}&no=way"), "GET 4 -: refused: way"),
        (
            "GET",
            "/socket.io/?EIO=2&transport=polling",
            "GET 5 -: EIO `2`",
        ),
    ] {
        plain(&server, method, target, "");
        assert_eq!(heard.lock().unwrap().pop().as_deref(), Some(expected));
    }
    handshake(&server, &format!("{SOCKET}&no=way"));
    let last = || heard.lock().unwrap().pop();
    assert_eq!(last().as_deref(), Some("GET 4 -: refused: way"));
    let origin = "Origin: https://a.example\r\n";
    let polled =
        format!("GET {POLL} HTTP/1.1\r\nHost: localhost\r\n{origin}Connection: close\r\n\r\n");
    for request in [polled, upgrade(SOCKET, origin)] {
        let answer = server.exchange(request.as_bytes());
        assert_eq!(statuses(&answer), [403], "{answer}");
        let expected = "GET 4 INVALID_ORIGIN: the origin may not come in";
        assert_eq!(last().as_deref(), Some(expected));
    }
    assert!(heard.lock().unwrap().is_empty());
}

#[test]
fn hooks_need_a_path_that_is_spoken_at() {
    let built = Server::builder()
        .engineio_hooks("/nowhere/", Hooks::new())
        .build();
    let error = built.expect_err("nobody is there").to_string();
    assert_eq!(error, "no Engine.IO is spoken at `/nowhere/`");
    let built = Server::builder()
        .engineio_hooks("/socket.io/", Hooks::new())
        .build();
    assert!(built.is_ok(), "the built-in door has hooks too");
}

#[test]
fn broadcasts_are_compressed_unless_they_are_not_to_be() {
    let io = SocketIo::new();
    let all = io.of("/");
    let server = TestServer::build(
        |config| config.socketio.engine.deflate = Deflate::Shared,
        |builder| builder.socketio(&io),
    );
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut client = server.websocket_with(SOCKET, offer);
    assert!(client.receive_text().starts_with("0{"));
    client.send_text("40");
    assert!(client.receive_text().starts_with("40{"));
    let long = "x".repeat(1000);
    for (compress, first) in [(true, 0xC1), (false, 0x81), (true, 0xC1)] {
        all.all().compress(compress).emit("news", &long).unwrap();
        let frame = client.receive().unwrap();
        assert_eq!(frame.first, first, "{compress}");
        if !compress {
            assert_eq!(frame.text(), format!(r#"42["news","{long}"]"#));
        }
    }
}

#[test]
fn new_namespaces_are_told() {
    let io = SocketIo::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let _ = io.of("/early");
    let log = Arc::clone(&heard);
    io.on_new_namespace(move |namespace| {
        let name = namespace.name().unwrap_or("a rule").to_owned();
        log.lock().unwrap().push(name);
    });
    let took = || std::mem::take(&mut *heard.lock().unwrap());
    let (_, _, _) = (io.of("/"), io.of("/named"), io.of("/named"));
    let _ = io.of_pattern("/dynamic-*");
    assert_eq!(took(), ["/named"]);
    let server = serve(&io, Hooks::new());
    let [mut ann, mut bo] = [server.engine(""), server.engine("")];
    for client in [&mut ann, &mut bo] {
        client.connect("/named");
        client.connect("/dynamic-1");
    }
    assert_eq!(took(), ["/dynamic-1"]);
    // It is new again once all have left it.
    for client in [&mut ann, &mut bo] {
        client.say("1/dynamic-1,");
        client.client.settle();
    }
    bo.connect("/dynamic-1");
    assert_eq!(took(), ["/dynamic-1"]);
    ann.connect("/dynamic-2");
    assert_eq!(took(), ["/dynamic-2"]);
    // A connection that ends leaves too.
    drop(bo);
    wait_until("it is new once more", || {
        ann.connect("/dynamic-1");
        let told = took();
        ann.say("1/dynamic-1,");
        ann.client.settle();
        told == ["/dynamic-1"]
    });
}

#[test]
fn a_path_without_a_slash_at_its_end_is_asked_for_with_or_without() {
    let server = TestServer::start(|config| config.socketio.path = "/live".to_owned());
    for path in ["/live", "/live/", "/live/more"] {
        let polled = plain(
            &server,
            "GET",
            &format!("{path}?EIO=4&transport=polling"),
            "",
        );
        assert_eq!(statuses(&polled), [200], "{path}");
        let (_stream, head) = handshake(&server, &format!("{path}?EIO=4&transport=websocket"));
        assert!(head.starts_with("HTTP/1.1 101 "), "{path}: {head}");
    }
    let file = plain(&server, "GET", "/live/socket.io.js", "");
    assert_eq!(statuses(&file), [200]);
    for path in ["/lively", "/liv", "/"] {
        let polled = plain(
            &server,
            "GET",
            &format!("{path}?EIO=4&transport=polling"),
            "",
        );
        assert_eq!(statuses(&polled), [404], "{path}");
    }
    let usual = TestServer::start(|_| {});
    let polled = plain(&usual, "GET", "/socket.io?EIO=4&transport=polling", "");
    assert_eq!(statuses(&polled), [404]);
}

#[test]
fn a_first_message_comes_with_the_answer_that_opens_a_session() {
    let server = TestServer::build(
        |_| {},
        |builder| {
            builder.engineio("/engine.io/", EngineIo::default(), |head| {
                assert!(head.received().elapsed().is_ok());
                Some(|session: &mut Session, event: Event<'_>| {
                    if let Event::Open = event {
                        session.send("welcome");
                    }
                })
            })
        },
    );
    let opened = plain(&server, "GET", "/engine.io/?EIO=4&transport=polling", "");
    assert!(opened.ends_with("}\u{1e}4welcome"), "{opened}");
}

#[test]
fn embedders_are_told_when_a_session_goes_on_over_a_socket() {
    let server = TestServer::build(
        |_| {},
        |builder| {
            builder.engineio("/engine.io/", EngineIo::default(), |_| {
                Some(|session: &mut Session, event: Event<'_>| match event {
                    Event::Open => session.send("waits"),
                    Event::Upgraded => session.send(format!("on {}", session.transport().as_str())),
                    Event::Text(text) => session.send(format!("heard {text}")),
                    _ => {}
                })
            })
        },
    );
    let opened = plain(&server, "GET", "/engine.io/?EIO=4&transport=polling", "");
    let (_, rest) = opened.split_once(r#""sid":""#).unwrap();
    let (sid, _) = rest.split_once('"').unwrap();
    let mut socket = server.websocket(&format!("/engine.io/?EIO=4&transport=websocket&sid={sid}"));
    socket.send_text("2probe");
    assert_eq!(socket.receive_text(), "3probe");
    let session = format!("/engine.io/?EIO=4&transport=polling&sid={sid}");
    let posted = plain(&server, "POST", &session, "4early");
    assert!(posted.ends_with("\r\nok"), "{posted}");
    socket.send_text("5");
    socket.send_text("4late");
    // What waited comes first.
    for expected in ["4heard early", "4on websocket", "4heard late"] {
        assert_eq!(socket.receive_text(), expected);
    }
}

#[test]
fn a_server_by_itself_has_no_other_nodes() {
    let io = SocketIo::new();
    let main = io.of("/");
    let kept = Arc::new(());
    let theirs = Arc::clone(&kept);
    main.on_server_side_emit("ping", move |number: u32| {
        let answer = (number, Arc::strong_count(&theirs));
        async move { Ack(answer) }
    });
    assert_eq!(Arc::strong_count(&kept), 1, "nobody is to call it");
    let _server = serve(&io, Hooks::new());
    main.server_side_emit("ping", &1).unwrap();
    let answers = block_on(main.server_side_emit_with_ack("ping", &(1, "a"))).unwrap();
    assert!(answers.is_empty());
    let unsayable = BTreeMap::from([((1, 2), 3)]);
    assert!(main.server_side_emit("ping", &unsayable).is_err());
}

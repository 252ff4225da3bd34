//! The client's plain WebSocket, against the server and against servers that misbehave.

use std::time::Duration;

use parlor::{
    client::{self, Builder, CloseCode, ConnectError, Event, Message, SocketError, deflate},
    proto::websocket::{self, Misuse},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    client_support::{PATIENCE, accept, head, listener, upgrade},
    support::TestServer,
};

fn url(server: &TestServer, path: &str) -> String {
    format!("ws://{}{path}", server.address)
}

/// The next message.
#[expect(clippy::panic, reason = "what else comes fails the test")]
async fn message(socket: &mut client::Socket) -> Message {
    match timeout(PATIENCE, socket.next()).await.unwrap() {
        Some(Ok(Event::Message(message))) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_go_and_come() {
    let server = TestServer::start(|_| {});
    let mut socket = client::connect(url(&server, "/echo")).await.unwrap();
    for text in ["", "x", "Grüße", &"ab".repeat(50_000)] {
        socket.send(text).await.unwrap();
        assert_eq!(message(&mut socket).await, Message::from(text));
    }
    socket.send(vec![0, 255, 128]).await.unwrap();
    assert_eq!(message(&mut socket).await, Message::from(vec![0, 255, 128]));
    socket.ping(b"there?").await.unwrap();
    let pong = socket.next().await.unwrap().unwrap();
    assert_eq!(pong, Event::Pong(b"there?".as_slice().into()));
}

#[tokio::test]
async fn compression_is_agreed_unless_it_is_off() {
    let server = TestServer::start(|_| {});
    let builder = Builder::new(url(&server, "/echo"));
    let socket = builder.connect().await.unwrap();
    let agreed = socket.extensions().unwrap();
    assert!(agreed.server_no_context_takeover() && agreed.client_no_context_takeover());
    let socket = builder.clone().deflate(false).connect().await.unwrap();
    assert_eq!(socket.extensions(), None);

    let server = TestServer::start(|config| config.deflate = parlor::config::Deflate::Takeover);
    let policy = deflate::Policy::new(deflate::Mode::Takeover);
    let builder = Builder::new(url(&server, "/echo")).deflate_policy(policy);
    let mut socket = builder.connect().await.unwrap();
    assert!(!socket.extensions().unwrap().server_no_context_takeover());
    for n in 0..50 {
        let text = format!("{n} {}", "the same again ".repeat(20));
        socket.send(text.clone()).await.unwrap();
        assert_eq!(message(&mut socket).await, Message::from(text));
    }
}

#[tokio::test]
async fn subprotocols_are_offered_and_told() {
    let server = TestServer::start(|_| {});
    let builder = Builder::new(url(&server, "/ws"))
        .protocol("chat")
        .protocol("superchat");
    let socket = builder.connect().await.unwrap();
    assert_eq!(socket.protocol(), Some("chat"));
    let socket = client::connect(url(&server, "/ws")).await.unwrap();
    assert_eq!(socket.protocol(), None);
}

#[tokio::test]
async fn a_close_is_answered_and_then_there_is_nothing() {
    let server = TestServer::start(|_| {});
    let mut socket = client::connect(url(&server, "/echo")).await.unwrap();
    socket.send("last").await.unwrap();
    socket.close(Some(CloseCode::NORMAL), "done").await.unwrap();
    assert_eq!(message(&mut socket).await, Message::from("last"));
    let close = socket.next().await.unwrap().unwrap();
    assert!(
        matches!(
            close,
            Event::Close {
                code: Some(CloseCode::NORMAL),
                ..
            }
        ),
        "{close:?}"
    );
    assert!(socket.next().await.is_none());
    assert!(socket.next().await.is_none());
    let refused = socket.send("more").await;
    assert!(
        matches!(refused, Err(SocketError::Misuse(Misuse::Closing))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let mut server = TestServer::start(|_| {});
    let mut socket = client::connect(url(&server, "/echo")).await.unwrap();
    server.stop();
    let close = socket.next().await.unwrap().unwrap();
    assert!(
        matches!(
            close,
            Event::Close {
                code: Some(CloseCode::GOING_AWAY),
                ..
            }
        ),
        "{close:?}"
    );
    assert!(timeout(PATIENCE, socket.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn refusals_say_why() {
    let server = TestServer::start(|_| {});
    let error = client::connect(url(&server, "/nowhere")).await.unwrap_err();
    let ConnectError::Refused(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.status, 404);
    assert!(error.is_permanent());

    let builder = Builder::new(url(&server, "/ws")).origin("http://evil.example");
    let error = builder.connect().await.unwrap_err();
    let ConnectError::Refused(refusal) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.status, 403);

    let error = Builder::new(url(&server, "/ws"))
        .header("Host", "x")
        .connect()
        .await;
    assert!(
        matches!(error, Err(ConnectError::MisuseRequest)),
        "{error:?}"
    );
    let error = client::connect("ws://").await.unwrap_err();
    assert!(matches!(error, ConnectError::MisuseUrl(_)), "{error:?}");
}

#[tokio::test]
async fn a_busy_server_names_a_time() {
    let (listener, url) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let response = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nlate";
        stream.write_all(response).await.unwrap();
    });
    let error = client::connect(url).await.unwrap_err();
    assert!(!error.is_permanent());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    server.await.unwrap();
}

#[tokio::test]
async fn redirects_are_followed_where_that_is_wanted_and_secrets_stay() {
    let server = TestServer::start(|_| {});
    let (listener, start) = listener().await;
    let target = url(&server, "/echo");
    let redirector = tokio::spawn(async move {
        let mut heads = Vec::new();
        for location in ["", "again?x=y", &target] {
            let (mut stream, _) = listener.accept().await.unwrap();
            heads.push(head(&mut stream).await);
            let response = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
            stream.write_all(response.as_bytes()).await.unwrap();
        }
        heads
    });
    let builder = Builder::new(start.replace("ws://", "ws://Ann:secret@"))
        .header("Cookie", "a=b")
        .header("X-Trace", "1");
    let error = builder.connect().await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Refused(refusal) if refusal.status == 302),
        "{error:?}"
    );
    let mut socket = builder.follow_redirects(true).connect().await.unwrap();
    socket.send("x").await.unwrap();
    assert_eq!(message(&mut socket).await, Message::from("x"));
    let heads = redirector.await.unwrap();
    assert!(
        heads[2].starts_with("GET /again?x=y HTTP/1.1\r\n"),
        "{}",
        heads[2]
    );
    for head in &heads {
        assert!(
            head.contains("Authorization: Basic QW5uOnNlY3JldA=="),
            "{head}"
        );
        assert!(head.contains("Cookie: a=b"), "{head}");
    }
}

#[tokio::test]
async fn secrets_do_not_follow_to_another_host() {
    let (first, start) = listener().await;
    let (second, elsewhere) = listener().await;
    let servers = tokio::spawn(async move {
        let (mut stream, _) = first.accept().await.unwrap();
        head(&mut stream).await;
        let response = format!("HTTP/1.1 307 Found\r\nLocation: {elsewhere}\r\n\r\n");
        stream.write_all(response.as_bytes()).await.unwrap();
        let (mut stream, _) = second.accept().await.unwrap();
        let request = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 401 No\r\n\r\n").await.unwrap();
        request
    });
    let builder = Builder::new(start.replace("ws://", "ws://Ann:secret@"))
        .header("cookie", "a=b")
        .header("X-Trace", "1")
        .follow_redirects(true);
    let error = builder.connect().await.unwrap_err();
    assert!(error.is_permanent(), "{error:?}");
    let request = servers.await.unwrap();
    assert!(request.contains("X-Trace: 1"), "{request}");
    assert!(!request.to_lowercase().contains("cookie"), "{request}");
    assert!(
        !request.to_lowercase().contains("authorization"),
        "{request}"
    );
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let (listener, url) = listener().await;
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 301 x\r\nLocation: /\r\n\r\n")
                .await
                .unwrap();
        }
    });
    let error = Builder::new(url)
        .follow_redirects(true)
        .connect()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::LimitRedirects { redirects_max: 10 }),
        "{error:?}"
    );
    server.abort();
}

#[tokio::test]
async fn silence_during_the_handshake_has_a_limit() {
    let (listener, url) = listener().await;
    let after = Duration::from_millis(150);
    let error = Builder::new(url)
        .handshake_timeout(after)
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::LimitTime { .. }), "{error:?}");
    assert!(!error.is_permanent());
    drop(listener);
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    for response in [
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        "HTTP/1.1 101 x\r\n\r\n",
        "SSH-2.0\r\n\r\n",
    ] {
        let (listener, url) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream.write_all(response.as_bytes()).await.unwrap();
        });
        let error = client::connect(url).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::MalformedResponse(_)),
            "{response}: {error:?}"
        );
        server.await.unwrap();
    }
}

/// A client whose server does what the test says.
async fn connected(change: impl FnOnce(Builder) -> Builder) -> (client::Socket, TcpStream) {
    let (listener, url) = listener().await;
    let builder = change(Builder::new(url).deflate(false));
    let (socket, stream) = tokio::join!(builder.connect(), accept(&listener));
    (socket.unwrap(), stream)
}

#[tokio::test]
async fn a_silent_server_is_found_out() {
    let quick = Duration::from_millis(100);
    let (mut socket, mut stream) =
        connected(|builder| builder.ping_interval(quick).ping_timeout(quick)).await;
    // The first ping is answered, the second is not.
    let server = tokio::spawn(async move {
        let mut ping = [0; 6];
        stream.read_exact(&mut ping).await.unwrap();
        assert_eq!(ping[..2], [0x89, 0x80]);
        stream.write_all(&[0x8a, 0]).await.unwrap();
        stream.read_exact(&mut ping).await.unwrap();
        stream
    });
    let pong = timeout(PATIENCE, socket.next()).await.unwrap();
    assert!(matches!(pong, Some(Ok(Event::Pong(_)))), "{pong:?}");
    let error = timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(error, SocketError::LimitSilence { .. }),
        "{error:?}"
    );
    assert!(socket.next().await.is_none());
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_cut_is_no_close() {
    let (mut socket, mut stream) = connected(|builder| builder).await;
    stream.write_all(b"\x81\x02hi\x81\x05hal").await.unwrap();
    drop(stream);
    assert_eq!(message(&mut socket).await, Message::from("hi"));
    let error = socket.next().await.unwrap().unwrap_err();
    assert!(matches!(error, SocketError::Cut), "{error:?}");
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn a_broken_protocol_is_told_by_its_code() {
    for (bytes, code) in [
        (&b"\x81\x81abcd\x00"[..], 1002_u16),
        (b"\x83\x00", 1002),
        (b"\x81\x01\xff", 1007),
        (b"\x82\x7e\x10\x00", 1009),
    ] {
        let (mut socket, mut stream) = connected(|builder| builder.message_bytes_max(1000)).await;
        stream.write_all(bytes).await.unwrap();
        let error = socket.next().await.unwrap().unwrap_err();
        let SocketError::Violation(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.close_code().get(), code);
        let mut frame = [0; 8];
        stream.read_exact(&mut frame).await.unwrap();
        let told = [frame[6] ^ frame[2], frame[7] ^ frame[3]];
        assert_eq!((frame[0], u16::from_be_bytes(told)), (0x88, code));
        drop(stream);
        assert!(socket.next().await.is_none());
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_a_close_is_left() {
    let quick = Duration::from_millis(100);
    let (mut socket, stream) = connected(|builder| builder.close_timeout(quick)).await;
    socket.close(None, "").await.unwrap();
    let error = timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(matches!(error, SocketError::LimitClose { .. }), "{error:?}");
    drop(stream);
}

#[tokio::test]
async fn waiting_for_what_comes_can_be_given_up_at_any_byte() {
    let (mut socket, mut stream) = connected(|builder| builder).await;
    let server = tokio::spawn(async move {
        for byte in b"\x01\x02ab\x89\x01p\x80\x02cd\x82\x03xyz" {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stream
    });
    let mut events = Vec::new();
    while events.len() < 3 {
        if let Ok(event) = timeout(Duration::from_millis(1), socket.next()).await {
            events.push(event.unwrap().unwrap());
        }
    }
    let expected = [
        Event::Ping(b"p".as_slice().into()),
        Event::Message("abcd".into()),
        Event::Message(b"xyz".as_slice().into()),
    ];
    assert_eq!(events, expected);
    let mut pong = [0; 7];
    server.await.unwrap().read_exact(&mut pong).await.unwrap();
    assert_eq!((pong[0], pong[6] ^ pong[2]), (0x8a, b'p'));
}

#[tokio::test]
async fn a_stream_and_a_sink_go_at_once() {
    use futures_util::{SinkExt as _, StreamExt as _};
    const MESSAGES: usize = 2000;
    let server = TestServer::start(|_| {});
    let socket = client::connect(url(&server, "/echo")).await.unwrap();
    let (mut sink, mut stream) = socket.split();
    let sender = tokio::spawn(async move {
        for n in 0..MESSAGES {
            let mut text = n.to_string();
            text.extend(std::iter::repeat_n('.', 2000));
            sink.feed(Message::from(text)).await.unwrap();
        }
        sink.flush().await.unwrap();
        sink
    });
    for n in 0..MESSAGES {
        let event = timeout(PATIENCE, stream.next()).await.unwrap();
        let Some(Ok(Event::Message(Message::Text(text)))) = event else {
            panic!("{event:?}")
        };
        assert_eq!(text.split('.').next(), Some(n.to_string().as_str()));
    }
    sender.await.unwrap().close().await.unwrap();
    let close = stream.next().await.unwrap().unwrap();
    assert!(matches!(close, Event::Close { .. }), "{close:?}");
}

#[tokio::test]
async fn a_pipe_in_memory_is_enough() {
    let (near, mut far) = tokio::io::duplex(4096);
    let builder = Builder::new("ws://example.org/x").deflate(false);
    let (socket, request) = tokio::join!(builder.connect_over(near), upgrade(&mut far));
    assert!(
        request.starts_with("GET /x HTTP/1.1\r\nHost: example.org\r\n"),
        "{request}"
    );
    far.write_all(b"\x81\x02hi").await.unwrap();
    assert_eq!(message(&mut socket.unwrap()).await, Message::from("hi"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_of_this_machine_will_do() {
    let folder = std::env::temp_dir().join(format!("parlor-client-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.sock");
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let url = format!("ws+unix:{}:/a?b", path.display());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = upgrade(&mut stream).await;
        (stream, request)
    };
    let builder = Builder::new(url).deflate(false);
    let (socket, (mut stream, request)) = tokio::join!(builder.connect(), server);
    assert!(
        request.starts_with("GET /a?b HTTP/1.1\r\nHost: localhost\r\n"),
        "{request}"
    );
    stream.write_all(b"\x81\x02hi").await.unwrap();
    assert_eq!(message(&mut socket.unwrap()).await, Message::from("hi"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn proxies_are_asked_for_a_tunnel() {
    let server = TestServer::start(|_| {});
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let upstream = server.address;
    let tunnel = tokio::spawn(async move {
        let (mut stream, _) = proxy.accept().await.unwrap();
        let request = head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 407 No\r\n\r\n").await.unwrap();
        drop(stream);
        let (mut stream, _) = proxy.accept().await.unwrap();
        head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 Yes\r\nVia: x\r\n\r\n")
            .await
            .unwrap();
        let mut upstream = TcpStream::connect(upstream).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await;
        request
    });
    let proxies = client::Proxies::all(&format!("http://u:p@{address}")).unwrap();
    let builder = Builder::new(url(&server, "/echo")).proxies(proxies.clone());
    let error = builder.connect().await.unwrap_err();
    assert!(
        matches!(error, ConnectError::ViolationProxy { status: 407 }),
        "{error:?}"
    );
    let mut socket = builder.connect().await.unwrap();
    socket.send("x").await.unwrap();
    assert_eq!(message(&mut socket).await, Message::from("x"));
    drop(socket);
    let request = tunnel.await.unwrap();
    let place = server.address;
    let expected = format!(
        "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
    );
    assert_eq!(request, expected);
    let builder = builder.proxies(proxies.except("127.0.0.0/8"));
    builder.connect().await.unwrap();
}

#[test]
fn errors_of_the_protocol_have_their_code() {
    let error = SocketError::from(websocket::Error::MalformedUtf8);
    assert_eq!(
        error.to_string(),
        "the server broke the protocol: text is not UTF-8"
    );
}

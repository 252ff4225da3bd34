//! Endpoints whose connections are streams and sinks, and what else a connection can be asked.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use parlor::{BoxError, Compression, Control, Disconnect, Endpoint, Member, Refusal, Sockets};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    sync::Semaphore,
};

use crate::support::{Client, TestServer, block_on, upgrade, wait_until};

#[test]
fn a_connection_is_a_stream_and_a_sink() {
    let (tell, told) = mpsc::channel::<Option<Disconnect>>();
    let tell = Arc::new(Mutex::new(tell));
    let echo = Sockets::new(move |mut socket| {
        let tell = Arc::clone(&tell);
        async move {
            let agent = socket.member().head().and_then(|head| head.query("name"));
            let name = agent.map(|name| name.into_owned()).unwrap_or_default();
            socket.send(name).await.unwrap();
            while let Some(message) = socket.next().await {
                match message.as_text() {
                    Some("bye") => return,
                    Some("panic") => unreachable!("a task's mistake"),
                    Some("close") => SinkExt::close(&mut socket).await.unwrap(),
                    _ => SinkExt::send(&mut socket, message).await.unwrap(),
                }
            }
            let how = socket.disconnect().cloned();
            let _ = tell.lock().unwrap().send(how);
        }
    });
    let server = TestServer::build(|_| {}, |builder| builder.endpoint("/", echo));
    let open = || {
        let mut client = server.websocket("/?name=Ann");
        assert_eq!(client.receive_text(), "Ann");
        client
    };
    let mut client = open();
    for number in 0..1000 {
        client.send_text(&number.to_string());
    }
    for number in 0..1000 {
        assert_eq!(client.receive_text(), number.to_string());
    }
    client.send(0x88, b"\x0f\xa0why");
    assert_eq!(client.receive_close(), (4000, String::new()));
    let how = told.recv_timeout(Duration::from_secs(30)).unwrap().unwrap();
    assert_eq!((how.code, &*how.reason), (4000, "why"));
    for (what, code, reason) in [
        ("bye", 1000, ""),
        ("close", 1000, ""),
        ("panic", 1011, "internal error"),
    ] {
        let mut client = open();
        client.send_text(what);
        assert_eq!(client.receive_close(), (code, reason.to_owned()), "{what}");
    }
    assert_eq!(server.handle.handler_panics(), 1);
}

#[test]
fn a_connection_is_a_pipe_of_bytes() {
    let lines = Sockets::new(|socket| async move {
        let mut pipe = BufStream::new(socket.into_bytes());
        let mut line = String::new();
        while pipe.read_line(&mut line).await.is_ok_and(|count| count > 0) {
            let answer = format!("{} {}", line.len(), line.to_uppercase());
            pipe.write_all(answer.as_bytes()).await.unwrap();
            pipe.flush().await.unwrap();
            if line == "end\n" {
                pipe.shutdown().await.unwrap();
            }
            line.clear();
        }
    });
    let server = TestServer::build(|_| {}, |builder| builder.endpoint("/", lines));
    let mut client = server.websocket("/");
    for part in ["on", "e\ntw", "o\n"] {
        client.send(0x82, part.as_bytes());
    }
    let mut heard = Vec::new();
    while heard.len() < 12 {
        heard.extend(client.receive().unwrap().payload);
    }
    assert_eq!(heard, b"4 ONE\n4 TWO\n");
    client.send_text("end\n");
    assert_eq!(client.receive().unwrap().payload, b"4 END\n");
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn a_slow_client_slows_its_sink_and_is_not_cut() {
    let sent = Arc::new(Semaphore::new(0));
    let count = Arc::clone(&sent);
    let flood = Sockets::new(move |mut socket| {
        let count = Arc::clone(&count);
        async move {
            for number in 0..3000 {
                let text = format!("{number:>1000}");
                socket.send(text).await.unwrap();
                count.add_permits(1);
            }
            SinkExt::flush(&mut socket).await.unwrap();
        }
    });
    let server = TestServer::build(
        |config| config.outbox_bytes_max = 200_000,
        |builder| builder.endpoint("/", flood),
    );
    let mut client = server.websocket_with_small_buffer("/");
    // Three megabytes are to go, of which 200 KB may wait.
    wait_until("its socket is full", || {
        let members = block_on(server.handle.members()).unwrap();
        members.iter().any(|member| member.buffered_bytes() > 0)
    });
    assert!(sent.available_permits() < 3000);
    for number in 0..3000 {
        assert_eq!(client.receive_text().trim_start(), number.to_string());
    }
    assert_eq!(client.receive_close().0, 1000);
}

#[test]
fn pings_pongs_and_compression_are_in_the_embedders_hands() {
    let (tell, told) = mpsc::channel::<Control>();
    let tell = Mutex::new(tell);
    let endpoint = Endpoint::new()
        .on_control(move |_, control| {
            let _ = tell.lock().unwrap().send(control);
            async {}
        })
        .on_message(|member: Member, message| async move {
            match message.as_text().unwrap_or_default() {
                "ping" => member.ping("are you there")?,
                "pong" => member.pong("I am")?,
                "flush" => {
                    member.send("first")?;
                    member.flushed()?.await?;
                    member.send(format!("{}", member.buffered_bytes()))?;
                }
                "agreed" => member.send("z".repeat(500))?,
                _ => member.send_with("z".repeat(500), Compression::Off)?,
            }
            Ok::<(), BoxError>(())
        });
    let server = TestServer::build(|_| {}, |builder| builder.endpoint("/", endpoint));
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut client = server.websocket_with("/", offer);
    let member = block_on(server.handle.members()).unwrap().remove(0);
    assert!(member.is_compressed());
    let next = |client: &mut Client| {
        let frame = client.receive().unwrap();
        (frame.first, frame.payload)
    };
    client.send_text("ping");
    assert_eq!(next(&mut client), (0x89, b"are you there".to_vec()));
    client.send(0x8a, b"are you there");
    client.send(0x89, b"and you");
    assert_eq!(next(&mut client), (0x8a, b"and you".to_vec()));
    for expected in [
        Control::Pong("are you there".into()),
        Control::Ping("and you".into()),
    ] {
        assert_eq!(
            told.recv_timeout(Duration::from_secs(30)).unwrap(),
            expected
        );
    }
    client.send_text("pong");
    assert_eq!(next(&mut client), (0x8a, b"I am".to_vec()));
    client.send_text("flush");
    assert_eq!(next(&mut client), (0x81, b"first".to_vec()));
    assert_eq!(next(&mut client), (0x81, b"0".to_vec()));
    client.send_text("agreed");
    let (first, payload) = next(&mut client);
    assert!(first == 0xc1 && payload.len() < 100, "{first:x}");
    client.send_text("off");
    assert_eq!(next(&mut client), (0x81, vec![b'z'; 500]));
}

#[test]
fn a_failed_handshake_is_told_and_may_be_answered_otherwise() {
    let (tell, told) = mpsc::channel::<String>();
    let tell = Mutex::new(tell);
    let server = TestServer::build(
        |_| {},
        |builder| {
            builder
                .endpoint("/", Endpoint::new())
                .on_failed_handshake(move |failed| {
                    let path = failed.head().path();
                    let line = format!("{path} {} {}", failed.status(), failed.reason());
                    assert!(failed.head().peer().ip().is_loopback());
                    let _ = tell.lock().unwrap().send(line);
                    (failed.status() == 403).then(|| Refusal::new(451, "not for you"))
                })
        },
    );
    let close = "Connection: close\r\n";
    let foreign = format!("Origin: https://elsewhere.example\r\n{close}");
    let response = server.exchange(upgrade("/", &foreign).as_bytes());
    assert!(response.starts_with("HTTP/1.1 451 "), "{response}");
    assert!(response.ends_with("not for you"), "{response}");
    let old = upgrade("/", close).replace("Version: 13", "Version: 7");
    let response = server.exchange(old.as_bytes());
    assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
    assert!(told.recv().unwrap().starts_with("/ 403 "));
    assert!(told.recv().unwrap().starts_with("/ 426 "));
}

#[test]
fn a_server_can_stop_accepting_and_go_on() {
    let echo = Endpoint::new().on_message(|member, message| async move { member.send(message) });
    let server = TestServer::build(|_| {}, |builder| builder.endpoint("/", echo));
    let mut client = server.websocket("/");
    server.handle.stop_accepting().unwrap();
    server.handle.stop_accepting().unwrap();
    wait_until("nobody is let in", || {
        std::net::TcpStream::connect(server.address).is_err()
    });
    client.send_text("still here");
    assert_eq!(client.receive_text(), "still here");
}

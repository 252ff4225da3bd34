//! Event streams as the client hears them.

use std::time::Duration;

use parlor::Config;
use parlor::client::{
    Builder, ConnectError, EventStream,
    session::{Draft, Event, Payload, Reason, RoomMessage, Session},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};

use crate::{
    client_support::{PATIENCE, head, listener, quick, until},
    proxy::Proxy,
    support::TestServer,
};

/// Event streams are not told to wait.
fn soon(config: &mut Config) {
    config.sse_retry = Duration::from_millis(20);
}

fn stream(address: std::net::SocketAddr) -> EventStream {
    let builder = Builder::new(format!("http://{address}/sse/tea")).event_stream();
    builder.backoff(quick()).start().unwrap()
}

async fn next<T>(stream: &mut EventStream, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = stream.next().await.expect("the stream is not over");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it comes in time")
}

/// Whether this client is in the room again, or for the first time.
async fn joined(stream: &mut EventStream) -> bool {
    next(stream, |event| match event {
        Event::Joined { room, resumed, .. } => (&*room == "tea").then_some(resumed),
        _ => None,
    })
    .await
}

/// The next message or gap.
async fn told(stream: &mut EventStream) -> Result<RoomMessage, ()> {
    next(stream, |event| match event {
        Event::Message(message) => Some(Ok(message)),
        Event::Gap { .. } => Some(Err(())),
        _ => None,
    })
    .await
}

async fn text(stream: &mut EventStream) -> String {
    match told(stream).await {
        Ok(message) => message.payload.as_text().unwrap().to_owned(),
        Err(()) => "gap".to_owned(),
    }
}

/// Somebody who speaks in the room.
async fn speaker(address: std::net::SocketAddr) -> Session {
    let mut session = Builder::new(format!("ws://{address}/signal"))
        .session()
        .backoff(quick())
        .start()
        .unwrap();
    session.join("tea").unwrap();
    until(&mut session, |event| {
        matches!(event, Event::Joined { .. }).then_some(())
    })
    .await;
    session
}

#[tokio::test]
async fn what_is_said_in_a_room_is_heard() {
    let server = TestServer::start(soon);
    let mut stream = stream(server.address);
    assert!(!joined(&mut stream).await);
    let ann = speaker(server.address).await;
    let tea = ann.room("tea").unwrap();
    for (draft, event) in [
        (Draft::new("two\nlines"), "message"),
        (Draft::new(vec![0, 255]), "message"),
        (
            Draft::new(Payload::json(&[1]).unwrap()).event("score"),
            "score",
        ),
        (Draft::new("text").event("say"), "say"),
    ] {
        let said = draft.clone();
        let id = tea.publish(draft).await.unwrap().await.unwrap();
        let heard = told(&mut stream).await.unwrap();
        assert_eq!((heard.id, heard.event.as_str()), (id, event));
        let reference = tea.publish(said).await.unwrap();
        reference.await.unwrap();
        assert_eq!(told(&mut stream).await.unwrap().payload, heard.payload);
    }
    let heard = tea.publish(vec![7]).await.unwrap();
    heard.await.unwrap();
    assert_eq!(told(&mut stream).await.unwrap().payload, vec![7].into());
}

#[tokio::test]
async fn nothing_is_missing_after_a_loss() {
    let server = TestServer::start(soon);
    let proxy = Proxy::start(server.address).await;
    let mut stream = stream(proxy.address);
    joined(&mut stream).await;
    let ann = speaker(server.address).await;
    let tea = ann.room("tea").unwrap();
    // Also before anything was heard.
    for round in 0..4 {
        proxy.freeze(true);
        for number in 0..3 {
            let receipt = tea.publish(format!("{round}.{number}")).await.unwrap();
            receipt.await.unwrap();
        }
        proxy.cut();
        proxy.freeze(false);
        assert!(joined(&mut stream).await, "it resumes");
        for number in 0..3 {
            assert_eq!(text(&mut stream).await, format!("{round}.{number}"));
        }
    }
}

#[tokio::test]
async fn a_restart_of_the_server_is_a_gap() {
    let mut first = TestServer::start(soon);
    let proxy = Proxy::start(first.address).await;
    let mut stream = stream(proxy.address);
    joined(&mut stream).await;
    let ann = speaker(first.address).await;
    let tea = ann.room("tea").unwrap();
    tea.publish("one").await.unwrap().await.unwrap();
    assert_eq!(text(&mut stream).await, "one");
    drop((ann, tea));
    first.stop();
    let second = TestServer::start(soon);
    proxy.lead_to(second.address);
    assert_eq!(text(&mut stream).await, "gap");
    let bo = speaker(second.address).await;
    let tea = bo.room("tea").unwrap();
    tea.publish("two").await.unwrap().await.unwrap();
    assert_eq!(text(&mut stream).await, "two");
    // The gap is told once.
    proxy.cut();
    assert!(joined(&mut stream).await);
    tea.publish("three").await.unwrap().await.unwrap();
    assert_eq!(text(&mut stream).await, "three");
}

/// Answers one request, and gives its head.
async fn answer(listener: &TcpListener, response: &str) -> String {
    let (mut socket, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let head = head(&mut socket).await;
    socket.write_all(response.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    head
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n";

#[tokio::test]
async fn any_server_of_event_streams_will_do() {
    let (listener, url) = listener().await;
    let url = url.replace("ws:", "http:");
    let server = async {
        let body = "retry: 7\nid: a\ndata: one\n\nid: b\ndata: never whole";
        let head = answer(&listener, &format!("{STREAM}{body}")).await;
        assert!(head.contains("\r\nAccept: text/event-stream\r\n"), "{head}");
        assert!(head.contains("\r\nX-Key: secret\r\n"), "{head}");
        assert!(!head.contains("Last-Event-ID"), "{head}");
        let chunked = STREAM.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
        let body = "a\r\ndata: two\n\r\n1\r\n\n\r\n0\r\n\r\n";
        let head = answer(&listener, &format!("{chunked}{body}")).await;
        assert!(head.contains("\r\nLast-Event-ID: a\r\n"), "{head}");
        // A server that keeps the connection open behind a body of a length.
        let body = "id: b\ndata: three\n\n";
        let len = format!("\r\nContent-Length: {}\r\n\r\n", body.len());
        let (mut kept, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        crate::client_support::head(&mut kept).await;
        let sized = STREAM.replace("\r\n\r\n", &len);
        let response = format!("{sized}{body}");
        kept.write_all(response.as_bytes()).await.unwrap();
        answer(&listener, "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n\r\n").await;
        answer(&listener, "HTTP/1.1 204 No Content\r\n\r\n").await;
    };
    let client = async {
        let builder = Builder::new(url).header("X-Key", "secret").event_stream();
        let mut stream = builder.backoff(quick()).start().unwrap();
        assert_eq!(text(&mut stream).await, "one");
        assert_eq!(text(&mut stream).await, "two");
        assert_eq!(text(&mut stream).await, "three");
        let end = next(&mut stream, |event| match event {
            Event::Ended { reason } => Some(reason),
            _ => None,
        });
        let end = end.await;
        assert!(
            matches!(&end, Some(Reason::Connect(ConnectError::Refused(refusal)))
                if refusal.status == 204),
            "{end:?}"
        );
        assert!(stream.next().await.is_none());
    };
    tokio::join!(server, client);
}

/// What each connection asks to go on from.
async fn asked(first: Option<&str>, streams: &[&str]) -> Vec<Option<String>> {
    let (listener, url) = listener().await;
    let mut builder = Builder::new(url).event_stream().backoff(quick());
    if let Some(id) = first {
        builder = builder.since(id);
    }
    let mut stream = builder.start().unwrap();
    let server = async {
        let mut asked = Vec::new();
        for body in streams.iter().chain(&[""]) {
            let head = answer(&listener, &format!("{STREAM}{body}")).await;
            let id = head
                .lines()
                .find_map(|line| line.strip_prefix("Last-Event-ID: "));
            asked.push(id.map(str::to_owned));
        }
        asked
    };
    let client = async { while stream.next().await.is_some() {} };
    tokio::select! {
        asked = server => asked,
        () = client => unreachable!("the stream goes on"),
    }
}

#[tokio::test]
async fn an_id_counts_without_an_event_too() {
    let told = |ids: &[&str]| -> Vec<Option<String>> {
        let id = |id: &&str| Some((*id).to_owned()).filter(|id| !id.is_empty());
        ids.iter().map(id).collect()
    };
    let streams = [
        "id: a\n\n",
        "data: x\n\n",
        "id: b\n\nid: c\n",
        "data: x\nid: d\n\nid: e\n\n",
        "id: f\0g\n\n",
        "id: \u{1} \u{e4}\n\n",
        "id\n\n",
        "data: x\n\n",
    ];
    let ids = ["", "a", "a", "b", "e", "e", "\u{1} \u{e4}", "", ""];
    assert_eq!(asked(None, &streams).await, told(&ids));
    assert_eq!(
        asked(Some("z"), &["data: x\n\n", "id\n\n"]).await,
        told(&["z", "z", ""])
    );
}

#[tokio::test]
async fn a_delay_is_waited_at_least() {
    let (listener, url) = listener().await;
    let builder = Builder::new(url).event_stream().backoff(quick());
    let mut stream = builder.start().unwrap();
    for (retry, least) in [
        ("0", 0),
        ("86400000", 86_400_000),
        ("4000000000", 86_400_000),
    ] {
        let body = format!("{STREAM}retry: {retry}\n\n");
        let server = answer(&listener, &body);
        let waited = next(&mut stream, |event| match event {
            Event::Disconnected { retry_in, .. } => Some(retry_in),
            _ => None,
        });
        let (_, waited) = tokio::join!(server, waited);
        let least = Duration::from_millis(least);
        assert!(waited >= least, "{retry}: {waited:?}");
        assert!(waited <= 2 * least + Duration::from_millis(100));
        if least > Duration::ZERO {
            let builder = Builder::new(url_of(&listener)).event_stream();
            stream = builder.backoff(quick()).start().unwrap();
        }
    }
}

fn url_of(listener: &TcpListener) -> String {
    format!("http://{}/", listener.local_addr().unwrap())
}

#[tokio::test]
async fn what_is_no_event_stream_ends_it() {
    let html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n";
    let long = format!("{STREAM}data: {}\n\n", "x".repeat(3000));
    let chunks = STREAM.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n") + "nonsense";
    for response in [html, &long, &chunks] {
        let (listener, url) = listener().await;
        let builder = Builder::new(url).message_bytes_max(2000).event_stream();
        let mut stream = builder.backoff(quick()).start().unwrap();
        answer(&listener, response).await;
        let end = next(&mut stream, |event| match event {
            Event::Ended { reason } => Some(reason),
            _ => None,
        });
        assert!(end.await.is_some(), "{response}");
    }
}

#[tokio::test]
async fn a_silent_stream_is_made_anew() {
    let (listener, url) = listener().await;
    let builder = Builder::new(url)
        .ping_interval(Duration::from_millis(30))
        .ping_timeout(Duration::from_millis(30))
        .event_stream();
    let mut stream = builder.backoff(quick()).start().unwrap();
    let (mut socket, _) = listener.accept().await.unwrap();
    head(&mut socket).await;
    socket.write_all(STREAM.as_bytes()).await.unwrap();
    next(&mut stream, |event| {
        matches!(event, Event::Disconnected { .. }).then_some(())
    })
    .await;
    answer(&listener, &format!("{STREAM}data: again\n\n")).await;
    assert_eq!(text(&mut stream).await, "again");
}

#[tokio::test]
async fn misuse_is_told_at_once() {
    for (name, value) in [("Last-Event-ID", "x"), ("a b", "x"), ("a", "x\r\ny: z")] {
        let builder = Builder::new("http://127.0.0.1:1/").header(name, value);
        let error = builder.event_stream().start().unwrap_err();
        assert!(matches!(error, ConnectError::MisuseRequest), "{name}");
    }
    let builder = Builder::new("http://127.0.0.1:1/").event_stream();
    assert!(builder.since("a\nb").start().is_err());
}

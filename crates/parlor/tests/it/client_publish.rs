//! Messages that are published without a membership.

use parlor::client::{
    Builder, ConnectError, Receipt,
    session::{Payload, RoomMessage},
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};

use crate::{
    client_support::{PATIENCE, head, listener, quick, until},
    support::TestServer,
};

fn to(address: std::net::SocketAddr) -> Builder {
    Builder::new(format!("http://{address}/rooms/tea/messages"))
}

async fn published(
    posted: impl Future<Output = Result<Receipt, ConnectError>>,
) -> Result<Receipt, ConnectError> {
    timeout(PATIENCE, posted).await.expect("an answer in time")
}

#[tokio::test]
async fn what_is_posted_is_heard_as_it_was_said() {
    let server = TestServer::start(|_| {});
    let to = to(server.address);
    let nobody = published(to.publish("first")).await.unwrap();
    assert_eq!(nobody.receivers, 0);

    let url = format!("ws://{}/signal", server.address);
    let mut session = Builder::new(url)
        .session()
        .backoff(quick())
        .start()
        .unwrap();
    session.join("tea").unwrap();
    until(&mut session, |event| {
        matches!(event, parlor::client::session::Event::Joined { .. }).then_some(())
    })
    .await;

    let event = Some("a b&c=ü");
    for (event, payload) in [
        (None, Payload::from("text")),
        (event, Payload::from("text")),
        (None, Payload::from(&b"\0\xff"[..])),
        (event, Payload::from(&b""[..])),
        (None, Payload::json(&[1, 2]).unwrap()),
        (event, Payload::json(&[1, 2]).unwrap()),
    ] {
        let posted = match event {
            Some(event) => published(to.publish_event(event, payload.clone())).await,
            None => published(to.publish(payload.clone())).await,
        };
        let receipt = posted.unwrap();
        assert_eq!(receipt.receivers, 1);
        let heard: RoomMessage = until(&mut session, |event| match event {
            parlor::client::session::Event::Message(message) => Some(message),
            _ => None,
        })
        .await;
        assert_eq!(heard.id, receipt.id);
        assert_eq!(heard.payload, payload);
        assert_eq!(heard.event, event.unwrap_or("message"));
    }
}

#[tokio::test]
async fn a_refusal_has_the_servers_reason() {
    let server = TestServer::start(|config| config.message_bytes_max = 1000);
    let to = to(server.address);
    let refused = |posted| match posted {
        Err(ConnectError::Refused(refusal)) => (refusal.status, refusal.text),
        other => panic!("{other:?}"),
    };
    let (status, text) = refused(published(to.publish_event("a\nb", "x")).await);
    assert!(status == 400 && text.contains("event"), "{status} {text}");
    // It is refused before all of it was read.
    let long = vec![b'x'; 8 << 20];
    let (status, text) = refused(published(to.publish(long)).await);
    assert!(status == 413 && !text.contains('{'), "{status} {text}");

    let elsewhere = Builder::new(format!("http://{}/nowhere", server.address));
    assert_eq!(refused(published(elsewhere.publish("x")).await).0, 404);
    let broken = published(to.publish(Payload::Json("{".into()))).await;
    assert!(matches!(broken, Err(ConnectError::MisuseRequest)));
    let ours = published(to.header("Content-Length", "0").publish("x")).await;
    assert!(matches!(ours, Err(ConnectError::MisuseRequest)));
}

/// Answers one request with these bytes, and closes.
async fn answered(
    listener: &TcpListener,
    bytes: &str,
    builder: Builder,
) -> Result<Receipt, ConnectError> {
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // Read, so that what was not is no reset.
        tokio::io::copy(&mut stream, &mut tokio::io::sink())
            .await
            .unwrap();
    };
    let both = async { tokio::join!(builder.publish("x"), answer).0 };
    published(both).await
}

#[tokio::test]
async fn answers_are_read_however_they_are_cut() {
    let (listener, url) = listener().await;
    let body = r#"{"id":null,"receivers":7}"#;
    let (one, two) = body.split_at(9);
    for head in [
        format!("\r\n{body}"),
        format!("Content-Length: {}\r\n\r\n{body} and more", body.len()),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len(),
        ),
    ] {
        let answer = format!("HTTP/1.1 201 Created\r\n{head}");
        let receipt = answered(&listener, &answer, Builder::new(&url))
            .await
            .unwrap();
        assert_eq!((receipt.id, receipt.receivers), (None, 7));
    }
    for (answer, is_expected) in [
        (
            "HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{",
            (|error| matches!(error, ConnectError::Io(_))) as fn(ConnectError) -> bool,
        ),
        ("HTTP/1.1 201", |error| matches!(error, ConnectError::Io(_))),
        ("HTTP/1.1 201 Created\r\n\r\nhello", |error| {
            matches!(error, ConnectError::MalformedResponse(_))
        }),
        (
            "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz",
            |error| matches!(error, ConnectError::MalformedResponse(_)),
        ),
        (
            "HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
            |error| error.retry_after() == Some(std::time::Duration::from_secs(3)),
        ),
    ] {
        let error = answered(&listener, answer, Builder::new(&url))
            .await
            .unwrap_err();
        let told = format!("{error:?}");
        assert!(is_expected(error), "{answer}: {told}");
    }
}

//! The client's sessions, in fair weather.

use std::time::Duration;

use futures_util::FutureExt as _;
use parlor::client::{
    Backoff, Builder, ConnectError, Session,
    session::{Draft, Event, MessageId, Payload, Reason, Relay, RoomMessage, SessionError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use crate::{
    client_support::{PATIENCE, accept, head, listener, quick, until},
    support::TestServer,
};

fn session(server: &TestServer, name: &str) -> Session {
    let builder = Builder::new(format!("ws://{}/signal", server.address)).session();
    builder.name(name).backoff(quick()).start().unwrap()
}

/// Waits until the session is in a room, and gives its id and how many others are there.
async fn joined(session: &mut Session) -> (parlor::client::session::MemberId, usize) {
    until(session, |event| match event {
        Event::Joined { id, roster, .. } => Some((id, roster.peers.len())),
        _ => None,
    })
    .await
}

async fn message(session: &mut Session) -> RoomMessage {
    until(session, |event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn two_members_meet_and_talk() {
    let server = TestServer::start(|_| {});
    let mut ann = session(&server, "Ann");
    ann.set_presence(&serde_json::json!({"mood": "good"}))
        .unwrap();
    let tea = ann.join("tea").unwrap();
    let (ann_id, others) = joined(&mut ann).await;
    assert_eq!(others, 0);

    let mut bo = session(&server, "Bo");
    bo.join("tea").unwrap();
    let roster = until(&mut bo, |event| match event {
        Event::Joined { roster, .. } => Some(roster),
        _ => None,
    })
    .await;
    assert_eq!(roster.peers[0].name.as_deref(), Some("Ann"));
    assert_eq!(roster.peers[0].data.as_deref(), Some("{\"mood\":\"good\"}"));
    let peer = until(&mut ann, |event| match event {
        Event::PeerJoined { peer, .. } => Some(peer),
        _ => None,
    })
    .await;
    assert_eq!(peer.name.as_deref(), Some("Bo"));

    let said = [
        Payload::from("Hello, \"Bo\"\n"),
        Payload::from(vec![0, 255]),
        Payload::json(&[1, 2]).unwrap(),
    ];
    for payload in said {
        let receipt = tea
            .publish(Draft::new(payload.clone()).event("say"))
            .await
            .unwrap();
        let heard = message(&mut bo).await;
        assert_eq!((&heard.payload, heard.event.as_str()), (&payload, "say"));
        assert_eq!(
            (heard.from, heard.name.as_deref()),
            (Some(ann_id), Some("Ann"))
        );
        assert_eq!(receipt.await.unwrap(), heard.id);
    }
}

#[tokio::test]
async fn members_speak_to_one_alone_and_ask_about_others() {
    let server = TestServer::start(|_| {});
    let mut ann = session(&server, "Ann");
    ann.join("tea").unwrap();
    let (ann_id, _) = joined(&mut ann).await;
    let mut bo = session(&server, "Bo");
    let bo_tea = bo.join("tea").unwrap();
    joined(&mut bo).await;

    let receipt = bo_tea
        .try_publish(Draft::new("for you alone").to(ann_id))
        .unwrap();
    let heard = message(&mut ann).await;
    assert_eq!(
        (heard.id, heard.payload.as_text()),
        (None, Some("for you alone"))
    );
    assert_eq!(receipt.await, Ok(None));

    let offer = serde_json::json!({"sdp": {"type": "offer"}});
    let relayed = bo.relay(Relay::Description, ann_id, &offer).unwrap();
    let object = until(&mut ann, |event| match event {
        Event::Relayed { object, .. } => Some(object),
        _ => None,
    })
    .await;
    assert!(object.contains(r#""sdp":{"type":"offer"}"#), "{object}");
    relayed.await.unwrap();

    assert_eq!(bo_tea.list(None).await.unwrap().peers[0].id, ann_id);
    bo.set_presence(&7).unwrap();
    let data = until(&mut ann, |event| match event {
        Event::Presence { data, .. } => Some(data),
        _ => None,
    })
    .await;
    assert_eq!(data, "7");
    bo_tea.leave().unwrap();
    until(&mut ann, |event| {
        matches!(event, Event::PeerLeft { .. }).then_some(())
    })
    .await;
    let late = bo_tea.try_publish("nobody is here").unwrap();
    assert_eq!(late.await, Err(SessionError::MisuseNotJoined));
}

#[tokio::test]
async fn a_program_goes_on_where_it_was_stopped() {
    let server = TestServer::start(|_| {});
    let mut ann = session(&server, "Ann");
    let tea = ann.join("tea").unwrap();
    joined(&mut ann).await;
    let first = tea.publish("first").await.unwrap().await.unwrap().unwrap();
    let second = tea.publish("second").await.unwrap().await.unwrap();
    let mut bo = session(&server, "Bo");
    bo.join_since("tea", first).unwrap();
    let heard = message(&mut bo).await;
    assert_eq!(
        (heard.payload.as_text(), heard.id),
        (Some("second"), second)
    );
    // Of a room that began anew nothing can be told but that there is a gap.
    let mut cat = session(&server, "Cat");
    cat.join_since("tea", MessageId::new(first.epoch ^ 1, 7))
        .unwrap();
    until(&mut cat, |event| {
        matches!(event, Event::Gap { .. }).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_newcomer_hears_the_last_messages_first() {
    let server = TestServer::start(|_| {});
    let mut ann = session(&server, "Ann");
    let tea = ann.join("tea").unwrap();
    joined(&mut ann).await;
    let mut empty = session(&server, "Eve");
    empty.join_last("tea", 9).unwrap();
    joined(&mut empty).await;
    for number in 0..5 {
        let receipt = tea.publish(number.to_string()).await.unwrap();
        receipt.await.unwrap();
    }
    let mut bo = session(&server, "Bo");
    bo.join_last("tea", 2).unwrap();
    joined(&mut bo).await;
    let receipt = tea.publish("live").await.unwrap();
    receipt.await.unwrap();
    for text in ["3", "4", "live"] {
        assert_eq!(message(&mut bo).await.payload.as_text(), Some(text));
    }
    for text in ["0", "1", "2", "3", "4", "live"] {
        assert_eq!(message(&mut empty).await.payload.as_text(), Some(text));
    }
}

#[tokio::test]
async fn what_is_queued_is_sent_before_the_end() {
    const MESSAGES: usize = 500;
    let server = TestServer::start(|_| {});
    let mut bo = session(&server, "Bo");
    bo.join("tea").unwrap();
    joined(&mut bo).await;
    let ann = session(&server, "Ann");
    let tea = ann.join("tea").unwrap();
    let receipts: Vec<_> = (0..MESSAGES)
        .map(|n| tea.try_publish(n.to_string()).unwrap())
        .collect();
    let handle = ann.detach();
    handle.close().await;
    for (n, receipt) in receipts.into_iter().enumerate() {
        let id = receipt.await.unwrap();
        let heard = message(&mut bo).await;
        assert_eq!(
            (heard.payload.as_text(), heard.id),
            (Some(n.to_string().as_str()), id)
        );
    }
    assert_eq!(tea.try_publish("late").unwrap_err(), SessionError::Ended);
    assert!(matches!(
        tea.publish("late").await,
        Err(SessionError::Ended)
    ));
}

#[tokio::test]
async fn an_end_is_told_and_then_there_is_nothing() {
    let server = TestServer::start(|_| {});
    let mut ann = session(&server, "Ann");
    ann.join("tea").unwrap();
    joined(&mut ann).await;
    let handle = ann.handle();
    let end = until(&mut ann, |event| match event {
        Event::Ended { reason } => Some(reason),
        _ => None,
    });
    let ((), reason) = tokio::join!(handle.close(), end);
    assert!(reason.is_none(), "{reason:?}");
    assert!(ann.next().await.is_none());
}

#[tokio::test]
async fn a_session_that_is_dropped_is_gone_from_its_rooms() {
    let server = TestServer::start(|_| {});
    let mut ann = session(&server, "Ann");
    ann.join("tea").unwrap();
    joined(&mut ann).await;
    let mut bo = session(&server, "Bo");
    let room = bo.join("tea").unwrap();
    joined(&mut bo).await;
    drop(bo);
    until(&mut ann, |event| {
        matches!(event, Event::PeerLeft { .. }).then_some(())
    })
    .await;
    let error = room.publish("x").await.unwrap_err();
    assert_eq!(error, SessionError::Ended);
}

#[tokio::test]
async fn a_full_queue_and_a_long_message_are_told_at_once() {
    let (listener, url) = listener().await;
    let builder = Builder::new(url)
        .session()
        .queue_messages_max(3)
        .queue_bytes_max(1000);
    let session = builder
        .time_to_live(Duration::from_millis(200))
        .start()
        .unwrap();
    let room = session.join("tea").unwrap();
    let receipts: Vec<_> = (0..3).map(|_| room.try_publish("x").unwrap()).collect();
    assert_eq!(room.try_publish("x").unwrap_err(), SessionError::LimitQueue);
    // Asked once: a machine that stalls may have given the others up by then.
    assert!(room.publish("x").now_or_never().is_none());
    let error = room.try_publish("x".repeat(2000)).unwrap_err();
    assert!(
        matches!(
            error,
            SessionError::LimitMessage {
                bytes_max: 1000,
                ..
            }
        ),
        "{error}"
    );
    // Nobody ever answers: what waits is given up, and its places are free again.
    for receipt in receipts {
        let result = timeout(PATIENCE, receipt).await.unwrap();
        assert!(
            matches!(result, Err(SessionError::LimitAge { .. })),
            "{result:?}"
        );
    }
    let _receipt = room.try_publish("x".repeat(900)).unwrap();
    assert_eq!(
        room.try_publish("x".repeat(900)).unwrap_err(),
        SessionError::LimitQueue
    );
    assert_eq!(session.join("").unwrap_err(), SessionError::MisuseName);
    drop(listener);
}

#[tokio::test]
async fn times_to_live_differ() {
    let (_listener, url) = listener().await;
    let builder = Builder::new(url).session().drain(Duration::from_millis(50));
    let session = builder.start().unwrap();
    let room = session.join("tea").unwrap();
    let long = room.try_publish("long").unwrap();
    let short = Draft::new("short").time_to_live(Duration::from_millis(100));
    let short = room.try_publish(short).unwrap();
    let direct = Draft::new("x").time_to_live(Duration::from_millis(100));
    let id = "AAAAAAABAAAAAAAAAAAAAA".parse().unwrap();
    let direct = room.try_publish(direct.to(id)).unwrap();
    for receipt in [short, direct] {
        let result = timeout(PATIENCE, receipt).await.unwrap();
        assert!(
            matches!(result, Err(SessionError::LimitAge { .. })),
            "{result:?}"
        );
    }
    drop((session, room));
    assert_eq!(long.await, Err(SessionError::Ended));
}

#[tokio::test]
async fn refusals_that_would_come_again_end_the_session() {
    for (status, ends) in [
        (401, true),
        (403, true),
        (404, true),
        (429, false),
        (503, false),
    ] {
        let (listener, url) = listener().await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            let response = format!("HTTP/1.1 {status} No\r\nRetry-After: 3\r\n\r\n");
            stream.write_all(response.as_bytes()).await.unwrap();
        });
        let mut session = Builder::new(url).session().start().unwrap();
        let event = timeout(PATIENCE, session.next()).await.unwrap().unwrap();
        match event {
            Event::Ended {
                reason: Some(Reason::Connect(ConnectError::Refused(refusal))),
            } => {
                assert!(ends, "{status}");
                assert_eq!(refusal.status, status);
                assert!(session.next().await.is_none());
            }
            Event::Disconnected { retry_in, .. } => {
                assert!(!ends, "{status}");
                assert!(retry_in >= Duration::from_secs(3), "{retry_in:?}");
            }
            other => panic!("{status}: {other:?}"),
        }
        server.await.unwrap();
    }
}

#[tokio::test]
async fn close_codes_tell_whether_to_come_back() {
    for (code, ends) in [
        (1000_u16, true),
        (1001, false),
        (1008, true),
        (1011, false),
        (1012, false),
        (1013, false),
        (4000, true),
    ] {
        let (listener, url) = listener().await;
        let server = async {
            let mut stream = accept(&listener).await;
            let [high, low] = code.to_be_bytes();
            stream.write_all(&[0x88, 2, high, low]).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        };
        let mut session = Builder::new(url)
            .session()
            .backoff(quick())
            .start()
            .unwrap();
        let event = async {
            until(&mut session, |event| match event {
                Event::Ended {
                    reason: Some(Reason::Closed { .. }),
                } => Some(true),
                Event::Disconnected {
                    reason: Reason::Closed { .. },
                    ..
                } => Some(false),
                _ => None,
            })
            .await
        };
        let ((), ended) = tokio::join!(server, event);
        assert_eq!(ended, ends, "{code}");
    }
}

#[tokio::test]
async fn attempts_may_be_numbered() {
    let (listener, url) = listener().await;
    drop(listener);
    let mut backoff = quick();
    backoff.attempts_max = Some(3);
    let mut session = Builder::new(url)
        .session()
        .backoff(backoff)
        .start()
        .unwrap();
    for _ in 0..3 {
        let event = session.next().await.unwrap();
        assert!(matches!(event, Event::Disconnected { .. }), "{event:?}");
    }
    let event = session.next().await.unwrap();
    assert!(
        matches!(event, Event::Ended { reason: Some(_) }),
        "{event:?}"
    );
}

#[tokio::test]
async fn a_room_that_is_refused_is_told() {
    let server = TestServer::start(|config| config.members_per_room_max = 1);
    let mut ann = session(&server, "Ann");
    ann.join("tea").unwrap();
    joined(&mut ann).await;
    let mut bo = session(&server, "Bo");
    let room = bo.join("tea").unwrap();
    let receipt = room.try_publish("x").unwrap();
    let refused = until(&mut bo, |event| match event {
        Event::RoomLost { room, code, .. } => Some((room, code)),
        _ => None,
    })
    .await;
    assert_eq!((&*refused.0, &*refused.1), ("tea", "limit"));
    assert_eq!(receipt.await, Err(SessionError::MisuseNotJoined));
}

#[tokio::test]
async fn a_server_that_speaks_something_else_ends_the_session() {
    let server = TestServer::start(|_| {});
    let mut session = Builder::new(format!("ws://{}/echo?x", server.address))
        .protocol("other")
        .session()
        .start()
        .unwrap();
    let event = session.next().await.unwrap();
    let Event::Ended {
        reason: Some(Reason::Connect(error)),
    } = event
    else {
        panic!("{event:?}")
    };
    assert!(
        matches!(error, ConnectError::ViolationProtocol { .. }),
        "{error:?}"
    );
}

#[test]
fn a_session_needs_a_runtime_and_a_url() {
    let error = Builder::new("ws://a").session().start().unwrap_err();
    assert!(
        matches!(error, ConnectError::Unsupported { .. }),
        "{error:?}"
    );
    let error = Builder::new("a")
        .session()
        .backoff(Backoff::default())
        .start()
        .unwrap_err();
    assert!(matches!(error, ConnectError::MisuseUrl(_)), "{error:?}");
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_tls_nobody_is_asked() {
    // Nobody listens here, and that is not found out.
    let error = Builder::new("wss://127.0.0.1:1").connect().await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ConnectError::Unsupported { .. }) && error.is_permanent(),
        "{error:?}"
    );
}

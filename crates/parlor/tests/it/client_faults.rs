//! The client's sessions in bad weather: each message once and in order, or an explicit gap.
//!
//! `PARLOR_TEST_MESSAGES` sets how many messages are streamed (3,000 unless it is set; the full
//! proof is 100,000), `PARLOR_TEST_SEED` the faults.

#![expect(clippy::print_stdout, reason = "a seed that fails is to be known")]

use std::{collections::HashMap, time::Duration};

use futures_util::{Stream, StreamExt as _};
use parlor::{
    Config,
    client::{
        Builder, Session,
        session::{Event, MessageId, Reason, Room, RoomMessage, SessionError},
    },
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    client_support::{PATIENCE, quick, until},
    proxy::Proxy,
    support::TestServer,
};

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the size of a test is set from outside"
    )]
    let text = std::env::var(name).ok()?;
    text.parse().ok()
}

fn server(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::start(|config| {
        // What a network has left behind is found out soon.
        config.ping_interval = Duration::from_millis(300);
        config.ping_timeout = Duration::from_millis(1500);
        config.history_messages = 1_000_000;
        config.history_bytes = 1 << 30;
        change(config);
    })
}

fn session(address: std::net::SocketAddr) -> Session {
    start(Builder::new(format!("ws://{address}/signal")))
}

/// A client in no hurry to find its connection dead, nor is its server.
fn calm(address: std::net::SocketAddr) -> Session {
    let builder = Builder::new(format!("ws://{address}/signal")).session();
    builder.backoff(quick()).start().unwrap()
}

fn start(builder: Builder) -> Session {
    builder
        .ping_interval(Duration::from_millis(300))
        // A machine with too much to do answers late; a client that gives up then only adds to it.
        .ping_timeout(Duration::from_secs(1))
        .handshake_timeout(Duration::from_secs(2))
        .session()
        .backoff(quick())
        .time_to_live(Duration::ZERO)
        .start()
        .unwrap()
}

async fn in_room(session: &mut Session) {
    until(session, |event| {
        matches!(event, Event::Joined { .. }).then_some(())
    })
    .await;
}

/// A sequence of numbers that looks random (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Bad weather for a while, then fair weather without an end: a slow machine may not get through
/// a handshake between two faults.
async fn storm(proxies: &[Proxy], seed: u64, time: Duration) {
    let mut dice = Dice(seed);
    let until = Instant::now() + time;
    while Instant::now() < until {
        sleep(Duration::from_millis(20 + dice.roll(200))).await;
        let proxy = &proxies[usize::try_from(dice.roll(2)).unwrap()];
        match dice.roll(6) {
            0 | 1 => proxy.cut(),
            2 => {
                proxy.freeze(true);
                let long = if dice.roll(4) == 0 { 1500 } else { 50 };
                sleep(Duration::from_millis(long + dice.roll(300))).await;
                proxy.freeze(false);
            }
            3 => {
                proxy.delay(Duration::from_millis(1 + dice.roll(5)));
                sleep(Duration::from_millis(100)).await;
                proxy.delay(Duration::ZERO);
            }
            side => proxy.half_close(side == 4),
        }
    }
    std::future::pending().await
}

/// What a listener was told.
#[derive(Default)]
struct Told {
    numbers: Vec<(u64, MessageId)>,
    gaps: usize,
    losses: usize,
}

impl Told {
    /// Takes events until the last number; panics where something is out of order, comes twice, or
    /// is missing without a gap.
    async fn listen(events: &mut (impl Stream<Item = Event> + Unpin), last: u64) -> Self {
        let mut told = Self::default();
        let mut next = 0;
        let mut gap = false;
        let mut place: Option<MessageId> = None;
        while next <= last {
            match events.next().await.expect("it is not over") {
                Event::Message(RoomMessage { payload, id, .. }) => {
                    let number: u64 = payload.as_text().unwrap().parse().unwrap();
                    let id = id.unwrap();
                    assert!(number >= next, "{number} after {next}");
                    // A number that was never published has no place in the room.
                    let follows = place.is_none_or(|place| {
                        (place.epoch, place.offset + 1) == (id.epoch, id.offset)
                    });
                    assert!(follows || gap, "something is missing before {number}, {id}");
                    (next, place, gap) = (number + 1, Some(id), false);
                    told.numbers.push((number, id));
                }
                Event::Gap { .. } => {
                    gap = true;
                    told.gaps += 1;
                }
                Event::Disconnected { .. } => told.losses += 1,
                Event::Ended { reason } => unreachable!("ended: {reason:?}"),
                _ => {}
            }
        }
        told
    }
}

/// Publishes numbers, and gives what became of each. Whatever became of the others, the last word
/// arrives.
async fn publish_numbers(
    room: &Room,
    count: u64,
    pace: Duration,
) -> Vec<Result<Option<MessageId>, SessionError>> {
    let mut receipts = Vec::new();
    for number in 0..count {
        if number % 16 == 0 {
            sleep(pace * 16).await;
        }
        receipts.push(room.publish(number.to_string()).await.unwrap());
    }
    let mut results = Vec::new();
    for receipt in receipts {
        results.push(receipt.await);
    }
    while room
        .publish(count.to_string())
        .await
        .unwrap()
        .await
        .is_err()
    {}
    results
}

/// One client publishes through a bad network, one listens through another, one sees the truth.
async fn stream_in_a_storm(count: u64, change: impl FnOnce(&mut Config), gaps_allowed: bool) {
    let seed = seed();
    println!("{count} messages");
    let server = server(change);
    let proxies = [
        Proxy::start(server.address).await,
        Proxy::start(server.address).await,
    ];
    // An event stream is not asked whether it is there, so it is not lost on a busy machine.
    let url = format!("http://{}/sse/tea", server.address);
    let mut truth = Builder::new(url).event_stream().start().unwrap();
    while !matches!(truth.next().await, Some(Event::Joined { .. })) {}
    // To compress is most of the work where a test is not optimised.
    let [mut listener, publisher] = proxies.each_ref().map(|proxy| {
        let url = format!("ws://{}/signal", proxy.address);
        start(Builder::new(url).deflate(count <= 3000))
    });
    listener.join("tea").unwrap();
    in_room(&mut listener).await;
    let room = publisher.join("tea").unwrap();
    let _publisher = publisher.detach();

    let begun = Instant::now();
    let pace = Duration::from_micros((4_000_000 / count).clamp(100, 2000));
    let work = async {
        tokio::join!(
            publish_numbers(&room, count, pace),
            Told::listen(&mut truth, count),
            Told::listen(&mut listener, count)
        )
    };
    let bad = Duration::from_millis((2 * count / 5).max(4000));
    let limit = PATIENCE + Duration::from_secs(count / 250);
    let (results, truth, heard) = tokio::select! {
        done = timeout(limit, work) => done.expect("it ends in time"),
        () = storm(&proxies, seed, bad) => unreachable!(),
    };
    let unconfirmed = results.iter().filter(|result| result.is_err()).count();
    println!(
        "{} connections, {} losses and {} gaps at the listener, {unconfirmed} unconfirmed, {:?}",
        proxies[0].accepted() + proxies[1].accepted(),
        heard.losses,
        heard.gaps,
        begun.elapsed(),
    );
    // Told in order and none twice, as was seen when they were heard.
    let published: HashMap<u64, MessageId> = truth.numbers.iter().copied().collect();
    for (number, result) in (0..).zip(&results) {
        let place = published.get(&number);
        match result {
            Ok(id) => assert_eq!(place, id.as_ref(), "{number}"),
            Err(SessionError::Unconfirmed) => assert!(gaps_allowed, "{number}"),
            Err(error) => unreachable!("{number}: {error}"),
        }
    }
    assert_eq!(truth.losses, 0, "the truth was told over one connection");
    if !gaps_allowed {
        assert_eq!(heard.gaps, 0);
        assert_eq!(heard.numbers, truth.numbers);
    }
}

/// What the faults are drawn from.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    let seed = setting("PARLOR_TEST_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("seed {seed}");
    seed
}

/// Publishes numbers as publisher `who`; each has its place in the end.
async fn publish_all(room: &Room, who: usize, count: u64) {
    let mut receipts = Vec::new();
    for number in 0..count {
        if number % 8 == 0 {
            sleep(Duration::from_millis(16)).await;
        }
        let text = format!("{who}:{number}");
        receipts.push(room.publish(text).await.unwrap());
    }
    for (number, receipt) in receipts.into_iter().enumerate() {
        let result = receipt.await;
        assert!(matches!(result, Ok(Some(_))), "{who}:{number}: {result:?}");
    }
}

/// Hears all numbers of these publishers: each once, in order, and without a gap.
async fn hear_all(session: &mut Session, publishers: &[usize], count: u64) {
    let mut next = [count; 2];
    for who in publishers {
        next[*who] = 0;
    }
    while next != [count; 2] {
        match session.next().await.expect("the session is not over") {
            Event::Message(message) => {
                let (who, number) = message.payload.as_text().unwrap().split_once(':').unwrap();
                let next = &mut next[who.parse::<usize>().unwrap()];
                assert_eq!(number, next.to_string(), "of {who}");
                *next += 1;
            }
            event @ (Event::Gap { .. } | Event::Dropped { .. } | Event::Ended { .. }) => {
                unreachable!("{event:?}")
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn publishers_hear_each_other_through_a_storm() {
    let count = 1000;
    let seed = seed();
    let server = server(|_| {});
    let proxies = [
        Proxy::start(server.address).await,
        Proxy::start(server.address).await,
    ];
    let mut truth = session(server.address);
    let mut ann = session(proxies[0].address);
    let mut bo = session(proxies[1].address);
    truth.join("tea").unwrap();
    let rooms = [&ann, &bo].map(|session| session.join("tea").unwrap());
    for session in [&mut truth, &mut ann, &mut bo] {
        in_room(session).await;
    }
    let work = async {
        tokio::join!(
            publish_all(&rooms[0], 0, count),
            publish_all(&rooms[1], 1, count),
            hear_all(&mut ann, &[1], count),
            hear_all(&mut bo, &[0], count),
            hear_all(&mut truth, &[0, 1], count),
        )
    };
    let bad = Duration::from_millis(2 * count);
    tokio::select! {
        done = timeout(PATIENCE + 2 * bad, work) => drop(done.expect("it ends in time")),
        () = storm(&proxies, seed, bad) => unreachable!(),
    }
}

#[tokio::test]
async fn each_message_comes_once_and_in_order_through_a_storm() {
    let count = setting("PARLOR_TEST_MESSAGES").unwrap_or(3000);
    stream_in_a_storm(count, |_| {}, false).await;
}

#[tokio::test]
async fn what_history_does_not_hold_is_an_explicit_gap() {
    stream_in_a_storm(3000, |config| config.history_messages = 20, true).await;
}

#[tokio::test]
async fn a_server_that_restarts_is_a_gap() {
    let mut first = TestServer::start(|_| {});
    let proxy = Proxy::start(first.address).await;
    let mut ann = calm(proxy.address);
    let mut bo = calm(proxy.address);
    let tea = ann.join("tea").unwrap();
    bo.join("tea").unwrap();
    in_room(&mut ann).await;
    in_room(&mut bo).await;
    tea.publish("before").await.unwrap().await.unwrap();
    until(&mut bo, |event| {
        matches!(event, Event::Message(_)).then_some(())
    })
    .await;
    first.stop();
    let reason = until(&mut ann, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason),
        _ => None,
    })
    .await;
    assert!(matches!(reason, Reason::Closed { code: Some(code), .. } if code.get() == 1001));
    let queued: Vec<_> = ["one", "two"]
        .map(|text| tea.try_publish(text).unwrap())
        .into();
    let second = TestServer::start(|_| {});
    proxy.lead_to(second.address);
    for receipt in queued {
        timeout(PATIENCE, receipt).await.unwrap().unwrap();
    }
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "two") {
        let event = timeout(PATIENCE, bo.next()).await.unwrap().unwrap();
        match event {
            Event::Message(message) => heard.push(message.payload.as_text().unwrap().to_owned()),
            Event::Gap { room, .. } => heard.push(format!("gap in {room}")),
            _ => {}
        }
    }
    // Whoever is back first hears the other's messages live or replayed, behind the gap.
    assert_eq!(heard, ["gap in tea", "one", "two"]);
}

#[tokio::test]
async fn what_is_said_offline_waits_or_is_given_up() {
    let mut first = TestServer::start(|_| {});
    let proxy = Proxy::start(first.address).await;
    let mut ann = calm(proxy.address);
    let tea = ann.join("tea").unwrap();
    in_room(&mut ann).await;
    first.stop();
    until(&mut ann, |event| {
        matches!(event, Event::Disconnected { .. }).then_some(())
    })
    .await;
    let draft = parlor::client::session::Draft::new("short-lived");
    let lost = tea
        .try_publish(draft.time_to_live(Duration::from_millis(50)))
        .unwrap();
    let kept = tea.try_publish("patient").unwrap();
    let result = timeout(PATIENCE, lost).await.unwrap();
    assert!(
        matches!(result, Err(SessionError::LimitAge { .. })),
        "{result:?}"
    );
    let second = TestServer::start(|_| {});
    proxy.lead_to(second.address);
    timeout(PATIENCE, kept).await.unwrap().unwrap();
    let mut bo = calm(second.address);
    bo.join("tea").unwrap();
    in_room(&mut bo).await;
    tea.publish("now").await.unwrap().await.unwrap();
    let heard = until(&mut bo, |event| match event {
        Event::Message(message) => Some(message.payload),
        _ => None,
    })
    .await;
    assert_eq!(heard.as_text(), Some("now"));
}

#[tokio::test]
async fn a_loss_before_the_first_message_is_no_loss_of_messages() {
    let server = TestServer::start(|_| {});
    let proxy = Proxy::start(server.address).await;
    let mut ann = calm(proxy.address);
    ann.join("tea").unwrap();
    in_room(&mut ann).await;
    let mut bo = calm(server.address);
    let tea = bo.join("tea").unwrap();
    in_room(&mut bo).await;
    proxy.freeze(true);
    tea.publish("meanwhile").await.unwrap().await.unwrap();
    proxy.cut();
    proxy.freeze(false);
    let mut gap = false;
    let heard = until(&mut ann, |event| match event {
        Event::Message(message) => Some(message.payload),
        Event::Gap { .. } => {
            gap = true;
            None
        }
        _ => None,
    })
    .await;
    assert_eq!((heard.as_text(), gap), (Some("meanwhile"), false));
}

#[tokio::test]
async fn a_message_whose_acknowledgement_was_lost_is_not_sent_again() {
    let server = TestServer::start(|_| {});
    let proxy = Proxy::start(server.address).await;
    let mut ann = calm(proxy.address);
    let tea = ann.join("tea").unwrap();
    in_room(&mut ann).await;
    let mut bo = calm(server.address);
    bo.join("tea").unwrap();
    in_room(&mut bo).await;
    // The server hears Ann, and Ann does not hear the server.
    proxy.half_close(true);
    let receipts: Vec<_> = ["one", "two", "one"]
        .map(|text| tea.try_publish(text).unwrap())
        .into();
    for (receipt, text) in receipts.into_iter().zip(["one", "two", "one"]) {
        let heard = until(&mut bo, |event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        })
        .await;
        assert_eq!(heard.payload.as_text(), Some(text));
        assert_eq!(timeout(PATIENCE, receipt).await.unwrap().unwrap(), heard.id);
    }
    tea.publish("end").await.unwrap().await.unwrap();
    let heard = until(&mut bo, |event| match event {
        Event::Message(message) => Some(message),
        _ => None,
    })
    .await;
    assert_eq!(heard.payload.as_text(), Some("end"));
}

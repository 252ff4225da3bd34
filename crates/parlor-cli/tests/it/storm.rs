//! Many clients lose their server at one moment, and come back without a storm.
//!
//! `PARLOR_TEST_CLIENTS` sets how many (300 unless it is set), `PARLOR_TEST_SPREAD_MS` over how long
//! they spread (2,000). What the clients control is asserted always: the moments at which they mean
//! to connect are as even as chance has them. Where the number is set, how soon and how evenly they
//! did connect is asserted too, which a machine with other things to do would not always pass:
//!
//! ```text
//! PARLOR_TEST_CLIENTS=10000 PARLOR_TEST_SPREAD_MS=5000 cargo test --release -p parlor-cli \
//!     --test it storm -- --nocapture
//! ```
#![expect(clippy::print_stdout, reason = "the figures are the point")]

use std::time::Duration;

use parlor::client::session::{Event, Room};
use parlor::client::{Backoff, Builder, Session};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::process::{Server, quiet_port};

/// Members of a room.
const ROOM: usize = 10;
/// Longer than anything takes here on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(100);

/// A number from the environment.
fn setting(name: &str) -> Option<usize> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the size of a test is set from outside"
    )]
    let text = std::env::var(name).ok()?;
    text.parse().ok()
}

/// What a client tells.
#[derive(Debug)]
enum Told {
    Connected(Instant),
    Joined(Instant),
    Gap,
    Message,
    /// The connection is lost, or an attempt failed: since when, and how long it waits.
    Waits(Instant, Duration),
}

/// The clients, and what they tell.
struct Fleet {
    rooms: Vec<Room>,
    told: mpsc::Receiver<(usize, Told)>,
}

impl Fleet {
    /// Starts clients, a few at a time.
    async fn start(address: &str, clients: usize, spread: Duration) -> Self {
        let (tell, told) = mpsc::channel(8 * clients);
        let mut backoff = Backoff::default();
        backoff.first = spread;
        backoff.longest = spread;
        let mut rooms = Vec::new();
        for client in 0..clients {
            let mut session = Builder::new(format!("ws://{address}/signal"))
                .session()
                .backoff(backoff)
                .start()
                .expect("the URL is one");
            let room = session.join(&format!("room {}", client / ROOM));
            rooms.push(room.expect("the name is one"));
            let tell = tell.clone();
            tokio::spawn(async move {
                while let Some(told) = next(&mut session).await {
                    tell.send((client, told)).await.expect("somebody listens");
                }
            });
            if client % 50 == 49 {
                sleep(Duration::from_millis(10)).await;
            }
        }
        Self { rooms, told }
    }

    async fn next(&mut self) -> (usize, Told) {
        let told = timeout(PATIENCE, self.told.recv()).await;
        told.expect("no client stays away").expect("they go on")
    }

    /// Waits until all have joined.
    async fn joined(&mut self) {
        let mut joined = 0;
        while joined < self.rooms.len() {
            if let (_, Told::Joined(_)) = self.next().await {
                joined += 1;
            }
        }
    }

    /// One member of each room says something, and the others hear it.
    async fn talk(&mut self) {
        for room in self.rooms.iter().step_by(ROOM) {
            let receipt = room.publish("hello").await.expect("the queue is empty");
            receipt.await.expect("it is published");
        }
        let mut silent = self.rooms.len() - self.rooms.len().div_ceil(ROOM);
        while silent > 0 {
            if let (_, Told::Message) = self.next().await {
                silent -= 1;
            }
        }
    }
}

async fn next(session: &mut Session) -> Option<Told> {
    loop {
        return Some(match session.next().await? {
            Event::Connected => Told::Connected(Instant::now()),
            Event::Joined { .. } => Told::Joined(Instant::now()),
            Event::Gap { .. } => Told::Gap,
            Event::Message(_) => Told::Message,
            Event::Disconnected { retry_in, .. } => Told::Waits(Instant::now(), retry_in),
            Event::Ended { reason } => unreachable!("ended: {reason:?}"),
            _ => continue,
        });
    }
}

#[tokio::test]
async fn clients_of_a_server_that_restarts_come_back_spread() {
    let by_hand = setting("PARLOR_TEST_CLIENTS");
    let clients = by_hand.unwrap_or(300);
    let spread = setting("PARLOR_TEST_SPREAD_MS").unwrap_or(2000);
    let spread = Duration::from_millis(u64::try_from(spread).expect("64 bits"));
    let address = quiet_port();
    let server = Server::start_at(&address, &[]);
    let mut fleet = Fleet::start(&address, clients, spread).await;
    fleet.joined().await;
    fleet.talk().await;

    drop(server);
    let _server = Server::start_at(&address, &[]);
    let restarted = Instant::now();
    let mut waits = vec![None; clients];
    let mut accepts = Vec::new();
    let (mut joined, mut gaps, mut attempts) = (0, 0, 0);
    let mut last = restarted;
    while joined < clients || gaps < clients {
        match fleet.next().await {
            (client, Told::Waits(since, wait)) => {
                waits[client].get_or_insert((since, wait));
                attempts += 1;
            }
            (_, Told::Connected(at)) => accepts.push(at),
            (_, Told::Joined(at)) => {
                joined += 1;
                last = last.max(at);
            }
            // What the first server had is gone with it.
            (_, Told::Gap) => gaps += 1,
            (_, Told::Message) => unreachable!("nobody has said anything"),
        }
    }
    fleet.talk().await;
    assert_eq!((joined, gaps, accepts.len()), (clients, clients, clients));

    // The first waits are spread evenly: a quarter of the clients in each quarter, and never half.
    let mut quarters = [0; 4];
    let waits = waits
        .into_iter()
        .map(|wait| wait.expect("each lost its connection"));
    let mut due: Vec<Instant> = waits.clone().map(|(since, wait)| since + wait).collect();
    // Whenever each saw its loss, it is in any one second with the same chance, or less. At seven
    // standard deviations that is never.
    let meant = busiest(&mut due);
    assert!(meant <= most(clients, spread, 7.0), "{meant} at once");
    for (_, wait) in waits {
        let quarter = 4.0 * wait.as_secs_f64() / spread.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 4"
        )]
        let quarter = quarter as usize;
        quarters[quarter.min(3)] += 1;
    }
    assert!(
        quarters
            .iter()
            .all(|n| (clients / 10..clients / 2).contains(n)),
        "{quarters:?}"
    );
    report(
        by_hand.is_some(),
        (clients, attempts, spread),
        last - restarted,
        &mut accepts,
    );
}

/// Says how it went, and judges it where nothing else was going on.
fn report(
    judge: bool,
    (clients, attempts, spread): (usize, usize, Duration),
    took: Duration,
    accepts: &mut [Instant],
) {
    let busiest = busiest(accepts);
    println!(
        "{clients} clients, {attempts} waits spread over {spread:?}: all are back {took:?} after \
         the restart, at most {busiest} of them in one second"
    );
    if judge {
        assert!(took < spread + Duration::from_secs(5));
        // Those that are up to 20 ms late are not put off.
        let late = clients / 50 * 1000 / usize::try_from(spread.as_millis()).expect("short");
        assert!(busiest <= most(clients, spread, 5.0) + late);
    }
}

/// The most of some moments within a second.
fn busiest(moments: &mut [Instant]) -> usize {
    moments.sort();
    let second = Duration::from_secs(1);
    let within =
        |(at, from): (usize, &Instant)| moments.partition_point(|own| *own < *from + second) - at;
    moments
        .iter()
        .enumerate()
        .map(within)
        .max()
        .unwrap_or_default()
}

/// How many of some clients come in one second where chance spreads them, and so many standard
/// deviations more.
fn most(clients: usize, spread: Duration, deviations: f64) -> usize {
    let share = Duration::from_secs(1).div_duration_f64(spread).min(1.0);
    let clients = f64::from(u32::try_from(clients).expect("few"));
    let deviation = (clients * share * (1.0 - share)).sqrt();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "few clients"
    )]
    let most = (clients * share + deviations * deviation) as usize;
    most
}

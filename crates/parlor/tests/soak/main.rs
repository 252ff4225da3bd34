//! A soak: several rooms, members that come, go, stall and come back on every door while others
//! publish, and a count for each member of what it lost, heard twice or heard out of order, held
//! against the room's log.
//!
//! `PARLOR_SOAK_SECONDS` says for how long; 5 by default, so that it runs with the other tests.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod book;
mod members;
mod publishers;

#[expect(dead_code, reason = "shared with the other tests")]
#[path = "../it/event_stream.rs"]
mod event_stream;
#[expect(dead_code, reason = "shared with the other tests")]
#[path = "../it/http_support.rs"]
mod http_support;
#[path = "../it/member.rs"]
mod member;
#[path = "../it/peer.rs"]
mod peer;
#[expect(dead_code, reason = "shared with the other tests")]
#[path = "../it/support.rs"]
mod support;

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use self::{
    book::{Log, Tally},
    members::Tour,
    publishers::Publisher,
    support::TestServer,
};

/// Members of each room that come and go.
const MEMBERS: u32 = 8;

/// What a room keeps for those who come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// More than anybody misses: there is never a gap.
    Long,
    /// Less than many miss: there are gaps, and they are told.
    Short,
}

/// The rooms. With several shards their homes differ.
const ROOMS: [(&str, Memory); 5] = [
    ("tea", Memory::Long),
    ("coffee", Memory::Long),
    ("water", Memory::Long),
    ("milk", Memory::Long),
    ("short", Memory::Short),
];

/// Everything that the threads of one room share.
struct Place {
    name: &'static str,
    log: Log,
    /// No more is published but the last word.
    stopping: AtomicBool,
}

#[expect(clippy::disallowed_methods, reason = "a setting of this test alone")]
fn seconds() -> u64 {
    let text = std::env::var("PARLOR_SOAK_SECONDS").unwrap_or_else(|_| "5".to_owned());
    text.parse().unwrap()
}

fn server() -> TestServer {
    TestServer::start(|config| {
        config.shards = NonZero::new(3);
        config.sse_gzip = parlor::config::SseGzip::Shared;
        config.history_messages = 20_000;
        config.history_bytes = 64 << 20;
        config.history_age = Duration::from_secs(3600);
        let mut short = config.room_rule("short");
        short.history_messages = 8;
        config.rooms.push(short);
        // A member that stalls is cut soon, and often.
        config.outbox_bytes_max = 64 * 1024;
        config.outbox_stall = Duration::from_secs(1);
        config.close_timeout = Duration::from_secs(1);
        config.sse_heartbeat = Duration::from_millis(500);
        config.ping_interval = Duration::from_millis(700);
        config.ping_timeout = Duration::from_secs(5);
    })
}

#[test]
fn nobody_loses_a_message_or_hears_one_twice_or_out_of_order() {
    let server = server();
    let tallies: Vec<(Memory, Tally)> = thread::scope(|scope| {
        let rooms: Vec<_> = ROOMS
            .iter()
            .enumerate()
            .map(|(index, (name, memory))| {
                let seed = u32::try_from(index).unwrap() * 1000;
                let server = &server;
                (*memory, scope.spawn(move || soak_room(server, name, seed)))
            })
            .collect();
        rooms
            .into_iter()
            .map(|(memory, room)| (memory, room.join().unwrap()))
            .collect()
    });
    let mut total = Tally::default();
    for (memory, tally) in tallies {
        assert!(tally.is_faultless(), "{tally:?}");
        assert!(memory == Memory::Short || tally.gaps == 0, "{tally:?}");
        total.add(tally);
    }
    // The soak is one: there was something to hear, and members that were cut and came back.
    assert!(total.heard > 500 && total.visits > 50, "{total:?}");
    if seconds() >= 30 {
        assert!(total.cuts > 0 && total.gaps > 0, "{total:?}");
    }
    #[expect(clippy::print_stderr, reason = "the numbers are the point of a soak")]
    {
        eprintln!("{total:?}");
    }
}

/// Publishes to one room and visits it until the time is up; everybody then hears the last word.
fn soak_room(server: &TestServer, name: &'static str, seed: u32) -> Tally {
    let place = Arc::new(Place {
        name,
        log: Log::default(),
        stopping: AtomicBool::new(false),
    });
    thread::scope(|scope| {
        let place = &place;
        let recorder = {
            let member = publishers::recorder(server, place);
            scope.spawn(move || publishers::record(member, place))
        };
        let members: Vec<_> = (0..MEMBERS)
            .map(|member| {
                let tour = Tour::new(server, place, seed + member);
                scope.spawn(move || tour.run())
            })
            .collect();
        let publishers: Vec<_> = Publisher::ALL
            .into_iter()
            .map(|publisher| scope.spawn(move || publisher.run(server, place)))
            .collect();
        place.log.wait(Duration::from_secs(seconds()));
        place.stopping.store(true, Ordering::Relaxed);
        let published: u64 = publishers.into_iter().map(|p| p.join().unwrap()).sum();
        publishers::say_last_word(server, place);
        let recorded = recorder.join().unwrap();
        assert_eq!(
            recorded,
            published + 1,
            "{name}: the log holds what was said"
        );
        let mut total = Tally::default();
        for member in members {
            total.add(member.join().unwrap());
        }
        total
    })
}

//! What a member hears, and when, where much happens in one turn of its shard.

use std::{
    io::Write,
    num::NonZero,
    time::{Duration, Instant},
};

use parlor::Config;
use serde_json::{Value, json};

use crate::{
    peer::Peer,
    support::{TestServer, frame},
};

fn one_shard(config: &mut Config) {
    config.shards = NonZero::new(1);
}

/// Sends messages that the server reads at once.
fn say_at_once(peer: &mut Peer, messages: &[Value]) {
    let frames: Vec<u8> = messages
        .iter()
        .flat_map(|message| frame(0x81, message.to_string().as_bytes()))
        .collect();
    peer.client.stream.write_all(&frames).unwrap();
}

#[test]
fn the_others_hear_at_once_that_a_slow_member_was_cut() {
    let server = TestServer::start(|config| {
        one_shard(config);
        config.outbox_bytes_max = 64 * 1024;
    });
    let mut slow = server.websocket_with_small_buffer("/ws/tea");
    slow.settle();
    let mut publisher = server.peer_in("tea");
    let big = "x".repeat(500_000);
    let message = json!({"type": "message", "room": "tea", "data": big});
    publisher.say(&message);
    publisher.client.settle();
    let begun = Instant::now();
    publisher.say(&message);
    assert_eq!(publisher.hear()["type"], "peer-left");
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(1), "{taken:?}");
}

#[test]
fn a_member_that_comes_back_within_a_turn_hears_nothing_of_itself() {
    let server = TestServer::start(one_shard);
    let mut watcher = server.peer_in("tea");
    let mut restless = server.peer_in("tea");
    assert_eq!(watcher.hear()["type"], "peer-joined");
    let leave = json!({"type": "leave", "room": "tea", "ref": 1});
    let join = json!({"type": "join", "room": "tea"});
    let rounds: Vec<Value> = (0..3).flat_map(|_| [leave.clone(), join.clone()]).collect();
    say_at_once(&mut restless, &rounds);
    for _ in 0..3 {
        assert_eq!(restless.hear()["type"], "ack");
        assert_eq!(restless.hear()["type"], "joined");
        assert_eq!(watcher.hear()["type"], "peer-left");
        assert_eq!(watcher.hear()["type"], "peer-joined");
    }
    restless.client.settle();
}

#[test]
fn a_message_to_one_member_does_not_overtake_those_to_the_room() {
    let server = TestServer::start(one_shard);
    let mut reader = server.peer_in("tea");
    let mut writer = server.peer_in("tea");
    assert_eq!(reader.hear()["type"], "peer-joined");
    let to_all = |data: u32| json!({"type": "message", "room": "tea", "data": data});
    let to_one =
        |data: u32| json!({"type": "message", "room": "tea", "target": reader.id, "data": data});
    let messages: Vec<Value> = (0..40)
        .map(|n| if n % 4 == 3 { to_one(n) } else { to_all(n) })
        .collect();
    say_at_once(&mut writer, &messages);
    for n in 0..40 {
        assert_eq!(reader.hear()["data"], n);
    }
    reader.client.settle();
}

#[test]
fn each_of_many_requests_is_answered_for_the_room_that_it_named() {
    let server = TestServer::start(one_shard);
    let mut peer = server.peer("/signal");
    let ask =
        |kind: &str, room: &str, number: u32| json!({"type": kind, "room": room, "ref": number});
    let requests = [
        ask("join", "tea", 1),
        ask("list", "tea", 2),
        ask("leave", "tea", 3),
        ask("join", "milk", 4),
    ];
    say_at_once(&mut peer, &requests);
    for (kind, room, number) in [
        ("joined", json!("tea"), 1),
        ("peers", json!("tea"), 2),
        ("ack", Value::Null, 3),
        ("joined", json!("milk"), 4),
    ] {
        let answer = peer.hear();
        assert_eq!((&answer["type"], &answer["room"]), (&json!(kind), &room));
        assert_eq!(answer["ref"], number);
    }
}

#[test]
fn rooms_have_their_homes_until_the_last_member_of_the_server_is_told() {
    let mut server = TestServer::start(|config| {
        config.shards = NonZero::new(2);
        config.drain = Duration::from_secs(2);
    });
    // They are dealt to the two shards in turn.
    let [mut first, mut second, mut last] = [(); 3].map(|()| {
        let mut peer = server.peer("/signal");
        peer.client.settle();
        peer
    });
    second.client.send(0x88, &[]);
    second.client.receive().unwrap();
    assert!(second.client.receive().is_err(), "its shard has none left");
    server.begin_stop();
    assert_eq!(first.client.receive().unwrap().close().0, 1001);
    for room in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        last.join(room);
    }
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(6));
}

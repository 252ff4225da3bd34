//! Bounds and names of rooms, and how long they live.

use std::num::NonZero;

use serde_json::json;

use crate::support::{TestServer, upgrade};

#[test]
fn a_member_is_in_so_many_rooms_at_most_and_stays_in_them() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = NonZero::new(shards));
        let mut ann = server.peer("/signal");
        for room in 0..256 {
            ann.join(&format!("room {room}"));
        }
        let error = ann.ask(&json!({"type": "join", "room": "one more", "ref": 1}));
        assert_eq!(
            (&error["type"], &error["code"], &error["ref"]),
            (&json!("error"), &json!("limit"), &json!(1))
        );
        let ack = ann.ask(&json!({"type": "message", "room": "room 0", "data": 1, "ref": 2}));
        assert_eq!(ack["type"], "ack");
        let ack = ann.ask(&json!({"type": "leave", "room": "room 0", "ref": 3}));
        assert_eq!(ack["type"], "ack");
        ann.join("one more");
    }
}

#[test]
fn a_bad_room_name_is_an_error_and_the_connection_stays() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer("/signal");
    let long = "x".repeat(129);
    let split = "\u{e9}".repeat(65);
    for name in ["", &long, &split, "a\nb", "a\0b", "\u{7f}", "\u{85}"] {
        for kind in ["join", "leave", "list", "message", "resume"] {
            let error = ann.ask(&json!({
                "type": kind, "room": name, "ref": kind, "data": 1, "since": "1-1",
            }));
            assert_eq!(
                (&error["type"], &error["code"], &error["ref"]),
                (&json!("error"), &json!("bad_room"), &json!(kind)),
                "{name:?}"
            );
        }
    }
    // The longest names there may be.
    ann.join(&"x".repeat(128));
    ann.join(&"\u{e9}".repeat(64));
}

#[test]
fn names_with_a_meaning_elsewhere_are_ordinary_here() {
    let names = [
        "*",
        ">",
        "#",
        "tea.*",
        "tea/#",
        "te",
        "tea/",
        "TEA",
        "__proto__",
        " ",
    ];
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = NonZero::new(shards));
        let mut listeners = names.map(|name| server.peer_in(name));
        let mut ann = server.peer_in("tea");
        ann.say(&json!({"type": "message", "room": "tea", "data": "for tea alone"}));
        ann.client.settle();
        for (listener, name) in listeners.iter_mut().zip(names) {
            listener.client.settle();
            server.publish(&percent(name), &json!({"data": name}));
            let heard = listener.hear();
            assert_eq!(
                (&heard["room"], &heard["data"]),
                (&json!(name), &json!(name))
            );
        }
    }
}

/// A room's name as a segment of a path.
fn percent(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn a_room_goes_with_its_last_member_unless_its_history_keeps_it() {
    for (history, stays) in [(0, false), (10, true)] {
        let server = TestServer::start(|config| config.history_messages = history);
        let mut ann = server.peer_in("tea");
        let first = server.publish("tea", &json!({"data": 1}));
        ann.hear();
        let bo = server.peer_in("tea");
        drop(ann);
        assert_eq!(
            server.publish("tea", &json!({"data": 2})).split('-').next(),
            first.split('-').next()
        );
        server.expect("parlor_rooms", 1);
        drop(bo);
        server.expect("parlor_rooms", u64::from(stays));
        server.expect("parlor_history_messages", if stays { 2 } else { 0 });
        let _cy = server.peer_in("tea");
        let again = server.publish("tea", &json!({"data": 3}));
        let (epoch, offset) = again.split_once('-').unwrap();
        assert_eq!(first.starts_with(epoch), stays, "{first} {again}");
        assert_eq!(offset, if stays { "3" } else { "1" });
    }
}

#[test]
fn rooms_made_and_left_leave_nothing_behind() {
    let server = TestServer::start(|config| {
        config.history_messages = 0;
        config.shards = NonZero::new(3);
    });
    let mut ann = server.peer("/signal");
    for round in 0..20 {
        for room in 0..20 {
            ann.join(&format!("{round} {room}"));
        }
        for room in 0..20 {
            let room = format!("{round} {room}");
            let ack = ann.ask(&json!({"type": "leave", "room": room, "ref": 1}));
            assert_eq!(ack["type"], "ack");
        }
    }
    server.expect("parlor_rooms", 0);
}

#[test]
fn history_that_is_too_old_is_forgotten_and_its_room_with_it() {
    let server = TestServer::start(|config| {
        config.history_age = std::time::Duration::from_millis(300);
    });
    let ann = server.peer_in("tea");
    server.publish("tea", &json!({"data": 1}));
    drop(ann);
    server.expect("parlor_history_messages", 0);
    server.expect("parlor_history_bytes", 0);
    server.expect("parlor_rooms", 0);
}

#[test]
fn a_full_room_is_told_in_the_words_of_each_door() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| {
            config.members_per_room_max = 2;
            config.shards = NonZero::new(shards);
        });
        let mut raw = server.websocket("/ws/tea");
        raw.settle();
        let mut ann = server.peer_in("tea");
        let mut late = server.peer("/signal");
        let error = late.ask(&json!({"type": "join", "room": "tea", "ref": 1}));
        assert_eq!(
            (&error["code"], &error["ref"]),
            (&json!("limit"), &json!(1))
        );
        late.join("coffee");
        let (code, _) = server.websocket("/ws/tea").receive_close();
        assert_eq!(code, 1013);
        let mut all = server.websocket("/ws/tea?events=all");
        assert!(all.receive_text().starts_with("{\"type\":\"error\""));
        assert_eq!(all.receive_close().0, 1013);
        let refused = server.exchange(upgrade("/ws/tea?since=1-1", "").as_bytes());
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        let mut events = server.events("/sse/tea");
        while let Ok(block) = events.block() {
            assert_eq!(block.data, None, "{block:?}");
        }
        assert!(events.ended, "it ends, and the client comes back later");
        // Those inside are not concerned.
        raw.send_text("x");
        assert_eq!(ann.hear()["data"], "x");
        // A place that is free again may be taken.
        drop(raw);
        assert_eq!(ann.hear()["type"], "peer-left");
        late.join("tea");
    }
}

#[test]
fn a_name_too_long_joins_nothing() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer("/signal");
    let name = "x".repeat(129);
    let error = ann.ask(&json!({"type": "join", "room": "tea", "name": name, "ref": 1}));
    assert_eq!(
        (&error["code"], &error["ref"]),
        (&json!("limit"), &json!(1))
    );
    let data = "x".repeat(5000);
    let error = ann.ask(&json!({"type": "join", "room": "tea", "data": data, "ref": 1}));
    assert_eq!(error["code"], "limit");
    assert_eq!(ann.join("tea")["peers"], json!([]));
    for path in ["/ws/tea", "/signal", "/ws/tea?events=all&"] {
        let separator = if path.contains('?') { "" } else { "?" };
        let path = format!("{path}{separator}name={name}");
        let refused = server.exchange(upgrade(&path, "").as_bytes());
        assert!(refused.starts_with("HTTP/1.1 400 "), "{path}: {refused}");
    }
}

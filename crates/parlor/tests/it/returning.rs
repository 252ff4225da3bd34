//! Coming back: what was missed, once each and in order, or a gap that is told.

use std::{io::Write, num::NonZero, sync::Barrier, thread};

use serde_json::json;

use crate::{
    event_stream::EventStream,
    http_support::field,
    member::{Door, Gap, Heard, Member},
    peer::Peer,
    support::{Client, TestServer, frame, upgrade},
};

/// Comes into a room, after a message if there was one.
fn enter(
    server: &TestServer,
    door: Door,
    room: &str,
    since: Option<&str>,
) -> (Member, Option<Gap>) {
    Member::enter(server.tcp(), door, room, since)
}

/// The next message's number and id.
fn message(member: &mut Member) -> (u64, Option<String>) {
    loop {
        match member.hear() {
            Heard::Message(number, id) => return (number.parse().unwrap(), id),
            Heard::Resumed => {}
            other => unreachable!("{other:?}"),
        }
    }
}

/// Comes back and expects a gap; returns the oldest id held and the numbers replayed.
fn enter_after_gap(
    server: &TestServer,
    door: Door,
    room: &str,
    since: &str,
    replayed: usize,
) -> (Member, Gap, Vec<u64>) {
    let (mut member, mut gap) = enter(server, door, room, Some(since));
    let mut numbers = Vec::new();
    while numbers.len() < replayed || gap.is_none() {
        match member.hear() {
            Heard::Message(number, _) => numbers.push(number.parse().unwrap()),
            Heard::Gap(oldest) => {
                assert_eq!(gap, None, "{door:?}: a gap is told once");
                gap = Some(oldest);
            }
            other => unreachable!("{door:?}: {other:?}"),
        }
    }
    (member, gap.unwrap(), numbers)
}

fn publish(server: &TestServer, room: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let publish = |number| server.publish(room, &json!({"data": number}));
    numbers.into_iter().map(publish).collect()
}

#[test]
fn a_member_may_leave_on_one_door_and_come_back_on_another() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| {
            config.shards = NonZero::new(shards);
            config.sse_gzip = parlor::config::SseGzip::Shared;
        });
        for (index, left) in Door::ALL.into_iter().enumerate() {
            let room = format!("room-{index}");
            let (mut member, _) = enter(&server, left, &room, None);
            if let Member::Raw(client) = &mut member {
                client.settle();
            }
            let ids = publish(&server, &room, 1..=3);
            let mut last = None;
            for number in 1..=3 {
                let (heard, id) = message(&mut member);
                assert_eq!(heard, number);
                last = id;
            }
            drop(member);
            // A raw member does not hear ids; whoever published knows them.
            let last = last.unwrap_or_else(|| ids[2].clone());
            assert_eq!(last, ids[2], "{left:?}");
            publish(&server, &room, 4..=6);
            let mut back: Vec<Member> = Vec::new();
            for door in Door::ALL {
                let (mut member, gap) = enter(&server, door, &room, Some(&last));
                assert_eq!(gap, None, "{left:?} {door:?}");
                for number in 4..=6 {
                    assert_eq!(message(&mut member).0, number, "{left:?} {door:?}");
                }
                if matches!(door, Door::All | Door::Signal) {
                    assert_eq!(member.hear(), Heard::Resumed);
                }
                back.push(member);
            }
            let live = publish(&server, &room, [7]);
            for member in &mut back {
                let (number, id) = message(member);
                assert_eq!(number, 7);
                assert!(id.is_none_or(|id| id == live[0]));
            }
        }
    }
}

#[test]
fn a_restart_is_a_gap_on_every_door() {
    let before = TestServer::start(|_| {});
    let keep = before.peer_in("tea");
    let old = publish(&before, "tea", 1..=3).pop().unwrap();
    drop(keep);
    drop(before);
    let server = TestServer::start(|_| {});
    for door in Door::ALL {
        // Nobody was there since: nothing is held.
        let room = format!("empty-{door:?}");
        let (_, oldest, _) = enter_after_gap(&server, door, &room, &old, 0);
        assert!(oldest.is_none(), "{door:?}: {oldest:?}");
    }
    let keep = server.peer_in("tea");
    let new = publish(&server, "tea", 11..=13);
    assert_ne!(new[0].split('-').next(), old.split('-').next(), "the epoch");
    let mut members = Vec::new();
    for door in Door::ALL {
        let (member, oldest, numbers) = enter_after_gap(&server, door, "tea", &old, 3);
        assert_eq!(oldest.as_deref(), Some(&*new[0]), "{door:?}");
        assert_eq!(numbers, [11, 12, 13], "{door:?}");
        members.push(member);
    }
    publish(&server, "tea", [14]);
    for member in &mut members {
        assert_eq!(message(member).0, 14);
    }
    drop(keep);
}

#[test]
fn what_is_no_longer_held_is_a_gap_with_the_oldest_id_that_is() {
    let server = TestServer::start(|config| config.history_messages = 4);
    let keep = server.peer_in("tea");
    let ids = publish(&server, "tea", 1..=10);
    for door in Door::ALL {
        let (_, oldest, numbers) = enter_after_gap(&server, door, "tea", &ids[1], 4);
        assert_eq!(oldest.as_deref(), Some(&*ids[6]), "{door:?}");
        assert_eq!(numbers, [7, 8, 9, 10], "{door:?}");
        // The last id before the oldest is no gap.
        let (mut member, gap) = enter(&server, door, "tea", Some(&ids[5]));
        assert_eq!(gap, None);
        for number in 7..=10 {
            assert_eq!(message(&mut member).0, number, "{door:?}");
        }
    }
    drop(keep);
}

#[test]
fn a_room_without_history_tells_a_gap_but_not_to_those_who_missed_nothing() {
    let server = TestServer::start(|config| config.history_messages = 0);
    let keep = server.peer_in("tea");
    let ids = publish(&server, "tea", 1..=3);
    for door in Door::ALL {
        let (_, oldest, _) = enter_after_gap(&server, door, "tea", &ids[0], 0);
        assert_eq!(oldest, None, "{door:?}");
        let (mut member, gap) = enter(&server, door, "tea", Some(&ids[2]));
        assert_eq!(gap, None, "{door:?}");
        if let Member::Json(_) = member {
            assert_eq!(member.hear(), Heard::Resumed, "{door:?}");
        }
    }
    drop(keep);
}

#[test]
fn a_hostile_last_event_id_is_unknown_and_so_a_gap() {
    let server = TestServer::start(|_| {});
    let keep = server.peer_in("tea");
    let ids = publish(&server, "tea", 1..=2);
    let other = {
        let _keep = server.peer_in("other");
        publish(&server, "other", [1]).pop().unwrap()
    };
    let epoch = ids[0].split('-').next().unwrap();
    let hostile: [Vec<u8>; 16] = [
        b"x".to_vec(),
        b"\xff\xfe".to_vec(),
        b"0".to_vec(),
        b"-".to_vec(),
        b"--1".to_vec(),
        b"'; DROP TABLE rooms; --".to_vec(),
        b"../../etc/passwd".to_vec(),
        "\u{1f4a5}\u{202e}".into(),
        vec![b'9'; 4000],
        format!("{epoch}-{}", "9".repeat(40)).into(),
        format!("{epoch}-18446744073709551615").into(),
        format!("{epoch}-3").into(),
        format!("{epoch}--1").into(),
        format!("{epoch}-1-1").into(),
        format!("{epoch}-1\0").into_bytes()[..epoch.len() + 2]
            .to_vec()
            .repeat(2),
        other.into_bytes(),
    ];
    for id in hostile {
        let shown = String::from_utf8_lossy(&id).into_owned();
        let mut stream = server.tcp();
        stream
            .write_all(b"GET /sse/tea HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: ")
            .unwrap();
        stream.write_all(&id).unwrap();
        stream.write_all(b"\r\n\r\n").unwrap();
        let mut events = EventStream::open_sent(stream);
        events.joined();
        let gap = events.event();
        assert_eq!(gap.name.as_deref(), Some("gap"), "{shown:?}: {gap:?}");
        assert_eq!(
            gap.json(),
            json!({"room": "tea", "oldest": ids[0]}),
            "{shown}"
        );
        for (id, number) in ids.iter().zip(["1", "2"]) {
            assert_eq!(events.event().parts(), (Some(&**id), None, number));
        }
    }
    drop(keep);
}

#[test]
fn a_last_event_id_is_read_as_browsers_and_proxies_write_it() {
    let server = TestServer::start(|_| {});
    let keep = server.peer_in("tea");
    let ids = publish(&server, "tea", 1..=3);
    // Without a value it says nothing; the last one of several counts; space around it does not,
    // and it goes before the query, which a browser repeats as it was.
    for (query, headers, missed) in [
        ("", "Last-Event-ID:\r\n".to_owned(), &ids[3..]),
        ("", "Last-Event-ID:  \r\n".to_owned(), &ids[3..]),
        (
            "",
            format!("Last-Event-ID: x\r\nLast-Event-ID: {}\r\n", ids[0]),
            &ids[1..],
        ),
        ("", format!("LAST-EVENT-ID: \t{} \r\n", ids[1]), &ids[2..]),
        (&*format!("?since={}", ids[0]), String::new(), &ids[1..]),
        (
            &*format!("?since={}", ids[0]),
            format!("Last-Event-ID: {}\r\n", ids[2]),
            &ids[3..],
        ),
        ("?last=2", String::new(), &ids[1..]),
    ] {
        let mut events = server.events_with(&format!("/sse/tea{query}"), &headers);
        events.joined();
        for id in missed {
            assert_eq!(events.event().id.as_ref(), Some(id), "{query} {headers}");
        }
        assert!(events.is_quiet(), "{query} {headers}");
    }
    drop(keep);
}

#[test]
fn raw_members_may_ask_for_the_last_messages() {
    let server = TestServer::start(|_| {});
    let keep = server.peer_in("tea");
    publish(&server, "tea", 1..=5);
    for (last, expected) in [
        ("0", vec![]),
        ("2", vec![4, 5]),
        ("99", vec![1, 2, 3, 4, 5]),
    ] {
        let mut client = server.websocket(&format!("/ws/tea?last={last}"));
        assert_eq!(field(&client.response, "parlor-gap"), None);
        for number in expected {
            assert_eq!(client.receive_text(), format!("{number}"));
        }
        client.settle();
        let mut peer = server.peer(&format!("/ws/tea?events=all&last={last}"));
        assert_eq!(peer.hear()["type"], "joined");
    }
    let refused = server.exchange(upgrade("/ws/tea?last=x", "").as_bytes());
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    drop(keep);
}

#[test]
fn what_a_raw_member_sends_before_its_upgrade_is_answered_follows_its_join() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = NonZero::new(shards));
        let mut other = server.websocket("/ws/tea");
        other.settle();
        let id = server.publish("tea", &json!({"data": 1}));
        server.publish("tea", &json!({"data": 2}));
        let mut stream = server.tcp();
        let mut bytes = upgrade(&format!("/ws/tea?since={id}&echo=1"), "").into_bytes();
        bytes.extend(frame(0x81, b"early"));
        bytes.extend(frame(0x89, b"ping"));
        stream.write_all(&bytes).unwrap();
        let mut client = Client::opened(stream);
        // It is answered at once; the message comes back by way of the room.
        let mut heard = Vec::new();
        while heard.len() < 3 {
            let frame = client.receive().unwrap();
            heard.push((frame.first, String::from_utf8(frame.payload).unwrap()));
        }
        assert_eq!(heard[0], (0x81, "2".to_owned()));
        assert!(heard.contains(&(0x8a, "ping".to_owned())), "{heard:?}");
        assert!(heard.contains(&(0x81, "early".to_owned())), "{heard:?}");
        assert_eq!([(); 3].map(|()| other.receive_text()), ["1", "2", "early"]);
    }
}

#[test]
fn a_replay_includes_what_the_returning_client_has_said_itself() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    let say = |ann: &mut Peer, data: u64| {
        ann.ask(&json!({"type": "message", "room": "tea", "data": data, "ref": data}))
    };
    let first = say(&mut ann, 1);
    let second = say(&mut ann, 2);
    drop(ann);
    let mut back = server.peer("/signal/tea");
    back.say(&json!({"type": "resume", "since": first["id"], "ref": "r"}));
    let joined = back.hear();
    assert_eq!(
        (&joined["type"], &joined["ref"]),
        (&json!("joined"), &json!("r"))
    );
    let missed = back.hear();
    assert_eq!((&missed["data"], &missed["id"]), (&json!(2), &second["id"]));
    assert_eq!(
        back.hear(),
        json!({"type": "resumed", "room": "tea", "gap": false, "ref": "r"})
    );
    let again = back.ask(&json!({"type": "resume", "since": first["id"], "ref": 9}));
    assert_eq!(
        (&again["code"], &again["ref"]),
        (&json!("already-joined"), &json!(9))
    );
}

/// Comes and goes on all doors in turn while others publish; hears every message once, in order.
/// The first message of the room is 1, so that a message's number is its offset. Returns how often
/// it came.
fn come_and_go(server: &TestServer, start: usize, last: u64, ready: &Barrier) -> usize {
    let mut since: Option<String> = None;
    let mut heard = 0;
    let mut visits = 0;
    let mut epoch = None;
    while heard < last {
        let door = Door::ALL[(start + visits) % Door::ALL.len()];
        let (mut member, gap) = enter(server, door, "tea", since.as_deref());
        assert_eq!(gap, None);
        if visits == 0 {
            // Nothing is published before all are in the room.
            if let Member::Raw(client) = &mut member {
                client.settle();
            }
            ready.wait();
        }
        visits += 1;
        for _ in 0..=(visits * 7 + start) % 23 {
            let (number, id) = message(&mut member);
            assert_eq!(
                number,
                heard + 1,
                "member {start}, visit {visits} by {door:?}"
            );
            heard = number;
            if let Some((name, offset)) = id.as_deref().and_then(|id| id.split_once('-')) {
                assert_eq!(offset, number.to_string());
                epoch = Some(name.to_owned());
            }
            if heard == last {
                break;
            }
        }
        // A member that has heard no id yet asks for everything, from before the first one.
        let epoch = epoch.clone().unwrap_or_else(|| epoch_of(server));
        since = Some(format!("{epoch}-{heard}"));
    }
    visits
}

/// The epoch of the room, from a member that asks for its last message.
fn epoch_of(server: &TestServer) -> String {
    let mut events = server.events("/sse/tea?last=1");
    events.joined();
    let id = events.event().id.unwrap();
    id.split('-').next().unwrap().to_owned()
}

#[test]
fn replay_joins_live_without_loss_or_repetition() {
    const MESSAGES: u64 = 400;
    const MEMBERS: usize = 6;
    for shards in [1, 3] {
        let server = TestServer::start(|config| {
            config.shards = NonZero::new(shards);
            config.history_messages = 1000;
            config.sse_gzip = parlor::config::SseGzip::Shared;
        });
        let ready = Barrier::new(MEMBERS + 1);
        let visits: usize = thread::scope(|scope| {
            let members: Vec<_> = (0..MEMBERS)
                .map(|start| {
                    let (server, ready) = (&server, &ready);
                    scope.spawn(move || come_and_go(server, start, MESSAGES, ready))
                })
                .collect();
            let mut publisher = server.peer_in("other");
            ready.wait();
            publisher.join("tea");
            for number in 1..=MESSAGES {
                publisher.say(&json!({"type": "message", "room": "tea", "data": number}));
                if number % 8 == 0 {
                    publisher.say(&json!({"type": "ping"}));
                    while publisher.hear()["type"] != "pong" {}
                }
            }
            members.into_iter().map(|m| m.join().unwrap()).sum()
        });
        assert!(visits > MEMBERS * 20, "{visits}");
    }
}

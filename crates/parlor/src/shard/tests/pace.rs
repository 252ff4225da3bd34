//! Reads that hold more work than a turn has time for.

use std::io::Write as _;

use flate2::{Compression, write::DeflateEncoder};
use parlor_proto::engineio::Method;

use super::*;

/// How much each deflated message is once it is inflated.
const INFLATED_BYTES: usize = 256 * 1024;

/// A frame as a client sends it, with a key of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let mut frame = vec![first];
    match u8::try_from(len) {
        Ok(len) if len < 126 => frame.push(0x80 | len),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(len.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A binary message of zeros, deflated.
fn bomb() -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; INFLATED_BYTES]).unwrap();
    encoder.flush().unwrap();
    let deflated = encoder.get_ref();
    let tail = deflated.len() - 4;
    frame(0xC2, &deflated[..tail])
}

/// The length of the first frame of a server.
fn frame_len(bytes: &[u8]) -> usize {
    match bytes[1] {
        126 => 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
        len => 2 + usize::from(len),
    }
}

#[test]
fn messages_that_inflate_are_taken_in_between_what_others_say() {
    const BOMBS: usize = 24;
    with_shard(1, |bench| {
        let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let mut bomber = bench.open_with("/echo", extension);
        let mut other = bench.open("/echo");
        let bytes = bomb().repeat(BOMBS);
        assert!(bytes.len() < READ_BYTES);
        bomber.write(&bytes);
        bomber.write(&frame(0x88, &[]));
        while bomber.read.is_empty() {
            other.write(&message(1000));
            bench.events = bench.next_events();
            let begun = bench.shard.take_in(&mut bench.events);
            bench.shard.give_out(&begun);
            bomber.take();
            other.take();
        }
        let len = frame_len(&bomber.read);
        assert!(bomber.read.len() < BOMBS * len);
        assert!(other.read.len() >= 1004);
        // The rest comes in its turn, and the goodbye behind all of it.
        bench.until("the rest is taken in", |_| !bomber.take());
        assert_eq!(bomber.read.len(), BOMBS * len + 2);
        assert!(bomber.read.ends_with(&[0x88, 0]));
    });
}

#[test]
fn many_who_always_have_more_do_not_keep_others_waiting() {
    const BOMBERS: usize = 20;
    with_shard(1, |bench| {
        let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let bytes = bomb().repeat(4);
        let open = |bench: &mut Bench| bench.open_with("/echo", extension);
        let mut bombers: Vec<Client> = (0..BOMBERS).map(|_| open(bench)).collect();
        let mut other = bench.open("/echo");
        for bomber in &mut bombers {
            bomber.write(&bytes);
        }
        // Once they are known to have more, a turn has no time for all of them.
        bench.until("they have more", |bench| {
            bench.shard.heavy.len() > BOMBERS / 2
        });
        other.write(&message(1000));
        let mut before = bench.shard.heavy.clone();
        bench.until("what was said comes back", |bench| {
            other.take();
            let heard = !other.read.is_empty();
            if !heard {
                before.clone_from(&bench.shard.heavy);
            }
            heard
        });
        let last = before.back().expect("they have more than a turn's work");
        assert!(bench.shard.heavy.contains(last));
        bench.until("all of it is taken in", |bench| !bench.shard.has_ready());
    });
}

/// Has a session of Socket.IO join many rooms, so that each event of it is a message in each.
const ROOMS: usize = 50;
/// Events that come in one read.
const EVENTS: usize = 1000;

fn joins() -> String {
    let join = |room| format!("42[\"join\",\"room {room}\"]");
    let joins: Vec<String> = (0..ROOMS).map(join).collect();
    joins.join("\u{1e}")
}

/// As many events, of which the last is acknowledged.
fn events() -> Vec<u8> {
    let mut bytes = frame(0x81, b"42[\"x\"]").repeat(EVENTS);
    bytes.extend(frame(0x81, b"427[\"x\"]"));
    assert!(bytes.len() < READ_BYTES);
    bytes
}

#[test]
fn events_for_many_rooms_are_taken_in_between_what_others_say() {
    with_shard(1, |bench| {
        let mut flooder = bench.ask("/socket.io/?EIO=4&transport=websocket");
        flooder.write(&frame(0x81, b"40"));
        bench.until("it is connected", |_| {
            flooder.take();
            flooder.read.ends_with(b"\"}") && flooder.read.windows(3).any(|bytes| bytes == b"40{")
        });
        for join in joins().split('\u{1e}') {
            flooder.write(&frame(0x81, join.as_bytes()));
        }
        bench.until("it is in its rooms", |bench| {
            bench.shard.hub.counts().rooms_homed > ROOMS
        });
        let mut other = bench.open("/echo");
        flooder.write(&events());
        other.write(&message(1000));
        let published = |bench: &Bench| bench.shard.hub.counts().history_messages;
        bench.until("some of it is taken in", |bench| published(bench) > 0);
        let heard = |client: &Client| client.read.windows(3).any(|bytes| bytes == b"437");
        flooder.take();
        assert!(!heard(&flooder), "not all of it is taken in at once");
        bench.until("the other is heard", |_| {
            other.take();
            other.read.len() == 1004
        });
        bench.until("the last event is acknowledged", |_| {
            assert!(flooder.take());
            heard(&flooder)
        });
    });
}

#[test]
fn what_comes_behind_an_upgrade_is_taken_in_over_many_turns() {
    with_shard(1, |bench| {
        let query = bench.session();
        let said = bench.exchange(Method::Post, &query, &joins());
        assert_eq!(said.body, "ok");
        bench.until("it is in its rooms", |bench| {
            bench.shard.hub.counts().rooms_homed > ROOMS
        });
        let target = format!("/socket.io/?EIO=4&transport=websocket{query}");
        let mut socket = bench.open(&target);
        socket.write(&frame(0x81, b"2probe"));
        bench.until("the probe is answered", |_| {
            socket.take();
            !socket.read.is_empty()
        });
        socket.write(&[frame(0x81, b"5"), events()].concat());
        bench.until("the last event is acknowledged", |_| {
            assert!(socket.take());
            socket.read.windows(3).any(|bytes| bytes == b"437")
        });
    });
}

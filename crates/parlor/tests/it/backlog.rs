//! Members that read late.

use std::{io::Write, num::NonZero};

use serde_json::json;

use crate::support::{TestServer, frame};

#[test]
fn messages_that_a_member_does_not_hear_do_not_hold_up_its_backlog() {
    let big = "x".repeat(200_000);
    for slow in ["drop-low", "conflate", "close"] {
        let server = TestServer::start(|config| {
            // What a settled publisher has sent has reached every member.
            config.shards = NonZero::new(1);
            config.set("slow", slow).unwrap();
        });
        let mut reader = server.websocket_with_small_buffer("/ws/tea");
        reader.settle();
        let mut publisher = server.peer_in("tea");
        let message = |data: &str| json!({"type": "message", "room": "tea", "data": data});
        let unheard = json!({
            "type": "message", "room": "tea", "event": "chat", "data": 1, "priority": "low",
        });
        // In one flush, and each in a flush of its own.
        for text in [&*big, "two"] {
            let bytes = [&unheard, &message(text), &unheard, &unheard]
                .map(|message| frame(0x81, message.to_string().as_bytes()));
            publisher.client.stream.write_all(&bytes.concat()).unwrap();
            publisher.client.settle();
            publisher.say(&unheard);
            publisher.client.settle();
        }
        publisher.say(&message("three"));
        publisher.client.settle();
        let expected: &[&str] = match slow {
            // Of one event the newest counts; the first was begun.
            "conflate" => &[&big, "three"],
            _ => &[&big, "two", "three"],
        };
        for text in expected {
            assert_eq!(reader.receive_text().len(), text.len(), "{slow}");
        }
        reader.settle();
    }
}

#[test]
fn one_pong_waits_for_a_client_that_does_not_read() {
    let server = TestServer::start(|config| config.shards = NonZero::new(1));
    let mut reader = server.websocket_with_small_buffer("/ws/tea");
    reader.settle();
    let mut publisher = server.websocket("/ws/tea");
    let big = "x".repeat(200_000);
    publisher.send_text(&big);
    publisher.settle();
    for round in 0..50_u32 {
        let pings: Vec<u8> = (0..4_u32)
            .flat_map(|n| frame(0x89, &(round * 4 + n).to_be_bytes()))
            .collect();
        reader.stream.write_all(&pings).unwrap();
        // Heard by the other member: the server has taken the pings in.
        reader.send_text("mark");
        assert_eq!(publisher.receive_text(), "mark");
    }
    assert_eq!(reader.receive_text().len(), big.len());
    let pong = reader.receive().unwrap();
    assert_eq!(
        (pong.first, &*pong.payload),
        (0x8a, &199_u32.to_be_bytes()[..])
    );
    publisher.send_text("next");
    assert_eq!(reader.receive_text(), "next");
}

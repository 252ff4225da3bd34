//! Rooms by WebSocket: who hears what, in which order, and what one slow member costs.

use std::{
    io::Read,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use crate::support::{Client, TestServer};

/// Joins `count` members to a room; each is in it when this returns.
fn members(server: &TestServer, path: &str, count: usize) -> Vec<Client> {
    let mut members: Vec<Client> = (0..count).map(|_| server.websocket(path)).collect();
    members.iter_mut().for_each(Client::settle);
    members
}

#[test]
fn the_others_hear_a_message_as_it_was_sent() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = std::num::NonZero::new(shards));
        let mut members = members(&server, "/", 4);
        members[0].send_text("Hello, server!");
        members[0].send(0x82, &[0, 255, 128]);
        for member in &mut members[1..] {
            assert_eq!(member.receive_text(), "Hello, server!");
            let frame = member.receive().unwrap();
            assert_eq!((frame.first, frame.payload), (0x82, vec![0, 255, 128]));
        }
        members[0].settle();
    }
}

#[test]
fn the_three_paths_of_the_lobby_are_one_room() {
    let server = TestServer::start(|_| {});
    let mut root = server.websocket("/");
    let mut ws = server.websocket("/ws");
    let mut lobby = server.websocket("/ws/lobby?name=Ann");
    for member in [&mut root, &mut ws, &mut lobby] {
        member.settle();
    }
    root.send_text("one");
    assert_eq!(ws.receive_text(), "one");
    assert_eq!(lobby.receive_text(), "one");
}

#[test]
fn rooms_are_apart_whatever_their_names() {
    let server = TestServer::start(|_| {});
    let names = ["*", "%3E", "%23", "a", "a%2Fb", "%E2%98%83", "A"];
    let mut rooms: Vec<Client> = names
        .iter()
        .map(|name| server.websocket(&format!("/ws/{name}?echo=1")))
        .collect();
    rooms.iter_mut().for_each(Client::settle);
    for (client, name) in rooms.iter_mut().zip(names) {
        client.send_text(name);
    }
    for (client, name) in rooms.iter_mut().zip(names) {
        assert_eq!(client.receive_text(), name);
        client.settle();
    }
}

#[test]
fn echo_includes_the_sender_once() {
    let server = TestServer::start(|_| {});
    let mut members = members(&server, "/ws/tea?echo=1", 2);
    members[0].send_text("x");
    assert_eq!(members[0].receive_text(), "x");
    assert_eq!(members[1].receive_text(), "x");
    members.iter_mut().for_each(Client::settle);
}

#[test]
fn sixteen_publishers_are_heard_in_order_by_all() {
    const MESSAGES: usize = 200;
    for shards in [1, 2] {
        let server = TestServer::start(|config| config.shards = std::num::NonZero::new(shards));
        let mut publishers = members(&server, "/ws/tea", 16);
        let listeners = members(&server, "/ws/tea", 10);
        let readers: Vec<_> = listeners
            .into_iter()
            .map(|mut listener| {
                thread::spawn(move || {
                    let mut next = [0_usize; 16];
                    for _ in 0..16 * MESSAGES {
                        let text = listener.receive_text();
                        let (publisher, number) = text.split_once(' ').unwrap();
                        let publisher: usize = publisher.parse().unwrap();
                        assert_eq!(number.parse::<usize>().unwrap(), next[publisher]);
                        next[publisher] += 1;
                    }
                    listener.settle();
                })
            })
            .collect();
        for number in 0..MESSAGES {
            for (index, publisher) in publishers.iter_mut().enumerate() {
                publisher.send_text(&format!("{index} {number}"));
            }
        }
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    }
}

#[test]
fn one_member_that_does_not_read_is_closed_and_nobody_else_notices() {
    const MEMBERS: usize = 1000;
    const MESSAGES: usize = 60;
    const BYTES: usize = 8 * 1024;
    let server = TestServer::start(|config| {
        config.outbox_bytes_max = 128 * 1024;
        config.close_timeout = Duration::from_secs(60);
    });
    let mut stalled = server.websocket_with_small_buffer("/ws/tea");
    stalled.settle();
    let mut others = members(&server, "/ws/tea", MEMBERS);
    let mut publisher = server.websocket("/ws/tea");
    publisher.settle();
    for number in 0..MESSAGES {
        let mut text = number.to_string();
        text.extend(std::iter::repeat_n('.', BYTES - text.len()));
        publisher.send_text(&text);
        for other in &mut others {
            assert_eq!(other.receive_text(), text);
        }
    }
    let mut heard = 0;
    let close = loop {
        let frame = stalled.receive().unwrap();
        if frame.first == 0x88 {
            break frame.close();
        }
        heard += 1;
    };
    assert_eq!(close, (1013, "slow consumer".to_owned()));
    assert!(heard < MESSAGES, "it was closed before it had everything");
}

#[test]
fn a_reader_that_takes_no_byte_is_closed_after_a_while() {
    let server = TestServer::start(|config| {
        config.outbox_stall = Duration::from_millis(300);
        config.close_timeout = Duration::from_secs(60);
        config.outbox_bytes_max = 1 << 30;
    });
    let mut stalled = server.websocket("/ws/tea");
    stalled.settle();
    let mut publisher = server.websocket("/ws/tea");
    let payload = vec![b'x'; 1 << 20];
    for _ in 0..16 {
        publisher.send(0x81, &payload);
    }
    publisher.settle();
    let until = Instant::now() + Duration::from_millis(800);
    while Instant::now() < until {
        publisher.settle();
    }
    let close = loop {
        let frame = stalled.receive().unwrap();
        if frame.first == 0x88 {
            break frame.close();
        }
    };
    assert_eq!(close.0, 1013);
}

#[test]
fn a_stop_says_going_away() {
    let mut server = TestServer::start(|_| {});
    let mut members = members(&server, "/", 3);
    server.begin_stop();
    for member in &mut members {
        assert_eq!(member.receive_close().0, 1001);
    }
    server.stop();
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn a_drain_spreads_the_goodbyes_and_refuses_newcomers() {
    const WINDOW: Duration = Duration::from_millis(900);
    let mut server = TestServer::start(|config| {
        config.drain = WINDOW;
        config.shards = std::num::NonZero::new(1);
    });
    let mut members = members(&server, "/", 10);
    let began = Instant::now();
    server.begin_stop();
    let times: Vec<Duration> = members
        .iter_mut()
        .map(|member| {
            assert_eq!(member.receive_close().0, 1001);
            began.elapsed()
        })
        .collect();
    assert!(times[9] - times[0] > WINDOW / 2, "{times:?}");
    assert!(times[9] < 2 * WINDOW, "{times:?}");
    server.stop();
    assert!(std::net::TcpStream::connect(server.address).is_err());
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_the_exit() {
    let mut server = TestServer::start(|config| {
        config.close_timeout = Duration::from_millis(300);
        config.shards = std::num::NonZero::new(1);
    });
    let mut stalled = server.websocket_with_small_buffer("/ws/tea");
    stalled.settle();
    let mut publisher = server.websocket("/ws/tea");
    publisher.send(0x82, &[7; 500_000]);
    publisher.settle();
    let began = Instant::now();
    server.stop();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_member_over_its_rate_is_closed() {
    let server = TestServer::start(|config| config.messages_per_second = 5);
    for path in ["/ws/tea", "/signal/tea", "/echo"] {
        let mut client = server.websocket(path);
        for _ in 0..30 {
            client.send_text(r#"{"type":"ping"}"#);
        }
        let close = loop {
            let frame = client.receive().unwrap();
            if frame.first == 0x88 {
                break frame.close();
            }
        };
        assert_eq!(close, (1008, "rate limit".to_owned()), "{path}");
    }
}

#[test]
fn a_member_that_is_gone_is_forgotten() {
    let server = TestServer::start(|_| {});
    let mut left = server.websocket("/ws/tea");
    left.settle();
    left.stream.shutdown(Shutdown::Both).unwrap();
    let mut members = members(&server, "/ws/tea", 2);
    for _ in 0..10 {
        members[0].send_text("x");
        assert_eq!(members[1].receive_text(), "x");
    }
}

#[test]
fn silence_is_asked_about_and_then_cut() {
    let server = TestServer::start(|config| {
        config.ping_interval = Duration::from_millis(200);
        config.ping_timeout = Duration::from_millis(200);
    });
    let mut client = server.websocket("/");
    for _ in 0..3 {
        let ping = client.receive().unwrap();
        assert_eq!(ping.first, 0x89);
        client.send(0x8a, &ping.payload);
    }
    assert_eq!(client.receive().unwrap().first, 0x89);
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "cut without a word: {rest:?}");
}

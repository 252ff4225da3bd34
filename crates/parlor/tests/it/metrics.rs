//! What `/metrics` tells: each number moves with what it counts, and nothing in it is a client's.

use std::{
    io::{Read, Write},
    net::TcpStream,
    num::NonZero,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use parlor::Config;
use serde_json::json;

use crate::{
    http_support::{field, last_get_of},
    support::{TestServer, upgrade},
};

/// How long a number may take to move.
const PATIENCE: Duration = Duration::from_secs(10);

impl TestServer {
    /// The answer to a scrape.
    pub(crate) fn scrape(&self) -> String {
        self.exchange(last_get_of("/metrics").as_bytes())
    }

    /// The value of one number, written as it stands in a scrape.
    pub(crate) fn number(&self, series: &str) -> u64 {
        let text = self.scrape();
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| unreachable!("no {series} in {text}"))
            .parse()
            .unwrap()
    }

    /// Waits until a number is what it should be.
    pub(crate) fn expect(&self, series: &str, expected: u64) {
        self.expect_that(series, |number| number == expected);
    }

    /// Waits until a number is as it should be.
    pub(crate) fn expect_that(&self, series: &str, is_right: impl Fn(u64) -> bool) {
        let began = Instant::now();
        loop {
            let number = self.number(series);
            if is_right(number) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{series} is {number}");
        }
    }
}

#[test]
fn a_scrape_is_open_metrics() {
    let server = TestServer::start(|_| {});
    let response = server.scrape();
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    assert_eq!(
        field(&response, "content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(body.ends_with("# EOF\n"));
    // Every number stands under its type, and every name begins with ours.
    let mut name = "";
    for line in body.lines().filter(|line| *line != "# EOF") {
        match line.strip_prefix("# ") {
            Some(meta) => name = meta.split(' ').nth(1).unwrap(),
            None => assert!(line.starts_with(name), "{line} under {name}"),
        }
        assert!(name.starts_with("parlor_"), "{line}");
    }
}

#[test]
fn connections_and_members_are_counted_by_door() {
    for shards in [1, 3] {
        let server = TestServer::start(|config| config.shards = NonZero::new(shards));
        let raw = server.websocket("/ws/tea");
        let all = server.websocket("/ws/tea?events=all");
        let signal = server.peer_in("tea");
        let mut sse = server.events("/sse/tea");
        sse.joined();
        let echo = server.websocket("/echo");
        for (door, count) in [("websocket", 2), ("signal", 1), ("sse", 1), ("echo", 1)] {
            let opened = format!("parlor_connections_opened_total{{door=\"{door}\"}}");
            server.expect(&opened, count);
            if door != "echo" {
                server.expect(&format!("parlor_members{{door=\"{door}\"}}"), count);
            }
        }
        // The scrape itself has a connection.
        server.expect("parlor_connections", 6);
        server.expect("parlor_rooms", 1);
        drop((raw, all, signal, sse, echo));
        for (door, count) in [("websocket", 2), ("signal", 1), ("sse", 1), ("echo", 1)] {
            let closed =
                format!("parlor_connections_closed_total{{door=\"{door}\",reason=\"peer\"}}");
            server.expect(&closed, count);
            if door != "echo" {
                server.expect(&format!("parlor_members{{door=\"{door}\"}}"), 0);
            }
        }
        server.expect("parlor_connections", 1);
        server.expect("parlor_rooms", 0);
        let http = "parlor_connections_closed_total{door=\"http\",reason=\"peer\"}";
        server.expect_that(http, |count| count > 10);
    }
}

#[test]
fn messages_and_bytes_are_counted_in_and_out() {
    let server = TestServer::start(|config| config.shards = NonZero::new(2));
    let mut raw = server.websocket("/ws/tea");
    raw.settle();
    let mut sse = server.events("/sse/tea");
    sse.joined();
    let mut echo = server.websocket("/echo");
    echo.send_text("12345");
    assert_eq!(echo.receive_text(), "12345");
    let mut signal = server.peer_in("tea");
    raw.send_text("1234567");
    signal.hear();
    sse.event();
    // Two members hear it; those that came and went in the room are no messages.
    server.expect("parlor_messages_in_total{door=\"websocket\"}", 1);
    server.expect("parlor_messages_in_bytes_total{door=\"websocket\"}", 7);
    server.expect("parlor_messages_in_total{door=\"echo\"}", 1);
    server.expect("parlor_messages_in_bytes_total{door=\"echo\"}", 5);
    server.expect("parlor_messages_out_total", 3);
    let sent = server.number("parlor_sent_bytes_total");
    // What a raw member does not hear is not given to it.
    let before = server.number("parlor_messages_in_total{door=\"signal\"}");
    signal.say(&json!({"type": "message", "room": "tea", "event": "chat", "data": "x"}));
    sse.event();
    server.expect("parlor_messages_in_total{door=\"signal\"}", before + 1);
    server.expect("parlor_messages_out_total", 4);
    server.expect_that("parlor_sent_bytes_total", |now| now > sent + 20);
    // By HTTP, to all three.
    server.publish("tea", &json!({"data": "123"}));
    server.expect("parlor_messages_in_total{door=\"http\"}", 1);
    server.expect("parlor_messages_in_bytes_total{door=\"http\"}", 3);
    server.expect("parlor_messages_out_total", 7);
    // Kept, and replayed.
    server.expect("parlor_history_messages", 3);
    server.expect_that("parlor_history_bytes", |bytes| bytes > 10);
    let mut back = server.events("/sse/tea?last=2");
    back.joined();
    back.event();
    back.event();
    server.expect("parlor_messages_out_total", 9);
    let mut back = server.websocket("/ws/tea?last=3");
    back.receive_text();
    server.expect("parlor_messages_out_total", 11);
}

#[test]
fn refusals_are_counted_by_reason() {
    let server = TestServer::start(|config| {
        config.head_timeout = Duration::from_millis(300);
        config.connections_max = NonZero::new(4);
    });
    let requests = [
        ("origin", upgrade("/ws", "Origin: https://evil.example\r\n")),
        (
            "host",
            upgrade("/ws", "").replace("localhost", "evil.example"),
        ),
        ("handshake", upgrade("/ws", "").replace(": 13", ": 12")),
        ("handshake", upgrade("/ws/%ff", "")),
        (
            "host",
            last_get_of("/").replace("localhost", "evil.example"),
        ),
        (
            "origin",
            "POST /rooms/a/messages HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\
             Content-Length: 0\r\n\r\n"
                .to_owned(),
        ),
        ("request", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("timeout", "GET / HT".to_owned()),
    ];
    let mut expected = std::collections::BTreeMap::new();
    for (reason, request) in requests {
        server.exchange(request.as_bytes());
        *expected.entry(reason).or_insert(0) += 1;
        let series = format!("parlor_refusals_total{{reason=\"{reason}\"}}");
        server.expect(&series, expected[reason]);
    }
    // One over the limit: there are three, and the scrape is the fourth.
    let mut members = Vec::new();
    let began = Instant::now();
    while members.len() < 4 {
        assert!(began.elapsed() < PATIENCE);
        let mut member = server.tcp();
        let _ = member.write_all(upgrade("/ws", "").as_bytes());
        let mut status = [0; 12];
        // The end of a scrape may not be noticed yet, so that this one is over the limit too.
        if member.read_exact(&mut status).is_ok() && status == *b"HTTP/1.1 101" {
            members.push(member);
        }
    }
    assert!(
        server
            .exchange(last_get_of("/").as_bytes())
            .starts_with("HTTP/1.1 503 ")
    );
    drop(members);
    let began = Instant::now();
    while !server.scrape().starts_with("HTTP/1.1 200 ") {
        assert!(began.elapsed() < PATIENCE);
    }
    server.expect_that("parlor_refusals_total{reason=\"limit\"}", |n| n >= 1);
}

#[test]
fn connections_that_we_end_are_counted_by_reason() {
    let server = TestServer::start(|config| {
        config.ping_interval = Duration::from_millis(100);
        config.ping_timeout = Duration::from_millis(100);
        config.messages_per_second = 1;
        config.members_per_room_max = 1;
    });
    let closed = |door: &str, reason: &str| {
        format!("parlor_connections_closed_total{{door=\"{door}\",reason=\"{reason}\"}}")
    };
    let mut violator = server.websocket("/echo");
    violator.send(0x83, b"");
    assert_eq!(violator.receive_close().0, 1002);
    server.expect(&closed("echo", "violation"), 1);
    let mut flooder = server.websocket("/signal");
    for _ in 0..3 {
        flooder.send_text("{\"type\":\"ping\"}");
    }
    server.expect(&closed("signal", "rate"), 1);
    let silent = server.websocket("/ws/silent");
    server.expect(&closed("websocket", "silent"), 1);
    drop(silent);
    let first = server.events("/sse/one");
    let mut second = server.events("/sse/one");
    while second.block().is_ok() {}
    server.expect(&closed("sse", "limit"), 1);
    drop(first);
    // The door of the next request takes a connection of the HTTP path over.
    let mut stream = server.tcp();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    crate::http_support::response(&mut stream);
    stream.write_all(upgrade("/ws", "").as_bytes()).unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");
    server.expect(&closed("http", "claimed"), 1);
}

#[test]
fn what_a_slow_member_loses_is_counted_by_reason() {
    let big = "x".repeat(200_000);
    let server = TestServer::start(|config| {
        config.shards = NonZero::new(1);
        config.outbox_bytes_max = 300_000;
        config.set("slow", "conflate").unwrap();
    });
    let mut reader = server.websocket_with_small_buffer("/ws/tea");
    reader.settle();
    let mut publisher = server.peer_in("tea");
    let mut say = |data: &str, event: &str, priority: &str| {
        publisher.say(&json!({
            "type": "message", "room": "tea", "data": data, "event": event, "priority": priority,
        }));
        publisher.client.settle();
    };
    say(&big, "message", "normal");
    server.expect_that("parlor_outbox_bytes", |bytes| bytes > 10_000);
    say("a", "message", "low");
    say("b", "message", "normal");
    server.expect("parlor_messages_dropped_total{reason=\"conflated\"}", 1);
    drop(reader);
    server.expect("parlor_outbox_bytes", 0);

    let server = TestServer::start(|config| {
        config.shards = NonZero::new(1);
        config.outbox_bytes_max = 300_000;
    });
    let mut reader = server.websocket_with_small_buffer("/ws/tea");
    reader.settle();
    let say = |data: &str, priority: &str| {
        server.publish("tea", &json!({"data": data, "priority": priority}));
    };
    say(&big, "normal");
    say("low", "low");
    say(&big, "normal");
    server.expect("parlor_messages_dropped_total{reason=\"low\"}", 1);
    say(&big, "normal");
    server.expect(
        "parlor_connections_closed_total{door=\"websocket\",reason=\"slow_consumer\"}",
        1,
    );
    server.expect_that(
        "parlor_messages_dropped_total{reason=\"slow_consumer\"}",
        |n| n >= 1,
    );
    drop(reader);
}

#[test]
fn a_panic_of_a_handler_is_counted() {
    async fn fault() -> &'static str {
        assert_eq!(1, 2, "a fault");
        "never"
    }
    let server = TestServer::start_with(|_| {}, Router::new().route("/fault", get(fault)));
    let response = server.exchange(last_get_of("/fault").as_bytes());
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    server.expect("parlor_panics_total", 1);
}

#[test]
fn nothing_of_a_client_stands_in_a_scrape() {
    let server = TestServer::start(|_| {});
    let mut raw = server.websocket("/ws/secretroom?name=secretname");
    raw.settle();
    let mut peer = server.peer("/signal/secretroom?name=secretname");
    let joined = peer.join("secretroom");
    let mut sse = server.events("/sse/secretroom");
    let own = sse.joined();
    server.publish(
        "secretroom",
        &json!({"data": "secretdata", "event": "secretevent"}),
    );
    sse.event();
    server.expect("parlor_messages_in_total{door=\"http\"}", 1);
    let text = server.scrape();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(!body.contains("secret"), "{body}");
    assert!(!body.contains("127.0.0.1"), "{body}");
    for id in [&joined["id"], &joined["peers"][0]["id"], &own["id"]] {
        assert!(!body.contains(id.as_str().unwrap()), "{body}");
    }
}

/// The status and body of the answer on the listener for metrics.
fn apart(server: &TestServer, request: &str) -> (String, String) {
    let stream = TcpStream::connect(server.metrics.unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let response = TestServer::exchange_on(stream, request.as_bytes());
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[test]
fn whoever_comes_from_outside_sees_no_metrics() {
    let server = TestServer::start_at("0.0.0.0:0", |_| {}, Router::new());
    assert_eq!(server.metrics, None);
    for path in ["/metrics", "/metrics/", "/%6detrics", "//metrics"] {
        let response = server.exchange(last_get_of(path).as_bytes());
        assert!(response.starts_with("HTTP/1.1 404 "), "{path}: {response}");
    }
    let response = server.exchange(last_get_of("/healthz").as_bytes());
    assert!(response.ends_with("ok\n"), "{response}");
}

#[test]
fn metrics_have_a_listener_of_their_own() {
    for main in ["0.0.0.0:0", "127.0.0.1:0"] {
        let own = |config: &mut Config| config.set("metrics-listen", "127.0.0.1:0").unwrap();
        let server = TestServer::start_at(main, own, Router::new());
        let member = server.websocket("/ws");
        let began = Instant::now();
        loop {
            let (status, body) = apart(&server, &last_get_of("/metrics"));
            assert_eq!(status, "200");
            if body.contains("\nparlor_members{door=\"websocket\"} 1\n") {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{body}");
        }
        let beside = server.exchange(last_get_of("/metrics").as_bytes());
        assert!(beside.starts_with("HTTP/1.1 404 "), "{main}: {beside}");
        assert_eq!(apart(&server, &last_get_of("/healthz")).1, "ok\n");
        assert_eq!(apart(&server, &last_get_of("/readyz")).1, "ready\n");
        for request in [
            last_get_of("/"),
            last_get_of("/sse"),
            last_get_of("/ws"),
            upgrade("/ws", "").replace("Upgrade\r\n", "Upgrade, close\r\n"),
            last_get_of("/rooms/tea/messages").replace("GET", "POST"),
        ] {
            assert_eq!(apart(&server, &request).0, "404", "{request}");
        }
        let elsewhere = last_get_of("/metrics").replace("localhost", "evil.example");
        assert_eq!(apart(&server, &elsewhere).0, "421");
        drop(member);
    }
}

#[test]
fn a_server_that_drains_says_so_where_its_metrics_are() {
    let mut server = TestServer::start(|config| {
        config.set("metrics-listen", "127.0.0.1:0").unwrap();
        config.drain = Duration::from_secs(2);
    });
    let members: Vec<_> = (0..4).map(|_| server.websocket("/ws")).collect();
    server.begin_stop();
    let began = Instant::now();
    while apart(&server, &last_get_of("/readyz")).0 != "503" {
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(apart(&server, &last_get_of("/metrics")).0, "200");
    drop(members);
    server.stop();
}

//! The event stream door: its head and first bytes, its heartbeat, its end, and who may read it.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use parlor::config::SseGzip;
use serde_json::json;

use crate::{
    event_stream::EventStream,
    http_support::{field, get_of, response},
    support::TestServer,
};

#[test]
fn a_stream_begins_at_once_with_what_browsers_and_proxies_need() {
    let server = TestServer::start(|config| config.sse_retry = Duration::from_millis(1234));
    for path in ["/sse", "/sse/", "/sse/tea", "/sse/caf%C3%A9?x=y&since="] {
        if path == "/sse/" {
            // A room has a name.
            let answer = server.exchange(get_of(path).replace("\r\n\r\n", CLOSE).as_bytes());
            assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
            continue;
        }
        let mut events = server.events(path);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache, no-transform"),
            ("x-accel-buffering", "no"),
            ("transfer-encoding", "chunked"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(field(&events.response, name), Some(value), "{path}");
        }
        for name in ["content-length", "content-encoding", "connection"] {
            assert_eq!(field(&events.response, name), None, "{path}");
        }
        // A comment and the delay, before anybody says anything.
        let first = [(); 2].map(|()| events.block().unwrap());
        assert_eq!(first[0].comments, ["welcome"], "{path}");
        assert_eq!(first[1].retry.as_deref(), Some("1234"), "{path}");
        assert!(first.iter().all(|block| block.data.is_none()));
        let joined = events.joined();
        let room = match path {
            "/sse" => "lobby",
            "/sse/tea" => "tea",
            _ => "caf\u{e9}",
        };
        assert_eq!(joined["room"], room);
        let uplink = joined["uplink"].as_str().unwrap();
        assert!(uplink.starts_with(joined["id"].as_str().unwrap()));
    }
}

const CLOSE: &str = "\r\nConnection: close\r\n\r\n";

#[test]
fn what_is_no_request_for_a_stream_is_refused() {
    let server = TestServer::start(|_| {});
    let good = get_of("/sse/tea").replace("\r\n\r\n", CLOSE);
    let long = format!("/sse/{}", "x".repeat(129));
    let cases = [
        (good.replace("GET", "POST"), "405", "POST"),
        (good.replace("GET", "PUT"), "405", "PUT"),
        (good.replace("GET", "DELETE"), "405", "DELETE"),
        (good.replace("GET", "PATCH"), "405", "PATCH"),
        (good.replace("GET", "TRACE"), "405", "TRACE"),
        (good.replace("Host: localhost\r\n", ""), "400", "no Host"),
        (
            good.replace("localhost", "example.com"),
            "421",
            "another host",
        ),
        (good.replace("tea", "a%00b"), "400", "a control character"),
        (
            good.replace("tea", "%ff"),
            "400",
            "a room that is not UTF-8",
        ),
        (good.replace("/sse/tea", &long), "400", "a long room"),
        (
            good.replace("tea", "tea?last=x"),
            "400",
            "last is no number",
        ),
        (
            good.replace("tea", "tea?name=%ff"),
            "400",
            "a name not UTF-8",
        ),
        (
            good.replace("tea", &format!("tea?name={}", "x".repeat(129))),
            "400",
            "a long name",
        ),
        (good.replace("tea", "tea/more"), "404", "two segments"),
    ];
    for (request, status, what) in cases {
        let answer = server.exchange(request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {answer}"
        );
        if status == "405" && what != "TRACE" {
            let allow = field(&answer, "allow").unwrap();
            assert!(allow.split(", ").any(|method| method == "GET"), "{allow}");
        }
    }
    server.events("/sse/tea").joined();
}

#[test]
fn a_stream_may_begin_on_a_connection_that_served_pages() {
    let server = TestServer::start(|_| {});
    let mut stream = server.tcp();
    for _ in 0..3 {
        stream.write_all(get_of("/healthz").as_bytes()).unwrap();
        assert!(response(&mut stream).ends_with("ok\n"));
    }
    let mut events = EventStream::open(stream, "/sse/tea", "");
    events.joined();
    server.publish("tea", &json!({"data": "x"}));
    assert_eq!(events.event().parts().2, "x");
    // And one that was asked for in the same segment as a page.
    let mut stream = server.tcp();
    let both = get_of("/healthz") + &get_of("/sse/tea");
    stream.write_all(both.as_bytes()).unwrap();
    assert!(response(&mut stream).ends_with("ok\n"));
    EventStream::open_sent(stream).joined();
}

#[test]
fn an_idle_stream_gets_a_comment() {
    let server = TestServer::start(|config| {
        config.sse_heartbeat = Duration::from_millis(100);
        config.sse_gzip = SseGzip::Shared;
    });
    for headers in ["", "Accept-Encoding: gzip\r\n"] {
        let mut events = server.events_with("/sse/tea", headers);
        events.joined();
        assert!(events.block().unwrap().id.is_some());
        for _ in 0..3 {
            let began = Instant::now();
            let beat = events.block().unwrap();
            assert_eq!(beat.comments.len(), 1, "{beat:?}");
            assert_eq!((beat.data, beat.id, beat.retry), (None, None, None));
            assert!(began.elapsed() < Duration::from_secs(2));
        }
        // What is said in between is heard between them.
        server.publish("tea", &json!({"data": "x"}));
        assert_eq!(events.event().parts().2, "x");
    }
}

#[test]
fn gzip_is_for_those_who_take_it_where_it_is_on() {
    let on = TestServer::start(|config| config.sse_gzip = SseGzip::Shared);
    let off = TestServer::start(|_| {});
    let line = |value: &str| format!("Accept-Encoding: {value}\r\n");
    let cases = [
        ("gzip", true),
        ("deflate, gzip;q=1.0, *;q=0.5", true),
        ("GZIP", true),
        ("br,gzip", true),
        ("identity", false),
        ("gzip;q=0", false),
        ("gzip; q=0.000, identity", false),
        ("xgzip", false),
        ("", false),
    ];
    for (value, expected) in cases {
        let mut events = on.events_with("/sse/tea", &line(value));
        let encoding = field(&events.response, "content-encoding");
        assert_eq!(encoding.is_some(), expected, "{value}");
        let vary = field(&events.response, "vary").unwrap().to_lowercase();
        assert!(
            vary.contains("accept-encoding") && vary.contains("origin"),
            "{vary}"
        );
        events.joined();
        let long = "all work and no play ".repeat(500);
        on.publish("tea", &json!({"data": long}));
        assert_eq!(events.event().data, Some(long));
        let events = off.events_with("/sse/tea", &line(value));
        assert_eq!(field(&events.response, "content-encoding"), None);
    }
}

#[test]
fn origins_are_echoed_by_the_policy_and_never_others() {
    let server = TestServer::start(|config| config.origins = vec!["https://good.example".into()]);
    for (origin, credentials) in [
        ("https://good.example", true),
        ("http://localhost:3000", true),
        ("http://127.0.0.1", true),
        ("null", false),
    ] {
        let events = server.events_with("/sse/tea", &format!("Origin: {origin}\r\n"));
        let head = &events.response;
        assert_eq!(field(head, "access-control-allow-origin"), Some(origin));
        let allowed = field(head, "access-control-allow-credentials");
        assert_eq!(allowed.is_some(), credentials, "{origin}");
        assert!(
            field(head, "vary")
                .unwrap()
                .to_lowercase()
                .contains("origin")
        );
    }
    let events = server.events("/sse/tea");
    assert_eq!(field(&events.response, "access-control-allow-origin"), None);
    let close =
        |headers: &str| get_of("/sse/tea").replace("\r\n\r\n", &format!("\r\n{headers}{CLOSE}"));
    for headers in [
        "Origin: https://evil.example",
        "Origin: https://good.example.evil.example",
        "Origin: https://good.example\r\nOrigin: https://good.example",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty",
    ] {
        let answer = server.exchange(close(headers).as_bytes());
        assert!(answer.starts_with("HTTP/1.1 403 "), "{headers}: {answer}");
        assert_eq!(field(&answer, "access-control-allow-origin"), None);
    }
    // A preflight, which browsers send before a request with a header of its own.
    for (origin, allowed) in [
        ("https://good.example", true),
        ("https://evil.example", false),
    ] {
        let request = close(&format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\
             Access-Control-Request-Headers: last-event-id"
        ));
        let answer = server.exchange(request.replace("GET /sse", "OPTIONS /sse").as_bytes());
        let echoed = field(&answer, "access-control-allow-origin");
        assert_eq!(echoed, allowed.then_some(origin), "{answer}");
        if allowed {
            assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
            assert_eq!(
                field(&answer, "access-control-allow-headers"),
                Some("last-event-id")
            );
        }
    }
}

#[test]
fn a_stream_ends_after_its_delay_when_the_server_stops() {
    let mut server = TestServer::start(|config| config.sse_retry = Duration::from_millis(777));
    let mut events = server.events("/sse/tea");
    events.joined();
    server.publish("tea", &json!({"data": "last words"}));
    server.begin_stop();
    assert_eq!(events.event().parts().2, "last words");
    let last = events.block().unwrap();
    assert_eq!((last.retry.as_deref(), last.data), (Some("777"), None));
    assert!(events.block().is_err());
    assert!(events.ended, "the body has its end");
    drop(events);
    server.stop();
}

/// A stream on a socket that takes in next to nothing unless it is read.
fn stalled(server: &TestServer, path: &str) -> EventStream {
    EventStream::open(server.tcp_with_buffer(4096), path, "")
}

#[test]
fn a_stalled_reader_is_cut_past_its_buffer_and_may_resume() {
    const MESSAGES: usize = 60;
    let server = TestServer::start(|config| {
        config.outbox_bytes_max = 128 * 1024;
        config.close_timeout = Duration::from_secs(60);
        config.history_bytes = 16 << 20;
    });
    let mut slow = stalled(&server, "/sse/tea");
    slow.joined();
    let mut quick = server.events("/sse/tea");
    quick.joined();
    let text = |number: usize| format!("{number} {}", "x".repeat(8000));
    for number in 0..MESSAGES {
        server.publish("tea", &json!({"data": text(number)}));
        assert_eq!(quick.event().data.unwrap(), text(number));
    }
    // Whole events, then the reason, then the end.
    let mut last = None;
    let mut heard = 0;
    let reason = loop {
        let block = slow.block().unwrap();
        match (block.data, block.comments.first()) {
            (Some(data), _) => {
                assert_eq!(data, text(heard));
                heard += 1;
                last = block.id;
            }
            (None, Some(comment)) if comment.contains("slow") => break comment.clone(),
            (None, _) => {}
        }
    };
    assert_eq!(reason, "slow consumer");
    assert!(heard < MESSAGES);
    while slow.block().is_ok() {}
    assert!(slow.ended);
    let since = format!("Last-Event-ID: {}\r\n", last.unwrap());
    let mut back = server.events_with("/sse/tea", &since);
    back.joined();
    for number in heard..MESSAGES {
        assert_eq!(back.event().data.unwrap(), text(number));
    }
}

#[test]
fn a_reader_that_takes_no_byte_for_a_while_is_cut() {
    let server = TestServer::start(|config| {
        config.outbox_stall = Duration::from_millis(200);
        config.close_timeout = Duration::from_millis(200);
    });
    let mut slow = stalled(&server, "/sse/tea");
    slow.joined();
    server.publish("tea", &json!({"data": "x".repeat(200_000)}));
    server.expect_that("parlor_outbox_bytes", |bytes| bytes > 0);
    // Nobody reads: not even the reason comes through, and the socket is cut by force.
    let closed = "parlor_connections_closed_total{door=\"sse\",reason=\"slow_consumer\"}";
    server.expect(closed, 1);
    server.expect("parlor_outbox_bytes", 0);
    let mut rest = Vec::new();
    // What was on its way is cut off; a reset is an end too.
    let _ = slow.stream.read_to_end(&mut rest);
    assert!(rest.len() < 200_000);
}

//! Sessions over long-polling.

use std::io::Read as _;

use flate2::read::{GzDecoder, ZlibDecoder};
use socket2::SockRef;

use super::*;

fn v3() -> Options {
    Options {
        versions: Versions::V4V3,
        ..Options::default()
    }
}

#[test]
fn messages_go_and_come() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let pending = server.get_pending(&query);
    let said = server.post(&query, "4one\u{1e}4t\u{fc}\u{1e}bAQID");
    assert_eq!((said.status, said.text()), (200, "ok"));
    assert!(said.head.contains("content-type: text/html"));
    let heard = read(pending);
    assert_eq!(heard.text(), "4one\u{1e}4t\u{fc}\u{1e}bAQID");
    assert!(
        heard
            .head
            .contains("content-type: text/plain; charset=utf-8")
    );
    assert!(heard.head.contains("cache-control: no-store"));
    // What is said while no GET is pending waits for the next.
    server.post(&query, "4two");
    assert_eq!(server.get(&query).text(), "4two");
}

#[test]
fn the_third_revision_has_its_own_payloads() {
    let server = TestServer::start(v3());
    let (query, _) = server.poll(3);
    server.post(&query, "5:4h\u{e4}llo".replace("5:", "6:").as_str());
    assert_eq!(server.get(&query).text(), "6:4h\u{e4}llo");
    server.post(&query, "1:2");
    assert_eq!(server.get(&query).text(), "1:3");
    let octets = "Content-Type: application/octet-stream\r\n";
    let said = server.ask("POST", &query, octets, &[1, 4, 255, 4, 1, 2, 3]);
    assert_eq!(said.text(), "ok");
    let heard = server.get(&query);
    assert!(
        heard
            .head
            .contains("content-type: application/octet-stream")
    );
    assert_eq!(heard.body, [1, 4, 255, 4, 1, 2, 3]);
    server.ask("POST", &query, octets, &[1, 4, 255, 4, 1, 2, 3]);
    assert_eq!(server.get(&format!("{query}&b64=1")).text(), "6:b4AQID");
}

#[test]
fn jsonp_is_spoken_where_it_is_asked_for_and_on() {
    let server = TestServer::start(Options {
        versions: Versions::V4V3Jsonp,
        ..Options::default()
    });
    let open = server.get("EIO=3&transport=polling&j=0");
    assert!(open.text().starts_with("___eio[0](\""), "{}", open.text());
    let sid = open.text().split("sid\\\":\\\"").nth(1).unwrap();
    let sid = sid.get(..20).unwrap();
    let query = format!("EIO=3&transport=polling&sid={sid}&j=1");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(server.ask("POST", &query, form, b"d=4%3A4abc").text(), "ok");
    assert_eq!(server.get(&query).text(), "___eio[1](\"4:4abc\");");
    let server = TestServer::start(v3());
    let open = server.get("EIO=3&transport=polling&j=0");
    assert!(!open.text().contains("___eio"));
}

#[test]
fn requests_are_refused_by_the_reference_s_rules() {
    let server = TestServer::start(Options::default());
    let foreign = "Origin: http://e.example\r\n";
    let refused = |method, query, more, status, code| {
        let reply = server.ask(method, query, more, b"");
        assert_eq!(reply.status, status, "{method} {query}");
        assert!(
            reply.head.contains("content-type: application/json"),
            "{}",
            reply.head
        );
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["code"], code, "{method} {query}");
        assert_eq!(body.as_object().unwrap().len(), 2);
    };
    refused("GET", "", "", 400, 0);
    refused("GET", "EIO=4&transport=tcp", "", 400, 0);
    refused("GET", "EIO=4&transport=polling&sid=__proto__", "", 400, 1);
    refused(
        "GET",
        "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA",
        "",
        400,
        1,
    );
    refused("POST", "EIO=4&transport=polling", "", 400, 2);
    refused("PUT", "EIO=4&transport=polling", "", 400, 2);
    refused("GET", "EIO=4&transport=websocket", "", 400, 3);
    refused("GET", "EIO=4&transport=polling&refuse", "", 403, 4);
    refused("GET", "EIO=4&transport=polling", foreign, 403, 4);
    refused("GET", "EIO=3&transport=polling", "", 400, 5);
    refused("GET", "transport=polling", "", 400, 5);
    let (query, sid) = server.poll(4);
    refused("PUT", &query, "", 400, 3);
    refused("POST", &query, foreign, 403, 4);
    let mismatch = format!("EIO=4&transport=websocket&sid={sid}");
    refused("GET", &mismatch, "", 400, 3);
    assert_eq!(server.post(&query, "4still").text(), "ok");
    assert_eq!(server.get(&query).text(), "4still");
    // A page of the server's own origin may come in, and may read the answer.
    let own = format!("Origin: http://{}\r\n", server.address);
    let open = server.ask("GET", "EIO=4&transport=polling", &own, b"");
    assert_eq!(open.status, 200);
    assert!(
        open.head
            .contains("access-control-allow-origin: http://127.0.0.1")
    );
}

#[test]
fn a_second_get_ends_the_session() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let told = server.get_pending(&query);
    let refused = server.get(&query);
    let told = read(told);
    assert_eq!(refused.status, 400);
    assert_eq!((told.status, told.text()), (200, "1"));
    assert!(server.get(&query).text().contains("\"code\":1"));
    server.until("closed transport error");
}

#[test]
fn a_second_post_ends_the_session() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let mut slow = server.send("POST", &query, "Content-Length: 5\r\n", b"4a");
    // Until the first one is being read both may pass.
    let second = loop {
        let second = server.post(&query, "4b");
        if second.status != 200 {
            break second;
        }
    };
    assert_eq!(second.status, 400);
    let _ = slow.write_all(b"bcd");
    assert_eq!(read(slow).status, 400);
    server.until("closed transport error");
}

#[test]
fn payloads_over_the_limit_end_the_session() {
    let server = TestServer::start(Options::default());
    let long = vec![b'4'; 1_000_001];
    for more in ["", "Content-Length: 2000000\r\n"] {
        let (query, _) = server.poll(4);
        let pending = server.get_pending(&query);
        let body = if more.is_empty() { &long[..] } else { b"4" };
        assert_eq!(server.ask("POST", &query, more, body).status, 413);
        assert_eq!(read(pending).text(), "6");
        server.until("closed transport error");
    }
    let (query, _) = server.poll(4);
    let chunks = "Content-Length-Is: unknown\r\nTransfer-Encoding: chunked\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", long.len(), "4".repeat(long.len()));
    let refused = server.ask("POST", &query, chunks, chunk.as_bytes());
    assert_eq!(refused.status, 413);
    server.until("closed transport error");
    // At the limit it is a message.
    let (query, _) = server.poll(4);
    let most = "4".repeat(1_000_000);
    assert_eq!(server.post(&query, &most).text(), "ok");
    assert_eq!(server.get(&query).body.len(), 1_000_000);
}

#[test]
fn what_cannot_be_read_ends_the_session() {
    let server = TestServer::start(Options::default());
    for (body, reason) in [
        (b"abc".as_slice(), "parse error"),
        (b"", "parse error"),
        (b"4\xff", "parse error"),
        (b"4ok\x1e", "parse error"),
    ] {
        let (query, _) = server.poll(4);
        let pending = server.get_pending(&query);
        assert_eq!(server.ask("POST", &query, "", body).status, 400, "{body:?}");
        assert!(read(pending).text().ends_with('1'));
        server.until(&format!("closed {reason}"));
        assert_eq!(server.get(&query).status, 400);
    }
    let (query, _) = server.poll(4);
    let octets = "Content-Type: application/octet-stream\r\n";
    assert_eq!(server.ask("POST", &query, octets, b"4a").status, 400);
    server.until("closed transport error");
    // A ping is a packet, though none of a client's.
    let (query, _) = server.poll(4);
    assert_eq!(server.post(&query, "2").status, 200);
    server.until("closed transport error");
}

#[test]
fn either_side_may_close() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let pending = server.get_pending(&query);
    assert_eq!(server.post(&query, "1").text(), "ok");
    assert_eq!(read(pending).text(), "6");
    server.until("closed transport close");
    assert_eq!(server.get(&query).status, 400);
    let (query, _) = server.poll(4);
    server.post(&query, "4close");
    assert_eq!(server.get(&query).text(), "4bye\u{1e}1");
    server.until("closed forced close");
    assert_eq!(server.get(&query).status, 400);
}

#[test]
fn a_client_that_is_gone_ends_its_session() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    drop(server.get_pending(&query));
    server.until("closed transport error");
    assert_eq!(server.get(&query).status, 400);
    let (query, _) = server.poll(4);
    drop(server.send("POST", &query, "Content-Length: 9\r\n", b"4a"));
    server.until("closed transport error");
    // Also where it has begun to ask for something else.
    let (query, _) = server.poll(4);
    let mut pending = server.get_pending(&query);
    pending.write_all(b"GET / HTTP").unwrap();
    SockRef::from(&pending)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(pending);
    server.until("closed transport error");
}

#[test]
fn heartbeats_go_over_polling() {
    let server = TestServer::start(Options {
        ping_interval: Duration::from_millis(100),
        ..Options::default()
    });
    let (query, _) = server.poll(4);
    for _ in 0..3 {
        assert_eq!(server.get(&query).text(), "2");
        assert_eq!(server.post(&query, "3").text(), "ok");
    }
    let server = TestServer::start(Options {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..Options::default()
    });
    let (query, _) = server.poll(4);
    // The GETs come before the end or behind it.
    for last in ["2", "1"] {
        let reply = server.get(&query);
        assert!(
            reply.text() == last || reply.status == 400,
            "{}",
            reply.text()
        );
    }
    server.until("closed ping timeout");
}

#[test]
fn a_server_that_stops_answers_who_waits() {
    let mut server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let pending = server.get_pending(&query);
    server.stop();
    assert_eq!(read(pending).text(), "4stopping\u{1e}1");
}

#[test]
fn answers_are_compressed_for_those_who_accept_it() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let long = format!("4{}", "long ".repeat(1000));
    for (accept, coding) in [
        ("gzip, deflate", Some("gzip")),
        ("deflate", Some("deflate")),
        ("gzip;q=0", None),
        ("br", None),
    ] {
        server.post(&query, &long);
        let more = format!("Accept-Encoding: {accept}\r\n");
        let reply = server.ask("GET", &query, &more, b"");
        let mut text = String::new();
        match coding {
            Some("gzip") => GzDecoder::new(&*reply.body)
                .read_to_string(&mut text)
                .unwrap(),
            Some(_) => ZlibDecoder::new(&*reply.body)
                .read_to_string(&mut text)
                .unwrap(),
            None => (&*reply.body).read_to_string(&mut text).unwrap(),
        };
        assert_eq!(text, long, "{accept}");
        let told = coding.map(|coding| format!("content-encoding: {coding}\r\n"));
        assert!(
            told.is_none_or(|told| reply.head.contains(&told)),
            "{accept}"
        );
        server.post(&query, "4short");
        let reply = server.ask("GET", &query, &more, b"");
        assert_eq!(reply.text(), "4short");
    }
}

#[test]
fn the_id_is_told_in_a_cookie_where_that_is_asked_for() {
    let server = TestServer::start_with(Options::default(), Some("io"));
    let open = server.get("EIO=4&transport=polling");
    assert!(open.head.contains("set-cookie: io="), "{}", open.head);
    assert!(
        open.head.contains("; path=/; httponly; samesite=lax"),
        "{}",
        open.head
    );
    let (_, answer) = Client::ask(&server, "EIO=4&transport=websocket", "");
    assert!(answer.contains("Set-Cookie: io="), "{answer}");
    let server = TestServer::start(Options::default());
    assert!(
        !server
            .get("EIO=4&transport=polling")
            .head
            .contains("set-cookie")
    );
}

#[test]
fn sessions_are_bounded() {
    let server = TestServer::start_config(Options::default(), None, |config| {
        config.connections_max = std::num::NonZeroUsize::new(20);
    });
    let mut sessions = 0;
    loop {
        let mut stream = server.send("GET", "EIO=4&transport=polling", "", b"");
        let mut answer = Vec::new();
        // A connection that is one too many itself may be reset behind its answer, or before it.
        let read = stream.read_to_end(&mut answer);
        if answer.starts_with(b"HTTP/1.1 403 ") {
            assert!(answer.ends_with(br#"{"code":4,"message":"Forbidden"}"#));
            break;
        }
        if read.is_ok() && answer.starts_with(b"HTTP/1.1 200 ") {
            sessions += 1;
        }
        assert!(sessions <= 20, "more sessions than connections");
    }
    assert!(sessions > 0);
}

#[test]
fn compressed_bodies_are_not_taken() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let gzip = "Content-Encoding: gzip\r\n";
    assert_eq!(server.ask("POST", &query, gzip, b"4x").status, 415);
    let plain = "Content-Encoding: identity\r\n";
    assert_eq!(server.ask("POST", &query, plain, b"4still").text(), "ok");
    // What JSONP asks for is passed over in revision 4.
    assert_eq!(server.get(&format!("{query}&j=1")).text(), "4still");
}

#[test]
fn pages_of_other_origins_are_asked_first() {
    let server = TestServer::start(Options::default());
    let preflight = "Access-Control-Request-Method: POST\r\n";
    let own = format!("{preflight}Origin: http://{}\r\n", server.address);
    let allowed = server.ask("OPTIONS", "EIO=4&transport=polling", &own, b"");
    assert_eq!(allowed.status, 204);
    assert!(
        allowed
            .head
            .contains("access-control-allow-methods: get, head, post")
    );
    let foreign = format!("{preflight}Origin: http://e.example\r\n");
    let refused = server.ask("OPTIONS", "EIO=4&transport=polling", &foreign, b"");
    assert_eq!(refused.status, 403);
    assert!(!refused.head.contains("access-control-allow"));
}

#[test]
fn odd_queries_are_harmless() {
    let server = TestServer::start(Options::default());
    for query in [
        "EIO=4&EIO=4&transport=polling",
        "EIO=4&transport=polling&transport=websocket",
        "EIO=4&transport=polling&sid=a&sid=b",
        "EIO=4&transport=constructor",
        "EIO[]=4&transport[x]=polling",
        "%00=%ff&=&&&EIO=%34&transport=%ff",
        "EIO=4&transport=polling&sid=%ff%fe",
    ] {
        assert_eq!(server.get(query).status, 400, "{query}");
        assert_eq!(server.post(query, "4x").status, 400, "{query}");
    }
    server.poll(4);
}

#[test]
fn sessions_are_counted() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let _socket = Client::open(&server, 4);
    let count = |name: &str| {
        let metrics = server.page("/metrics");
        let line = metrics
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let until = |name: &str, wanted: u64| {
        let deadline = std::time::Instant::now() + PATIENCE;
        while count(name) != wanted {
            assert!(std::time::Instant::now() < deadline, "{name}");
        }
    };
    until("parlor_members{door=\"engineio\"}", 2);
    until("parlor_connections_opened_total{door=\"engineio\"}", 2);
    server.post(&query, "1");
    until("parlor_members{door=\"engineio\"}", 1);
    until(
        "parlor_connections_closed_total{door=\"engineio\",reason=\"peer\"}",
        1,
    );
}

#[test]
fn what_waits_for_polls_is_bounded() {
    let long = format!("4{}", "x".repeat(600_000));
    // For one session.
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    server.post(&query, &long);
    server.post(&query, &long);
    server.until("closed transport error");
    assert_eq!(server.get(&query).status, 400);
    // For all of a shard: the one that holds most goes.
    let server = TestServer::start_config(Options::default(), None, |config| {
        config.shards = std::num::NonZeroUsize::new(1);
        config.outbox_shard_bytes_max = 1 << 20;
    });
    let (small, _) = server.poll(4);
    let (large, _) = server.poll(4);
    server.post(&small, &format!("4{}", "x".repeat(500_000)));
    server.post(&large, &long);
    server.until("closed transport error");
    assert_eq!(server.get(&large).status, 400);
    assert_eq!(server.get(&small).body.len(), 500_001);
}

#[test]
fn a_session_is_known_at_its_path_only() {
    let server = TestServer::start(Options::default());
    let (query, _) = server.poll(4);
    let elsewhere = server.page(&format!("/socket.io/?{query}"));
    assert_eq!(elsewhere, r#"{"code":1,"message":"Session ID unknown"}"#);
    assert_eq!(server.post(&query, "4still").text(), "ok");
}

/// Messages of 4 KiB that are no question, as a payload in each form that there is, with what was
/// asked before and behind them.
fn long_posts() -> [(u8, &'static str, &'static str, Vec<u8>); 4] {
    let long = format!("4{}", "x".repeat(4095));
    let mut all: Vec<&str> = vec![&long; 50];
    all.insert(1, "4pending?");
    all.push("4pending?");
    let measured = |text: &&str| format!("{}:{text}", text.len());
    let lengths: String = all.iter().map(measured).collect();
    let mut octets = Vec::new();
    for text in &all {
        octets.push(0);
        octets.extend(text.len().to_string().bytes().map(|digit| digit - b'0'));
        octets.push(255);
        octets.extend_from_slice(text.as_bytes());
    }
    let octet = "Content-Type: application/octet-stream\r\n";
    let form = format!("d={}", lengths.replace(':', "%3A").replace('?', "%3F"));
    [
        (4, "", "", all.join("\u{1e}").into()),
        (3, "", "", lengths.into()),
        (3, "", octet, octets),
        (3, "&j=1", "", form.into()),
    ]
}

#[test]
fn a_long_post_is_taken_in_whole_in_every_form() {
    let server = TestServer::start(Options {
        versions: Versions::V4V3Jsonp,
        ..Options::default()
    });
    for (version, more, fields, body) in long_posts() {
        let (query, _) = server.poll(version);
        let query = format!("{query}{more}");
        assert_eq!(server.ask("POST", &query, fields, &body).text(), "ok");
        // Both were asked before that was answered.
        for _ in 0..2 {
            let mut lines = server.log.try_iter();
            assert!(
                lines.any(|line| line == "pending false"),
                "{query} {fields}"
            );
        }
        let mut heard = 0;
        while heard < 50 * 4096 {
            heard += server.get(&query).body.len();
        }
        server.post(&query, if version == 4 { "1" } else { "1:1" });
    }
}

#[test]
fn a_long_post_may_be_broken_or_end_the_session_far_behind() {
    let server = TestServer::start(Options::default());
    let [(_, _, _, long), ..] = long_posts();
    let long = String::from_utf8(long).unwrap();
    for (last, status, reason) in [
        ("9", 400, "closed parse error"),
        ("4close", 200, "closed forced close"),
        ("1", 200, "closed transport close"),
    ] {
        let (query, _) = server.poll(4);
        let body = format!("{long}\u{1e}{last}\u{1e}4pending?");
        assert_eq!(server.post(&query, &body).status, status, "{last}");
        while server.get(&query).status == 200 {}
        // What came before it was taken in, and nothing that came behind.
        let mut asked = 0;
        loop {
            let line = server.log.recv_timeout(PATIENCE).unwrap();
            asked += usize::from(line == "pending false");
            if line.starts_with("closed") {
                assert_eq!(line, reason, "{last}");
                break;
            }
        }
        assert_eq!(asked, 2, "{last}");
    }
    assert!(
        !server
            .log
            .try_iter()
            .any(|line| line.starts_with("pending"))
    );
}

//! What is no request: refused, closed, and nothing behind it served.

use super::*;

/// Sends each input with a second request behind it, in one segment: one answer, a closed
/// connection, and no handler ran.
fn check(rows: &[(&str, u16)]) {
    run(Setup::default(), async |server| {
        for (input, status) in rows {
            let answer = server.ask([input, get_of("/").as_str()].concat()).await;
            assert_eq!(statuses(&answer), [*status], "{input:?}: {answer:?}");
            assert_eq!(field(&answer, "connection"), Some("close"), "{input:?}");
            assert_eq!(server.handled(), 0, "{input:?}");
        }
        let answer = server.ask(last_get_of("/")).await;
        assert_eq!(statuses(&answer), [200]);
    });
}

#[test]
fn ambiguous_lengths() {
    check(&[
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 5\r\n\r\nhello",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
            400,
        ),
    ]);
}

#[test]
fn ambiguous_codings() {
    check(&[
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
    ]);
}

#[test]
fn broken_chunks() {
    let chunked = |body: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        )
    };
    let bodies = [
        "0x0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello",
        "5\nhello\n0\n\n",
        "5\r\nhello\r\n0\r\nX\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "-1\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
    ];
    let rows: Vec<String> = bodies.iter().map(|body| chunked(body)).collect();
    let rows: Vec<(&str, u16)> = rows.iter().map(|row| (row.as_str(), 400)).collect();
    check(&rows);
}

#[test]
fn malformed_heads() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost@evil\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / FTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\nHost: a\r\n\r\n", 400),
        ("GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03", 400),
        ("\r\n\r\n\r\n\r\n\r\n", 400),
        ("\0\0\0\0", 400),
    ]);
}

#[test]
fn oversized_heads() {
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8 * 1024));
    let endless_target = format!("GET /{}", "a".repeat(20 * 1024));
    let field = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(16 * 1024)
    );
    let endless_field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(40 * 1024));
    let fields = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: a\r\n".repeat(100)
    );
    let endless_fields = format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: a\r\n".repeat(9000));
    check(&[
        (&target, 414),
        (&endless_target, 414),
        (&field, 431),
        (&endless_field, 431),
        (&fields, 431),
        (&endless_fields, 431),
    ]);
}

#[test]
fn the_largest_head_passes() {
    run(Setup::default(), async |server| {
        let head = |filler: usize| {
            format!(
                "GET /?{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}X: {}\r\n\r\n",
                "a".repeat(8 * 1024 - 2),
                "N: v\r\n".repeat(97),
                "f".repeat(filler),
            )
        };
        let filler = 16 * 1024 - head(0).len();
        assert_eq!(statuses(&server.ask(head(filler)).await), [200]);
        assert_eq!(statuses(&server.ask(head(filler + 1)).await), [431]);
    });
}

#[test]
fn bodies_over_the_limit() {
    run(Setup::default(), async |server| {
        let head = |fields: &str| format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        // From the length alone: not a byte of the body is sent.
        let answer = server.ask(head("Content-Length: 1001\r\n")).await;
        assert_eq!(statuses(&answer), [413]);
        let answer = server
            .ask(head("Content-Length: 1001\r\nExpect: 100-continue\r\n"))
            .await;
        assert_eq!(statuses(&answer), [413]);
        let whole = head("Content-Length: 1001\r\n") + &"x".repeat(1001) + &get_of("/");
        assert_eq!(statuses(&server.ask(whole).await), [413]);
        // In chunks: at the one that passes it.
        let mut client = server.connect().await;
        client.send(head("Transfer-Encoding: chunked\r\n")).await;
        for _ in 0..10 {
            client.send(format!("64\r\n{}\r\n", "x".repeat(100))).await;
        }
        client.send("1\r\n").await;
        let answer = client.rest().await;
        assert_eq!(statuses(&answer), [413], "{answer:?}");
        assert_eq!(field(&answer, "connection"), Some("close"));
        // The largest passes, both ways.
        let body = "x".repeat(1000);
        let mut client = server.connect().await;
        client.send(head("Content-Length: 1000\r\n") + &body).await;
        assert!(client.response().await.ends_with(&body));
        client
            .send(head("Transfer-Encoding: chunked\r\n") + "3e8\r\n" + &body + "\r\n0\r\n\r\n")
            .await;
        assert!(client.response().await.ends_with(&body));
    });
}

#[test]
fn a_refusal_stands_behind_earlier_answers() {
    run(Setup::default(), async |server| {
        let bad = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        let answer = server
            .ask([&get_of("/"), &get_of("/"), bad, &get_of("/")].concat())
            .await;
        assert_eq!(statuses(&answer), [200, 200, 400]);
        assert_eq!(server.handled(), 2);
    });
}

#[test]
fn a_large_answer_is_whole_before_the_refusal() {
    run(Setup::default(), async |server| {
        let answer = server.ask(get_of("/big") + "BAD\r\n\r\n").await;
        assert_eq!(statuses(&answer), [200, 400]);
        assert!(answer.len() > 32 * 1024 * 1024);
    });
}

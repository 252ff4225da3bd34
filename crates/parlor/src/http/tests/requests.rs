//! Ordinary requests: kept alive, pipelined, in pieces, claimed, stopped.

use super::*;

#[test]
fn serves_and_keeps_alive() {
    run(Setup::default(), async |server| {
        let mut client = server.connect().await;
        for _ in 0..3 {
            client.send(get_of("/")).await;
            let answer = client.response().await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nhome\n"), "{answer}");
            assert_eq!(field(&answer, "x-content-type-options"), Some("nosniff"));
        }
        client.send(last_get_of("/nowhere")).await;
        let answer = client.rest().await;
        assert_eq!(statuses(&answer), [404]);
        assert!(answer.ends_with("not found\n"), "{answer}");
        client = server.connect().await;
        client
            .send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await;
        assert!(client.rest().await.ends_with("home\n"));
    });
}

#[test]
fn health_is_told() {
    run(Setup::default(), async |server| {
        assert!(
            server
                .ask(last_get_of("/healthz"))
                .await
                .starts_with("HTTP/1.1 200 ")
        );
        assert!(
            server
                .ask(last_get_of("/readyz"))
                .await
                .starts_with("HTTP/1.1 200 ")
        );
        server.draining.store(true, Ordering::Relaxed);
        assert!(
            server
                .ask(last_get_of("/healthz"))
                .await
                .starts_with("HTTP/1.1 200 ")
        );
        assert!(
            server
                .ask(last_get_of("/readyz"))
                .await
                .starts_with("HTTP/1.1 503 ")
        );
        let post = "POST /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(statuses(&server.ask(post).await), [405]);
    });
}

#[test]
fn any_split_gives_the_same_answers() {
    let post = "POST /echo HTTP/1.1\r\nHost: localhost\r\n";
    let input = [
        &get_of("/"),
        "\r\n",
        &format!("{post}Content-Length: 5\r\n\r\nhello"),
        &format!(
            "{post}Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nt: u\r\n\r\n"
        ),
        &format!("{post}Content-Length: 0\r\n\r\n"),
        &last_get_of("/"),
    ]
    .concat();
    run(Setup::default(), async |server| {
        let strip = |text: String| {
            text.lines()
                .filter(|line| !line.starts_with("date: "))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let whole = strip(server.ask(&input).await);
        assert_eq!(statuses(&whole), [200; 5]);
        for (at, body) in ["home", "hello", "abcde", "", "home"].iter().enumerate() {
            let answer = whole.split("HTTP/1.1 ").nth(at + 1).expect("five answers");
            assert!(answer.trim_end().ends_with(body), "{at}: {answer}");
        }
        for size in [1, 2, 3, 7, 50] {
            let mut client = server.connect().await;
            client.stream.set_nodelay(true).expect("an open socket");
            for piece in input.as_bytes().chunks(size) {
                client.send(piece).await;
                tokio::task::yield_now().await;
            }
            assert_eq!(strip(client.rest().await), whole, "by {size}");
        }
    });
}

#[test]
fn continues_when_asked() {
    run(Setup::default(), async |server| {
        let mut client = server.connect().await;
        client
            .send("POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            .await;
        assert!(client.response().await.starts_with("HTTP/1.1 100 "));
        client.send("ok").await;
        assert!(client.response().await.ends_with("ok"));
        client.send(get_of("/")).await;
        assert!(client.response().await.ends_with("home\n"));
    });
}

#[test]
fn an_unread_body_is_not_a_request() {
    run(Setup::default(), async |server| {
        let inner = get_of("/");
        let post = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{inner}",
            inner.len()
        );
        let answer = server.ask(post + &last_get_of("/nowhere")).await;
        assert_eq!(statuses(&answer), [200, 404], "{answer}");
        assert_eq!(server.handled(), 1);
        // Not all of the body is there: the answer comes, then the connection closes.
        let mut client = server.connect().await;
        client
            .send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\nx")
            .await;
        assert_eq!(statuses(&client.rest().await), [200]);
    });
}

#[test]
fn claimed_requests_are_handed_over() {
    let claimed = "GET /door?x=1 HTTP/1.1\r\nHost: anything\r\nUpgrade: websocket\r\n\r\n";
    run(Setup::default(), async |server| {
        // At once, and behind two others in the same segment, with bytes behind it.
        for before in [String::new(), get_of("/") + &get_of("/nowhere")] {
            let mut client = server.connect().await;
            client
                .send([before.as_str(), claimed, "\x01\x02frames"].concat())
                .await;
            if !before.is_empty() {
                assert!(client.response().await.ends_with("home\n"));
                assert!(client.response().await.ends_with("not found\n"));
            }
            let mut taken = server.taken.recv().await.expect("it is taken");
            assert_eq!(taken.head_len, claimed.len());
            assert_eq!(taken.read, [claimed, "\x01\x02frames"].concat());
            taken
                .stream
                .write_all(b"mine now")
                .await
                .expect("it is open");
            drop(taken);
            assert_eq!(client.rest().await, "mine now");
        }
    });
}

#[test]
fn a_claimed_request_waits_for_the_answer_before_it() {
    run(Setup::default(), async |server| {
        let mut client = server.connect().await;
        client.send(get_of("/slow") + &get_of("/door")).await;
        server.wait_idle().await;
        assert!(server.taken.try_recv().is_err());
        server.release.notify_one();
        assert!(client.response().await.ends_with("slow\n"));
        let taken = server.taken.recv().await.expect("it is taken");
        assert_eq!(taken.read, get_of("/door"));
    });
}

#[test]
fn a_handler_is_dropped_when_its_client_goes() {
    run(Setup::default(), async |server| {
        let mut client = server.connect().await;
        client.send(get_of("/slow")).await;
        server.wait_idle().await;
        drop(client);
        server.slow_ended.notified().await;
        server.wait_ended(1).await;
    });
}

#[test]
fn a_client_that_closed_its_side_gets_its_answers() {
    run(Setup::default(), async |server| {
        // A handler that is ready at once, one that takes a moment, a response that takes long.
        let mut client = server.connect().await;
        client.send(get_of("/") + &get_of("/nowhere")).await;
        client.stream.shutdown().await.expect("an open socket");
        assert_eq!(statuses(&client.rest().await), [200, 404]);
        client = server.connect().await;
        client.send(get_of("/slow")).await;
        client.stream.shutdown().await.expect("an open socket");
        server.wait_idle().await;
        server.release.notify_one();
        assert!(client.rest().await.ends_with("slow\n"));
        client = server.connect().await;
        client.send(get_of("/big")).await;
        client.stream.shutdown().await.expect("an open socket");
        server.wait_idle().await;
        tokio::time::sleep(Limits::default().half_close_grace * 2).await;
        assert!(client.rest().await.len() > 32 * 1024 * 1024);
        // In the middle of a head or a body it said no request.
        for half in [
            "GET / HT",
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n1",
        ] {
            client = server.connect().await;
            client.send(half).await;
            client.stream.shutdown().await.expect("an open socket");
            assert_ne!(statuses(&client.rest().await), [200], "{half}");
        }
    });
}

#[test]
fn a_panic_ends_one_request_only() {
    run(Setup::default(), async |server| {
        let mut other = server.connect().await;
        other.send(get_of("/")).await;
        other.response().await;
        let answer = server.ask(get_of("/panic")).await;
        assert_eq!(statuses(&answer), [500]);
        assert_eq!(field(&answer, "connection"), Some("close"));
        server.ask(get_of("/panic-later")).await;
        other.send(get_of("/")).await;
        assert!(other.response().await.ends_with("home\n"));
    });
}

#[test]
fn a_stop_lets_requests_finish() {
    run(Setup::default(), async |server| {
        let mut idle = server.connect().await;
        idle.send(get_of("/")).await;
        idle.response().await;
        let mut fresh = server.connect().await;
        let mut busy = server.connect().await;
        busy.send(get_of("/slow")).await;
        server.wait_idle().await;
        server.stop.send(true).expect("they listen");
        assert!(idle.is_closed().await);
        assert!(fresh.is_closed().await);
        server.release.notify_one();
        let answer = busy.rest().await;
        assert!(answer.ends_with("slow\n"), "{answer}");
        assert_eq!(field(&answer, "connection"), Some("close"));
        server.wait_ended(3).await;
    });
}

fn with(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n")
}

#[test]
fn hosts_are_guarded() {
    run(Setup::default(), async |server| {
        for (host, status) in [
            ("localhost:1", 200),
            ("127.0.0.1", 200),
            ("[::1]", 200),
            ("evil.example", 421),
        ] {
            for path in ["/", "/healthz"] {
                let answer = server
                    .ask(with("GET", path, &format!("Host: {host}\r\n")))
                    .await;
                assert_eq!(statuses(&answer), [status], "{host}");
            }
        }
    });
    run(
        Setup {
            loopback_only: false,
            ..Setup::default()
        },
        async |server| {
            let answer = server.ask(with("GET", "/", "Host: example.com\r\n")).await;
            assert_eq!(statuses(&answer), [200]);
        },
    );
}

#[test]
fn origins_are_guarded() {
    let doors = Router::new().route("/api", get(|| std::future::ready("api")));
    let setup = Setup {
        loopback_only: false,
        origins: vec!["https://app.example".to_owned()],
        doors,
        ..Setup::default()
    };
    run(setup, async |server| {
        let rows = [
            // A foreign page may fetch a public page, but not read it.
            ("GET", "/", "http://evil.example", 200, false),
            ("POST", "/", "http://evil.example", 403, false),
            ("POST", "/", "null", 403, false),
            ("GET", "/api", "http://evil.example", 403, false),
            ("OPTIONS", "/api", "http://evil.example", 403, false),
            ("GET", "/", "https://app.example", 200, true),
            ("POST", "/", "https://app.example", 200, true),
            ("GET", "/api", "https://app.example", 200, true),
            ("GET", "/api", "http://here.example", 200, true),
            ("GET", "/api", "https://here.example", 403, false),
        ];
        for (method, path, origin, status, echoed) in rows {
            let fields = format!(
                "Host: here.example\r\nOrigin: {origin}\r\nContent-Type: text/plain\r\n\
                 Access-Control-Request-Method: GET\r\n"
            );
            let answer = server.ask(with(method, path, &fields)).await;
            assert_eq!(
                statuses(&answer),
                [status],
                "{method} {path} {origin}: {answer}"
            );
            let allowed = field(&answer, "access-control-allow-origin");
            assert_eq!(
                allowed,
                echoed.then_some(origin),
                "{method} {path} {origin}"
            );
            assert_eq!(
                field(&answer, "access-control-allow-credentials").is_some(),
                echoed,
                "{answer}"
            );
            assert_eq!(field(&answer, "vary"), Some("origin"));
        }
        let cross = "Host: here.example\r\nSec-Fetch-Site: cross-site\r\n";
        assert_eq!(
            statuses(&server.ask(with("GET", "/api", cross)).await),
            [403]
        );
        assert_eq!(statuses(&server.ask(with("POST", "/", cross)).await), [403]);
        assert_eq!(statuses(&server.ask(with("GET", "/", cross)).await), [200]);
        let person = format!("{cross}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n");
        assert_eq!(
            statuses(&server.ask(with("GET", "/api", &person)).await),
            [200]
        );
    });
}

#[test]
fn preflights_are_answered() {
    run(Setup::default(), async |server| {
        let ask = |origin: &str| {
            let fields = format!(
                "Host: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: content-type,x-a\r\n"
            );
            with("OPTIONS", "/echo", &fields)
        };
        let answer = server.ask(ask("http://localhost:3000")).await;
        assert_eq!(statuses(&answer), [204]);
        assert_eq!(
            field(&answer, "access-control-allow-origin"),
            Some("http://localhost:3000")
        );
        assert_eq!(
            field(&answer, "access-control-allow-headers"),
            Some("content-type,x-a")
        );
        assert_eq!(field(&answer, "vary"), Some("origin"));
        let answer = server.ask(ask("null")).await;
        assert_eq!(field(&answer, "access-control-allow-origin"), Some("null"));
        assert_eq!(field(&answer, "access-control-allow-credentials"), None);
        let answer = server.ask(ask("http://evil.example")).await;
        assert_eq!(statuses(&answer), [403]);
        assert_eq!(field(&answer, "access-control-allow-origin"), None);
        let answer = server
            .ask(with("OPTIONS", "*", "Host: localhost\r\n"))
            .await;
        assert_eq!(statuses(&answer), [404]);
    });
}

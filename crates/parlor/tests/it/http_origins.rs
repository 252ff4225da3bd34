//! Who may ask, by Host and Origin.

use crate::{
    http_support::{ask_whole, field, start, statuses},
    support::upgrade,
};

fn with(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n")
}

#[test]
fn only_this_machine_is_a_host_while_bound_to_loopback() {
    let server = start(|_| {});
    let port = server.address.port();
    for (host, allowed) in [
        ("localhost".to_owned(), true),
        (format!("localhost:{port}"), true),
        ("127.0.0.1:1".to_owned(), true),
        ("[::1]".to_owned(), true),
        ("evil.example".to_owned(), false),
        ("localhost.evil.example".to_owned(), false),
        ("evil.localhost".to_owned(), false),
        ("0.0.0.0".to_owned(), false),
        (format!("127.0.0.1.nip.io:{port}"), false),
    ] {
        for path in ["/", "/healthz", "/nowhere"] {
            let answer = ask_whole(&server, &with("GET", path, &format!("Host: {host}\r\n")));
            let misdirected = statuses(&answer) == [421];
            assert_eq!(misdirected, !allowed, "{host} {path}: {answer}");
        }
        if !allowed {
            let request = upgrade("/ws", "").replace("Host: localhost", &format!("Host: {host}"));
            assert_eq!(statuses(&ask_whole(&server, &request)), [421], "{host}");
        }
    }
}

#[test]
fn foreign_origins_get_no_cors_and_cannot_post() {
    let server = start(|config| config.origins = vec!["https://app.example".to_owned()]);
    for origin in [
        "http://evil.example",
        "http://localhost.evil.example",
        "http://evil.localhost",
        "http://localhost@evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://app.example/",
        "file:///",
        "",
    ] {
        let fields = format!("Host: localhost\r\nOrigin: {origin}\r\n");
        let answer = ask_whole(&server, &with("GET", "/", &fields));
        assert_eq!(statuses(&answer), [200], "{origin}");
        assert_eq!(
            field(&answer, "access-control-allow-origin"),
            None,
            "{origin}"
        );
        for kind in [
            "text/plain",
            "application/json",
            "application/x-www-form-urlencoded",
        ] {
            let fields = format!("{fields}Content-Type: {kind}\r\nContent-Length: 0\r\n");
            let answer = ask_whole(&server, &with("POST", "/", &fields));
            assert_eq!(statuses(&answer), [403], "{origin} {kind}");
            assert_eq!(
                field(&answer, "access-control-allow-origin"),
                None,
                "{origin}"
            );
        }
        let fields = format!("{fields}Access-Control-Request-Method: POST\r\n");
        let answer = ask_whole(&server, &with("OPTIONS", "/", &fields));
        assert_eq!(statuses(&answer), [403], "{origin}");
        assert_eq!(
            field(&answer, "access-control-allow-origin"),
            None,
            "{origin}"
        );
    }
    let doubled = "Host: localhost\r\nOrigin: null\r\nOrigin: null\r\n";
    assert_eq!(
        statuses(&ask_whole(&server, &with("POST", "/", doubled))),
        [403]
    );
    let cross = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n";
    assert_eq!(
        statuses(&ask_whole(&server, &with("POST", "/", cross))),
        [403]
    );
    assert_eq!(
        statuses(&ask_whole(&server, &with("GET", "/", cross))),
        [200]
    );
}

#[test]
fn allowed_origins_are_echoed() {
    let server = start(|config| config.origins = vec!["https://app.example".to_owned()]);
    let own = format!("http://localhost:{}", server.address.port());
    for origin in [
        &own,
        "https://app.example",
        "http://127.0.0.1:3000",
        "null",
        "file://",
    ] {
        for (method, status) in [("GET", 200), ("POST", 200), ("OPTIONS", 204)] {
            let fields = format!(
                "Host: localhost:{}\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n",
                server.address.port()
            );
            let answer = ask_whole(&server, &with(method, "/", &fields));
            assert_eq!(statuses(&answer), [status], "{method} {origin}");
            assert_eq!(field(&answer, "access-control-allow-origin"), Some(origin));
            assert_eq!(field(&answer, "vary"), Some("origin"), "{method} {origin}");
        }
    }
    let nobody = with("POST", "/", "Host: localhost\r\n");
    let answer = ask_whole(&server, &nobody);
    assert_eq!(statuses(&answer), [200], "without an origin it is no page");
    assert_eq!(field(&answer, "access-control-allow-origin"), None);
}

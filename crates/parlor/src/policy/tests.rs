use super::*;

fn provenance<'a>(fields: &[(&'a str, &'a str)]) -> Provenance<'a> {
    Provenance::of(
        fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    )
}

fn policy(origins: &[&str], loopback_only: bool) -> Policy {
    let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
    Policy::new(&origins, loopback_only).expect("valid origins")
}

/// The status that an origin meets at `host`: 200 where it passes.
fn origin_status(policy: &Policy, host: &str, origin: &str) -> u16 {
    let request = provenance(&[("Host", host), ("Origin", origin)]);
    match policy.check_origin(&request) {
        Ok(echoed) => {
            assert_eq!(echoed, Some(origin.as_bytes()));
            200
        }
        Err(refusal) => refusal.status,
    }
}

#[test]
fn open_listeners_allow_the_same_origin_only() {
    let policy = policy(&[], false);
    for (host, origin) in [
        ("example.com", "http://example.com"),
        ("example.com", "http://example.com:80"),
        ("example.com:80", "http://example.com"),
        ("Example.COM:8080", "http://example.com:8080"),
        ("192.0.2.1:81", "http://192.0.2.1:81"),
        ("[2001:db8::1]:81", "http://[2001:db8::1]:81"),
    ] {
        assert_eq!(
            origin_status(&policy, host, origin),
            200,
            "{origin} at {host}"
        );
    }
    for origin in [
        "http://evil.example",
        "null",
        "file://",
        "",
        "*",
        "http://example.com.evil.example:8080",
        "http://evilexample.com:8080",
        "http://evil.example.com:8080",
        "http://example.com",
        "http://example.com:80",
        "http://example.com:8081",
        "http://example.com:80800",
        "http://example.com:08080x",
        "http://example.com:",
        "https://example.com:8080",
        "ws://example.com:8080",
        "http://user@example.com:8080",
        "http://user:pw@example.com:8080",
        "http://example.com:8080@evil.example",
        "http://evil.example#example.com:8080",
        "http://evil.example/http://example.com:8080",
        "http://example.com:8080/",
        "http://example.com:8080?",
        "http://example.com:8080#",
        "http://example.com:8080 http://evil.example",
        "http://evil.example, http://example.com:8080",
        "http://example.com:8080,http://example.com:8080",
        "http://example.com.:8080",
        "http://example\u{2024}com:8080",
        "http:/example.com:8080",
        "http:example.com:8080",
        "//example.com:8080",
        "example.com:8080",
        "http://example.com:8080\0",
        "http://localhost:8080",
        "http://127.0.0.1:8080",
    ] {
        assert_eq!(
            origin_status(&policy, "example.com:8080", origin),
            403,
            "{origin:?}"
        );
    }
}

#[test]
fn loopback_listeners_allow_local_pages() {
    let policy = policy(&[], true);
    for origin in [
        "null",
        "file://",
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:3000",
        "http://LOCALHOST:3000",
        "http://127.0.0.1:5500",
        "http://127.1.2.3",
        "http://[::1]:5500",
    ] {
        assert_eq!(
            origin_status(&policy, "localhost:8080", origin),
            200,
            "{origin}"
        );
    }
    for origin in [
        "http://evil.example",
        "http://localhost.evil.example:8080",
        "http://evil-localhost:8080",
        "http://evil.localhost:8080",
        "http://localhost@evil.example",
        "http://evil.example@localhost:8080",
        "http://127.0.0.1.evil.example",
        "http://127.0.0.1@evil.example",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://0.0.0.0:8080",
        "http://[::]:8080",
        "http://[::ffff:127.0.0.1]:8080",
        "http://192.168.0.1:8080",
        "http://localhost.:8080",
        "file:///",
        "file:///home/a/page.html",
        "Null",
        "null, null",
        "chrome-extension://abc",
        "ftp://localhost",
    ] {
        assert_eq!(
            origin_status(&policy, "localhost:8080", origin),
            403,
            "{origin:?}"
        );
    }
}

#[test]
fn named_origins_pass_exactly() {
    let named = [
        "https://app.example.com",
        "http://B.example:81",
        "capacitor://localhost",
        "chrome-extension://abcdef",
    ];
    let policy = policy(&named, false);
    for (origin, status) in [
        ("https://app.example.com", 200),
        ("https://app.example.com:443", 200),
        ("https://APP.example.com", 200),
        ("http://b.example:81", 200),
        ("http://app.example.com", 403),
        ("https://app.example.com:8443", 403),
        ("https://x.app.example.com", 403),
        ("https://app.example.com.evil.example", 403),
        ("http://b.example", 403),
        ("capacitor://localhost", 200),
        ("capacitor://localhost:80", 403),
        ("ionic://localhost", 403),
        ("chrome-extension://abcdef", 200),
        ("chrome-extension://abcdeg", 403),
        ("null", 403),
    ] {
        assert_eq!(
            origin_status(&policy, "ws.example.com", origin),
            status,
            "{origin}"
        );
    }
}

#[test]
fn behind_another_server_the_same_host_is_a_web_page() {
    let policy = Policy::behind_another(&[]).expect("no origins");
    for (origin, status) in [
        ("http://chat.example", 200),
        ("https://chat.example", 200),
        ("ws://chat.example:80", 403),
        ("chrome-extension://chat.example:80", 403),
    ] {
        assert_eq!(
            origin_status(&policy, "chat.example", origin),
            status,
            "{origin}"
        );
    }
}

#[test]
fn doubled_origins_are_refused() {
    let policy = policy(&[], true);
    let same = ("Origin", "http://localhost:8080");
    let request = provenance(&[("Host", "localhost:8080"), same, same]);
    assert_eq!(policy.check_origin(&request), Err(Refusal::ORIGIN));
}

#[test]
fn without_origin_the_fetch_metadata_decide() {
    let policy = policy(&[], true);
    let (cross, navigate, document) = (
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    );
    let rows: [(&[(&str, &str)], bool); 11] = [
        (&[], true),
        (&[("Sec-Fetch-Site", "same-origin")], true),
        (&[("Sec-Fetch-Site", "same-site")], true),
        (&[("Sec-Fetch-Site", "none")], true),
        (&[cross], false),
        (&[("sec-fetch-site", "Cross-Site")], false),
        (
            &[
                cross,
                ("Sec-Fetch-Mode", "no-cors"),
                ("Sec-Fetch-Dest", "script"),
            ],
            false,
        ),
        (&[cross, navigate, ("Sec-Fetch-Dest", "iframe")], false),
        (&[cross, navigate, document], true),
        (&[cross, navigate], false),
        (&[("Sec-Fetch-Site", "none"), cross], false),
    ];
    for (fields, passes) in rows {
        assert_eq!(
            policy.check_origin(&provenance(fields)).is_ok(),
            passes,
            "{fields:?}"
        );
    }
}

#[test]
fn hosts_are_checked() {
    let status = |policy: &Policy, hosts: &[&str]| {
        let request = Provenance::of(
            hosts
                .iter()
                .map(|host| (b"host".as_slice(), host.as_bytes())),
        );
        policy
            .check_host(&request)
            .map_or_else(|refusal| refusal.status, |()| 200)
    };
    let (open, local) = (policy(&[], false), policy(&[], true));
    for host in [
        "localhost",
        "LocalHost:8080",
        "127.0.0.1:1",
        "127.255.0.1",
        "[::1]:8080",
    ] {
        assert_eq!(status(&open, &[host]), 200, "{host}");
        assert_eq!(status(&local, &[host]), 200, "{host}");
    }
    for host in [
        "example.com",
        "localhost.example.com",
        "evil.localhost",
        "127.0.0.1.nip.io",
        "0.0.0.0:8080",
        "[::]",
        "192.168.1.1",
        "2130706433",
        "127.1",
        "localhost.",
    ] {
        assert_eq!(status(&open, &[host]), 200, "{host}");
        assert_eq!(status(&local, &[host]), 421, "{host}");
    }
    for bad in [
        "",
        "a b",
        "user@localhost",
        "localhost:",
        "localhost:99999",
        "[::1",
        "localhost/",
    ] {
        assert_eq!(status(&open, &[bad]), 400, "{bad}");
        assert_eq!(status(&local, &[bad]), 400, "{bad}");
    }
    assert_eq!(status(&local, &[]), 400);
    assert_eq!(status(&local, &["localhost", "localhost"]), 400);
}

#[test]
fn bad_settings_are_told() {
    for text in [
        "example.com",
        "*",
        "null",
        "https://a/",
        "https://u@a",
        "f tp://a",
        "https://",
        "",
    ] {
        let error = Policy::new(&[text.to_owned()], false).expect_err(text);
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
}

#[test]
fn refusals_are_whole_responses() {
    let text = String::from_utf8(Refusal::METHOD.to_response()).expect("ASCII");
    let (head, body) = text.split_once("\r\n\r\n").expect("a blank line");
    assert!(
        head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
        "{head}"
    );
    for field in [
        "allow: GET, ",
        "connection: close",
        "content-type: text/plain",
        "date: ",
    ] {
        assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
    }
    assert!(
        head.contains(&format!("\r\ncontent-length: {}", body.len())),
        "{head}"
    );
    assert_eq!(body, "method not allowed\n");
}

#[test]
fn dates_are_written_as_http_has_them() {
    for (seconds, expected) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (4_133_980_799, "Fri, 31 Dec 2100 23:59:59 GMT"),
    ] {
        let time = UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        assert_eq!(http_date(time), expected);
    }
}

use super::{Mode, Policy, UnsupportedResponse, WindowBits, accept, negotiate, offer};

fn policy(mode: Mode, server_bits: u8, client_bits: u8) -> Policy {
    Policy {
        server_max_window_bits: WindowBits::new(server_bits).unwrap(),
        client_max_window_bits: WindowBits::new(client_bits).unwrap(),
        ..Policy::new(mode)
    }
}

/// The response's parameters, without the extension's name; `-` where all offers were declined.
fn answer(offers: &[&str], policy: &Policy) -> String {
    let values = offers.iter().map(|offer| offer.as_bytes());
    let agreement = negotiate(values, policy).expect("follows the grammar");
    agreement.map_or_else(
        || "-".to_owned(),
        |agreement| {
            let value = agreement.response_value();
            value
                .strip_prefix("permessage-deflate")
                .unwrap()
                .trim_start_matches("; ")
                .to_owned()
        },
    )
}

const BOTH: &str = "server_no_context_takeover; client_no_context_takeover";

#[test]
fn a_shared_server() {
    let policy = Policy::default();
    let rows = [
        ("permessage-deflate", BOTH.to_owned()),
        // What browsers send.
        (
            "permessage-deflate; client_max_window_bits",
            BOTH.to_owned(),
        ),
        (
            "permessage-deflate; client_no_context_takeover",
            BOTH.to_owned(),
        ),
        (
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
            format!("{BOTH}; server_max_window_bits=9; client_max_window_bits=10"),
        ),
        ("x-webkit-deflate-frame", "-".to_owned()),
        ("foo, permessage-deflate", BOTH.to_owned()),
    ];
    for (offer, expected) in rows {
        assert_eq!(answer(&[offer], &policy), expected, "{offer}");
    }
    assert_eq!(
        answer(&["permessage-deflate"], &Policy::new(Mode::Off)),
        "-"
    );
    assert_eq!(answer(&[], &policy), "-");
}

/// The offers of Autobahn's groups 12 and 13.
#[test]
fn a_server_with_takeover() {
    let policy = Policy::new(Mode::Takeover);
    let rows: &[(&str, &str)] = &[
        ("permessage-deflate", ""),
        ("permessage-deflate; client_max_window_bits", ""),
        (
            "permessage-deflate; server_no_context_takeover",
            "server_no_context_takeover",
        ),
        (
            "permessage-deflate; server_max_window_bits=9",
            "server_max_window_bits=9",
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            "server_max_window_bits=15",
        ),
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
            "server_no_context_takeover; server_max_window_bits=9",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_max_window_bits; \
             server_max_window_bits=9, permessage-deflate; server_no_context_takeover; \
             client_max_window_bits, permessage-deflate; client_max_window_bits",
            "server_no_context_takeover; server_max_window_bits=9",
        ),
    ];
    for (offer, expected) in rows {
        assert_eq!(answer(&[offer], &policy), *expected, "{offer}");
    }
    let policy = Policy {
        server_no_context_takeover: true,
        ..policy
    };
    assert_eq!(
        answer(&["permessage-deflate"], &policy),
        "server_no_context_takeover"
    );
    let policy = Policy {
        client_no_context_takeover: true,
        ..policy
    };
    assert_eq!(answer(&["permessage-deflate"], &policy), BOTH);
}

#[test]
fn windows() {
    let offered = |parameters: &str, server, client| {
        answer(
            &[&format!("permessage-deflate; {parameters}")],
            &policy(Mode::Takeover, server, client),
        )
    };
    for bits in 9..=15 {
        let parameter = format!("server_max_window_bits={bits}");
        assert_eq!(offered(&parameter, 15, 15), parameter);
    }
    // The smaller of both.
    assert_eq!(
        offered("server_max_window_bits=12", 10, 15),
        "server_max_window_bits=10"
    );
    assert_eq!(
        offered("server_max_window_bits=10", 12, 15),
        "server_max_window_bits=10"
    );
    assert_eq!(
        offered("client_max_window_bits=12", 15, 10),
        "client_max_window_bits=10"
    );
    assert_eq!(
        offered("client_max_window_bits=10", 15, 12),
        "client_max_window_bits=10"
    );
    assert_eq!(
        offered("client_max_window_bits", 15, 10),
        "client_max_window_bits=10"
    );
    // A client that cannot choose its window is not asked to.
    assert_eq!(
        answer(&["permessage-deflate"], &policy(Mode::Takeover, 15, 10)),
        ""
    );
    assert_eq!(
        answer(&["permessage-deflate"], &policy(Mode::Takeover, 10, 15)),
        "server_max_window_bits=10"
    );
    // 8: not for what we compress, well for what we inflate.
    assert_eq!(offered("server_max_window_bits=8", 15, 15), "-");
    assert_eq!(
        offered("client_max_window_bits=8", 15, 15),
        "client_max_window_bits=8"
    );
    assert_eq!(
        answer(&["permessage-deflate"], &policy(Mode::Takeover, 8, 15)),
        "server_max_window_bits=9"
    );
}

#[test]
fn offers_that_are_declined() {
    let rows = [
        "unknown",
        "unknown=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=09",
        "server_max_window_bits=0x9",
        "server_max_window_bits=+9",
        "server_max_window_bits=1",
        "server_max_window_bits=100",
        "client_max_window_bits=0",
        "client_max_window_bits=16",
        "client_max_window_bits=7",
        "client_max_window_bits=15.0",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits=9; client_max_window_bits=10",
        "server_max_window_bits=9; server_max_window_bits=9",
        "Client_Max_Window_Bits",
    ];
    for mode in [Mode::Shared, Mode::Takeover] {
        for parameters in rows {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(&[&offer], &Policy::new(mode)), "-", "{offer}");
            // The next alternative is taken, in the same header or the next one.
            let next = "permessage-deflate; server_max_window_bits=10";
            let expected = answer(&[next], &Policy::new(mode));
            assert_eq!(
                answer(&[&format!("{offer}, {next}")], &Policy::new(mode)),
                expected
            );
            assert_eq!(answer(&[&offer, next], &Policy::new(mode)), expected);
        }
    }
    // The value may be quoted.
    let quoted = "permessage-deflate; server_max_window_bits=\"10\"";
    assert!(answer(&[quoted], &Policy::default()).ends_with("server_max_window_bits=10"));
}

#[test]
fn what_is_malformed() {
    for value in [
        "",
        "permessage-deflate;",
        "permessage-deflate; a=",
        "permessage-deflate,,x",
    ] {
        for mode in [Mode::Off, Mode::Shared] {
            assert!(
                negotiate([value.as_bytes()], &Policy::new(mode)).is_err(),
                "{value}"
            );
            // Also behind a good offer.
            let values = [&b"permessage-deflate"[..], value.as_bytes()];
            assert!(negotiate(values, &Policy::new(mode)).is_err(), "{value}");
        }
    }
}

#[test]
fn what_a_client_offers() {
    let offered = |policy: &Policy| offer(policy).unwrap_or_default();
    assert_eq!(offered(&Policy::new(Mode::Off)), "");
    assert_eq!(
        offered(&Policy::new(Mode::Shared)),
        format!("permessage-deflate; {BOTH}; client_max_window_bits")
    );
    assert_eq!(
        offered(&policy(Mode::Takeover, 10, 9)),
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"
    );
}

#[test]
fn what_a_client_accepts() {
    let accepted = |value: &str, policy: &Policy| {
        accept([value.as_bytes()], policy).map(|agreement| agreement.unwrap().response_value())
    };
    let takeover = policy(Mode::Takeover, 12, 12);
    let good = "permessage-deflate; server_max_window_bits=11; client_max_window_bits=10";
    assert_eq!(accepted(good, &takeover).as_deref(), Ok(good));
    let agreement = accept([good.as_bytes()], &takeover).unwrap().unwrap();
    assert_eq!(agreement.server_window_bits().get(), 11);
    assert_eq!(agreement.client_window_bits().get(), 10);
    assert_eq!(accept(std::iter::empty(), &takeover), Ok(None));
    // The server may have a window of 8 bits, which is inflated like any.
    let eight = "permessage-deflate; server_max_window_bits=8";
    assert_eq!(
        accepted(eight, &Policy::new(Mode::Takeover)).as_deref(),
        Ok(eight)
    );
    let parameter = Err(UnsupportedResponse::Parameter);
    let rows = [
        // More than was offered, no answer to what was offered, or invalid.
        "permessage-deflate; server_max_window_bits=13",
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=11; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=11; unknown",
        "permessage-deflate; server_max_window_bits=11; server_max_window_bits=11",
        "permessage-deflate; server_max_window_bits=7",
    ];
    for value in rows {
        assert_eq!(accepted(value, &takeover), parameter, "{value}");
    }
    let shared = Policy::new(Mode::Shared);
    assert_eq!(
        accepted("permessage-deflate; client_no_context_takeover", &shared),
        parameter
    );
    let value = "permessage-deflate; server_no_context_takeover";
    let agreement = accept([value.as_bytes()], &shared).unwrap().unwrap();
    assert!(
        agreement.client_no_context_takeover(),
        "as the client said it would"
    );
    let extension = Err(UnsupportedResponse::Extension);
    assert_eq!(accepted("foo", &shared), extension);
    assert_eq!(
        accepted("permessage-deflate, permessage-deflate", &shared),
        extension
    );
    assert_eq!(
        accepted("permessage-deflate", &Policy::new(Mode::Off)),
        extension
    );
    assert_eq!(
        accepted("permessage-deflate;", &shared),
        Err(UnsupportedResponse::Malformed)
    );
}

/// Whatever a client of ours offers and a server of ours answers, the client accepts, and both mean
/// the same.
#[test]
fn both_sides_agree() {
    let modes = [Mode::Shared, Mode::Takeover];
    for (client_mode, server_mode) in modes.into_iter().flat_map(|a| modes.map(|b| (a, b))) {
        for (a, b) in (9..=15).flat_map(|a| (9..=15).map(move |b| (a, b))) {
            let (client, server) = (policy(client_mode, a, b), policy(server_mode, b, a));
            let offer = offer(&client).unwrap();
            let agreement = negotiate([offer.as_bytes()], &server).unwrap().unwrap();
            let response = agreement.response_value();
            let accepted = accept([response.as_bytes()], &client).unwrap().unwrap();
            assert_eq!(accepted, agreement, "{offer} | {response}");
        }
    }
}

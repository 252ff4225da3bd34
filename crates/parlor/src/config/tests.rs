use super::*;

#[track_caller]
fn refuses(key: &str, text: &str, sentence: &str) {
    let mut config = Config::default();
    let error = config.set(key, text).expect_err("must be refused");
    assert_eq!(error.to_string(), sentence);
    assert_eq!(config, Config::default(), "a refused value changes nothing");
}

#[track_caller]
fn sets(key: &str, text: &str, field: impl Fn(&mut Config)) {
    let mut expected = Config::default();
    field(&mut expected);
    let mut config = Config::default();
    config.set(key, text).expect("must be taken");
    assert_eq!(config, expected, "{key} = {text}");
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn the_default_is_valid() {
    assert_eq!(Config::default().validate(), Ok(()));
}

#[test]
fn every_setting_reads_what_it_writes() {
    for setting in SETTINGS {
        let mut config = Config::default();
        if let Some(text) = (setting.show)(&config) {
            setting.set(&mut config, &text).expect("its own text");
            assert_eq!(config, Config::default(), "{}", setting.key);
        }
    }
}

#[test]
fn keys_are_unique_and_plain() {
    for (i, setting) in SETTINGS.iter().enumerate() {
        assert!(
            setting
                .key
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_')
        );
        assert!(
            SETTINGS[..i]
                .iter()
                .all(|other| !same_key(other.key, setting.key))
        );
        assert!(setting.help.ends_with('.'), "{}", setting.key);
    }
}

#[test]
fn values_of_every_kind() {
    sets("message_bytes_max", "64KiB", |c| {
        c.message_bytes_max = 65_536
    });
    sets("message-bytes-max", "4096", |c| c.message_bytes_max = 4096);
    sets("ping_interval", "500ms", |c| {
        c.ping_interval = Duration::from_millis(500)
    });
    sets("ping-timeout", "2m", |c| {
        c.ping_timeout = Duration::from_secs(120)
    });
    sets("shards", "3", |c| c.shards = NonZeroUsize::new(3));
    sets("deflate", "takeover", |c| c.deflate = Deflate::Takeover);
    sets("static", "/srv/www", |c| {
        c.static_dir = Some("/srv/www".into())
    });
    sets("listen", "0.0.0.0:80, [::]:80", |c| {
        c.listen = vec!["0.0.0.0:80".parse().unwrap(), "[::]:80".parse().unwrap()];
    });
    sets("listen", "localhost:0", |c| {
        c.listen = vec!["127.0.0.1:0".parse().unwrap()]
    });
    sets(
        "origin",
        "HTTPS://Example.org:443/,http://[::1]:3000",
        |c| {
            c.origins = vec!["https://example.org".into(), "http://[::1]:3000".into()];
        },
    );
}

#[test]
fn wrong_values_are_refused_with_one_sentence() {
    let rows = [
        (
            "message_bytes_max",
            "1MB",
            "expected a size such as 64KiB, 1MiB or 4096",
        ),
        (
            "message_bytes_max",
            "-1",
            "expected a size such as 64KiB, 1MiB or 4096",
        ),
        (
            "message_bytes_max",
            "99999999999GiB",
            "expected a size such as 64KiB, 1MiB or 4096",
        ),
        ("message_bytes_max", "0", "expected 1 to 1GiB"),
        ("message_bytes_max", "2GiB", "expected 1 to 1GiB"),
        (
            "ping_interval",
            "10",
            "expected a time such as 10s, 500ms or 2m",
        ),
        ("ping_interval", "0s", "expected 1ms to 24h"),
        ("shards", "0", "expected 1 to 1024"),
        ("shards", "two", "expected a whole number"),
        ("deflate", "on", "expected off, shared or takeover"),
        (
            "listen",
            "8080",
            "expected an address and a port such as 127.0.0.1:8080 or [::1]:8080",
        ),
        ("outbox_shard_bytes_max", "64KiB", "expected 1MiB or more"),
        ("connections_max", "0", "expected 1 or more"),
        ("listen", "", "expected a value"),
    ];
    for (key, text, reason) in rows {
        refuses(key, text, &format!("`{key}` cannot be `{text}`: {reason}"));
    }
    let origins = [
        "example.org",
        "http://",
        "https://user@example.org",
        "https://example.org/path",
        "https://example.org:99999",
        "https://a:b:c",
        "https://exa mple.org",
        "null",
        "*",
    ];
    for text in origins {
        let reason = "expected an origin such as https://example.org or http://localhost:3000";
        refuses(
            "origin",
            text,
            &format!("`origin` cannot be `{text}`: {reason}"),
        );
    }
}

#[test]
fn an_unknown_key_is_named() {
    refuses("colour", "red", "there is no setting `colour`");
    refuses(
        "mesage-bytes-max",
        "1",
        "there is no setting `mesage-bytes-max`, did you mean `message_bytes_max`?",
    );
    refuses(
        "ping_intervall",
        "1s",
        "there is no setting `ping_intervall`, did you mean `ping_interval`?",
    );
}

#[test]
fn validate_finds_what_code_filled_in_wrongly() {
    let config = Config {
        message_bytes_max: 0,
        ..Config::default()
    };
    let sentence = config.validate().expect_err("out of range").to_string();
    assert_eq!(
        sentence,
        "`message_bytes_max` cannot be `0`: expected 1 to 1GiB"
    );

    let config = Config {
        listen: Vec::new(),
        ..Config::default()
    };
    assert!(config.validate().is_err());
}

#[test]
fn rules_for_rooms_are_checked_like_everything_else() {
    let with = |change: fn(&mut RoomRule)| {
        let mut config = Config::default();
        let mut rule = config.room_rule("chat-*");
        change(&mut rule);
        config.rooms.push(rule);
        config.validate().map_err(|error| error.to_string())
    };
    assert_eq!(with(|_| {}), Ok(()));
    assert_eq!(with(|rule| rule.history_messages = 0), Ok(()));
    let refused = |text: &str| Err(text.to_owned());
    assert_eq!(
        with(|rule| rule.pattern.clear()),
        refused("`pattern` cannot be ``: expected 1 to 128 bytes without control characters")
    );
    assert_eq!(
        with(|rule| rule.history_messages = 1 << 21),
        refused("`history_messages` cannot be `2097152`: expected 0 to 1048576")
    );
    assert_eq!(
        with(|rule| rule.history_age = Duration::from_secs(1 << 20)),
        refused("`history_age` cannot be `1048576s`: expected 0s to 24h")
    );
    let mut config = Config::default();
    config.rooms = vec![config.room_rule("*"); 257];
    assert_eq!(
        config.validate().map_err(|error| error.to_string()),
        refused("there are 257 rules for rooms, and at most 256 are taken")
    );
}

#[test]
fn a_rule_for_rooms_and_what_holds_there_are_two_views_of_one_thing() {
    let mut config = Config::default();
    for (key, text) in ROOM_KEYS.into_iter().zip(["7", "9s", "11KiB", "close"]) {
        config.set(key, text).expect("a setting");
    }
    let rule = config.room_rule("x");
    assert_ne!(rule, Config::default().room_rule("x"));
    assert_eq!(Config::default().in_rooms_of(&rule), config);
}

#[test]
fn a_port_in_use_is_said_plainly() {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = first.local_addr().unwrap();
    let config = Config {
        listen: vec![address],
        ..Config::default()
    };
    let sentence = config.bind().expect_err("in use").to_string();
    assert_eq!(
        sentence,
        format!("cannot listen on {address}: the port is in use")
    );
}

#[test]
fn counts_that_depend_on_the_machine() {
    let config = Config::default();
    assert!(config.shard_count() >= 1);
    assert!(config.connection_limit() >= 1);
    let descriptors = raise_descriptor_limit();
    assert!(config.connection_limit() <= descriptors);
}

#[test]
fn any_setting_of_cross_origin_headers_turns_them_on() {
    let set = |key: &str, text: &str| {
        let mut config = Config::default();
        let set = config.set(key, text).map_err(|error| error.to_string());
        set.map(|()| config.socketio.engine.cors.expect("it is on"))
    };
    let origins = |text: &str| set("socketio_cors_origin", text).map(|cors| cors.origins);
    assert_eq!(origins("*"), Ok(CorsOrigins::Any));
    assert_eq!(origins("policy"), Ok(CorsOrigins::Policy));
    let these = vec![
        "https://a.example".to_owned(),
        "https://*.b.example:8443".to_owned(),
    ];
    assert_eq!(
        origins("https://A.example/, https://*.b.example:8443"),
        Ok(CorsOrigins::These(these))
    );
    for wrong in [
        "https://*.*.example",
        "*.example",
        "https*://a",
        "a.example",
        "https://a/*",
    ] {
        assert!(origins(wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        set("socketio_cors_preflight", "200").map(|cors| cors.preflight),
        Ok(Preflight::Answered(200))
    );
    assert!(set("socketio_cors_preflight", "404").is_err());
    assert!(set("socketio_cors_methods", "GE T").is_err());
    let names = set("socketio_cors_allowed_headers", "x-a, x-b")
        .unwrap()
        .allowed_headers;
    assert_eq!(names, Some(vec!["x-a".to_owned(), "x-b".to_owned()]));
    let mut config = Config::default();
    config.socketio.engine.cors = Some(Cors {
        methods: vec!["no token".to_owned()],
        ..Cors::default()
    });
    assert!(config.validate().is_err());
}

//! The checks of a request, in their order, and the packet that opens.

use super::*;

const KNOWN_V4: Known = Known {
    transport: Transport::Polling,
    version: Version::V4,
};

fn known(sid: &str) -> Option<Known> {
    let of = |transport, version| Some(Known { transport, version });
    match sid {
        "polling" => Some(KNOWN_V4),
        "websocket" => of(Transport::WebSocket, Version::V4),
        "old" => of(Transport::Polling, Version::V3),
        _ => None,
    }
}

/// What a request wants, in words; or its error code.
fn verdict(line: &str, options: &Options) -> String {
    let mut words = line.split(' ');
    let method = match words.next() {
        Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        _ => Method::Other,
    };
    let query = Query::parse(words.next().unwrap_or_default());
    let upgrade = match words.next() {
        Some("upgrade") => Upgrade::WebSocket,
        _ => Upgrade::Plain,
    };
    let request = Request {
        method,
        upgrade,
        query: &query,
    };
    match admit(&request, options, known) {
        Ok(Admission::Open(opening)) => match opening.version() {
            Ok(version) => format!("open {} {version:?}", opening.transport().as_str()),
            Err(error) => error.code().to_string(),
        },
        Ok(Admission::Poll { sid, .. }) => format!("poll {sid}"),
        Ok(Admission::Post { sid, .. }) => format!("post {sid}"),
        Ok(Admission::Upgrade { sid }) => format!("upgrade {sid}"),
        Err(error) => error.code().to_string(),
    }
}

#[test]
fn checks_in_their_order() {
    let rows = [
        ("GET EIO=4&transport=polling", "open polling V4"),
        ("GET t=x&transport=polling&EIO=4&b64=1", "open polling V4"),
        ("GET EIO=4&transport=websocket upgrade", "open websocket V4"),
        ("GET EIO=4&transport=polling&sid=", "open polling V4"),
        ("GET EIO=4&transport=polling&sid=polling", "poll polling"),
        (
            "GET EIO=4&transport=poll%69ng&sid=%70olling",
            "poll polling",
        ),
        ("POST EIO=4&transport=polling&sid=polling", "post polling"),
        (
            "GET EIO=4&transport=websocket&sid=polling upgrade",
            "upgrade polling",
        ),
        // It is refused after its handshake, by the session.
        (
            "GET EIO=4&transport=websocket&sid=websocket upgrade",
            "upgrade websocket",
        ),
        // 0: the transport comes before anything else.
        ("GET", "0"),
        ("GET EIO=4", "0"),
        ("GET EIO=4&transport=", "0"),
        ("GET EIO=4&transport=abc", "0"),
        ("GET EIO=4&transport=webtransport", "0"),
        ("GET EIO=4&transport=constructor", "0"),
        ("GET EIO=4&transport=polling&transport=polling", "0"),
        ("POST transport=abc&sid=none", "0"),
        // 1: then the session.
        ("GET EIO=4&transport=polling&sid=none", "1"),
        ("GET EIO=4&transport=polling&sid=__proto__", "1"),
        ("GET EIO=4&transport=polling&sid=polling&sid=polling", "1"),
        ("GET EIO=4&transport=polling&sid=%FF", "1"),
        ("POST EIO=9&transport=polling&sid=none", "1"),
        ("GET EIO=4&transport=websocket&sid=none upgrade", "1"),
        ("GET EIO=4&transport=websocket&sid=none", "1"),
        // 3: and whether the request fits it.
        ("GET EIO=4&transport=websocket&sid=polling", "3"),
        ("GET EIO=4&transport=polling&sid=websocket", "3"),
        ("POST EIO=4&transport=polling&sid=websocket", "3"),
        ("GET EIO=4&transport=websocket&sid=websocket", "3"),
        ("GET EIO=3&transport=polling&sid=polling", "3"),
        ("GET transport=polling&sid=polling", "3"),
        ("PUT EIO=4&transport=polling&sid=polling", "3"),
        // 2: without a session, the method.
        ("POST EIO=4&transport=polling", "2"),
        ("PUT EIO=4&transport=polling", "2"),
        ("POST EIO=9&transport=polling", "2"),
        ("POST EIO=4&transport=websocket", "2"),
        // 3: then the upgrade.
        ("GET EIO=4&transport=websocket", "3"),
        ("GET EIO=9&transport=websocket", "3"),
        ("GET EIO=4&transport=polling upgrade", "3"),
        // 5: last the revision.
        ("GET transport=polling", "5"),
        ("GET EIO=abc&transport=polling", "5"),
        ("GET EIO=3&transport=polling", "5"),
        ("GET EIO=04&transport=polling", "5"),
        ("GET EIO=4.0&transport=polling", "5"),
        ("GET EIO=4&EIO=4&transport=polling", "5"),
        ("GET transport=websocket upgrade", "5"),
        ("GET EIO=abc&transport=websocket upgrade", "5"),
    ];
    for (line, expected) in rows {
        assert_eq!(verdict(line, &Options::default()), expected, "{line}");
    }
}

#[test]
fn what_is_served_can_be_chosen() {
    let old = Options {
        versions: Versions::V4V3,
        ..Options::default()
    };
    assert_eq!(
        verdict("GET EIO=3&transport=polling", &old),
        "open polling V3"
    );
    assert_eq!(
        verdict("GET EIO=4&transport=polling", &old),
        "open polling V4"
    );
    assert_eq!(verdict("GET transport=polling", &old), "5");
    assert_eq!(
        verdict("GET EIO=3&transport=polling&sid=old", &old),
        "poll old"
    );
    assert_eq!(verdict("GET EIO=4&transport=polling&sid=old", &old), "3");
    assert_eq!(
        verdict("GET EIO=3&transport=polling&sid=polling", &old),
        "3"
    );

    let polling = Options {
        transports: Transports::Polling,
        ..Options::default()
    };
    assert_eq!(
        verdict("GET EIO=4&transport=websocket upgrade", &polling),
        "0"
    );
    let websocket = Options {
        transports: Transports::WebSocket,
        ..Options::default()
    };
    assert_eq!(verdict("GET EIO=4&transport=polling", &websocket), "0");
    let stay = Options {
        upgrades: Upgrades::Refused,
        ..Options::default()
    };
    let upgrade = "GET EIO=4&transport=websocket&sid=polling upgrade";
    assert_eq!(verdict(upgrade, &stay), "3");
}

#[test]
fn forms_of_answers() {
    let form = |query: &str, versions| {
        let query = Query::parse(query);
        let request = Request {
            method: Method::Get,
            upgrade: Upgrade::Plain,
            query: &query,
        };
        let options = Options {
            versions,
            ..Options::default()
        };
        match admit(&request, &options, known) {
            Ok(Admission::Open(opening)) => (opening.form().base64, opening.form().jsonp),
            other => panic!("{other:?}"),
        }
    };
    let old = "EIO=3&transport=polling";
    let all = Versions::V4V3Jsonp;
    assert_eq!(form(old, all), (false, None));
    assert_eq!(form(&format!("{old}&b64=1"), all), (true, None));
    assert_eq!(form(&format!("{old}&j=12"), all), (true, Some(12)));
    assert_eq!(form(&format!("{old}&j=12"), Versions::V4V3), (false, None));
    for j in ["", "-1", "1);alert(1", "99999999999", "1&j=1"] {
        assert_eq!(form(&format!("{old}&j={j}"), all), (false, None), "{j}");
    }
    assert_eq!(
        form("EIO=4&transport=polling&j=1&b64=1", all),
        (false, None)
    );
    let jsonp = Form {
        base64: true,
        jsonp: Some(1),
    };
    assert_eq!(
        jsonp.content(Some(b"application/octet-stream")),
        Content::Form
    );
    assert_eq!(Form::default().content(None), Content::Text);
}

#[test]
fn refusals_have_exact_bodies() {
    let rows = [
        (
            ErrorCode::UnknownTransport,
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            ErrorCode::UnknownSid,
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            ErrorCode::BadHandshakeMethod,
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (
            ErrorCode::BadRequest,
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            ErrorCode::Forbidden,
            403,
            r#"{"code":4,"message":"Forbidden"}"#,
        ),
        (
            ErrorCode::UnsupportedProtocolVersion,
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ];
    for (error, status, json) in rows {
        assert_eq!((error.status(), error.json()), (status, json));
        let same = format!(r#"{{"code":{},"message":"{error}"}}"#, error.code());
        assert_eq!(error.json(), same);
    }
}

#[test]
fn the_open_packet_has_five_keys() {
    let check = |transport, options: &Options, upgrades: &str| {
        let expected = format!(
            r#"{{"sid":"a\"b","upgrades":{upgrades},"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
        );
        assert_eq!(open_json("a\"b", transport, options), expected);
    };
    let mut options = Options::default();
    check(Transport::Polling, &options, r#"["websocket"]"#);
    check(Transport::WebSocket, &options, "[]");
    options.upgrades = Upgrades::Refused;
    check(Transport::Polling, &options, "[]");
    options.upgrades = Upgrades::Offered;
    options.transports = Transports::Polling;
    check(Transport::Polling, &options, "[]");
}

//! What clients do wrong, row by row.

use std::{fmt::Write as _, time::Duration};

use crate::support::TestServer;

/// Packets that a client which is connected to the main namespace must not send.
pub(crate) fn wrong_packets() -> Vec<String> {
    let deep = format!(r#"2["x",{}1{}]"#, "[".repeat(128), "]".repeat(128));
    let objects = format!(r#"2["x",{}1{}]"#, r#"{"a":"#.repeat(128), "}".repeat(128));
    let mut many = String::from("511-[\"x\"");
    for number in 0..11 {
        write!(many, r#",{{"_placeholder":true,"num":{number}}}"#).unwrap();
    }
    many.push(']');
    let rows = [
        "2[",
        "2{}",
        "2[]",
        r#"2[{}]"#,
        r#"2[null,"x"]"#,
        r#"2["connect"]"#,
        r#"2["connect_error"]"#,
        r#"2["disconnect"]"#,
        r#"2["disconnecting"]"#,
        r#"2["newListener"]"#,
        r#"2["removeListener"]"#,
        r#"2["x"]2["y"]"#,
        r#"2["x",01]"#,
        "9",
        "",
        "x",
        "0",
        r#"0{"token":1"#,
        "0[]",
        "1{}",
        r#"2/other,["x"]"#,
        r#"2/,,["x"]"#,
        r#"4{"message":"x"}"#,
        r#"51-["x",{"_placeholder":true,"num":1}]"#,
        r#"51-["x",{"_placeholder":true,"num":-1}]"#,
        r#"51-["x",{"_placeholder":true,"num":0.5}]"#,
        r#"51-["x",{"_placeholder":true,"num":1e999}]"#,
        r#"51-["x",{"_placeholder":true,"num":"0"}]"#,
        r#"51-["x",{"_placeholder":true,"num":"splice"}]"#,
        r#"51-["x",{"_placeholder":true}]"#,
        r#"51-["connect",{"_placeholder":true,"num":0}]"#,
        r#"51-[{"_placeholder":true,"num":0}]"#,
        r#"5-["x"]"#,
        r#"50-["x"]"#,
        r#"5-1-["x"]"#,
        r#"599999999999999999999-["x"]"#,
        r#"51["x",{"_placeholder":true,"num":0}]"#,
        r#"2x["x"]"#,
        r#"29007199254740992["leave","x"]"#,
        &deep,
        &objects,
        &many,
    ];
    rows.map(str::to_owned).into()
}

#[test]
fn what_is_wrong_closes_the_connection() {
    let server = TestServer::start(|_| {});
    for row in wrong_packets() {
        let (mut io, _) = server.io("");
        io.say(&row);
        assert!(io.is_closed(), "{row}");
    }
    // Nobody else has noticed.
    let (mut io, _) = server.io("");
    io.settle();
}

#[test]
fn text_where_an_attachment_is_awaited_and_stray_bytes_close_the_connection() {
    let server = TestServer::start(|_| {});
    let (mut io, _) = server.io("");
    io.say(r#"51-["x",{"_placeholder":true,"num":0}]"#);
    io.say(r#"2["y"]"#);
    assert!(io.is_closed());
    let (mut io, _) = server.io("");
    io.client.send(0x82, &[1, 2, 3]);
    assert!(io.is_closed());
}

#[test]
fn an_event_before_its_connect_closes_the_connection() {
    let server = TestServer::start(|_| {});
    let mut io = server.engine("");
    io.say(r#"2["x"]"#);
    assert!(io.is_closed());
}

#[test]
fn a_client_that_joins_nothing_is_closed() {
    let server = TestServer::start(|config| {
        config.socketio.connect_timeout = Duration::from_millis(300);
    });
    let (mut joined, _) = server.io("");
    let mut idle = server.engine("");
    assert!(idle.is_closed());
    joined.settle();
}

#[test]
fn rooms_of_a_connection_are_bounded() {
    let server = TestServer::start(|config| config.rooms_per_member_max = 4);
    let (mut io, _) = server.io("");
    // All sockets of the namespace, and the lobby.
    assert!(io.ask(r#"["join","a"]"#).is_array());
    assert!(io.ask(r#"["join","b"]"#).is_array());
    assert_eq!(io.ask(r#"["join","c"]"#)["error"], "limit");
    io.ask(r#"["leave","a"]"#);
    assert!(io.ask(r#"["join","c"]"#).is_array());
    let long = "x".repeat(129);
    assert_eq!(
        io.ask(&format!(r#"["join","{long}"]"#))["error"],
        "bad-room"
    );
}

#[test]
fn names_have_no_meaning() {
    let server = TestServer::start(|_| {});
    let (mut ann, _) = server.io("");
    let (mut bo, _) = server.io("&room=__proto__");
    for room in ["*", ">", "#", "__proto__x", "a/b"] {
        assert!(ann.ask(&format!(r#"["join","{room}"]"#)).is_array());
    }
    bo.say(r#"2["message","__proto__"]"#);
    assert_eq!(bo.hear(), r#"2["message","__proto__"]"#);
    ann.settle();
    ann.connect("/__proto__");
    for event in ["__proto__", "constructor", "toString"] {
        ann.say(&format!(
            r#"2["to","__proto__","{event}",{{"__proto__":1}}]"#
        ));
        assert_eq!(bo.hear(), format!(r#"2["{event}",{{"__proto__":1}}]"#));
    }
}

#[test]
fn bad_queries_are_forbidden() {
    let server = TestServer::start(|config| config.socketio.engine.legacy = false);
    let long = "x".repeat(129);
    for query in [
        "&room=%0A",
        "&room=",
        "&room=%FF",
        &format!("&room={long}"),
        &format!("&name={long}"),
    ] {
        let request =
            crate::support::upgrade(&format!("/socket.io/?EIO=4&transport=websocket{query}"), "");
        let answer = server.exchange(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 403 "), "{query} {answer}");
        assert!(answer.ends_with("Forbidden"), "{answer}");
    }
}

#[test]
fn too_many_namespaces_close_the_connection() {
    let server = TestServer::start(|_| {});
    let mut io = server.engine("");
    for number in 0..64 {
        io.connect(&format!("/{number}"));
    }
    io.say("0/one-more,");
    assert!(io.is_closed());
    let mut io = server.engine("");
    io.say(&format!("0/{},", "x".repeat(256)));
    assert!(io.is_closed());
}

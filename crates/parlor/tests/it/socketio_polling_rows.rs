//! What clients of Socket.IO do wrong by long-polling, row by row, as `socketio_rows` has it over
//! WebSocket. `docs/protocols/socketio.md` says which test shows which row.

use std::{num::NonZero, time::Duration};

use serde_json::Value;

use crate::{
    engineio_rows::until_all_ended, polling_support::Reply, socketio_rows::wrong_packets,
    support::TestServer,
};

#[test]
fn what_came_before_is_taken_and_what_comes_behind_is_not() {
    let server = TestServer::start(|_| {});
    let (mut bo, _) = server.poll_io("");
    let (mut ann, _) = server.poll_io("");
    let body = "42[\"n\",1]\x1e42[\"n\",2]\x1ex\x1e42[\"n\",3]";
    assert_eq!(ann.post(body.as_bytes()).refusal(), (400, 3));
    ann.ends();
    assert_eq!(bo.hear(), r#"2["n",1]"#);
    assert_eq!(bo.hear(), r#"2["n",2]"#);
    bo.settle();
    // So it is where Socket.IO finds it.
    let (mut ann, _) = server.poll_io("");
    ann.say_all(&[r#"42["n",4]"#, "42{}", r#"42["n",5]"#]);
    ann.ends();
    assert_eq!(bo.hear(), r#"2["n",4]"#);
    bo.settle();
}

#[test]
fn what_is_wrong_closes_the_connection() {
    let server = TestServer::start(|_| {});
    let (mut other, _) = server.poll_io("");
    for row in wrong_packets() {
        let (mut session, _) = server.poll_io("");
        // The payload can be read: it is answered, whatever is in it.
        assert_eq!(session.say(&row), 200, "{row}");
        session.ends();
        other.settle();
    }
}

#[test]
fn attachments_come_behind_their_packet_and_nothing_between() {
    let server = TestServer::start(|_| {});
    let (mut other, _) = server.poll_io("");
    let one = r#"451-["x",{"_placeholder":true,"num":0}]"#;
    let two = r#"452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    let rows: [&[&str]; 8] = [
        // Bytes that nobody asked for, before and behind.
        &["bAQID"],
        &["bAQID", one],
        &[one, "bAQID", "bAQID"],
        // Something else first.
        &[one, r#"42["y"]"#, "bAQID"],
        &[one, one, "bAQID", "bAQID"],
        &[two, "bAQID", r#"42["y"]"#, "bAQID"],
        // Two that are the same one, and none of them.
        &[r#"452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#],
        &[r#"450-["x"]"#, "bAQID"],
    ];
    for row in rows {
        let (mut session, _) = server.poll_io("&room=apart");
        assert_eq!(session.say_all(row), 200, "{row:?}");
        session.ends();
        other.settle();
    }
    // What is not whole is heard by nobody, and in several requests it is as good as in one.
    let (mut session, _) = server.poll_io("");
    session.say_all(&[two]);
    session.say_all(&["bAQID"]);
    other.settle();
    session.say_all(&["6", "bBAUG"]);
    let heard: Vec<String> = (0..3).map(|_| other.packet().unwrap()).collect();
    assert_eq!(heard, [two, "bAQID", "bBAUG"]);
    session.settle();
    // One that goes in the middle of it.
    session.say_all(&[two]);
    session.say_all(&["1"]);
    session.ends();
    other.settle();
}

#[test]
fn what_a_client_must_do_first_it_does_in_time() {
    let server = TestServer::start(|config| {
        config.socketio.connect_timeout = Duration::from_secs(3);
    });
    // No packet of a namespace that it has not joined.
    for packet in [r#"2["x"]"#, "1", r#"30["x"]"#, r#"2/a,["x"]"#, "1/a,"] {
        let mut session = server.poll_engine(4, "");
        session.say(packet);
        session.ends();
    }
    let (mut joined, _) = server.poll_io("");
    let mut idle = server.poll_engine(4, "");
    idle.ends();
    joined.settle();
}

#[test]
fn namespaces_are_named_and_counted() {
    let server = TestServer::start(|config| {
        config.socketio.namespaces = vec!["/chat".to_owned()];
        config.socketio.engine.legacy = true;
    });
    let mut session = server.poll_engine(4, "");
    for namespace in ["/other", "/__proto__", "/constructor", "/chat/", "/cha"] {
        session.say(&format!("0{namespace},"));
        let refused = format!(r#"4{namespace},{{"message":"Invalid namespace"}}"#);
        assert_eq!(session.hear(), refused);
    }
    session.connect("/chat");
    // A second time it is there already.
    session.say("0/chat,");
    session.ends();
    let mut old = server.poll_engine(3, "");
    // These are in the main one without asking, where there is one.
    assert_eq!(old.hear(), r#"4{"message":"Invalid namespace"}"#);
    old.say("0/other");
    let refused = r#"4/other,{"message":"Invalid namespace"}"#;
    assert_eq!(old.hear(), refused);

    let server = TestServer::start(|_| {});
    let mut session = server.poll_engine(4, "");
    for number in 0..64 {
        session.connect(&format!("/{number}"));
    }
    session.say("0/one-more,");
    session.ends();
    let mut session = server.poll_engine(4, "");
    session.say(&format!("0/{},", "x".repeat(256)));
    session.ends();
    until_all_ended(&server);
}

#[test]
fn names_and_numbers_have_no_meaning() {
    let server = TestServer::start(|_| {});
    let (mut ann, _) = server.poll_io("&__proto__=1&constructor=2");
    let (mut bo, _) = server.poll_io("&room=__proto__");
    ann.connect("/__proto__");
    for room in ["*", ">", "#", "__proto__", "constructor", "a/b"] {
        assert!(ann.ask(&format!(r#"["join","{room}"]"#)).is_array());
    }
    for event in ["__proto__", "constructor", "hasOwnProperty", "error"] {
        let args = r#"{"__proto__":{"x":1},"constructor":{"prototype":1}}"#;
        ann.ask(&format!(r#"["to","__proto__","{event}",{args}]"#));
        assert_eq!(bo.hear(), format!(r#"2["{event}",{args}]"#));
    }
    // As large as a number of an acknowledgement can be, and more.
    ann.say(r#"29007199254740991["leave","x"]"#);
    assert!(ann.hear().starts_with("39007199254740991["));
    for id in ["9007199254740992", "18446744073709551616", &"9".repeat(400)] {
        let (mut session, _) = server.poll_io("");
        session.say(&format!(r#"2{id}["leave","x"]"#));
        session.ends();
    }
    // Answers that nobody asked for are passed over.
    for id in ["0", "7", "9007199254740991"] {
        ann.say(&format!(r#"3{id}["x"]"#));
    }
    ann.settle();
    bo.settle();
}

#[test]
fn rooms_of_a_session_are_bounded() {
    let server = TestServer::start(|config| config.rooms_per_member_max = 4);
    let (mut session, _) = server.poll_io("");
    // All sockets of the namespace, and the lobby.
    assert!(session.ask(r#"["join","a"]"#).is_array());
    assert!(session.ask(r#"["join","b"]"#).is_array());
    assert_eq!(session.ask(r#"["join","c"]"#)["error"], "limit");
    for bad in [&*"x".repeat(129), r"\n", r"\u0000", ""] {
        let answer = session.ask(&format!(r#"["join","{bad}"]"#));
        assert_eq!(answer["error"], "bad-room", "{bad}");
    }
    session.settle();
}

#[test]
fn after_a_goodbye_there_is_no_session() {
    let server = TestServer::start(|_| {});
    // By Engine.IO.
    let (mut session, _) = server.poll_io("");
    let pending = server.send_poll("GET", &session.query, "", b"");
    assert_eq!(session.say_all(&["1"]), 200);
    // The GET that waits is ended, or came too late.
    let told = Reply::read(pending);
    assert!(told.text() == "6" || told.is_unknown(), "{told:?}");
    session.ends();
    // By Socket.IO, in the main namespace: another CONNECT is a new beginning.
    let (mut session, id) = server.poll_io("");
    assert_eq!(session.say("1"), 200);
    let (mut bo, _) = server.poll_io("");
    let members = bo.ask(r#"["join","lobby"]"#);
    assert!(!members.to_string().contains(&id), "{members}");
    session.connect("/");
    session.settle();
    // Behind the goodbye nothing is taken in, not of the same payload either.
    session.say_all(&["1", r#"42["message",1]"#]);
    session.ends();
    bo.settle();
}

#[test]
fn a_session_is_restored_by_its_own_words_alone_and_once() {
    let server = TestServer::start(|config| {
        config.shards = NonZero::new(2);
        config.socketio.recovery = Duration::from_secs(60);
    });
    let (mut bo, _) = server.io("");
    let answer = |text: &str| -> [String; 2] {
        let answer: Value = serde_json::from_str(text.strip_prefix('0').unwrap()).unwrap();
        ["sid", "pid"].map(|key| answer[key].as_str().unwrap().to_owned())
    };
    let come_back = |pid: &str, offset: &str| {
        let mut session = server.poll_engine(4, "");
        session.say(&format!(r#"0{{"pid":"{pid}","offset":{offset}}}"#));
        answer(&session.hear())
    };
    let mut lost = || {
        let mut ann = server.poll_engine(4, "");
        ann.say("0");
        let [sid, pid] = answer(&ann.hear());
        bo.say(r#"2["x"]"#);
        let heard = ann.hear();
        let offset = heard.strip_prefix(r#"2["x","#).unwrap();
        let offset = offset.strip_suffix(']').unwrap().to_owned();
        // A request that is given up is the end of a session over polling.
        drop(server.send_poll("POST", &ann.query, "Content-Length: 9\r\n", b"4"));
        while !ann.get().is_unknown() {}
        (sid, pid, offset)
    };
    let (sid, pid, offset) = lost();
    for wrong in ["__proto__", "", &sid, &format!("{pid}0")] {
        assert_ne!(come_back(wrong, &offset)[0], sid, "{wrong}");
    }
    for wrong in [r#""""#, "null", "0", r#""00000000-1""#, r#""__proto__""#] {
        let (sid, pid, _) = lost();
        assert_ne!(come_back(&pid, wrong)[0], sid, "{wrong}");
    }
    assert_eq!(come_back(&pid, &offset), [sid.clone(), pid.clone()]);
    let again = come_back(&pid, &offset);
    assert!(again[0] != sid && again[1] != pid, "once");
}

//! The `parlor.v1` door: every row of its table, with answers, acknowledgements and errors.

use std::num::NonZero;

use serde_json::{Value, json};

use crate::{
    http_support::field,
    peer::Peer,
    support::{Frame, TestServer},
};

/// Runs a test with one shard, and with several, where an answer comes later.
fn for_shards(test: impl Fn(&TestServer)) {
    for shards in [1, 3] {
        test(&TestServer::start(|config| {
            config.shards = NonZero::new(shards);
        }));
    }
}

/// Two peers in a room; both have heard all that there was.
fn two(server: &TestServer, room: &str) -> (Peer, Peer) {
    let mut ann = server.peer("/signal?name=Ann");
    ann.join(room);
    let mut bo = server.peer("/signal?name=Bo");
    bo.join(room);
    assert_eq!(ann.hear()["type"], "peer-joined");
    (ann, bo)
}

#[test]
fn join_tells_who_is_there_and_the_others_who_came() {
    for_shards(|server| {
        let mut ann = server.peer("/signal/tea");
        let joined = ann.ask(&json!({
            "type": "join", "name": "Ann", "data": {"color": "red"}, "ref": 7,
        }));
        let id = joined["id"].as_str().unwrap().to_owned();
        assert_eq!(
            joined,
            json!({"type": "joined", "room": "tea", "id": id, "peers": [], "ref": 7})
        );
        let mut bo = server.peer("/signal");
        let joined = bo.ask(&json!({"type": "join", "room": "tea"}));
        let bo_id = joined["id"].as_str().unwrap().to_owned();
        assert_ne!(id, bo_id);
        assert_eq!(
            joined,
            json!({
                "type": "joined", "room": "tea", "id": bo_id,
                "peers": [{"id": id, "name": "Ann", "data": {"color": "red"}}],
            })
        );
        assert_eq!(
            ann.hear(),
            json!({
                "type": "peer-joined", "room": "tea", "data": bo_id, "name": null,
                "peer": {"id": bo_id, "name": null, "data": null},
            })
        );
        // The room where none is named: the path's, or the lobby.
        let mut cy = server.peer("/signal");
        assert_eq!(cy.ask(&json!({"type": "join"}))["room"], "lobby");
        let again = cy.ask(&json!({"type": "join", "room": "lobby", "ref": "again"}));
        assert_eq!(
            (&again["type"], &again["code"], &again["ref"]),
            (&json!("error"), &json!("already-joined"), &json!("again"))
        );
    });
}

#[test]
fn leave_and_the_end_of_a_connection_are_told_to_the_others() {
    for_shards(|server| {
        let (mut ann, mut bo) = two(server, "tea");
        assert_eq!(
            bo.ask(&json!({"type": "leave", "room": "tea", "ref": null})),
            json!({"type": "ack", "ref": null})
        );
        let left = json!({"type": "peer-left", "room": "tea", "data": bo.id});
        assert_eq!(ann.hear(), left);
        let error = bo.ask(&json!({"type": "leave", "room": "tea", "ref": true}));
        assert_eq!(
            (&error["code"], &error["ref"]),
            (&json!("not-joined"), &json!(true))
        );
        bo.join("tea");
        assert_eq!(ann.hear()["type"], "peer-joined");
        drop(bo);
        assert_eq!(ann.hear(), left);
    });
}

#[test]
fn a_message_goes_to_the_others_and_is_acknowledged_with_its_id() {
    for_shards(|server| {
        let (mut ann, mut bo) = two(server, "tea");
        let ack = ann.ask(&json!({"type": "message", "room": "tea", "data": "hi", "ref": 1.5}));
        let id = ack["id"].as_str().unwrap().to_owned();
        assert_eq!(ack, json!({"type": "ack", "ref": 1.5, "id": id}));
        assert_eq!(
            bo.hear(),
            json!({
                "type": "message", "room": "tea", "from": ann.id, "name": "Ann", "id": id,
                "event": "message", "data": "hi",
            })
        );
        // Without a `ref` nothing is answered; without a room it is the only one.
        ann.say(&json!({"type": "message", "event": "chat", "data": [1], "priority": "high"}));
        let heard = bo.hear();
        assert_eq!(
            (&heard["event"], &heard["data"]),
            (&json!("chat"), &json!([1]))
        );
        for priority in ["low", "normal", "high"] {
            ann.say(&json!({"type": "message", "data": priority, "priority": priority}));
            assert_eq!(bo.hear()["data"], priority);
        }
        ann.client.settle();
        let error = ann.ask(&json!({
            "type": "message", "room": "elsewhere", "data": 1, "ref": "r",
        }));
        assert_eq!(
            (&error["code"], &error["ref"]),
            (&json!("not-joined"), &json!("r"))
        );
        bo.client.settle();
    });
}

#[test]
fn a_message_to_one_member_needs_a_shared_room() {
    for_shards(|server| {
        let (mut ann, mut bo) = two(server, "tea");
        let mut cy = server.peer_in("tea");
        assert_eq!(ann.hear()["type"], "peer-joined");
        assert_eq!(bo.hear()["type"], "peer-joined");
        let stranger = server.peer_in("coffee");
        let to =
            |target: &str| json!({"type": "message", "target": target, "data": "psst", "ref": 1});
        assert_eq!(ann.ask(&to(&bo.id)), json!({"type": "ack", "ref": 1}));
        assert_eq!(
            bo.hear(),
            json!({
                "type": "message", "room": "tea", "from": ann.id, "name": "Ann",
                "event": "message", "data": "psst",
            })
        );
        let nobody = bo.id.chars().rev().collect::<String>();
        for target in [&*stranger.id, &nobody, "", "x", "constructor"] {
            let error = ann.ask(&to(target));
            assert_eq!(
                (&error["code"], &error["ref"]),
                (&json!("unknown-peer"), &json!(1)),
                "{target}"
            );
        }
        // Nobody else heard any of it.
        cy.client.settle();
        bo.client.settle();
    });
}

#[test]
fn descriptions_and_candidates_are_relayed_as_they_came_from_the_one_who_sent_them() {
    for_shards(|server| {
        let (mut ann, mut bo) = two(server, "tea");
        for kind in ["sdp", "ice-candidate"] {
            let text = format!(
                r#"{{ "type" : "{kind}","target":"{}","from":"forged","ref":"gone", "\u0066rom":"too","n":1.50,"sdp":{{"type":"offer","sdp":"v=0\r\n" }},"list":[ 1,2 ]}}"#,
                bo.id
            );
            ann.client.send_text(&text);
            let expected = format!(
                r#"{{"type":"{kind}","target":"{}","n":1.50,"sdp":{{"type":"offer","sdp":"v=0\r\n" }},"list":[ 1,2 ],"from":"{}"}}"#,
                bo.id, ann.id
            );
            assert_eq!(bo.client.receive_text(), expected);
            assert_eq!(ann.hear(), json!({"type": "ack", "ref": "gone"}));
            let stranger = server.peer_in("coffee");
            for target in [&*stranger.id, "nobody"] {
                let error = ann.ask(&json!({"type": kind, "target": target, "ref": 2}));
                assert_eq!(
                    (&error["type"], &error["code"], &error["ref"]),
                    (&json!("error"), &json!("unknown-peer"), &json!(2))
                );
            }
            // A member in no room shares none.
            let mut outside = server.peer("/signal");
            let error = outside.ask(&json!({"type": kind, "target": bo.id}));
            assert_eq!(error["code"], "unknown-peer");
        }
        bo.client.settle();
    });
}

#[test]
fn list_and_presence_tell_who_is_there_and_how() {
    for_shards(|server| {
        let (mut ann, mut bo) = two(server, "tea");
        let ack = bo.ask(&json!({"type": "presence", "data": {"mood": "fine"}, "ref": 0}));
        assert_eq!(ack, json!({"type": "ack", "ref": 0}));
        assert_eq!(
            ann.hear(),
            json!({"type": "presence", "room": "tea", "from": bo.id, "data": {"mood": "fine"}})
        );
        // The others, as at a join.
        assert_eq!(
            ann.ask(&json!({"type": "list", "room": "tea", "ref": "l"})),
            json!({
                "type": "peers", "room": "tea", "ref": "l",
                "peers": [{"id": bo.id, "name": "Bo", "data": {"mood": "fine"}}],
            })
        );
        let error = ann.ask(&json!({"type": "list", "room": "coffee", "ref": 1}));
        assert_eq!(error["code"], "not-joined");
        let error = ann.ask(&json!({"type": "list", "room": "tea", "after": "x", "ref": 1}));
        assert_eq!(error["type"], "error");
        let data = "x".repeat(5000);
        let error = ann.ask(&json!({"type": "presence", "data": data, "ref": 1}));
        assert_eq!(
            (&error["code"], &error["ref"]),
            (&json!("limit"), &json!(1))
        );
        bo.client.settle();
    });
}

#[test]
fn a_large_room_is_listed_in_pages_and_tells_nobody_who_comes() {
    const MEMBERS: usize = 1100;
    let server = TestServer::start(|config| config.shards = NonZero::new(2));
    let members: Vec<_> = (0..MEMBERS).map(|_| server.websocket("/ws/tea")).collect();
    let mut ann = server.peer("/signal");
    let joined = ann.join("tea");
    assert_eq!(joined["peers"].as_array().unwrap().len(), 1000);
    assert_eq!(joined["more"], true);
    let mut ids = std::collections::BTreeSet::new();
    let mut after = Value::Null;
    let mut pages = 0;
    loop {
        let page = ann.ask(&json!({"type": "list", "room": "tea", "after": after}));
        let peers = page["peers"].as_array().unwrap();
        ids.extend(peers.iter().map(|peer| peer["id"].to_string()));
        pages += 1;
        if page["more"] != true {
            break;
        }
        after = peers.last().unwrap()["id"].clone();
    }
    assert_eq!((ids.len(), pages), (MEMBERS, 2));
    let bo = server.peer_in("tea");
    ann.client.settle();
    drop((members, bo));
}

#[test]
fn ping_tells_the_time() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer("/signal");
    let pong = ann.ask(&json!({"type": "ping", "ref": "p"}));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let time = pong["time"].as_u64().unwrap();
    assert!(
        u128::from(time).abs_diff(now.as_millis()) < 60_000,
        "{pong}"
    );
    assert_eq!((&pong["type"], &pong["ref"]), (&json!("pong"), &json!("p")));
    let keys = pong.as_object().unwrap().len();
    assert_eq!(keys, 3, "{pong}");
}

/// A message with data nested so deep, itself the first level.
fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
    format!(r#"{{"type":"message","data":{open}{close},"ref":1}}"#)
}

#[test]
fn nesting_has_a_bound() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    ann.client.send_text(&nested(129));
    assert_eq!(ann.hear()["code"], "too-deep");
    ann.client.send_text(&nested(100_000));
    assert_eq!(ann.hear()["code"], "too-deep");
    ann.client.send_text(&nested(128));
    assert_eq!(ann.hear()["type"], "ack");
}

#[test]
fn what_is_not_understood_is_an_error_and_the_connection_stays() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    let long_ref = format!(r#"{{"type":"nothing","ref":"{}"}}"#, "x".repeat(300));
    let (none, one) = (Value::Null, json!(1));
    let cases: [(&str, &str, &Value); 23] = [
        ("", "bad-json", &none),
        ("hello", "bad-json", &none),
        ("[]", "bad-json", &none),
        ("\"join\"", "bad-json", &none),
        ("{\"type\":\"ping\"", "bad-json", &none),
        ("{\"type\":\"ping\"} x", "bad-json", &none),
        ("{}", "missing-field", &none),
        (r#"{"ref":1}"#, "missing-field", &one),
        (r#"{"type":null,"ref":1}"#, "missing-field", &one),
        (r#"{"type":7,"ref":1}"#, "bad-field", &one),
        (r#"{"type":"","ref":1}"#, "unknown-type", &one),
        (r#"{"type":"JOIN","ref":1}"#, "unknown-type", &one),
        (r#"{"type":"__proto__","ref":1}"#, "unknown-type", &one),
        (
            r#"{"type":"ping","t\u0079pe":"ping","ref":1}"#,
            "bad-field",
            &one,
        ),
        (
            r#"{"type":"sdp","target":"a","target":"b","ref":1}"#,
            "bad-field",
            &one,
        ),
        (r#"{"type":"message","ref":1}"#, "missing-field", &one),
        (r#"{"type":"presence","ref":1}"#, "missing-field", &one),
        (
            r#"{"type":"resume","room":"x","ref":1}"#,
            "missing-field",
            &one,
        ),
        (r#"{"type":"sdp","ref":1}"#, "missing-field", &one),
        (r#"{"type":"join","room":7,"ref":1}"#, "bad-field", &one),
        (
            r#"{"type":"message","data":1,"priority":"urgent","ref":1}"#,
            "bad-field",
            &one,
        ),
        (
            r#"{"type":"message","data":{"base64":"A"},"ref":1}"#,
            "bad-field",
            &one,
        ),
        (&long_ref, "unknown-type", &none),
    ];
    for (text, code, reference) in cases {
        ann.client.send_text(text);
        let error = ann.hear();
        assert_eq!(
            (&error["type"], &error["code"], &error["ref"]),
            (&json!("error"), &json!(code), reference),
            "{text}"
        );
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    // An object is no `ref`; the message is served all the same.
    assert!(
        ann.ask(&json!({"type": "ping", "ref": {"a": 1}}))
            .get("ref")
            .is_none()
    );
}

#[test]
fn a_client_that_says_nothing_but_nonsense_is_closed() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    for _ in 0..99 {
        assert_eq!(ann.ask(&json!({"type": "x"}))["code"], "unknown-type");
    }
    // Something sensible in between, and it begins again.
    ann.ask(&json!({"type": "ping"}));
    for _ in 0..100 {
        assert_eq!(ann.ask(&json!([]))["code"], "bad-json");
    }
    assert_eq!(ann.client.receive_close(), (1008, "too many errors".into()));
}

#[test]
fn the_subprotocol_opens_the_door_at_the_raw_paths() {
    let server = TestServer::start(|_| {});
    for (path, room) in [("/ws", "lobby"), ("/ws/tea", "tea"), ("/signal/tea", "tea")] {
        let offer = "Sec-WebSocket-Protocol: chat, parlor.v1\r\n";
        let client = server.websocket_with(path, offer);
        assert_eq!(
            field(&client.response, "sec-websocket-protocol"),
            Some("parlor.v1")
        );
        let mut peer = Peer::of(client);
        // In no room until it says so.
        let error = peer.ask(&json!({"type": "message", "data": 1}));
        assert_eq!(error["code"], "not-joined");
        assert_eq!(peer.ask(&json!({"type": "join"}))["room"], room);
    }
    let client = server.websocket_with("/ws", "Sec-WebSocket-Protocol: chat\r\n");
    assert_eq!(
        field(&client.response, "sec-websocket-protocol"),
        Some("chat")
    );
}

#[test]
fn binary_frames_with_json_are_understood_or_refused_but_never_fatal() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    for bytes in [&b"\xff\xfe"[..], b"", b"{"] {
        ann.client.send(0x82, bytes);
        assert_eq!(ann.hear()["code"], "bad-json");
    }
}

/// A page of the tutorials: join, offer, answer, candidate, leave; nothing else.
#[test]
fn bare_signalling_as_tutorials_write_it_works() {
    for_shards(|server| {
        let mut caller = server.peer("/signal");
        let joined = caller.ask(&json!({"type": "join"}));
        assert_eq!(joined["type"], "joined");
        let mut callee = server.peer("/signal");
        let callee_joined = callee.ask(&json!({"type": "join"}));
        let news = caller.hear();
        assert_eq!(news["type"], "peer-joined");
        let target = news["data"].clone();
        assert_eq!(target, callee_joined["id"]);
        caller
            .say(&json!({"type": "sdp", "target": target, "sdp": {"type": "offer", "sdp": "v=0"}}));
        let offer = callee.hear();
        assert_eq!(
            (&offer["type"], &offer["sdp"]["type"], &offer["from"]),
            (&json!("sdp"), &json!("offer"), &joined["id"])
        );
        callee.say(&json!({
            "type": "sdp", "target": offer["from"], "sdp": {"type": "answer", "sdp": "v=0"},
        }));
        assert_eq!(caller.hear()["sdp"]["type"], "answer");
        for _ in 0..3 {
            caller.say(&json!({"type": "ice-candidate", "target": target, "candidate": "c"}));
            assert_eq!(callee.hear()["candidate"], "c");
        }
        drop(callee);
        assert_eq!(
            caller.hear(),
            json!({"type": "peer-left", "room": "lobby", "data": target})
        );
    });
}

#[test]
fn a_member_hears_itself_neither_in_rooms_nor_in_notices() {
    let server = TestServer::start(|_| {});
    let mut ann = server.peer_in("tea");
    ann.say(&json!({"type": "message", "room": "tea", "data": 1}));
    ann.say(&json!({"type": "presence", "data": 1}));
    ann.client.send(0x89, b"x");
    let pong = Frame {
        first: 0x8a,
        payload: b"x".to_vec(),
    };
    assert_eq!(ann.client.receive().unwrap(), pong);
}

//! Socket.IO without code: rooms, messages, namespaces and acknowledgements.

use std::num::NonZero;

use serde_json::{Value, json};

use crate::support::TestServer;

/// One shard and several, since rooms and members may be on different ones.
fn servers() -> impl Iterator<Item = TestServer> {
    [1, 3].into_iter().map(|shards| {
        TestServer::start(|config| {
            config.shards = NonZero::new(shards);
            config.socketio.engine.legacy = true;
        })
    })
}

#[test]
fn everybody_in_the_lobby_hears_a_message_and_the_others_hear_an_event() {
    for server in servers() {
        let (mut ann, _) = server.io("");
        let (mut bo, _) = server.io("");
        ann.say(r#"2["message","Hello, \"server\"!",{"a": [1]}]"#);
        let heard = r#"2["message","Hello, \"server\"!",{"a": [1]}]"#;
        assert_eq!(
            (ann.hear(), bo.hear()),
            (heard.to_owned(), heard.to_owned())
        );
        ann.say(r#"2["typing"]"#);
        assert_eq!(bo.hear(), r#"2["typing"]"#);
        ann.settle();
        ann.say(r#"2[7,null]"#);
        assert_eq!(bo.hear(), "2[7,null]");
    }
}

#[test]
fn a_sender_need_not_hear_itself() {
    let server = TestServer::start(|config| config.socketio.echo = false);
    let (mut ann, _) = server.io("");
    let (mut bo, _) = server.io("");
    ann.say(r#"2["message",1]"#);
    assert_eq!(bo.hear(), r#"2["message",1]"#);
    ann.settle();
}

#[test]
fn an_acknowledgement_has_the_place_of_the_message() {
    for server in servers() {
        let (mut ann, _) = server.io("&room=tea");
        let first = ann.ask(r#"["note",1]"#)["id"].as_str().unwrap().to_owned();
        let second = ann.ask(r#"["note",1]"#)["id"].as_str().unwrap().to_owned();
        assert!(first.ends_with("-1") && second.ends_with("-2"), "{first}");
        assert_eq!(ann.ask(r#"["leave","tea"]"#), json!([]));
        assert_eq!(ann.ask(r#"["message",1]"#), json!({"id": null}));
    }
}

fn ids(members: &Value) -> Vec<&str> {
    let members = members.as_array().unwrap().iter();
    let mut ids: Vec<&str> = members
        .map(|member| member["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn clients_join_and_leave_rooms_and_are_told_who_is_there() {
    for server in servers() {
        let (mut ann, a) = server.io("&name=Ann");
        let (mut bo, b) = server.io("");
        let own = json!([{"id": a, "name": "Ann"}]);
        assert_eq!(ann.ask(r#"["join","tea"]"#), own);
        let mut both = [&*a, &*b];
        both.sort_unstable();
        assert_eq!(ids(&bo.ask(r#"["join","tea"]"#)), both);
        assert_eq!(ids(&ann.ask(r#"["join","tea"]"#)), both, "joined already");
        assert_eq!(bo.ask(r#"["leave","tea"]"#), own);
        let not_there = bo.ask(r#"["leave","tea"]"#);
        assert_eq!(not_there["error"], "not-joined");
        for bad in [
            r#"["join",""]"#,
            r#"["join"]"#,
            r#"["join",1]"#,
            r#"["join","\n"]"#,
        ] {
            assert_eq!(bo.ask(bad)["error"], "bad-room", "{bad}");
        }
        let taken = format!(r#"["join","{a}"]"#);
        assert_eq!(bo.ask(&taken)["error"], "bad-room", "a socket's own room");
    }
}

#[test]
fn an_event_for_several_rooms_is_heard_once() {
    for server in servers() {
        let (mut ann, _) = server.io("");
        let (mut bo, _) = server.io("");
        let (mut cy, _) = server.io("&room=tea");
        for room in ["tea", "milk"] {
            ann.ask(&format!(r#"["join","{room}"]"#));
            bo.ask(&format!(r#"["join","{room}"]"#));
        }
        let mut tea = server.websocket("/ws/tea");
        tea.settle();
        for number in 0..20 {
            ann.say(&format!(r#"2["message",{number}]"#));
        }
        for number in 0..20 {
            let heard = format!(r#"2["message",{number}]"#);
            for io in [&mut ann, &mut bo, &mut cy] {
                assert_eq!(io.hear(), heard);
            }
            assert_eq!(tea.receive_text(), number.to_string());
        }
        for io in [&mut ann, &mut bo, &mut cy] {
            io.settle();
        }
        tea.settle();
    }
}

#[test]
fn a_message_can_be_for_one_socket_or_one_room() {
    for server in servers() {
        let (mut ann, a) = server.io("");
        let (mut bo, b) = server.io("");
        let (mut cy, _) = server.io("&room=tea");
        let ack = ann.ask(&format!(r#"["to","{b}","hello",1,[2]]"#));
        assert!(ack["id"].is_string(), "{ack}");
        assert_eq!(bo.hear(), r#"2["hello",1,[2]]"#);
        ann.say_binary(
            &format!(r#"51-["to","{b}","data",{{"_placeholder":true,"num":0}}]"#),
            &[&[1, 2]],
        );
        assert_eq!(bo.hear(), r#"51-["data",{"_placeholder":true,"num":0}]"#);
        assert_eq!(bo.hear_binary(), [1, 2]);
        // A sender does not hear what it sends to a room, its own included.
        ann.say(&format!(r#"2["to","{a}","self"]"#));
        assert!(ann.ask(r#"["to","tea","hello"]"#)["id"].is_string());
        assert_eq!(cy.hear(), r#"2["hello"]"#);
        for bad in [
            r#"["to"]"#,
            r#"["to","tea"]"#,
            r#"["to","tea",{}]"#,
            r#"["to","tea","connect"]"#,
        ] {
            assert_eq!(ann.ask(bad)["error"], "bad-field", "{bad}");
        }
        for io in [&mut ann, &mut bo, &mut cy] {
            io.settle();
        }
    }
}

#[test]
fn a_member_of_another_door_is_reached_by_its_id() {
    for server in servers() {
        let (mut ann, a) = server.io("&room=tea");
        let mut sue = server.peer_in("tea");
        let seen = ann.ask(r#"["join","tea"]"#);
        assert!(ids(&seen).contains(&&*sue.id), "{seen}");
        ann.ask(&format!(r#"["to","{}","hello",1]"#, sue.id));
        let heard = sue.hear();
        assert_eq!(
            (&heard["event"], &heard["data"]),
            (&json!("hello"), &json!(1))
        );
        let from = heard["from"].as_str().unwrap();
        assert!(from.starts_with(&a), "{from} {a}");
        let nobody = "AAAAAAAAAAAAAAAAAAAAAA";
        let refused = ann.ask(&format!(r#"["to","{nobody}","hello",1]"#));
        assert_eq!(refused["error"], "unknown-peer");
    }
}

#[test]
fn namespaces_have_rooms_and_sockets_of_their_own() {
    for server in servers() {
        let (mut ann, main) = server.io("");
        let id = ann.connect("/chat");
        assert_ne!(main, id);
        let mut bo = server.engine("");
        bo.connect("/chat");
        ann.say(r#"2/chat,["message",1]"#);
        assert_eq!(bo.hear(), r#"2/chat,["message",1]"#);
        assert_eq!(ann.hear(), r#"2/chat,["message",1]"#);
        // What is said in the lobby of one is not heard in that of the other.
        ann.say(r#"2["message",2]"#);
        assert_eq!(ann.hear(), r#"2["message",2]"#);
        ann.say(r#"2/chat,0["join","tea"]"#);
        let heard = ann.hear();
        assert_eq!(heard, format!(r#"3/chat,0[[{{"id":"{id}"}}]]"#));
        bo.say(&format!(r#"2/chat,["to","{id}","hello"]"#));
        assert_eq!(ann.hear(), r#"2/chat,["hello"]"#);
        bo.say(&format!(r#"2/chat,["to","{main}","hello"]"#));
        bo.say(r#"2/chat,["message","end"]"#);
        assert_eq!(bo.hear(), r#"2/chat,["message","end"]"#);
        assert_eq!(ann.hear(), r#"2/chat,["message","end"]"#);
        ann.settle();
        // Out of one, still in the other.
        ann.say("1/chat,");
        ann.say(r#"2["message",3]"#);
        assert_eq!(ann.hear(), r#"2["message",3]"#);
        bo.say(r#"2/chat,["message",4]"#);
        assert_eq!(bo.hear(), r#"2/chat,["message",4]"#);
        ann.settle();
        assert_eq!(ann.connect("/chat"), id);
        bo.say(r#"2/chat,["message",5]"#);
        assert_eq!(ann.hear(), r#"2/chat,["message",5]"#);
    }
}

#[test]
fn a_namespace_can_be_one_of_those_named() {
    let server = TestServer::start(|config| {
        config.socketio.namespaces = vec!["/".to_owned(), "/chat".to_owned()];
    });
    let (mut ann, _) = server.io("");
    ann.connect("/chat");
    ann.say("0/other,{}");
    assert_eq!(ann.hear(), r#"4/other,{"message":"Invalid namespace"}"#);
    ann.say(r#"2["message",1]"#);
    assert_eq!(ann.hear(), r#"2["message",1]"#);
}

#[test]
fn a_room_that_is_full_refuses_the_namespace_and_not_the_connection() {
    let server = TestServer::start(|config| config.members_per_room_max = 1);
    let (_ann, _) = server.io("");
    let mut bo = server.engine("&room=tea");
    bo.say("0");
    let refused = bo.hear();
    assert!(
        refused.starts_with(r#"4{"message":"a room has at most 1"#),
        "{refused}"
    );
    bo.connect("/chat");
}

#[test]
fn clients_of_revision_4_are_connected_without_asking() {
    for server in servers() {
        let (mut ann, _) = server.io("");
        let mut old = server.engine_at("/socket.io/?EIO=3&transport=websocket");
        assert_eq!(old.hear(), "0");
        let sid = old.open["sid"].as_str().unwrap().to_owned();
        old.say("0/chat?token=abc");
        assert_eq!(old.hear(), "0/chat,");
        ann.say(&format!(r#"2["to","{sid}","hello"]"#));
        assert_eq!(old.hear(), r#"2["hello"]"#);
        old.say(r#"20["note",1]"#);
        assert!(old.hear().starts_with(r#"30[{"id":""#));
        assert_eq!(ann.hear(), r#"2["note",1]"#);
        // An attachment has a byte before it.
        ann.say_binary(r#"51-["x",{"_placeholder":true,"num":0}]"#, &[&[9]]);
        assert_eq!(old.hear(), r#"51-["x",{"_placeholder":true,"num":0}]"#);
        assert_eq!(old.hear_binary(), [4, 9]);
        old.say(r#"51-["y",{"_placeholder":true,"num":0}]"#);
        old.client.send(0x82, &[4, 8]);
        assert_eq!(ann.hear(), r#"51-["y",{"_placeholder":true,"num":0}]"#);
        assert_eq!(ann.hear_binary(), [8]);
    }
}

#[test]
fn clients_of_messagepack_hear_what_those_of_json_say_and_the_other_way_round() {
    // {"type":0,"nsp":"/"}, {"type":2,"data":["x",bin 0x01],"nsp":"/"}
    const CONNECT: &[u8] = b"\x82\xa4type\x00\xa3nsp\xa1/";
    const EVENT: &[u8] = b"\x83\xa4type\x02\xa4data\x92\xa1x\xc4\x01\x01\xa3nsp\xa1/";
    for server in servers() {
        let mut packed = server.engine("");
        packed.client.send(0x82, CONNECT);
        let answer = packed.hear_binary();
        assert!(answer.windows(3).any(|text| text == b"sid"));
        let (mut ann, _) = server.io("");
        packed.client.send(0x82, EVENT);
        assert_eq!(ann.hear(), r#"51-["x",{"_placeholder":true,"num":0}]"#);
        assert_eq!(ann.hear_binary(), [1]);
        ann.say_binary(r#"51-["x",{"_placeholder":true,"num":0}]"#, &[&[1]]);
        assert_eq!(packed.hear_binary(), EVENT);
    }
}

#[test]
fn attachments_follow_their_header_among_many_senders() {
    const EACH: usize = 50;
    for server in servers() {
        let (mut listener, _) = server.io("");
        let senders: Vec<_> = (0..4_u8)
            .map(|number| {
                let (mut io, _) = server.io("");
                std::thread::spawn(move || {
                    for count in 0..EACH {
                        let text = format!(
                            r#"52-["b",{number},{count},{{"_placeholder":true,"num":0}},{{"_placeholder":true,"num":1}}]"#
                        );
                        let bytes = vec![number; count * 20];
                        io.say_binary(&text, &[&bytes, &[number, 1]]);
                        io.say(&format!(r#"2["t",{number},{count}]"#));
                    }
                    io
                })
            })
            .collect();
        let mut next = [[0; 4]; 2];
        for _ in 0..EACH * 4 * 2 {
            let heard = listener.hear();
            let is_binary = heard.starts_with("52-");
            let event: Value =
                serde_json::from_str(heard.trim_start_matches("52-").trim_start_matches('2'))
                    .unwrap();
            let number = usize::try_from(event[1].as_u64().unwrap()).unwrap();
            let count = &mut next[usize::from(is_binary)][number];
            assert_eq!(event[2], *count, "in order");
            if is_binary {
                let byte = u8::try_from(number).unwrap();
                assert_eq!(listener.hear_binary(), vec![byte; *count * 20]);
                assert_eq!(listener.hear_binary(), [byte, 1]);
            }
            *count += 1;
        }
        assert_eq!(next, [[EACH; 4]; 2]);
        drop(
            senders
                .into_iter()
                .map(|sender| sender.join().unwrap())
                .collect::<Vec<_>>(),
        );
    }
}

//! An event stream of several rooms: one id tells how far the client has come in each.

use crate::support::TestServer;

#[test]
fn a_stream_of_several_rooms_resumes_each_of_them() {
    for shards in [1, 2] {
        let server = TestServer::start(|config| config.shards = std::num::NonZero::new(shards));
        let mut stream = server.events("/sse?room=tea&room=coffee&room=tea");
        let mut rooms = [
            stream.joined()["room"].clone(),
            stream.joined()["room"].clone(),
        ];
        rooms.sort_by_key(ToString::to_string);
        assert_eq!(rooms, ["coffee", "tea"]);
        for (room, text) in [
            ("tea", "t1"),
            ("coffee", "c1"),
            ("water", "w1"),
            ("tea", "t2"),
        ] {
            let (status, _) = server.post(
                &format!("/rooms/{room}/messages"),
                "content-type: text/plain\r\n",
                text.as_bytes(),
            );
            assert_eq!(status, 201);
        }
        let mut last = String::new();
        let mut texts = Vec::new();
        for _ in 0..3 {
            let event = stream.event();
            texts.push(event.data.clone().unwrap());
            last = event.id.clone().unwrap();
            assert_eq!(last.split(',').count(), 2, "{last}");
        }
        texts.sort();
        assert_eq!(texts, ["c1", "t1", "t2"]);
        drop(stream);
        for (room, text) in [("coffee", "c2"), ("tea", "t3")] {
            server.post(
                &format!("/rooms/{room}/messages"),
                "content-type: text/plain\r\n",
                text.as_bytes(),
            );
        }
        let header = format!("Last-Event-ID: {last}\r\n");
        let mut stream = server.events_with("/sse?room=tea&room=coffee", &header);
        let mut missed = Vec::new();
        while missed.len() < 2 {
            let event = stream.event();
            match event.name.as_deref() {
                Some("joined") => {}
                Some(other) => unreachable!("{other}: {event:?}"),
                None => missed.push(event.data.unwrap()),
            }
        }
        missed.sort();
        assert_eq!(missed, ["c2", "t3"]);
        assert!(stream.is_quiet());
    }
}

#[test]
fn a_hostile_id_is_a_gap_in_every_room() {
    let server = TestServer::start(|_| {});
    for id in ["x", ",,,,", "\u{fffd}", "-1,-2", "00000000-1,zzz"] {
        let header = format!("Last-Event-ID: {id}\r\n");
        let mut stream = server.events_with("/sse?room=tea&room=coffee", &header);
        let mut names: Vec<String> = (0..4).map(|_| stream.event().name.unwrap()).collect();
        names.sort();
        assert_eq!(names, ["gap", "gap", "joined", "joined"], "{id}");
    }
}

//! Sessions over one transport: messages, heartbeats, ends.

use std::time::Duration;

use super::*;

#[test]
fn the_first_get_is_answered_with_the_handshake() {
    let options = options();
    let mut session = Session::polling("SID", Version::V4, &options, START);
    session.send("first".into(), &options);
    session
        .poll(PollId(1), Form::default(), &options, START)
        .unwrap();
    let Some(Output::Respond { id, response }) = session.poll_output(&options) else {
        panic!("an answer");
    };
    let open = r#"0{"sid":"SID","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;
    assert_eq!(id, PollId(1));
    assert_eq!(
        String::from_utf8(response.body).unwrap(),
        format!("{open}\x1e4first")
    );
    assert_eq!(response.content_type, "text/plain; charset=UTF-8");
}

#[test]
fn messages_over_polling() {
    let mut bench = Bench::polling(Version::V4);
    let (said, status) = bench.post("4hello\x1e4€\x1ebAQIDBA==");
    assert_eq!(
        (said, status),
        (
            vec![
                "message hello".into(),
                "message €".into(),
                "binary 01020304".into()
            ],
            200
        )
    );
    // Before a GET, and while one is pending.
    bench.send("a");
    bench
        .session
        .send(bytes::Bytes::from_static(&[1]).into(), &bench.options);
    assert_eq!(bench.drain(), "");
    bench.get();
    assert_eq!(bench.drain(), r"2: 4a\x1ebAQ==");
    bench.get();
    assert_eq!(bench.drain(), "");
    bench.send("b");
    bench.send("c");
    assert_eq!(bench.drain(), r"3: 4b\x1e4c");
}

#[test]
fn messages_over_websocket() {
    let mut bench = Bench::websocket(Version::V4);
    assert_eq!(bench.text("4hello"), "hello");
    assert_eq!(bench.text("4"), "");
    assert!(bench.session.is_direct());
    bench.send("a");
    bench
        .session
        .send(bytes::Bytes::from_static(b"\x01").into(), &bench.options);
    assert!(!bench.session.is_direct());
    assert_eq!(bench.drain(), r"send 4a; send \x01");

    let mut bench = Bench::websocket(Version::V3);
    bench
        .session
        .send(bytes::Bytes::from_static(b"\x01").into(), &bench.options);
    assert_eq!(bench.drain(), r"send \x04\x01");
    let options = bench.options;
    let data = bench.session.websocket_binary(b"\x04\x01", &options, START);
    assert_eq!(data, Some(Data::Binary(b"\x01".into())));
}

#[test]
fn version_3_answers_in_bytes_where_it_may() {
    let mut bench = Bench::polling(Version::V3);
    for (base64, expected) in [
        (false, r"\x00\x02\xff4a\x01\x02\xff\x04\x01"),
        (true, "2:4a6:b4AQ=="),
        // It is enough to ask once.
        (false, "2:4a6:b4AQ=="),
    ] {
        bench.send("a");
        bench
            .session
            .send(bytes::Bytes::from_static(&[1]).into(), &bench.options);
        let form = Form {
            base64,
            jsonp: None,
        };
        bench
            .session
            .poll(PollId(9), form, &bench.options, START)
            .unwrap();
        assert_eq!(bench.drain(), format!("9: {expected}"));
    }
}

#[test]
fn an_answer_has_16_packets_at_most() {
    let mut bench = Bench::polling(Version::V4);
    for number in 0..40 {
        bench.send(&number.to_string());
    }
    for (first, last) in [(0, 15), (16, 31), (32, 39)] {
        let id = bench.get();
        let all: Vec<String> = (first..=last).map(|number| format!("4{number}")).collect();
        assert_eq!(bench.drain(), format!("{id}: {}", all.join(r"\x1e")));
    }
    bench.get();
    assert_eq!(bench.drain(), "");
}

#[test]
fn what_waits_is_bounded() {
    let mut bench = Bench::polling(Version::V4);
    bench.options.limits.buffered_bytes_max = 1000;
    // One message is taken however long it is.
    bench.send(&"x".repeat(5000));
    assert_eq!(bench.session.buffered_bytes(), 5064);
    assert_eq!(bench.drain(), "");
    bench.get();
    assert!(bench.drain().starts_with("2: 4xxx"));
    assert_eq!(bench.session.buffered_bytes(), 0);
    for _ in 0..15 {
        bench.send("");
    }
    assert_eq!(bench.session.buffered_bytes(), 15 * 64);
    bench.send("");
    assert_eq!(bench.drain(), "closed: transport error");
    bench.send("late");
    assert_eq!(bench.drain(), "");
    assert_eq!(bench.session.buffered_bytes(), 0);
}

#[test]
fn pongs_that_nobody_fetches_are_bounded() {
    let mut bench = Bench::polling(Version::V3);
    bench.options.limits.buffered_bytes_max = 1000;
    for ping in 1..=14 {
        // The open packet waits, too.
        assert_eq!(bench.post("1:2").1, 200, "ping {ping}");
        assert!(bench.session.buffered_bytes() <= 1000);
    }
    bench.post(&"1:2".repeat(20));
    assert_eq!(bench.drain(), "closed: transport error");
    assert_eq!(bench.session.buffered_bytes(), 0);
}

#[test]
fn writable_means_a_get_is_pending() {
    let mut bench = Bench::polling(Version::V4);
    assert!(!bench.session.is_writable());
    bench.get();
    assert!(bench.session.is_writable());
    bench.send("a");
    bench.drain();
    assert!(!bench.session.is_writable());
    assert!(!bench.session.is_direct());
    let mut bench = Bench::websocket(Version::V4);
    assert!(bench.session.is_writable());
    bench.session.close(&bench.options, START);
    assert!(!bench.session.is_writable());
}

#[test]
fn version_4_pings_to_the_millisecond() {
    let mut bench = Bench::websocket(Version::V4);
    assert_eq!(bench.wait_until(300), "send 2");
    bench.now = START + 350;
    assert_eq!(bench.text("3"), "");
    assert_eq!(bench.wait_until(650), "send 2");
    // Other packets are no sign of life.
    bench.now = START + 700;
    assert_eq!(bench.text("4a"), "a");
    assert_eq!(bench.wait_until(850), "close socket; closed: ping timeout");
    assert_eq!(bench.session.next_deadline(), None);
    assert_eq!(bench.session.state(), State::Closed);
}

#[test]
fn pings_over_polling_wait_for_a_get() {
    let mut bench = Bench::polling(Version::V4);
    assert_eq!(bench.wait_until(300), "");
    bench.get();
    assert_eq!(bench.drain(), "2: 2");
    bench.get();
    assert_eq!(bench.wait_until(500), "3: 1; closed: ping timeout");
}

#[test]
fn a_silent_session_has_ended_for_whoever_comes_on_time() {
    // Nobody served the timer, but the GET comes at the very millisecond.
    let mut bench = Bench::polling(Version::V4);
    bench.session.handle_timeout(&bench.options, START + 303);
    let late = bench
        .session
        .poll(PollId(2), Form::default(), &bench.options, START + 500);
    assert_eq!(late, Err(ErrorCode::UnknownSid));
    assert_eq!(bench.drain(), "closed: ping timeout");
}

#[test]
fn a_server_that_stood_still_does_not_end_sessions() {
    let mut bench = Bench::websocket(Version::V4);
    bench.now = START + 60_000;
    bench.session.handle_timeout(&bench.options, bench.now);
    assert_eq!(bench.drain(), "send 2");
    assert_eq!(bench.session.next_deadline(), Some(bench.now + 200));
}

#[test]
fn version_3_waits_for_pings() {
    let mut bench = Bench::websocket(Version::V3);
    bench.now = START + 499;
    assert_eq!(bench.text("2"), "");
    assert_eq!(bench.drain(), "send 3");
    assert_eq!(bench.text("2probe"), "");
    assert_eq!(bench.drain(), "send 3probe");
    assert_eq!(bench.wait_until(999), "close socket; closed: ping timeout");

    let mut bench = Bench::polling(Version::V3);
    assert_eq!(bench.post("1:2").1, 200);
    bench.get();
    assert_eq!(bench.drain(), "2: 1:3");
}

#[test]
fn heartbeats_have_a_direction() {
    for (version, text) in [
        (Version::V4, "2"),
        (Version::V4, "2probe"),
        (Version::V3, "3"),
    ] {
        let mut bench = Bench::websocket(version);
        assert_eq!(bench.text(text), "");
        assert_eq!(bench.drain(), "close socket; closed: transport error");
    }
}

#[test]
fn packets_that_mean_nothing_here_are_passed_over() {
    let mut bench = Bench::websocket(Version::V4);
    for text in ["0", "5", "6", "0{}", "5probe"] {
        assert_eq!(bench.text(text), "");
        assert_eq!(bench.drain(), "");
    }
    assert_eq!(bench.text("4a"), "a");
}

#[test]
fn a_close_packet_ends_the_session() {
    let mut bench = Bench::polling(Version::V4);
    bench.get();
    assert_eq!(bench.post("4a\x1e1\x1e4b"), (vec!["message a".into()], 200));
    assert_eq!(bench.drain(), "2: 6; closed: transport close");
    assert_eq!(bench.post("4c"), (vec![], 400));

    let mut bench = Bench::polling(Version::V3);
    bench.get();
    bench.post("1:1");
    assert_eq!(bench.drain(), "2: 1:6; closed: transport close");

    let mut bench = Bench::websocket(Version::V4);
    bench.text("1");
    assert_eq!(bench.drain(), "close socket; closed: transport close");
    assert_eq!(bench.text("4a"), "");
}

#[test]
fn packets_that_cannot_be_read_end_the_session() {
    for body in ["abc", "", "4a\x1e", "4a\x1e9", "b!"] {
        let mut bench = Bench::polling(Version::V4);
        bench.get();
        let (said, status) = bench.post(body);
        assert_eq!(
            (said.len(), status),
            (usize::from(body.starts_with('4')), 400)
        );
        assert_eq!(bench.drain(), "2: 1; closed: parse error");
        let next = bench
            .session
            .poll(PollId(3), Form::default(), &bench.options, START);
        assert_eq!(next, Err(ErrorCode::UnknownSid));
    }
    for text in ["abc", "", "b!"] {
        let mut bench = Bench::websocket(Version::V4);
        bench.text(text);
        assert_eq!(bench.drain(), "close socket; closed: parse error");
    }
    let mut bench = Bench::polling(Version::V4);
    let mut said = Vec::new();
    assert_eq!(
        bench.try_post(b"4\xff", &mut said),
        Err(ErrorCode::BadRequest)
    );
    assert_eq!(bench.drain(), "closed: parse error");
}

#[test]
fn a_second_get_ends_the_session() {
    let mut bench = Bench::polling(Version::V4);
    bench.get();
    let second = bench
        .session
        .poll(PollId(3), Form::default(), &bench.options, START);
    assert_eq!(second, Err(ErrorCode::BadRequest));
    assert_eq!(bench.drain(), "2: 1; closed: transport error");
    let later = bench
        .session
        .poll(PollId(4), Form::default(), &bench.options, START);
    assert_eq!(later, Err(ErrorCode::UnknownSid));
}

#[test]
fn a_second_post_ends_the_session() {
    let mut bench = Bench::polling(Version::V4);
    bench.get();
    let (options, now) = (bench.options, START);
    bench.session.post_begin(&options, now).unwrap();
    let second = bench.session.post_begin(&options, now);
    assert_eq!(second, Err(ErrorCode::BadRequest));
    assert_eq!(bench.drain(), "2: 1; closed: transport error");
    let first = bench.session.post_end(Content::Text, b"4a", &options, now);
    assert_eq!(first.err(), Some(ErrorCode::UnknownSid));
}

#[test]
fn a_post_that_is_taken_in_by_parts_is_one_until_its_end() {
    for overlapped in [true, false] {
        let mut bench = Bench::polling(Version::V4);
        let (options, now) = (bench.options, START);
        let session = &mut bench.session;
        session.post_begin(&options, now).unwrap();
        let body = b"4a\x1e4b";
        let payload = session.post_end(Content::Text, body, &options, now);
        let mut payload = payload.unwrap().into_owned();
        payload.grant(1);
        let data = session.receive(&mut payload, &options, now);
        assert_eq!(data, Ok(Some(Data::Text("a"))));
        let data = session.receive(&mut payload, &options, now);
        assert_eq!(data, Ok(None));
        assert!(payload.is_paused());
        if overlapped {
            let second = session.post_begin(&options, now);
            assert_eq!(second, Err(ErrorCode::BadRequest));
        }
        payload.grant(1);
        let rest = (!overlapped).then_some(Data::Text("b"));
        let data = session.receive(&mut payload, &options, now);
        assert_eq!(data, Ok(rest));
        let data = session.receive(&mut payload, &options, now);
        assert_eq!(data, Ok(None));
        assert!(!payload.is_paused());
        assert_eq!(session.post_begin(&options, now).is_ok(), !overlapped);
    }
}

#[test]
fn broken_requests_end_the_session() {
    let ends: [fn(&mut Bench); 3] = [
        |bench| bench.session.post_too_large(&bench.options, START),
        |bench| bench.session.post_aborted(&bench.options, START),
        |bench| {
            let (options, now) = (&bench.options, START);
            let octets = bench.session.post_end(Content::Octets, b"4a", options, now);
            assert_eq!(octets.err(), Some(ErrorCode::BadRequest));
        },
    ];
    // Of a POST that is too large, its own answer tells.
    for (end, told) in ends.into_iter().zip(["6", "1", "1"]) {
        let mut bench = Bench::polling(Version::V4);
        bench.get();
        bench.session.post_begin(&bench.options, START).unwrap();
        end(&mut bench);
        assert_eq!(bench.drain(), format!("2: {told}; closed: transport error"));
    }
}

#[test]
fn an_aborted_get_ends_the_session() {
    let mut bench = Bench::polling(Version::V4);
    let id = bench.get();
    // One that was answered in between is over.
    bench
        .session
        .poll_aborted(PollId(id - 1), &bench.options, START);
    assert_eq!(bench.drain(), "");
    bench
        .session
        .poll_aborted(PollId(id), &bench.options, START);
    assert_eq!(bench.drain(), "closed: transport error");
}

#[test]
fn the_end_of_the_websocket_ends_the_session() {
    for (end, reason) in [
        (SocketEnd::Closed, "closed: transport close"),
        (SocketEnd::Failed, "closed: transport error"),
    ] {
        let mut bench = Bench::websocket(Version::V4);
        bench.send("too late");
        bench.session.websocket_closed(end, &bench.options, START);
        assert_eq!(bench.drain(), reason);
        bench.session.websocket_closed(end, &bench.options, START);
        assert_eq!(bench.drain(), "");
    }
}

#[test]
fn we_close() {
    let mut bench = Bench::websocket(Version::V4);
    bench.send("bye");
    bench.session.close(&bench.options, START);
    assert_eq!(
        bench.drain(),
        "send 4bye; close socket; closed: forced close"
    );

    // Over polling, what waits goes first; the client has 30 s to ask for it.
    let mut bench = Bench::polling(Version::V4);
    for number in 0..20 {
        bench.send(&number.to_string());
    }
    bench.session.close(&bench.options, START);
    assert_eq!(bench.drain(), "");
    assert_eq!(bench.session.state(), State::Closing);
    assert_eq!(bench.session.next_deadline(), Some(START + 30_000));
    assert_eq!(bench.post("4ignored"), (vec![], 200));
    bench.get();
    assert!(bench.drain().ends_with(r"\x1e415"));
    bench.get();
    assert_eq!(
        bench.drain(),
        r"3: 416\x1e417\x1e418\x1e419\x1e1; closed: forced close"
    );

    let mut bench = Bench::polling(Version::V4);
    bench.get();
    bench.session.close(&bench.options, START);
    assert_eq!(bench.drain(), "2: 1; closed: forced close");

    let mut bench = Bench::polling(Version::V4);
    bench.session.close(&bench.options, START);
    assert_eq!(bench.wait_until(30_000), "closed: forced close");
}

#[test]
fn causes_have_the_reasons_that_applications_know() {
    let rows = [
        (CloseCause::PingTimeout, "ping timeout"),
        (CloseCause::ClosePacket, "transport close"),
        (CloseCause::SocketClosed, "transport close"),
        (CloseCause::SocketFailed, "transport error"),
        (CloseCause::PollAborted, "transport error"),
        (CloseCause::PollOverlap, "transport error"),
        (CloseCause::PostTooLarge, "transport error"),
        (
            CloseCause::Decode(DecodeError::MalformedType),
            "parse error",
        ),
        (CloseCause::Forced, "forced close"),
    ];
    for (cause, reason) in rows {
        assert_eq!(cause.reason().as_str(), reason);
    }
}

#[test]
fn an_idle_websocket_session_is_small() {
    assert!(size_of::<Session>() <= 56, "{}", size_of::<Session>());
    let mut bench = Bench::websocket(Version::V4);
    assert_eq!(bench.drain(), "");
    assert_eq!(bench.session.buffered_bytes(), 0);
}

#[test]
fn extreme_settings_do_no_harm() {
    let options = Options {
        ping_interval: Duration::MAX,
        ping_timeout: Duration::MAX,
        upgrade_timeout: Duration::MAX,
        close_timeout: Duration::ZERO,
        ..Options::default()
    };
    let mut session = Session::polling("", Version::V3, &options, u64::MAX - 1);
    assert_eq!(session.next_deadline(), Some(u64::MAX >> 1));
    session.close(&options, u64::MAX - 1);
    session.handle_timeout(&options, u64::MAX);
    assert_eq!(session.state(), State::Closed);
    let options = Options {
        ping_interval: Duration::ZERO,
        ping_timeout: Duration::ZERO,
        ..Options::default()
    };
    let mut session = Session::websocket("", Version::V4, &options, 0);
    session.handle_timeout(&options, 0);
    assert_eq!(session.state(), State::Closed);
}

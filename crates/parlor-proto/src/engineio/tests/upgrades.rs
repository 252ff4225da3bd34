//! From polling to WebSocket.

use super::*;

#[test]
fn an_upgrade_from_end_to_end() {
    let mut bench = Bench::polling(Version::V4);
    bench.open_socket();
    assert!(bench.session.is_upgrading());
    bench.text("2probe");
    assert_eq!(bench.drain(), "send 3probe");
    // The client still polls once: it is answered within 100 ms.
    bench.now += 30;
    bench.get();
    assert_eq!(bench.drain(), "");
    assert_eq!(bench.wait_until(100), "2: 6");
    bench.send("waits");
    bench.send("too");
    assert_eq!(bench.drain(), "");
    bench.text("5");
    assert_eq!(bench.drain(), "upgraded; send 4waits; send 4too");
    assert_eq!(bench.session.transport(), Transport::WebSocket);
    assert_eq!(bench.text("4hello"), "hello");
    // What is left of polling is refused.
    let get = bench
        .session
        .poll(PollId(3), Form::default(), &bench.options, bench.now);
    assert_eq!(get, Err(ErrorCode::BadRequest));
    assert_eq!(bench.post("4a"), (vec![], 400));
    let second = bench.session.websocket_open(&bench.options, bench.now);
    assert_eq!(second, Err(ErrorCode::BadRequest));
    assert_eq!(bench.drain(), "");
    // And the heartbeat goes on.
    assert_eq!(bench.wait_until(300), "send 2");
}

#[test]
fn a_pending_get_is_ended_at_once_and_every_100_ms() {
    let mut bench = Bench::polling(Version::V4);
    bench.get();
    bench.open_socket();
    bench.text("2probe");
    assert_eq!(bench.drain(), "send 3probe; 2: 6");
    for (id, at) in [(3, 100), (4, 200)] {
        bench.get();
        assert_eq!(bench.wait_until(at), format!("{id}: 6"));
    }
    // A GET that comes late does not wait at all.
    bench.now = START + 350;
    bench.session.handle_timeout(&bench.options, bench.now);
    bench.drain();
    bench.session.poll_output(&bench.options);
    bench.get();
    bench.session.handle_timeout(&bench.options, bench.now);
    assert_eq!(bench.drain(), r"5: 2");
}

#[test]
fn messages_flow_over_polling_while_probing() {
    let mut bench = Bench::probing();
    bench.get();
    bench.send("down");
    assert_eq!(bench.drain(), "2: 4down");
    assert_eq!(bench.post("4up").0, ["message up"]);
    bench.send("first");
    bench.get();
    bench.now = START + 100;
    bench.session.handle_timeout(&bench.options, bench.now);
    // A due noop gives way to what waits.
    assert_eq!(bench.drain(), "3: 4first");
}

#[test]
fn a_wrong_probe_closes_that_socket_only() {
    for text in ["2", "2prob", "3probe", "4hello", "5", "6", "", "abc", "1"] {
        let mut bench = Bench::polling(Version::V4);
        bench.open_socket();
        assert_eq!(bench.text(text), "");
        assert_eq!(bench.drain(), "close socket", "{text}");
        assert!(!bench.session.is_upgrading());
        assert_eq!(bench.text("4late"), "");
        bench.get();
        bench.send("a");
        assert_eq!(bench.drain(), "2: 4a");
        // And another one may try.
        bench.open_socket();
        bench.text("2probe");
        assert_eq!(bench.drain(), "send 3probe");
        bench.text("4early");
        assert_eq!(bench.drain(), "close socket");
    }
    let mut bench = Bench::polling(Version::V4);
    bench.open_socket();
    let options = bench.options;
    assert_eq!(
        bench.session.websocket_binary(b"2probe", &options, START),
        None
    );
    assert_eq!(bench.drain(), "close socket");
}

#[test]
fn a_second_socket_is_refused() {
    let mut bench = Bench::probing();
    let second = bench.session.websocket_open(&bench.options, START);
    assert_eq!(second, Err(ErrorCode::BadRequest));
    bench.text("5");
    assert_eq!(bench.drain(), "upgraded");
}

#[test]
fn an_upgrade_has_10_seconds() {
    let mut bench = Bench::polling(Version::V4);
    bench.options.ping_interval = std::time::Duration::from_secs(60);
    bench.session = Session::polling("SID", Version::V4, &bench.options, START);
    bench.open_socket();
    assert_eq!(bench.wait_until(10_000), "close socket");
    assert_eq!(bench.session.state(), State::Open);
    bench.open_socket();
    bench.text("2probe");
    assert_eq!(bench.drain(), "send 3probe");
    assert_eq!(bench.wait_until(20_000), "close socket");
}

#[test]
fn a_socket_that_goes_leaves_the_session_alone() {
    let mut bench = Bench::probing();
    bench
        .session
        .websocket_closed(SocketEnd::Failed, &bench.options, START);
    assert_eq!(bench.drain(), "");
    assert_eq!(bench.session.state(), State::Open);
    assert!(!bench.session.is_upgrading());
    bench.open_socket();
}

#[test]
fn the_end_of_the_session_closes_the_socket_that_is_tried() {
    let mut bench = Bench::probing();
    bench.get();
    bench.post("1");
    assert_eq!(bench.drain(), "close socket; 2: 6; closed: transport close");

    let mut bench = Bench::probing();
    bench.session.close(&bench.options, START);
    assert_eq!(bench.drain(), "close socket");
    let again = bench.session.websocket_open(&bench.options, START);
    assert_eq!(again, Err(ErrorCode::BadRequest));
}

#[test]
fn a_get_that_is_pending_at_the_switch_is_ended() {
    let mut bench = Bench::probing();
    bench.get();
    bench.send("a");
    bench.text("5");
    assert_eq!(bench.drain(), "2: 6; upgraded; send 4a");
}

#[test]
fn a_post_that_is_read_at_the_switch_is_refused() {
    let mut bench = Bench::probing();
    let (options, now) = (bench.options, START);
    bench.session.post_begin(&options, now).unwrap();
    bench.text("5");
    let post = bench.session.post_end(Content::Text, b"4a", &options, now);
    assert_eq!(post.err(), Some(ErrorCode::BadRequest));
    bench.session.post_aborted(&options, now);
    bench.session.post_too_large(&options, now);
    assert_eq!(bench.drain(), "upgraded");
}

#[test]
fn version_3_upgrades_alike() {
    let mut bench = Bench::polling(Version::V3);
    bench.get();
    bench.open_socket();
    bench.text("2probe");
    assert_eq!(bench.drain(), "send 3probe; 2: 1:6");
    bench.send("a");
    bench.text("5");
    assert_eq!(bench.drain(), "upgraded; send 4a");
    // The heartbeat of the client is still awaited.
    assert_eq!(bench.wait_until(500), "close socket; closed: ping timeout");
}

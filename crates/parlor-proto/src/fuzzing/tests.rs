//! Replays the committed corpus, so that every test run does what the fuzz targets do.

use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "the corpus is files")]
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        body(&std::fs::read(entry.expect("a file").path()).expect("readable"));
        files += 1;
    }
    assert!(files > 0, "no corpus in {}", folder.display());
}

#[test]
fn frames() {
    replay("frames", super::frames);
}

#[test]
fn handshake() {
    replay("handshake", super::handshake);
}

#[test]
fn deflate_negotiation() {
    replay("deflate_negotiation", super::deflate_negotiation);
}

#[test]
fn engineio_payload() {
    replay("engineio_payload", super::engineio_payload);
}

#[test]
fn engineio_request() {
    replay("engineio_request", super::engineio_request);
}

#[test]
fn engineio_session() {
    replay("engineio_session", super::engineio_session);
}

#[test]
fn socketio_connection() {
    replay("socketio_connection", super::socketio_connection);
}

#[test]
fn socketio_msgpack() {
    replay("socketio_msgpack", super::socketio_msgpack);
}

#[test]
fn socketio_packet() {
    replay("socketio_packet", super::socketio_packet);
}

#[test]
fn signal_request() {
    replay("signal_request", super::signal_request);
}

#[test]
fn sse_event() {
    replay("sse_event", super::sse_event);
}

#[test]
fn sse_stream() {
    replay("sse_stream", super::sse_stream);
}

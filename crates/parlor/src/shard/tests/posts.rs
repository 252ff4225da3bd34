//! Long POSTs of sessions over polling, which are taken in part by part.

use parlor_proto::engineio::Method;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::*;
use crate::door::{
    Ask,
    engineio::{Answer, Body, Reply, Request},
};

/// As long as a POST may be.
const POST_BYTES: usize = 1_000_000;

/// The answer to a request, where there is one yet.
type Answered = oneshot::Receiver<Answer>;

impl Bench {
    /// Hands the shard a request to the path of Socket.IO.
    fn request(&mut self, method: Method, query: &str, body: &str) -> Answered {
        let (answer, answered) = oneshot::channel();
        let body = (method == Method::Post).then(|| Body::Whole(body.to_owned().into()));
        let request = Request {
            ruling: None,
            mount: 0,
            method,
            target: format!("/socket.io/?EIO=4&transport=polling{query}"),
            headers: Vec::new(),
            content_type: None,
            peer: self.listener.local_addr().unwrap(),
            allowed: true,
            id: 0,
            body,
        };
        self.shard.take_request(Ask { request, answer });
        answered
    }

    /// A request that is answered at once.
    pub(super) fn exchange(&mut self, method: Method, query: &str, body: &str) -> Reply {
        let mut answered = self.request(method, query, body);
        reply(&mut answered).expect("an answer at once")
    }

    /// Opens a session that is connected to the main namespace; the query that names it.
    pub(super) fn session(&mut self) -> String {
        let open = self.exchange(Method::Get, "", "");
        let open = str::from_utf8(&open.body).unwrap();
        let sid = open.split("\"sid\":\"").nth(1).unwrap();
        let query = format!("&sid={}", sid.split('"').next().unwrap());
        let said = self.exchange(Method::Post, &query, "40");
        assert_eq!(said.body, "ok");
        let connected = self.exchange(Method::Get, &query, "");
        assert!(connected.body.starts_with(b"40{"));
        query
    }
}

/// The answer that a request has got.
fn reply(answered: &mut Answered) -> Option<Reply> {
    match answered.try_recv() {
        Ok(Answer::Reply(reply)) => Some(reply),
        Ok(Answer::SendBody) => unreachable!("the body is there"),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Closed) => unreachable!("every request is answered"),
    }
}

/// As many events of 4 KiB as a POST may have.
fn long_post() -> String {
    let event = format!("42[\"message\",\"{}\"]", "x".repeat(4096));
    let count = POST_BYTES / (event.len() + 1);
    vec![event; count].join("\u{1e}")
}

#[test]
fn a_long_post_is_taken_in_between_what_others_say() {
    with_shard(1, |bench| {
        let query = bench.session();
        let mut other = bench.open("/echo");
        let mut post = bench.request(Method::Post, &query, &long_post());
        other.write(&message(1000));
        bench.events = bench.next_events();
        let begun = bench.shard.take_in(&mut bench.events);
        let more = bench.shard.give_out(&begun);
        let patience = Instant::now() + PATIENCE;
        while other.read.len() < 1004 {
            assert!(Instant::now() < patience, "what was said comes back");
            assert!(other.take());
        }
        // The shard does not sleep, and the client may not say more yet.
        assert!(more);
        assert!(reply(&mut post).is_none());
        let mut turns = 1;
        let said = loop {
            if let Some(said) = reply(&mut post) {
                break said;
            }
            bench.turn();
            turns += 1;
        };
        assert_eq!((said.status, &said.body[..]), (200, &b"ok"[..]));
        // The first part was taken in before the first turn.
        assert!(turns >= POST_BYTES / READ_BYTES - 1, "{turns}");
    });
}

#[test]
fn a_post_that_overlaps_a_long_one_ends_the_session() {
    with_shard(1, |bench| {
        let query = bench.session();
        let mut first = bench.request(Method::Post, &query, &long_post());
        let second = bench.exchange(Method::Post, &query, "42[\"message\"]");
        assert_eq!(second.status, 400);
        assert!(second.body.starts_with(b"{\"code\":3,"));
        let first = reply(&mut first).expect("nothing waits for the end");
        assert_eq!(first.status, 400);
        assert!(first.body.starts_with(b"{\"code\":1,"));
        bench.turn();
        assert_eq!(bench.shard.connections.len(), 0);
        assert_eq!(bench.shard.hub.counts().members, 0);
    });
}

#[test]
fn a_socket_that_is_tried_is_heard_after_a_long_post() {
    with_shard(1, |bench| {
        let query = bench.session();
        let target = format!("/socket.io/?EIO=4&transport=websocket{query}");
        let mut socket = bench.open(&target);
        let mut post = bench.request(Method::Post, &query, &long_post());
        socket.write(&[0x81, 0x86, 0, 0, 0, 0]);
        socket.write(b"2probe");
        bench.events = bench.next_events();
        let mut answered = false;
        bench.until("the probe is answered", |_| {
            if !answered && let Some(said) = reply(&mut post) {
                assert_eq!(said.body, "ok");
                answered = true;
            }
            socket.take();
            let probed = !socket.read.is_empty();
            assert!(answered || !probed);
            probed
        });
        assert_eq!(socket.read, b"\x81\x063probe");
    });
}

//! Messages that embedders send in fragments, and what is sent to the same member meanwhile.

use std::{sync::mpsc, thread, time::Duration};

use parlor::{
    BoxError, Compression, Config, Connect, ConnectionError, Disconnect, Handler, Member, Message,
    Priority, Refusal, SendError,
    client::{self, deflate},
    config::Deflate,
};

use crate::support::{Client, TestServer, block_on, frame, wait_until};

/// Joins a room, and tells of its member, of faults and of the end.
struct Teller(mpsc::Sender<Member>, mpsc::Sender<String>);

impl Handler for Teller {
    type State = ();

    async fn connect(&self, connect: &mut Connect) -> Result<(), Refusal> {
        connect.member().join("tea")?.await?;
        let _ = self.0.send(connect.member().clone());
        Ok(())
    }

    async fn message(
        &self,
        (): &mut (),
        member: &Member,
        message: Message,
    ) -> Result<(), BoxError> {
        Ok(member.send(message)?)
    }

    async fn error(&self, (): &mut (), _: &Member, error: ConnectionError) {
        let _ = self.1.send(error.to_string());
    }

    async fn disconnect(&self, (): (), _: &Member, how: Disconnect) {
        let _ = self.1.send(format!("{} {}", how.code, how.reason));
    }
}

struct Fixture {
    server: TestServer,
    members: mpsc::Receiver<Member>,
    told: mpsc::Receiver<String>,
}

impl Fixture {
    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let (tell, members) = mpsc::channel();
        let (fault, told) = mpsc::channel();
        let teller = Teller(tell, fault);
        let server = TestServer::build(change, |builder| builder.endpoint("/", teller));
        Self {
            server,
            members,
            told,
        }
    }

    fn client(&self) -> (Client, Member) {
        let client = self.server.websocket("/");
        (client, self.members.recv().unwrap())
    }

    fn publish(&self, text: &str) {
        let room = self.server.handle.room("tea").unwrap();
        block_on(room.priority(Priority::Normal).publish_and_wait(text)).unwrap();
    }
}

fn check(client: &mut Client, first: u8, payload: &str) {
    let heard = client.receive().unwrap();
    assert_eq!(
        (heard.first, String::from_utf8(heard.payload).unwrap()),
        (first, payload.to_owned())
    );
}

#[test]
fn nothing_but_control_frames_comes_between_fragments() {
    let fixture = Fixture::start(|_| {});
    let (mut client, member) = fixture.client();
    let mut message = member.begin_text().unwrap();
    member.send("before the first fragment").unwrap();
    block_on(message.send("g\u{fc}n")).unwrap();
    member.send("sent meanwhile").unwrap();
    fixture.publish("published meanwhile");
    fixture
        .server
        .handle
        .broadcast("broadcast meanwhile")
        .unwrap();
    member.ping("still there?").unwrap();
    message.try_send("stig").unwrap();
    check(&mut client, 0x81, "before the first fragment");
    check(&mut client, 0x01, "g\u{fc}n");
    check(&mut client, 0x89, "still there?");
    check(&mut client, 0x00, "stig");
    // The client's own ping is answered, and what it says is handled.
    client.send_text("an echo");
    client.send(0x89, b"me too");
    check(&mut client, 0x8a, "me too");
    wait_until("all of it waits", || member.buffered_bytes() > 60);
    let mut flushed = Box::pin(member.flushed().unwrap());
    message.finish_with("er Tee").unwrap();
    check(&mut client, 0x80, "er Tee");
    check(&mut client, 0x81, "sent meanwhile");
    let mut rest: Vec<String> = (0..3).map(|_| client.receive_text()).collect();
    rest.sort();
    assert_eq!(
        rest,
        ["an echo", "broadcast meanwhile", "published meanwhile"]
    );
    block_on(&mut flushed).unwrap();
    assert_eq!(member.buffered_bytes(), 0);
    // All is as it was.
    fixture.publish("published later");
    check(&mut client, 0x81, "published later");
    let mut binary = member.begin_binary().unwrap();
    binary.try_send(&b"one"[..]).unwrap();
    binary.finish().unwrap();
    check(&mut client, 0x02, "one");
    check(&mut client, 0x80, "");
    member.begin_binary().unwrap().finish_with("whole").unwrap();
    check(&mut client, 0x82, "whole");
}

#[test]
fn a_member_is_sent_one_such_message_at_a_time() {
    let fixture = Fixture::start(|_| {});
    let (mut client, member) = fixture.client();
    let first = member.begin_text().unwrap();
    assert!(matches!(member.begin_binary(), Err(SendError::Busy)));
    // One of which nothing was sent can be dropped.
    drop(first);
    let mut second = member.begin_binary().unwrap();
    second.try_send("b").unwrap();
    assert!(matches!(member.begin_text(), Err(SendError::Busy)));
    second.finish().unwrap();
    for number in 0..50 {
        let mut message = member.begin_text().unwrap();
        message.try_send(format!("{number}")).unwrap();
        message.finish().unwrap();
    }
    check(&mut client, 0x02, "b");
    check(&mut client, 0x80, "");
    for number in 0..50 {
        check(&mut client, 0x01, &number.to_string());
        check(&mut client, 0x80, "");
    }
    // Several threads, each of which begins when another has just ended.
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let member = member.clone();
            thread::spawn(move || {
                for _ in 0..50 {
                    let mut message = loop {
                        match member.begin_text() {
                            Err(SendError::Busy) => thread::yield_now(),
                            begun => break begun.unwrap(),
                        }
                    };
                    message.try_send("a").unwrap();
                    member.send("between").unwrap();
                    message.finish_with("z").unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let (mut open, mut whole, mut between) = (false, 0, 0);
    while whole < 200 || between < 200 {
        let frame = client.receive().unwrap();
        match (frame.first, &frame.payload[..]) {
            (0x01, b"a") if !open => open = true,
            (0x80, b"z") if open => (open, whole) = (false, whole + 1),
            (0x81, b"between") if !open => between += 1,
            other => assert_eq!(other, (0, &b""[..]), "{open}"),
        }
    }
}

#[test]
fn a_message_that_is_dropped_ends_the_connection() {
    let fixture = Fixture::start(|_| {});
    let (mut client, member) = fixture.client();
    let mut message = member.begin_text().unwrap();
    message.try_send("half of").unwrap();
    drop(message);
    check(&mut client, 0x01, "half of");
    let unfinished = (1011, "a message was not finished".to_owned());
    assert_eq!(client.receive().unwrap().close(), unfinished);
    client.send(0x88, b"\x03\xf3");
    assert_eq!(
        fixture.told.recv().unwrap(),
        "1011 a message was not finished"
    );
    assert!(matches!(member.begin_text(), Err(SendError::Closed)));
}

#[test]
fn a_message_that_gets_no_more_fragments_ends_the_connection() {
    let fixture = Fixture::start(|config| config.outbox_stall = Duration::from_millis(100));
    let (mut client, member) = fixture.client();
    let mut message = member.begin_text().unwrap();
    message.try_send("half of").unwrap();
    check(&mut client, 0x01, "half of");
    assert_eq!(client.receive().unwrap().close().0, 1011);
    client.send(0x88, b"\x03\xf3");
    assert_eq!(fixture.told.recv().unwrap(), "a message was not finished");
    assert!(fixture.told.recv().unwrap().starts_with("1011 "));
    assert!(matches!(
        message.try_send("the rest"),
        Err(SendError::Closed)
    ));
    assert!(matches!(message.finish(), Err(SendError::Closed)));
}

#[test]
fn what_waits_is_bounded() {
    let fixture = Fixture::start(|config| config.outbox_bytes_max = 100_000);
    let (mut client, member) = fixture.client();
    let mut message = member.begin_text().unwrap();
    message.try_send("half of").unwrap();
    check(&mut client, 0x01, "half of");
    // One may have any length.
    let long = "x".repeat(200_000);
    member.send(long.clone()).unwrap();
    client.settle();
    message.finish().unwrap();
    check(&mut client, 0x80, "");
    check(&mut client, 0x81, &long);
    let mut message = member.begin_text().unwrap();
    message.try_send("half of").unwrap();
    check(&mut client, 0x01, "half of");
    for _ in 0..2 {
        fixture.publish(&long);
    }
    assert_eq!(client.receive().unwrap().close().0, 1013);
    client.send(0x88, b"\x03\xf5");
    assert_eq!(fixture.told.recv().unwrap(), "the client does not read");
    assert!(matches!(message.try_send("more"), Err(SendError::Closed)));
    // Nothing of it is left in the counts of the shard.
    let (mut next, member) = fixture.client();
    member.send("hello").unwrap();
    check(&mut next, 0x81, "hello");
}

#[test]
fn fragments_wait_for_a_slow_client() {
    for (piece, pieces) in [(50_000, 60), (1, 20_000)] {
        let fixture = Fixture::start(|config| {
            config.outbox_bytes_max = 100_000;
            config.outbox_messages_max = 1000;
        });
        let stream = fixture.server.tcp_with_buffer(8192);
        let mut client = Client::open(stream, "/", "");
        let member = fixture.members.recv().unwrap();
        let sending = thread::spawn(move || {
            block_on(async {
                let mut message = member.begin_text().unwrap();
                for _ in 0..pieces {
                    message.send("y".repeat(piece)).await.unwrap();
                    assert!(member.buffered_bytes() <= 100_000);
                }
                message.finish().unwrap();
                member.send("behind it").unwrap();
            });
        });
        let mut bytes = 0;
        loop {
            let frame = client.receive().unwrap();
            bytes += frame.payload.len();
            if frame.first == 0x80 {
                break;
            }
        }
        assert_eq!(bytes, piece * pieces);
        check(&mut client, 0x81, "behind it");
        sending.join().unwrap();
    }
}

#[test]
fn a_client_that_leaves_hears_nothing_out_of_place() {
    let fixture = Fixture::start(|_| {});
    let (mut client, member) = fixture.client();
    let mut message = member.begin_text().unwrap();
    message.try_send("half of").unwrap();
    check(&mut client, 0x01, "half of");
    // In one piece, so that its goodbye is read before the echo is sent.
    let mut last = frame(0x81, b"an echo");
    last.extend(frame(0x88, b"\x03\xe8"));
    std::io::Write::write_all(&mut client.stream, &last).unwrap();
    assert_eq!(client.receive_close().0, 1000);
    wait_until("the member is gone", || !member.is_open());
    assert!(matches!(message.try_send("more"), Err(SendError::Closed)));
}

#[test]
fn fragments_are_compressed_as_agreed() {
    for (ours, theirs) in [
        (Deflate::Shared, deflate::Mode::Shared),
        (Deflate::Takeover, deflate::Mode::Takeover),
    ] {
        let fixture = Fixture::start(|config| config.deflate = ours);
        let url = format!("ws://{}/", fixture.server.address);
        block_on(async {
            let builder = client::Builder::new(url);
            let policy = deflate::Policy::new(theirs);
            let mut socket = builder.deflate_policy(policy).connect().await.unwrap();
            let member = fixture.members.recv().unwrap();
            assert!(member.is_compressed());
            let line = "the same line, over and over again; ".repeat(20);
            for compression in [Compression::Agreed, Compression::Off] {
                let mut message = member.begin_text().unwrap().compression(compression);
                for _ in 0..10 {
                    message.send(line.clone()).await.unwrap();
                    member.send(line.clone()).unwrap();
                }
                message.finish().unwrap();
                for expected in std::iter::once(line.repeat(10)).chain(vec![line.clone(); 10]) {
                    let heard = match socket.next().await.unwrap().unwrap() {
                        client::Event::Message(message) => message.as_text().unwrap().to_owned(),
                        other => format!("{other:?}"),
                    };
                    assert_eq!(heard, expected);
                }
            }
        });
    }
}

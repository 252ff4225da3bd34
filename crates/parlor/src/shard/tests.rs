//! One shard, turn by turn: what no client can bring about at the moment that it takes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    num::NonZero,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::Events;
use parlor_hub::ShardId;
use socket2::{SockRef, Socket};
use tokio::task::LocalSet;

use super::{
    Cradle, Listeners, READ_BYTES, Shard, UNFLUSHED_BYTES_MAX, accept::Newcomer,
    connections::Stage, mailbox::Mail, poll::PollSet,
};
use crate::{Config, Server, door::CloseReason};

mod pace;
mod posts;

/// How long what must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shard whose turns are the test's.
struct Bench {
    shard: Shard,
    events: Events,
    listener: TcpListener,
}

/// A client's end, with what was read from it.
struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// Runs the first of so many shards; the others are there, and never do anything.
fn with_shard(shards: usize, test: impl FnOnce(&mut Bench)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let config = Config {
            shards: NonZero::new(shards),
            ..Config::default()
        };
        let server = Server::builder().config(config).build().unwrap();
        let settings = Arc::new(server.settings(true).unwrap());
        let mut cradles = Vec::new();
        let mut mailboxes = Vec::new();
        for _ in 0..shards {
            let (cradle, mailbox) = Cradle::new().unwrap();
            cradles.push(cradle);
            mailboxes.push(mailbox);
        }
        let cradle = cradles.swap_remove(0);
        let listeners = Listeners::default();
        let shard = Shard::new(ShardId(0), cradle, mailboxes.into(), settings, listeners);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A whole message fits into a socket, so that nobody waits for anybody.
        let buffer = SockRef::from(&listener).set_recv_buffer_size(256 * 1024);
        buffer.unwrap();
        test(&mut Bench {
            shard: shard.unwrap(),
            events: PollSet::events(),
            listener,
        });
    });
}

impl Bench {
    fn newcomer(&self) -> (Newcomer, Client) {
        let address = self.listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let buffer = SockRef::from(&stream).set_send_buffer_size(256 * 1024);
        buffer.unwrap();
        stream.set_nonblocking(true).unwrap();
        let (socket, _) = self.listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let newcomer = Newcomer {
            socket: socket.into(),
            place: None,
        };
        let read = Vec::new();
        (newcomer, Client { stream, read })
    }

    /// A client that has asked for a WebSocket.
    fn ask(&mut self, target: &str) -> Client {
        self.ask_with(target, "")
    }

    /// The same with more header lines.
    fn ask_with(&mut self, target: &str, lines: &str) -> Client {
        let (newcomer, mut client) = self.newcomer();
        self.shard.welcome(newcomer);
        client.write(
            format!(
                "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: 13\r\n{lines}\r\n"
            )
            .as_bytes(),
        );
        client
    }

    /// A client that has a WebSocket.
    fn open(&mut self, target: &str) -> Client {
        self.open_with(target, "")
    }

    /// The same with more header lines.
    fn open_with(&mut self, target: &str, lines: &str) -> Client {
        let mut client = self.ask_with(target, lines);
        self.until("the answer to an upgrade", |_| {
            client.take();
            client.read.ends_with(b"\r\n\r\n")
        });
        assert!(client.read.starts_with(b"HTTP/1.1 101 "));
        client.read.clear();
        client
    }

    /// Waits until a socket has something to say.
    fn next_events(&mut self) -> Events {
        let mut events = PollSet::events();
        let patience = Instant::now() + PATIENCE;
        while events.is_empty() {
            assert!(Instant::now() < patience, "no socket has anything to say");
            self.shard.connections.poll.poll(&mut events).unwrap();
        }
        events
    }

    /// The first half of a turn.
    fn take_in(&mut self) {
        self.shard.connections.poll.poll(&mut self.events).unwrap();
        let _begun = self.shard.take_in(&mut self.events);
    }

    fn turn(&mut self) {
        self.shard.connections.poll.poll(&mut self.events).unwrap();
        let begun = self.shard.take_in(&mut self.events);
        self.shard.give_out(&begun);
    }

    /// Turns until something holds.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let patience = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < patience, "{what}");
            self.turn();
        }
    }
}

impl Client {
    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Takes what there is; false once the connection has ended.
    fn take(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }
}

/// A text message of 126 bytes and more as a client sends it, with a key of zeros.
fn message(len: u16) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(len.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(len), b'x');
    frame
}

#[test]
fn nothing_is_read_while_much_waits_to_be_flushed() {
    const ROOMS: usize = 90;
    const LEN: u16 = 60_000;
    with_shard(1, |bench| {
        let mut hearers = Vec::new();
        let mut speakers = Vec::new();
        for room in 0..ROOMS {
            let target = format!("/ws/{room}");
            hearers.push(bench.open(&target));
            speakers.push(bench.open(&target));
        }
        for speaker in &mut speakers {
            speaker.write(&message(LEN));
        }
        // Nothing is given out meanwhile.
        let patience = Instant::now() + PATIENCE;
        while !bench.shard.has_much_unflushed() {
            assert!(Instant::now() < patience);
            bench.take_in();
        }
        let held = bench.shard.unflushed_bytes;
        assert!(held <= UNFLUSHED_BYTES_MAX + READ_BYTES, "{held}");
        // From then on nothing is read, and nobody is let in.
        let members = bench.shard.connections.len();
        let (newcomer, _client) = bench.newcomer();
        let mut mail = vec![Mail::Socket(newcomer)];
        bench.shard.mailboxes[0].post(&mut mail, 0).unwrap();
        for _ in 0..10 {
            bench.take_in();
        }
        assert_eq!(bench.shard.unflushed_bytes, held);
        assert_eq!(bench.shard.connections.len(), members);
        assert!(bench.shard.mail_left);
        // What waits goes out, and then the rest comes in.
        bench.until("all that was said is heard", |_| {
            hearers.iter_mut().all(|hearer| {
                assert!(hearer.take());
                hearer.read.len() == usize::from(LEN) + 4
            })
        });
        bench.until("nothing is left", |bench| {
            bench.shard.unflushed_bytes == 0 && !bench.shard.has_ready()
        });
        assert_eq!(bench.shard.connections.len(), members + 1);
    });
}

#[test]
fn little_may_come_before_an_upgrade_is_answered() {
    with_shard(2, |bench| {
        let (mut waiting, mut answered) = (Vec::new(), Vec::new());
        // Rooms at home on the other shard, which never answers.
        for room in 0.. {
            let mut client = bench.ask(&format!("/ws/{room}?since=00000000-1"));
            let open = |bench: &Bench| {
                let mut stages = bench.shard.connections.cold.iter().map(|cold| &cold.stage);
                stages.all(|stage| matches!(stage, Stage::Open(_)))
            };
            bench.until("the head is read", |bench| open(bench));
            bench.turn();
            client.take();
            match client.read.is_empty() {
                true => waiting.push(client),
                false => answered.push(client),
            }
            if waiting.len() == 2 {
                break;
            }
        }
        let [little, much] = &mut waiting[..] else {
            unreachable!("there are two");
        };
        let bytes = vec![0; 65_536];
        little.write(&bytes);
        much.write(&bytes);
        much.write(&[0]);
        let mut ended = false;
        bench.until("the one that is too early is refused", |_| {
            ended = !much.take();
            ended
                || much
                    .read
                    .ends_with(b"too much before the upgrade is answered\n")
        });
        assert!(much.read.starts_with(b"HTTP/1.1 400 "));
        for _ in 0..10 {
            bench.turn();
        }
        assert!(little.take());
        assert!(little.read.is_empty());
    });
}

#[test]
fn a_peer_that_has_left_without_a_word_is_no_fault() {
    with_shard(1, |bench| {
        let hearer = bench.open("/ws/tea");
        let mut speaker = bench.open("/ws/tea");
        bench.turn();
        assert_eq!(bench.shard.hub.counts().members, 2);
        speaker.write(&message(1000));
        // The speaker can be read, and then the hearer goes: a send meets it before a read does.
        bench.events = bench.next_events();
        let socket = Socket::from(hearer.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(socket);
        let _unheard = bench.next_events();
        let _begun = bench.shard.take_in(&mut bench.events);
        bench.shard.flush();
        let [(_, reason)] = bench.shard.connections.doomed[..] else {
            unreachable!("one is to be closed");
        };
        assert_eq!(reason, CloseReason::Gone);
        bench.until("its member is gone", |bench| {
            bench.shard.connections.len() == 1
        });
        assert_eq!(bench.shard.hub.counts().members, 1);
    });
}

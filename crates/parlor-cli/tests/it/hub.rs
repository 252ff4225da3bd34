//! A hub that may be asked to misbehave: threads, sockets and a vector, for a handful of members.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use parlor::proto::websocket::frame::{self, Flags, OpCode};
use parlor::proto::websocket::handshake::{Answer, Request, validate};
use parlor::proto::websocket::{Connection, Event, Input, Options, Role, Scratch};

/// What happens to every so many-th delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Lose(u64),
    Repeat(u64),
    /// It is sent after the next one.
    Swap(u64),
    /// The member is closed instead.
    Close(u64),
}

/// A running hub. Its threads end with their connections.
pub(crate) struct Hub {
    pub(crate) url: String,
    room: Arc<Mutex<Room>>,
}

#[derive(Debug)]
struct Room {
    fault: Fault,
    members: HashMap<u64, Member>,
    deliveries: u64,
    faults: u64,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    held: Option<Vec<u8>>,
}

impl Hub {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ws://{}/room", listener.local_addr().expect("an address"));
        let room = Room {
            fault,
            members: HashMap::new(),
            deliveries: 0,
            faults: 0,
        };
        let room = Arc::new(Mutex::new(room));
        let shared = Arc::clone(&room);
        thread::spawn(move || {
            for (id, stream) in listener.incoming().flatten().enumerate() {
                let shared = Arc::clone(&shared);
                let id = u64::try_from(id).expect("few");
                thread::spawn(move || {
                    let _ended = serve(id, stream, &shared);
                    lock(&shared).members.remove(&id);
                });
            }
        });
        Self { url, room }
    }

    /// How many deliveries went wrong, by intention.
    pub(crate) fn faults(&self) -> u64 {
        lock(&self.room).faults
    }
}

fn serve(id: u64, mut stream: TcpStream, room: &Mutex<Room>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let headers = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    let request = Request {
        method: "GET",
        minor_version: 1,
        headers,
    };
    let upgrade = validate(request).map_err(io::Error::other)?;
    let mut response = Vec::new();
    upgrade
        .respond(Answer::default(), &mut response)
        .map_err(io::Error::other)?;
    stream.write_all(&response)?;
    let member = Member {
        stream: stream.try_clone()?,
        held: None,
    };
    lock(room).members.insert(id, member);

    let mut machine = Connection::new(Role::Server, None);
    let (options, mut scratch) = (Options::default(), Scratch::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let mut input = Input::new(&mut buffer[..count]);
        let events = |error| io::Error::other(error);
        while let Some(event) = machine
            .receive(&mut input, &options, &mut scratch)
            .map_err(events)?
        {
            match event {
                Event::Message { payload, .. } => lock(room).publish(id, payload)?,
                Event::Close { .. } => return Ok(()),
                _ => {}
            }
        }
    }
}

fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().expect("no member's thread panics")
}

impl Room {
    fn publish(&mut self, from: u64, payload: &[u8]) -> io::Result<()> {
        let mut text = Vec::new();
        frame::encode(&mut text, Flags::FIN, OpCode::Text, payload);
        // Probes have the publisher 0xffff; they always arrive.
        let probe = payload.get(4..8) == Some(b"pppp");
        for (_, member) in self.members.iter_mut().filter(|(id, _)| **id != from) {
            self.deliveries += u64::from(!probe);
            let is_turn = |every: u64| !probe && self.deliveries.is_multiple_of(every);
            let mut copies = 1;
            match self.fault {
                Fault::Lose(every) if is_turn(every) => copies = 0,
                Fault::Repeat(every) if is_turn(every) => copies = 2,
                Fault::Swap(every) if is_turn(every) && member.held.is_none() => {
                    member.held = Some(text.clone());
                    self.faults += 1;
                    continue;
                }
                Fault::Close(every) if is_turn(every) => {
                    let mut close = Vec::new();
                    frame::encode(&mut close, Flags::FIN, OpCode::Close, b"\x03\xf5too slow");
                    member.stream.write_all(&close)?;
                    continue;
                }
                _ => {}
            }
            self.faults += u64::from(copies != 1);
            for _ in 0..copies {
                member.stream.write_all(&text)?;
            }
            if let Some(held) = member.held.take() {
                member.stream.write_all(&held)?;
            }
        }
        Ok(())
    }
}

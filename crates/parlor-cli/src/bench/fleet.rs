//! All connections of a test on one poll set.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, bail};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use parlor::proto::signal::SUBPROTOCOL;
use parlor::proto::websocket::deflate::{Mode, Policy};
use parlor::proto::websocket::handshake::ClientRequest;
use parlor::proto::websocket::{Connection, Kind, Role, State};

use super::arguments::{Common, Dialect, Uplink};
use super::client::{Client, Line, Phase, Speaker, Voice};
use super::crowd::{Crowd, Doors, Part};
use super::ear::{Ear, Failed, Read};
use super::replay::Hearing;
use super::stream::Stream;
use super::target::Target;
use super::time::{Alarm, Clock, Nanos};
use crate::http::read_head;

/// What happens to connections, told to the test.
pub(super) trait Listener {
    /// The connection is open; it took so long.
    fn opened(&mut self, _client: usize, _took: Nanos, _speaker: &mut Speaker<'_>) {}
    /// Messages came, all of them by this moment.
    fn heard(&mut self, _client: usize, _heard: &Hearing, _at: Nanos, _: &mut Speaker<'_>) {}
    /// The connection has ended.
    fn closed(&mut self, client: usize, ending: Ending);
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// After a closing handshake that we began.
    pub(super) clean: bool,
    pub(super) why: String,
    /// From the beginning of the connection.
    pub(super) took: Nanos,
}

/// How the connections of a test are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) deflate: bool,
    pub(super) kind: Kind,
    /// Connect from 127.0.0.1 to 127.0.0.`sources`.
    pub(super) sources: u8,
    pub(super) reads: Reads,
    pub(super) crowd: Crowd,
}

impl Manner {
    pub(super) const fn new(common: &Common, kind: Kind, reads: Reads, crowd: Crowd) -> Self {
        Self {
            deflate: common.deflate,
            kind,
            sources: common.sources,
            reads,
            crowd,
        }
    }
}

/// What connections will read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// All of them the same, as in a room.
    Alike,
    /// Each its own.
    Apart,
}

/// The connections and their poll set.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) clock: Clock,
    target: Target,
    manner: Manner,
    doors: Doors,
    policy: Policy,
    poll: Poll,
    events: Events,
    alarm: Alarm,
    alarm_at: Nanos,
    clients: Vec<Option<Client>>,
    ear: Ear,
    voice: Voice,
    buffer: Vec<u8>,
    begun: u64,
}

impl Fleet {
    /// No connections yet.
    ///
    /// # Errors
    ///
    /// Where the doors that are needed are not known, or the system gives no poll set.
    pub(super) fn new(target: Target, manner: Manner) -> anyhow::Result<Self> {
        let doors = manner.crowd.doors(&target.path)?;
        let mode = if manner.deflate {
            Mode::Takeover
        } else {
            Mode::Off
        };
        let policy = Policy {
            threshold: 0,
            ..Policy::new(mode)
        };
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let post = (doors.publisher.clone(), target.host.clone());
        Ok(Self {
            clock: Clock::start(),
            target,
            manner,
            doors,
            policy,
            poll,
            events: Events::with_capacity(EVENTS),
            alarm,
            alarm_at: 0,
            clients: Vec::new(),
            ear: Ear::new(manner.reads == Reads::Alike),
            voice: Voice::new(policy, manner.kind, post),
            buffer: vec![0; READ_BYTES],
            begun: 0,
        })
    }

    /// A number for this test.
    pub(super) fn draw_test(&mut self) -> u16 {
        self.voice.random.test()
    }

    /// Begins to connect in a place of its own, or in a free one.
    ///
    /// # Errors
    ///
    /// What the system says, as when there is no descriptor or no port left.
    pub(super) fn begin(&mut self, place: usize) -> anyhow::Result<()> {
        let mut stream = self.connect().context("cannot connect")?;
        // Without it small messages wait for each other.
        let _unsupported = stream.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(place), interest)?;
        if self.clients.len() <= place {
            self.clients.resize_with(place + 1, || None);
        }
        self.clients[place] = Some(Client::new(stream, self.clock.now()));
        self.begun += 1;
        Ok(())
    }

    fn connect(&self) -> io::Result<TcpStream> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
        let SocketAddr::V4(to) = self.target.address else {
            return TcpStream::connect(self.target.address);
        };
        if self.manner.sources == 1 {
            return TcpStream::connect(self.target.address);
        }
        let turn = self.begun % u64::from(self.manner.sources) + 1;
        let last = u8::try_from(turn).unwrap_or(1);
        let from = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0);
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&socket, &from)?;
        match connect(&socket, &to) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(TcpStream::from_std(socket.into()))
    }

    /// Sends a message on an open connection; [`Fleet::flush`] must follow.
    ///
    /// # Errors
    ///
    /// Where the server has left too much unread.
    pub(super) fn say(&mut self, place: usize, payload: &[u8]) -> anyhow::Result<()> {
        let Some(Client { phase, out, .. }) = &mut self.clients[place] else {
            return Ok(());
        };
        let line = match phase {
            Phase::Open(machine) => Line::WebSocket(machine, self.manner.crowd.spoken(place)),
            Phase::Posting(_) => Line::Post,
            _ => return Ok(()),
        };
        if out.len() > OUT_BYTES_MAX {
            bail!("the server does not read what is sent: {OUT_BYTES_MAX} bytes wait");
        }
        Speaker {
            line,
            voice: &mut self.voice,
            out,
        }
        .say(payload);
        Ok(())
    }

    /// Hands the socket what was said.
    pub(super) fn flush(&mut self, place: usize, listener: &mut impl Listener) {
        let flushed = self.clients[place].as_mut().map_or(Ok(()), Client::flush);
        if let Err(error) = flushed {
            self.end(place, &error.to_string(), listener);
        }
    }

    /// Waits until something happens, at most until the given moment, and deals with it.
    ///
    /// # Errors
    ///
    /// What the system says about the poll set.
    pub(super) fn turn(&mut self, until: Nanos, listener: &mut impl Listener) -> io::Result<()> {
        let wait = self.wait(until)?;
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, Some(wait));
        if let Err(error) = polled {
            self.events = events;
            let harmless = error.kind() == io::ErrorKind::Interrupted;
            return if harmless { Ok(()) } else { Err(error) };
        }
        for event in events.iter().filter(|event| event.token() != ALARM) {
            self.ready(event, listener);
        }
        self.events = events;
        Ok(())
    }

    fn wait(&mut self, until: Nanos) -> io::Result<Duration> {
        let after = until.saturating_sub(self.clock.now());
        if after == 0 || after > ALARM_FROM {
            return Ok(Duration::from_nanos(after));
        }
        if self.alarm_at == until {
            return Ok(Duration::from_nanos(after) + Duration::from_millis(2));
        }
        self.alarm_at = until;
        self.alarm.set(after)
    }

    fn ready(&mut self, event: &Event, listener: &mut impl Listener) {
        let place = event.token().0;
        let Some(client) = self.clients.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let mut done = Ok(());
        if matches!(client.phase, Phase::Connecting) {
            if !event.is_writable() && !event.is_error() {
                return;
            }
            done = self.request(place, listener);
        } else if event.is_writable() {
            done = client.flush().map_err(|error| error.to_string());
        }
        if done.is_ok() && event.is_readable() {
            done = self.read(place, event.is_read_closed(), listener);
        }
        if let Err(why) = done {
            self.end(place, &why, listener);
        }
    }

    /// The socket is connected, or not: asks for the door.
    fn request(&mut self, place: usize, listener: &mut impl Listener) -> Result<(), String> {
        let Some(client) = &mut self.clients[place] else {
            return Ok(());
        };
        if let Some(error) = client.stream.take_error().unwrap_or_else(Some) {
            return Err(error.to_string());
        }
        let (path, protocols) = match self.manner.crowd.part(place) {
            Part::Member(Dialect::Sse) => {
                let Doors { member, .. } = &self.doors;
                let host = &self.target.host;
                let head = format!(
                    "GET {member} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n"
                );
                client.out.extend_from_slice(head.as_bytes());
                client.phase = Phase::Heading(Vec::new());
                return client.flush().map_err(|error| error.to_string());
            }
            Part::Publisher(Uplink::Post) => {
                client.phase = Phase::Posting(Box::default());
                let mut speaker = Speaker {
                    line: Line::Post,
                    voice: &mut self.voice,
                    out: &mut client.out,
                };
                listener.opened(place, self.clock.now() - client.begun, &mut speaker);
                return Ok(());
            }
            Part::Member(Dialect::ParlorV1) => (&self.doors.member, &[SUBPROTOCOL][..]),
            Part::Member(Dialect::Raw | Dialect::SocketIo) => (&self.doors.member, &[][..]),
            Part::Publisher(Uplink::Websocket) => (&self.doors.publisher, &[][..]),
        };
        let request = ClientRequest {
            host: &self.target.host,
            target: path,
            protocols,
            deflate: self.policy,
            headers: &[],
        };
        let handshake = request.encode(self.voice.random.key(), &mut client.out);
        let handshake = handshake.map_err(|error| error.to_string())?;
        client.phase = Phase::Opening(Box::new((handshake, Vec::new())));
        client.flush().map_err(|error| error.to_string())
    }

    fn read(
        &mut self,
        place: usize,
        closed: bool,
        listener: &mut impl Listener,
    ) -> Result<(), String> {
        loop {
            let Some(client) = &mut self.clients[place] else {
                return Ok(());
            };
            let count = match client.stream.read(&mut self.buffer) {
                Ok(0) => {
                    let told = client.told.as_ref();
                    let why = told.map_or("the server ended it", String::as_str);
                    return Err(why.to_owned());
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            let at = self.clock.now();
            match &client.phase {
                Phase::Opening(_) => {
                    if let Some(rest) = self.open(place, count, at, listener)? {
                        self.receive(place, rest, at, listener)?;
                    }
                }
                Phase::Heading(_) => {
                    if let Some(rest) = self.begin_stream(place, count, at, listener)? {
                        self.receive(place, rest, at, listener)?;
                    }
                }
                _ => self.receive(place, count, at, listener)?,
            }
            // The poll set tells of each new byte: a short read has emptied the socket.
            if count < self.buffer.len() && !closed {
                return Ok(());
            }
        }
    }

    /// Reads a response; once it is whole, gives how many bytes behind it now begin the buffer.
    fn open(
        &mut self,
        place: usize,
        count: usize,
        at: Nanos,
        listener: &mut impl Listener,
    ) -> Result<Option<usize>, String> {
        let Some(client) = &mut self.clients[place] else {
            return Ok(None);
        };
        let Phase::Opening(opening) = &mut client.phase else {
            return Ok(None);
        };
        let (handshake, head) = &mut **opening;
        head.extend_from_slice(&self.buffer[..count]);
        let accepted = match handshake.receive(head) {
            Ok(Some(accepted)) => accepted,
            Ok(None) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let dialect = self.manner.crowd.spoken(place);
        if dialect == Dialect::ParlorV1 && accepted.protocol.is_none() {
            return Err(format!("the server does not speak {SUBPROTOCOL}"));
        }
        let rest = head.get(accepted.head_len..).unwrap_or_default();
        let len = rest.len().min(self.buffer.len());
        self.buffer[..len].copy_from_slice(&rest[..len]);
        let mut machine = Connection::new(Role::Client, accepted.deflate);
        let mut speaker = Speaker {
            line: Line::WebSocket(&mut machine, dialect),
            voice: &mut self.voice,
            out: &mut client.out,
        };
        if dialect != Dialect::SocketIo {
            speaker.join();
            listener.opened(place, at - client.begun, &mut speaker);
        }
        client.phase = Phase::Open(machine);
        client.flush().map_err(|error| error.to_string())?;
        Ok((len > 0).then_some(len))
    }

    /// Reads the head of an event stream, as [`Fleet::open`] does that of an upgrade.
    fn begin_stream(
        &mut self,
        place: usize,
        count: usize,
        at: Nanos,
        listener: &mut impl Listener,
    ) -> Result<Option<usize>, String> {
        let Some(client) = &mut self.clients[place] else {
            return Ok(None);
        };
        let Phase::Heading(head) = &mut client.phase else {
            return Ok(None);
        };
        head.extend_from_slice(&self.buffer[..count]);
        let Some(parsed) = read_head(head).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let rest = head.get(parsed.len..).unwrap_or_default();
        let len = rest.len().min(self.buffer.len());
        self.buffer[..len].copy_from_slice(&rest[..len]);
        client.phase = Phase::Listening(Box::new(Stream::new(&parsed)?));
        let mut speaker = Speaker {
            line: Line::Mute,
            voice: &mut self.voice,
            out: &mut client.out,
        };
        listener.opened(place, at - client.begun, &mut speaker);
        Ok((len > 0).then_some(len))
    }

    /// Deals with the first `count` bytes of the buffer; an error ends the connection.
    fn receive(
        &mut self,
        place: usize,
        count: usize,
        at: Nanos,
        listener: &mut impl Listener,
    ) -> Result<(), String> {
        let Some(client) = &mut self.clients[place] else {
            return Ok(());
        };
        let bytes = &mut self.buffer[..count];
        let Client { phase, out, .. } = client;
        let machine = match phase {
            Phase::Open(machine) => machine,
            Phase::Posting(poster) => return poster.receive(bytes),
            Phase::Listening(stream) => {
                return self.ear.listen_to_stream(stream, bytes, |hearing| {
                    let line = Line::Mute;
                    let voice = &mut self.voice;
                    listener.heard(place, hearing, at, &mut Speaker { line, voice, out });
                });
            }
            Phase::Connecting | Phase::Opening(_) | Phase::Heading(_) => return Ok(()),
        };
        let was_open = machine.state() == State::Open;
        let dialect = self.manner.crowd.spoken(place);
        let took = at - client.begun;
        let read = self
            .ear
            .listen(machine, dialect, bytes, |machine, hearing| {
                let line = Line::WebSocket(machine, dialect);
                let voice = &mut self.voice;
                let mut speaker = Speaker { line, voice, out };
                if hearing.opens {
                    speaker.join();
                }
                if hearing.joins {
                    listener.opened(place, took, &mut speaker);
                }
                speaker.answer(hearing.pings);
                if !hearing.has_no_message() {
                    listener.heard(place, hearing, at, &mut speaker);
                }
            });
        match read {
            Ok(Read::Messages) => {}
            Ok(Read::Control { told }) => {
                machine.transmit(Some(self.voice.random.mask()), out);
                if let Some(told) = told {
                    client.told = Some(told.clone());
                    if was_open {
                        // The server began it: there is nothing more to hear.
                        let _gone = client.flush();
                        return Err(told);
                    }
                }
            }
            Err(Failed::Refused(why)) => return Err(format!("the server answered: {why}")),
            Err(Failed::Violation(error)) => {
                machine.fail(&error, Some(self.voice.random.mask()), out);
                let _lost = client.flush();
                return Err(format!("the server broke the protocol: {error}"));
            }
        }
        client.flush().map_err(|error| error.to_string())
    }

    fn end(&mut self, place: usize, why: &str, listener: &mut impl Listener) {
        let Some(client) = self.clients[place].take() else {
            return;
        };
        let closed = |machine: &Connection| machine.state() == State::Closed;
        let complete = matches!(&client.phase, Phase::Open(machine) if closed(machine));
        // The echo of our own Close frame has its code and nothing else.
        let clean = complete && client.told.as_deref() == Some("1000");
        let took = self.clock.now() - client.begun;
        listener.closed(
            place,
            Ending {
                clean,
                why: why.to_owned(),
                took,
            },
        );
    }
}

const ALARM: Token = Token(usize::MAX);
/// A wait longer than this is left to the poll call.
const ALARM_FROM: Nanos = 5_000_000;
const EVENTS: usize = 1024;
const READ_BYTES: usize = 256 << 10;
const OUT_BYTES_MAX: usize = 64 << 20;

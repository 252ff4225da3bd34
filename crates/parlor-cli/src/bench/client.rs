//! One connection of a test, and what it says.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};

use mio::net::TcpStream;
use parlor::proto::websocket::deflate::{Compressors, Policy};
use parlor::proto::websocket::handshake::ClientHandshake;
use parlor::proto::websocket::{CloseCode, Connection, Kind, Message};

use super::arguments::Dialect;
use super::poster::{self, Poster};
use super::stream::Stream;
use super::time::Nanos;

/// A connection from its socket on.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) phase: Phase,
    /// What the socket has not taken yet.
    pub(super) out: Vec<u8>,
    pub(super) begun: Nanos,
    /// The Close frame of the server: code and reason.
    pub(super) told: Option<String>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// The socket is not connected yet.
    Connecting,
    /// The request was sent; so much of the response has come.
    Opening(Box<(ClientHandshake, Vec<u8>)>),
    /// Messages may travel.
    Open(Connection),
    /// An event stream was asked for; so much of its head has come.
    Heading(Vec<u8>),
    /// An event stream is open.
    Listening(Box<Stream>),
    /// Messages may be posted.
    Posting(Box<Poster>),
}

/// What all connections of a test need for sending.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) random: Random,
    compressors: Compressors,
    kind: Kind,
    /// Path and host of those who post.
    post: (String, String),
    envelope: Vec<u8>,
}

/// What one connection sends on.
#[derive(Debug)]
pub(super) enum Line<'a> {
    WebSocket(&'a mut Connection, Dialect),
    Post,
    /// It only hears.
    Mute,
}

/// Sends on one connection.
#[derive(Debug)]
pub(super) struct Speaker<'a> {
    pub(super) line: Line<'a>,
    pub(super) voice: &'a mut Voice,
    pub(super) out: &'a mut Vec<u8>,
}

/// Numbers for masks and handshakes (splitmix64). Nobody attacks a load test: they need to differ,
/// not to be unguessable.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Client {
    pub(super) const fn new(stream: TcpStream, begun: Nanos) -> Self {
        Self {
            stream,
            phase: Phase::Connecting,
            out: Vec::new(),
            begun,
            told: None,
        }
    }

    /// Hands the socket what it will take.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) if count == self.out.len() => self.out.clear(),
                Ok(count) => drop(self.out.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Voice {
    pub(super) fn new(policy: Policy, kind: Kind, post: (String, String)) -> Self {
        Self {
            random: Random::new(),
            compressors: Compressors::new(policy),
            kind,
            post,
            envelope: Vec::new(),
        }
    }
}

impl Voice {
    fn send(&mut self, machine: &mut Connection, payload: &[u8], out: &mut Vec<u8>) {
        let mask = Some(self.random.mask());
        let message = Message {
            kind: self.kind,
            payload,
            compress: true,
        };
        let _closing = machine.send(message, mask, &mut self.compressors, out);
    }
}

impl Speaker<'_> {
    /// Appends a message, printable ASCII without quotes and backslashes. On a connection that is
    /// closing it is dropped, which the books show.
    pub(super) fn say(&mut self, payload: &[u8]) {
        match &mut self.line {
            Line::WebSocket(machine, dialect @ (Dialect::ParlorV1 | Dialect::SocketIo)) => {
                let (before, after) = match dialect {
                    Dialect::SocketIo => (&br#"42["message",""#[..], &br#""]"#[..]),
                    _ => (&br#"{"type":"message","data":""#[..], &br#""}"#[..]),
                };
                let envelope = &mut self.voice.envelope;
                envelope.clear();
                envelope.extend_from_slice(before);
                envelope.extend_from_slice(payload);
                envelope.extend_from_slice(after);
                let envelope = std::mem::take(envelope);
                self.voice.send(machine, &envelope, self.out);
                self.voice.envelope = envelope;
            }
            Line::WebSocket(machine, _) => self.voice.send(machine, payload, self.out),
            Line::Post => {
                let (path, host) = &self.voice.post;
                poster::request(path, host, payload, self.out);
            }
            Line::Mute => {}
        }
    }

    /// Appends what makes the connection a member, where its opening does not.
    pub(super) fn join(&mut self) {
        match &mut self.line {
            Line::WebSocket(machine, Dialect::ParlorV1) => {
                self.voice.send(machine, br#"{"type":"join"}"#, self.out);
            }
            Line::WebSocket(machine, Dialect::SocketIo) => {
                self.voice.send(machine, b"40", self.out);
            }
            Line::WebSocket(..) | Line::Post | Line::Mute => {}
        }
    }

    /// Appends the answers to pings of Engine.IO.
    pub(super) fn answer(&mut self, pings: u32) {
        if let Line::WebSocket(machine, Dialect::SocketIo) = &mut self.line {
            for _ in 0..pings {
                self.voice.send(machine, b"3", self.out);
            }
        }
    }

    /// Appends a Close frame.
    pub(super) fn close(&mut self) {
        if let Line::WebSocket(machine, _) = &mut self.line {
            let mask = Some(self.voice.random.mask());
            machine.close(Some(CloseCode::NORMAL), "", mask, self.out);
        }
    }
}

impl Random {
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn mask(&mut self) -> [u8; 4] {
        let bytes = self.next().to_le_bytes();
        [bytes[0], bytes[1], bytes[2], bytes[3]]
    }

    pub(super) fn key(&mut self) -> [u8; 16] {
        (u128::from(self.next()) << 64 | u128::from(self.next())).to_le_bytes()
    }

    pub(super) fn test(&mut self) -> u16 {
        let bytes = self.next().to_le_bytes();
        u16::from_le_bytes([bytes[0], bytes[1]])
    }
}

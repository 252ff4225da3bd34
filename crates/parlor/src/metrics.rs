//! What is counted, and how it is told: OpenMetrics.
//!
//! Each shard counts into plain integers of its own and copies them to a board of atomics when it
//! is about to wait, or every few turns; a scrape adds the boards up. What happens outside the
//! shards, which is rare, goes to a board of its own. No label has a value that a client chooses.

mod families;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    metrics::info::Info,
    registry::Registry,
};

use self::families::{
    BYTES_IN, BYTES_OUT, CLOSED, CONNECTIONS, DELIVERED, DROPPED, FAMILIES, HISTORY_BYTES,
    HISTORY_MESSAGES, MAILBOX_BYTES, MEMBERS, MESSAGES_IN, OPENED, OUTBOX_BYTES, PANICS, REFUSED,
    ROOMS, SERIES, SLOW_TURNS,
};

/// The media type of the answer to a scrape.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The door that a connection has come in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    WebSocket,
    Signal,
    Sse,
    /// A handler of the embedder's.
    Endpoint,
    EngineIo,
    SocketIo,
    Echo,
    /// Everything that hyper answers.
    Http,
}

/// Why a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The peer ended it, or a request was answered.
    Peer,
    /// The socket met an error.
    Broken,
    /// The peer broke the rules of its protocol.
    Violation,
    /// The peer sent more than it may.
    Rate,
    /// There was no place in the room.
    Limit,
    /// The peer did not read.
    SlowConsumer,
    /// The peer did not answer.
    Silent,
    /// A fault of ours.
    Fault,
    /// A handler of the embedder's ended it.
    Handler,
    /// The server stops.
    ShuttingDown,
    /// A door claimed the next request of an HTTP connection, which goes on there.
    Claimed,
}

/// Why a request was refused, or a connection before its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Origin,
    Host,
    /// The request is not one for its door: no faultless upgrade, a bad room or query.
    Handshake,
    /// The request is not faultless HTTP, or too large.
    Request,
    /// The head did not come in time.
    Timeout,
    /// The server is full.
    Limit,
    /// The address has as many connections as it may.
    AddressLimit,
    /// A member has said more than it may, by HTTP.
    Rate,
    /// A handler of the embedder's refused it.
    Handler,
    /// The embedder has not decided about it in time.
    Late,
    /// Its client went while the embedder decided.
    Gone,
}

impl Door {
    /// As it is called in metrics and in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        families::DOOR.values[self as usize]
    }
}

impl End {
    /// As it is called in metrics and in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        families::END.values[self as usize]
    }
}

impl Refused {
    /// As it is called in metrics and in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        families::REFUSAL.values[self as usize]
    }

    /// By the status that a request for a door was answered with.
    pub(crate) const fn of_door(status: u16) -> Self {
        match Self::of_request(status) {
            Self::Request => Self::Handshake,
            other => other,
        }
    }

    /// By the status that any other request was answered with.
    pub(crate) const fn of_request(status: u16) -> Self {
        match status {
            403 => Self::Origin,
            408 => Self::Timeout,
            421 => Self::Host,
            429 => Self::AddressLimit,
            503 => Self::Limit,
            _ => Self::Request,
        }
    }
}

/// Why a message did not reach a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It was of low priority, and the member slow.
    Low,
    /// A newer message of the event took its place.
    Conflated,
    /// It waited for a member that was cut for being slow.
    SlowConsumer,
}

/// Messages that a door has taken in and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) messages_in: u64,
    /// Payload bytes of those.
    pub(crate) bytes_in: u64,
    pub(crate) messages_out: u64,
}

/// What a shard holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) connections: usize,
    /// Rooms whose home it is.
    pub(crate) rooms: usize,
    pub(crate) history_messages: usize,
    pub(crate) history_bytes: usize,
    pub(crate) outbox_bytes: usize,
    pub(crate) mailbox_bytes: usize,
}

/// What one shard has counted so far. Plain integers, since only the shard touches them.
#[derive(Debug)]
pub(crate) struct Counters {
    values: [u64; SERIES],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            values: [0; SERIES],
        }
    }
}

impl Counters {
    /// A door has taken a connection in.
    pub(crate) fn opened(&mut self, door: Door) {
        self.values[OPENED.at(door as usize)] += 1;
        if let Some(members) = members(door) {
            self.values[members] += 1;
        }
    }

    /// A connection that a door had taken in has ended.
    pub(crate) fn closed(&mut self, door: Door, end: End) {
        self.values[CLOSED.at_both(door as usize, end as usize)] += 1;
        if let Some(members) = members(door) {
            self.values[members] = self.values[members].saturating_sub(1);
        }
    }

    /// A request, or a connection before its request, was refused.
    pub(crate) fn refused(&mut self, reason: Refused) {
        self.values[REFUSED.at(reason as usize)] += 1;
    }

    /// Messages came in by a door, or went out.
    pub(crate) fn passed(&mut self, door: Door, traffic: Traffic) {
        self.values[MESSAGES_IN.at(door as usize)] += traffic.messages_in;
        self.values[BYTES_IN.at(door as usize)] += traffic.bytes_in;
        self.values[DELIVERED.first] += traffic.messages_out;
    }

    /// So many messages were given to members.
    pub(crate) fn delivered(&mut self, messages: u64) {
        self.values[DELIVERED.first] += messages;
    }

    /// A socket has taken so many bytes.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.values[BYTES_OUT.first] += bytes as u64;
    }

    /// Messages were dropped.
    pub(crate) fn dropped(&mut self, reason: Loss, messages: u64) {
        self.values[DROPPED.at(reason as usize)] += messages;
    }

    /// A turn took long.
    pub(crate) fn slow_turn(&mut self) {
        self.values[SLOW_TURNS.first] += 1;
    }

    /// A session panicked.
    pub(crate) fn panicked(&mut self) {
        self.values[PANICS.first] += 1;
    }

    /// Notes what the shard holds.
    pub(crate) fn hold(&mut self, held: Held) {
        for (gauge, value) in [
            (&CONNECTIONS, held.connections),
            (&ROOMS, held.rooms),
            (&HISTORY_MESSAGES, held.history_messages),
            (&HISTORY_BYTES, held.history_bytes),
            (&OUTBOX_BYTES, held.outbox_bytes),
            (&MAILBOX_BYTES, held.mailbox_bytes),
        ] {
            self.values[gauge.first] = value as u64;
        }
    }
}

/// The gauge of a door's members; none where those who come are no members.
const fn members(door: Door) -> Option<usize> {
    match door {
        Door::WebSocket
        | Door::Signal
        | Door::Sse
        | Door::Endpoint
        | Door::EngineIo
        | Door::SocketIo => Some(MEMBERS.at(door as usize)),
        Door::Echo | Door::Http => None,
    }
}

/// Numbers that one side writes and a scrape reads.
struct Board([AtomicU64; SERIES]);

impl Default for Board {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// The numbers of a server.
#[derive(Default)]
pub(crate) struct Metrics {
    shards: Box<[Board]>,
    /// For those who run beside the shards.
    outside: Board,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

impl Metrics {
    /// The numbers of a server with so many shards, all 0.
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Board::default()).collect(),
            outside: Board::default(),
        }
    }

    /// Shows what a shard has counted so far.
    pub(crate) fn publish(&self, shard: usize, counters: &Counters) {
        if let Some(Board(board)) = self.shards.get(shard) {
            for (shown, value) in board.iter().zip(&counters.values) {
                shown.store(*value, Ordering::Relaxed);
            }
        }
    }

    /// A request was refused on the HTTP path.
    pub(crate) fn refused(&self, reason: Refused) {
        self.add(REFUSED.at(reason as usize));
    }

    /// A handler of the HTTP path panicked.
    pub(crate) fn panicked(&self) {
        self.add(PANICS.first);
    }

    fn add(&self, series: usize) {
        let Board(board) = &self.outside;
        board[series].fetch_add(1, Ordering::Relaxed);
    }

    fn sum(&self, series: usize) -> u64 {
        let boards = self.shards.iter().chain([&self.outside]);
        boards
            .map(|Board(board)| board[series].load(Ordering::Relaxed))
            .fold(0, u64::wrapping_add)
    }
}

/// The numbers of a server as text.
#[derive(Debug)]
pub(crate) struct Exposition(Registry);

impl Exposition {
    /// What a scrape of `metrics` is answered.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("parlor_build", "The program that tells this", build);
        registry.register_collector(Box::new(Tables(metrics)));
        Self(registry)
    }

    /// The text of a scrape.
    ///
    /// # Errors
    ///
    /// None in practice: a string takes all that is written.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// All families of a server's numbers.
#[derive(Debug)]
struct Tables(Arc<Metrics>);

impl Collector for Tables {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in FAMILIES {
            family.encode(&mut encoder, |series| self.0.sum(series))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What is counted, and how it is told: OpenMetrics.
//!
//! Each shard counts into plain integers of its own and copies them to a board of atomics when it
//! is about to wait, or every few turns; a scrape adds the boards up. What happens outside the
//! shards, which is rare, goes to a board of its own. No label has a value that a client chooses.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, text},
    metrics::{MetricType, info::Info},
    registry::{Registry, Unit},
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
}

impl Refused {
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
        Door::WebSocket | Door::Signal | Door::Sse | Door::Endpoint => {
            Some(MEMBERS.at(door as usize))
        }
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
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
            };
            let unit = family.unit.then_some(&Unit::Bytes);
            let mut metric = encoder.encode_descriptor(family.name, family.help, unit, kind)?;
            family.encode(&mut metric, |series| self.0.sum(series))?;
        }
        Ok(())
    }
}

/// A label and all values that it may have.
struct Label {
    name: &'static str,
    values: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// Numbers of one name, which differ in their labels.
struct Family {
    kind: Kind,
    name: &'static str,
    help: &'static str,
    /// Whether it counts bytes; the name then ends in that.
    unit: bool,
    /// None, one or two.
    labels: &'static [&'static Label],
    /// The index of its first number. Those of the last label follow each other.
    first: usize,
}

impl Family {
    const fn first(
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static Label],
    ) -> Self {
        Self {
            kind,
            name,
            help,
            unit: false,
            labels,
            first: 0,
        }
    }

    /// The family behind this one.
    const fn then(
        &self,
        kind: Kind,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static Label],
    ) -> Self {
        Self {
            first: self.end(),
            ..Self::first(kind, name, help, labels)
        }
    }

    /// The same, in bytes.
    const fn bytes(self) -> Self {
        Self { unit: true, ..self }
    }

    /// The index behind its last number.
    const fn end(&self) -> usize {
        let (mut count, mut label) = (1, 0);
        while label < self.labels.len() {
            count *= self.labels[label].values.len();
            label += 1;
        }
        self.first + count
    }

    /// The index of the number with one label's value.
    const fn at(&self, value: usize) -> usize {
        self.first + value
    }

    /// The index of the number with the values of both labels.
    const fn at_both(&self, one: usize, other: usize) -> usize {
        self.first + one * self.labels[1].values.len() + other
    }

    fn encode(
        &self,
        metric: &mut MetricEncoder<'_>,
        number: impl Fn(usize) -> u64,
    ) -> Result<(), fmt::Error> {
        for series in self.first..self.end() {
            let mut rest = series - self.first;
            let mut pairs = Vec::with_capacity(self.labels.len());
            for label in self.labels.iter().rev() {
                let values = label.values;
                pairs.push((label.name, values[rest % values.len()]));
                rest /= values.len();
            }
            pairs.reverse();
            let value = number(series);
            if pairs.is_empty() {
                self.encode_number(metric, value)?;
            } else {
                self.encode_number(&mut metric.encode_family(&pairs)?, value)?;
            }
        }
        Ok(())
    }

    fn encode_number(&self, metric: &mut MetricEncoder<'_>, value: u64) -> Result<(), fmt::Error> {
        match self.kind {
            Kind::Counter => metric.encode_counter::<[(&str, &str); 0], u64, f64>(&value, None),
            Kind::Gauge => metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
        }
    }
}

const DOOR: Label = Label {
    name: "door",
    values: &["websocket", "signal", "sse", "endpoint", "echo", "http"],
};
/// The doors whose connections are members.
const MEMBER_DOOR: Label = Label {
    name: "door",
    values: &["websocket", "signal", "sse", "endpoint"],
};
const END: Label = Label {
    name: "reason",
    values: &[
        "peer",
        "broken",
        "violation",
        "rate",
        "limit",
        "slow_consumer",
        "silent",
        "fault",
        "handler",
        "shutting_down",
        "claimed",
    ],
};
const REFUSAL: Label = Label {
    name: "reason",
    values: &[
        "origin",
        "host",
        "handshake",
        "request",
        "timeout",
        "limit",
        "address_limit",
        "rate",
        "handler",
    ],
};
const DROP: Label = Label {
    name: "reason",
    values: &["low", "conflated", "slow_consumer"],
};

const OPENED: Family = Family::first(
    Kind::Counter,
    "parlor_connections_opened",
    "Connections that a door has taken in",
    &[&DOOR],
);
const CLOSED: Family = OPENED.then(
    Kind::Counter,
    "parlor_connections_closed",
    "Connections of a door that have ended",
    &[&DOOR, &END],
);
const REFUSED: Family = CLOSED.then(
    Kind::Counter,
    "parlor_refusals",
    "Requests refused, and connections before their request",
    &[&REFUSAL],
);
const MESSAGES_IN: Family = REFUSED.then(
    Kind::Counter,
    "parlor_messages_in",
    "Messages that clients have sent",
    &[&DOOR],
);
const BYTES_IN: Family = MESSAGES_IN
    .then(
        Kind::Counter,
        "parlor_messages_in",
        "Payload of the messages that clients have sent",
        &[&DOOR],
    )
    .bytes();
const DELIVERED: Family = BYTES_IN.then(
    Kind::Counter,
    "parlor_messages_out",
    "Messages given to members, each member counted",
    &[],
);
const BYTES_OUT: Family = DELIVERED
    .then(
        Kind::Counter,
        "parlor_sent",
        "What the sockets of doors have taken",
        &[],
    )
    .bytes();
const DROPPED: Family = BYTES_OUT.then(
    Kind::Counter,
    "parlor_messages_dropped",
    "Messages that slow members were not given",
    &[&DROP],
);
const SLOW_TURNS: Family = DROPPED.then(
    Kind::Counter,
    "parlor_slow_turns",
    "Turns of a shard that took more than 100 ms",
    &[],
);
const PANICS: Family = SLOW_TURNS.then(
    Kind::Counter,
    "parlor_panics",
    "Faults that ended one connection or request",
    &[],
);
const CONNECTIONS: Family = PANICS.then(
    Kind::Gauge,
    "parlor_connections",
    "Connections that are open, those whose request has not come included",
    &[],
);
const MEMBERS: Family = CONNECTIONS.then(
    Kind::Gauge,
    "parlor_members",
    "Members that are connected",
    &[&MEMBER_DOOR],
);
const ROOMS: Family = MEMBERS.then(
    Kind::Gauge,
    "parlor_rooms",
    "Rooms, those that only their history keeps included",
    &[],
);
const HISTORY_MESSAGES: Family = ROOMS.then(
    Kind::Gauge,
    "parlor_history_messages",
    "Messages kept for members that come back",
    &[],
);
const HISTORY_BYTES: Family = HISTORY_MESSAGES
    .then(
        Kind::Gauge,
        "parlor_history",
        "Memory of the messages kept for members that come back",
        &[],
    )
    .bytes();
const OUTBOX_BYTES: Family = HISTORY_BYTES
    .then(
        Kind::Gauge,
        "parlor_outbox",
        "What waits for members that read slowly",
        &[],
    )
    .bytes();
const MAILBOX_BYTES: Family = OUTBOX_BYTES
    .then(
        Kind::Gauge,
        "parlor_mailbox",
        "What waits between shards",
        &[],
    )
    .bytes();

const FAMILIES: [Family; 17] = [
    OPENED,
    CLOSED,
    REFUSED,
    MESSAGES_IN,
    BYTES_IN,
    DELIVERED,
    BYTES_OUT,
    DROPPED,
    SLOW_TURNS,
    PANICS,
    CONNECTIONS,
    MEMBERS,
    ROOMS,
    HISTORY_MESSAGES,
    HISTORY_BYTES,
    OUTBOX_BYTES,
    MAILBOX_BYTES,
];

/// How many numbers there are.
const SERIES: usize = MAILBOX_BYTES.end();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_stand_side_by_side() {
        let mut end = 0;
        for family in FAMILIES {
            assert_eq!(family.first, end, "{}", family.name);
            end = family.end();
        }
        assert_eq!(end, SERIES);
        // The labels have a value for each variant.
        assert_eq!(DOOR.values[Door::Http as usize], "http");
        assert_eq!(MEMBER_DOOR.values[Door::Endpoint as usize], "endpoint");
        assert_eq!(END.values[End::Claimed as usize], "claimed");
        assert_eq!(END.values[End::Silent as usize], "silent");
        assert_eq!(REFUSAL.values[Refused::Handler as usize], "handler");
        assert_eq!(REFUSAL.values[Refused::Rate as usize], "rate");
        assert_eq!(DROP.values[Loss::SlowConsumer as usize], "slow_consumer");
    }

    #[test]
    fn a_scrape_adds_up_what_the_shards_have_counted() {
        let metrics = Arc::new(Metrics::new(2));
        let mut counters = [Counters::default(), Counters::default()];
        for (shard, counters) in counters.iter_mut().enumerate() {
            counters.opened(Door::Sse);
            counters.opened(Door::Echo);
            counters.opened(Door::Sse);
            counters.closed(Door::Sse, End::SlowConsumer);
            counters.hold(Held {
                rooms: 3,
                outbox_bytes: 1000,
                ..Held::default()
            });
            metrics.publish(shard, counters);
            // Told again, it does not count twice.
            metrics.publish(shard, counters);
        }
        metrics.publish(2, &counters[0]);
        metrics.refused(Refused::Host);
        metrics.panicked();
        let text = Exposition::new(metrics).text().unwrap();
        for line in [
            "# TYPE parlor_connections_opened counter",
            "parlor_connections_opened_total{door=\"sse\"} 4",
            "parlor_connections_opened_total{door=\"echo\"} 2",
            "parlor_connections_opened_total{door=\"http\"} 0",
            "parlor_connections_closed_total{door=\"sse\",reason=\"slow_consumer\"} 2",
            "parlor_members{door=\"sse\"} 2",
            "parlor_rooms 6",
            "# UNIT parlor_outbox_bytes bytes",
            "parlor_outbox_bytes 2000",
            "parlor_refusals_total{reason=\"host\"} 1",
            "parlor_panics_total 1",
            concat!(
                "parlor_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!text.contains("parlor_members{door=\"echo\"}"), "{text}");
    }
}

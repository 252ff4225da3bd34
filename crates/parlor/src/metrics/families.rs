//! The table of all numbers: names, what they mean, and their labels.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder},
    metrics::MetricType,
    registry::Unit,
};

/// A label and all values that it may have.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) name: &'static str,
    pub(super) values: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// Numbers of one name, which differ in their labels.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// Whether it counts bytes; the name then ends in that.
    pub(super) unit: bool,
    /// None, one or two.
    pub(super) labels: &'static [&'static Label],
    /// The index of its first number. Those of the last label follow each other.
    pub(super) first: usize,
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
    pub(super) const fn end(&self) -> usize {
        let (mut count, mut label) = (1, 0);
        while label < self.labels.len() {
            count *= self.labels[label].values.len();
            label += 1;
        }
        self.first + count
    }

    /// The index of the number with one label's value.
    pub(super) const fn at(&self, value: usize) -> usize {
        self.first + value
    }

    /// The index of the number with the values of both labels.
    pub(super) const fn at_both(&self, one: usize, other: usize) -> usize {
        self.first + one * self.labels[1].values.len() + other
    }

    /// Writes the family; `number` tells each number by its index.
    pub(super) fn encode(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        number: impl Fn(usize) -> u64,
    ) -> Result<(), fmt::Error> {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let unit = self.unit.then_some(&Unit::Bytes);
        let mut metric = encoder.encode_descriptor(self.name, self.help, unit, kind)?;
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
                self.encode_number(&mut metric, value)?;
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

pub(super) const DOOR: Label = Label {
    name: "door",
    values: &[
        "websocket",
        "signal",
        "sse",
        "endpoint",
        "engineio",
        "socketio",
        "echo",
        "http",
    ],
};
/// The doors whose connections are members.
pub(super) const MEMBER_DOOR: Label = Label {
    name: "door",
    values: &[
        "websocket",
        "signal",
        "sse",
        "endpoint",
        "engineio",
        "socketio",
    ],
};
pub(super) const END: Label = Label {
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
pub(super) const REFUSAL: Label = Label {
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
        "late",
        "gone",
    ],
};
pub(super) const DROP: Label = Label {
    name: "reason",
    values: &["low", "conflated", "slow_consumer"],
};

pub(super) const OPENED: Family = Family::first(
    Kind::Counter,
    "parlor_connections_opened",
    "Connections that a door has taken in",
    &[&DOOR],
);
pub(super) const CLOSED: Family = OPENED.then(
    Kind::Counter,
    "parlor_connections_closed",
    "Connections of a door that have ended",
    &[&DOOR, &END],
);
pub(super) const REFUSED: Family = CLOSED.then(
    Kind::Counter,
    "parlor_refusals",
    "Requests refused, and connections before their request",
    &[&REFUSAL],
);
pub(super) const MESSAGES_IN: Family = REFUSED.then(
    Kind::Counter,
    "parlor_messages_in",
    "Messages that clients have sent",
    &[&DOOR],
);
pub(super) const BYTES_IN: Family = MESSAGES_IN
    .then(
        Kind::Counter,
        "parlor_messages_in",
        "Payload of the messages that clients have sent",
        &[&DOOR],
    )
    .bytes();
pub(super) const DELIVERED: Family = BYTES_IN.then(
    Kind::Counter,
    "parlor_messages_out",
    "Messages given to members, each member counted",
    &[],
);
pub(super) const BYTES_OUT: Family = DELIVERED
    .then(
        Kind::Counter,
        "parlor_sent",
        "What the sockets of doors have taken",
        &[],
    )
    .bytes();
pub(super) const DROPPED: Family = BYTES_OUT.then(
    Kind::Counter,
    "parlor_messages_dropped",
    "Messages that slow members were not given",
    &[&DROP],
);
pub(super) const SLOW_TURNS: Family = DROPPED.then(
    Kind::Counter,
    "parlor_slow_turns",
    "Turns of a shard that took more than 100 ms",
    &[],
);
pub(super) const PANICS: Family = SLOW_TURNS.then(
    Kind::Counter,
    "parlor_panics",
    "Faults that ended one connection or request",
    &[],
);
pub(super) const CONNECTIONS: Family = PANICS.then(
    Kind::Gauge,
    "parlor_connections",
    "Connections that are open, those whose request has not come included",
    &[],
);
pub(super) const MEMBERS: Family = CONNECTIONS.then(
    Kind::Gauge,
    "parlor_members",
    "Members that are connected",
    &[&MEMBER_DOOR],
);
pub(super) const ROOMS: Family = MEMBERS.then(
    Kind::Gauge,
    "parlor_rooms",
    "Rooms, those that only their history keeps included",
    &[],
);
pub(super) const HISTORY_MESSAGES: Family = ROOMS.then(
    Kind::Gauge,
    "parlor_history_messages",
    "Messages kept for members that come back",
    &[],
);
pub(super) const HISTORY_BYTES: Family = HISTORY_MESSAGES
    .then(
        Kind::Gauge,
        "parlor_history",
        "Memory of the messages kept for members that come back",
        &[],
    )
    .bytes();
pub(super) const OUTBOX_BYTES: Family = HISTORY_BYTES
    .then(
        Kind::Gauge,
        "parlor_outbox",
        "What waits for members that read slowly",
        &[],
    )
    .bytes();
pub(super) const MAILBOX_BYTES: Family = OUTBOX_BYTES
    .then(
        Kind::Gauge,
        "parlor_mailbox",
        "What waits between shards",
        &[],
    )
    .bytes();

pub(super) const FAMILIES: [Family; 17] = [
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
pub(super) const SERIES: usize = MAILBOX_BYTES.end();

//! What a load test can be told.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use parlor::config::{ByteSize, TimeText, ValueError};
use parlor::proto::websocket::Kind;

use super::pace::Pace;

/// What to do to the server.
#[derive(Debug, Subcommand)]
pub(super) enum Scenario {
    /// Members of one room: each message must reach all the others.
    Fanout(Fanout),
    /// Event streams of one room: what is published must reach all of them.
    Sse(Sse),
    /// Connections whose messages come back, as at `/echo`.
    Echo(Echo),
    /// Connections that are opened and held: what they cost.
    Idle(Idle),
    /// Connections that open and close again and again.
    Churn(Churn),
    /// Sessions that lose their server at one moment: how evenly and how soon they come back.
    Reconnect(Reconnect),
}

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    /// Opaque frames over WebSocket.
    Raw,
    /// JSON over WebSocket.
    #[value(name = "parlor.v1")]
    ParlorV1,
    /// Socket.IO 5 over Engine.IO 4 on WebSocket, text only.
    #[value(name = "socket.io")]
    SocketIo,
    /// An event stream, which only hears.
    Sse,
}

/// How something is said in a room of event streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Uplink {
    /// By POST requests, pipelined on one connection for each publisher.
    Post,
    /// As a member that speaks opaque frames.
    Websocket,
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// The server's door, as ws://HOST:PORT/PATH (or http://). It must be on this machine.
    pub(super) url: String,
    /// How long to measure, 100ms to 1h.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(super) time: Duration,
    /// Measures the CPU time and the memory of this process, the server.
    #[arg(long, value_name = "PID")]
    pub(super) pid: Option<u32>,
    /// Prints one JSON object in place of the table.
    #[arg(long)]
    pub(super) json: bool,
    /// Offers permessage-deflate as a browser does.
    #[arg(long)]
    pub(super) deflate: bool,
    /// Connects from this many addresses, 127.0.0.1 on, for more than 28,000 connections.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(1..))]
    pub(super) sources: u8,
    /// Allows a server that is not on this machine. A load test of somebody else's is an attack.
    #[arg(long)]
    pub(super) i_own_this_server: bool,
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Traffic {
    /// How many messages are under way at a time (per connection in `echo`).
    #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with = "rate",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    window: u32,
    /// Sends this many messages a second in place of a window. The latency of each counts from the
    /// moment at which it was due.
    #[arg(long, value_name = "PER-SECOND",
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,
    /// The size of a message, 32B to 16MiB.
    #[arg(long, value_name = "SIZE", default_value = "64", value_parser = size)]
    pub(super) size: usize,
    /// Sends binary messages in place of text.
    #[arg(long)]
    binary: bool,
    /// How long to send before the measuring begins.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time)]
    pub(super) warmup: Duration,
    /// Sends at most this many messages.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000_000)]
    pub(super) max: u32,
    /// How long to wait for a message that does not come.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time)]
    pub(super) patience: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Fanout {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) traffic: Traffic,
    /// How many members the room has.
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(super) members: u32,
    /// How many of them send, in turn.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub(super) publishers: u16,
    /// What the members speak: raw, parlor.v1 or socket.io.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "raw",
        hide_possible_values = true
    )]
    pub(super) dialect: Dialect,
}

#[derive(Debug, Args)]
pub(super) struct Sse {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) traffic: Traffic,
    /// How many event streams there are.
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) subscribers: u32,
    /// How many publishers there are beside them, which send in turn.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub(super) publishers: u16,
    /// How they publish: post or websocket, at the doors of the same room.
    #[arg(
        long,
        value_name = "HOW",
        default_value = "post",
        hide_possible_values = true
    )]
    pub(super) publish: Uplink,
}

#[derive(Debug, Args)]
pub(super) struct Echo {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) traffic: Traffic,
    /// How many connections there are.
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u16).range(1..=60_000))]
    pub(super) connections: u16,
}

#[derive(Debug, Args)]
pub(super) struct Idle {
    #[command(flatten)]
    pub(super) common: Common,
    /// How many connections to open and hold.
    #[arg(long, value_name = "COUNT", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) connections: u32,
    /// What they speak: raw, parlor.v1 (each a member of the path's room), socket.io or sse.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "raw",
        hide_possible_values = true
    )]
    pub(super) dialect: Dialect,
}

#[derive(Debug, Args)]
pub(super) struct Churn {
    #[command(flatten)]
    pub(super) common: Common,
    /// How many connections there are at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) connections: u32,
    /// Stops after this many connections.
    #[arg(long, value_name = "COUNT", default_value_t = 50_000)]
    pub(super) max: u64,
    /// What they speak: raw, parlor.v1 or socket.io, which is open once its namespace is.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "raw",
        hide_possible_values = true
    )]
    pub(super) dialect: Dialect,
}

#[derive(Debug, Args)]
pub(super) struct Reconnect {
    /// The server's door of parlor.v1, as ws://HOST:PORT/signal. It must be on this machine.
    pub(super) url: String,
    /// How many sessions there are, in rooms of ten. They are those of the library's client, all in
    /// one thread.
    #[arg(long, value_name = "COUNT", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=28_000))]
    pub(super) connections: u32,
    /// Over how long a session spreads its next attempt, 100ms to 1h.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub(super) spread: Duration,
    /// Runs the server too: this program's, at the URL's address, killed and started again once all
    /// sessions are in their rooms. Without it you are asked to restart yours.
    #[arg(long)]
    pub(super) restart: bool,
    /// How long to wait for the loss, and then until all are back.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(super) patience: Duration,
    /// Prints one JSON object in place of the table.
    #[arg(long)]
    json: bool,
    /// Allows a server that is not on this machine. A load test of somebody else's is an attack.
    #[arg(long)]
    pub(super) i_own_this_server: bool,
}

impl Scenario {
    /// Whether to print JSON.
    pub(super) const fn json(&self) -> bool {
        match self {
            Self::Fanout(arguments) => arguments.common.json,
            Self::Sse(arguments) => arguments.common.json,
            Self::Echo(arguments) => arguments.common.json,
            Self::Idle(arguments) => arguments.common.json,
            Self::Churn(arguments) => arguments.common.json,
            Self::Reconnect(arguments) => arguments.json,
        }
    }
}

impl Dialect {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::ParlorV1 => "parlor.v1",
            Self::SocketIo => "socket.io",
            Self::Sse => "sse",
        }
    }
}

impl Uplink {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Websocket => "websocket",
        }
    }
}

impl Traffic {
    pub(super) fn pace(&self) -> Pace {
        match self.rate {
            Some(rate) => Pace::Rate(u64::from(rate)),
            None => Pace::Window(u64::from(self.window)),
        }
    }

    /// What messages are sent as.
    pub(super) const fn kind(&self) -> Kind {
        if self.binary {
            Kind::Binary
        } else {
            Kind::Text
        }
    }
}

fn time(text: &str) -> Result<Duration, ValueError> {
    let TimeText(time) = text.parse()?;
    if (TIME_MIN..=TIME_MAX).contains(&time) {
        return Ok(time);
    }
    let [least, most] = [TIME_MIN, TIME_MAX].map(|time| TimeText(time).to_string());
    Err(ValueError::OutOfRange { least, most })
}

fn size(text: &str) -> Result<usize, ValueError> {
    let ByteSize(size) = text.parse()?;
    let range = SIZE_MIN..=SIZE_MAX;
    usize::try_from(size)
        .ok()
        .filter(|_| range.contains(&size))
        .ok_or_else(|| {
            let [least, most] = [SIZE_MIN, SIZE_MAX].map(|size| ByteSize(size).to_string());
            ValueError::OutOfRange { least, most }
        })
}

const TIME_MIN: Duration = Duration::from_millis(1);
const TIME_MAX: Duration = Duration::from_secs(3600);
const SIZE_MIN: u64 = 32;
const SIZE_MAX: u64 = 16 << 20;

//! Everything that is not a door of the shard: hyper and axum behind a strict gate.
//!
//! One connection is one future, run on the shard's own current-thread runtime. The gate stands
//! between the socket and hyper: it reads each request head by the rules of [`crate::front`],
//! follows each body, keeps the deadlines and the limits, and lets only the bytes of one faultless
//! message at a time through. A request that a door claims never reaches hyper: the connection is
//! taken apart and handed back.

mod assets;
mod body;
mod bundle;
mod coding;
mod connection;
mod entrance;
mod exchange;
mod gate;
pub(crate) mod metrics;
pub(crate) mod polling;
pub(crate) mod rooms;
mod routes;
mod service;
mod stream;
mod upload;
mod visits;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use self::assets::Assets;
pub(crate) use self::bundle::{Bundle, routes as bundle_routes};
pub(crate) use self::connection::serve;
pub(crate) use self::entrance::{Entrance, Patience};
pub(crate) use self::routes::{Routes, router};
pub(crate) use self::visits::Reception;
pub use self::visits::Visits;
use crate::front::{Head, HeadLimits};
use crate::metrics::Metrics;
use crate::policy::{Checks, Policy};

/// The bounds of an HTTP connection. What is over one of them gets the status named, and the
/// connection is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Those of the head.
    pub(crate) head: HeadLimits,
    /// From the first byte of a head to its end, and from the accept to the first byte: 10 s.
    /// Then 408, or just closed where no byte came.
    pub(crate) head_timeout: Duration,
    /// From the end of the head to the end of the body: 30 s. Then 408. Time in which the handler
    /// does not read counts only once it reads again and finds nothing there.
    pub(crate) body_timeout: Duration,
    /// Between two requests: 75 s. Then closed.
    pub(crate) idle_timeout: Duration,
    /// How long a client may take no byte of a response: 30 s. Then cut.
    pub(crate) write_timeout: Duration,
    /// How long a handler goes on when the client has closed its side before the first byte of the
    /// response: 250 ms. Clients that only close the side on which they have nothing more to say
    /// look the same as those that are gone; quick answers reach them.
    pub(crate) half_close_grace: Duration,
    /// How long a connection closed by us is still read, so that the client sees the last answer
    /// and not a reset: 2 s.
    pub(crate) linger_timeout: Duration,
    /// The largest request body, in bytes, without chunk framing: 1 MiB. Then 413.
    pub(crate) body_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            half_close_grace: Duration::from_millis(250),
            linger_timeout: Duration::from_secs(2),
            body_bytes_max: 1024 * 1024,
        }
    }
}

/// Whether a door answers a request itself. Asked for every faultless head, before policy and
/// routes; the door applies the policy and refuses what it must.
pub(crate) type Claims = Box<dyn Fn(&Head<'_, '_>) -> bool + Send + Sync>;

/// What answers requests, whoever has read them.
pub(crate) struct Site {
    /// Who may ask.
    pub(crate) policy: Policy,
    /// Whether those who serve a path check themselves where a request comes from and how long
    /// its body is.
    pub(crate) checks: Box<dyn Fn(&str) -> Checks + Send + Sync>,
    /// The routes.
    pub(crate) router: Router,
    /// Where refusals and panics are counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// What every HTTP connection of a shard shares.
pub(crate) struct Context {
    /// The bounds.
    pub(crate) limits: Limits,
    /// What a door takes.
    pub(crate) claims: Claims,
    /// What answers the rest.
    pub(crate) site: Site,
    /// True once the server stops: idle connections close, running requests finish. A dropped
    /// sender means the same.
    pub(crate) stopping: watch::Receiver<bool>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("limits", &self.limits)
            .field("policy", &self.site.policy)
            .finish_non_exhaustive()
    }
}

/// A socket that belongs to the HTTP path.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// Every byte read from it so far.
    pub(crate) read: Bytes,
    /// When it was accepted, or when the first of those bytes came: the deadline of the first head
    /// counts from here.
    pub(crate) since: Instant,
    /// The other end.
    pub(crate) peer: SocketAddr,
}

/// How an HTTP connection ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Closed.
    Done,
    /// A door claimed the next request.
    Taken(Taken),
}

/// A connection that was taken apart because a door claimed a request on it. Nothing of that
/// request has been answered, and every earlier response has been written.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// The bytes read and not used: they begin with the claimed head, which is complete and passes
    /// [`crate::front::read_head`]; whatever was read behind it follows.
    pub(crate) read: Bytes,
    /// The length of that head in bytes.
    pub(crate) head_len: usize,
}

#[cfg(test)]
mod tests;

//! Settings of Engine.IO.

use std::fmt;
use std::time::Duration;

use super::{Cookie, Cors, Deflate};

/// How Engine.IO is served at one path: below Socket.IO
/// ([`SocketIo::engine`](super::SocketIo::engine)), or by itself
/// ([`Builder::engineio`](crate::Builder::engineio)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineIo {
    /// From the opening of a session, and from each pong, to the next ping; at most a day.
    /// Default: 25 s.
    pub ping_interval: Duration,
    /// From a ping to its pong; past it the session ends. At most a day. Default: 20 s.
    pub ping_timeout: Duration,
    /// From the opening of a second transport to its being used; past it that one is closed. At
    /// most a day. Default: 10 s.
    pub upgrade_timeout: Duration,
    /// The most bytes of a POST and of a WebSocket message; past it 413, or close code 1009.
    /// Clients are told it as `maxPayload`. Default: 1,000,000.
    pub payload_bytes_max: usize,
    /// The ways that clients may come. Default: [`Transports::Both`].
    pub transports: Transports,
    /// Whether a client may go on from polling to WebSocket. Default: yes.
    pub upgrades: bool,
    /// Whether revision 3 is spoken too, as clients 1 and 2 of Socket.IO do. Default: no;
    /// `parlor serve` says yes.
    pub legacy: bool,
    /// Whether answers are scripts where revision 3 asks for that. Such requests carry no
    /// `Origin`, so any page can make them. Default: no.
    pub jsonp: bool,
    /// Who may come from pages of other origins, and what they are told. Default: none, so that it
    /// is as with all doors: the policy's origins are let in, their own origin is told, and
    /// credentials are allowed.
    pub cors: Option<Cors>,
    /// The cookie that tells a new client its session's id, in the answer that opens the session.
    /// Nothing here reads it; a balancer may. Default: none.
    pub cookie: Option<Cookie>,
    /// Answers of polling of so many bytes are compressed for clients that accept gzip or deflate;
    /// 0 compresses none. Default: 1,024.
    pub compress_bytes_min: usize,
    /// Whether and how WebSocket messages are compressed. Default: [`Deflate::Off`].
    pub deflate: Deflate,
}

impl Default for EngineIo {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            payload_bytes_max: 1_000_000,
            transports: Transports::default(),
            upgrades: true,
            legacy: false,
            jsonp: false,
            cors: None,
            cookie: None,
            compress_bytes_min: 1024,
            deflate: Deflate::Off,
        }
    }
}

/// The ways that clients of Engine.IO may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Transports {
    /// By long-polling and by WebSocket.
    #[default]
    Both,
    /// By long-polling alone.
    Polling,
    /// By WebSocket alone.
    WebSocket,
}

impl Transports {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "both" => Self::Both,
            "polling" => Self::Polling,
            "websocket" => Self::WebSocket,
            _ => return None,
        })
    }
}

impl fmt::Display for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Both => "both",
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        })
    }
}

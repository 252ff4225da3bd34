//! What all sessions of a server have in common.

use std::time::Duration;

/// Settings of a server, the same for all its sessions.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "settings are set one by one")]
pub struct Options {
    /// Version 4: from the opening, and from each pong, to the next ping. Default 25 s.
    pub ping_interval: Duration,
    /// Version 4: from a ping to its pong. Version 3: the client must ping within both together.
    /// Default 20 s.
    pub ping_timeout: Duration,
    /// From the second transport's opening to the client's Upgrade packet. Default 10 s.
    pub upgrade_timeout: Duration,
    /// How long a session that we closed waits for a GET to say so. Default 30 s.
    pub close_timeout: Duration,
    /// Which transports are served. Default both.
    pub transports: Transports,
    /// Whether a session may go from polling to WebSocket. Default yes.
    pub upgrades: Upgrades,
    /// Which revisions are served. Default version 4.
    pub versions: Versions,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(30),
            transports: Transports::Both,
            upgrades: Upgrades::Offered,
            versions: Versions::V4,
            limits: Limits::default(),
        }
    }
}

/// Which transports are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "two transports make three sets")]
pub enum Transports {
    /// Polling and WebSocket.
    Both,
    /// Polling alone.
    Polling,
    /// WebSocket alone.
    WebSocket,
}

/// Whether a polling session may go on over WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "it may or it may not")]
pub enum Upgrades {
    /// The handshake offers it.
    Offered,
    /// It is not offered, and refused.
    Refused,
}

/// Which revisions of the protocol are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "version 4 is always served")]
pub enum Versions {
    /// Version 4.
    V4,
    /// Versions 4 and 3.
    V4V3,
    /// Versions 4 and 3, and JSONP in version 3. JSONP requests carry no `Origin`, so any page can
    /// make them.
    V4V3Jsonp,
}

/// The bounds of a session.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "bounds are set one by one")]
pub struct Limits {
    /// The longest body of a POST and the longest WebSocket message, in bytes; told to the client
    /// as `maxPayload`. Default 1,000,000. It is checked where bytes are first kept, by whoever
    /// reads them: a POST over it is told with [`Session::post_too_large`].
    ///
    /// [`Session::post_too_large`]: super::Session::post_too_large
    pub payload_bytes_max: usize,
    /// The most packets in one POST. Default 131,072, which is more events than fit in 1,000,000
    /// bytes. One more ends the session.
    pub payload_packets_max: usize,
    /// The most bytes that wait for a GET; each packet is charged 64 bytes besides its data.
    /// Default 1 MiB. More ends the session; one message is taken however long it is.
    pub buffered_bytes_max: usize,
    /// The most packets in the answer to a GET. Default 16: python-engineio reads no more.
    pub response_packets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1_000_000,
            payload_packets_max: 131_072,
            buffered_bytes_max: 1 << 20,
            response_packets_max: 16,
        }
    }
}

//! What a server can be told: plain data, read from text by one table of settings.
//!
//! An embedder fills in [`Config`] directly. A program that reads files, variables or arguments
//! uses [`Config::set`], which knows every setting by its key; the same table ([`SETTINGS`]) gives
//! the command line its flags and the documentation its rows.

mod cookie;
mod cors;
mod engineio;
mod rows;
mod settings;
mod socketio;
mod table;
mod text;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use self::cookie::{Cookie, CookiePriority, SameSite};
pub use self::cors::{Cors, CorsOrigins, Preflight};
pub use self::engineio::{EngineIo, Transports};
pub use self::settings::{Group, Setting, nearest_key, same_key};
pub use self::socketio::SocketIo;
pub use self::table::SETTINGS;
pub use self::text::{ByteSize, TimeText, ValueError};

/// Everything a server can be told. Make one with `Config::default()`, change what should differ.
///
/// The fields are checked once, by [`Config::validate`], when the server is built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The addresses to listen on. Default: port 8080 of `127.0.0.1` and `[::1]`.
    pub listen: Vec<SocketAddr>,
    /// How many shards (threads that own connections) to run, 1 to 1,024. Default `None`: one for
    /// each core that the process may use; [`Config::shard_count`] gives the number.
    pub shards: Option<NonZeroUsize>,
    /// An address where only `/metrics`, `/healthz` and `/readyz` are served, to whoever can reach
    /// it. Default: none; `/metrics` is then served beside the doors while all of
    /// [`listen`](Self::listen) is loopback, and nowhere otherwise.
    pub metrics_listen: Option<SocketAddr>,
    /// A directory whose files are served beside the doors. Default: none.
    pub static_dir: Option<PathBuf>,
    /// Origins that may connect from a browser beside the page's own, as `scheme://host` or
    /// `scheme://host:port`. Default: none.
    pub origins: Vec<String>,

    /// The most connections at one time; past it a newcomer gets 503. Default `None`: 90 % of the
    /// descriptor limit; [`Config::connection_limit`] gives the number.
    pub connections_max: Option<NonZeroUsize>,
    /// The most connections of one address; past it a newcomer gets 429. Default: 0, no limit.
    pub connections_per_address_max: usize,
    /// Over how long the goodbyes are spread when the server stops. Default: 10 s.
    pub drain: Duration,
    /// The time from a connection's first byte to the end of its request head. Default: 10 s.
    pub head_timeout: Duration,
    /// The most bytes of a request head; past it 431. Default: 16 KiB.
    pub head_bytes_max: usize,
    /// The most fields of a request head; past it 431. Default: 100.
    pub head_fields_max: usize,
    /// The most bytes of a request target; past it 414. Default: 8 KiB.
    pub target_bytes_max: usize,
    /// The most bytes of a request body; past it 413. Default: 1 MiB.
    pub http_body_bytes_max: usize,
    /// The time for a whole request body; past it 408. Default: 30 s.
    pub http_body_timeout: Duration,
    /// How long a kept-alive connection may wait for its next request. Default: 75 s.
    pub http_idle_timeout: Duration,

    /// The most bytes of one message, inflated; past it close code 1009. Default: 1 MiB.
    pub message_bytes_max: usize,
    /// The most fragments of one message, empty ones included; past it close code 1008.
    /// Default: 4,096.
    pub message_fragments_max: usize,
    /// Whether and how messages are compressed. Default: [`Deflate::Shared`].
    pub deflate: Deflate,
    /// How long a connection may be silent before it is pinged. Default: 25 s.
    pub ping_interval: Duration,
    /// How long a pinged connection has to answer before it is cut. Default: 20 s.
    pub ping_timeout: Duration,
    /// How long a closing handshake may take before the connection is cut. Default: 5 s.
    pub close_timeout: Duration,

    /// The most unsent bytes of one member; past it close code 1013. An empty outbox takes any one
    /// permitted message. Default: 1 MiB.
    pub outbox_bytes_max: usize,
    /// The most unsent messages of one member; past it close code 1013. Default: 65,536.
    pub outbox_messages_max: usize,
    /// How long a member with unsent bytes may take none before it is closed with 1013.
    /// Default: 10 s.
    pub outbox_stall: Duration,
    /// The most unsent bytes of all members of one shard; past it the largest outbox is cut first.
    /// Sessions of Socket.IO that can be recovered keep as much again, and past it more than their
    /// share no longer. Default: 256 MiB.
    pub outbox_shard_bytes_max: usize,
    /// The most rooms that one member may be in. Default: 256.
    pub rooms_per_member_max: usize,
    /// The most bytes of a member's name. Default: 128.
    pub member_name_bytes_max: usize,
    /// The most rooms; past it the room that has been empty longest goes. Default: 100,000.
    pub rooms_max: usize,
    /// The most members of one room. Default: 1,000,000.
    pub members_per_room_max: usize,
    /// The most members of a room that tells who comes and goes. Default: 1,000.
    pub presence_members_max: usize,
    /// What a member loses first that is too slow for a room. Default: [`SlowPolicy::DropLow`].
    pub slow: SlowPolicy,
    /// Messages a second that one member may send; past it close code 1008. Default: 0, no limit.
    pub messages_per_second: usize,
    /// Message bytes a second that one member may send; past it close code 1008. Default: 0, no
    /// limit.
    pub bytes_per_second: usize,

    /// The most messages of a room that are kept for those who come back. Default: 256.
    pub history_messages: usize,
    /// How long a message is kept. Default: 120 s.
    pub history_age: Duration,
    /// The most bytes of a room's messages that are kept. Default: 1 MiB.
    pub history_bytes: usize,
    /// The most bytes of all rooms' messages that are kept. Default: 256 MiB.
    pub history_bytes_total: usize,
    /// Rooms that differ, by patterns over their names; the first that matches counts. At most
    /// 256. Default: none.
    pub rooms: Vec<RoomRule>,

    /// How often an event stream gets a comment. Default: 15 s.
    pub sse_heartbeat: Duration,
    /// How long event streams wait before they reconnect. Default: 3 s.
    pub sse_retry: Duration,
    /// Whether event streams are compressed. Default: [`SseGzip::Off`].
    pub sse_gzip: SseGzip,

    /// Which files of a Socket.IO client are served below the path of Socket.IO. Default:
    /// [`ClientFiles::Auto`].
    pub socketio_client: ClientFiles,

    /// Socket.IO.
    pub socketio: SocketIo,
}

/// Whether permessage-deflate (RFC 7692) is answered when a client offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Deflate {
    /// Never.
    Off,
    /// Without context takeover in either direction: one inflater a shard, and a message to many
    /// is deflated once.
    #[default]
    Shared,
    /// With context takeover where the client wants it: smaller messages, but a compressor and
    /// some 300 KiB for each connection. For few members.
    Takeover,
}

/// Where the files of a Socket.IO client come from that pages load from the server:
/// `socket.io.js` and its other forms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientFiles {
    /// From `node_modules/socket.io-client/dist` of the working directory where that is there when
    /// the server is built; otherwise Parlor's own.
    #[default]
    Auto,
    /// Parlor's own small client, which has no form for msgpack and no maps.
    Own,
    /// None is served.
    Off,
    /// From this directory: the `dist` of the npm package `socket.io-client`. Each file has at
    /// most 4 MiB.
    Dir(PathBuf),
}

/// What a member loses first that does not read as fast as a room speaks. If it is not enough the
/// member is closed, and may come back and resume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// Its unsent messages of low priority.
    #[default]
    DropLow,
    /// Of its unsent messages of one event, all but the newest; and those of low priority.
    Conflate,
    /// Nothing.
    Close,
}

/// Whether event streams are compressed for clients that accept gzip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SseGzip {
    /// Never.
    #[default]
    Off,
    /// Each event by itself, once for all streams.
    Shared,
}

/// Rooms that differ from the others; made by [`Config::room_rule`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomRule {
    /// Which rooms: `*` stands for any characters, also none; everything else for itself. 1 to 128
    /// bytes without control characters.
    pub pattern: String,
    /// In place of [`Config::history_messages`].
    pub history_messages: usize,
    /// In place of [`Config::history_age`].
    pub history_age: Duration,
    /// In place of [`Config::history_bytes`].
    pub history_bytes: usize,
    /// In place of [`Config::slow`].
    pub slow: SlowPolicy,
}

/// A setting that does not exist, or a value that it does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such key.
    #[error("there is no setting `{key}`{}", did_you_mean(*.nearest))]
    UnknownKey {
        /// The key as it was given.
        key: String,
        /// The key that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The key exists, the value is wrong.
    #[error("`{key}` cannot be `{value}`: {reason}")]
    BadValue {
        /// The key of the setting.
        key: &'static str,
        /// The value as it was given.
        value: String,
        /// What is wrong with it.
        reason: ValueError,
    },
    /// There are too many rules for rooms.
    #[error(
        "there are {count} rules for rooms, and at most {} are taken",
        ROOM_RULES_MAX
    )]
    LimitRoomRules {
        /// How many there are.
        count: usize,
    },
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", bind_reason(.source))]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN.to_vec(),
            shards: None,
            metrics_listen: None,
            static_dir: None,
            origins: Vec::new(),
            connections_max: None,
            connections_per_address_max: 0,
            drain: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            head_bytes_max: 16 * KIB,
            head_fields_max: 100,
            target_bytes_max: 8 * KIB,
            http_body_bytes_max: MIB,
            http_body_timeout: Duration::from_secs(30),
            http_idle_timeout: Duration::from_secs(75),
            message_bytes_max: MIB,
            message_fragments_max: 4096,
            deflate: Deflate::default(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            outbox_bytes_max: MIB,
            outbox_messages_max: 65_536,
            outbox_stall: Duration::from_secs(10),
            outbox_shard_bytes_max: 256 * MIB,
            rooms_per_member_max: 256,
            member_name_bytes_max: 128,
            rooms_max: 100_000,
            members_per_room_max: 1_000_000,
            presence_members_max: 1000,
            slow: SlowPolicy::default(),
            messages_per_second: 0,
            bytes_per_second: 0,
            history_messages: 256,
            history_age: Duration::from_secs(120),
            history_bytes: MIB,
            history_bytes_total: 256 * MIB,
            rooms: Vec::new(),
            sse_heartbeat: Duration::from_secs(15),
            sse_retry: Duration::from_secs(3),
            sse_gzip: SseGzip::default(),
            socketio_client: ClientFiles::default(),
            socketio: SocketIo::default(),
        }
    }
}

impl Config {
    /// Sets one setting from text, as a file, a variable or an argument holds it. The key may be
    /// written with `_` or `-`. A list is separated by commas and replaces what was there.
    ///
    /// ```
    /// let mut config = parlor::Config::default();
    /// config.set("message-bytes-max", "64KiB")?;
    /// assert_eq!(config.message_bytes_max, 65_536);
    /// # Ok::<(), parlor::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownKey`] when no setting has this key, [`ConfigError::BadValue`] when
    /// the text is not a value of it. The configuration is unchanged then.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), ConfigError> {
        settings::apply(SETTINGS, self, key, text)
    }

    /// Checks that every field is in its range, those of the rules for rooms too.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BadValue`] for the first field that is not, [`ConfigError::LimitRoomRules`]
    /// for more than 256 rules.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut scratch = Self {
            rooms: Vec::new(),
            ..self.clone()
        };
        SETTINGS
            .iter()
            .try_for_each(|setting| setting.check(self, &mut scratch))?;
        if self.rooms.len() > ROOM_RULES_MAX {
            let count = self.rooms.len();
            return Err(ConfigError::LimitRoomRules { count });
        }
        self.rooms.iter().try_for_each(|rule| {
            let bad = |reason| ConfigError::BadValue {
                key: "pattern",
                value: rule.pattern.clone(),
                reason,
            };
            text::pattern(&rule.pattern).map_err(bad)?;
            let holds = self.in_rooms_of(rule);
            let settings = SETTINGS.iter().filter(|it| ROOM_KEYS.contains(&it.key));
            { settings }.try_for_each(|setting| setting.check(&holds, &mut scratch))
        })
    }

    /// What holds in the rooms of a rule: everything as it is here, but for its own fields. The
    /// counterpart of [`Config::room_rule`].
    #[must_use]
    pub fn in_rooms_of(&self, rule: &RoomRule) -> Self {
        Self {
            history_messages: rule.history_messages,
            history_age: rule.history_age,
            history_bytes: rule.history_bytes,
            slow: rule.slow,
            rooms: Vec::new(),
            ..self.clone()
        }
    }

    /// A rule for the rooms of a pattern, with everything as it stands here. Change what should
    /// differ, and append it to [`Config::rooms`].
    ///
    /// ```
    /// let mut config = parlor::Config::default();
    /// let mut rule = config.room_rule("chat-*");
    /// rule.history_messages = 10;
    /// config.rooms.push(rule);
    /// assert_eq!(config.validate(), Ok(()));
    /// ```
    #[must_use]
    pub fn room_rule(&self, pattern: impl Into<String>) -> RoomRule {
        RoomRule {
            pattern: pattern.into(),
            history_messages: self.history_messages,
            history_age: self.history_age,
            history_bytes: self.history_bytes,
            slow: self.slow,
        }
    }

    /// How many shards to run: [`Config::shards`], or the number of cores that this process may
    /// use.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        self.shards
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get)
    }

    /// How many connections to accept: [`Config::connections_max`], or 90 % of the descriptor
    /// limit as it stands now (see [`raise_descriptor_limit`]).
    #[must_use]
    pub fn connection_limit(&self) -> usize {
        let of_descriptors = || descriptor_limit() / 10 * 9;
        self.connections_max
            .map_or_else(of_descriptors, NonZeroUsize::get)
    }

    /// Binds every address of [`Config::listen`].
    ///
    /// Of the default two, `[::1]` is left out on a machine without IPv6.
    ///
    /// # Errors
    ///
    /// [`BindError`] for the first address that cannot be had. What was bound is closed again.
    pub fn bind(&self) -> Result<Vec<TcpListener>, BindError> {
        let optional = (self.listen == DEFAULT_LISTEN).then_some(DEFAULT_LISTEN[1]);
        let mut listeners = Vec::with_capacity(self.listen.len());
        for &address in &self.listen {
            match TcpListener::bind(address) {
                Ok(listener) => listeners.push(listener),
                Err(error) if optional == Some(address) && no_such_family(&error) => {}
                Err(source) => return Err(BindError { address, source }),
            }
        }
        Ok(listeners)
    }

    /// Binds [`Config::metrics_listen`], if there is one.
    ///
    /// # Errors
    ///
    /// [`BindError`] where it cannot be had.
    pub(crate) fn bind_metrics(&self) -> Result<Option<TcpListener>, BindError> {
        let bind =
            |address| TcpListener::bind(address).map_err(|source| BindError { address, source });
        self.metrics_listen.map(bind).transpose()
    }
}

impl fmt::Display for SlowPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DropLow => "drop-low",
            Self::Conflate => "conflate",
            Self::Close => "close",
        })
    }
}

impl fmt::Display for SseGzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Shared => "shared",
        })
    }
}

impl fmt::Display for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Shared => "shared",
            Self::Takeover => "takeover",
        })
    }
}

/// Raises the soft limit on descriptors to the hard one, and gives the limit that holds now.
/// A process starts with 1,024 on many systems, whatever it would be allowed.
#[must_use = "tells how many descriptors there are"]
pub fn raise_descriptor_limit() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    if now.current != now.maximum {
        // Some systems refuse an endless limit here; the old one then stays, which is no fault.
        let _refused = setrlimit(Resource::Nofile, raised);
    }
    descriptor_limit()
}

fn descriptor_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

fn no_such_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
}

fn bind_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted (a port below 1024?)".to_owned(),
        _ => error.to_string(),
    }
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest
        .map(|key| format!(", did you mean `{key}`?"))
        .unwrap_or_default()
}

/// The keys of the settings that a rule for rooms may change, beside its `pattern`.
pub const ROOM_KEYS: [&str; 4] = ["history_messages", "history_age", "history_bytes", "slow"];

/// A new room is compared with each.
const ROOM_RULES_MAX: usize = 256;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const DEFAULT_LISTEN: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 8080),
];

#[cfg(test)]
mod tests;

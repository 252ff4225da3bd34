//! What all connections of a server have in common.

use std::time::Duration;

/// Settings of a server, the same for all its connections.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "settings are set one by one")]
pub struct Options {
    /// How long a client may be without a namespace after its connection opened. Default 45 s.
    pub connect_timeout: Duration,
    /// How packets are written. Default: as the client does.
    pub parsers: Parsers,
    /// Bounds.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(45),
            parsers: Parsers::Detect,
            limits: Limits::default(),
        }
    }
}

/// How packets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "these two are spoken")]
pub enum Parser {
    /// Text with JSON, and an attachment for each piece of binary data: the default parser.
    Json,
    /// One binary message with MessagePack: `socket.io-msgpack-parser`.
    Msgpack,
}

/// Which parsers clients may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "one, the other, or both")]
pub enum Parsers {
    /// JSON alone.
    Json,
    /// MessagePack alone.
    Msgpack,
    /// The one of the client's first packet: text is JSON, bytes are MessagePack. Clients of
    /// version 4 are greeted before they say anything, so they speak JSON.
    Detect,
}

/// The bounds of a connection.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "bounds are set one by one")]
pub struct Limits {
    /// The most attachments of a packet, for MessagePack the most pieces of binary data. Default
    /// 10, as clients have it. More close the connection.
    pub attachments_max: usize,
    /// The most bytes of a binary packet that are kept until its attachments are complete: its
    /// text and the attachments. Default 2,000,000. More close the connection.
    pub packet_bytes_max: usize,
    /// The most namespaces of a connection. Default 64. One more closes the connection.
    pub namespaces_max: usize,
    /// The longest namespace. Default 256 bytes. A longer one closes the connection.
    pub namespace_bytes_max: usize,
    /// The most acknowledgements that a socket is expected to send. Default 1024. One more is not
    /// asked for.
    pub acks_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attachments_max: 10,
            packet_bytes_max: 2_000_000,
            namespaces_max: 64,
            namespace_bytes_max: 256,
            acks_max: 1024,
        }
    }
}

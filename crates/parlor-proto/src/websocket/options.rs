//! Settings of a machine: one value, shared by all connections, passed by reference.

/// What one message of a peer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes after inflation; 1 MiB. A longer one fails the connection with
    /// 1009 as soon as that is known. 0 turns the limit off.
    pub message_bytes_max: usize,
    /// The most fragments of one message, empty ones included; 4096. One more fails the connection
    /// with 1008. 0 turns the limit off.
    pub message_fragments_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            message_fragments_max: 4096,
        }
    }
}

/// How messages are handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whole, or as it comes")]
pub enum Delivery {
    /// Whole, as [`Event::Message`](super::Event::Message).
    #[default]
    Messages,
    /// In pieces as they come in, as [`Event::Fragment`](super::Event::Fragment); nothing is put
    /// together or kept.
    Fragments,
}

/// How a machine works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a message may cost.
    pub limits: Limits,
    /// Whole messages (the default) or pieces; the same for the life of a connection.
    pub delivery: Delivery,
    /// Whether text and close reasons must be UTF-8; on. Off, text payloads may be any bytes.
    pub validate_utf8: bool,
    /// Whether a ping is answered by the machine; on. Off, the embedder calls
    /// [`Connection::pong`](super::Connection::pong).
    pub auto_pong: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            delivery: Delivery::default(),
            validate_utf8: true,
            auto_pong: true,
        }
    }
}

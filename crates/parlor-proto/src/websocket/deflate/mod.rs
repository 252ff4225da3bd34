//! permessage-deflate (RFC 7692): its negotiation and its streams.

mod codec;
mod negotiate;

pub use codec::{Compressor, Compressors};
pub(crate) use codec::{Deflater, Inflater};
pub use negotiate::{MalformedExtensions, UnsupportedResponse, accept, negotiate, offer};

use std::num::NonZeroU8;

/// Whether and how messages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a setting with these values")]
pub enum Mode {
    /// Never.
    Off,
    /// No message depends on an earlier one, in both directions (both `no_context_takeover`
    /// parameters): one inflater and one compressor a window size serve all connections of a
    /// thread, and a compressed message can be shared by all members of a room.
    #[default]
    Shared,
    /// As the peer offers it: a connection keeps its own compressor (up to 380 KiB) and inflater
    /// (up to 50 KiB) from its first compressed message on.
    Takeover,
}

/// What one side is ready to agree to, and how it compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether and how; [`Mode::Shared`].
    pub mode: Mode,
    /// Effort, 0 to 9; 6.
    pub level: u8,
    /// Messages of fewer bytes are sent as they are where each message is compressed on its own;
    /// 1024.
    pub threshold: usize,
    /// With [`Mode::Takeover`]: the server's messages are nevertheless on their own; off.
    pub server_no_context_takeover: bool,
    /// With [`Mode::Takeover`]: the client's messages are nevertheless on their own; off.
    pub client_no_context_takeover: bool,
    /// The largest window that the server compresses with; 15 bits.
    pub server_max_window_bits: WindowBits,
    /// The largest window that the client compresses with, where it lets the server choose; 15
    /// bits.
    pub client_max_window_bits: WindowBits,
}

impl Policy {
    /// The defaults with this mode.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            mode,
            level: 6,
            threshold: 1024,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Mode::default())
    }
}

/// The base-2 logarithm of a window's size: 8 to 15 (RFC 7692, section 7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowBits(NonZeroU8);

impl WindowBits {
    /// 8: 256 bytes.
    pub const MIN: Self = Self(NonZeroU8::new(8).expect("not zero"));
    /// The smallest window that the library searches when it compresses.
    pub(crate) const SMALLEST_SEARCHED: Self = Self(NonZeroU8::new(9).expect("not zero"));
    /// 15: 32 KiB.
    pub const MAX: Self = Self(NonZeroU8::new(15).expect("not zero"));

    /// 8 to 15, else `None`.
    #[must_use]
    pub const fn new(bits: u8) -> Option<Self> {
        match NonZeroU8::new(bits) {
            Some(bits) if bits.get() >= 8 && bits.get() <= 15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

/// What both sides agreed on. Three bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agreement {
    server_bits: WindowBits,
    client_bits: WindowBits,
    flags: u8,
}

impl Agreement {
    pub(crate) const SERVER_NO_CONTEXT: u8 = 1;
    pub(crate) const CLIENT_NO_CONTEXT: u8 = 2;
    pub(crate) const TELL_SERVER_BITS: u8 = 4;
    pub(crate) const TELL_CLIENT_BITS: u8 = 8;

    pub(crate) const fn from_parts(server: WindowBits, client: WindowBits, flags: u8) -> Self {
        Self {
            server_bits: server,
            client_bits: client,
            flags,
        }
    }

    /// Each message of the server is compressed on its own.
    #[must_use]
    pub const fn server_no_context_takeover(self) -> bool {
        self.flags & Self::SERVER_NO_CONTEXT != 0
    }

    /// Each message of the client is compressed on its own.
    #[must_use]
    pub const fn client_no_context_takeover(self) -> bool {
        self.flags & Self::CLIENT_NO_CONTEXT != 0
    }

    /// The window of the server's messages.
    #[must_use]
    pub const fn server_window_bits(self) -> WindowBits {
        self.server_bits
    }

    /// The window of the client's messages.
    #[must_use]
    pub const fn client_window_bits(self) -> WindowBits {
        self.client_bits
    }

    /// The value of the server's `Sec-WebSocket-Extensions`.
    #[must_use]
    pub fn response_value(self) -> String {
        let mut value = String::from(negotiate::NAME);
        if self.server_no_context_takeover() {
            value.push_str("; server_no_context_takeover");
        }
        if self.client_no_context_takeover() {
            value.push_str("; client_no_context_takeover");
        }
        if self.flags & Self::TELL_SERVER_BITS != 0 {
            value.push_str(&format!(
                "; server_max_window_bits={}",
                self.server_bits.get()
            ));
        }
        if self.flags & Self::TELL_CLIENT_BITS != 0 {
            value.push_str(&format!(
                "; client_max_window_bits={}",
                self.client_bits.get()
            ));
        }
        value
    }
}

impl std::fmt::Debug for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agreement({})", self.response_value())
    }
}

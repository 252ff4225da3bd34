//! Working memory and settings that all sessions of a shard share.

use std::io;

use bytes::BytesMut;
use parlor_hub::{Message, Payload, ShardId};
use parlor_proto::websocket::{
    Options, Scratch,
    deflate::{Agreement, Compressor, Compressors, Policy, WindowBits},
    frame::{self, Flags, OpCode},
};

/// Wire forms: raw WebSocket, and raw WebSocket deflated with a window of 9 to 15 bits.
pub(crate) const FORMS: usize = 8;

/// The raw frames as they are.
pub(crate) const RAW: u8 = 0;
/// The smallest window that a compressor works with; its form is 1.
const WINDOW_BITS_MIN: u8 = 9;

/// What the deflate buffer keeps between two messages.
const KEEP_BYTES: usize = 64 * 1024;

/// Random bytes drawn at once.
const POOL_BYTES: usize = 1024;

/// What the doors are told at start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    pub(crate) deflate: Policy,
}

/// One shard's codecs, compressors and randomness.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) settings: Settings,
    pub(crate) scratch: Scratch,
    pub(crate) compressors: Compressors,
    /// One a window size in use, for messages that many members share.
    shared: [Option<Box<Compressor>>; FORMS],
    deflated: Vec<u8>,
    random: Vec<u8>,
}

impl Tools {
    pub(crate) fn new(shard: ShardId, settings: &Settings) -> io::Result<Self> {
        let mut tools = Self {
            settings: settings.clone(),
            scratch: Scratch::new(),
            compressors: Compressors::new(settings.deflate),
            shared: [const { None }; FORMS],
            deflated: Vec::new(),
            random: Vec::new(),
        };
        // A machine without randomness is found out at the start and not at the first member.
        tools.secret()?;
        tracing::debug!(shard = shard.0, "shard has its tools");
        Ok(tools)
    }

    /// Ten bytes that nobody can guess.
    pub(crate) fn secret(&mut self) -> io::Result<[u8; 10]> {
        if self.random.len() < 10 {
            self.random.resize(POOL_BYTES, 0);
            getrandom::fill(&mut self.random).map_err(io::Error::other)?;
        }
        let rest = self.random.split_off(self.random.len() - 10);
        Ok(std::array::from_fn(|i| {
            rest.get(i).copied().unwrap_or_default()
        }))
    }

    /// The wire form of a raw member with this agreement; `None` where each of its messages depends
    /// on the ones before.
    pub(crate) fn raw_form(agreement: Option<Agreement>) -> Option<u8> {
        match agreement {
            None => Some(RAW),
            Some(agreement) if agreement.server_no_context_takeover() => Some(
                agreement
                    .server_window_bits()
                    .get()
                    .saturating_sub(WINDOW_BITS_MIN)
                    + 1,
            ),
            Some(_) => None,
        }
    }

    /// Appends a message in a wire form.
    pub(crate) fn encode(&mut self, form: u8, message: &Message, out: &mut BytesMut) {
        let (opcode, payload) = match &message.payload {
            Payload::Binary(payload) => (OpCode::Binary, payload),
            other => (OpCode::Text, other.bytes()),
        };
        if form != RAW && payload.len() >= self.settings.deflate.threshold {
            self.deflate(form, payload);
            if self.deflated.len() < payload.len() {
                return frame::encode(out, Flags::FIN_RSV1, opcode, &self.deflated);
            }
        }
        frame::encode(out, Flags::FIN, opcode, payload);
    }

    /// Deflates a payload by itself, with the window of a wire form.
    fn deflate(&mut self, form: u8, payload: &[u8]) {
        let level = self.settings.deflate.level;
        let compressor = self.shared[usize::from(form) % FORMS].get_or_insert_with(|| {
            let bits = WindowBits::new(form + WINDOW_BITS_MIN - 1).unwrap_or(WindowBits::MAX);
            Box::new(Compressor::new(bits, level))
        });
        self.deflated.clear();
        self.deflated.shrink_to(KEEP_BYTES);
        compressor.compress(payload, &mut self.deflated);
    }
}

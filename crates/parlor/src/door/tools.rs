//! Working memory and settings that all sessions of a shard share, and the wire forms.

use std::{collections::VecDeque, io, rc::Rc, sync::Arc, time::Instant};

use bytes::{BufMut, BytesMut};
use parlor_hub::{Hub, MemberKey, Message, Notice, Payload, RoomKey, ShardId};
use parlor_proto::{
    signal,
    websocket::{
        Kind, Options, Scratch,
        deflate::{Agreement, Compressor, Compressors, Policy, WindowBits},
        frame::{self, Flags, OpCode},
    },
};

use super::{
    Hearers, Item,
    engineio::{Mount, Registry},
    item::RELAY,
    meter::Rates,
    socketio::{self, Keep, Sockets},
    sse,
};
use crate::{
    embed::{Caller, Doors, Link, OnFailed, Routes, socketio::OwnParser},
    metrics::Traffic,
};

/// How a member hears: what is encoded once for all members of the same form.
///
/// Raw WebSocket and `parlor.v1` each plain and deflated with a window of 9 to 15 bits; event
/// streams plain and deflated; the forms of Socket.IO.
pub(crate) const FORMS: usize = 18 + socketio::FORMS as usize;

/// Raw frames; 1 to 7 are the deflated ones.
pub(super) const RAW: u8 = 0;
/// `parlor.v1` envelopes; 9 to 15 are the deflated ones.
pub(super) const SIGNAL: u8 = 8;
/// Server-sent events, each in a chunk of its own.
pub(super) const SSE: u8 = 16;
/// The same within one gzip stream.
pub(super) const SSE_GZIP: u8 = 17;
/// Socket.IO packets as whole frames, from here on.
pub(super) const SOCKETIO: u8 = 18;
/// The smallest window that a compressor works with.
const WINDOW_BITS_MIN: u8 = 9;
/// One compressor for each window size.
const WINDOWS: usize = 8;

/// What a working buffer keeps between two messages.
const KEEP_BYTES: usize = 64 * 1024;

/// Random bytes drawn at once.
const POOL_BYTES: usize = 1024;

/// What the doors are told at start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Shards of the server.
    pub(crate) shards: u16,
    /// The built-in doors that are open.
    pub(crate) doors: Doors,
    /// The embedder's endpoints.
    pub(crate) endpoints: Arc<Routes>,
    /// Where Engine.IO is spoken.
    pub(crate) mounts: Arc<[Arc<Mount>]>,
    /// How Socket.IO is written, where the embedder has said it.
    pub(crate) parser: Option<OwnParser>,
    /// Who is told of failed handshakes.
    pub(crate) failed: Option<OnFailed>,
    /// Their way into the shards.
    pub(crate) link: Arc<Link>,
    pub(crate) options: Options,
    pub(crate) deflate: Policy,
    /// Whether event streams are compressed for those who accept it.
    pub(crate) sse_gzip: bool,
    pub(crate) rates: Rates,
    pub(crate) sse_heartbeat_ms: u64,
    pub(crate) sse_retry_ms: u64,
    /// Bytes of events that sockets of a shard keep, which can be recovered.
    pub(crate) keep_bytes_max: usize,
}

/// One shard's codecs, compressors and randomness.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) shard: ShardId,
    pub(crate) settings: Settings,
    pub(crate) scratch: Scratch,
    pub(crate) compressors: Compressors,
    /// What sessions have taken in and written since the shard last looked.
    pub(crate) traffic: Traffic,
    /// The Engine.IO sessions of the shard.
    pub(super) sessions: Registry,
    /// What the session that is called has left of its bytes, because others are to be heard.
    pub(crate) unread: Vec<u8>,
    /// Callers that have been given something to do since the shard last looked.
    pub(crate) callers: Vec<Rc<Caller>>,
    /// Sessions that begin a little after their requests were answered, and when that was.
    pub(crate) beginning: VecDeque<(MemberKey, Instant)>,
    /// The sockets of Socket.IO.
    pub(crate) sockets: Sockets,
    /// What those that can be recovered keep.
    pub(super) keep: Rc<Keep>,
    /// One a window size in use, for messages that many members share.
    shared: [Option<Box<Compressor>>; WINDOWS],
    deflated: Vec<u8>,
    text: Vec<u8>,
    packet: String,
    random: Vec<u8>,
}

impl Tools {
    pub(crate) fn new(shard: ShardId, settings: &Settings) -> io::Result<Self> {
        let mut tools = Self {
            shard,
            settings: settings.clone(),
            scratch: Scratch::new(),
            compressors: Compressors::new(settings.deflate),
            traffic: Traffic::default(),
            sessions: Registry::default(),
            unread: Vec::new(),
            callers: Vec::new(),
            beginning: VecDeque::new(),
            sockets: Sockets::default(),
            keep: Rc::new(Keep::new(settings.keep_bytes_max)),
            packet: String::new(),
            shared: [const { None }; WINDOWS],
            deflated: Vec::new(),
            text: Vec::new(),
            random: Vec::new(),
        };
        // A machine without randomness is found out at the start and not at the first member.
        tools.secret::<10>()?;
        tracing::debug!(shard = shard.0, "shard has its tools");
        Ok(tools)
    }

    /// Bytes that nobody can guess.
    pub(crate) fn secret<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        if self.random.len() < N {
            self.random.resize(POOL_BYTES, 0);
            getrandom::fill(&mut self.random).map_err(io::Error::other)?;
        }
        let rest = self.random.len() - N;
        let drawn = self.random.last_chunk().copied().unwrap_or([0; N]);
        self.random.truncate(rest);
        Ok(drawn)
    }

    /// The secret of a member that has no socket of Socket.IO: those end with a zero, so that their
    /// ids have a short form.
    pub(super) fn member_secret(&mut self) -> io::Result<[u8; 10]> {
        let mut secret: [u8; 10] = self.secret()?;
        secret[9] = secret[9].max(1);
        Ok(secret)
    }

    /// Who of a room's members on this shard hears a message; `except` is whom the hub leaves out.
    pub(crate) fn hearers(
        &mut self,
        hub: &Hub,
        room: RoomKey,
        message: &Message,
        except: Option<MemberKey>,
    ) -> Hearers {
        socketio::hearers(hub, &mut self.sockets, room, message, except)
    }

    /// The wire form of a WebSocket member with this agreement, counted from `base`; `None` where
    /// each of its messages depends on the ones before.
    pub(super) fn form(base: u8, agreement: Option<Agreement>) -> Option<u8> {
        match agreement {
            None => Some(base),
            Some(agreement) if agreement.server_no_context_takeover() => {
                let bits = agreement.server_window_bits().get();
                Some(base + bits.saturating_sub(WINDOW_BITS_MIN) + 1)
            }
            Some(_) => None,
        }
    }

    /// Appends an item in a wire form; nothing where that form has no word for it.
    pub(crate) fn encode(&mut self, form: u8, item: &Item, out: &mut BytesMut) {
        match form {
            RAW..SIGNAL => {
                if let Some((kind, payload)) = Self::raw_frame(item) {
                    self.frame(form - RAW, kind.into(), payload, out);
                }
            }
            SIGNAL..SSE => {
                let mut text = std::mem::take(&mut self.text);
                text.clear();
                envelope(item, &mut text);
                if !text.is_empty() {
                    self.frame(form - SIGNAL, OpCode::Text, &text, out);
                }
                text.shrink_to(KEEP_BYTES);
                self.text = text;
            }
            SOCKETIO.. => {
                let form = (form - SOCKETIO, self.settings.parser.as_ref());
                socketio::encode(form, item, &mut self.packet, out);
                self.packet.shrink_to(KEEP_BYTES);
            }
            _ => {
                let mut text = std::mem::take(&mut self.text);
                text.clear();
                sse::event(item, &mut text);
                if !text.is_empty() && form == SSE {
                    sse::chunk(&text, out);
                } else if !text.is_empty() {
                    self.gzip_piece(&text, out);
                }
                text.shrink_to(KEEP_BYTES);
                self.text = text;
            }
        }
    }

    /// The frame that a raw member hears for an item: only room messages of the event `message`.
    pub(super) fn raw_frame(item: &Item) -> Option<(Kind, &[u8])> {
        let payload = match item {
            Item::Message(message) if message.event.is_none() && message.hint != RELAY => {
                &message.payload
            }
            Item::Broadcast(payload) => payload,
            Item::Message(_) | Item::Notice(..) => return None,
        };
        let kind = match payload {
            Payload::Binary(_) => Kind::Binary,
            _ => Kind::Text,
        };
        Some((kind, payload.bytes()))
    }

    /// Appends a frame; `window` is 0 for a plain one, else the window's bits less 8.
    fn frame(&mut self, window: u8, opcode: OpCode, payload: &[u8], out: &mut BytesMut) {
        if window > 0 && payload.len() >= self.settings.deflate.threshold {
            self.deflate(window, payload);
            if self.deflated.len() < payload.len() {
                return frame::encode(out, Flags::FIN_RSV1, opcode, &self.deflated);
            }
        }
        frame::encode(out, Flags::FIN, opcode, payload);
    }

    /// Appends a piece of a gzip stream in a chunk. It refers to nothing before it, so every
    /// stream can be sent the same piece.
    pub(super) fn gzip_piece(&mut self, text: &[u8], out: &mut impl BufMut) {
        self.deflate(WINDOW_BITS_MAX, text);
        self.deflated.extend_from_slice(&SYNC_TAIL);
        sse::chunk(&self.deflated, out);
    }

    /// Deflates a payload by itself.
    fn deflate(&mut self, window: u8, payload: &[u8]) {
        let level = self.settings.deflate.level;
        let compressor = self.shared[usize::from(window) % WINDOWS].get_or_insert_with(|| {
            let bits = WindowBits::new(window + WINDOW_BITS_MIN - 1).unwrap_or(WindowBits::MAX);
            Box::new(Compressor::new(bits, level))
        });
        self.deflated.clear();
        self.deflated.shrink_to(KEEP_BYTES);
        compressor.compress(payload, &mut self.deflated);
    }
}

/// The window of 15 bits, as [`Tools::frame`] counts.
const WINDOW_BITS_MAX: u8 = 7;
/// What RFC 7692 leaves out at the end of a message, and a stream needs.
const SYNC_TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Appends an item as `parlor.v1` says it.
pub(super) fn envelope(item: &Item, out: &mut Vec<u8>) {
    match item {
        Item::Message(message) if message.hint == RELAY => out.put_slice(message.payload.bytes()),
        Item::Message(message) => message_envelope(message, out),
        // Those who hear it speak no `parlor.v1`.
        Item::Broadcast(_) => {}
        Item::Notice(room, notice) => match &**notice {
            Notice::PeerJoined(peer) => {
                signal::encode::peer_joined(out, room.as_str(), &super::signal::peer(peer));
            }
            Notice::PeerLeft(peer) => signal::encode::peer_left(out, room.as_str(), &peer.id),
            Notice::Presence(peer) => {
                let data = peer
                    .data
                    .as_ref()
                    .and_then(|data| str::from_utf8(data).ok());
                let data = data.unwrap_or("null");
                signal::encode::presence(out, room.as_str(), &peer.id, data);
            }
        },
    }
}

fn message_envelope(message: &Message, out: &mut Vec<u8>) {
    let data = match &message.payload {
        Payload::Text(text) => signal::encode::Data::Text(text),
        Payload::Binary(bytes) => signal::encode::Data::Binary(bytes),
        other => signal::encode::Data::Json(other.bytes()),
    };
    let from = message.from.as_ref();
    signal::encode::message(
        out,
        &signal::encode::Message {
            room: message.room.as_str(),
            from: from.map(|from| from.id),
            name: from.and_then(|from| from.name.as_deref()),
            id: message.id,
            event: message.event.as_deref().unwrap_or("message"),
            data,
        },
    );
}

//! The sockets of one shard: a slab, its deadlines, and the send path.

mod connecting;
mod fragmented;
mod plain;
mod sending;
mod unread;
mod wire;

use std::{collections::HashMap, io};

use mio::Token;
use parlor_hub::{
    MemberKey, RoomKey,
    outbox::{Bounds, Outbox},
};
use rustix::{
    fd::{AsFd, OwnedFd},
    io::Errno,
    net::{RecvFlags, Shutdown},
};
use tokio::sync::oneshot;

use self::unread::Unread;
use super::{accept::Newcomer, addresses::Place, gate::Waiting, poll::PollSet, wheel::Wheel};
use crate::{
    door::{CloseReason, Session, Settings, UPLINK_BYTES, Uplink},
    embed::Gauge,
    front::HeadScan,
    metrics::{Counters, Door},
};

/// What a flush touches of a connection, in one array, since at ten thousand members the cache
/// decides.
#[derive(Debug)]
pub(crate) struct Hot {
    pub(crate) socket: Option<OwnedFd>,
    pub(crate) generation: u32,
    pub(crate) flags: u16,
    /// The wire form that this member hears.
    pub(crate) form: u8,
    /// The door, for the count of those that close.
    pub(crate) door: Door,
}

/// There is an outbox.
pub(crate) const BACKLOG: u16 = 1;
/// The member does not hear the whole batch that is being flushed.
pub(crate) const SPECIAL: u16 = 2;
/// Nothing more is delivered: the connection is being closed.
pub(crate) const CLOSING: u16 = 4;
/// Each message is encoded for this member alone.
pub(crate) const OWN_FORM: u16 = 8;
/// A heartbeat was sent and nothing has been heard since.
pub(crate) const PINGED: u16 = 16;
/// More may be readable: the connection is on the ready list.
pub(crate) const READY: u16 = 32;

/// Not read until the flush of a room that it publishes to is done.
pub(crate) const PAUSED: u16 = 64;

/// The peer has ended its side, or the socket met an error: it is read to the end.
pub(crate) const READ_CLOSED: u16 = 128;

/// The events of the connection go to an embedder's handler.
pub(crate) const SERVED: u16 = 256;

/// Not read until its handler has caught up.
pub(crate) const BUSY: u16 = 512;

/// Not read until the embedder says so.
pub(crate) const HELD: u16 = 1024;

/// Its handler has not said whether it may come in: what it is sent waits for that.
pub(crate) const CONNECTING: u16 = 2048;

/// Its bytes go another way than through a socket of the poll set.
pub(crate) const APART: u16 = 4096;

/// Its session has deadlines of its own, and is told of the end.
pub(crate) const TIMED: u16 = 8192;

/// It has no socket: its client comes by requests.
pub(crate) const PLAIN: u16 = 16_384;

/// There is a socket that it may go on over.
pub(crate) const TRIED: u16 = 32_768;

/// The flags that keep a connection from being read.
pub(crate) const UNREAD: u16 = PAUSED | BUSY | HELD;

/// The flags that keep a member off the short path of a flush.
pub(crate) const SLOW_PATH: u16 = BACKLOG | SPECIAL | CLOSING | OWN_FORM;

/// The rest of a connection.
#[derive(Debug)]
pub(crate) struct Cold {
    pub(crate) stage: Stage,
    pub(crate) outbox: Option<Box<Outbox>>,
    /// When the peer was last heard: milliseconds of the shard's clock.
    pub(crate) heard: u64,
}

pub(crate) use self::wire::{Answered, Stream, Wire};

/// Where a connection stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The slot is free.
    Free,
    /// The request head has not come in whole; the bytes so far, if any.
    Head(Option<Box<PartialHead>>),
    /// The embedder decides about the request.
    Undecided(Box<Waiting>),
    /// A door's session. Absent while the session is being called.
    Open(Option<Box<dyn Session>>),
    /// A member without a socket may go on over this one.
    Trial(MemberKey),
    /// The last bytes are on their way; what still comes in is read and dropped.
    Linger,
}

/// The first bytes of a connection, up to the end of its request head.
#[derive(Debug, Default)]
pub(crate) struct PartialHead {
    pub(crate) bytes: Vec<u8>,
    pub(crate) scan: HeadScan,
    /// When the first of them came: milliseconds of the shard's clock.
    pub(crate) since: u64,
}

/// The bounds of the send path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendLimits {
    /// Those of one connection, unless it is a single message.
    pub(crate) outbox: Bounds,
    /// Unsent bytes of all connections of the shard.
    pub(crate) shard_bytes_max: usize,
    /// Milliseconds that a backlog may stand still.
    pub(crate) stall_ms: u64,
    /// Milliseconds from our close to the end by force.
    pub(crate) close_ms: u64,
    /// Milliseconds that a peer has to close after our side is shut.
    pub(crate) fin_ms: u64,
}

/// All connections of a shard.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) hot: Vec<Hot>,
    pub(crate) cold: Vec<Cold>,
    free: Vec<u32>,
    pub(crate) wheel: Wheel,
    pub(crate) poll: PollSet,
    /// This turn's time: milliseconds since the shard started.
    pub(crate) now: u64,
    pub(crate) limits: SendLimits,
    /// Connections whose end was found while others were being served.
    pub(crate) doomed: Vec<(MemberKey, CloseReason)>,
    /// Unsent bytes of all connections.
    backlog_bytes: usize,
    open: usize,
    /// By slot; none where the connections of an address are not limited.
    places: HashMap<u32, Box<Place>>,
    /// What the shard counts.
    pub(crate) counters: Counters,
    /// Where the handles of members look for their backlog, by slot.
    gauges: HashMap<u32, Gauge>,
    /// Where the bytes of those go that have no socket, by slot.
    wires: HashMap<u32, Wire>,
    /// Who waits until nothing is left to be sent, by slot.
    flushes: HashMap<u32, Vec<oneshot::Sender<()>>>,
    /// The sockets that members without one may go on over, by the member's slot.
    trials: HashMap<u32, MemberKey>,
    /// Unsent bytes that the sessions of those hold that have no socket, by slot.
    held: HashMap<u32, usize>,
    /// Bytes that were read and are not taken in yet.
    unread: Unread,
}

/// What one read brought.
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// The peer has ended its side, or the connection is broken.
    End,
}

impl Connections {
    /// No connections yet.
    pub(crate) fn new(poll: PollSet, limits: SendLimits) -> Self {
        Self {
            hot: Vec::new(),
            cold: Vec::new(),
            free: Vec::new(),
            wheel: Wheel::new(),
            poll,
            now: 0,
            limits,
            doomed: Vec::new(),
            backlog_bytes: 0,
            open: 0,
            places: HashMap::new(),
            counters: Counters::default(),
            gauges: HashMap::new(),
            wires: HashMap::new(),
            flushes: HashMap::new(),
            trials: HashMap::new(),
            held: HashMap::new(),
            unread: Unread::default(),
        }
    }

    /// Connections in the slab.
    pub(crate) fn len(&self) -> usize {
        self.open
    }

    /// Unsent bytes of all connections.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Takes a socket in, whose head is to come, and watches it.
    pub(crate) fn insert(&mut self, newcomer: Newcomer) -> io::Result<MemberKey> {
        let Newcomer { socket, place } = newcomer;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.grow()?,
        };
        let hot = &mut self.hot[slot as usize];
        let key = MemberKey {
            slot,
            generation: hot.generation,
        };
        if let Err(error) = self.poll.watch(socket.as_fd(), token(key)) {
            self.free.push(slot);
            return Err(error);
        }
        hot.socket = Some(socket);
        let cold = &mut self.cold[slot as usize];
        cold.stage = Stage::Head(None);
        cold.heard = self.now;
        self.open += 1;
        if let Some(place) = place {
            self.places.insert(slot, place);
        }
        Ok(key)
    }

    /// The connection's place among those of its address, for it to be held elsewhere.
    pub(crate) fn take_place(&mut self, key: MemberKey) -> Option<Box<Place>> {
        if self.places.is_empty() || !self.is_current(key) {
            return None;
        }
        self.places.remove(&key.slot)
    }

    fn grow(&mut self) -> io::Result<u32> {
        let slot = u32::try_from(self.hot.len())
            .map_err(|_| io::Error::other("the shard's slab is full"))?;
        self.hot.push(Hot {
            socket: None,
            generation: 0,
            flags: 0,
            form: 0,
            door: Door::Http,
        });
        self.cold.push(Cold {
            stage: Stage::Free,
            outbox: None,
            heard: 0,
        });
        Ok(slot)
    }

    /// Frees the slot and hands the socket back. The caller has told the hub.
    pub(crate) fn remove(&mut self, key: MemberKey) -> Option<OwnedFd> {
        if !self.is_current(key) {
            return None;
        }
        drop(self.take_place(key));
        self.wheel.clear(key.slot);
        let cold = &mut self.cold[key.slot as usize];
        cold.stage = Stage::Free;
        if let Some(outbox) = cold.outbox.take() {
            self.backlog_bytes -= outbox.len();
        }
        let hot = &mut self.hot[key.slot as usize];
        if hot.flags & SERVED != 0 {
            self.gauges.remove(&key.slot);
            self.flushes.remove(&key.slot);
        }
        if hot.flags & APART != 0 {
            self.wires.remove(&key.slot);
        }
        if hot.flags & TRIED != 0 {
            self.trials.remove(&key.slot);
        }
        self.unread.take(key.slot);
        if hot.flags & (PLAIN | SERVED) != 0 {
            self.backlog_bytes -= self.held.remove(&key.slot).unwrap_or(0);
        }
        hot.generation = hot.generation.wrapping_add(1);
        hot.flags = 0;
        hot.form = 0;
        self.free.push(key.slot);
        self.open -= 1;
        hot.socket.take()
    }

    /// Whether `key` still names the connection that it was given for.
    pub(crate) fn is_current(&self, key: MemberKey) -> bool {
        self.hot.get(key.slot as usize).is_some_and(|hot| {
            let is_used = hot.socket.is_some() || hot.flags & (APART | PLAIN) != 0;
            hot.generation == key.generation && is_used
        })
    }

    /// Whether `key` names a connection that is not being closed.
    pub(crate) fn is_open(&self, key: MemberKey) -> bool {
        self.is_current(key) && self.hot[key.slot as usize].flags & CLOSING == 0
    }

    /// The key of the connection that now holds `slot`.
    pub(crate) fn key(&self, slot: u32) -> MemberKey {
        MemberKey {
            slot,
            generation: self.hot[slot as usize].generation,
        }
    }

    /// How a member hears from now on.
    pub(crate) fn set_form(&mut self, key: MemberKey, form: Option<u8>) {
        let hot = &mut self.hot[key.slot as usize];
        match form {
            Some(form) => {
                hot.form = form;
                hot.flags &= !OWN_FORM;
            }
            None => hot.flags |= OWN_FORM,
        }
    }

    /// Reads once from the socket.
    pub(crate) fn read(&mut self, key: MemberKey, buffer: &mut [u8]) -> Read {
        let Some(socket) = &self.hot[key.slot as usize].socket else {
            return self.read_wire(key, buffer);
        };
        loop {
            return match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => Read::End,
                Ok((count, _)) => Read::Bytes(count),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Read::Empty,
                Err(_) => Read::End,
            };
        }
    }

    /// Notes that a connection is to be closed, once the present work is done. One that is being
    /// closed already has its last word, unless it is broken.
    pub(crate) fn doom(&mut self, key: MemberKey, reason: CloseReason) {
        let hot = &mut self.hot[key.slot as usize];
        if reason.is_gone() || hot.flags & CLOSING == 0 {
            hot.flags |= CLOSING;
            self.doomed.push((key, reason));
        }
    }

    /// The member has left the room. Tells how many of its messages were dropped, where that was
    /// not told yet.
    pub(crate) fn forget_room(&mut self, key: MemberKey, room: RoomKey) -> u64 {
        let outbox = &mut self.cold[key.slot as usize].outbox;
        outbox.as_mut().map_or(0, |outbox| outbox.forget_room(room))
    }

    /// Ends our side of the connection: the peer reads to the end and closes.
    pub(crate) fn shut(&mut self, key: MemberKey) {
        if let Some(socket) = &self.hot[key.slot as usize].socket {
            // A peer that is gone already needs no goodbye.
            let _ = rustix::net::shutdown(socket, Shutdown::Write);
        }
        self.shut_wire(key);
        self.wheel
            .set_earlier(key.slot, self.now + self.limits.fin_ms);
    }

    /// Whether somebody who shows this secret may say a message of `len` bytes as the member.
    pub(crate) fn uplink(
        &mut self,
        key: MemberKey,
        secret: &[u8; UPLINK_BYTES],
        len: usize,
        settings: &Settings,
    ) -> Uplink {
        match &mut self.cold[key.slot as usize].stage {
            Stage::Open(Some(session)) => session.uplink(secret, len, self.now, settings),
            _ => Uplink::Unknown,
        }
    }
}

/// The event token of a connection: slot and generation, so that a late event of a former
/// connection is known as such.
pub(crate) fn token(key: MemberKey) -> Token {
    Token((key.generation as usize) << 32 | key.slot as usize)
}

/// The connection that a token names.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves are 32 bits each"
)]
pub(crate) fn key_of(token: Token) -> MemberKey {
    MemberKey {
        slot: token.0 as u32,
        generation: (token.0 >> 32) as u32,
    }
}

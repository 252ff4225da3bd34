//! Doors: each puts one protocol onto the hub.
//!
//! A door is a [`Session`] for each connection, a wire form for each way its members hear a
//! message, and one place where a request head is turned into a session. The shard knows only
//! these.

pub(crate) mod engineio;
mod enter;
mod fragmented;
mod guest;
mod item;
mod meter;
mod opaque;
mod open;
mod pace;
mod raw;
mod signal;
mod socket;
pub(crate) mod socketio;
mod sse;
mod tools;

use std::{fmt, rc::Rc};

use parlor_hub::{Effects, Hub, Joined, MemberKey, MessageId, Refused, Request, RoomKey, Roster};
use parlor_proto::websocket::deflate::Agreement;

use crate::{
    embed::{Act, Caller, Compression, Message, Outcome, socketio::ToSocket},
    metrics::{Door, End},
};

pub(crate) use engineio::{
    Ask, Asked, Follow, Kept, Route, Sid, Undecided, Verdict, checks, follow, open_polling, route,
    session_at,
};
pub(crate) use fragmented::Fragmented;
pub(crate) use item::{Item, retry_hint};
pub(crate) use meter::Rates;
pub(crate) use open::{Opened, claims, open};
pub(crate) use socketio::{Hearers, do_widely};
pub(crate) use sse::parse_uplink;
pub(crate) use tools::{FORMS, Settings, Tools};

/// Bytes of the secret with which an event stream's client speaks as a member.
pub(crate) const UPLINK_BYTES: usize = 16;

/// What a session may use while it is being called.
pub(crate) struct Turn<'a> {
    /// The connection.
    pub(crate) key: MemberKey,
    /// Milliseconds of the shard's clock.
    pub(crate) now: u64,
    /// This shard's rooms.
    pub(crate) hub: &'a mut Hub,
    /// What the hub wants done; the shard performs it after the call.
    pub(crate) effects: &'a mut Effects,
    /// Bytes for this connection, sent after the call. Whole frames only.
    pub(crate) reply: &'a mut Vec<u8>,
    /// Working memory that all sessions of the shard share.
    pub(crate) tools: &'a mut Tools,
    /// Whether the connection has an outbox. What can wait for [`Session::writable`] does.
    pub(crate) stalled: bool,
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// One connection, as its door sees it.
pub(crate) trait Session: fmt::Debug {
    /// The door.
    fn door(&self) -> Door;

    /// The answer to the request is on the way. Called once, before all else, for sessions with
    /// deadlines of their own.
    fn start(&mut self, turn: &mut Turn<'_>) -> Then {
        let _ = turn;
        Then::Continue
    }

    /// Says what it says first, if that is to be a send of its own: called in a turn behind that of
    /// [`Session::start`], for those that are in [`Tools::beginning`].
    fn begin(&mut self, turn: &mut Turn<'_>) -> Then {
        let _ = turn;
        Then::Continue
    }

    /// Takes in bytes that came, unmasking them in place. What it leaves for a later turn it
    /// appends to [`Tools::unread`], and is called with that again before more is read.
    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then;

    /// Takes in a request that came by HTTP. Only for sessions without a socket.
    fn request(&mut self, asked: Asked, turn: &mut Turn<'_>) -> Then {
        let _ = (asked, turn);
        Then::Continue
    }

    /// Whether a request waits to be taken in further, by [`Session::take_more`]. Asked for after
    /// every call while it has no socket.
    fn has_more(&self) -> bool {
        false
    }

    /// Takes in the next part of a request, as much as a turn may. What comes by a socket that is
    /// tried comes behind it.
    fn take_more(&mut self, turn: &mut Turn<'_>) -> Then {
        let _ = turn;
        Then::Continue
    }

    /// Unsent bytes that wait in the session. Asked for after every call while it has no socket.
    fn held_bytes(&self) -> usize {
        0
    }

    /// A socket is open that the session may go on over. Where it is taken it is the one that
    /// [`Session::receive`] hears of and that replies go to. The reply goes there in any case.
    fn begin_trial(&mut self, agreement: Option<Agreement>, turn: &mut Turn<'_>) -> bool {
        let _ = (agreement, turn);
        false
    }

    /// The socket that was tried has ended.
    fn end_trial(&mut self, turn: &mut Turn<'_>) -> Then {
        let _ = turn;
        Then::Continue
    }

    /// What becomes of the socket that is tried. Asked once after every call while there is one.
    fn verdict(&mut self) -> Verdict {
        Verdict::Drop
    }

    /// Takes in an answer of the hub to what this member asked for.
    fn hear(&mut self, news: &News<'_>, turn: &mut Turn<'_>) -> Then;

    /// Encodes messages for this member alone, into the reply.
    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    );

    /// Where the frame ends in which offset `sent` of whole `frames` lies.
    fn boundary(&self, frames: &[u8], sent: usize) -> usize;

    /// The outbox is empty again: says what has waited for that, into the reply.
    fn writable(&mut self, _turn: &mut Turn<'_>) {}

    /// How the shard finds out that the peer is gone.
    fn heartbeat(&self) -> Heartbeat;

    /// Sends a heartbeat, into the reply.
    fn beat(&mut self, turn: &mut Turn<'_>);

    /// The wire form that the member hears; none where each message is encoded for it alone. For
    /// sessions with deadlines of their own, asked for after every call.
    fn form(&self) -> Option<u8> {
        None
    }

    /// Whether the end of its connection was told already.
    fn has_ended(&self) -> bool {
        false
    }

    /// Whether the member stays in its rooms though its connection has ended.
    fn stays(&self) -> bool {
        false
    }

    /// Does what is due by [`Heartbeat::At`].
    fn timeout(&mut self, turn: &mut Turn<'_>) -> Then {
        let _ = turn;
        Then::Continue
    }

    /// The connection has ended; the member is still in its rooms. For sessions with deadlines of
    /// their own, also after they have said goodbye.
    fn ended(&mut self, end: End, turn: &mut Turn<'_>) {
        let _ = (end, turn);
    }

    /// Says goodbye, into the reply. Nothing is received or delivered after it.
    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>);

    /// Whether somebody outside may say a message of `len` bytes as this member.
    fn uplink(
        &mut self,
        _secret: &[u8; UPLINK_BYTES],
        _len: usize,
        _now: u64,
        _settings: &Settings,
    ) -> Uplink {
        Uplink::Unknown
    }

    /// What calls the embedder's handler, where there is one.
    fn caller(&self) -> Option<&Rc<Caller>> {
        None
    }

    /// What waits for the end of a message in fragments. Only for those with a caller.
    fn fragmented(&mut self) -> Option<&mut Fragmented> {
        None
    }

    /// Does what the embedder wants of the connection. Only for those with a caller.
    fn obey(&mut self, order: Order, turn: &mut Turn<'_>) -> Then {
        let _ = (order, turn);
        Then::Continue
    }
}

/// What an embedder wants of a connection.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send a message.
    Send(Message, Compression),
    /// Do something else.
    Act(Box<Act>),
    /// Let a client in, or not.
    Outcome(Outcome),
    /// End: a handler has failed.
    Fail(Fault),
    /// Do something with a socket of the connection.
    Socket(Box<ToSocket>),
    /// Take in what is held: the handler has caught up.
    GoOn,
}

/// Whose fault it is that a handler has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client's: it sent something else than was expected.
    Client,
    /// The handler's.
    Handler,
}

/// What a member hears from the hub beside messages.
#[derive(Debug)]
pub(crate) enum News<'a> {
    /// It is in a room.
    Joined(&'a Joined),
    /// It is out of a room.
    Left { token: Option<u64> },
    /// A message with a token has its place.
    Published { token: u64, id: Option<MessageId> },
    /// Who is in a room.
    Listed {
        token: Option<u64>,
        roster: &'a Roster,
    },
    /// The home of a room refused what was asked.
    Refused {
        request: Request,
        token: Option<u64>,
        reason: Refused,
    },
    /// Messages of a room that were dropped because this member is slow.
    Dropped { room: RoomKey, count: u64 },
}

/// What becomes of a connection after its session was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It goes on.
    Continue,
    /// The session has said goodbye, for this reason; the peer is given time to read it.
    Linger(End),
    /// Both sides have said goodbye: closed as soon as the reply is out.
    End,
    /// The peer has said goodbye. It is answered when the handler is done, or the time to close is
    /// up.
    Wait,
}

/// What a session says to somebody outside who wants to speak as its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uplink {
    /// That is not its secret.
    Unknown,
    /// The member has said more than it may.
    OverRate,
    /// Speak.
    Granted,
}

/// How the peer of a silent connection is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heartbeat {
    /// It is asked when it has been silent for the ping interval, and has the ping timeout to
    /// answer.
    Ask,
    /// It cannot answer. Something is sent every so many milliseconds, so that a broken connection
    /// is noticed.
    Tell(u64),
    /// It is about to begin or to end, within a deadline.
    Deadline,
    /// The session sees to it itself: it is to be called at this time, in milliseconds of the
    /// shard's clock. Asked for after every call.
    At(u64),
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Gone => Self::Peer,
            CloseReason::Broken => Self::Broken,
            CloseReason::SlowConsumer => Self::SlowConsumer,
            CloseReason::Silent => Self::Silent,
            CloseReason::ShuttingDown => Self::ShuttingDown,
            CloseReason::Fault => Self::Fault,
            CloseReason::Late | CloseReason::Unfinished => Self::Handler,
        }
    }
}

/// Why this side ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The peer has left without a word, as a send has shown before a read could.
    Gone,
    /// The socket is broken.
    Broken,
    /// It does not read what it is sent.
    SlowConsumer,
    /// It did not answer a heartbeat.
    Silent,
    /// The server stops.
    ShuttingDown,
    /// A fault of ours while serving it.
    Fault,
    /// Its handler was not done in time, when it began or ended.
    Late,
    /// A message in fragments was not finished in time.
    Unfinished,
}

impl CloseReason {
    /// Whether nobody is left to be told.
    pub(crate) const fn is_gone(self) -> bool {
        matches!(self, Self::Gone | Self::Broken | Self::Silent)
    }
}

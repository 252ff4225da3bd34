//! Doors: each puts one protocol onto the hub.
//!
//! A door is a [`Session`] for each connection, a wire form for each way its members hear a
//! message, and one place where a request head is turned into a session. The shard knows only
//! these.

mod open;
mod raw;
mod tools;

use std::fmt;

use parlor_hub::{Effects, Hub, Joined, MemberKey, Message, Refused, Request};

pub(crate) use open::{Opened, claims, open};
pub(crate) use tools::{FORMS, Settings, Tools};

/// What a session may use while it is being called.
pub(crate) struct Turn<'a> {
    /// The connection.
    pub(crate) key: MemberKey,
    /// This shard's rooms.
    pub(crate) hub: &'a mut Hub,
    /// What the hub wants done; the shard performs it after the call.
    pub(crate) effects: &'a mut Effects,
    /// Bytes for this connection, sent after the call. Whole frames only.
    pub(crate) reply: &'a mut Vec<u8>,
    /// Working memory that all sessions of the shard share.
    pub(crate) tools: &'a mut Tools,
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
    /// Takes in bytes that came, unmasking them in place.
    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then;

    /// The member is in the room now.
    fn joined(&mut self, joined: &Joined, turn: &mut Turn<'_>) -> Then;

    /// The room's home has refused what the member asked for.
    fn refused(&mut self, request: Request, reason: Refused, turn: &mut Turn<'_>) -> Then;

    /// Encodes messages for this member alone, into the reply.
    fn deliver(
        &mut self,
        messages: &mut dyn Iterator<Item = &Message>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    );

    /// Where the frame ends in which offset `sent` of whole `frames` lies.
    fn boundary(&self, frames: &[u8], sent: usize) -> usize;

    /// Asks the peer for a sign of life.
    fn ping(&mut self, turn: &mut Turn<'_>);

    /// Says goodbye, into the reply. Nothing is received or delivered after it.
    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>);
}

/// What becomes of a connection after its session was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// It goes on.
    Continue,
    /// The session has said goodbye; the peer is given time to read it.
    Linger,
    /// Both sides have said goodbye: closed as soon as the reply is out.
    End,
}

/// Why this side ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The socket is broken or the peer is gone.
    Broken,
    /// It does not read what it is sent.
    SlowConsumer,
    /// It did not answer a heartbeat.
    Silent,
    /// The server stops.
    ShuttingDown,
    /// A fault of ours while serving it.
    Fault,
}

//! What embedders write and hold: handlers of connections, and handles that reach into the shards.
//!
//! Handlers run on the shard of their connection, one event of a connection after the other. The
//! handles put commands into a bounded queue: that of this shard where they are used on its thread,
//! else the mailbox of the shard that is meant.

mod agent;
mod caller;
mod command;
mod connect;
mod doors;
mod endpoint;
pub(crate) mod engineio;
mod failed_handshake;
mod fault;
mod flushed;
mod fragments;
mod handler;
mod head;
mod joining;
mod link;
mod local;
mod member;
mod message;
mod refusal;
mod room;
mod routes;
mod server;
mod socket;
pub mod socketio;
mod told;

pub(crate) use self::{
    agent::{Call, Event, Outcome, Returned, serve},
    caller::Caller,
    command::{Act, Answered, Command, Question, Receipt},
    connect::Accepted,
    doors::Doors,
    failed_handshake::OnFailed,
    fragments::{Fragment, UNFINISHED},
    link::{Limits, Link, Post},
    local::Local,
    member::Gauge,
    routes::Routes,
    told::Told,
};
pub use self::{
    connect::Connect,
    doors::Door,
    endpoint::{Endpoint, IntoOutcome},
    failed_handshake::FailedHandshake,
    fault::{BoxError, ConnectionError, Disconnect, RoomError, SendError, Side},
    flushed::Flushed,
    fragments::{FragmentedBinary, FragmentedText},
    handler::{Control, Handler},
    head::Head,
    joining::{Joined, Joining},
    member::Member,
    message::{Compression, JsonError, Message, Text},
    refusal::Refusal,
    room::{IntoRoom, Publication, Published, Room, Said},
    routes::PatternError,
    server::ServerHandle,
    socket::{ByteSocket, Socket, Sockets},
};

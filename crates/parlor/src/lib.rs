//! Real-time client-to-client communication.

pub mod client;
pub mod config;
mod door;
mod embed;
mod front;
mod handle;
mod http;
mod metrics;
mod policy;
mod server;
mod shard;

pub use parlor_proto as proto;

pub use parlor_hub::{
    Gap, MalformedMemberId, MalformedRoomName, MemberId, MessageId, Peer, Priority, Refused,
    Resume, RoomName, Sender,
};

pub use self::config::Config;
pub use self::embed::{
    BoxError, ByteSocket, Compression, Connect, ConnectionError, Control, Disconnect, Door,
    Endpoint, FailedHandshake, Flushed, Handler, Head, IntoOutcome, IntoRoom, Joined, Joining,
    JsonError, Member, Message, PatternError, Publication, Published, Refusal, Room, RoomError,
    Said, SendError, ServerHandle, Side, Socket, Sockets, Text,
};
pub use self::http::Visits;
pub use self::server::{BuildError, Builder, ServeError, Server};

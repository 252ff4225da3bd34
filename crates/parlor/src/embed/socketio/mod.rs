//! Socket.IO with handlers, for clients 2 to 4 and what else speaks the protocol.
//!
//! ```
//! use parlor::{Server, socketio::{Ack, Socket, SocketIo}};
//!
//! let io = SocketIo::new();
//! io.of("/chat").on_connect(|socket: Socket| async move {
//!     let _ = socket.join("lobby");
//!     socket.on("message", |socket: Socket, text: String| async move {
//!         let _ = socket.to("lobby").emit("message", &text);
//!         Ack("heard")
//!     });
//! });
//! let server = Server::builder().socketio(&io).build()?;
//! # Ok::<(), parlor::BuildError>(())
//! ```
//!
//! **State.** A handler is called again and again, so it clones what it shares: `move |socket, text|
//! { let users = Arc::clone(&users); async move { … } }`. What belongs to one socket is its data
//! ([`Socket::set_data`]), which middleware is the place to fill.
//!
//! **Rooms.** The rooms of the main namespace are those of all doors: who is in `tea` by plain
//! WebSocket or by an event stream hears what is sent to `tea`. Every other namespace has rooms of
//! its own. A socket's own room, which is called as its id, is nobody else's.
//!
//! **Order.** The handlers of one socket run one after the other, on the thread of its shard: what
//! takes long is to be awaited, not to block. Events sent to one room arrive in the order sent;
//! between different rooms there is no order.
//!
//! **Bounds.** 256 events of a socket, or 64 KiB, may wait for their handlers; then its connection
//! is not read. 1,024 acknowledgements of a socket may be awaited; one more is told
//! [`AckError::Disconnected`]. A connection is in at most 64 namespaces and, in all of them
//! together, [`rooms_per_member_max`](crate::Config::rooms_per_member_max) rooms.

mod acks;
mod agent;
mod args;
mod broadcast;
mod command;
mod conn;
mod entering;
mod handlers;
mod io;
mod listener;
mod namespace;
mod parser;
mod received;
mod shape;
mod socket;

pub use parlor_proto::socketio::{DisconnectReason, Packet, PacketType};

pub use self::{
    acks::{AckError, PartialAcks},
    args::{Args, ArgsError, Binary},
    broadcast::Broadcast,
    conn::Conn,
    entering::Entering,
    handlers::{Ack, IntoAck, Reply},
    io::{ConnectError, SocketIo},
    listener::Listener,
    namespace::Namespace,
    parser::{Decoder, Parser, TextDecoder, TextParser},
    received::{AckHandle, Received},
    socket::{Emission, Socket},
};
pub(crate) use self::{
    agent::{IoEvent, SocketAgent},
    args::Packed,
    command::{
        About, AckSink, Act, Addressees, Claim, Data, Found, Kept, Seeker, ToSocket, Wide, WideAct,
    },
    io::{Entered, Io},
    parser::{Decoding, Incoming, OwnParser},
};

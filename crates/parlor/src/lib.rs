//! A real-time server to embed: WebSocket endpoints with handlers, rooms that many protocols share,
//! and the client for the other end.
//!
//! ```no_run
//! use std::net::TcpListener;
//!
//! use parlor::{Endpoint, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), parlor::BoxError> {
//! let echo = Endpoint::new()
//!     .on_connect(|connect| async move { Ok(connect) })
//!     .on_message(|member, message| async move { member.send(message) })
//!     .on_disconnect(|member, how| async move { println!("{} went: {}", member.id(), how.code) })
//!     .on_error(|member, error| async move { eprintln!("{}: {error}", member.id()) });
//!
//! let server = Server::builder().endpoint("/echo", echo).build()?;
//! let listener = TcpListener::bind("127.0.0.1:8080")?;
//! server.run(vec![listener], async { _ = tokio::signal::ctrl_c().await }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Endpoints
//!
//! An endpoint is a path and somebody who serves the connections there. There are three ways:
//!
//! | | for | costs |
//! |---|---|---|
//! | [`Endpoint`] | closures, connections that keep nothing | a call for each event |
//! | [`Handler`] | connections with a state of their own type | a call for each event |
//! | [`Sockets`] | code that would rather pull: a [`Stream`](futures_core::Stream) and a [`Sink`](futures_sink::Sink), or `AsyncRead` and `AsyncWrite` | a task and a queue for each connection |
//!
//! Handlers are `async` and may wait; the events of one connection are handled in order, one after
//! the other, and its client is held while they wait. [`Handler`] says what happens when one
//! blocks, fails or panics.
//!
//! Whoever connects is asked about first: [`Connect`] has the request ([`Head`]: headers, cookies,
//! query, the parts of the path that `/{name}` stands for), and may add headers to the answer,
//! choose a subprotocol, name the member, or refuse with a [`Refusal`]. The request is dropped
//! behind the connect handler unless [`Connect::keep_head`] is called.
//!
//! ```
//! use parlor::{BoxError, Connect, Handler, Member, Message, Refusal};
//!
//! struct Chat;
//!
//! impl Handler for Chat {
//!     type State = String; // the room
//!
//!     async fn connect(&self, connect: &mut Connect) -> Result<String, Refusal> {
//!         let Some("secret") = connect.cookie("token") else {
//!             return Err(Refusal::unauthorized("who are you?"));
//!         };
//!         let room = connect.param("room").to_owned();
//!         connect.member().join(&room)?.await?;
//!         Ok(room)
//!     }
//!
//!     async fn message(
//!         &self,
//!         room: &mut String,
//!         member: &Member,
//!         said: Message,
//!     ) -> Result<(), BoxError> {
//!         Ok(member.publish(&*room, said)?) // to everybody there but the sender
//!     }
//! }
//! # let _ = parlor::Server::builder().endpoint("/chat/{room}", Chat);
//! ```
//!
//! # Rooms, members and the server from anywhere
//!
//! [`Member`], [`Room`] and [`ServerHandle`] are handles: `Clone + Send + Sync`, for any task and any
//! thread. None of their methods blocks. Those that give something to a shard answer at once with
//! [`SendError::Full`] where its queue is full (65,536 commands or 8 MiB), and with
//! [`SendError::Closed`] where the connection or the server is gone.
//!
//! ```
//! # async fn news(server: parlor::ServerHandle, member: parlor::Member) -> Result<(), parlor::BoxError> {
//! let tea = server.room("tea")?;
//! tea.publish("to everybody in the room")?;
//! tea.except(&member).publish_json(&["hello"])?;
//! tea.event("greeting").publish("hello")?; // not to endpoints, whose messages have no names
//! let (here, said) = (tea.members().await?, tea.history(20).await?);
//! member.send(format!("{} are here, {} messages are kept", here.len(), said.len()))?;
//! server.broadcast("to every connection of every endpoint")?;
//! # Ok(())
//! # }
//! ```
//!
//! Everybody in a room hears the same order, whatever the number of shards and publishers. A room
//! keeps a history ([`Config::history_messages`]), out of which those who come back are served
//! ([`Member::join_with_history`]), or are told of a [`Gap`].
//!
//! A client that does not read as fast as it is sent to has an outbox of 1 MiB
//! ([`Config::outbox_bytes_max`]). Past it a room's policy says what is lost first
//! ([`config::SlowPolicy`]), and in the end the client is closed with 1013. Nobody waits for it.
//!
//! # The built-in doors
//!
//! Without endpoints a server is what the binary `parlor` is: rooms by raw WebSocket, by `parlor.v1`,
//! as event streams, by Socket.IO, by HTTP. With endpoints these are closed, since whoever comes in
//! by them is in the rooms without a handler; [`Builder::doors`] opens those that are wanted. All
//! doors and all endpoints share the same rooms.
//!
//! # Socket.IO
//!
//! [`socketio`] has namespaces, events, acknowledgements and rooms with handlers of one's own, for
//! clients as they are; [`Builder::socketio`] puts them into a server.
//!
//! # In an application of axum's
//!
//! [`Server::router`] is a router of axum's 0.8, to be nested below any path beside other routes and
//! below their middleware; [`Server::service`] the same for anything made of tower and hyper. All
//! endpoints and doors are there, by WebSocket, as event streams, by Socket.IO with and without
//! polling, and by plain requests. Plain TCP sockets move into a shard once they are upgraded, and
//! then cost what those cost that the server has accepted itself; TLS and HTTP/2 are driven as the
//! streams that they are, and event streams as bodies of responses.
//!
//! # The client, and the codec alone
//!
//! [`client`] has connections that come back by themselves. [`proto`] has every protocol without
//! I/O, for those who bring their own.
//!
//! # Threads
//!
//! [`Server::run`] starts one thread for each shard ([`Config::shards`], as many as there are cores),
//! each with a current-thread runtime of tokio's on which handlers run, and may itself be polled by
//! any executor. A task that a handler spawns with [`tokio::spawn`] stays on that thread.
//!
//! # Features
//!
//! | Feature | Default | Adds |
//! |---|---|---|
//! | `tls` | no | `wss:` and `https:` in [`client`], by rustls with ring |
//! | `http2` | no | WebSocket by HTTP/2 (RFC 8441) in [`Server::router`] and [`Server::service`] |
//!
//! A feature adds code and changes no behaviour.
//!
//! # Examples
//!
//! `crates/parlor/examples` has `echo`, `hub`, `broadcast`, `rooms`, `chat` (names and history),
//! `presence`, `game_loop` (thirty ticks a second, old ones dropped for slow readers), `dashboard`
//! (event streams), `auth`, `axum_app`, `client` (a session that comes back), `fragments` (messages
//! in pieces), `socketio_chat`, `socketio_parser` and `socketio_gate` (who may come in).
//! `docs/coming-from-ws.md` and `docs/coming-from-socketio.md` say what stands for what in Node's
//! `ws` and `socket.io`.

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

/// Sessions of Engine.IO with nothing above them; see [`Builder::engineio`].
pub mod engineio {
    pub use crate::embed::engineio::{
        CloseCause, CloseReason, Context, ErrorCode, Event, Hooks, Message, PacketType, Passing,
        RequestError, Session, State, Text, Traffic, Transport, Version,
    };
}

pub use parlor_proto as proto;

pub use parlor_hub::{
    Gap, MalformedMemberId, MalformedRoomName, MemberId, MessageId, Peer, Priority, Refused,
    Resume, RoomName, Sender,
};

pub use self::config::Config;
pub use self::embed::socketio;
pub use self::embed::{
    BoxError, ByteSocket, Compression, Connect, ConnectionError, Control, Disconnect, Door,
    Endpoint, FailedHandshake, Flushed, FragmentedBinary, FragmentedText, Handler, Head,
    IntoOutcome, IntoRoom, Joined, Joining, JsonError, Member, Message, PatternError, Publication,
    Published, Refusal, Room, RoomError, Said, SendError, ServerHandle, Side, Socket, Sockets,
    Text,
};
pub use self::http::Visits;
pub use self::server::{BuildError, Builder, ServeError, Server};

/// The code of the documents that are not part of the crate.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../docs/coming-from-ws.md")]
    struct ComingFromWs;
    #[doc = include_str!("../../../docs/coming-from-socketio.md")]
    struct ComingFromWsSocketIo;

    #[doc = include_str!("../../../README.md")]
    struct Readme;
}

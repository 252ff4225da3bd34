//! Clients, for programs that talk to a server instead of being one.
//!
//! [`connect`] opens a plain WebSocket to any server; [`Builder`] says how: headers, subprotocols,
//! redirects, proxies, compression, heartbeats, limits, and TLS with the feature `tls`. What comes
//! of it depends on how much is to be cared for here:
//!
//! | | connections | speaks | hears |
//! |---|---|---|---|
//! | [`Builder::connect`] | one | frames to any server | frames |
//! | [`Builder::session`] | one after the other | to rooms, in a bounded queue while offline | rooms, in order, none twice, gaps told |
//! | [`Builder::event_stream`] | one after the other | | the same, from any server of event streams |
//! | [`Builder::publish`] | one for each message | to a room, as nobody | |
//!
//! All of it needs a tokio runtime of any flavour, with its I/O and time enabled.
//!
//! ```no_run
//! use parlor::client::{self, Event};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut socket = client::connect("ws://localhost:8080/echo").await?;
//! socket.send("Hello, server!").await?;
//! while let Some(event) = socket.next().await {
//!     match event? {
//!         Event::Message(message) => {
//!             println!("{:?}", message.as_text());
//!             socket.close(Some(client::CloseCode::NORMAL), "").await?;
//!         }
//!         Event::Close { code, reason } => println!("closed: {code:?} {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
mod builder;
mod connect;
mod error;
mod events;
mod http;
mod message;
mod proxy;
mod publish;
pub mod session;
mod socket;
#[cfg(feature = "tls")]
mod tls;
mod url;

pub use parlor_proto::websocket::{CloseCode, deflate};

pub use self::backoff::Backoff;
pub use self::builder::Builder;
pub use self::connect::Io;
pub use self::error::{ConnectError, Refusal, SocketError};
pub use self::events::{EventStream, EventStreamBuilder};
pub use self::message::{Event, Message};
pub use self::proxy::Proxies;
pub use self::publish::Receipt;
pub use self::session::{Session, SessionBuilder};
pub use self::socket::Socket;
pub use self::url::{MalformedUrl, Url};

/// Connects to a WebSocket with the defaults of [`Builder`].
///
/// # Errors
///
/// Any [`ConnectError`].
pub async fn connect(url: impl Into<String>) -> Result<Socket, ConnectError> {
    Builder::new(url).connect().await
}

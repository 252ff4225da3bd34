//! WebSocket: RFC 6455 with permessage-deflate (RFC 7692), both roles, without I/O.
//!
//! [`handshake`] turns an HTTP request into an answer (and back, for clients), [`Connection`] turns
//! bytes into [`Event`]s and messages into bytes, [`frame`] encodes what many members share, and
//! [`deflate`] negotiates and does compression.
//!
//! **The law of the loop.** After bytes arrived, call [`Connection::receive`] until it returns
//! `None`. Call [`Connection::transmit`] after each [`Event::Ping`] while the socket still takes
//! bytes, and in any case once after the loop: it appends the answers that the machine owes. While
//! the socket is stalled do not call it; pongs then merge into one, the newest.
//!
//! ```
//! use parlor_proto::websocket::frame::{self, Flags};
//! use parlor_proto::websocket::{Connection, Event, Input, Options, Role, Scratch};
//!
//! # fn main() -> Result<(), parlor_proto::websocket::Error> {
//! let options = Options::default(); // one for all connections
//! let mut scratch = Scratch::new(); // one a thread
//! let mut connection = Connection::new(Role::Server, None);
//!
//! // "Hello", masked (RFC 6455, section 5.7).
//! let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
//! let mut input = Input::new(&mut bytes);
//! let mut out = Vec::new();
//! while let Some(event) = connection.receive(&mut input, &options, &mut scratch)? {
//!     match event {
//!         // Said again: a server's frame, without a mask.
//!         Event::Message { kind, payload, .. } => {
//!             frame::encode(&mut out, Flags::FIN, kind.into(), payload);
//!         }
//!         Event::Ping(_) => connection.transmit(None, &mut out),
//!         _ => {}
//!     }
//! }
//! connection.transmit(None, &mut out);
//! assert_eq!(out, b"\x81\x05Hello");
//! # Ok(())
//! # }
//! ```

mod close;
mod connection;
pub mod deflate;
mod error;
mod event;
mod extension;
pub mod frame;
pub mod handshake;
mod input;
mod options;
mod receive;
mod scratch;
mod send;
#[cfg(test)]
mod tests;
mod utf8;

pub use close::CloseCode;
pub use connection::{Connection, Role, State};
pub use error::{Error, Misuse};
pub use event::{Event, Kind};
pub use input::Input;
pub use options::{Delivery, Limits, Options};
pub use scratch::Scratch;
pub use send::{Fragment, Message};

//! Engine.IO, versions 4 and 3: a session over HTTP long-polling, WebSocket, or first one and then
//! the other, without I/O.
//!
//! [`admit`] says what a request to the path of Engine.IO wants. A [`Session`] is fed the requests
//! and WebSocket messages of one client and the time, hands over the messages of the application,
//! and yields [`Output`]s: answers to GETs, WebSocket messages, news. [`packet`] and [`payload`]
//! are its codecs.
//!
//! Time is a number of milliseconds of any clock that does not go back. Session ids are the
//! caller's: 20 characters that nobody can guess.
//!
//! **The law of the loop.** After each call that changes a session, call [`Session::poll_output`]
//! until it returns none, and ask [`Session::next_deadline`] when to call
//! [`Session::handle_timeout`]. Messages sent between two drains share the answer to one GET.
//!
//! ```
//! use parlor_proto::engineio::{
//!     Content, Data, Form, Message, Options, Output, PollId, Session, Version,
//! };
//!
//! # fn main() -> Result<(), parlor_proto::engineio::ErrorCode> {
//! let options = Options::default(); // one for all sessions
//! let now = 0;
//! let mut session = Session::polling("lv_VI97HAXpY6yYWAAAC", Version::V4, &options, now);
//!
//! // The GET that opened it is answered with the handshake.
//! session.poll(PollId(1), Form::default(), &options, now)?;
//! while let Some(output) = session.poll_output(&options) {
//!     if let Output::Respond { id, response } = output {
//!         assert_eq!((id, response.body.first()), (PollId(1), Some(&b'0')));
//!     }
//! }
//!
//! // A POST with a message, which is said again.
//! session.post_begin(&options, now)?;
//! let mut payload = session.post_end(Content::Text, b"4hello", &options, now)?;
//! let mut said = Vec::new();
//! while let Some(data) = session.receive(&mut payload, &options, now)? {
//!     if let Data::Text(text) = data {
//!         said.push(Message::from(text));
//!     }
//! }
//! for message in said {
//!     session.send(message, &options);
//! }
//! session.poll(PollId(2), Form::default(), &options, now)?;
//! while let Some(output) = session.poll_output(&options) {
//!     if let Output::Respond { response, .. } = output {
//!         assert_eq!(response.body, b"4hello");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod handshake;
mod jsonp;
mod message;
mod options;
mod output;
pub mod packet;
pub mod payload;
pub(crate) mod query;
mod session;
#[cfg(test)]
mod tests;

pub use error::{CloseCause, CloseReason, DecodeError, ErrorCode};
pub use handshake::{Admission, Known, Method, Opening, Request, Upgrade, admit, open_json};
pub use message::{Message, Text};
pub use options::{Limits, Options, Transports, Upgrades, Versions};
pub use output::{Frame, Output, PollId};
pub use packet::{Data, PacketType, Version};
pub use payload::{Content, Form, Payload, Response};
pub use query::Query;
pub use session::{Session, SocketEnd, State, Transport};

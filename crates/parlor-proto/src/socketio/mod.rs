//! Socket.IO, versions 5 and 4: namespaces, events and acknowledgements over one Engine.IO session,
//! without I/O.
//!
//! A [`Connection`] is fed the messages of a session ([`crate::engineio::Session`]) and the time; it
//! says who connects to which namespace, which events and acknowledgements came, and what is due.
//! What is sent is a [`Packet`], [encoded](Packet::encode) in the client's way of writing: text with
//! attachments, or MessagePack; or in a way of the embedder's, who then hands what came in to
//! [`Connection::packet`]. [`Decoder`] and [`msgpack`] are the codecs.
//!
//! Payloads stay the text that they came as. They are checked in one pass that is not recursive
//! (JSON as RFC 8259 has it, at most 128 deep, placeholders), and can be passed on as they are;
//! [`Packet::arguments`] cuts them into arguments.
//!
//! **The law of the loop.** After the opening, and at each [`Connection::next_deadline`], call
//! [`Connection::due`] until it returns none. Answer each [`Event::Connect`] with
//! [`Connection::accept`] or [`Connection::refuse`]. After an [`Error`] close the session.
//!
//! ```
//! use parlor_proto::engineio::Message;
//! use parlor_proto::socketio::{Connection, Event, Options, Packet, Version};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::default(); // one for all connections
//! let now = 0;
//! let mut connection = Connection::new(Version::V5, &options, now);
//!
//! let event = connection.text(r#"0/chat,{"token":"123"}"#, &options)?;
//! let Some(Event::Connect { namespace, auth }) = event else {
//!     panic!("a CONNECT");
//! };
//! assert_eq!((&*namespace, auth.as_deref()), ("/chat", Some(r#"{"token":"123"}"#)));
//! let answer = connection.accept(&namespace, "wZX3oN0bSVIhsaknAAAI", None)?;
//! let answer = connection.encode(&answer).head;
//! assert_eq!(answer, Message::from(r#"0/chat,{"sid":"wZX3oN0bSVIhsaknAAAI"}"#));
//!
//! let event = connection.text(r#"2/chat,7["hello",{"a":[1,2]}]"#, &options)?;
//! let Some(Event::Event(packet)) = event else {
//!     panic!("an event");
//! };
//! assert_eq!(packet.arguments().collect::<Vec<_>>(), [r#"{"a":[1,2]}"#]);
//! let ack = Packet::ack("/chat", 7, [r#""yes""#]);
//! assert_eq!(connection.encode(&ack).head, Message::from(r#"3/chat,7["yes"]"#));
//! # Ok(())
//! # }
//! ```

mod connection;
mod decoder;
mod encoder;
mod error;
pub mod json;
pub mod msgpack;
mod options;
mod packet;
mod payload;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Event};
pub use decoder::Decoder;
pub use encoder::Encoded;
pub use error::{DecodeError, DisconnectReason, Error, Misuse};
pub use options::{Limits, Options, Parser, Parsers};
pub use packet::{
    EventName, Packet, PacketType, Recovery, Version, placeholder_json, socket_id_v4,
};

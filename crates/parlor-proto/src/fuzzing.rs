//! The bodies of the fuzz targets: each takes any bytes and panics where a promise is broken. The
//! targets in `fuzz/` call them, and so do tests, with the corpus and with random bytes.

mod engineio;
mod socketio;
#[cfg(test)]
mod tests;
mod websocket;

pub use engineio::{engineio_payload, engineio_request, engineio_session};
pub use socketio::{socketio_connection, socketio_msgpack, socketio_packet};
#[cfg(test)]
pub(crate) use websocket::{Said, Setup, transcript};
pub use websocket::{deflate_negotiation, frames, handshake};

//! The bodies of the fuzz targets: each takes any bytes and panics where a promise is broken. The
//! targets in `fuzz/` call them, and so do tests, with the corpus and with random bytes.

mod engineio;
mod signal;
mod socketio;
mod sse;
#[cfg(test)]
mod tests;
mod websocket;

pub use engineio::{engineio_payload, engineio_request, engineio_session};
pub use signal::signal_request;
pub use socketio::{socketio_connection, socketio_msgpack, socketio_packet};
pub use sse::{sse_event, sse_stream};
#[cfg(test)]
pub(crate) use websocket::{Said, Setup, transcript};
pub use websocket::{deflate_negotiation, frames, handshake};

//! The bodies of the fuzz targets: each takes any bytes and panics where a promise is broken. The
//! targets in `fuzz/` call them, and so do tests, with the corpus and with random bytes.

#[cfg(test)]
mod tests;
mod websocket;

#[cfg(test)]
pub(crate) use websocket::{Said, Setup, transcript};
pub use websocket::{deflate_negotiation, frames, handshake};

//! Packets in MessagePack, as `socket.io-msgpack-parser` writes them: each is one binary message, a
//! map of `type`, `data`, `nsp` and maybe `id`, with binary data in its place.
//!
//! Inside, packets are JSON with attachments, whatever they came as. Nothing here is recursive, and
//! nothing is allocated for a declared length.

mod date;
mod read;
mod write;

pub use read::decode;
pub use write::encode;

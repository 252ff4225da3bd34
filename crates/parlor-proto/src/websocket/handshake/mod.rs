//! The opening handshake (RFC 6455, section 4), without an HTTP library on the server's side.

mod client;
mod server;

pub use client::{Accepted, ClientHandshake, ClientRequest, ResponseError};
pub use server::{Answer, Refusal, Request, ResponseMisuse, Upgrade, validate};

//! The opening handshake (RFC 6455, section 4), on the server's side without an HTTP library.

mod client;
mod header;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Accepted, ClientHandshake, ClientRequest, ResponseError};
pub use server::{Answer, Refusal, Request, ResponseMisuse, Upgrade, check_header, validate};

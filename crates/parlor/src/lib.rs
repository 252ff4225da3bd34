//! Real-time client-to-client communication.

pub mod client;
pub mod config;
mod door;
mod front;
mod handle;
mod http;
mod metrics;
mod policy;
mod server;
mod shard;

pub use parlor_proto as proto;

pub use self::config::Config;
pub use self::server::{BuildError, Builder, ServeError, Server};

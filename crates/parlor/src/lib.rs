//! Real-time client-to-client communication.

pub mod config;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the server that calls it comes next")
)]
mod front;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the server that calls it comes next")
)]
mod http;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the server that calls it comes next")
)]
mod policy;

pub use self::config::Config;

//! Real-time client-to-client communication.

pub mod config;

pub use self::config::Config;

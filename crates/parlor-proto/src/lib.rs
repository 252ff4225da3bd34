//! Wire protocols as pure state machines: bytes in, events out.
//!
//! Nothing here opens a socket, reads a clock, draws a random number or waits. A protocol without
//! memory is a codec (`decode`, `encode`); one with memory is a machine that is fed bytes, yields
//! events and appends the bytes that it wants to send to a buffer of the caller's.

pub mod engineio;
pub mod signal;
pub mod socketio;
pub mod sse;
pub mod websocket;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

//! Tests of the library over real sockets.

mod hub;
mod support;
mod websocket;

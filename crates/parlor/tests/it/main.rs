//! Tests of the library over real sockets.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod addresses;
mod backlog;
mod client_events;
mod client_example;
mod client_faults;
mod client_publish;
mod client_session;
mod client_socket;
mod client_support;
#[cfg(feature = "tls")]
mod client_tls;
mod endpoint;
mod engineio_rows;
mod event_stream;
mod examples;
mod fragments;
mod handles;
mod http_files;
mod http_moves;
mod http_origins;
mod http_rows;
mod http_support;
mod hub;
mod member;
mod metrics;
mod mounted;
mod mounted_doors;
#[cfg(feature = "http2")]
mod mounted_http2;
mod mounted_support;
mod odd_requests;
mod order;
mod peer;
mod polling_support;
mod proxy;
mod publishing;
mod returning;
mod rooms;
mod several_rooms;
mod signal;
mod socketio;
mod socketio_advisories;
mod socketio_engine;
mod socketio_handlers;
mod socketio_parser;
mod socketio_polling_rows;
mod socketio_recovery;
mod socketio_rows;
mod socketio_support;
mod socketio_tongues;
mod sockets;
mod sse;
mod support;
mod tongues;
mod websocket;

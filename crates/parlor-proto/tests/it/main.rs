//! What only a whole program can show: how much memory the machines take.

mod websocket_memory;

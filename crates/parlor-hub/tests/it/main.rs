//! The hub, driven as a shell drives it: several shards, mailboxes with delay, an oracle.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "test code; a broken assumption of the test itself may end it"
)]

mod ear;
mod memory;
mod model;
mod random;
mod returning;
mod rooms;
mod shards;
mod shell;
mod simulation;
mod world;

//! The binary as a process: what it prints, how it ends.

mod bench;
mod help;
mod hub;
mod house;
mod process;
mod serve;

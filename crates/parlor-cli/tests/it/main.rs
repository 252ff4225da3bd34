//! The binary as a process: what it prints, how it ends.

mod bench;
mod help;
mod house;
mod hub;
mod process;
mod proxy;
mod serve;
mod storm;
mod tap;

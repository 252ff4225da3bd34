//! The binary as a process: what it prints, how it ends.

mod help;
mod process;
mod serve;

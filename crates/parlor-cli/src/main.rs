//! The binary `parlor`: arguments, configuration, the pages it serves, a client for the terminal
//! and a load tester. What a server does is in the library.

mod arguments;
mod bench;
mod http;
mod log;
mod options;
mod page;
mod publish;
mod reference;
mod serve;
mod signals;
mod tap;
mod terminal;
mod url;

use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = match arguments::read() {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let outcome = match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("tap", matches)) => tap::run(matches),
        Some(("publish", matches)) => publish::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("config", matches)) => reference::run(matches),
        _ => Ok(ExitCode::from(terminal::USAGE)),
    };
    outcome.unwrap_or_else(|error| {
        terminal::complain(&error);
        ExitCode::from(terminal::USAGE)
    })
}

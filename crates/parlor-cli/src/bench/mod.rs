//! `parlor bench`: a load tester for WebSocket servers, ours or not, and for our other doors.
//!
//! One thread and one poll set, so that it costs less than the server it loads. Each message
//! carries who sent it, which one it is and when it was due ([`stamp`]); what members hear is
//! checked against that ([`ledger`]). URLs, handshakes, frames and compression are the library's;
//! only its sockets are not, since a task and a timer for each connection would cost more than the
//! server does. One test is of the library's client ([`reconnect`]): it runs its sessions,
//! reconnection and all.

mod arguments;
mod churn;
mod client;
mod crowd;
mod ear;
mod echo;
mod fanout;
mod fleet;
mod histogram;
mod idle;
mod ledger;
mod opened;
mod pace;
mod poster;
mod process;
mod progress;
mod reconnect;
mod replay;
mod report;
mod restart;
mod sse;
mod stamp;
mod stream;
mod target;
mod time;

use std::process::ExitCode;

use clap::{ArgMatches, Command, FromArgMatches as _, Subcommand as _};

use self::arguments::Scenario;
use crate::terminal::FAILED;

/// The arguments of `parlor bench`.
pub(crate) fn command() -> Command {
    Scenario::augment_subcommands(Command::new("bench"))
        .about("Loads a server and measures it")
        .after_help(
            "Ends with code 0, or 1 where messages were lost, repeated or out of order, a \
             connection was closed or a session did not come back.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
}

/// Runs `parlor bench`.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let scenario = Scenario::from_arg_matches(matches)?;
    let report = match &scenario {
        Scenario::Fanout(arguments) => fanout::run(arguments)?,
        Scenario::Sse(arguments) => sse::run(arguments)?,
        Scenario::Echo(arguments) => echo::run(arguments)?,
        Scenario::Idle(arguments) => idle::run(arguments)?,
        Scenario::Churn(arguments) => churn::run(arguments)?,
        Scenario::Reconnect(arguments) => reconnect::run(arguments)?,
    };
    report.print(scenario.json())?;
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

//! The command line.

use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::terminal::{self, USAGE};
use crate::{bench, options, publish, tap};

/// Reads the arguments of this process. Help and version are printed and end it with code 0, a
/// wrong argument with one sentence and code 2.
pub(crate) fn read() -> Result<ArgMatches, ExitCode> {
    command()
        .try_get_matches()
        .map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let _closed = error.print();
                ExitCode::SUCCESS
            }
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                let _closed = error.print();
                ExitCode::from(USAGE)
            }
            _ => {
                terminal::note(format_args!("parlor: {}", sentence(&error)));
                ExitCode::from(USAGE)
            }
        })
}

/// Everything that the program understands.
pub(crate) fn command() -> Command {
    Command::new("parlor")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Lets clients talk to each other in real time")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(serve())
        .subcommand(config())
        .subcommand(tap::command())
        .subcommand(publish::command())
        .subcommand(bench::command())
}

fn serve() -> Command {
    let command = Command::new("serve")
        .about("Runs the server")
        .after_help(
            "Each option is also a key of the configuration file (`message_bytes_max = \"1MiB\"`) \
             and an environment variable (`PARLOR_MESSAGE_BYTES_MAX=1MiB`). An argument wins over \
             a variable, a variable over the file. Sizes: 64KiB, 1MiB. Times: 500ms, 10s, 2m.",
        )
        .arg(config_file());
    options::rows().fold(command, |command, row| {
        let repeats = if row.list { " May be repeated." } else { "" };
        let help = format!("{}{repeats}", row.help);
        let help = format!(
            "{} [default: {}]",
            help.trim_end_matches('.'),
            row.default_text()
        );
        command.arg(
            Arg::new(row.key)
                .long(row.key.replace('_', "-"))
                .value_name(row.value)
                .help(help)
                .help_heading(row.group.title())
                .action(if row.list {
                    ArgAction::Append
                } else {
                    ArgAction::Set
                }),
        )
    })
}

fn config() -> Command {
    Command::new("config")
        .about("Prints the settings that would hold, as a configuration file")
        .arg(config_file())
        .arg(
            Arg::new("markdown")
                .long("markdown")
                .help("Prints the reference of all settings instead")
                .action(ArgAction::SetTrue),
        )
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("Reads settings from this TOML file [variable: PARLOR_CONFIG]")
        .value_parser(clap::value_parser!(std::path::PathBuf))
}

/// An argument error without its decoration: its first paragraph, a suggestion, where to look.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .map(str::trim);
    let first = lines.collect::<Vec<_>>().join(" ");
    let first = first.strip_prefix("error: ").unwrap_or(&first);
    let suggestion = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand]
        .into_iter()
        .find_map(|kind| error.get(kind))
        .map(|suggested| format!(", did you mean `{suggested}`?"))
        .unwrap_or_default();
    format!("{first}{suggestion} (see --help)")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}

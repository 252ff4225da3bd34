//! Where the program's log goes and what it says.

use std::io::{self, IsTerminal as _};

use parlor::config::{Group, Setting, ValueError};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The settings of the log. It goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) format: Format,
    level: String,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: Format::Text,
            level: "info".to_owned(),
        }
    }
}

pub(crate) static SETTINGS: &[Setting<Log>] = &[
    Setting {
        key: "log",
        group: Group::Logging,
        value: "FORMAT",
        default: None,
        help: "Writes the log to standard error as `text` or as `json`, one object a line.",
        list: false,
        apply: |log, text| {
            log.format = match text {
                "text" => Format::Text,
                "json" => Format::Json,
                _ => return Err(ValueError::NotAChoice("text or json")),
            };
            Ok(())
        },
        show: |log| {
            Some(match log.format {
                Format::Text => "text".to_owned(),
                Format::Json => "json".to_owned(),
            })
        },
    },
    Setting {
        key: "log_level",
        group: Group::Logging,
        value: "LEVEL",
        default: None,
        help: "Logs from this level on: `error`, `warn`, `info`, `debug` or `trace`; or a list for \
               parts of the program such as `warn,parlor=debug`.",
        list: false,
        apply: |log, text| {
            let expected = ValueError::NotAChoice(
                "error, warn, info, debug, trace or a list such as warn,parlor=debug",
            );
            // A bare word would be taken for the name of a part of the program.
            let known = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
            if !text.split(',').all(known) || EnvFilter::builder().parse(text).is_err() {
                return Err(expected);
            }
            text.clone_into(&mut log.level);
            Ok(())
        },
        show: |log| Some(log.level.clone()),
    },
];

impl Log {
    /// Makes this the log of the process.
    pub(crate) fn start(&self) {
        let filter = EnvFilter::builder().parse_lossy(&self.level);
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr);
        // A log that is already there, as in a test, stays.
        let _already = match self.format {
            Format::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
            Format::Json => builder.json().flatten_event(true).try_init(),
        };
    }
}

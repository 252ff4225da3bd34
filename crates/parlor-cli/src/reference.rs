//! `parlor config`: the settings as a file, or their reference as Markdown.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgMatches;
use parlor::config::{Group, ROOM_KEYS};

use crate::options::{self, Options, Row};
use crate::terminal;

/// Runs `parlor config`.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let text = if matches.get_flag("markdown") {
        markdown()
    } else {
        toml(&Options::gather(matches, std::env::vars_os())?)
    };
    // What is written is a file to keep: half of it, on a full disk, is an error.
    match terminal::write(text.trim_end()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the settings")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A configuration file that says what holds; what is not set stands as a comment.
fn toml(options: &Options) -> String {
    let mut out = String::new();
    for group in Group::ALL {
        let _infallible = writeln!(out, "# {}", group.title());
        for row in options::rows().filter(|row| row.group == group) {
            let _infallible = match row.show(options) {
                Some(text) if row.list => writeln!(out, "{} = {}", row.key, array(&text)),
                Some(text) => writeln!(out, "{} = {}", row.key, plain(text)),
                None => writeln!(out, "# {} = \"{}\"", row.key, row.default_text()),
            };
        }
        out.push('\n');
    }
    for rule in &options.config.rooms {
        let pattern = toml::Value::String(rule.pattern.clone());
        let _infallible = writeln!(out, "[[rooms]]\npattern = {pattern}");
        let there = Options {
            config: options.config.in_rooms_of(rule),
            log: options.log.clone(),
        };
        let rows = options::rows().filter(|row| ROOM_KEYS.contains(&row.key));
        for (row, text) in rows.filter_map(|row| row.show(&there).map(|text| (row.key, text))) {
            let _infallible = writeln!(out, "{row} = {}", plain(text));
        }
        out.push('\n');
    }
    out
}

fn plain(text: String) -> toml::Value {
    text.parse()
        .map_or(toml::Value::String(text), toml::Value::Integer)
}

fn array(text: &str) -> toml::Value {
    let parts = text.split(", ").filter(|part| !part.is_empty());
    toml::Value::Array(
        parts
            .map(|part| toml::Value::String(part.to_owned()))
            .collect(),
    )
}

/// The reference of all settings, as it stands in `docs/config.md`.
fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    for group in Group::ALL {
        let _infallible = write!(out, "\n## {}\n\n{TABLE_HEAD}", group.title());
        for row in options::rows().filter(|row| row.group == group) {
            let _infallible = writeln!(out, "{}", table_row(&row));
        }
    }
    out.push_str(ROOMS);
    for key in ROOM_KEYS {
        let _infallible = writeln!(out, "- `{key}`");
    }
    out
}

fn table_row(row: &Row) -> String {
    let repeat = if row.list { ", a list" } else { "" };
    let default = row.default_text();
    // A bar would end the cell.
    let value = row.value.replace('|', "\\|");
    format!(
        "| `{}` | {value}{repeat} | {default} | {} |",
        row.key, row.help
    )
}

const INTRODUCTION: &str = "\
# Settings

This page is written by `parlor config --markdown` from the table in the code; a test compares them.

Each setting can be given in three places; the later one wins:

1. in the file that `--config FILE` or `PARLOR_CONFIG` names, as TOML: `message_bytes_max = \"1MiB\"`;
2. in the environment, as `PARLOR_` and the key in capitals: `PARLOR_MESSAGE_BYTES_MAX=1MiB`;
3. as an argument of `parlor serve`, with `-` for `_`: `--message-bytes-max 1MiB`.

A key that does not exist is an error.
A list is an array of strings in the file, separated by commas in the environment, and a repeated argument; it replaces the list of an earlier place.
`SIZE` is a number of bytes: `4096`, `64KiB`, `1MiB`, `2GiB`.
`TIME` has a unit: `250us`, `500ms`, `10s`, `2m`, `1h`.
`on` and `off` may be written `true` and `false`.

`parlor config` prints what holds, as a file to start from.
";

const ROOMS: &str = "
## Rooms that differ

The file may end with rules for rooms.
The first rule whose pattern is a room's name counts; `*` stands for any characters, also none.
What a rule does not name is as everywhere else. There may be 256 rules.

```toml
[[rooms]]
pattern = \"chat-*\"
history_messages = 1000
history_age = \"10m\"

[[rooms]]
pattern = \"cursor-*\"
history_messages = 0
slow = \"conflate\"
```

Beside its `pattern`, of 1 to 128 bytes, a rule may have these keys of the tables above:

";

const TABLE_HEAD: &str = "| key | value | default | what it does |\n| --- | --- | --- | --- |\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_rooms_are_printed_as_they_are_read() {
        let mut options = Options::default();
        let mut rule = options.config.room_rule("a \"b\"*");
        rule.history_messages = 0;
        options.config.rooms.push(rule);
        let text = toml(&options);
        let (_, rules) = text.split_once("[[rooms]]\n").expect("a rule");
        assert_eq!(
            rules,
            "pattern = 'a \"b\"*'\nslow = \"drop-low\"\nhistory_messages = 0\nhistory_age = \"2m\"\n\
             history_bytes = \"1MiB\"\n\n"
        );
    }

    #[test]
    fn the_page_in_the_repository_is_the_one_we_print() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
        let page = std::fs::read_to_string(path).expect("docs/config.md is there");
        let rewrite = "run `parlor config --markdown > docs/config.md`";
        assert!(
            page == markdown(),
            "docs/config.md is out of date: {rewrite}"
        );
    }
}

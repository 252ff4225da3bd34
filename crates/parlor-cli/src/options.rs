//! Settings from their four sources: defaults < file < environment < arguments.

mod rules;

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::ArgMatches;
use parlor::Config;
use parlor::config::{self, ConfigError, Group, Setting, same_key};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::rules::Rules;
use crate::log::{self, Log};

/// Everything that `parlor serve` can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) log: Log,
}

impl Default for Options {
    fn default() -> Self {
        let mut config = Config::default();
        // Whoever has old clients is to find them served.
        config.socketio.engine.legacy = true;
        Self {
            config,
            log: Log::default(),
        }
    }
}

/// One setting, whichever structure it belongs to.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) group: Group,
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
    pub(crate) list: bool,
    owner: Owner,
}

enum Owner {
    Config(&'static Setting<Config>),
    Log(&'static Setting<Log>),
}

/// All settings in the order in which they are shown.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    let config = config::SETTINGS
        .iter()
        .map(|it| Row::new(it, Owner::Config(it)));
    let log = log::SETTINGS.iter().map(|it| Row::new(it, Owner::Log(it)));
    config.chain(log)
}

impl Row {
    fn new<T>(setting: &'static Setting<T>, owner: Owner) -> Self {
        let &Setting {
            key,
            group,
            value,
            help,
            list,
            ..
        } = setting;
        Self {
            key,
            group,
            value,
            help,
            list,
            owner,
        }
    }

    pub(crate) fn default_text(&self) -> String {
        match self.owner {
            Owner::Config(setting) => setting.default_text(),
            Owner::Log(setting) => setting.default_text(),
        }
    }

    /// The value as text; nothing where it is not set.
    pub(crate) fn show(&self, options: &Options) -> Option<String> {
        match self.owner {
            Owner::Config(setting) => (setting.show)(&options.config),
            Owner::Log(setting) => (setting.show)(&options.log),
        }
    }

    fn set(&self, options: &mut Options, text: &str) -> Result<(), ConfigError> {
        match self.owner {
            Owner::Config(setting) => setting.set(&mut options.config, text),
            Owner::Log(setting) => setting.set(&mut options.log, text),
        }
    }
}

impl Options {
    /// Reads the file that the arguments or the environment name, then the environment, then the
    /// arguments.
    pub(crate) fn gather(
        matches: &ArgMatches,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut rules = Rules::default();
        let variables = variables(environment)?;
        let named = variables.iter().find(|(key, _)| key == "config");
        if named.is_some_and(|(_, path)| path.is_empty()) {
            bail!("PARLOR_CONFIG names no file");
        }
        let file = matches.get_one("config").cloned();
        let file = file.or_else(|| named.map(|(_, path)| PathBuf::from(path)));
        if let Some(path) = file {
            rules = options.read_file(&path)?;
        }
        for (key, text) in variables.iter().filter(|(key, _)| key != "config") {
            let name = variable_name(key);
            let row = find(key, variable_name)
                .map_err(|hint| anyhow!("{name} is not a setting{hint}"))?;
            row.set(&mut options, text)
                .map_err(|error| retold(&name, error))?;
        }
        for row in rows().filter(|row| matches.try_contains_id(row.key).unwrap_or(false)) {
            let Some(values) = matches.get_many::<String>(row.key) else {
                continue;
            };
            let text = values.map(String::as_str).collect::<Vec<_>>().join(",");
            let name = format!("--{}", row.key.replace('_', "-"));
            row.set(&mut options, &text)
                .map_err(|error| retold(&name, error))?;
        }
        // What a rule does not name is as everywhere else, whichever source said so.
        rules.apply(&mut options.config)?;
        Ok(options)
    }

    /// Reads a file; gives the rules for rooms that are in it.
    fn read_file(&mut self, path: &Path) -> anyhow::Result<Rules> {
        let shown = path.display();
        let text = read_bounded(path)
            .with_context(|| format!("cannot read the configuration file {shown}"))?;
        let line = |at: usize| text.bytes().take(at).filter(|&b| b == b'\n').count() + 1;
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            anyhow!(
                "{shown}, line {}: {}",
                line(at),
                error.message().replace('\n', ", ")
            )
        })?;
        let place = |at: usize| format!("{shown}, line {}", line(at));
        let mut seen: Vec<&'static str> = Vec::new();
        let mut rules = Rules::default();
        for (key, value) in in_order(table.get_ref()) {
            let (place, key) = (place(key.span().start), key.get_ref());
            if key == rules::KEY {
                rules = Rules::read(value.get_ref(), &place, |at| {
                    format!("{shown}, line {}", line(at))
                })?;
                continue;
            }
            let row = find(key, str::to_owned)
                .map_err(|hint| anyhow!("{place}: there is no setting `{key}`{hint}"))?;
            if seen.contains(&row.key) {
                bail!("{place}: `{key}` is given twice");
            }
            seen.push(row.key);
            let text = value_text(value.get_ref(), row.list)
                .with_context(|| format!("{place}: `{key}` cannot be of this type"))?;
            row.set(self, &text).with_context(|| place)?;
        }
        Ok(rules)
    }
}

/// The entries of a table in the order in which they stand in the file.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The row of a key, or what to say after "there is no such setting": the nearest key, `written` as
/// keys are in that place.
fn find(key: &str, written: impl Fn(&str) -> String) -> Result<Row, String> {
    rows().find(|row| same_key(row.key, key)).ok_or_else(|| {
        config::nearest_key(key, rows().map(|row| row.key)).map_or_else(String::new, |near| {
            format!(", did you mean `{}`?", written(near))
        })
    })
}

/// The variables that are meant for this program, their names as keys.
///
/// # Errors
///
/// A value that is not UTF-8.
fn variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        if key.bytes().any(|b| b.is_ascii_lowercase()) || is_service_link(key) {
            continue;
        }
        let key = key.to_ascii_lowercase();
        let text = utf8(&value).with_context(|| variable_name(&key))?;
        found.push((key, text.to_owned()));
    }
    Ok(found)
}

/// Whether a variable, `PARLOR_` taken off, was set by Kubernetes and not by a person: it describes
/// every service of a namespace so, and a service may well be called `parlor`.
fn is_service_link(key: &str) -> bool {
    key == "PORT"
        || key.starts_with("PORT_")
        || key.ends_with("_PORT")
        || ["SERVICE_HOST", "SERVICE_PORT", "_TCP", "_UDP"]
            .iter()
            .any(|word| key.contains(word))
}

fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

fn utf8(value: &OsStr) -> anyhow::Result<&str> {
    value.to_str().context("the value is not UTF-8")
}

/// An error of a value under the name that the user wrote.
fn retold(name: &str, error: ConfigError) -> anyhow::Error {
    match error {
        ConfigError::BadValue { value, reason, .. } => {
            anyhow!("{name} cannot be `{value}`: {reason}")
        }
        other => anyhow!("{name}: {other}"),
    }
}

/// A value of the file as the text of an argument.
fn value_text(value: &DeValue<'_>, list: bool) -> anyhow::Result<String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(is) => Ok(is.to_string()),
        DeValue::Array(parts) if list => {
            let texts = parts.iter().map(Spanned::get_ref).map(|part| match part {
                DeValue::String(text) if !text.contains(',') => Ok(text.clone()),
                other => bail!("expected a list of strings, found {}", other.type_str()),
            });
            Ok(texts.collect::<anyhow::Result<Vec<_>>>()?.join(","))
        }
        other => bail!("expected a string or a number, found {}", other.type_str()),
    }
}

fn read_bounded(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(length)? > FILE_BYTES_MAX {
        bail!("it is over 1MiB");
    }
    Ok(text)
}

const PREFIX: &str = "PARLOR_";
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests;

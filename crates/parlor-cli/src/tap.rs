//! `parlor tap`: watches a room.

mod view;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use parlor::client::session::{Event, MessageId, Reason};
use parlor::client::{Backoff, Builder, ConnectError, SessionBuilder};

use self::view::{Shown, View};
use crate::signals::Signals;
use crate::terminal::{self, FAILED, harmless};
use crate::url::Url;

#[derive(Debug, Args)]
struct Tap {
    /// The room, 1 to 128 bytes.
    #[arg(value_parser = room)]
    room: String,
    /// The server, as ws://HOST:PORT or http://HOST:PORT, with the path that it has at a proxy.
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080")]
    url: String,
    /// Begins with what was said after the message of this id.
    #[arg(long, value_name = "ID", conflicts_with = "last")]
    since: Option<MessageId>,
    /// Begins with this many messages of the past.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(..1 << 20))]
    last: Option<u32>,
    /// The name by which others see this member.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Prints one JSON object a line, in the words in which parlor.v1 tells it.
    #[arg(long)]
    json: bool,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// The arguments of `parlor tap`.
pub(crate) fn command() -> Command {
    Tap::augment_args(Command::new("tap"))
        .about("Watches a room")
        .after_help(
            "Prints a line for each message: the time (UTC), the message's id, who sent it (`-` \
             for nobody), the event and the payload, with control characters escaped. Lines that \
             begin with `--` tell who comes and goes, and gaps. A lost connection is made anew, \
             and what was missed follows once each; remarks about that go to standard error. \
             Ctrl-C ends it.",
        )
}

/// Runs `parlor tap` until Ctrl-C.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let arguments = Tap::from_arg_matches(matches)?;
    let url = Url::server(&arguments.url)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the runtime")?;
    runtime.block_on(watch(&arguments, &url))
}

async fn watch(arguments: &Tap, url: &Url) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let form = if arguments.json {
        Form::Json
    } else {
        Form::Text
    };
    // Whatever a server says when it closes, it may say something else the next time.
    let session = session(url, arguments.name.as_deref()).final_codes(|_| false);
    let mut session = session.start()?;
    let room = &arguments.room;
    match (arguments.since, arguments.last) {
        (Some(id), _) => session.join_since(room, id)?,
        (None, Some(count)) => session.join_last(room, count)?,
        (None, None) => session.join(room)?,
    };
    let mut view = View::new(form, arguments.since);
    let mut opened = false;
    loop {
        let event = tokio::select! {
            event = session.next() => event,
            _ = signals.next() => break,
        };
        let event = match event {
            None => return Ok(ExitCode::SUCCESS),
            Some(
                Event::Disconnected { reason, .. }
                | Event::Ended {
                    reason: Some(reason),
                },
            ) if !opened => {
                bail!("cannot watch at {}: {}", arguments.url, told(&reason))
            }
            Some(Event::Ended { reason }) => return Ok(ended(reason)),
            Some(Event::RoomLost { message, .. }) => {
                terminal::note(format_args!(
                    "parlor: the server does not let this member in: {}",
                    harmless(&message)
                ));
                return Ok(ExitCode::from(FAILED));
            }
            Some(Event::Disconnected { reason, retry_in }) => {
                note(&lost(&reason, retry_in));
                continue;
            }
            Some(event) => event,
        };
        opened |= matches!(event, Event::Connected);
        match view.hear(&event, SystemTime::now()) {
            Shown::Line(line) if !terminal::print_line(&line) => break,
            Shown::Line(_) | Shown::Nothing => {}
            Shown::Note(text) => note(&text),
        }
    }
    // Whether it arrives does not matter any more.
    let _gone = tokio::time::timeout(GOODBYE_TIMEOUT, session.close()).await;
    Ok(ExitCode::SUCCESS)
}

/// A session at a server, to start.
pub(crate) fn session(url: &Url, name: Option<&str>) -> SessionBuilder {
    let mut backoff = Backoff::default();
    backoff.first = FIRST_WAIT;
    let door = format!("ws://{}{}", url.authority(), url.door(&["signal"]));
    let session = Builder::new(door)
        .deflate(false)
        .message_bytes_max(MESSAGE_BYTES_MAX)
        .session()
        .backoff(backoff);
    match name {
        Some(name) => session.name(name),
        None => session,
    }
}

/// Why there is no connection, and when the next attempt is made.
pub(crate) fn lost(reason: &Reason, retry_in: Duration) -> String {
    let what = match reason {
        Reason::Connect(_) => "no connection",
        _ => "connection lost",
    };
    let told = told(reason);
    let told = harmless(&told);
    format!("{what} ({told}), again in {:.1} s", retry_in.as_secs_f64())
}

/// The end of a session that was not asked for.
pub(crate) fn ended(reason: Option<Reason>) -> ExitCode {
    let Some(reason) = reason else {
        return ExitCode::SUCCESS;
    };
    let told = told(&reason);
    terminal::note(format_args!("parlor: {}", harmless(&told)));
    ExitCode::from(FAILED)
}

/// A reason as one sentence, with its causes and what the server said.
pub(crate) fn told(reason: &Reason) -> String {
    match reason {
        Reason::Connect(ConnectError::Io(error)) => error.to_string(),
        Reason::Connect(error) => with_source(error),
        Reason::Broken(error) => with_source(error),
        reason => reason.to_string().trim_end().to_owned(),
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) if !error.to_string().contains(&source.to_string()) => {
            format!("{error}: {source}")
        }
        _ => error.to_string(),
    }
}

/// A room's name, checked before a server has to refuse it.
pub(crate) fn room(text: &str) -> anyhow::Result<String> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err(anyhow!(
            "a room name is 1 to 128 bytes without control characters"
        ));
    }
    Ok(text.to_owned())
}

fn note(text: &str) {
    terminal::note(format_args!("-- {text}"));
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// An envelope may be somewhat longer than the longest message of a server, 1 MiB by default.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

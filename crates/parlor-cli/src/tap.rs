//! `parlor tap`: watches a room.

mod view;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use parlor::client::{Backoff, Builder, CloseCode, ConnectError, Event, Socket, SocketError};

use self::view::{Past, Shown, View};
use crate::signals::Signals;
use crate::terminal::{self, FAILED, harmless};
use crate::url::{Url, query_value};

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
    since: Option<String>,
    /// Begins with this many messages of the past.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(..1 << 20))]
    last: Option<u32>,
    /// The name by which others see this member.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Prints what the server tells as it tells it, one JSON object a line.
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

/// What came first: something of the connection's, or the wish to stop.
enum Either<T> {
    Done(T),
    Stop,
}

async fn watch(arguments: &Tap, url: &Url) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let form = if arguments.json {
        Form::Json
    } else {
        Form::Text
    };
    let past = match (&arguments.since, arguments.last) {
        (Some(id), _) => Past::Since(id.clone()),
        (None, Some(count)) => Past::Last(count),
        (None, None) => Past::Nothing,
    };
    let mut view = View::new(form, past);
    let (mut failures, mut opened_before) = (0, false);
    loop {
        let client = Builder::new(door(arguments, url, &view))
            .deflate(false)
            .message_bytes_max(MESSAGE_BYTES_MAX);
        let opened = match until_stop(&mut signals, client.connect()).await {
            Either::Stop => return Ok(ExitCode::SUCCESS),
            Either::Done(opened) => opened,
        };
        let (lost, at_least) = match opened {
            Ok(socket) => {
                opened_before = true;
                let since = Instant::now();
                let Some(ending) = follow(socket, &mut view, &mut signals).await else {
                    return Ok(ExitCode::SUCCESS);
                };
                if since.elapsed() > Backoff::default().settled {
                    failures = 0;
                }
                match ending {
                    Ending::Closed(why) => (why, None),
                    Ending::Broken(error @ SocketError::Violation(_)) => return Ok(give_up(error)),
                    Ending::Broken(error) => (told(&error), None),
                }
            }
            Err(error) if !opened_before => {
                bail!("cannot watch at {}: {}", arguments.url, told(&error))
            }
            Err(error) if error.is_permanent() => return Ok(give_up(error)),
            Err(error) => (told(&error), error.retry_after()),
        };
        let wait = wait(failures)?.max(at_least.unwrap_or_default());
        failures = failures.saturating_add(1);
        note(&format!(
            "connection lost ({}), again in {:.1} s",
            harmless(&lost),
            wait.as_secs_f64()
        ));
        if let Either::Stop = until_stop(&mut signals, tokio::time::sleep(wait)).await {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// How a connection ended that nobody here wanted to end.
enum Ending {
    /// The server said so.
    Closed(String),
    Broken(SocketError),
}

/// Shows what a connection brings, up to its end; `None` where it was asked to stop.
async fn follow(mut socket: Socket, view: &mut View, signals: &mut Signals) -> Option<Ending> {
    loop {
        let Either::Done(event) = until_stop(signals, socket.next()).await else {
            break;
        };
        let message = match event {
            None => return Some(Ending::Broken(SocketError::Cut)),
            Some(Err(error)) => return Some(Ending::Broken(error)),
            Some(Ok(Event::Close { code, reason })) => {
                let code = code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
                let why = format!("the server closed it: {code} {reason}");
                return Some(Ending::Closed(why.trim_end().to_owned()));
            }
            Some(Ok(Event::Message(message))) => message,
            Some(Ok(_)) => continue,
        };
        let text = message.as_text().unwrap_or_default();
        match view.hear(text, SystemTime::now()) {
            Shown::Line(line) if !terminal::print_line(&line) => break,
            Shown::Line(_) | Shown::Nothing => {}
            Shown::Note(text) => note(&text),
        }
    }
    // Whether it arrives does not matter any more.
    let goodbye = socket.close(Some(CloseCode::NORMAL), "");
    let _gone = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    None
}

fn give_up(error: impl Into<anyhow::Error>) -> ExitCode {
    terminal::complain(&error.into());
    ExitCode::from(FAILED)
}

/// An error and its causes as one sentence, and what the server said.
fn told(error: &(impl std::error::Error + 'static)) -> String {
    let any: &(dyn std::error::Error + 'static) = error;
    match any.downcast_ref() {
        Some(ConnectError::Io(error)) => error.to_string(),
        Some(ConnectError::Refused(refusal)) if !refusal.text.is_empty() => {
            let text = refusal.text.lines().next().unwrap_or_default();
            format!("{error}: {text}")
        }
        _ => match any.source() {
            Some(source) if !error.to_string().contains(&source.to_string()) => {
                format!("{error}: {source}")
            }
            _ => error.to_string(),
        },
    }
}

/// A wait before the next attempt: full jitter, so that clients that were lost together do not come
/// back together.
fn wait(failures: u32) -> anyhow::Result<Duration> {
    let mut backoff = Backoff::default();
    backoff.first = FIRST_WAIT;
    let random = getrandom::u32().map_err(|error| anyhow!("no randomness: {error}"))?;
    let share = f64::from(random) / f64::from(u32::MAX);
    Ok(backoff.window(failures).mul_f64(share))
}

async fn until_stop<T>(signals: &mut Signals, future: impl Future<Output = T>) -> Either<T> {
    tokio::select! {
        done = future => Either::Done(done),
        _ = signals.next() => Either::Stop,
    }
}

/// The room's door with what was missed.
fn door(arguments: &Tap, url: &Url, view: &View) -> String {
    let (server, path) = (url.authority(), url.door(&["ws", &arguments.room]));
    let name = arguments.name.as_ref();
    let name = name.map(|name| format!("&name={}", query_value(name)));
    let (past, name) = (view.query(), name.unwrap_or_default());
    format!("ws://{server}{path}?events=all&{past}{name}")
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

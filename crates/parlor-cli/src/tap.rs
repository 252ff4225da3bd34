//! `parlor tap`: watches a room.

mod link;
mod view;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};

use self::link::{Ending, Link};
use self::view::{Past, Shown, View};
use crate::backoff::Backoff;
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
    let mut backoff = Backoff::default();
    let mut opened_before = false;
    loop {
        let target = target(arguments, url, &view);
        let link = match until_stop(&mut signals, Link::open(url, &target)).await {
            Either::Stop => return Ok(ExitCode::SUCCESS),
            Either::Done(link) => link,
        };
        let lost = match link {
            Ok(link) => {
                opened_before = true;
                let opened = Instant::now();
                let Some(ending) = follow(link, &mut view, &mut signals).await else {
                    return Ok(ExitCode::SUCCESS);
                };
                if opened.elapsed() > STEADY {
                    backoff.reset();
                }
                if let Ending::Violation(_) = ending {
                    terminal::complain(&ending.into());
                    return Ok(ExitCode::from(FAILED));
                }
                ending.to_string()
            }
            Err(error) if !opened_before => bail!("cannot watch at {}: {error}", arguments.url),
            Err(error) if !error.may_pass() => {
                terminal::complain(&error.into());
                return Ok(ExitCode::from(FAILED));
            }
            Err(error) => error.to_string(),
        };
        let wait = backoff.next(random()?);
        let lost = harmless(&lost);
        note(&format!(
            "connection lost ({lost}), again in {:.1} s",
            wait.as_secs_f64()
        ));
        if let Either::Stop = until_stop(&mut signals, tokio::time::sleep(wait)).await {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Shows what a connection brings, up to its end; `None` where it was asked to stop.
async fn follow(mut link: Link, view: &mut View, signals: &mut Signals) -> Option<Ending> {
    let each = |text: &str| match view.hear(text, SystemTime::now()) {
        Shown::Line(line) if !terminal::print_line(&line) => ControlFlow::Break(()),
        Shown::Line(_) | Shown::Nothing => ControlFlow::Continue(()),
        Shown::Note(text) => {
            note(&text);
            ControlFlow::Continue(())
        }
    };
    match until_stop(signals, link.listen(each)).await {
        Either::Done(ending) if !matches!(ending, Ending::Stopped) => Some(ending),
        Either::Done(_) | Either::Stop => {
            link.close().await;
            None
        }
    }
}

async fn until_stop<T>(signals: &mut Signals, future: impl Future<Output = T>) -> Either<T> {
    tokio::select! {
        done = future => Either::Done(done),
        _ = signals.next() => Either::Stop,
    }
}

fn target(arguments: &Tap, url: &Url, view: &View) -> String {
    let path = url.door(&["ws", &arguments.room]);
    let name = arguments.name.as_ref();
    let name = name.map(|name| format!("&name={}", query_value(name)));
    format!(
        "{path}?events=all&{}{}",
        view.query(),
        name.unwrap_or_default()
    )
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

fn random() -> anyhow::Result<u32> {
    getrandom::u32().map_err(|error| anyhow!("no randomness: {error}"))
}

/// A connection that lasted for this long was no failure.
const STEADY: Duration = Duration::from_secs(10);

//! `parlor publish`: says something in a room: as a member, by a session of the library's client, or
//! as nobody, by HTTP.

mod post;

use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use parlor::client::Session;
use parlor::client::session::{Draft, Event, MessageId, Payload, SessionError};
use parlor::config::TimeText;
use serde_json::value::RawValue;

use crate::tap::{ended, lost, room, session, told};
use crate::terminal::{self, FAILED, harmless};
use crate::url::Url;

#[derive(Debug, Args)]
struct Publish {
    /// The room, 1 to 128 bytes.
    #[arg(value_parser = room)]
    room: String,
    /// The text; `-` or nothing reads it from standard input.
    text: Option<String>,
    /// The server, with the path that it has at a proxy. By http://HOST:PORT nobody says it; by
    /// ws://HOST:PORT a member does, who comes into the room for it.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The event's name.
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// The text is JSON, and published as the value that it stands for.
    #[arg(long, conflicts_with = "binary")]
    json: bool,
    /// Publishes bytes in place of text.
    #[arg(long)]
    binary: bool,
    /// The name of the member, with ws://.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How long to try where the server is not there, with ws://.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    wait: TimeText,
}

/// The arguments of `parlor publish`.
pub(crate) fn command() -> Command {
    Publish::augment_args(Command::new("publish"))
        .about("Says something in a room")
        .after_help(
            "Prints the message's id, and to standard error how many members it was sent to, which \
             is told with http:// only. Ends with code 1 where the server refuses it. With ws:// a \
             lost connection is made anew, and what is lost is published once or, where that cannot \
             be known, said to be unconfirmed, with code 1; remarks about that go to standard error.",
        )
}

/// Runs `parlor publish`.
pub(crate) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let arguments = Publish::from_arg_matches(matches)?;
    let url = Url::server(&arguments.url)?;
    let body = match arguments.text.as_deref() {
        Some("-") => read_input()?,
        Some(text) => text.as_bytes().to_vec(),
        None if io::stdin().is_terminal() => {
            bail!("there is nothing to publish: give a text, or `-` to read standard input")
        }
        None => read_input()?,
    };
    let payload = payload(&arguments, body)?;
    let by_http = arguments.url.starts_with("http://");
    if by_http && (arguments.name.is_some() || !arguments.wait.0.is_zero()) {
        bail!("--name and --wait are for ws:// URLs");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the runtime")?;
    let event = arguments.event.as_deref();
    match by_http {
        true => runtime.block_on(post::publish(&url, (&arguments.room, event), payload)),
        false => runtime.block_on(speak(&arguments, &url, payload)),
    }
}

fn read_input() -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = io::stdin()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes);
    if u64::try_from(read.context("cannot read standard input")?)? > INPUT_BYTES_MAX {
        bail!("standard input has over 64MiB, which is no message");
    }
    Ok(bytes)
}

fn payload(arguments: &Publish, body: Vec<u8>) -> anyhow::Result<Payload> {
    if arguments.binary {
        return Ok(Payload::from(body));
    }
    let text = String::from_utf8(body);
    if arguments.json {
        let text = text.context("the text is not UTF-8")?;
        let data: &RawValue = serde_json::from_str(&text).context("the text is not JSON")?;
        return Ok(Payload::json(&data)?);
    }
    match text {
        Ok(text) => Ok(Payload::Text(text)),
        Err(_) => bail!("the text is not UTF-8; --binary publishes bytes"),
    }
}

/// Publishes as a member.
async fn speak(arguments: &Publish, url: &Url, payload: Payload) -> anyhow::Result<ExitCode> {
    let wait = arguments.wait.0;
    let mut draft = Draft::new(payload).time_to_live(wait.saturating_add(TIMEOUT));
    if let Some(event) = &arguments.event {
        draft = draft.event(event);
    }
    // The server's limits hold, not ours.
    let mut session = session(url, arguments.name.as_deref())
        .queue_bytes_max(QUEUE_BYTES_MAX)
        .publish_bytes_max(QUEUE_BYTES_MAX)
        .start()?;
    let room = session.join(&arguments.room)?;
    let mut receipt = room.publish(draft).await?;
    let begin = tokio::time::Instant::now();
    let (mut opened, mut over) = (false, false);
    loop {
        let event = tokio::select! {
            biased;
            published = &mut receipt, if !over => {
                // Why it is over comes as an event.
                if published == Err(SessionError::Ended) {
                    over = true;
                    continue;
                }
                return Ok(finish(&session, published).await);
            }
            event = session.next() => event,
        };
        match event {
            Some(Event::Connected) => opened = true,
            Some(Event::Ended {
                reason: Some(reason),
            }) if !opened => {
                bail!("cannot publish at {}: {}", arguments.url, told(&reason))
            }
            Some(Event::Disconnected { reason, retry_in }) => {
                if !opened && begin.elapsed().saturating_add(retry_in) > wait {
                    bail!("cannot publish at {}: {}", arguments.url, told(&reason));
                }
                terminal::note(format_args!("-- {}", lost(&reason, retry_in)));
            }
            Some(Event::RoomLost { message, .. }) => return Ok(refused(&message)),
            Some(Event::Ended { reason }) => return Ok(ended(reason)),
            None => return Ok(refused("the session is over")),
            Some(_) => {}
        }
    }
}

/// Says goodbye and what became of the message.
async fn finish(session: &Session, published: Result<Option<MessageId>, SessionError>) -> ExitCode {
    // It is over in any case.
    let _gone = tokio::time::timeout(GOODBYE_TIMEOUT, session.close()).await;
    match published {
        Ok(id) => {
            terminal::print(id.map_or_else(|| "-".to_owned(), |id| id.to_string()));
            ExitCode::SUCCESS
        }
        Err(SessionError::Refused { message, .. }) => refused(&message),
        Err(error) => {
            terminal::note(format_args!("parlor: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn refused(message: &str) -> ExitCode {
    terminal::note(format_args!(
        "parlor: the server refused it: {}",
        harmless(message)
    ));
    ExitCode::from(FAILED)
}

/// More than any server takes by default.
const INPUT_BYTES_MAX: u64 = 64 << 20;
/// As much in base64, and an envelope.
const QUEUE_BYTES_MAX: usize = 96 << 20;
/// How long a message may wait for its room, and an answer for a request.
const TIMEOUT: Duration = Duration::from_secs(30);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

//! `parlor publish`: says something in a room.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::{Body, Chunks, Malformed, read_head};
use crate::tap::room;
use crate::terminal::{self, FAILED, harmless};
use crate::url::{Url, query_value};

#[derive(Debug, Args)]
struct Publish {
    /// The room, 1 to 128 bytes.
    #[arg(value_parser = room)]
    room: String,
    /// The text; `-` or nothing reads it from standard input.
    text: Option<String>,
    /// The server, as ws://HOST:PORT or http://HOST:PORT, with the path that it has at a proxy.
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080")]
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
}

/// What is sent.
struct Request {
    target: String,
    media_type: &'static str,
    body: Vec<u8>,
}

/// A message as JSON.
#[derive(Serialize)]
struct Message<'a> {
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
}

/// The answer to a message that was published.
#[derive(Deserialize)]
struct Published {
    id: Option<String>,
    receivers: u64,
}

/// The answer to one that was not.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// The arguments of `parlor publish`.
pub(crate) fn command() -> Command {
    Publish::augment_args(Command::new("publish"))
        .about("Says something in a room")
        .after_help(
            "Prints the message's id, and to standard error how many members it was sent to. Ends \
             with code 1 where the server refuses it.",
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
    let request = request(&arguments, &url, body)?;
    let stream = url.connect(&url.addresses()?)?;
    let (status, answer) = exchange(stream, &url, &request)?;
    Ok(tell(status, &answer))
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

fn request(arguments: &Publish, url: &Url, body: Vec<u8>) -> anyhow::Result<Request> {
    let mut target = url.door(&["rooms", &arguments.room, "messages"]);
    let event = arguments.event.as_deref();
    if arguments.json {
        let text = str::from_utf8(&body).context("the text is not UTF-8")?;
        let data = serde_json::from_str(text).context("the text is not JSON")?;
        return Ok(Request {
            target,
            media_type: "application/json",
            body: serde_json::to_vec(&Message { data, event })?,
        });
    }
    if let Some(event) = event {
        target = format!("{target}?event={}", query_value(event));
    }
    if !arguments.binary && str::from_utf8(&body).is_err() {
        bail!("the text is not UTF-8; --binary publishes bytes");
    }
    Ok(Request {
        target,
        media_type: if arguments.binary {
            "application/octet-stream"
        } else {
            "text/plain; charset=utf-8"
        },
        body,
    })
}

/// Sends a request and reads the answer: its status and its body.
fn exchange(mut stream: TcpStream, url: &Url, request: &Request) -> anyhow::Result<(u16, Vec<u8>)> {
    let authority = url.authority();
    let Request {
        target,
        media_type,
        body,
    } = request;
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {media_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // A server that refuses a long body may answer before it has read all of it.
    let written = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    if answer.is_empty() {
        written.and(read).context("the server did not answer")?;
    }
    Ok(content(&answer)?)
}

/// The status and the body of a whole response.
fn content(answer: &[u8]) -> Result<(u16, Vec<u8>), Malformed> {
    let head = read_head(answer)?.ok_or(Malformed)?;
    let rest = answer.get(head.len..).unwrap_or_default();
    let body = match head.body {
        Body::Sized(len) => {
            let len = usize::try_from(len).map_err(|_| Malformed)?;
            rest.get(..len).ok_or(Malformed)?.to_vec()
        }
        Body::Chunked => {
            let (mut chunks, mut body) = (Chunks::START, Vec::new());
            chunks.decode(rest, &mut body)?;
            body
        }
        Body::Rest => rest.to_vec(),
    };
    Ok((head.status, body))
}

fn tell(status: u16, answer: &[u8]) -> ExitCode {
    if status == 201
        && let Ok(Published { id, receivers }) = serde_json::from_slice(answer)
    {
        let members = if receivers == 1 { "member" } else { "members" };
        terminal::note(format_args!("sent to {receivers} {members}"));
        terminal::print(harmless(id.as_deref().unwrap_or("-")));
        return ExitCode::SUCCESS;
    }
    let text = String::from_utf8_lossy(answer);
    let reason = serde_json::from_slice::<Refused>(answer).map(|refused| refused.error);
    let reason = reason.unwrap_or_else(|_| text.lines().next().unwrap_or_default().to_owned());
    let reason = reason.chars().take(REASON_CHARS_MAX).collect::<String>();
    let separator = if reason.is_empty() { "" } else { ": " };
    terminal::note(format_args!(
        "parlor: the server answered {status}{separator}{}",
        harmless(&reason)
    ));
    ExitCode::from(FAILED)
}

/// More than any server takes by default.
const INPUT_BYTES_MAX: u64 = 64 << 20;
const ANSWER_BYTES_MAX: u64 = 64 << 10;
const REASON_CHARS_MAX: usize = 200;
const TIMEOUT: Duration = Duration::from_secs(30);

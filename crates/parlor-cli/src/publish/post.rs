//! Publishing by a POST request, which needs no membership and is told how many it was sent to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Said, TIMEOUT};
use crate::http::{Body, Chunks, Malformed, read_head};
use crate::terminal::{self, FAILED, harmless};
use crate::url::{Url, query_value};

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

/// Publishes to a room, perhaps as an event of this name.
pub(super) fn publish(
    url: &Url,
    (room, event): (&str, Option<&str>),
    said: Said,
) -> anyhow::Result<ExitCode> {
    let request = request(url, room, event, said)?;
    let stream = url.connect(&url.addresses()?)?;
    let (status, answer) = exchange(stream, url, &request)?;
    Ok(tell(status, &answer))
}

fn request(url: &Url, room: &str, event: Option<&str>, said: Said) -> anyhow::Result<Request> {
    let mut target = url.door(&["rooms", room, "messages"]);
    if let (Some(event), Said::Text(_) | Said::Binary(_)) = (event, &said) {
        target = format!("{target}?event={}", query_value(event));
    }
    let (media_type, body) = match said {
        Said::Json(data) => {
            let data = &data;
            (
                "application/json",
                serde_json::to_vec(&Message { data, event })?,
            )
        }
        Said::Text(text) => ("text/plain; charset=utf-8", text.into_bytes()),
        Said::Binary(bytes) => ("application/octet-stream", bytes),
    };
    Ok(Request {
        target,
        media_type,
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

const ANSWER_BYTES_MAX: u64 = 64 << 10;
const REASON_CHARS_MAX: usize = 200;

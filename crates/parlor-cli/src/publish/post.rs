//! Publishing by a POST request, which needs no membership and is told how many it was sent to.

use std::process::ExitCode;

use anyhow::bail;
use parlor::client::session::Payload;
use parlor::client::{Builder, ConnectError, Receipt};

use crate::terminal::{self, FAILED};
use crate::url::Url;

/// Publishes to a room, perhaps as an event of this name.
pub(super) async fn publish(
    url: &Url,
    (room, event): (&str, Option<&str>),
    payload: Payload,
) -> anyhow::Result<ExitCode> {
    let door = url.door(&["rooms", room, "messages"]);
    let builder = Builder::new(format!("http://{}{door}", url.authority()));
    let published = match event {
        Some(event) => builder.publish_event(event, payload).await,
        None => builder.publish(payload).await,
    };
    match published {
        Ok(receipt) => Ok(tell(receipt)),
        Err(error @ ConnectError::Refused(_)) => {
            terminal::note(format_args!("parlor: {error}"));
            Ok(ExitCode::from(FAILED))
        }
        Err(ConnectError::Io(error)) => bail!("cannot publish at {}: {error}", url.authority()),
        Err(error) => bail!("cannot publish at {}: {error}", url.authority()),
    }
}

fn tell(receipt: Receipt) -> ExitCode {
    let members = match receipt.receivers {
        1 => "member",
        _ => "members",
    };
    terminal::note(format_args!("sent to {} {members}", receipt.receivers));
    let id = receipt.id.map(|id| id.to_string());
    terminal::print(id.as_deref().unwrap_or("-"));
    ExitCode::SUCCESS
}

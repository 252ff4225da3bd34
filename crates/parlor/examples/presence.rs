//! Who is there: each client says `{"mood": "..."}`, and everybody is told the list as it changes.
//!
//! Run it with `cargo run --example presence [ADDRESS]`, then open
//! `ws://localhost:8080/presence?name=Ann`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{
    BoxError, Connect, Disconnect, Handler, Member, Message, Refusal, Server, ServerHandle,
};
use serde::{Deserialize, Serialize};

const ROOM: &str = "here";

#[derive(Serialize, Deserialize)]
struct Presence {
    mood: String,
}

/// Tells everybody who is there.
async fn tell(server: ServerHandle) -> Result<(), BoxError> {
    let room = server.room(ROOM)?;
    let mut list = Vec::new();
    for peer in room.members().await? {
        let data: Option<Presence> = peer
            .data
            .as_deref()
            .and_then(|data| serde_json::from_slice(data).ok());
        list.push((
            peer.name.map(|name| name.to_string()),
            data.map(|presence| presence.mood),
        ));
    }
    Ok(room.publish_json(&list)?)
}

struct Here;

impl Handler for Here {
    type State = ();

    async fn connect(&self, connect: &mut Connect) -> Result<(), Refusal> {
        let name = connect
            .query("name")
            .unwrap_or_else(|| "somebody".into())
            .into_owned();
        connect.set_name(&name)?;
        connect.member().join(ROOM)?.await?;
        tell(connect.server())
            .await
            .map_err(|error| Refusal::new(503, error.to_string()))
    }

    async fn message(
        &self,
        (): &mut (),
        member: &Member,
        message: Message,
    ) -> Result<(), BoxError> {
        member.set_presence(&message.json::<Presence>()?)?;
        tell(member.server()).await
    }

    async fn disconnect(&self, (): (), member: &Member, _: Disconnect) {
        _ = tell(member.server()).await;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on ws://{}/presence", listener.local_addr()?);
    let server = Server::builder().endpoint("/presence", Here).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    server.run(vec![listener], stop).await?;
    Ok(())
}

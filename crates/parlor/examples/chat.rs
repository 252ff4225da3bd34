//! A chat with names and history: whoever comes in hears the last twenty lines first.
//!
//! Run it with `cargo run --example chat [ADDRESS]`, then open
//! `ws://localhost:8080/chat/tea?name=Ann`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{BoxError, Connect, Disconnect, Handler, Member, Message, Refusal, Resume, Server};

/// What a connection keeps: where it is, and as whom.
struct Guest {
    room: String,
    name: String,
}

struct Chat;

impl Handler for Chat {
    type State = Guest;

    async fn connect(&self, connect: &mut Connect) -> Result<Guest, Refusal> {
        let room = connect.param("room").to_owned();
        let name = connect.query("name").map(|name| name.into_owned());
        let name = name.ok_or_else(|| Refusal::bad_request("say ?name="))?;
        connect.set_name(&name)?;
        let member = connect.member();
        member.join_with_history(&*room, Resume::Last(20))?.await?;
        member.publish(&*room, format!("* {name} comes in"))?;
        Ok(Guest { room, name })
    }

    async fn message(
        &self,
        guest: &mut Guest,
        member: &Member,
        said: Message,
    ) -> Result<(), BoxError> {
        let text = said.as_text().ok_or("only text is spoken here")?;
        let line = format!("{}: {text}", guest.name);
        Ok(member.publish_to_all(&*guest.room, line)?)
    }

    async fn disconnect(&self, guest: Guest, member: &Member, _: Disconnect) {
        // The member is out of its rooms already, so the server says it.
        if let Ok(room) = member.server().room(&*guest.room) {
            _ = room.publish(format!("* {} goes", guest.name));
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on ws://{}/chat/tea", listener.local_addr()?);
    let server = Server::builder().endpoint("/chat/{room}", Chat).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    server.run(vec![listener], stop).await?;
    Ok(())
}

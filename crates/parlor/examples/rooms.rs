//! Rooms by commands in JSON: `{"join": "tea"}`, `{"leave": "tea"}`, `{"to": "tea", "say": "hi"}`.
//!
//! Run it with `cargo run --example rooms [ADDRESS]`, then open `ws://localhost:8080/rooms`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{BoxError, Endpoint, Member, Message, Server};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged)]
enum Command {
    Join { join: String },
    Leave { leave: String },
    Say { to: String, say: String },
}

async fn command(member: Member, message: Message) -> Result<(), BoxError> {
    match message.json() {
        Ok(Command::Join { join }) => {
            let joined = member.join(&join)?.await?;
            member.send(format!("{join} has {} members", joined.members))?;
        }
        Ok(Command::Leave { leave }) => member.leave(&leave)?,
        Ok(Command::Say { to, say }) => member.publish(&to, say)?,
        Err(error) => member.send(format!("not understood: {error}"))?,
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on ws://{}/rooms", listener.local_addr()?);

    // What a room refuses, such as to speak where one is not a member, is told here.
    let rooms = Endpoint::new()
        .on_message(command)
        .on_error(|member, error| async move { _ = member.send(format!("error: {error}")) });
    let server = Server::builder().endpoint("/rooms", rooms).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    server.run(vec![listener], stop).await?;
    Ok(())
}

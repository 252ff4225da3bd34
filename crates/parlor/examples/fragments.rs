//! Messages in pieces that are sent as they are made: `{"text": [3, 500]}` asks for three, of a
//! little over 500 bytes each, `binary` for bytes. `cargo run --example fragments [ADDRESS]`

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{BoxError, Endpoint, Member, Message, SendError, Server};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Text(u16, usize),
    Binary(u16, usize),
}

/// A ping goes out between two fragments, a message waits until the other is whole.
fn say_between(member: &Member, piece: u16) -> Result<(), SendError> {
    if piece == 1 {
        member.ping("between")?;
        member.send("sent meanwhile")?;
    }
    Ok(())
}

async fn answer(member: Member, message: Message) -> Result<(), BoxError> {
    match message.json()? {
        Wanted::Text(pieces @ 1..=1000, bytes @ ..=8192) => {
            let mut text = member.begin_text()?;
            for piece in 1..=pieces {
                text.send(format!("gr\u{fc}n {piece:bytes$};")).await?;
                say_between(&member, piece)?;
            }
            text.finish()?;
        }
        Wanted::Binary(pieces @ 1..=1000, bytes @ ..=8192) => {
            let mut binary = member.begin_binary()?;
            for piece in 1..=pieces {
                binary.send(vec![piece.to_be_bytes()[1]; bytes]).await?;
                say_between(&member, piece)?;
            }
            binary.finish()?;
        }
        _ => member.send("1 to 1000 pieces, of 8192 bytes at most")?,
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let endpoint = Endpoint::new().on_message(answer);
    let server = Server::builder().endpoint("/", endpoint).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    Ok(server.run(vec![listener], stop).await?)
}

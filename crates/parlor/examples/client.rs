//! A chat client for a terminal: says what is typed, shows what others say, and comes back by
//! itself when it has lost its server.
//!
//! Run it with `cargo run --example client [URL] [NAME]`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::io::stdin;

use parlor::client::{Builder, session::Event};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next();
    let url = url.unwrap_or_else(|| "ws://localhost:8080/signal".to_owned());
    let name = arguments.next().unwrap_or_else(|| "somebody".to_owned());

    let mut session = Builder::new(url).session().name(name).start()?;
    let lobby = session.join("lobby")?;
    let handle = session.handle();
    // Handles and rooms go anywhere: here to a thread that may wait for the terminal.
    let talk = tokio::task::spawn_blocking(move || {
        for line in stdin().lines().map_while(Result::ok) {
            if let Err(error) = lobby.try_publish(line) {
                println!("-- not said: {error}");
            }
        }
    });
    tokio::spawn(async move {
        // The end of the input: what is queued is sent, then the session ends.
        let _ = talk.await;
        handle.close().await;
    });

    while let Some(event) = session.next().await {
        match event {
            Event::Joined { roster, .. } => println!("-- {} others are here", roster.peers.len()),
            Event::Message(message) => {
                let name = message.name.as_deref().unwrap_or("somebody");
                println!("{name}: {}", message.payload.as_text().unwrap_or("..."));
            }
            Event::Gap { .. } => println!("-- something is missing here"),
            Event::Disconnected { reason, retry_in } => {
                println!("-- {reason}; again in {retry_in:.1?}");
            }
            Event::Ended {
                reason: Some(reason),
            } => return Err(reason.to_string().into()),
            _ => {}
        }
    }
    Ok(())
}

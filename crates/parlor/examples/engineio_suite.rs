//! What the official test suites of Engine.IO expect of a server: every message comes back.
//!
//! Run it with `cargo run --example engineio_suite PORT`. It speaks both revisions at
//! `/engine.io/`, and pings every 300 ms with 200 ms to answer.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{net::TcpListener, time::Duration};

use bytes::Bytes;
use parlor::{
    Server,
    config::EngineIo,
    engineio::{Event, Session},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    println!("listening on http://{}/engine.io/", listener.local_addr()?);

    let mut settings = EngineIo::default();
    settings.ping_interval = Duration::from_millis(300);
    settings.ping_timeout = Duration::from_millis(200);
    settings.legacy = true;
    let server = Server::builder()
        .engineio("/engine.io/", settings, |_| Some(echo))
        .build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    server.run(vec![listener], stop).await?;
    Ok(())
}

fn echo(session: &mut Session, event: Event<'_>) {
    match event {
        Event::Text(text) => session.send(text),
        Event::Binary(bytes) => session.send(Bytes::copy_from_slice(bytes)),
        _ => {}
    }
}

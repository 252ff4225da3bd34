//! What the official test suites of Engine.IO expect of a server: every message comes back.
//!
//! Run it with `cargo run --example engineio_suite PORT` (or `ADDRESS:PORT`). It speaks both
//! revisions at `/engine.io/`, and pings every 300 ms with 200 ms to answer, or in the milliseconds
//! of two more arguments.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{net::TcpListener, time::Duration};

use bytes::Bytes;
use parlor::{
    BoxError, Server,
    config::EngineIo,
    engineio::{Event, Session},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = match std::env::args().nth(1).as_deref() {
        None => "127.0.0.1:3000".to_owned(),
        Some(port) if !port.contains(':') => format!("127.0.0.1:{port}"),
        Some(address) => address.to_owned(),
    };
    let listener = TcpListener::bind(address)?;
    println!("listening on http://{}/engine.io/", listener.local_addr()?);

    let mut settings = EngineIo::default();
    let mut times = std::env::args().skip(2).map(|ms| ms.parse());
    let mut time = |ms| times.next().unwrap_or(Ok(ms)).map(Duration::from_millis);
    settings.ping_interval = time(300)?;
    settings.ping_timeout = time(200)?;
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

//! An echo server: every message to `ws://localhost:8080/echo` comes back, up to 64 KiB each.
//!
//! Run it with `cargo run --example echo [ADDRESS]`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{Config, Server, config::Deflate};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}/echo", listener.local_addr()?);

    let mut config = Config::default();
    config.message_bytes_max = 64 * 1024;
    config.deflate = Deflate::Off;

    let stop = async { _ = tokio::signal::ctrl_c().await };
    Server::builder()
        .config(config)
        .build()?
        .run(vec![listener], stop)
        .await?;
    Ok(())
}

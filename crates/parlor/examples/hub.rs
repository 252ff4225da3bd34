//! A hub: everybody who opens `ws://localhost:8080` hears what the others send.
//!
//! Run it with `cargo run --example hub [ADDRESS]`, then open two pages that do
//! `new WebSocket("ws://localhost:8080")`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);

    let stop = async { _ = tokio::signal::ctrl_c().await };
    Server::builder().build()?.run(vec![listener], stop).await?;
    Ok(())
}

//! Everybody hears what anybody says, in rooms or not; the sender does not hear itself.
//!
//! Run it with `cargo run --example broadcast [ADDRESS]`, then open two pages that do
//! `new WebSocket("ws://localhost:8080/everybody")`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{BoxError, Endpoint, Server};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on ws://{}/everybody", listener.local_addr()?);

    // A room with everybody in it encodes each message once for all of them.
    let everybody = Endpoint::new()
        .on_connect(|connect| async move {
            connect.member().join("everybody")?.await?;
            Ok(connect)
        })
        .on_message(|member, message| async move { member.publish("everybody", message) });
    let server = Server::builder()
        .endpoint("/everybody", everybody)
        .build()?;

    // The server itself can speak to all connections of all endpoints, from any task or thread.
    let handle = server.handle();
    let stop = async {
        _ = tokio::signal::ctrl_c().await;
        _ = handle.broadcast("good night");
    };
    server.run(vec![listener], stop).await?;
    Ok(())
}

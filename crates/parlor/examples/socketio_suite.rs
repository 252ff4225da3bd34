//! A server for the Socket.IO conformance suite: `cargo run --example socketio_suite PORT`. It pings
//! every 300 ms with 200 ms to answer and waits 1 s for a namespace, or as three more arguments say.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{net::TcpListener, time::Duration};

use parlor::{
    Config, Server,
    socketio::{Namespace, Received, Socket, SocketIo},
};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "3000".to_owned());
    let port = port.trim_start_matches("127.0.0.1:");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}"))?;
    println!("listening on http://{}", listener.local_addr()?);

    let mut config = Config::default();
    let mut times = std::env::args().skip(2).map(|ms| ms.parse());
    let mut time = |ms| times.next().unwrap_or(Ok(ms)).map(Duration::from_millis);
    config.socketio.engine.ping_interval = time(300)?;
    config.socketio.engine.ping_timeout = time(200)?;
    config.socketio.connect_timeout = time(1000)?;

    let io = SocketIo::new();
    for namespace in [io.of("/"), io.of("/custom")] {
        namespace.on_connect(say_auth);
    }
    echo(&io.of("/"));

    let server = Server::builder().config(config).socketio(&io).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    server.run(vec![listener], stop).await?;
    Ok(())
}

/// Tells the client what it has said about itself.
async fn say_auth(socket: Socket) {
    let auth: Value = socket.auth().unwrap_or_default();
    let _ = socket.emit("auth", &auth);
}

/// Says everything again.
fn echo(main: &Namespace) {
    main.on_event("message", |message: Received| async move {
        let _ = message.socket().emit("message-back", message.args());
    });
    main.on_event("message-with-ack", |message: Received| async move {
        if let Some(ack) = message.ack() {
            let _ = ack.send(message.args());
        }
    });
}

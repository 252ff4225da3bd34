//! Socket.IO for those who are let in: a token in the query is looked up before there is a session,
//! which gets an id of the application's. `cargo run --example socketio_gate [ADDRESS]`

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{future, net::TcpListener, time::Duration};

use parlor::{
    Config, Server,
    engineio::Hooks,
    socketio::{Socket, SocketIo},
};

/// Asks a database for whose token this is. It has its bad days.
async fn name_of(token: &str) -> Option<String> {
    assert!(token != "broken", "the database fails");
    match token {
        "lost" => future::pending().await,
        _ => tokio::time::sleep(Duration::from_millis(50)).await,
    }
    token.strip_prefix("secret-of-").map(str::to_owned)
}

fn hooks() -> Hooks {
    Hooks::new()
        // Pages of whose origin it may be; `socketio_cors_origin` lists them without code.
        .allow_origin(|origin| async move { origin.ends_with(".example") })
        .allow_request(|head| async move {
            let token = head.query("token").unwrap_or_default();
            let name = name_of(&token).await;
            name.map(|_| ()).ok_or_else(|| "who are you?".to_owned())
        })
        // Nobody else can guess it, and whoever has it open has to leave before it opens again.
        .generate_id(|head| async move {
            tokio::task::yield_now().await;
            let token = head.query("token").ok_or("no token")?;
            Ok(token.into_owned())
        })
        .on_connection_error(|error| println!("refused: {}", error.context()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3000"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let io = SocketIo::new();
    io.of("/").on_connect(|socket: Socket| async move {
        let token = socket.head().query("token").unwrap_or_default();
        let name = token.trim_start_matches("secret-of-");
        let _ = socket.emit("welcome", &name);
    });
    let mut config = Config::default();
    // No client waits for the database for longer.
    config.head_timeout = Duration::from_secs(2);
    let server = Server::builder()
        .config(config)
        .socketio(&io)
        .engineio_hooks("/socket.io/", hooks())
        .build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    Ok(server.run(vec![listener], stop).await?)
}

//! Socket.IO with handlers: a token, a middleware, rooms, acknowledgements both ways, volatile events.
//!
//! Run it with `cargo run --example socketio_chat [ADDRESS]`. In a page or in Node.js:
//! `io('http://localhost:8080/chat', { auth: { token: 'ann' } })`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{net::TcpListener, time::Duration};

use parlor::{
    BoxError, Server,
    socketio::{Ack, ConnectError, Socket, SocketIo},
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Auth {
    token: String,
}

/// A client may ask for so many frames: a handler that does not wait holds up its whole shard.
const FRAMES_MAX: u32 = 10_000;

/// What is kept of a socket.
struct User(String);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on http://{}", listener.local_addr()?);

    let io = SocketIo::new();
    let chat = io.of("/chat");
    chat.middleware(|socket| async move {
        match socket.auth::<Auth>() {
            Ok(auth) if auth.token == "ann" || auth.token == "bo" => {
                socket.set_data(User(auth.token));
                Ok(())
            }
            _ => Err(ConnectError::new("not authorized").with_data(&json!({ "code": 401 }))),
        }
    });
    chat.on_connect(|socket| async move {
        let _ = socket.join("chat");
        let name = name_of(&socket);
        let _ = socket.broadcast().emit("came", &name);
        // Nothing that is forbidden reaches the handlers.
        socket.middleware(|received| async move {
            match received.name() {
                "forbidden" => Err("that is forbidden".into()),
                _ => Ok(()),
            }
        });
        socket.on_error(|socket, error| async move {
            let _ = socket.emit("failed", &error.to_string());
        });
        tell_transport(&socket);
        socket.on("say", |socket: Socket, text: String| async move {
            let _ = socket.to("chat").emit("said", &(name_of(&socket), text));
            Ack("sent")
        });
        socket.on(
            "say-without",
            |socket: Socket, (room, text): (String, String)| async move {
                let others = socket.to("chat").except(&room);
                let _ = others.emit("said", &(name_of(&socket), text));
            },
        );
        socket.on("ask-me", |socket: Socket, ms: u64| async move {
            let ask = socket.timeout(Duration::from_millis(ms));
            let answer = ask.emit_with_ack::<i64, _>("question", &(20, 22)).await;
            let _ = match answer {
                Ok(sum) => socket.emit("answered", &sum),
                Err(error) => socket.emit("unanswered", &error.to_string()),
            };
        });
        socket.on("ask-all", |socket: Socket, ms: u64| async move {
            let everybody = socket.within("chat").timeout(Duration::from_millis(ms));
            let (answers, missing) = match everybody.emit_with_ack("question", &(1, 2)).await {
                Ok(answers) => (answers.len(), 0),
                Err(partial) => (partial.answers.len(), partial.missing),
            };
            Ack(vec![answers, missing])
        });
        // What a client does not read in time it does not need.
        socket.on("flood", |socket: Socket, count: u32| async move {
            let frame = "x".repeat(16 * 1024);
            for number in 0..count.min(FRAMES_MAX) {
                let _ = socket.volatile().emit("frame", &(number, &frame));
            }
            Ack(count)
        });
    });
    let server = Server::builder().socketio(&io).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    server.run(vec![listener], stop).await?;
    Ok(())
}

fn name_of(socket: &Socket) -> String {
    let user = socket.data::<User>();
    user.map_or_else(String::new, |user| user.0.clone())
}

/// Says what the client's connection goes over, and when that changes.
fn tell_transport(socket: &Socket) {
    let told = socket.clone();
    socket.conn().on_upgrade(move |conn| {
        let _ = told.emit("upgraded", conn.transport().as_str());
    });
    socket.on("how", |socket: Socket, (): ()| async move {
        let conn = socket.conn();
        Ack((conn.id().to_owned(), conn.transport().as_str()))
    });
}

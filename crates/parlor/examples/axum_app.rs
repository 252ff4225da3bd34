//! Real time inside an application of axum's: pages, an API, and below `/rt` an endpoint, event
//! streams, publishing and Socket.IO.
//!
//! Run it with `cargo run --example axum_app [ADDRESS]`, open `ws://localhost:8080/rt/news`, and
//! `curl -d hello http://localhost:8080/news`. Rooms: `curl -N http://localhost:8080/rt/sse/tea`,
//! `curl -H 'Content-Type: text/plain' -d hello http://localhost:8080/rt/rooms/tea/messages`, and
//! `io('http://localhost:8080', { path: '/rt/socket.io/' })`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::SocketAddr;

use axum::{Router, extract::State, http::StatusCode, response::Html, routing};
use parlor::{BoxError, Door, Endpoint, Server, ServerHandle};

/// A route of the application's own that speaks to the connections.
async fn publish(State(server): State<ServerHandle>, body: String) -> StatusCode {
    match server.broadcast(body) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8080");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on ws://{}/rt/news", listener.local_addr()?);

    let news = Endpoint::new();
    let server = Server::builder()
        .endpoint("/news", news)
        .doors([Door::Sse, Door::Publish, Door::SocketIo])
        .build()?;
    let app = Router::new()
        .route("/", routing::get(|| async { Html("<h1>News</h1>") }))
        .route("/news", routing::post(publish))
        .nest("/rt", server.router())
        .with_state(server.handle());

    // The server needs no listener: sockets of upgraded connections come from axum's. Both stop
    // together, axum when the last request is answered, the server when everybody was told.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let http = axum::serve(listener, app).with_graceful_shutdown(stop());
    tokio::try_join!(async { Ok::<_, BoxError>(http.await?) }, async {
        Ok(server.run(Vec::new(), stop()).await?)
    },)?;
    Ok(())
}

async fn stop() {
    _ = tokio::signal::ctrl_c().await;
}

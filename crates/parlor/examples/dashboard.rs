//! A dashboard by server-sent events: a page with `EventSource`, fed by a task of the server.
//!
//! Run it with `cargo run --example dashboard [ADDRESS]`, then open `http://localhost:8080`, or
//! `curl -N http://localhost:8080/sse/load`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{net::TcpListener, time::Duration};

use axum::{Router, response::Html, routing};
use parlor::{BoxError, Door, Server, ServerHandle};

const PAGE: &str = r#"<!doctype html><title>Load</title><h1 id="load">...</h1><script>
  new EventSource('/sse/load?last=1').addEventListener('sample', ({ data }) => {
    document.getElementById('load').textContent = JSON.parse(data).connections;
  });
</script>"#;

async fn sample(server: ServerHandle) -> Result<(), BoxError> {
    let room = server.room("load")?;
    let mut clock = tokio::time::interval(Duration::from_millis(500));
    for number in 0_u64.. {
        clock.tick().await;
        let sample = serde_json::json!({ "number": number, "connections": server.connections() });
        // Before the server runs nobody listens.
        _ = room.event("sample").publish_json(&sample);
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on http://{}", listener.local_addr()?);

    // Only to listen: of the built-in doors event streams alone are open.
    let server = Server::builder()
        .doors([Door::Sse])
        .routes(Router::new().route("/", routing::get(|| async { Html(PAGE) })))
        .build()?;
    let handle = server.handle();
    let stop = async { _ = tokio::signal::ctrl_c().await };
    tokio::select! {
        ended = server.run(vec![listener], stop) => ended?,
        failed = sample(handle) => failed?,
    }
    Ok(())
}

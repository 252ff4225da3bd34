//! A game at thirty ticks a second: players send `{"dx": 1, "dy": 0}`, the server tells all
//! positions. A client that reads slowly loses old ticks, not the newest.
//!
//! Run it with `cargo run --example game_loop [ADDRESS]`, then open `ws://localhost:8080/game`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use parlor::{
    BoxError, Config, Connect, Disconnect, Handler, Member, Message, Refusal, Server, ServerHandle,
    config::SlowPolicy,
};
use serde::Deserialize;
use tokio::time::MissedTickBehavior;

/// Where each player is.
type World = Arc<Mutex<BTreeMap<String, (i64, i64)>>>;

#[derive(Deserialize)]
struct Move {
    dx: i64,
    dy: i64,
}

struct Game(World);

impl Handler for Game {
    type State = String;

    async fn connect(&self, connect: &mut Connect) -> Result<String, Refusal> {
        connect.member().join("world")?.await?;
        Ok(connect.member().id().to_string())
    }

    async fn message(
        &self,
        player: &mut String,
        _: &Member,
        message: Message,
    ) -> Result<(), BoxError> {
        let step: Move = message.json()?;
        let mut world = self.0.lock().map_err(|_| "the world is broken")?;
        let (x, y) = world.entry(player.clone()).or_default();
        (*x, *y) = (
            x.saturating_add(step.dx.clamp(-1, 1)),
            y.saturating_add(step.dy.clamp(-1, 1)),
        );
        Ok(())
    }

    async fn disconnect(&self, player: String, _: &Member, _: Disconnect) {
        _ = self.0.lock().map(|mut world| world.remove(&player));
    }
}

async fn ticks(world: World, server: ServerHandle) -> Result<(), BoxError> {
    let room = server.room("world")?;
    let mut clock = tokio::time::interval(Duration::from_millis(1000) / 30);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        clock.tick().await;
        let now = Message::from_json(&*world.lock().map_err(|_| "the world is broken")?)?;
        // A full queue costs this tick, and before the server runs nobody listens.
        _ = room.publish(now);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on ws://{}/game", listener.local_addr()?);

    // Whoever falls behind keeps the newest tick only, and none is kept for those who come late.
    let mut config = Config::default();
    config.slow = SlowPolicy::Conflate;
    config.history_messages = 0;
    let world = World::default();
    let game = Game(Arc::clone(&world));
    let server = Server::builder()
        .config(config)
        .endpoint("/game", game)
        .build()?;
    let handle = server.handle();
    let stop = async { _ = tokio::signal::ctrl_c().await };
    tokio::select! {
        ended = server.run(vec![listener], stop) => ended?,
        failed = ticks(world, handle) => failed?,
    }
    Ok(())
}

//! Who may connect: a token in a cookie, a header or the query, checked before the upgrade is
//! answered. What the token allows is kept as the connection's state.
//!
//! Run it with `cargo run --example auth [ADDRESS]`, then open
//! `ws://localhost:8080/private?token=ann-reads` or `?token=bo-writes`.

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{BoxError, Connect, Handler, Member, Message, Refusal, Server};

/// What somebody may do.
enum Right {
    Read,
    Write,
}

/// Looks a token up. A real one would ask a database here, or check a signature.
async fn check(token: &str) -> Option<(&'static str, Right)> {
    tokio::task::yield_now().await;
    match token {
        "ann-reads" => Some(("Ann", Right::Read)),
        "bo-writes" => Some(("Bo", Right::Write)),
        _ => None,
    }
}

struct Private;

impl Handler for Private {
    type State = Right;

    async fn connect(&self, connect: &mut Connect) -> Result<Right, Refusal> {
        let bearer = connect
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let given = bearer
            .or_else(|| connect.cookie("token"))
            .map(str::to_owned);
        let given = given.or_else(|| connect.query("token").map(|token| token.into_owned()));
        let token = given.ok_or_else(|| {
            Refusal::unauthorized("a token is required").with_header("WWW-Authenticate", "Bearer")
        })?;
        let (name, right) = check(&token)
            .await
            .ok_or_else(|| Refusal::forbidden("an unknown token"))?;
        connect.set_name(name)?;
        connect.member().join("private")?.await?;
        Ok(right)
    }

    async fn message(
        &self,
        right: &mut Right,
        member: &Member,
        message: Message,
    ) -> Result<(), BoxError> {
        match right {
            Right::Write => member.publish("private", message)?,
            Right::Read => member.close(4403, "you may only read"),
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on ws://{}/private", listener.local_addr()?);
    let server = Server::builder().endpoint("/private", Private).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    server.run(vec![listener], stop).await?;
    Ok(())
}

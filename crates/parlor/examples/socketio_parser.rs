//! Socket.IO with a parser of one's own: the default one, with its text written backwards. Clients
//! are given the same as their option `parser`. `cargo run --example socketio_parser [ADDRESS]`

#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::net::TcpListener;

use parlor::{
    BoxError, Server,
    engineio::Message,
    socketio::{Decoder, Packet, Parser, Received, SocketIo, TextDecoder, TextParser},
};

struct Backwards;
struct Forwards(TextDecoder);

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

impl Parser for Backwards {
    fn encode(&self, packet: &Packet<'_>) -> Vec<Message> {
        let mut messages = TextParser.encode(packet);
        if let Some(Message::Text(text)) = messages.first_mut() {
            *text = reversed(text.as_str()).into();
        }
        messages
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(Forwards(TextDecoder::new()))
    }
}

impl Decoder for Forwards {
    fn text(&mut self, text: &str) -> Result<Option<Packet<'static>>, BoxError> {
        self.0.text(&reversed(text))
    }

    fn binary(&mut self, bytes: &[u8]) -> Result<Option<Packet<'static>>, BoxError> {
        self.0.binary(bytes)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:3000"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let io = SocketIo::with_parser(Backwards);
    io.of("/")
        .on_event("message", |message: Received| async move {
            let _ = message.socket().broadcast().emit("message", message.args());
            if let Some(ack) = message.ack() {
                let _ = ack.send(message.args());
            }
        });
    let server = Server::builder().socketio(&io).build()?;
    let stop = async { _ = tokio::signal::ctrl_c().await };
    Ok(server.run(vec![listener], stop).await?)
}

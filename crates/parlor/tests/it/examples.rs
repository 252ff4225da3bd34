//! The examples, run as a reader of the documentation would run them.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::support::{Client, upgrade};

/// A running example; it is killed when it is dropped.
struct Example {
    child: Child,
    address: SocketAddr,
}

impl Example {
    /// Starts an example on a free port and waits for the line that says where it listens.
    fn start(name: &str) -> Self {
        let mut child = Command::new(binary(name))
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (_, rest) = line.trim().split_once("ws://").unwrap();
        let address = rest.split('/').next().unwrap().parse().unwrap();
        Self { child, address }
    }

    fn websocket(&self, path: &str) -> Client {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(upgrade(path, "").as_bytes()).unwrap();
        Client::opened(stream)
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo has put an example, beside the directory of this test.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    profile.join("examples").join(name)
}

#[test]
fn the_echo_example_echoes_and_keeps_its_limit() {
    let example = Example::start("echo");
    let mut client = example.websocket("/echo");
    client.send_text("hello");
    assert_eq!(client.receive_text(), "hello");
    client.send(0x82, &[0; 65_537]);
    assert_eq!(client.receive_close().0, 1009);
}

#[test]
fn the_hub_example_is_the_hub_of_the_tutorials() {
    let example = Example::start("hub");
    let mut ann = example.websocket("/");
    let mut bo = example.websocket("/");
    ann.settle();
    bo.settle();
    ann.send_text("Hello, server!");
    assert_eq!(bo.receive_text(), "Hello, server!");
}

#[test]
fn the_examples_are_short() {
    for name in ["echo", "hub"] {
        let path = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(lines < 40, "{name}: {lines} lines");
    }
}

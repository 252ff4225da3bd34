//! Bytes from the specifications.

use super::super::deflate::Mode;
use super::{Said, Setup, check, deflating_client, plain_client, plain_server};
use crate::websocket::Kind;

/// Hexadecimal bytes; `00*256` repeats, `-` is nothing.
fn bytes(token: &str) -> Vec<u8> {
    let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
    let bytes: Vec<u8> = digits
        .as_bytes()
        .chunks(2)
        .filter(|pair| *pair != b"-")
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    bytes.repeat(times.parse().unwrap())
}

fn check_file(file: &str, setup: impl Fn(&str) -> Setup) {
    let mut lines = 0;
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let (input, said) = line.split_once(" = ").unwrap();
        let (role, input) = input.split_once(' ').unwrap();
        let input: Vec<u8> = input.split(' ').flat_map(bytes).collect();
        let words: Vec<&str> = said.split(' ').collect();
        let said: Vec<Said> = words
            .chunks(2)
            .map(|event| match event {
                ["text", payload] => Said::Message(Kind::Text, bytes(payload)),
                ["binary", payload] => Said::Message(Kind::Binary, bytes(payload)),
                ["ping", payload] => Said::Ping(bytes(payload)),
                ["pong", payload] => Said::Pong(bytes(payload)),
                other => panic!("{other:?}"),
            })
            .collect();
        check(&setup(role), &input, &said, None);
        lines += 1;
    }
    assert!(lines > 0);
}

#[test]
fn frames_of_rfc_6455() {
    check_file(
        include_str!("../../../vectors/websocket/rfc6455-frames.txt"),
        |role| match role {
            "server" => plain_server(),
            _ => plain_client(),
        },
    );
}

#[test]
fn messages_of_rfc_7692() {
    check_file(
        include_str!("../../../vectors/websocket/rfc7692-messages.txt"),
        |_| deflating_client(Mode::Takeover),
    );
}

//! Facts of the protocol, as tables.

use bytes::Bytes;

use super::*;

mod connections;
mod decoding;
mod jsons;
mod packets;
mod packing;
mod property;

/// A packet in text, its attachments in hexadecimal behind it.
fn shown(packet: &Packet<'_>) -> String {
    let mut text = String::new();
    packet.encode_text(&mut text);
    for attachment in &packet.attachments {
        text.push_str(" + ");
        text.push_str(&hex(attachment));
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What a text says on its own; with attachments, that they are awaited.
fn decode(text: &str) -> Result<Option<Packet<'_>>, DecodeError> {
    Decoder::new().text(text, &Limits::default())
}

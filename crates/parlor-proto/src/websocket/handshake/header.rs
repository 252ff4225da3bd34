//! What both sides need of header fields.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::super::extension::is_token;

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455, section 4.2.2).
pub(super) fn accept_key(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// Without the spaces and tabs around it.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether a list of tokens holds this one, in any case.
pub(super) fn lists(value: &[u8], token: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|item| trim(item).eq_ignore_ascii_case(token.as_bytes()))
}

/// The tokens of a list; `None` where an element is empty or not a token.
pub(super) fn tokens<'a>(value: &'a [u8], mut each: impl FnMut(&'a str)) -> Option<()> {
    for item in value.split(|byte| *byte == b',') {
        let item = trim(item);
        if !is_token(item) {
            return None;
        }
        each(std::str::from_utf8(item).ok()?);
    }
    Some(())
}

/// Whether a header of the embedder's can be written: its name is a token that the handshake does
/// not write itself.
pub(super) fn is_free_name(name: &str) -> bool {
    const OURS: [&str; 6] = [
        "connection",
        "content-length",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let ours = OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
        || name
            .get(..14)
            .is_some_and(|front| front.eq_ignore_ascii_case("sec-websocket-"));
    is_token(name.as_bytes()) && !ours
}

/// Whether a value can be written without ending its line (RFC 9110, section 5.5).
pub(super) fn is_value(value: &str) -> bool {
    !value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
}

/// Appends one header line.
pub(super) fn write(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

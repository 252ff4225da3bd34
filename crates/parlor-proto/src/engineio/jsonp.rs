//! Payloads of clients that cannot make requests to other origins but load scripts and send forms.

use super::DecodeError;
use super::query::percent_decode;

/// The payload as a script that hands it to the callback of a number.
pub(super) fn encode(callback: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("___eio[{callback}](\"").into_bytes();
    let mut rest = payload;
    while let Some((byte, tail)) = rest.split_first() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..=0x1F => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            // U+2028 and U+2029 end lines in scripts, though not in JSON.
            0xE2 if tail.starts_with(&[0x80, 0xA8]) => out.extend_from_slice(b"\\u2028"),
            0xE2 if tail.starts_with(&[0x80, 0xA9]) => out.extend_from_slice(b"\\u2029"),
            _ => out.push(*byte),
        }
        let separator = *byte == 0xE2 && matches!(tail, [0x80, 0xA8 | 0xA9, ..]);
        rest = tail
            .get(if separator { 2 } else { 0 }..)
            .unwrap_or_default();
    }
    out.extend_from_slice(b"\");");
    out
}

/// The payload in the field `d` of a form.
///
/// Clients write a newline as `\n` and what looked like that before as `\\n`, because forms
/// normalise line ends.
pub(super) fn decode(form: &[u8]) -> Result<String, DecodeError> {
    let field = form
        .split(|byte| *byte == b'&')
        .find_map(|field| field.strip_prefix(b"d="))
        .ok_or(DecodeError::MalformedForm)?;
    let text = String::from_utf8(percent_decode(field)).map_err(|_| DecodeError::MalformedUtf8)?;
    let mut out = String::with_capacity(text.len());
    let mut backslashes = 0;
    for char in text.chars() {
        match (char, backslashes) {
            ('n', 1) => {
                out.pop();
                out.push('\n');
            }
            ('n', 2..) => {
                out.pop();
                out.push('n');
            }
            _ => out.push(char),
        }
        backslashes = if char == '\\' { backslashes + 1 } else { 0 };
    }
    Ok(out)
}

//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455, section 9.1), read in one pass.

use std::borrow::Cow;

/// What stands in a list of extensions, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// An extension begins.
    Extension(&'a str),
    /// One of its parameters, with its value where it has one, unquoted.
    Parameter(&'a str, Option<Cow<'a, str>>),
}

/// The value does not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads one header value. Empty list elements are refused.
pub(crate) fn parse<'a>(value: &'a [u8], mut each: impl FnMut(Part<'a>)) -> Result<(), Malformed> {
    let mut rest = value;
    loop {
        skip_spaces(&mut rest);
        each(Part::Extension(token(&mut rest).ok_or(Malformed)?));
        skip_spaces(&mut rest);
        while skip_byte(&mut rest, b';') {
            skip_spaces(&mut rest);
            let name = token(&mut rest).ok_or(Malformed)?;
            skip_spaces(&mut rest);
            let value = if skip_byte(&mut rest, b'=') {
                skip_spaces(&mut rest);
                let value = match rest.first() {
                    Some(b'"') => quoted(&mut rest),
                    _ => token(&mut rest).map(Cow::Borrowed),
                };
                skip_spaces(&mut rest);
                Some(value.ok_or(Malformed)?)
            } else {
                None
            };
            each(Part::Parameter(name, value));
        }
        if rest.is_empty() {
            return Ok(());
        }
        if !skip_byte(&mut rest, b',') {
            return Err(Malformed);
        }
    }
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether this is a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

fn skip_spaces(rest: &mut &[u8]) {
    while let Some((b' ' | b'\t', after)) = rest.split_first() {
        *rest = after;
    }
}

fn skip_byte(rest: &mut &[u8], byte: u8) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == byte => {
            *rest = after;
            true
        }
        _ => false,
    }
}

fn token<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let len = rest
        .iter()
        .position(|byte| !is_token_byte(*byte))
        .unwrap_or(rest.len());
    let (token, after) = rest.split_at_checked(len)?;
    *rest = after;
    if token.is_empty() {
        None
    } else {
        std::str::from_utf8(token).ok()
    }
}

/// A quoted string, which unquoted must be a token.
fn quoted<'a>(rest: &mut &'a [u8]) -> Option<Cow<'a, str>> {
    let inner = rest.strip_prefix(b"\"")?;
    let mut unquoted = String::new();
    let mut escaped = false;
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            b'"' if !escaped => {
                *rest = inner.get(at + 1..)?;
                let raw = inner.get(..at)?;
                let value = if raw.len() == unquoted.len() {
                    Cow::Borrowed(std::str::from_utf8(raw).ok()?)
                } else {
                    Cow::Owned(unquoted)
                };
                return if value.is_empty() { None } else { Some(value) };
            }
            b'\\' if !escaped => escaped = true,
            byte if is_token_byte(*byte) => {
                unquoted.push(char::from(*byte));
                escaped = false;
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests;

//! Server-sent events: the event stream format of the HTML standard (section 9.2).
//!
//! [`encode()`] and its like append whole fields of one stream. A [`Decoder`] is fed the bytes of a
//! stream and yields its events.
//!
//! ```
//! use parlor_proto::sse::{self, Decoder, Event};
//!
//! # fn main() -> Result<(), sse::LimitEventBytes> {
//! let mut stream = Vec::new();
//! sse::encode_comment(" welcome", &mut stream);
//! let event = Event { id: Some("7-1"), data: b"one\ntwo", ..Event::default() };
//! sse::encode(&event, &mut stream);
//! assert_eq!(stream, b": welcome\n\nid: 7-1\ndata: one\ndata: two\n\n");
//!
//! let mut decoder = Decoder::new(1024 * 1024);
//! let mut input = &stream[..];
//! assert_eq!(decoder.decode(&mut input)?, Some(event));
//! assert_eq!(decoder.decode(&mut input)?, None);
//! assert_eq!(decoder.last_event_id(), "7-1");
//! # Ok(())
//! # }
//! ```

mod decoder;

pub use decoder::{Decoder, LimitEventBytes};

/// The media type of a stream.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// One event. Line ends of the data are kept as they are seen by the reader: LF, CR and CRLF all
/// become one LF there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the format")]
pub struct Event<'a> {
    /// The `id`; must be [`is_field_safe`], others are left out.
    pub id: Option<&'a str>,
    /// The `event` type; none stands for `message`. CR, LF and NUL become U+FFFD.
    pub event: Option<&'a str>,
    /// The `retry`, in milliseconds.
    pub retry_ms: Option<u32>,
    /// The data, UTF-8; may be empty.
    pub data: &'a [u8],
}

/// Whether a text may stand in a field as it is: no CR, LF or NUL.
#[must_use]
pub fn is_field_safe(text: &str) -> bool {
    !text.bytes().any(is_unsafe)
}

const fn is_unsafe(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Appends an event, its blank line included.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    if let Some(id) = event.id.filter(|id| is_field_safe(id)) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    if let Some(name) = event.event {
        out.extend_from_slice(b"event: ");
        if is_field_safe(name) {
            out.extend_from_slice(name.as_bytes());
        } else {
            let safe = name.replace(['\r', '\n', '\0'], "\u{fffd}");
            out.extend_from_slice(safe.as_bytes());
        }
        out.push(b'\n');
    }
    if let Some(retry_ms) = event.retry_ms {
        out.extend_from_slice(b"retry: ");
        out.extend_from_slice(retry_ms.to_string().as_bytes());
        out.push(b'\n');
    }
    encode_data(event.data, out);
    out.push(b'\n');
}

/// One `data:` line for each line.
fn encode_data(mut rest: &[u8], out: &mut Vec<u8>) {
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            out.extend_from_slice(rest);
            out.push(b'\n');
            return;
        };
        let (line, tail) = rest.split_at(end);
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = tail
            .strip_prefix(b"\r\n")
            .or_else(|| tail.get(1..))
            .unwrap_or_default();
    }
}

/// Appends a comment, which readers drop: a heartbeat. Only its first line is written.
pub fn encode_comment(text: &str, out: &mut Vec<u8>) {
    out.push(b':');
    out.extend_from_slice(
        text.split(['\r', '\n'])
            .next()
            .unwrap_or_default()
            .as_bytes(),
    );
    out.extend_from_slice(b"\n\n");
}

/// Appends an id without an event: a reader that hears nothing more comes back with it (HTML
/// standard, section 9.2.6: a block without data sets the last event id and is not dispatched).
/// The block begins with a comment line, so that what looks at first lines only drops it as one.
/// Nothing is appended for an id that is not [`is_field_safe`].
pub fn encode_id(id: &str, out: &mut Vec<u8>) {
    if is_field_safe(id) {
        out.extend_from_slice(b":\nid: ");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b"\n\n");
    }
}

/// Appends the delay before a reader reconnects, in milliseconds.
pub fn encode_retry(retry_ms: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"retry: ");
    out.extend_from_slice(retry_ms.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// Where the event ends in which offset `sent` of whole events lies.
#[must_use]
pub fn boundary(events: &[u8], sent: usize) -> usize {
    if sent == 0
        || events
            .get(..sent)
            .is_some_and(|before| before.ends_with(b"\n\n"))
    {
        return sent;
    }
    let from = sent.saturating_sub(1);
    let rest = events.get(from..).unwrap_or_default();
    rest.windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or(events.len(), |at| from + at + 2)
}

#[cfg(test)]
mod tests;

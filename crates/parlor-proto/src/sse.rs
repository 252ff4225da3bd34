//! Server-sent events: the event stream format of the HTML standard (section 9.2).
//!
//! A codec without memory: each function appends whole fields of one stream.

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
mod tests {
    use super::*;

    fn event(id: Option<&str>, event: Option<&str>, data: &str) -> String {
        let mut out = Vec::new();
        encode(
            &Event {
                id,
                event,
                retry_ms: None,
                data: data.as_bytes(),
            },
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_kind_of_line_end_begins_a_data_line() {
        for (data, expected) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            (" a", "data:  a\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb", "data: a\ndata: b\n\n"),
            ("a\rb", "data: a\ndata: b\n\n"),
            ("a\n", "data: a\ndata: \n\n"),
            ("\r\n\n\r", "data: \ndata: \ndata: \ndata: \n\n"),
            (
                "id: 7\n\nevent: x",
                "data: id: 7\ndata: \ndata: event: x\n\n",
            ),
        ] {
            assert_eq!(event(None, None, data), expected, "{data:?}");
        }
    }

    #[test]
    fn nothing_can_be_injected_by_id_or_event() {
        assert_eq!(
            event(Some("e-1"), Some("tick"), "x"),
            "id: e-1\nevent: tick\ndata: x\n\n"
        );
        assert_eq!(event(Some("1\ndata: evil"), None, "x"), "data: x\n\n");
        assert_eq!(
            event(None, Some("a\r\nb\0"), "x"),
            "event: a\u{fffd}\u{fffd}b\u{fffd}\ndata: x\n\n"
        );
    }

    #[test]
    fn comments_are_one_line() {
        let mut out = Vec::new();
        encode_comment(" hi\ndata: x", &mut out);
        encode_retry(3000, &mut out);
        assert_eq!(out, b": hi\n\nretry: 3000\n\n");
    }

    #[test]
    fn boundaries_are_found_from_any_offset() {
        let stream = b"data: a\ndata: b\n\nid: 1\ndata: c\n\n";
        let ends = [17, 32];
        for sent in 0..=stream.len() {
            let expected = if sent == 0 {
                0
            } else {
                *ends.iter().find(|e| **e >= sent).unwrap()
            };
            assert_eq!(boundary(stream, sent), expected, "{sent}");
        }
    }
}

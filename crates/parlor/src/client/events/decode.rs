//! An event stream as its reader has it (HTML standard, section 9.2.6). No I/O.

use parlor_proto::sse;

/// Reads a stream, cut at whatever bytes it comes.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Bytes of lines and data of one event, at most.
    event_bytes_max: usize,
    /// The beginning of a line.
    line: Vec<u8>,
    /// The last byte was a CR: an LF after it ends no other line.
    after_cr: bool,
    /// Nothing was read yet: a byte order mark may come.
    first: bool,
    /// The id of the event that is coming, and of those after it that name none.
    id: Option<String>,
    event: String,
    data: Vec<u8>,
    retry_ms: Option<u64>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// `message` where it named none.
    pub(super) event: String,
    pub(super) data: String,
}

/// An event is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LimitEvent;

impl Decoder {
    pub(super) const fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            line: Vec::new(),
            after_cr: false,
            first: true,
            id: None,
            event: String::new(),
            data: Vec::new(),
            retry_ms: None,
        }
    }

    /// The last id that stood before an event's end, once there was one.
    pub(super) fn take_id(&mut self) -> Option<String> {
        self.id.take()
    }

    /// The last `retry`, once there was one.
    pub(super) const fn take_retry_ms(&mut self) -> Option<u64> {
        self.retry_ms.take()
    }

    /// The next event in `input`, which loses what was read.
    pub(super) fn receive(&mut self, input: &mut &[u8]) -> Result<Option<Received>, LimitEvent> {
        while let Some(&next) = input.first() {
            if std::mem::take(&mut self.after_cr) && next == b'\n' {
                *input = input.get(1..).unwrap_or_default();
                continue;
            }
            let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
            let end = input.iter().position(is_end);
            let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
            if self.line.len() + piece.len() + self.data.len() > self.event_bytes_max {
                return Err(LimitEvent);
            }
            self.line.extend_from_slice(piece);
            *input = rest.get(1..).unwrap_or_default();
            if end.is_none() {
                return Ok(None);
            }
            self.after_cr = rest.first() == Some(&b'\r');
            let mut line = std::mem::take(&mut self.line);
            let received = self.take_line(&line);
            line.clear();
            line.shrink_to(KEEP_BYTES);
            self.line = line;
            if received.is_some() {
                return Ok(received);
            }
        }
        Ok(None)
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Received> {
        let mut line = line;
        if std::mem::take(&mut self.first) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"id" => {
                let id = String::from_utf8_lossy(value);
                if sse::is_field_safe(&id) {
                    self.id = Some(id.into_owned());
                }
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let value = str::from_utf8(value).unwrap_or_default();
                self.retry_ms = value.parse().ok().or(self.retry_ms);
            }
            // A comment, or what this version does not know.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Received> {
        let mut event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        // Without a line of data there is no event.
        data.pop()?;
        if event.is_empty() {
            "message".clone_into(&mut event);
        }
        let data = match String::from_utf8(data) {
            Ok(data) => data,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Some(Received { event, data })
    }
}

/// What the buffer for lines keeps after a long one, in bytes.
const KEEP_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in a stream, with the ids before the events.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String, String)> {
        let mut decoder = Decoder::new(100);
        let mut events = Vec::new();
        for mut piece in pieces {
            while let Some(Received { event, data }) = decoder.receive(&mut piece).unwrap() {
                events.push((decoder.take_id().unwrap_or_default(), event, data));
            }
        }
        events
    }

    #[test]
    fn streams_of_the_standard_are_read() {
        for (text, expected) in [
            (
                "data: YHOO\ndata: +2\ndata: 10\n\n",
                &[("", "message", "YHOO\n+2\n10")][..],
            ),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                &[
                    ("1", "message", "first event"),
                    ("", "message", "second event"),
                    ("", "message", " third event"),
                ],
            ),
            (
                "data\n\ndata\ndata\n\ndata:",
                &[("", "message", ""), ("", "message", "\n")],
            ),
            (
                "data:test\r\rdata: test\r\n\r\n",
                &[("", "message", "test"), ("", "message", "test")],
            ),
            ("\u{feff}data: x\n\n", &[("", "message", "x")]),
            ("event: a\n\ndata: x\n\n", &[("", "message", "x")]),
            ("event: a\ndata: x\nid: y\0\n\n", &[("", "a", "x")]),
            ("nonsense: 1\ndata\u{20}: x\n\n", &[]),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(id, event, data)| {
                    ((*id).to_owned(), (*event).to_owned(), (*data).to_owned())
                })
                .collect();
            let bytes = text.as_bytes();
            assert_eq!(read([bytes]), expected, "{text:?}");
            assert_eq!(read(bytes.chunks(1)), expected, "{text:?} byte by byte");
            for at in 0..=bytes.len() {
                let (one, two) = bytes.split_at(at);
                assert_eq!(read([one, two]), expected, "{text:?} cut at {at}");
            }
        }
    }

    #[test]
    fn events_have_a_bound() {
        for text in [
            "data: ".to_owned() + &"x".repeat(100),
            "data: x\n".repeat(60),
        ] {
            let mut decoder = Decoder::new(100);
            assert_eq!(decoder.receive(&mut text.as_bytes()), Err(LimitEvent));
        }
        let many = "data: x\n\n".repeat(60);
        assert_eq!(read([many.as_bytes()]).len(), 60);
    }

    #[test]
    fn retry_is_digits_and_nothing_else() {
        for (text, expected) in [
            ("retry: 3000\n", Some(3000)),
            ("retry: 3s\n", None),
            ("retry:\n", None),
            ("retry: 99999999999999999999999\n", None),
        ] {
            let mut decoder = Decoder::new(100);
            assert_eq!(decoder.receive(&mut text.as_bytes()), Ok(None));
            assert_eq!(decoder.take_retry_ms(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let event = sse::Event {
            id: Some("7-1"),
            event: Some("say"),
            retry_ms: Some(5),
            data: b" a\nb",
        };
        sse::encode(&event, &mut out);
        assert_eq!(
            read([&out[..]]),
            [("7-1".to_owned(), "say".to_owned(), " a\nb".to_owned())]
        );
    }
}

//! From the bytes of a stream to its events.

use super::Event;

/// Reads a stream, in whatever pieces it comes (HTML standard, sections 9.2.5 and 9.2.6).
///
/// Between two pieces it holds the lines of the event that has begun, up to a bound.
#[derive(Clone, Debug)]
pub struct Decoder {
    event_bytes_max: usize,
    /// The line that has begun.
    line: Vec<u8>,
    before: Before,
    event: String,
    data: String,
    /// The last id of the stream, and whether the event that has begun has set it.
    id: String,
    id_is_new: bool,
    last_id: String,
    retry_ms: Option<u32>,
    /// The delay that the event that has begun has set.
    new_retry_ms: Option<u32>,
    /// The buffers above are of an event that was handed out.
    handed_out: bool,
}

/// What stands before the line that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The beginning of the stream, where a byte order mark is passed over.
    Nothing,
    /// A line.
    Line,
    /// A line that ended with CR: an LF that comes now belongs to it.
    CarriageReturn,
}

/// An event, a line or an id is over the bound of the [`Decoder`]. The stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is over {max} bytes")]
#[non_exhaustive]
pub struct LimitEventBytes {
    /// The bound.
    pub max: usize,
}

impl Decoder {
    /// A decoder at the beginning of a stream. `event_bytes_max` bounds what it holds, in bytes:
    /// the data, the type and the id of one event, and its line that has begun.
    #[must_use]
    pub const fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            line: Vec::new(),
            before: Before::Nothing,
            event: String::new(),
            data: String::new(),
            id: String::new(),
            id_is_new: false,
            last_id: String::new(),
            retry_ms: None,
            new_retry_ms: None,
            handed_out: false,
        }
    }

    /// The same for a stream that was asked for with this id as `Last-Event-ID`: it stays the last
    /// one until the stream sets another.
    ///
    /// The standard has each stream begin with an empty one; browsers do it as here, since a stream
    /// that is lost before its first event would else be repeated from the beginning.
    #[must_use]
    pub fn resume(mut self, last_event_id: &str) -> Self {
        last_event_id.clone_into(&mut self.id);
        last_event_id.clone_into(&mut self.last_id);
        self
    }

    /// Takes bytes from the front of `input` up to the end of an event, or all of them.
    ///
    /// Comments are passed over, and so is an event without data, though its id and delay count.
    /// The event's `id` and `retry_ms` are those that stand in it. Lines of data are joined by LF;
    /// what is not UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    ///
    /// [`LimitEventBytes`]. Nothing can be decoded after it.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Event<'_>>, LimitEventBytes> {
        if std::mem::take(&mut self.handed_out) {
            self.clear();
        }
        while let Some((&first, rest)) = input.split_first() {
            if self.before == Before::CarriageReturn {
                self.before = Before::Line;
                if first == b'\n' {
                    *input = rest;
                    continue;
                }
            }
            let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
            self.line.extend_from_slice(piece);
            *input = rest;
            self.check()?;
            let Some((&end, rest)) = rest.split_first() else {
                break;
            };
            *input = rest;
            let is_end = self.take_line();
            if end == b'\r' {
                self.before = Before::CarriageReturn;
            }
            if is_end {
                self.handed_out = true;
                return Ok(Some(Event {
                    id: self.id_is_new.then_some(&self.id),
                    event: Some(&*self.event).filter(|event| !event.is_empty()),
                    retry_ms: self.new_retry_ms,
                    data: self.data.as_bytes(),
                }));
            }
            self.check()?;
        }
        Ok(None)
    }

    /// The id that a reader sends as `Last-Event-ID` when it comes back: that of the last event
    /// that ended, or of one before it. Empty where there was none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_id
    }

    /// The delay before a reader comes back, in milliseconds, as the stream has last set it.
    #[must_use]
    pub const fn retry_ms(&self) -> Option<u32> {
        self.retry_ms
    }

    fn check(&self) -> Result<(), LimitEventBytes> {
        let held = self.line.len() + self.event.len() + self.data.len() + self.id.len();
        match held > self.event_bytes_max {
            true => Err(LimitEventBytes {
                max: self.event_bytes_max,
            }),
            false => Ok(()),
        }
    }

    /// The line is whole. True where it ends an event that has data.
    fn take_line(&mut self) -> bool {
        let mut line = std::mem::take(&mut self.line);
        let mark = self.before == Before::Nothing && line.starts_with(b"\xef\xbb\xbf");
        self.before = Before::Line;
        let text =
            String::from_utf8_lossy(line.get(if mark { 3 } else { 0 }..).unwrap_or_default());
        let ended = text.is_empty();
        if !ended {
            self.take_field(&text);
        }
        drop(text);
        line.clear();
        self.line = line;
        ended && self.end_event()
    }

    fn take_field(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => {
                value.clone_into(&mut self.id);
                self.id_is_new = true;
            }
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                if let Ok(retry_ms) = value.parse() {
                    self.retry_ms = Some(retry_ms);
                    self.new_retry_ms = Some(retry_ms);
                }
            }
            _ => {}
        }
    }

    /// A blank line. True where there is an event to hand out.
    fn end_event(&mut self) -> bool {
        self.last_id.clone_from(&self.id);
        if self.data.pop().is_some() {
            return true;
        }
        self.clear();
        false
    }

    fn clear(&mut self) {
        self.event.clear();
        self.data.clear();
        self.id_is_new = false;
        self.new_retry_ms = None;
    }
}

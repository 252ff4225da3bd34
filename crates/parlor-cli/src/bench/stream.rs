//! An event stream as its subscriber reads it.

use super::replay::Hearing;
use super::stamp::Stamp;
use crate::http::{Body, Chunks, Head, Malformed};

/// The reading side of a connection whose response is an event stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// Absent where the body is not in chunks.
    chunks: Option<Chunks>,
    /// The beginning of a line.
    line: Vec<u8>,
    event: Reading,
}

/// How far an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing of it has come.
    Nothing,
    /// A field has come; it may be a message.
    Message,
    /// It is not a message.
    Other,
}

impl Stream {
    /// Begins behind the head of a response.
    ///
    /// # Errors
    ///
    /// In words, where the response is not an event stream.
    pub(super) fn new(head: &Head) -> Result<Self, String> {
        if head.status != 200 {
            return Err(format!("the server answered {}", head.status));
        }
        if head.media_type != "text/event-stream" {
            return Err(format!(
                "the response is `{}`, not an event stream",
                head.media_type
            ));
        }
        let chunks = match head.body {
            Body::Chunked => Some(Chunks::START),
            Body::Rest => None,
            Body::Sized(_) => return Err("the event stream has an end".to_owned()),
        };
        Ok(Self {
            chunks,
            line: Vec::new(),
            event: Reading::Nothing,
        })
    }

    /// Whether neither a chunk nor an event has begun: what the next bytes mean does not depend on
    /// earlier ones.
    pub(super) fn is_between(&self) -> bool {
        let between = self.chunks.is_none_or(|chunks| chunks == Chunks::START);
        between && self.line.is_empty() && self.event == Reading::Nothing
    }

    /// Reads bytes of the body; `content` is working memory.
    ///
    /// # Errors
    ///
    /// In words, where it is no body, or the server tells of a gap or of its end.
    pub(super) fn listen(
        &mut self,
        bytes: &[u8],
        content: &mut Vec<u8>,
        hearing: &mut Hearing,
    ) -> Result<(), String> {
        content.clear();
        match &mut self.chunks {
            None => content.extend_from_slice(bytes),
            Some(chunks) => {
                let decoded = chunks.decode(bytes, content);
                decoded.map_err(|Malformed| "the chunks of the stream are malformed".to_owned())?;
            }
        }
        let mut rest = &content[..];
        while let Some(end) = rest.iter().position(|&b| b == b'\n') {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.event = self.event.line(line, hearing)?;
            } else {
                self.line.extend_from_slice(line);
                self.event = self.event.line(&self.line, hearing)?;
                self.line.clear();
            }
        }
        if self.line.len() + rest.len() > LINE_BYTES_MAX {
            return Err(format!("a line is longer than {LINE_BYTES_MAX} bytes"));
        }
        self.line.extend_from_slice(rest);
        match self.chunks {
            Some(Chunks::Ended) => Err("the server ended the stream".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Reading {
    /// Takes in a line; messages have their payload in their first one of data.
    fn line(self, line: &[u8], hearing: &mut Hearing) -> Result<Self, String> {
        if let Some(payload) = line.strip_prefix(b"data: ") {
            if self != Self::Other {
                match Stamp::decode(payload) {
                    Some(stamp) => hearing.stamps.push(stamp),
                    None => hearing.unstamped += 1,
                }
            }
            return Ok(Self::Other);
        }
        match line {
            b"" => Ok(Self::Nothing),
            b"event: gap" => Err("the server told of a gap".to_owned()),
            _ if line.starts_with(b"event: ") => Ok(Self::Other),
            _ if line.starts_with(b":") => Ok(self),
            _ if self == Self::Nothing => Ok(Self::Message),
            _ => Ok(self),
        }
    }
}

const LINE_BYTES_MAX: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::super::stamp::Payloads;
    use super::*;

    fn stream(body: Body) -> Stream {
        let head = Head {
            status: 200,
            len: 0,
            body,
            media_type: "text/event-stream".to_owned(),
        };
        Stream::new(&head).unwrap()
    }

    fn text() -> String {
        let mut payloads = Payloads::new(40);
        let mut text =
            ": hello\n\nretry: 3000\n\nevent: joined\ndata: {}\n\ndata: elsewhere\n\n".to_owned();
        for number in 0..3 {
            let stamp = Stamp {
                test: 1,
                publisher: 0,
                number,
                due: 5,
            };
            let message = str::from_utf8(payloads.message(stamp)).unwrap();
            text.push_str(&format!("id: e-{number}\ndata: {message}\n\n"));
        }
        text
    }

    #[test]
    fn events_split_anywhere_are_the_same() {
        let text = text();
        let chunked = format!("{:x}\r\n{text}\r\n", text.len());
        for (body, bytes) in [(Body::Rest, &text), (Body::Chunked, &chunked)] {
            for at in 0..=bytes.len() {
                let (mut stream, mut hearing) = (stream(body), Hearing::default());
                let mut content = Vec::new();
                let (first, second) = bytes.as_bytes().split_at(at);
                stream.listen(first, &mut content, &mut hearing).unwrap();
                stream.listen(second, &mut content, &mut hearing).unwrap();
                let numbers: Vec<u32> = hearing.stamps.iter().map(|it| it.number).collect();
                assert_eq!(
                    (&numbers[..], hearing.unstamped),
                    (&[0, 1, 2][..], 1),
                    "{at}"
                );
                assert!(stream.is_between());
            }
        }
    }

    #[test]
    fn gaps_and_the_end_are_told() {
        let told = |bytes: &str| {
            let mut hearing = Hearing::default();
            stream(Body::Chunked).listen(bytes.as_bytes(), &mut Vec::new(), &mut hearing)
        };
        assert_eq!(
            told("0\r\n\r\n"),
            Err("the server ended the stream".to_owned())
        );
        let gap = told("b\r\nevent: gap\n\r\n");
        assert_eq!(gap, Err("the server told of a gap".to_owned()));
    }
}

//! HTTP/1.1 responses, as far as a client of our own doors needs them.

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// 100 to 999.
    pub(crate) status: u16,
    /// The length of the head in bytes, its blank line included.
    pub(crate) len: usize,
    pub(crate) body: Body,
    /// The media type, without parameters, in lower case; empty where there is none.
    pub(crate) media_type: String,
}

/// Where the body of a response ends (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// After so many bytes.
    Sized(u64),
    /// Where its chunks end.
    Chunked,
    /// With the connection.
    Rest,
}

/// Bytes that are no HTTP/1.1 response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response is not HTTP")]
pub(crate) struct Malformed;

/// Reads the head of a response from all bytes received so far; `None` while it is not whole.
///
/// # Errors
///
/// [`Malformed`], also for a head over 16 KiB.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Malformed),
    };
    let value = |name: &str| {
        let mut fields = response.headers.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(field.value).ok().map(str::trim)
    };
    let chunked = value("transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
    let body = match value("content-length") {
        _ if chunked => Body::Chunked,
        Some(len) => Body::Sized(len.parse().map_err(|_| Malformed)?),
        None => Body::Rest,
    };
    let media_type = value("content-type").and_then(|it| it.split(';').next());
    Ok(Some(Head {
        status: response.code.ok_or(Malformed)?,
        len,
        body,
        media_type: media_type.unwrap_or_default().trim().to_ascii_lowercase(),
    }))
}

/// A reader of chunks (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// In the line that gives a chunk's size: the size so far, and whether a digit has come.
    Size { size: u64, begun: bool },
    /// Behind the digits of that line.
    SizeEnd { size: u64 },
    /// In a chunk: so many bytes are to come.
    Data { left: u64 },
    /// In the line end behind a chunk.
    DataEnd,
    /// Behind the last chunk: what comes is trailer.
    Ended,
}

impl Chunks {
    /// Before the first chunk.
    pub(crate) const START: Self = Self::Size {
        size: 0,
        begun: false,
    };

    /// Reads bytes, any part of a body; appends the content to `out`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for a size that is none, or no line end behind a chunk.
    pub(crate) fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            (*self, rest) = match *self {
                Self::Size { size, begun } => (size_digit(size, begun, byte)?, after),
                Self::SizeEnd { size } => match (byte, size) {
                    (b'\n', 0) => (Self::Ended, after),
                    (b'\n', left) => (Self::Data { left }, after),
                    _ => (*self, after),
                },
                Self::Data { left } => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (data, after) = rest.split_at_checked(len).ok_or(Malformed)?;
                    out.extend_from_slice(data);
                    match left - u64::try_from(len).map_err(|_| Malformed)? {
                        0 => (Self::DataEnd, after),
                        left => (Self::Data { left }, after),
                    }
                }
                Self::DataEnd => match byte {
                    b'\r' => (*self, after),
                    b'\n' => (Self::START, after),
                    _ => return Err(Malformed),
                },
                Self::Ended => return Ok(()),
            };
        }
        Ok(())
    }
}

fn size_digit(size: u64, begun: bool, byte: u8) -> Result<Chunks, Malformed> {
    let digit = char::from(byte).to_digit(16).map(u64::from);
    match digit {
        Some(_) if size >> 60 != 0 => Err(Malformed),
        Some(digit) => Ok(Chunks::Size {
            size: size << 4 | digit,
            begun: true,
        }),
        None if begun && matches!(byte, b'\r' | b';' | b' ' | b'\t') => {
            Ok(Chunks::SizeEnd { size })
        }
        None => Err(Malformed),
    }
}

const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let head = |text: &str| read_head(text.as_bytes());
        let found = head("HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(
            found,
            Ok(Some(Head {
                status: 201,
                len: 43,
                body: Body::Sized(3),
                media_type: String::new(),
            }))
        );
        let found = head(
            "HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=x\r\n\
             transfer-encoding: chunked\r\n\r\n",
        );
        let found = found.unwrap().unwrap();
        assert_eq!(found.body, Body::Chunked);
        assert_eq!(found.media_type, "text/event-stream");
        assert_eq!(
            head("HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap().body,
            Body::Rest
        );
        assert_eq!(head("HTTP/1.1 200 OK\r\nA: b\r\n"), Ok(None));
        assert_eq!(head("GET / HTTP/1.1\r\n\r\n"), Err(Malformed));
        assert_eq!(head(&"x".repeat(HEAD_BYTES_MAX)), Err(Malformed));
    }

    #[test]
    fn chunks_split_at_any_byte() {
        let bytes = b"5\r\nhello\r\n1;x=y\r\n,\r\n00a\r\n0123456789\r\n0\r\n\r\n";
        for at in 0..=bytes.len() {
            let (mut chunks, mut out) = (Chunks::START, Vec::new());
            for part in [&bytes[..at], &bytes[at..]] {
                chunks.decode(part, &mut out).unwrap();
            }
            assert_eq!(out, b"hello,0123456789", "{at}");
            assert_eq!(chunks, Chunks::Ended);
        }
        for bad in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "1\r\nab",
            "fffffffffffffffff\r\n",
        ] {
            let mut chunks = Chunks::START;
            let decoded = chunks.decode(bad.as_bytes(), &mut Vec::new());
            assert_eq!(decoded, Err(Malformed), "{bad}");
        }
    }
}

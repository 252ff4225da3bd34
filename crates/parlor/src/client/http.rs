//! As much of HTTP/1.1 as a client of ours needs: headers to write, a head and a body to read (RFC
//! 9112).

use std::io;

use parlor_proto::websocket::handshake::ResponseError;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::ConnectError;

/// The longest head of a response, as for the handshake.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most headers of a response.
const HEADERS_MAX: usize = 100;

/// The head of a response.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Those whose values are text.
    pub(super) headers: Vec<(String, String)>,
    /// How many bytes it took.
    pub(super) len: usize,
}

impl Head {
    /// The first value of a header.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// How the body is cut (RFC 9112, section 6.3); `None` where it goes on to the end of the
    /// connection.
    pub(super) fn chunks(&self) -> Result<Option<Chunks>, ConnectError> {
        let malformed = ConnectError::MalformedResponse(ResponseError::Malformed);
        match (
            self.value("transfer-encoding"),
            self.value("content-length"),
        ) {
            (Some(_), _) => Ok(Some(Chunks::START)),
            (None, Some(len)) => Chunks::sized(len).map(Some).ok_or(malformed),
            (None, None) => Ok(None),
        }
    }
}

/// Adds the caller's headers to the head of a request.
///
/// # Errors
///
/// [`ConnectError::MisuseRequest`] for one that cannot stand there, or is one of `ours`.
pub(super) fn push_headers(
    head: &mut String,
    headers: &[(&str, &str)],
    ours: &[&str],
) -> Result<(), ConnectError> {
    for (name, value) in headers {
        let is_ours = ours.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        if is_ours || !is_name(name) || !is_value(value) {
            return Err(ConnectError::MisuseRequest);
        }
        head.extend([name, ": ", value, "\r\n"]);
    }
    Ok(())
}

/// A token (RFC 9110, section 5.6.2).
fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

fn is_value(value: &str) -> bool {
    !value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
}

/// Reads until a head is whole. `read` holds it, and what came after it.
pub(super) async fn read_head(
    io: &mut (impl AsyncRead + Unpin + ?Sized),
    read: &mut Vec<u8>,
) -> Result<Head, ConnectError> {
    let mut scanned = 0;
    loop {
        let from = scanned;
        if let Some(len) = find_end(read, from) {
            let head = parse(read.get(..len).unwrap_or_default())?;
            // What is said in between is not what we wait for (RFC 9110, section 15.2).
            if matches!(head.status, 100..=199) && head.status != 101 {
                read.drain(..len);
                scanned = 0;
                continue;
            }
            return Ok(head);
        }
        if read.len() >= HEAD_BYTES_MAX {
            return Err(ConnectError::LimitHead);
        }
        scanned = read.len();
        read.reserve(4096);
        let room = (HEAD_BYTES_MAX - read.len()) as u64;
        if (&mut *io).take(room).read_buf(read).await? == 0 {
            return Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// The body of a response, of which `read` has the beginning behind the head; it is cut at
/// `bytes_max`.
///
/// # Errors
///
/// A connection that ends before the body does, and a body that is not HTTP.
pub(super) async fn read_body(
    io: &mut (impl AsyncRead + Unpin + ?Sized),
    head: &Head,
    mut read: Vec<u8>,
    bytes_max: usize,
) -> Result<Vec<u8>, ConnectError> {
    let malformed = |_| ConnectError::MalformedResponse(ResponseError::Malformed);
    let mut chunks = head.chunks()?;
    read.drain(..head.len.min(read.len()));
    let mut body = Vec::new();
    loop {
        let mut rest = read.as_slice();
        match &mut chunks {
            None => body.append(&mut read),
            Some(chunks) => {
                while let Some(piece) = chunks.next(&mut rest).map_err(malformed)? {
                    body.extend_from_slice(piece);
                }
            }
        }
        if chunks == Some(Chunks::Ended) || body.len() >= bytes_max {
            break;
        }
        read.clear();
        read.reserve(4096);
        match io.read_buf(&mut read).await? {
            0 if chunks.is_none() => break,
            0 => return Err(ConnectError::Io(io::ErrorKind::UnexpectedEof.into())),
            _ => {}
        }
    }
    body.truncate(bytes_max);
    Ok(body)
}

fn find_end(read: &[u8], scanned: usize) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    let from = scanned.saturating_sub(END.len() - 1);
    let new = read.get(from..)?;
    let at = new.windows(END.len()).position(|window| window == END)?;
    Some(from + at + END.len())
}

fn parse(bytes: &[u8]) -> Result<Head, ConnectError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(ConnectError::LimitHead),
        Ok(httparse::Status::Partial) | Err(_) => {
            return Err(ConnectError::MalformedResponse(ResponseError::Malformed));
        }
    }
    let headers = response.headers.iter().filter_map(|header| {
        let value = str::from_utf8(header.value).ok()?;
        Some((header.name.to_owned(), value.to_owned()))
    });
    Ok(Head {
        status: response.code.unwrap_or_default(),
        headers: headers.collect(),
        len: bytes.len(),
    })
}

/// The chunks of a body (RFC 9112, section 7.1), cut at whatever bytes they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the digits of a length.
    Length { value: u64, digits: u8 },
    /// Behind them: an extension, up to the end of the line.
    Extension { value: u64 },
    /// So many bytes of a chunk are to come.
    Bytes(u64),
    /// The line end behind a chunk.
    After,
    /// So many bytes of a body are to come that is not chunked but has a length.
    Sized(u64),
    /// The last chunk has come; trailers are of no interest.
    Ended,
}

/// Not a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MalformedChunk;

impl Chunks {
    pub(super) const START: Self = Self::Length {
        value: 0,
        digits: 0,
    };

    /// A body of this `Content-Length`; `None` where it is none.
    pub(super) fn sized(len: &str) -> Option<Self> {
        let is_number = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
        match len.parse().ok().filter(|_| is_number)? {
            0 => Some(Self::Ended),
            len => Some(Self::Sized(len)),
        }
    }

    /// The next piece of content in `input`, which loses what was read; `None` where there is none
    /// any more.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
    ) -> Result<Option<&'a [u8]>, MalformedChunk> {
        while let Some((&byte, rest)) = input.split_first() {
            match *self {
                Self::Bytes(left) => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let (piece, rest) = input.split_at(len);
                    *input = rest;
                    *self = match left - len as u64 {
                        0 => Self::After,
                        left => Self::Bytes(left),
                    };
                    return Ok(Some(piece));
                }
                Self::Sized(left) => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let (piece, rest) = input.split_at(len);
                    *input = rest;
                    *self = match left - len as u64 {
                        0 => Self::Ended,
                        left => Self::Sized(left),
                    };
                    return Ok(Some(piece));
                }
                Self::Ended => {
                    *input = &[];
                    return Ok(None);
                }
                Self::Length { value, digits } => {
                    *self = Self::in_length(value, digits, byte)?;
                }
                Self::Extension { value } if byte == b'\n' => *self = Self::begin(value),
                Self::Extension { .. } => {}
                Self::After if byte == b'\r' => {}
                Self::After if byte == b'\n' => *self = Self::START,
                Self::After => return Err(MalformedChunk),
            }
            *input = rest;
        }
        Ok(None)
    }

    fn in_length(value: u64, digits: u8, byte: u8) -> Result<Self, MalformedChunk> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            // 15 digits are more than any chunk has, and do not overflow.
            return match digits {
                15.. => Err(MalformedChunk),
                _ => Ok(Self::Length {
                    value: value * 16 + u64::from(digit),
                    digits: digits + 1,
                }),
            };
        }
        match byte {
            _ if digits == 0 => Err(MalformedChunk),
            b'\n' => Ok(Self::begin(value)),
            b'\r' | b';' | b' ' | b'\t' => Ok(Self::Extension { value }),
            _ => Err(MalformedChunk),
        }
    }

    const fn begin(value: u64) -> Self {
        match value {
            0 => Self::Ended,
            len => Self::Bytes(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pieces: &[&[u8]]) -> Result<(Vec<u8>, Chunks), MalformedChunk> {
        let mut chunks = Chunks::START;
        let mut content = Vec::new();
        for mut piece in pieces.iter().copied() {
            while let Some(bytes) = chunks.next(&mut piece)? {
                content.extend_from_slice(bytes);
            }
        }
        Ok((content, chunks))
    }

    #[test]
    fn chunks_are_put_together_wherever_they_are_cut() {
        let body = b"3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let whole = Ok((b"abc0123456789".to_vec(), Chunks::Ended));
        assert_eq!(content(&[body]), whole);
        for at in 0..body.len() {
            let (one, two) = body.split_at(at);
            assert_eq!(content(&[one, two]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_body_with_a_length_ends_there() {
        let mut chunks = Chunks::sized("5").unwrap();
        let mut content = Vec::new();
        for mut piece in [&b"ab"[..], b"c", b"defg", b"h"] {
            while let Some(bytes) = chunks.next(&mut piece).unwrap() {
                content.extend_from_slice(bytes);
            }
        }
        assert_eq!((content.as_slice(), chunks), (&b"abcde"[..], Chunks::Ended));
        assert_eq!(Chunks::sized("0"), Some(Chunks::Ended));
        for len in ["", "x", "-1", "+1", "1, 1", "18446744073709551616"] {
            assert_eq!(Chunks::sized(len), None, "{len}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for body in [
            &b"\r\n"[..],
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b"1\r\nab",
            b"ffffffffffffffff\r\n",
        ] {
            assert_eq!(content(&[body]), Err(MalformedChunk), "{body:?}");
        }
    }

    fn read(bytes: &[u8]) -> (Result<Head, ConnectError>, Vec<u8>) {
        let mut read = Vec::new();
        let mut io = bytes;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let head = runtime.block_on(read_head(&mut io, &mut read));
        (head, read)
    }

    #[test]
    fn heads_are_read_and_the_rest_is_kept() {
        let (head, rest) =
            read(b"HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\nbody");
        let head = head.unwrap();
        assert_eq!((head.status, head.value("x")), (200, Some("y")));
        assert_eq!(&rest[head.len..], b"body");
    }

    #[test]
    fn bad_heads_are_refused() {
        assert!(matches!(read(b"HTTP/1.1 200").0, Err(ConnectError::Io(_))));
        assert!(matches!(
            read(b"SSH-2.0-x\r\n\r\n").0,
            Err(ConnectError::MalformedResponse(_))
        ));
        let long = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; 20_000]].concat();
        assert!(matches!(read(&long).0, Err(ConnectError::LimitHead)));
        let many = ["HTTP/1.1 200 OK\r\n", &"a: b\r\n".repeat(101), "\r\n"].concat();
        assert!(matches!(
            read(many.as_bytes()).0,
            Err(ConnectError::LimitHead)
        ));
    }
}

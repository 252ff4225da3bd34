//! As much of HTTP/1.1 as a client of ours needs: a head to write, a head to read (RFC 9112).

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

#[cfg(test)]
mod tests {
    use super::*;

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

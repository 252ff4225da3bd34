//! Event streams as bodies of responses that somebody else writes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::Frame;
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, duplex};

/// The body of an event stream: what a door writes, without the framing of its chunks. That is for
/// the server below to make, or in HTTP/2 not to make.
#[derive(Debug)]
pub(super) struct Chunks {
    pipe: DuplexStream,
    part: Part,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The size line of a chunk, of which so much was read.
    Size(usize),
    /// Its data; so many bytes are to come.
    Data(usize),
    /// The line end behind its data.
    DataEnd,
    /// The blank line behind the last chunk.
    Last,
    /// Nothing.
    Done,
}

impl Chunks {
    /// A body, and the stream that a door writes it to. What the reader of the body has not taken
    /// is at most [`PIPE_BYTES_MAX`]; where it drops the body the stream is at its end.
    pub(super) fn new() -> (Self, DuplexStream) {
        let (door, pipe) = duplex(PIPE_BYTES_MAX);
        let part = Part::Size(0);
        (Self { pipe, part }, door)
    }

    /// Appends the data among these bytes, the next ones behind those seen before.
    fn follow(&mut self, mut bytes: &[u8], data: &mut Vec<u8>) -> io::Result<()> {
        while let Some((&byte, mut rest)) = bytes.split_first() {
            self.part = match self.part {
                Part::Size(0) if byte == b'\n' => Part::Last,
                Part::Size(left) if byte == b'\n' => Part::Data(left),
                Part::Size(_) | Part::DataEnd | Part::Last if byte == b'\r' => self.part,
                Part::Size(size) => Part::Size(longer(size, byte)?),
                Part::Data(left) => {
                    let (own, behind) = bytes.split_at(left.min(bytes.len()));
                    data.extend_from_slice(own);
                    rest = behind;
                    match left - own.len() {
                        0 => Part::DataEnd,
                        left => Part::Data(left),
                    }
                }
                Part::DataEnd => Part::Size(0),
                Part::Last | Part::Done => Part::Done,
            };
            bytes = rest;
        }
        Ok(())
    }
}

/// A size with one more hexadecimal digit.
fn longer(size: usize, digit: u8) -> io::Result<usize> {
    let digit = char::from(digit).to_digit(16);
    let longer = digit.and_then(|digit| size.checked_mul(16)?.checked_add(digit as usize));
    longer.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let mut data = Vec::new();
        while data.is_empty() && this.part != Part::Done {
            let mut buffer = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut this.pipe).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                // A stream that ends without its last chunk was cut, which the client is to see.
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
            this.follow(buffer.filled(), &mut data)?;
        }
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.part == Part::Done
    }
}

/// What waits between a door and the server that writes the response, in bytes. The rest is in the
/// client's outbox, which has its own bounds.
const PIPE_BYTES_MAX: usize = 16 * 1024;

/// How much is taken out of the pipe at once, in bytes.
const READ_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_framing_off_wherever_the_bytes_are_cut() {
        let whole =
            b"5\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n3\r\n\r\n!\r\n0\r\n\r\nbehind";
        for cut in 0..whole.len() {
            let mut chunks = Chunks::new().0;
            let mut data = Vec::new();
            let (a, b) = whole.split_at(cut);
            chunks.follow(a, &mut data).unwrap();
            chunks.follow(b, &mut data).unwrap();
            assert_eq!(data, b"helloabcdefghijklmnopqrstuvwxyz\r\n!", "{cut}");
            assert_eq!(chunks.part, Part::Done);
        }
        for wrong in ["x\r\nhello", "fffffffffffffffff\r\n"] {
            let mut chunks = Chunks::new().0;
            let followed = chunks.follow(wrong.as_bytes(), &mut Vec::new());
            assert!(followed.is_err(), "{wrong}");
        }
    }
}

//! Where a request body ends.
//!
//! The gate follows each body so that no byte behind it is taken for part of it, nor the other
//! way round. hyper decodes the same bytes again; what passes here is a strict subset of what it
//! accepts, so the two cannot disagree (RFC 9112, section 7.1).

use crate::front::Framing;
use crate::policy::Refusal;

/// Follows the bytes of one body.
#[derive(Debug)]
pub(super) enum BodyScan {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunks),
}

/// The state of a chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    part: Part,
    /// The body may still grow by so many bytes.
    body_left: u64,
    chunks_left: u32,
    extension_left: u32,
    trailer_left: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The size line; so many digits so far.
    Size { size: u64, digits: u8 },
    /// Behind the `;` of a size line.
    Extension { size: u64 },
    /// The line feed of a size line.
    SizeEnd { size: u64 },
    /// The data of a chunk.
    Data { left: u64 },
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// The first byte of a trailer line, or of the blank line that ends it all.
    TrailerStart,
    /// Within the name of a trailer field.
    TrailerName,
    /// Within its value.
    TrailerValue,
    /// The LF of a trailer line.
    TrailerLf,
    /// The last LF.
    LastLf,
    /// Nothing more.
    Done,
}

impl BodyScan {
    /// Prepares for the body behind a head; `None` where there is none.
    ///
    /// # Errors
    ///
    /// 413 for a `Content-Length` over the limit, before a byte of the body is read.
    pub(super) fn new(framing: Framing, body_bytes_max: u64) -> Result<Option<Self>, Refusal> {
        match framing {
            Framing::None | Framing::Length(0) => Ok(None),
            Framing::Length(length) if length > body_bytes_max => Err(Refusal::BODY_TOO_LARGE),
            Framing::Length(length) => Ok(Some(Self::Length(length))),
            Framing::Chunked => Ok(Some(Self::Chunked(Chunks {
                part: Part::Size { size: 0, digits: 0 },
                body_left: body_bytes_max,
                chunks_left: CHUNKS_MAX,
                extension_left: EXTENSION_BYTES_MAX,
                trailer_left: TRAILER_BYTES_MAX,
            }))),
        }
    }

    /// Tells how many of these bytes, the next ones behind those seen before, belong to the body.
    ///
    /// # Errors
    ///
    /// 400 for broken chunk framing; 413 at the byte that makes the body pass its limit, which for
    /// a chunk is the end of its size line.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= here as u64;
                Ok(here)
            }
            Self::Chunked(chunks) => chunks.follow(bytes),
        }
    }

    /// Whether the body is complete.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.part == Part::Done,
        }
    }
}

impl Chunks {
    fn follow(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            match self.part {
                Part::Done => break,
                Part::Data { left } => {
                    let here = usize::try_from(left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len() - used);
                    used += here;
                    self.part = match left - here as u64 {
                        0 => Part::DataCr,
                        left => Part::Data { left },
                    };
                }
                _ => {
                    self.part = self.step(byte)?;
                    used += 1;
                }
            }
        }
        Ok(used)
    }

    fn step(&mut self, byte: u8) -> Result<Part, Refusal> {
        match (self.part, byte) {
            (Part::Size { size, digits }, _) => self.size(size, digits, byte),
            (Part::Extension { size }, b'\r') => Ok(Part::SizeEnd { size }),
            (Part::Extension { size }, byte) if is_text(byte) => {
                spend(&mut self.extension_left)?;
                Ok(Part::Extension { size })
            }
            (Part::SizeEnd { size: 0 }, b'\n') => Ok(Part::TrailerStart),
            (Part::SizeEnd { size }, b'\n') => self.chunk(size),
            (Part::DataCr, b'\r') => Ok(Part::DataLf),
            (Part::DataLf, b'\n') => Ok(Part::Size { size: 0, digits: 0 }),
            (Part::TrailerStart, b'\r') => Ok(Part::LastLf),
            (Part::TrailerName, b':') => Ok(Part::TrailerValue),
            (Part::TrailerStart | Part::TrailerName, byte) if is_name(byte) => {
                spend(&mut self.trailer_left)?;
                Ok(Part::TrailerName)
            }
            (Part::TrailerValue, b'\r') => Ok(Part::TrailerLf),
            (Part::TrailerValue, byte) if is_text(byte) => {
                spend(&mut self.trailer_left)?;
                Ok(Part::TrailerValue)
            }
            (Part::TrailerLf, b'\n') => {
                spend(&mut self.trailer_left)?;
                Ok(Part::TrailerStart)
            }
            (Part::LastLf, b'\n') => Ok(Part::Done),
            _ => Err(MALFORMED),
        }
    }

    fn size(&self, size: u64, digits: u8, byte: u8) -> Result<Part, Refusal> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(Part::SizeEnd { size }),
            b';' if digits > 0 => return Ok(Part::Extension { size }),
            _ => return Err(MALFORMED),
        };
        let size = size
            .checked_mul(16)
            .and_then(|size| size.checked_add(u64::from(digit)));
        match size {
            Some(size) if digits < DIGITS_MAX && i64::try_from(size).is_ok() => Ok(Part::Size {
                size,
                digits: digits + 1,
            }),
            _ => Err(MALFORMED),
        }
    }

    fn chunk(&mut self, size: u64) -> Result<Part, Refusal> {
        self.body_left = self
            .body_left
            .checked_sub(size)
            .ok_or(Refusal::BODY_TOO_LARGE)?;
        self.chunks_left = self
            .chunks_left
            .checked_sub(1)
            .ok_or(Refusal::BODY_TOO_LARGE)?;
        Ok(Part::Data { left: size })
    }
}

fn spend(left: &mut u32) -> Result<(), Refusal> {
    *left = left.checked_sub(1).ok_or(MALFORMED)?;
    Ok(())
}

/// What may stand in the name of a field; a subset of the tokens of RFC 9110, section 5.6.2.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// What may stand in a line: no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

const MALFORMED: Refusal = Refusal::bad_request("malformed chunked body");

/// The most chunks of one body. Each becomes a buffer of its own in whatever collects the body, so
/// their number is bounded as well as their bytes.
const CHUNKS_MAX: u32 = 16 * 1024;

/// All chunk extensions of one body, in bytes.
const EXTENSION_BYTES_MAX: u32 = 8 * 1024;

/// The trailer section of one body, in bytes.
const TRAILER_BYTES_MAX: u32 = 8 * 1024;

/// Digits of a chunk size; 16 reach the end of 64 bits.
const DIGITS_MAX: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the input whole, then byte by byte: the same verdict, and the same bytes used.
    fn check(input: &[u8], expected: Result<usize, u16>) {
        for step in [input.len().max(1), 1, 3] {
            let mut scan = BodyScan::new(Framing::Chunked, 100)
                .expect("valid")
                .expect("there is a body");
            let mut used = 0;
            let mut outcome = Ok(());
            for piece in input.chunks(step) {
                match scan.follow(piece) {
                    Ok(here) => used += here,
                    Err(refusal) => {
                        outcome = Err(refusal.status);
                        break;
                    }
                }
            }
            let text = String::from_utf8_lossy(input);
            assert_eq!(outcome.map(|()| used), expected, "{text:?} by {step}");
            if expected.is_ok() {
                assert!(scan.is_done(), "{text:?} by {step}");
            }
        }
    }

    #[test]
    fn follows_chunks_to_their_end() {
        check(b"0\r\n\r\n", Ok(5));
        check(b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", Ok(15));
        check(b"000005;a=\"b\"\r\nhello\r\n00\r\n\r\n", Ok(27));
        check(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", Ok(35));
        check(b"0\r\nx-sum: 1\r\ny: 2\r\n\r\nrest", Ok(21));
    }

    #[test]
    fn refuses_broken_framing() {
        for input in [
            b"0x0\r\n\r\n".as_slice(),
            b"\r\n",
            b";a\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"-1\r\n",
            b"5\nhello\n0\n\n",
            b"5\r\nhello0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"5\r\nhello\r0\r\n\r\n",
            b"5\r\nhelloo\r\n0\r\n\r\n",
            b"5;\n\r\nhello\r\n",
            b"5;a\rb\r\nhello\r\n",
            b"0\r\n\n",
            b"0\r\n folded\r\n\r\n",
            b"0\r\na: b\n\r\n",
            b"0\r\na\r\n\r\n",
            b"0\r\na : b\r\n\r\n",
            b"0\r\n: b\r\n\r\n",
            b"0\r\nGET / HTTP/1.1\r\n",
            b"0\r\na: \0\r\n\r\n",
            b"8000000000000000\r\n",
            b"ffffffffffffffff\r\n",
            b"10000000000000005\r\nhello\r\n",
            b"00000000000000005\r\nhello\r\n",
        ] {
            check(input, Err(400));
        }
    }

    #[test]
    fn refuses_what_passes_the_limit() {
        check(b"65\r\n", Err(413));
        check(b"7fffffffffffffff\r\n", Err(413));
        let mut input = Vec::new();
        for _ in 0..100 {
            input.extend_from_slice(b"1\r\nx\r\n");
        }
        check(&[&input, b"0\r\n\r\n".as_slice()].concat(), Ok(605));
        check(&[&input, b"1\r\n".as_slice()].concat(), Err(413));
        let long = |kind: &[u8], len: usize| [kind, &vec![b'x'; len]].concat();
        check(&long(b"1;", 8 * 1024 + 1), Err(400));
        check(&long(b"0\r\na:", 8 * 1024), Err(400));
    }

    #[test]
    fn counts_a_length() {
        let mut scan = BodyScan::new(Framing::Length(5), 5)
            .expect("valid")
            .expect("a body");
        assert_eq!(scan.follow(b"hel"), Ok(3));
        assert!(!scan.is_done());
        assert_eq!(scan.follow(b"loGET"), Ok(2));
        assert!(scan.is_done());
        assert!(
            BodyScan::new(Framing::Length(0), 5)
                .expect("valid")
                .is_none()
        );
        assert!(BodyScan::new(Framing::None, 5).expect("valid").is_none());
        assert_eq!(
            BodyScan::new(Framing::Length(6), 5).map(|_| ()),
            Err(Refusal::BODY_TOO_LARGE)
        );
    }
}

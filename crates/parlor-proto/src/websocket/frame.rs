//! Frames: the header, the mask, and encoding what many members share (RFC 6455, section 5).

use bytes::BufMut;

use super::{Error, Kind};

/// What a frame carries (RFC 6455, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(clippy::exhaustive_enums, reason = "other opcodes are reserved")]
pub enum OpCode {
    /// 0: the next fragment of the message.
    Continuation = 0x0,
    /// 1: text, or the first fragment of text.
    Text = 0x1,
    /// 2: binary, or the first fragment of it.
    Binary = 0x2,
    /// 8: begins or answers the close handshake.
    Close = 0x8,
    /// 9: asks for a pong.
    Ping = 0x9,
    /// 10: answers a ping, or is sent unasked.
    Pong = 0xA,
}

impl OpCode {
    const fn decode(byte: u8) -> Result<Self, Error> {
        match byte & 0x0F {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            opcode => Err(Error::ViolationOpCode { opcode }),
        }
    }

    /// Close, ping or pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

impl From<Kind> for OpCode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }
}

/// The two bits of a frame's first byte that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The last fragment of its message.
    pub fin: bool,
    /// RSV1: the message is compressed; on its first fragment only (RFC 7692, section 6).
    pub rsv1: bool,
}

impl Flags {
    /// A whole, plain message, or the last fragment.
    pub const FIN: Self = Self {
        fin: true,
        rsv1: false,
    };
    /// A whole, compressed message.
    pub const FIN_RSV1: Self = Self {
        fin: true,
        rsv1: true,
    };
    /// The first fragment of a plain message, or one in the middle.
    pub const NONE: Self = Self {
        fin: false,
        rsv1: false,
    };
    /// The first fragment of a compressed message.
    pub const RSV1: Self = Self {
        fin: false,
        rsv1: true,
    };
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// FIN and RSV1.
    pub flags: Flags,
    /// The opcode.
    pub opcode: OpCode,
    /// The masking key, where there is one.
    pub mask: Option<[u8; 4]>,
    /// The payload's length, 0 to 2^63 - 1.
    pub len: u64,
}

/// The longest header: 2 bytes, 8 of length, 4 of mask.
pub const HEADER_BYTES_MAX: usize = 14;

/// Decodes the header at the start of `bytes` and says how long it is; `None` where it is not whole
/// yet. What a connection has agreed or is in the middle of is not looked at here.
///
/// # Errors
///
/// In the order of the bytes that show them: [`Error::ViolationReservedBit`] (RSV2 or RSV3),
/// [`Error::ViolationOpCode`], [`Error::ViolationControlFragmented`],
/// [`Error::ViolationControlLength`], [`Error::ViolationLengthTopBit`],
/// [`Error::ViolationLengthForm`].
#[inline]
pub fn decode_header(bytes: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    if first & 0x30 != 0 {
        return Err(Error::ViolationReservedBit);
    }
    let opcode = OpCode::decode(first)?;
    let flags = Flags {
        fin: first & 0x80 != 0,
        rsv1: first & 0x40 != 0,
    };
    if opcode.is_control() && !flags.fin {
        return Err(Error::ViolationControlFragmented);
    }
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    let short = second & 0x7F;
    if opcode.is_control() && short > 125 {
        return Err(Error::ViolationControlLength);
    }
    let Some((len, at)) = decode_len(bytes, short)? else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Ok(Some((
            Header {
                flags,
                opcode,
                mask: None,
                len,
            },
            at,
        )));
    }
    let Some(key) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
        return Ok(None);
    };
    Ok(Some((
        Header {
            flags,
            opcode,
            mask: Some(*key),
            len,
        },
        at + 4,
    )))
}

/// The payload's length, and where the header goes on.
#[inline]
fn decode_len(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, Error> {
    let extended = bytes.get(2..).unwrap_or_default();
    match short {
        126 => {
            let Some(long) = extended.first_chunk::<2>() else {
                return Ok(None);
            };
            let len = u64::from(u16::from_be_bytes(*long));
            if len < 126 {
                Err(Error::ViolationLengthForm)
            } else {
                Ok(Some((len, 4)))
            }
        }
        127 => {
            let Some(long) = extended.first_chunk::<8>() else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(*long);
            if len > u64::MAX >> 1 {
                return Err(Error::ViolationLengthTopBit);
            }
            if len < 65_536 {
                Err(Error::ViolationLengthForm)
            } else {
                Ok(Some((len, 10)))
            }
        }
        len => Ok(Some((u64::from(len), 2))),
    }
}

/// Appends a header.
#[inline]
pub fn encode_header(out: &mut impl BufMut, header: &Header) {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let mask_bit = if header.mask.is_some() { 0x80 } else { 0 };
    bytes[0] = header.opcode as u8
        | if header.flags.fin { 0x80 } else { 0 }
        | if header.flags.rsv1 { 0x40 } else { 0 };
    let mut at = if let Ok(len @ 0..126) = u8::try_from(header.len) {
        bytes[1] = mask_bit | len;
        2
    } else if let Ok(len) = u16::try_from(header.len) {
        bytes[1] = mask_bit | 126;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        4
    } else {
        bytes[1] = mask_bit | 127;
        bytes[2..10].copy_from_slice(&header.len.to_be_bytes());
        10
    };
    if let Some(key) = header.mask {
        bytes[at..at + 4].copy_from_slice(&key);
        at += 4;
    }
    out.put_slice(&bytes[..at]);
}

/// Appends a whole frame without a mask, as servers send it: the bytes that all members of a room
/// can share.
///
/// # Panics
///
/// As `out` does when it is full: a `Vec` or `BytesMut` grows.
#[inline]
pub fn encode(out: &mut impl BufMut, flags: Flags, opcode: OpCode, payload: &[u8]) {
    encode_header(
        out,
        &Header {
            flags,
            opcode,
            mask: None,
            len: payload.len() as u64,
        },
    );
    out.put_slice(payload);
}

/// Appends a whole frame, masked with `mask` where there is one.
pub(crate) fn encode_masked(
    out: &mut Vec<u8>,
    (flags, opcode): (Flags, OpCode),
    mask: Option<[u8; 4]>,
    payload: &[u8],
) {
    encode_header(
        out,
        &Header {
            flags,
            opcode,
            mask,
            len: payload.len() as u64,
        },
    );
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(key), Some(payload)) = (mask, out.get_mut(start..)) {
        apply_mask(payload, key, 0);
    }
}

/// Where the frame ends that offset `sent` falls in; `sent` itself where a frame ends there.
///
/// `bytes` are whole frames without a mask, as [`encode`] appends them, and `sent` of these bytes
/// are on their way: what must still follow before another frame may. Time grows with the number of
/// frames. Where `bytes` are anything else the answer is some offset in `sent..=bytes.len()`.
#[must_use]
pub fn boundary(bytes: &[u8], sent: usize) -> usize {
    let mut at = 0;
    while at < sent {
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok(Some((header, head))) = decode_header(rest) else {
            return bytes.len().max(sent);
        };
        let len = usize::try_from(header.len).unwrap_or(usize::MAX);
        at = at.saturating_add(head).saturating_add(len);
    }
    at.min(bytes.len().max(sent))
}

/// Masks or unmasks (it is the same) a payload, or a piece of it that begins `offset` bytes into
/// the payload (RFC 6455, section 5.3).
#[inline]
pub fn apply_mask(payload: &mut [u8], mut key: [u8; 4], offset: u64) {
    // Turn the key so that it begins with the byte for the first byte here.
    key.rotate_left(usize::try_from(offset % 4).unwrap_or(0));
    // Blocks of a fixed size become vector instructions.
    let wide = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    let (blocks, rest) = payload.as_chunks_mut::<64>();
    for block in blocks {
        mask_words(block, wide);
    }
    let words = rest.len() & !7;
    let (words, rest) = rest.split_at_mut(words);
    mask_words(words, wide);
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Masks whole words.
#[inline]
fn mask_words(bytes: &mut [u8], key: u64) {
    for word in bytes.as_chunks_mut::<8>().0 {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests;

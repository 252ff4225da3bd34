//! The sending half of a connection.

use super::deflate::Compressors;
use super::{CloseCode, Connection, Error, Kind, Misuse};

/// A whole message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: Kind,
    /// The message; for text it must be UTF-8, which is not checked again.
    pub payload: &'a [u8],
    /// Whether to compress where that is agreed and the message is not under the threshold.
    pub compress: bool,
}

impl<'a> Message<'a> {
    /// Text, compressed where that is agreed.
    #[must_use]
    pub const fn text(payload: &'a str) -> Self {
        Self {
            kind: Kind::Text,
            payload: payload.as_bytes(),
            compress: true,
        }
    }

    /// Binary, compressed where that is agreed.
    #[must_use]
    pub const fn binary(payload: &'a [u8]) -> Self {
        Self {
            kind: Kind::Binary,
            payload,
            compress: true,
        }
    }

    /// The same, not compressed.
    #[must_use]
    pub const fn plain(self) -> Self {
        Self {
            compress: false,
            ..self
        }
    }
}

/// A fragment of a message to be sent (RFC 6455, section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// Text or binary, the same for all fragments of a message.
    pub kind: Kind,
    /// The fragment, any number of bytes; may end inside a character.
    pub payload: &'a [u8],
    /// Whether to compress; the first fragment decides for the message.
    pub compress: bool,
    /// The last fragment of the message.
    pub fin: bool,
}

impl Connection {
    /// Appends one message as one frame.
    ///
    /// # Errors
    ///
    /// [`Misuse::Closing`], [`Misuse::Interleaved`], [`Misuse::Mask`].
    pub fn send(
        &mut self,
        message: Message<'_>,
        mask: Option<[u8; 4]>,
        compressors: &mut Compressors,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let _ = (message, mask, compressors, out);
        Ok(())
    }

    /// Appends one fragment of a message as one frame.
    ///
    /// # Errors
    ///
    /// [`Misuse::Closing`], [`Misuse::FragmentKind`], [`Misuse::Mask`].
    pub fn send_fragment(
        &mut self,
        fragment: Fragment<'_>,
        mask: Option<[u8; 4]>,
        compressors: &mut Compressors,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let _ = (fragment, mask, compressors, out);
        Ok(())
    }

    /// Appends a ping, of at most 125 bytes.
    ///
    /// # Errors
    ///
    /// [`Misuse::Closing`], [`Misuse::ControlLength`], [`Misuse::Mask`].
    pub fn ping(
        &mut self,
        payload: &[u8],
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let _ = (payload, mask, out);
        Ok(())
    }

    /// Appends a pong, of at most 125 bytes; also unasked, as a one-way heartbeat (RFC 6455,
    /// section 5.5.3).
    ///
    /// # Errors
    ///
    /// [`Misuse::Closing`], [`Misuse::ControlLength`], [`Misuse::Mask`].
    pub fn pong(
        &mut self,
        payload: &[u8],
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let _ = (payload, mask, out);
        Ok(())
    }

    /// Appends a Close frame, once: a second call, or one after [`Connection::fail`] or after the
    /// peer's Close frame was echoed, appends nothing. A reason of over 123 bytes is cut at a
    /// character; without a code there is no reason.
    pub fn close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        let _ = (code, reason, mask, out);
    }

    /// Appends what the machine owes: one pong (to the newest ping), then the echo of a Close frame.
    pub fn transmit(&mut self, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let _ = (mask, out);
    }

    /// After an error of [`Connection::receive`]: appends the Close frame of its
    /// [`Error::close_code`], unless one was sent before. Nothing is received or sent after it; the
    /// embedder sends what is in `out` and closes the socket.
    pub fn fail(&mut self, error: &Error, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let _ = (error, mask, out);
    }
}

//! The sending half of a connection.

use super::connection::{CONTROL_BYTES_MAX, Context, Phase, Sending};
use super::deflate::{Compressors, Deflater, WindowBits};
use super::frame::{self, Flags, OpCode};
use super::{CloseCode, Connection, Error, Kind, Misuse, Role, close};

/// A whole message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: Kind,
    /// The message; for text it must be UTF-8, which is not checked again.
    pub payload: &'a [u8],
    /// Whether to compress where that is agreed. Without context takeover, messages under
    /// [`Policy::threshold`](super::deflate::Policy::threshold), and those that would not get
    /// shorter, are sent as they are.
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
    /// Whether to compress, as in [`Message`]; the first fragment decides for the message.
    pub compress: bool,
    /// The last fragment of the message.
    pub fin: bool,
}

/// In all of these `mask` is `None` for a server. A client passes four fresh bytes that nobody can
/// guess for every call (RFC 6455, section 10.3). Where a method cannot refuse, a client that passes
/// `None` masks with zeros, which hides nothing, and a server's mask is ignored.
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
        self.check(mask)?;
        if self.sending != Sending::Nothing {
            return Err(Misuse::Interleaved);
        }
        let Message {
            kind,
            payload,
            compress,
        } = message;
        let Some(bits) = self.compresses(compress, payload, compressors) else {
            frame::encode_masked(out, (Flags::FIN, kind.into()), mask, payload);
            return Ok(());
        };
        let mut buffer = compressors.take_buffer();
        if self.sends_with_takeover() {
            self.deflater(bits, compressors)
                .compress(payload, true, &mut buffer);
            frame::encode_masked(out, (Flags::FIN_RSV1, kind.into()), mask, &buffer);
        } else {
            compressors.get(bits).compress(payload, &mut buffer);
            if buffer.len() < payload.len() {
                frame::encode_masked(out, (Flags::FIN_RSV1, kind.into()), mask, &buffer);
            } else {
                frame::encode_masked(out, (Flags::FIN, kind.into()), mask, payload);
            }
        }
        compressors.put_buffer(buffer);
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
        self.check(mask)?;
        let Fragment {
            kind,
            payload,
            compress,
            fin,
        } = fragment;
        let (first, compressed) = match self.sending.message() {
            None => (
                true,
                self.compresses(compress, payload, compressors).is_some(),
            ),
            Some((begun, compressed)) if begun == kind => (false, compressed),
            Some(_) => return Err(Misuse::FragmentKind),
        };
        let opcode = if first {
            kind.into()
        } else {
            OpCode::Continuation
        };
        let flags = Flags {
            fin,
            rsv1: first && compressed,
        };
        if compressed {
            let bits = self.send_window_bits();
            let mut buffer = compressors.take_buffer();
            self.deflater(bits, compressors)
                .compress(payload, fin, &mut buffer);
            frame::encode_masked(out, (flags, opcode), mask, &buffer);
            compressors.put_buffer(buffer);
        } else {
            frame::encode_masked(out, (flags, opcode), mask, payload);
        }
        self.sending = if fin {
            Sending::Nothing
        } else {
            Sending::new(kind, compressed)
        };
        if fin && compressed && !self.sends_with_takeover() {
            self.drop_deflater();
        }
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
        self.control_frame(OpCode::Ping, payload, mask, out)
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
        self.control_frame(OpCode::Pong, payload, mask, out)
    }

    /// Appends a Close frame, once: a second call, or one after [`Connection::fail`] or after the
    /// peer's Close frame was echoed, appends nothing. A reason of over 123 bytes is cut at a
    /// character; without a code there is no reason.
    ///
    /// A pong that is owed goes before it. A fragmented message that is being sent stays unfinished.
    pub fn close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        let after = match self.phase {
            Phase::Open => Phase::CloseSent,
            Phase::CloseReceived => Phase::Closed,
            Phase::CloseSent | Phase::Closed | Phase::Failed => return,
        };
        self.transmit_pong(mask, out);
        self.close_frame(code, reason, mask, out);
        self.phase = after;
        self.stop_sending();
    }

    /// Appends what the machine owes: one pong (to the newest ping), then the echo of a Close frame.
    pub fn transmit(&mut self, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        self.transmit_pong(mask, out);
        if self.phase == Phase::CloseReceived {
            self.close(self.echo, "", mask, out);
        }
    }

    /// After an error of [`Connection::receive`]: appends the Close frame of its
    /// [`Error::close_code`], unless one was sent before. Nothing is received or sent after it; the
    /// embedder sends what is in `out` and closes the socket.
    pub fn fail(&mut self, error: &Error, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        if matches!(
            self.phase,
            Phase::Open | Phase::CloseReceived | Phase::Failed
        ) {
            self.close_frame(Some(error.close_code()), "", mask, out);
        }
        self.stop_receiving(Phase::Closed);
        self.stop_sending();
    }

    fn check(&self, mask: Option<[u8; 4]>) -> Result<(), Misuse> {
        if self.phase != Phase::Open {
            return Err(Misuse::Closing);
        }
        if mask.is_some() != (self.role == Role::Client) {
            return Err(Misuse::Mask);
        }
        Ok(())
    }

    fn control_frame(
        &self,
        opcode: OpCode,
        payload: &[u8],
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        self.check(mask)?;
        if payload.len() > CONTROL_BYTES_MAX {
            return Err(Misuse::ControlLength {
                bytes: payload.len(),
            });
        }
        frame::encode_masked(out, (Flags::FIN, opcode), mask, payload);
        Ok(())
    }

    fn transmit_pong(&mut self, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        if let Some(pong) = self.pong.take() {
            let mask = self.own_mask(mask);
            frame::encode_masked(out, (Flags::FIN, OpCode::Pong), mask, pong.get());
        }
    }

    fn close_frame(
        &self,
        code: Option<CloseCode>,
        reason: &str,
        mask: Option<[u8; 4]>,
        out: &mut Vec<u8>,
    ) {
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend_from_slice(&code.get().to_be_bytes());
            payload.extend_from_slice(close::fitting(reason).as_bytes());
        }
        let mask = self.own_mask(mask);
        frame::encode_masked(out, (Flags::FIN, OpCode::Close), mask, &payload);
    }

    fn own_mask(&self, mask: Option<[u8; 4]>) -> Option<[u8; 4]> {
        (self.role == Role::Client).then(|| mask.unwrap_or_default())
    }

    /// The window to compress a message with, or `None` where it is sent as it is.
    fn compresses(
        &self,
        compress: bool,
        payload: &[u8],
        compressors: &Compressors,
    ) -> Option<WindowBits> {
        self.agreement?;
        let bits = self.send_window_bits();
        // A window of 8 bits cannot be searched: messages would only grow.
        let long = self.sends_with_takeover() || payload.len() >= compressors.policy().threshold;
        (compress && long && bits > WindowBits::MIN).then_some(bits)
    }

    fn send_window_bits(&self) -> WindowBits {
        self.agreement
            .map_or(WindowBits::MAX, |agreement| match self.role {
                Role::Server => agreement.server_window_bits(),
                Role::Client => agreement.client_window_bits(),
            })
    }

    fn sends_with_takeover(&self) -> bool {
        self.agreement.is_some_and(|agreement| match self.role {
            Role::Server => !agreement.server_no_context_takeover(),
            Role::Client => !agreement.client_no_context_takeover(),
        })
    }

    /// The connection's own stream.
    fn deflater(&mut self, bits: WindowBits, compressors: &Compressors) -> &mut Deflater {
        let level = compressors.policy().level;
        let context = self.context.get_or_insert_default();
        context
            .deflater
            .get_or_insert_with(|| Deflater::new(bits, level))
    }

    fn drop_deflater(&mut self) {
        if let Some(context) = &mut self.context {
            context.deflater = None;
        }
        if matches!(
            self.context.as_deref(),
            Some(Context {
                inflater: None,
                deflater: None
            })
        ) {
            self.context = None;
        }
    }

    /// Frees what only sending needs, when no message is sent any more.
    fn stop_sending(&mut self) {
        self.sending = Sending::Nothing;
        self.drop_deflater();
    }
}

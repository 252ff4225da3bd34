//! Messages that are sent in fragments.

use bytes::Bytes;
use parlor_proto::websocket::Kind;

use super::{Compression, Member, SendError, Text};

/// A text message that is sent in fragments (RFC 6455, section 5.4), for those who have not got all
/// of it yet or do not want it in memory; made by [`Member::begin_text`].
///
/// ```
/// # use parlor::{BoxError, Member};
/// # async fn tell(member: Member, mut lines: impl Iterator<Item = String>) -> Result<(), BoxError> {
/// let mut message = member.begin_text()?;
/// for line in lines {
///     message.send(line).await?;
/// }
/// message.finish()?;
/// # Ok(())
/// # }
/// ```
///
/// Each piece is a fragment. A piece is text by itself, so that the message is UTF-8 however it was
/// cut.
///
/// **Others wait.** Between the fragments of one message there may be no other message. What is sent
/// to the member meanwhile, by its handles, in its rooms and to everybody, waits for the end and then
/// goes out in its order. What waits is bounded like an outbox
/// ([`outbox_bytes_max`](crate::Config::outbox_bytes_max), 1 MiB, unless it is one message): past it
/// the client is closed with 1013, and [`Handler::error`](super::Handler::error) is told
/// [`SlowConsumer`](super::ConnectionError::SlowConsumer). Pings and pongs do not wait, and a close
/// does not either: the message stays unfinished then, and what waits is lost.
///
/// **It has to end.** A message that is dropped without [`FragmentedText::finish`] cannot be taken
/// back, so the client is closed with 1011. The same comes of one that gets no fragment for
/// [`outbox_stall`](crate::Config::outbox_stall) (10 s) while the client has taken all of it;
/// [`Handler::error`](super::Handler::error) is told
/// [`Unfinished`](super::ConnectionError::Unfinished).
#[derive(Debug)]
#[must_use = "a message that is not finished ends the connection"]
pub struct FragmentedText(Writer);

/// A binary message that is sent in fragments; made by [`Member::begin_binary`]. All that is said of
/// [`FragmentedText`] is so of it too, but that its pieces are any bytes.
#[derive(Debug)]
#[must_use = "a message that is not finished ends the connection"]
pub struct FragmentedBinary(Writer);

/// One fragment, on its way to the shard.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Tells the messages of a member apart.
    pub(crate) message: u32,
    pub(crate) kind: Kind,
    pub(crate) payload: Bytes,
    pub(crate) compression: Compression,
    pub(crate) fin: bool,
}

impl Fragment {
    /// What it takes on the wire at most, in bytes: a frame's head, and what incompressible bytes
    /// grow by.
    pub(crate) const fn cost(&self) -> usize {
        Self::cost_of(self.payload.len())
    }

    const fn cost_of(len: usize) -> usize {
        len + len / 1024 + 16
    }
}

impl FragmentedText {
    pub(super) const fn new(member: Member, message: u32) -> Self {
        Self(Writer::new(member, message, Kind::Text))
    }

    /// Says whether the message may be compressed, as [`Member::send_with`] does. Counts until the
    /// first fragment is sent.
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.0.compression = compression;
        self
    }

    /// Sends a piece, once the client has taken what was sent to it before as far as that would be
    /// more than [`outbox_bytes_max`](crate::Config::outbox_bytes_max) otherwise. Cancel-safe: where
    /// it is dropped before it is ready, the piece was not sent.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the shard's queue is full, [`SendError::Closed`] where the
    /// connection or the server is. The piece was not sent then.
    pub async fn send(&mut self, piece: impl Into<Text>) -> Result<(), SendError> {
        self.0.send(piece.into().into()).await
    }

    /// The same without waiting.
    ///
    /// # Errors
    ///
    /// As [`FragmentedText::send`]; [`SendError::Full`] also for a slow client.
    pub fn try_send(&mut self, piece: impl Into<Text>) -> Result<(), SendError> {
        self.0.try_send(piece.into().into())
    }

    /// Ends the message, with an empty fragment.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`].
    pub fn finish(self) -> Result<(), SendError> {
        self.finish_with("")
    }

    /// Ends the message with this piece, whether the client is slow or not.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`].
    pub fn finish_with(mut self, piece: impl Into<Text>) -> Result<(), SendError> {
        self.0.finish(piece.into().into())
    }
}

impl FragmentedBinary {
    pub(super) const fn new(member: Member, message: u32) -> Self {
        Self(Writer::new(member, message, Kind::Binary))
    }

    /// As [`FragmentedText::compression`].
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.0.compression = compression;
        self
    }

    /// As [`FragmentedText::send`].
    ///
    /// # Errors
    ///
    /// As [`FragmentedText::send`].
    pub async fn send(&mut self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        self.0.send(piece.into()).await
    }

    /// As [`FragmentedText::try_send`].
    ///
    /// # Errors
    ///
    /// As [`FragmentedText::try_send`].
    pub fn try_send(&mut self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        self.0.try_send(piece.into())
    }

    /// As [`FragmentedText::finish`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`].
    pub fn finish(self) -> Result<(), SendError> {
        self.finish_with(Bytes::new())
    }

    /// As [`FragmentedText::finish_with`].
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`].
    pub fn finish_with(mut self, piece: impl Into<Bytes>) -> Result<(), SendError> {
        self.0.finish(piece.into())
    }
}

/// What both kinds share.
#[derive(Debug)]
struct Writer {
    member: Member,
    message: u32,
    kind: Kind,
    compression: Compression,
    stage: Stage,
    /// Fragments of which the client may not have taken any.
    pending: usize,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No fragment was sent.
    New,
    Begun,
    Finished,
}

impl Writer {
    const fn new(member: Member, message: u32, kind: Kind) -> Self {
        Self {
            member,
            message,
            kind,
            compression: Compression::Agreed,
            stage: Stage::New,
            pending: 0,
        }
    }

    async fn send(&mut self, payload: Bytes) -> Result<(), SendError> {
        if self.is_slow_for(payload.len()) {
            self.member.fragments_flushed()?.await?;
            self.pending = 0;
        }
        self.write(payload, false)
    }

    fn try_send(&mut self, payload: Bytes) -> Result<(), SendError> {
        match self.is_slow_for(payload.len()) {
            true => Err(SendError::Full),
            false => self.write(payload, false),
        }
    }

    /// Whether a fragment of so many bytes might be more than an outbox takes, in bytes or by the
    /// number of frames, of which half are left to what was there before.
    fn is_slow_for(&mut self, len: usize) -> bool {
        let limits = self.member.limits();
        let (bytes_max, frames_max) = (limits.outbox_bytes_max, limits.outbox_messages_max / 2);
        match self.member.on_its_way() {
            0 => {
                self.pending = 0;
                false
            }
            bytes => bytes + Fragment::cost_of(len) > bytes_max || self.pending >= frames_max,
        }
    }

    fn finish(&mut self, payload: Bytes) -> Result<(), SendError> {
        let finished = self.write(payload, true);
        // There is nothing else to be done about it.
        self.stage = Stage::Finished;
        finished
    }

    fn write(&mut self, payload: Bytes, fin: bool) -> Result<(), SendError> {
        self.member.send_fragment(Fragment {
            message: self.message,
            kind: self.kind,
            payload,
            compression: self.compression,
            fin,
        })?;
        self.stage = Stage::Begun;
        self.pending += 1;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.member.end_fragments();
        if self.stage == Stage::Begun {
            self.member.close(1011, UNFINISHED);
        }
    }
}

/// The reason in the Close frame.
pub(crate) const UNFINISHED: &str = "a message was not finished";

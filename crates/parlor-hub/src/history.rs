//! What a room remembers, and how a returning member asks for it.

use crate::message::MessageId;

/// What a joining member has heard before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "both ways to ask are part of the protocol"
)]
pub enum Resume {
    /// Everything up to this message: replay what came after it.
    Since(MessageId),
    /// Nothing: replay the last messages, at most so many and at most what is held.
    Last(u32),
}

/// Something that a returning member asked for is not held any more, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The oldest message still held; none where nothing is.
    pub oldest: Option<MessageId>,
}

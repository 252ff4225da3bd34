//! Bytes that were read and are to be used up.

/// A cursor over bytes from the peer. Payloads are unmasked where they lie, so the bytes behind the
/// cursor are not what came in.
#[derive(Debug)]
pub struct Input<'i> {
    bytes: &'i mut [u8],
    at: usize,
}

impl<'i> Input<'i> {
    /// All of `bytes`, any number.
    #[must_use]
    pub const fn new(bytes: &'i mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether everything is used up.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// How many bytes are not yet used up.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// What is not yet used up.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Uses up to `len` bytes, and says where they lie.
    pub(crate) fn take(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.at;
        self.at = start.saturating_add(len).min(self.bytes.len());
        start..self.at
    }

    /// Bytes that were taken before.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Bytes that were taken before, to be unmasked.
    pub(crate) fn slice_mut(&mut self, range: std::ops::Range<usize>) -> &mut [u8] {
        self.bytes.get_mut(range).unwrap_or_default()
    }
}

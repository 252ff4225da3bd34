//! Bytes that were read from sockets and wait for a later turn.

use std::collections::HashMap;

use parlor_hub::MemberKey;

use super::Connections;
use crate::shard::READ_BYTES;

/// Above so many such bytes of a shard, less is read at once.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// What is read then.
const LITTLE_BYTES: usize = 4 * 1024;

/// What is left of reads, by slot: at most one read of a connection.
#[derive(Debug, Default)]
pub(super) struct Unread {
    rests: HashMap<u32, Vec<u8>>,
    bytes: usize,
}

impl Unread {
    /// What is left of the last read of a connection, if anything is.
    pub(super) fn take(&mut self, slot: u32) -> Option<Vec<u8>> {
        if self.rests.is_empty() {
            return None;
        }
        let rest = self.rests.remove(&slot)?;
        self.bytes -= rest.len();
        Some(rest)
    }
}

impl Connections {
    /// Keeps what its session has left of what was read.
    pub(crate) fn keep_unread(&mut self, key: MemberKey, rest: Vec<u8>) {
        self.unread.take(key.slot);
        self.unread.bytes += rest.len();
        self.unread.rests.insert(key.slot, rest);
    }

    /// What is left of the last read, if anything is.
    pub(crate) fn take_unread(&mut self, key: MemberKey) -> Option<Vec<u8>> {
        self.unread.take(key.slot)
    }

    /// How much is read at once: little while much of what was read waits.
    pub(crate) const fn read_bytes_max(&self) -> usize {
        match self.unread.bytes > BYTES_MAX {
            true => LITTLE_BYTES,
            false => READ_BYTES,
        }
    }
}

//! What was read lately, and the stamps that were in it.
//!
//! In a room all members read the same bytes. What one connection made of them, between two frames
//! and without memory of earlier messages, every other one makes of them too: so they are parsed,
//! unmasked and inflated once, and compared after that. The check of each member's stamps stays.

use super::stamp::Stamp;

/// The last few reads of a test.
#[derive(Debug, Default)]
pub(super) struct Replay {
    reads: [Read; READS],
    oldest: usize,
}

#[derive(Debug, Default)]
struct Read {
    bytes: Vec<u8>,
    /// Which agreement about compression they were read under.
    agreement: u64,
    heard: Hearing,
}

/// The messages of one read.
#[derive(Debug, Clone, Default)]
pub(super) struct Hearing {
    pub(super) stamps: Vec<Stamp>,
    /// Messages without a stamp.
    pub(super) unstamped: u64,
    /// Pings of Engine.IO that want an answer.
    pub(super) pings: u32,
    /// Whether the session of Engine.IO is open, and whether its namespace is.
    pub(super) opens: bool,
    pub(super) joins: bool,
}

impl Hearing {
    pub(super) const fn is_empty(&self) -> bool {
        self.has_no_message() && self.pings == 0 && !self.opens && !self.joins
    }

    pub(super) const fn has_no_message(&self) -> bool {
        self.stamps.is_empty() && self.unstamped == 0
    }

    pub(super) fn clear(&mut self) {
        self.stamps.clear();
        *self = Self {
            stamps: std::mem::take(&mut self.stamps),
            ..Self::default()
        };
    }
}

impl Replay {
    /// What the same bytes meant the last time.
    pub(super) fn find(&self, bytes: &[u8], agreement: u64) -> Option<&Hearing> {
        let same = |read: &&Read| read.agreement == agreement && read.bytes == bytes;
        self.reads
            .iter()
            .find(same)
            .filter(|_| !bytes.is_empty())
            .map(|read| &read.heard)
    }

    /// Keeps bytes that are about to be parsed, in place of the oldest; they mean nothing yet.
    pub(super) fn prepare(&mut self, bytes: &[u8]) {
        let read = &mut self.reads[self.oldest];
        read.agreement = UNKNOWN;
        read.bytes.clear();
        read.bytes.extend_from_slice(bytes);
    }

    /// Says what the prepared bytes meant.
    pub(super) fn keep(&mut self, heard: &Hearing, agreement: u64) {
        let read = &mut self.reads[self.oldest];
        read.agreement = agreement;
        read.heard.clone_from(heard);
        self.oldest = (self.oldest + 1) % READS;
    }
}

/// How many different reads are kept: members are a few batches apart at most.
const READS: usize = 4;
/// No agreement has this number.
pub(super) const UNKNOWN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn hearing(number: u32) -> Hearing {
        let stamp = Stamp {
            test: 1,
            publisher: 2,
            number,
            due: 3,
        };
        Hearing {
            stamps: vec![stamp],
            ..Hearing::default()
        }
    }

    #[test]
    fn the_last_few_reads_are_known() {
        let mut replay = Replay::default();
        assert!(replay.find(b"", UNKNOWN).is_none());
        for number in 0..6_u8 {
            replay.prepare(&[number; 3]);
            assert!(replay.find(&[number; 3], 0).is_none());
            replay.keep(&hearing(u32::from(number)), 0);
        }
        for number in 0..6_u8 {
            let found = replay
                .find(&[number; 3], 0)
                .map(|heard| heard.stamps[0].number);
            assert_eq!(found, (number >= 2).then_some(u32::from(number)));
        }
        assert!(replay.find(&[5; 2], 0).is_none());
        assert!(replay.find(&[5; 3], 1).is_none());
    }
}

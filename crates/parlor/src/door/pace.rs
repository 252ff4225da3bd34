//! How much of what was read a session takes in before others have their turn.

use std::time::{Duration, Instant};

use super::Turn;

/// A session takes in for so long, from the first look at the clock on. What is left of a read, or
/// of a POST, waits for the next turn.
const TIME: Duration = Duration::from_millis(1);
/// Work between two looks at the clock: small messages, or what they have caused in the hub.
const WORK: usize = 64;
/// After a message that was more work than this nothing else is taken in.
const MUCH_WORK: usize = 512;
/// As long a message counts twice, because it was unmasked, inflated or copied.
const MESSAGE_BYTES: usize = 1024;

/// Watches the time while messages are taken in. A read of 64 KiB may hold ten thousand small
/// messages for hundreds of rooms each, or 64 MiB once it is inflated, so bytes alone say little.
#[derive(Debug)]
pub(super) struct Pace {
    left: usize,
    /// Effects that were there at the last message.
    effects: usize,
    until: Option<Instant>,
}

impl Pace {
    /// Begins to take in. The clock is not looked at for the first few messages.
    pub(super) fn new(turn: &Turn<'_>) -> Self {
        Self {
            left: WORK,
            effects: turn.effects.len(),
            until: None,
        }
    }

    /// Whether the time is up, after a message of `len` bytes.
    pub(super) fn is_over(&mut self, len: usize, turn: &Turn<'_>) -> bool {
        let caused = turn.effects.len().saturating_sub(self.effects);
        self.effects = turn.effects.len();
        let work = 1 + len / MESSAGE_BYTES + caused;
        if work > MUCH_WORK {
            return true;
        }
        if let Some(left) = self.left.checked_sub(work) {
            self.left = left;
            return false;
        }
        self.left = WORK;
        let now = Instant::now();
        now >= *self.until.get_or_insert(now + TIME)
    }
}

//! What is logged again and again, because clients can make it happen.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};
use std::time::Instant;

/// Bounds how often one thing is logged: [`LINES_MAX`] times a minute, and each time beyond that at
/// `debug` only.
#[derive(Debug)]
pub(crate) struct Told {
    /// The minute that is counted, above [`COUNT_BITS`] bits of what it has had.
    state: AtomicU64,
}

/// Whether a line may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Log,
    /// And no other of this minute.
    Last,
    Quiet,
}

impl Told {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU64::new(0),
        }
    }

    /// Counts one more, and says whether to log it.
    pub(crate) fn again(&self) -> bool {
        let turn = self.at(START.elapsed().as_secs() / 60);
        if turn == Turn::Last {
            tracing::warn!("such lines come at debug for the rest of the minute");
        }
        turn != Turn::Quiet
    }

    fn at(&self, minute: u64) -> Turn {
        let count = |state: u64| match state >> COUNT_BITS == minute {
            true => (state & COUNT_MASK).saturating_add(1).min(LINES_MAX + 1),
            false => 1,
        };
        let next = |state| Some(minute << COUNT_BITS | count(state));
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        match count(before.unwrap_or_else(|state| state)) {
            LINES_MAX => Turn::Last,
            count if count < LINES_MAX => Turn::Log,
            _ => Turn::Quiet,
        }
    }
}

/// Lines a minute.
const LINES_MAX: u64 = 100;
const COUNT_BITS: u32 = 16;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_lines() {
        let told = Told::new();
        for minute in [0, 1, 7] {
            for line in 1..=1000 {
                let turn = match line {
                    ..100 => Turn::Log,
                    100 => Turn::Last,
                    _ => Turn::Quiet,
                };
                assert_eq!(told.at(minute), turn, "line {line} of minute {minute}");
            }
        }
        assert!(told.again());
    }
}

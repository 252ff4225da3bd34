//! When the next message is due.

use super::report::{Report, grouped};
use super::time::{Nanos, SECOND};

/// How messages follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// So many are under way; the next one is due when one has arrived.
    Window(u64),
    /// So many a second, whatever arrives.
    Rate(u64),
}

/// The messages of a test at a rate, from a beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    begin: Nanos,
    rate: u64,
}

impl Pace {
    /// Enters it into a report, and gives it in words.
    pub(super) fn describe(self, report: &mut Report) -> String {
        let (window, rate) = match self {
            Self::Window(count) => (Some(count), None),
            Self::Rate(count) => (None, Some(count)),
        };
        report.fact("window", window);
        report.fact("rate", rate);
        match self {
            Self::Window(count) => format!("{} under way", grouped(count)),
            Self::Rate(count) => format!("{}/s", grouped(count)),
        }
    }
}

impl Schedule {
    pub(super) const fn new(begin: Nanos, rate: u64) -> Self {
        Self { begin, rate }
    }

    /// When the message of this number, from 0, is due.
    pub(super) fn due(&self, number: u64) -> Nanos {
        let after = (u128::from(number) * u128::from(SECOND)).div_ceil(u128::from(self.rate));
        self.begin
            .saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// How many messages are due at this moment.
    pub(super) fn count(&self, now: Nanos) -> u64 {
        let Some(passed) = now.checked_sub(self.begin) else {
            return 0;
        };
        let whole = u128::from(passed) * u128::from(self.rate) / u128::from(SECOND);
        u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_counted() {
        for rate in [1, 3, 1000, 7_777_777] {
            let schedule = Schedule::new(500, rate);
            assert_eq!(schedule.count(499), 0);
            assert_eq!(schedule.count(500), 1);
            for number in [1, 2, 10, 12_345] {
                let due = schedule.due(number);
                assert!(schedule.count(due) > number, "{rate} {number}");
                assert!(schedule.count(due - 1) <= number, "{rate} {number}");
            }
        }
    }
}

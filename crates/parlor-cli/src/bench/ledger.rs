//! Who has heard what: for each member and publisher, what is missing, repeated or out of order.

use std::collections::HashMap;
use std::ops::Range;

use super::stamp::Stamp;

/// What a message meant to the member that heard it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The next one, or one after a gap.
    New,
    /// One that a later one had overtaken.
    Late,
    /// One that it had heard before.
    Again,
    /// Its own.
    Own,
    /// Nobody's: another test's, or of a publisher that does not exist.
    Foreign,
}

/// The books of one test.
#[derive(Debug)]
pub(super) struct Ledger {
    test: u16,
    publishers: usize,
    /// Whether a member hears itself: in an echo it must, in a room it must not.
    own: Own,
    /// The next number expected, for each member and publisher.
    next: Vec<u32>,
    /// The numbers that were passed over, for the pairs that have any; at most [`GAPS_MAX`] ranges.
    /// What comes late from a gap past that counts as repeated.
    gaps: HashMap<usize, Vec<Range<u32>>>,
    ranges: usize,
    pub(super) delivered: u64,
    /// Passed over so far and not come late.
    pub(super) missing: u64,
    pub(super) repeated: u64,
    pub(super) reordered: u64,
    pub(super) returned: u64,
    pub(super) foreign: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// Each member hears only itself; there is one publisher a member.
    Only,
    /// The first members are the publishers, and nobody hears itself.
    Never,
    /// The publishers are no members: each member hears all of them.
    Apart,
}

impl Ledger {
    pub(super) fn new(test: u16, members: usize, publishers: usize, own: Own) -> Self {
        let pairs = match own {
            Own::Only => members,
            Own::Never | Own::Apart => members * publishers,
        };
        Self {
            test,
            publishers,
            own,
            next: vec![0; pairs],
            gaps: HashMap::new(),
            ranges: 0,
            delivered: 0,
            missing: 0,
            repeated: 0,
            reordered: 0,
            returned: 0,
            foreign: 0,
        }
    }

    /// Enters that a member heard a message.
    pub(super) fn enter(&mut self, member: usize, stamp: Stamp) -> Heard {
        let publisher = usize::from(stamp.publisher);
        if stamp.test != self.test || publisher >= self.publishers {
            self.foreign += 1;
            return Heard::Foreign;
        }
        let pair = match self.own {
            Own::Only if publisher == member => member,
            Own::Only => {
                self.foreign += 1;
                return Heard::Foreign;
            }
            Own::Never if publisher == member => {
                self.returned += 1;
                return Heard::Own;
            }
            Own::Never | Own::Apart => member * self.publishers + publisher,
        };
        let next = self.next[pair];
        if stamp.number < next {
            return self.enter_old(pair, stamp.number);
        }
        if stamp.number > next {
            self.missing += u64::from(stamp.number - next);
            if self.ranges < GAPS_MAX {
                self.ranges += 1;
                let gaps = self.gaps.entry(pair).or_default();
                gaps.push(next..stamp.number);
            }
        }
        self.next[pair] = stamp.number.saturating_add(1);
        self.delivered += 1;
        Heard::New
    }

    fn enter_old(&mut self, pair: usize, number: u32) -> Heard {
        let gaps = self.gaps.get_mut(&pair);
        let found = gaps.and_then(|gaps| {
            let at = gaps.iter().position(|gap| gap.contains(&number))?;
            Some((at, gaps))
        });
        let Some((at, gaps)) = found else {
            self.repeated += 1;
            return Heard::Again;
        };
        let gap = gaps.swap_remove(at);
        let known = gaps.len() + 1;
        let rest = [gap.start..number, number + 1..gap.end];
        gaps.extend(rest.into_iter().filter(|part| !part.is_empty()));
        self.ranges = self.ranges + gaps.len() - known;
        self.missing -= 1;
        self.reordered += 1;
        self.delivered += 1;
        Heard::Late
    }

    /// How many messages never came, when each publisher has sent as many as said.
    pub(super) fn lost(&self, sent: &[u32]) -> u64 {
        let rest = |pair: usize, publisher: usize| {
            u64::from(sent[publisher].saturating_sub(self.next[pair]))
        };
        let tails: u64 = match self.own {
            Own::Only => (0..self.next.len()).map(|pair| rest(pair, pair)).sum(),
            Own::Never | Own::Apart => (0..self.next.len())
                .map(|pair| (pair, pair / self.publishers, pair % self.publishers))
                .filter(|(_, member, publisher)| self.own == Own::Apart || member != publisher)
                .map(|(pair, _, publisher)| rest(pair, publisher))
                .sum(),
        };
        self.missing + tails
    }
}

/// Eight bytes each.
const GAPS_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(publisher: u16, number: u32) -> Stamp {
        Stamp {
            test: 7,
            publisher,
            number,
            due: 0,
        }
    }

    #[track_caller]
    fn check(numbers: &[u32], lost: u64, repeated: u64, reordered: u64) {
        let mut ledger = Ledger::new(7, 3, 1, Own::Never);
        for &number in numbers {
            ledger.enter(1, stamp(0, number));
        }
        // The third member has heard everything.
        (0..10).for_each(|number| _ = ledger.enter(2, stamp(0, number)));
        let found = (ledger.lost(&[10]), ledger.repeated, ledger.reordered);
        assert_eq!(found, (lost, repeated, reordered), "{numbers:?}");
    }

    #[test]
    fn loss_repetition_and_order_are_told_apart() {
        check(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0, 0, 0);
        check(&[], 10, 0, 0);
        check(&[0, 1, 2, 3], 6, 0, 0);
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 1, 0, 0);
        check(&[0, 1, 5, 6, 7, 8, 9], 3, 0, 0);
        check(&[0, 1, 5, 6, 7, 8, 9, 3], 2, 0, 1);
        check(&[0, 1, 5, 6, 7, 8, 9, 3, 3, 2, 4], 0, 1, 3);
        check(&[0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0], 0, 3, 0);
        check(&[9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 0, 0, 9);
    }

    #[test]
    fn own_and_foreign_messages_are_not_deliveries() {
        let mut ledger = Ledger::new(7, 3, 2, Own::Never);
        assert_eq!(ledger.enter(0, stamp(0, 0)), Heard::Own);
        assert_eq!(ledger.enter(0, stamp(1, 0)), Heard::New);
        assert_eq!(ledger.enter(0, stamp(2, 0)), Heard::Foreign);
        assert_eq!(
            ledger.enter(
                0,
                Stamp {
                    test: 8,
                    ..stamp(1, 1)
                }
            ),
            Heard::Foreign
        );
        assert_eq!(
            (ledger.delivered, ledger.returned, ledger.foreign),
            (1, 1, 2)
        );
        // Of one message of each: member 1 lacks publisher 0's, member 2 lacks both.
        assert_eq!(ledger.lost(&[1, 1]), 3);
    }

    #[test]
    fn publishers_that_are_no_members_are_heard_by_all() {
        let mut ledger = Ledger::new(7, 2, 2, Own::Apart);
        assert_eq!(ledger.enter(0, stamp(0, 0)), Heard::New);
        assert_eq!(ledger.enter(1, stamp(0, 0)), Heard::New);
        assert_eq!(ledger.enter(1, stamp(1, 1)), Heard::New);
        assert_eq!(ledger.lost(&[1, 2]), 3);
    }

    #[test]
    fn in_an_echo_each_hears_itself_only() {
        let mut ledger = Ledger::new(7, 2, 2, Own::Only);
        assert_eq!(ledger.enter(1, stamp(1, 0)), Heard::New);
        assert_eq!(ledger.enter(0, stamp(1, 1)), Heard::Foreign);
        assert_eq!(ledger.lost(&[4, 2]), 5);
    }
}

//! What was said in a room, and what one member heard of it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Condvar, Mutex},
    time::Duration,
};

/// How long the log may be behind a member.
const PATIENCE: Duration = Duration::from_secs(20);

/// A message: who said it, and which one of its sender's it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Word {
    pub(crate) publisher: u32,
    pub(crate) number: u32,
}

/// What everybody waits for in the end.
pub(crate) const LAST: Word = Word {
    publisher: u32::MAX,
    number: 0,
};

impl Word {
    /// The text of a message, whose length and letters follow from its name.
    pub(crate) fn text(self) -> String {
        let Self { publisher, number } = self;
        let letter = char::from(b'a' + u8::try_from(number % 26).unwrap_or_default());
        let len = number.wrapping_mul(2_654_435_761) % 2000;
        let padding: String = std::iter::repeat_n(letter, len as usize).collect();
        format!("{publisher}:{number}:{padding}")
    }

    /// Reads what [`Word::text`] wrote; none where anything of it differs.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let word = Self {
            publisher: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        (word.text() == text).then_some(word)
    }
}

/// The room's log: every message in its place, as a member tells that never leaves.
#[derive(Debug, Default)]
pub(crate) struct Log {
    said: Mutex<Said>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    epoch: Option<String>,
    /// By offset less one.
    words: Vec<Word>,
    offsets: HashMap<Word, u64>,
    /// The next number of each publisher.
    next: HashMap<u32, u32>,
}

impl Log {
    /// Adds the next message. Offsets are consecutive, and each sender's messages in its order.
    pub(crate) fn record(&self, epoch: &str, offset: u64, word: Word) {
        let mut said = self.said.lock().unwrap();
        let known = said.epoch.get_or_insert_with(|| epoch.to_owned());
        assert_eq!(known, epoch, "the room is one and the same");
        said.words.push(word);
        assert_eq!(offset, said.words.len() as u64, "offsets are consecutive");
        let before = said.offsets.insert(word, offset);
        assert_eq!(before, None, "{word:?} is there once");
        let next = said.next.entry(word.publisher).or_default();
        assert_eq!(*next, word.number, "{word:?} is in its sender's order");
        *next += 1;
        drop(said);
        self.more.notify_all();
    }

    /// The place of a message, once it has one.
    pub(crate) fn offset_of(&self, word: Word) -> u64 {
        self.wait_for(|said| said.offsets.get(&word).copied())
            .unwrap_or_else(|| unreachable!("{word:?} was heard and never recorded"))
    }

    /// The message at a place, once there is one.
    pub(crate) fn word_at(&self, offset: u64) -> Option<Word> {
        let index = usize::try_from(offset.checked_sub(1)?).ok()?;
        self.wait_for(|said| said.words.get(index).copied())
    }

    /// The id of a place.
    pub(crate) fn id(&self, offset: u64) -> String {
        let epoch = self.wait_for(|said| said.epoch.clone()).unwrap();
        format!("{epoch}-{offset}")
    }

    /// Lets some time pass.
    pub(crate) fn wait(&self, time: Duration) {
        let never = self.said.lock().unwrap();
        let passed = self.more.wait_timeout_while(never, time, |_| true).unwrap();
        drop(passed);
    }

    fn wait_for<T>(&self, find: impl Fn(&Said) -> Option<T>) -> Option<T> {
        let said = self.said.lock().unwrap();
        let said = self
            .more
            .wait_timeout_while(said, PATIENCE, |said| find(said).is_none());
        find(&said.unwrap().0)
    }
}

/// What can be said of members, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) visits: u64,
    /// Visits that the server ended.
    pub(crate) cuts: u64,
    pub(crate) heard: u64,
    /// Messages that did not come and of which no gap was told.
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Messages that came behind a later one.
    pub(crate) reordered: u64,
    /// Messages with another text than that of their place, or with a text that nobody said.
    pub(crate) wrong: u64,
    /// Gaps told.
    pub(crate) gaps: u64,
    /// Messages missed in them.
    pub(crate) missed: u64,
    /// Gaps told where nothing was missing.
    pub(crate) untrue: u64,
}

impl Tally {
    pub(crate) fn is_faultless(&self) -> bool {
        let faults = [
            self.lost,
            self.repeated,
            self.reordered,
            self.wrong,
            self.untrue,
        ];
        faults.iter().all(|count| *count == 0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.visits += other.visits;
        self.cuts += other.cuts;
        self.heard += other.heard;
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.reordered += other.reordered;
        self.wrong += other.wrong;
        self.gaps += other.gaps;
        self.missed += other.missed;
        self.untrue += other.untrue;
    }
}

/// Follows what one member hears.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// The place of the next message; none until something was heard.
    next: Option<u64>,
    /// Places that were passed over and may still come, too late.
    missing: BTreeSet<u64>,
    pub(crate) tally: Tally,
}

impl Checker {
    /// The last place that was heard of.
    pub(crate) fn last(&self) -> Option<u64> {
        self.next.map(|next| next - 1)
    }

    /// The member comes as one that was never there.
    pub(crate) fn begin_anew(&mut self) {
        self.next = None;
        self.missing.clear();
    }

    /// It is told of a gap: the oldest place that is held, if any is.
    pub(crate) fn gap(&mut self, oldest: Option<u64>) {
        self.tally.gaps += 1;
        match (self.next, oldest) {
            (Some(next), Some(oldest)) if oldest > next => {
                self.tally.missed += oldest - next;
                self.next = Some(oldest);
            }
            (_, Some(_)) => self.tally.untrue += 1,
            (_, None) => self.next = None,
        }
    }

    /// It hears the message of a place.
    pub(crate) fn hear(&mut self, offset: u64) {
        self.tally.heard += 1;
        let next = *self.next.get_or_insert(offset);
        if offset < next {
            if self.missing.remove(&offset) {
                self.tally.lost -= 1;
                self.tally.reordered += 1;
            } else {
                self.tally.repeated += 1;
            }
            return;
        }
        self.missing.extend(next..offset);
        self.tally.lost += offset - next;
        self.next = Some(offset + 1);
    }

    /// It hears nothing more, though this was the last place.
    pub(crate) fn end(&mut self, last: u64) {
        if let Some(next) = self.next {
            self.tally.lost += (last + 1).saturating_sub(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a member hears: a place, or a gap.
    enum Note {
        Hears(u64),
        Gap(Option<u64>),
    }
    use Note::{Gap, Hears};

    fn tally(notes: impl IntoIterator<Item = Note>, last: u64) -> Tally {
        let mut checker = Checker::default();
        for note in notes {
            match note {
                Hears(offset) => checker.hear(offset),
                Gap(oldest) => checker.gap(oldest),
            }
        }
        checker.end(last);
        checker.tally
    }

    #[test]
    fn a_faultless_member_has_no_faults() {
        let told = tally((5..=9).map(Hears), 9);
        assert!(told.is_faultless(), "{told:?}");
        let told = tally([Hears(1), Gap(Some(4)), Hears(4), Hears(5)], 5);
        assert!(told.is_faultless(), "{told:?}");
        assert_eq!((told.gaps, told.missed), (1, 2));
        let told = tally([Hears(1), Gap(None), Hears(7)], 7);
        assert!(told.is_faultless(), "{told:?}");
    }

    /// Whatever single thing goes wrong is counted, and as what it is.
    #[test]
    fn every_fault_is_found() {
        for at in 1..10_usize {
            let offset = at as u64 + 1;
            let heard = || (1..=10).collect::<Vec<u64>>();
            let told = |heard: Vec<u64>| tally(heard.into_iter().map(Hears), 10);
            let mut lost = heard();
            lost.remove(at);
            assert_eq!(told(lost).lost, 1, "{offset}");
            let mut repeated = heard();
            repeated.insert(at, offset - 1);
            let repeated = told(repeated);
            assert_eq!((repeated.repeated, repeated.lost), (1, 0));
            let mut swapped = heard();
            swapped.swap(at - 1, at);
            // The very first message is where a member begins.
            let swapped = told(swapped);
            assert!(!swapped.is_faultless());
            assert!(at == 1 || swapped.reordered == 1, "{swapped:?}");
        }
        // A gap that is told where there is none, and one that is not told.
        assert_eq!(tally([Hears(1), Gap(Some(2)), Hears(2)], 2).untrue, 1);
        assert_eq!(tally([Hears(1), Hears(4)], 4).lost, 2);
        // A gap of less than what is missing.
        assert_eq!(tally([Hears(1), Gap(Some(3)), Hears(5)], 5).lost, 2);
        // The end never came.
        assert_eq!(tally([Hears(1)], 4).lost, 3);
    }

    #[test]
    fn a_text_that_nobody_said_is_no_word() {
        for number in [0, 1, 77, 4_000_000_000] {
            let word = Word {
                publisher: 3,
                number,
            };
            let text = word.text();
            assert_eq!(Word::parse(&text), Some(word));
            assert_eq!(Word::parse(&format!("{text}x")), None);
            assert_eq!(
                Word::parse(&text.replacen("3:", "4:", 1)).map(|w| w == word),
                Some(false)
            );
        }
        assert_eq!(Word::parse(""), None);
        assert_eq!(Word::parse("1:2"), None);
    }
}

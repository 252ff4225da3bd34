//! Deadlines of connections: a hierarchical timing wheel of 1 ms resolution.
//!
//! One deadline per slab slot, linked through an array that is as long as the slab, so that an
//! idle connection costs 16 bytes and no timer object. Times are milliseconds since the shard
//! started.

const NONE: u32 = u32::MAX;
const LEVELS: usize = 4;
const BITS: u32 = 8;
const SLOTS: usize = 1 << BITS;

/// The list links of one slab slot.
#[derive(Debug, Clone, Copy)]
struct Link {
    next: u32,
    previous: u32,
    /// 0: no deadline is set.
    due: u64,
}

const UNSET: Link = Link {
    next: NONE,
    previous: NONE,
    due: 0,
};

/// A timing wheel: level `n` has 256 buckets of 256^n ms, so it spans 49 days.
#[derive(Debug)]
pub(crate) struct Wheel {
    links: Vec<Link>,
    buckets: Vec<u32>,
    occupied: [[u64; SLOTS / 64]; LEVELS],
    /// All deadlines up to here have been handed out.
    now: u64,
    len: usize,
}

impl Wheel {
    /// A wheel that stands at 0 ms.
    pub(crate) fn new() -> Self {
        Self {
            links: Vec::new(),
            buckets: vec![NONE; LEVELS * SLOTS],
            occupied: [[0; SLOTS / 64]; LEVELS],
            now: 0,
            len: 0,
        }
    }

    /// Sets the deadline of `slot`, in place of the one it had. A deadline that has passed is due
    /// in the next millisecond.
    pub(crate) fn set(&mut self, slot: u32, due: u64) {
        let index = slot as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, UNSET);
        }
        self.unlink(slot);
        self.links[index].due = due.max(self.now + 1);
        self.len += 1;
        self.link(slot);
    }

    /// Sets the deadline of `slot` unless it has an earlier one.
    pub(crate) fn set_earlier(&mut self, slot: u32, due: u64) {
        match self.links.get(slot as usize) {
            Some(link) if link.due != 0 && link.due <= due => {}
            _ => self.set(slot, due),
        }
    }

    /// Takes the deadline of `slot` away.
    pub(crate) fn clear(&mut self, slot: u32) {
        if (slot as usize) < self.links.len() {
            self.unlink(slot);
        }
    }

    /// Moves to `now` and appends the slots whose deadline has come, in order of time.
    pub(crate) fn advance(&mut self, now: u64, expired: &mut Vec<u32>) {
        while self.now < now {
            let Some(next) = self.next_stop().filter(|&next| next <= now) else {
                self.now = now;
                return;
            };
            self.now = next;
            for level in (1..LEVELS).rev() {
                if next.trailing_zeros() >= shift_of(level) {
                    self.cascade(level);
                }
            }
            self.expire(expired);
        }
    }

    /// When [`Wheel::advance`] has something to do next, at the latest; `None` without deadlines.
    pub(crate) fn next_stop(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let mut best: Option<u64> = None;
        for level in 0..LEVELS {
            let shift = shift_of(level);
            let position = self.now >> shift;
            if let Some(distance) = self.distance(level, position) {
                let stop = (position + distance) << shift;
                best = Some(best.map_or(stop, |best| best.min(stop)));
            }
        }
        best
    }

    /// Buckets from `position` (not counting it) to the next occupied one of `level`, 1 to 256.
    fn distance(&self, level: usize, position: u64) -> Option<u64> {
        let words = &self.occupied[level];
        if words.iter().all(|word| *word == 0) {
            return None;
        }
        (1..=SLOTS as u64).find(|distance| {
            let bucket = bucket_of(position + distance);
            words[bucket / 64] >> (bucket % 64) & 1 == 1
        })
    }

    fn expire(&mut self, expired: &mut Vec<u32>) {
        let mut slot = self.take(0, bucket_of(self.now));
        while slot != NONE {
            let link = &mut self.links[slot as usize];
            let next = link.next;
            *link = UNSET;
            self.len -= 1;
            expired.push(slot);
            slot = next;
        }
    }

    /// Spreads the bucket that begins now over the finer levels.
    fn cascade(&mut self, level: usize) {
        let shift = shift_of(level);
        let mut slot = self.take(level, bucket_of(self.now >> shift));
        while slot != NONE {
            let next = self.links[slot as usize].next;
            self.link(slot);
            slot = next;
        }
    }

    fn take(&mut self, level: usize, bucket: usize) -> u32 {
        self.occupied[level][bucket / 64] &= !(1 << (bucket % 64));
        std::mem::replace(&mut self.buckets[level * SLOTS + bucket], NONE)
    }

    fn place(&self, due: u64) -> (usize, usize) {
        let ahead = due.saturating_sub(self.now);
        let mut level = 0;
        while level + 1 < LEVELS && ahead >> shift_of(level + 1) != 0 {
            level += 1;
        }
        (level, bucket_of(due >> shift_of(level)))
    }

    fn link(&mut self, slot: u32) {
        let (level, bucket) = self.place(self.links[slot as usize].due);
        let head = std::mem::replace(&mut self.buckets[level * SLOTS + bucket], slot);
        self.occupied[level][bucket / 64] |= 1 << (bucket % 64);
        let link = &mut self.links[slot as usize];
        link.next = head;
        link.previous = NONE;
        if head != NONE {
            self.links[head as usize].previous = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let link = self.links[slot as usize];
        if link.due == 0 {
            return;
        }
        self.len -= 1;
        if link.next != NONE {
            self.links[link.next as usize].previous = link.previous;
        }
        if link.previous == NONE {
            self.unlink_head(slot, link.next);
        } else {
            self.links[link.previous as usize].next = link.next;
        }
        self.links[slot as usize] = UNSET;
    }

    /// The slot heads a bucket: which one follows from its deadline, whatever time it is now,
    /// except for the level, so each level's candidate is tried.
    fn unlink_head(&mut self, slot: u32, next: u32) {
        let due = self.links[slot as usize].due;
        for level in 0..LEVELS {
            let bucket = bucket_of(due >> shift_of(level));
            let head = &mut self.buckets[level * SLOTS + bucket];
            if *head == slot {
                *head = next;
                if next == NONE {
                    self.occupied[level][bucket / 64] &= !(1 << (bucket % 64));
                }
                return;
            }
        }
    }
}

/// How many bits a position at `level` is coarser than a millisecond.
#[expect(clippy::cast_possible_truncation, reason = "there are four levels")]
const fn shift_of(level: usize) -> u32 {
    BITS * level as u32
}

/// The bucket of a position within its level: its lowest eight bits.
#[expect(clippy::cast_possible_truncation, reason = "masked to eight bits")]
const fn bucket_of(position: u64) -> usize {
    (position & (SLOTS as u64 - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(wheel: &mut Wheel, until: u64, step: u64) -> Vec<(u64, u32)> {
        let mut out = Vec::new();
        let mut now = wheel.now;
        while now < until {
            now = (now + step).min(until);
            let mut expired = Vec::new();
            wheel.advance(now, &mut expired);
            out.extend(expired.into_iter().map(|slot| (now, slot)));
        }
        out
    }

    #[test]
    fn expires_at_the_millisecond() {
        for due in [
            1, 2, 255, 256, 257, 511, 65_535, 65_536, 70_000, 16_777_216, 20_000_000,
        ] {
            let mut wheel = Wheel::new();
            wheel.set(3, due);
            let mut expired = Vec::new();
            wheel.advance(due - 1, &mut expired);
            assert!(expired.is_empty(), "{due} came early");
            wheel.advance(due, &mut expired);
            assert_eq!(expired, [3], "{due}");
            assert_eq!(wheel.next_stop(), None);
        }
    }

    #[test]
    fn the_next_stop_is_never_late() {
        let mut wheel = Wheel::new();
        let mut seed = 7_u64;
        for slot in 0..500 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            wheel.set(slot, 1 + (seed >> 33) % 200_000);
        }
        let mut count = 0;
        while let Some(stop) = wheel.next_stop() {
            let mut expired = Vec::new();
            let dues: Vec<u64> = wheel.links.iter().map(|link| link.due).collect();
            wheel.advance(stop, &mut expired);
            for slot in &expired {
                assert_eq!(dues[*slot as usize], stop);
            }
            count += expired.len();
        }
        assert_eq!(count, 500);
    }

    #[test]
    fn a_cleared_or_moved_deadline_does_not_come() {
        let mut wheel = Wheel::new();
        for slot in 0..10 {
            wheel.set(slot, 300);
        }
        wheel.clear(4);
        wheel.clear(9);
        wheel.set(5, 40);
        wheel.set_earlier(6, 9000);
        wheel.set_earlier(7, 20);
        let mut order = run(&mut wheel, 400, 1);
        order.sort_unstable();
        assert_eq!(
            order,
            [
                (20, 7),
                (40, 5),
                (300, 0),
                (300, 1),
                (300, 2),
                (300, 3),
                (300, 6),
                (300, 8)
            ]
        );
    }

    #[test]
    fn a_large_step_hands_out_everything() {
        let mut wheel = Wheel::new();
        for slot in 0..1000 {
            wheel.set(slot, u64::from(slot) * 977 + 1);
        }
        assert_eq!(run(&mut wheel, 1_000_000, 333_333).len(), 1000);
        assert_eq!(wheel.len, 0);
    }
}

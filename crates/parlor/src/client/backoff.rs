//! How long to wait before the next attempt.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Exponential backoff with full jitter: attempt `n` (from 0) waits a random time between nothing
/// and `first * 2^n`, at most `longest`.
///
/// Clients that lose their server at the same moment come back evenly spread over `first`, and over
/// twice, four times … as long while it stays away: the accept rate of `n` clients stays around
/// `n / first`.
///
/// That holds for many clients of one process too. What comes due while the process is held up, by
/// the loss of all the other connections for instance, would be attempted at one moment when it goes
/// on. So an attempt of the window's first third that is over 20 ms late is put off, once, by one
/// window more: it keeps its place in the spread, behind all the others. One that is late by over a
/// quarter of the window is put off whenever it was due, by as many windows as it takes to be in the
/// future. So a wait takes at most four thirds of a window, and longer only where the process was
/// held up for over a quarter of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// The window of the first wait: 1 s.
    pub first: Duration,
    /// The widest window: 30 s.
    pub longest: Duration,
    /// After so many attempts in a row without a connection that lasted as long as `settled` the
    /// end; `None`, the default, never.
    pub attempts_max: Option<u32>,
    /// A connection that lasted so long counts as good, and the next wait is from the first window
    /// again: 10 s.
    pub settled: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            attempts_max: None,
            settled: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The longest wait before an attempt, counted from 0.
    #[must_use]
    pub fn window(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// A wait before an attempt, for a random number; it begins now.
    pub(crate) fn begin(&self, attempt: u32, random: u32, at_least: Duration) -> Wait {
        let (window, jitter) = (self.window(attempt), self.wait(attempt, random));
        let time = at_least.saturating_add(jitter);
        Wait {
            time,
            until: far_from(Instant::now(), time),
            window,
            part: if jitter < window / 3 {
                Part::Early
            } else {
                Part::Late
            },
        }
    }

    fn wait(&self, attempt: u32, random: u32) -> Duration {
        let window = self.window(attempt);
        window.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// A wait before an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// How long it is, unless the process is held up.
    pub(crate) time: Duration,
    until: Instant,
    /// By how much the attempt may still be put off.
    window: Duration,
    /// Where in its window it is.
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Early,
    Late,
}

/// An attempt that is later than this is put off.
const LATE: Duration = Duration::from_millis(20);

impl Wait {
    /// No wait.
    pub(crate) fn none() -> Self {
        Self {
            time: Duration::ZERO,
            until: Instant::now(),
            window: Duration::ZERO,
            part: Part::Late,
        }
    }

    /// Waits. Cancel-safe: called again, it goes on.
    pub(crate) async fn end(&mut self) {
        loop {
            sleep_until(self.until).await;
            match self.again(Instant::now()) {
                Some(until) => self.until = until,
                None => return,
            }
        }
    }

    /// When the attempt is to be made, where now is too late for it.
    fn again(&mut self, now: Instant) -> Option<Instant> {
        let window = std::mem::take(&mut self.window);
        let late = now.saturating_duration_since(self.until);
        let is_late = match self.part {
            Part::Early => late > LATE,
            Part::Late => late > LATE && late > window / 4,
        };
        if !is_late || window.is_zero() {
            return None;
        }
        let into = late.as_nanos() % window.as_nanos();
        let into = Duration::from_nanos(u64::try_from(into).unwrap_or(u64::MAX));
        Some(far_from(now, window.saturating_sub(into)))
    }
}

/// A time from now, however long; never is in a year.
fn far_from(now: Instant, time: Duration) -> Instant {
    now + time.min(Duration::from_secs(365 * 86_400))
}

/// Random numbers for waits and masks, drawn from the system some at a time.
#[derive(Debug, Default)]
pub(crate) struct Random {
    pool: Vec<u8>,
}

/// Bytes drawn at once.
const POOL_BYTES: usize = 512;

impl Random {
    /// Bytes that nobody can guess.
    ///
    /// A system without randomness gives zeros: a mask of zeros hides nothing from a proxy
    /// (RFC 6455, section 10.3), but what is sent stays right.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        if self.pool.len() < N {
            self.pool.resize(POOL_BYTES.max(N), 0);
            if let Err(error) = getrandom::fill(&mut self.pool) {
                tracing::warn!(%error, "no randomness");
            }
        }
        let rest = self.pool.split_off(self.pool.len() - N);
        std::array::from_fn(|i| rest.get(i).copied().unwrap_or_default())
    }

    pub(crate) fn number(&mut self) -> u32 {
        u32::from_ne_bytes(self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let windows: Vec<u64> = (0..7).map(|n| backoff.window(n).as_secs()).collect();
        assert_eq!(windows, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.window(u32::MAX), backoff.longest);
    }

    /// The most of some moments, in milliseconds, within a second.
    fn busiest(moments: &[u64]) -> usize {
        let mut moments = moments.to_vec();
        moments.sort_unstable();
        let within =
            |(at, from): (usize, &u64)| moments.partition_point(|own| *own < from + 1000) - at;
        moments
            .iter()
            .enumerate()
            .map(within)
            .max()
            .unwrap_or_default()
    }

    /// When 10,000 clients of one process connect that lose their server at one moment, in
    /// milliseconds: without and with putting off. The process takes `busy` to see all losses, and
    /// then each timer is late by up to `late`.
    fn attempts((busy, late): (u64, u64), first: Duration) -> [Vec<u64>; 2] {
        const CLIENTS: u32 = 10_000;
        let backoff = Backoff {
            first,
            ..Backoff::default()
        };
        let begin = Instant::now();
        let at = |millis: u64| begin + Duration::from_millis(millis);
        let since = |moment: Instant| {
            u64::try_from(moment.saturating_duration_since(begin).as_millis()).unwrap()
        };
        let mut attempts = [Vec::new(), Vec::new()];
        for client in 0..CLIENTS {
            // Evenly spread and in no order, the same in each run.
            let random = client.wrapping_mul(0x9e37_79b9);
            let late = Duration::from_millis(late * u64::from(client % 101) / 100);
            let mut wait = backoff.begin(0, random, Duration::ZERO);
            wait.until = at(busy * u64::from(client) / u64::from(CLIENTS)) + wait.time;
            let woken = wait.until.max(at(busy)) + late;
            attempts[0].push(since(woken));
            let again = wait.again(woken).map(|again| again + late);
            attempts[1].push(since(again.unwrap_or(woken)));
        }
        attempts
    }

    #[test]
    fn a_process_that_was_held_up_makes_no_storm() {
        // How long the process is held up, how late it is afterwards, the window; how many come in
        // the busiest second, all at once and as it is, and when the last one comes.
        for (held_up, first, at_once, busiest_now, last) in [
            ((0, 0), 5, 2000, 2010, 5000),
            ((500, 0), 5, 2450, 2050, 5500),
            ((1500, 0), 5, 3400, 2050, 6500),
            ((2500, 50), 5, 4400, 2050, 9200),
            ((4000, 0), 5, 5900, 3100, 9000),
            ((20_000, 0), 5, 9000, 2450, 25_000),
            ((1500, 100), 5, 3400, 2050, 8200),
            ((0, 100), 5, 2000, 2020, 6800),
            ((0, 900), 5, 2000, 2020, 7600),
        ] {
            let [bunched, spread] = attempts(held_up, Duration::from_secs(first));
            let found = (busiest(&bunched), busiest(&spread), spread.iter().max());
            assert!(
                found.0 >= at_once && found.1 <= busiest_now && found.2 <= Some(&last),
                "{held_up:?} {first}: {found:?}"
            );
        }
    }

    #[test]
    fn an_attempt_is_put_off_once_and_only_when_late() {
        let backoff = Backoff::default();
        let second = Duration::from_secs(1);
        let check = |(random, late): (u32, Duration), again: Option<Duration>| {
            let mut wait = backoff.begin(0, random, second);
            let now = wait.until + late;
            assert_eq!(wait.again(now), again.map(|again| now + again), "{late:?}");
            assert_eq!(wait.again(now + second), None, "{late:?}");
        };
        let (early, due_late) = (u32::MAX / 4, u32::MAX / 4 * 3);
        check((early, LATE), None);
        check((early, second / 10), Some(second / 10 * 9));
        for random in [early, due_late] {
            check((random, Duration::ZERO), None);
            check((random, second / 2), Some(second / 2));
            check((random, second), Some(second));
            check((random, second * 100 + second / 4), Some(second * 3 / 4));
        }
        check((due_late, second / 4), None);
        let mut at_once = Wait::none();
        assert_eq!(at_once.again(at_once.until + second), None);
    }

    #[test]
    fn waits_are_spread_over_the_whole_window() {
        let backoff = Backoff::default();
        assert_eq!(backoff.wait(1, 0), Duration::ZERO);
        assert_eq!(backoff.wait(1, u32::MAX), Duration::from_secs(2));
        let mut random = Random::default();
        let mut tenths = [0_u32; 10];
        for _ in 0..10_000 {
            let wait = backoff.wait(0, random.number()).as_millis();
            tenths[usize::try_from(wait / 100).unwrap().min(9)] += 1;
        }
        assert!(tenths.iter().all(|n| (800..1200).contains(n)), "{tenths:?}");
    }
}

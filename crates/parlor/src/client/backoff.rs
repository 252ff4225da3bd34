//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter: attempt `n` (from 0) waits a random time between nothing
/// and `first * 2^n`, at most `longest`.
///
/// Clients that lose their server at the same moment come back evenly spread over `first`, and over
/// twice, four times … as long while it stays away: the accept rate of `n` clients stays around
/// `n / first`.
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

    /// A wait before an attempt, for a random number.
    pub(crate) fn wait(&self, attempt: u32, random: u32) -> Duration {
        let window = self.window(attempt);
        window.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
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

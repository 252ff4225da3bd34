//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter: each wait is drawn from zero to a bound that doubles, so
/// that clients that were lost together do not come back together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait, drawn with `random`.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let doubled = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        doubled
            .min(LAST)
            .mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// It has worked for a while: the next wait is short again.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

const FIRST: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_to_half_a_minute() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u128> = (0..9).map(|_| backoff.next(u32::MAX).as_millis()).collect();
        let expected = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        assert_eq!(bounds, expected);
        (0..100).for_each(|_| assert!(backoff.next(u32::MAX) <= LAST));
        assert_eq!(backoff.next(0), Duration::ZERO);
        assert_eq!(backoff.next(u32::MAX / 2).as_secs(), 14);
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX), FIRST);
    }
}

//! Counts of values in buckets of at most 0.8 % width, so that quantiles of millions of latencies
//! take a few kilobytes.

/// A histogram of `u64` values: exact below 128, then 128 buckets for each power of two.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; bucket(u64::MAX) + 1],
            total: 0,
            max: 0,
        }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
    }

    pub(super) const fn max(&self) -> u64 {
        self.max
    }

    /// The value that this many of a thousand values do not exceed, rounded up to its bucket's end;
    /// 0 where there are no values.
    pub(super) fn per_mille(&self, share: u64) -> u64 {
        let wanted = u128::from(self.total) * u128::from(share);
        let mut seen = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            seen += u128::from(count);
            if count > 0 && seen * 1000 >= wanted {
                return last_value(index).min(self.max);
            }
        }
        self.max
    }
}

/// Values of `bits` bits, for more bits than 7, share a bucket where their first 8 bits are equal.
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    let index = (u64::from(shift) << BITS) + (value >> shift);
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn last_value(index: usize) -> u64 {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    let shift = (index >> BITS).saturating_sub(1);
    let first_bits = index - (shift << BITS);
    ((first_bits + 1) << shift).wrapping_sub(1)
}

const BITS: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut last = 0;
        for bit in 0..64 {
            for value in [1_u64 << bit, (1 << bit) | (1 << bit) >> 1, (1 << bit) - 1] {
                let end = last_value(bucket(value));
                assert!(end >= value, "{value} ends at {end}");
                assert!(end - value <= value / 128, "{value} ends at {end}");
            }
            assert!(bucket(1 << bit) >= last);
            last = bucket(1 << bit);
        }
        assert_eq!(last_value(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.per_mille(500), 0);
        (1..=1000).for_each(|value| histogram.record(value));
        for (share, exact) in [(500, 500), (900, 900), (990, 990), (999, 999), (1000, 1000)] {
            let value = histogram.per_mille(share);
            assert!(
                value >= exact && value <= exact + exact / 128,
                "{share}: {value}"
            );
        }
        assert_eq!((histogram.total, histogram.max()), (1000, 1000));
    }
}

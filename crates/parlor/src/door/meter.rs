//! How much one member may send.

/// Rates that a member may keep up; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) messages_per_second: usize,
    pub(crate) bytes_per_second: usize,
}

/// What one member may still send: a bucket for messages and one for bytes, each filled by its
/// rate and holding two seconds of it.
#[derive(Debug)]
pub(crate) struct Meter {
    messages: u64,
    bytes: u64,
    /// When the buckets were last filled: milliseconds of the shard's clock.
    filled: u64,
}

/// A unit of the buckets: a thousandth of a message or byte, since they are filled by the
/// millisecond.
const UNIT: u64 = 1000;

impl Meter {
    /// A full meter; none where nothing is limited.
    pub(crate) fn new(rates: Rates, message_bytes_max: usize, now: u64) -> Option<Box<Self>> {
        let unlimited = rates == Rates::default();
        (!unlimited).then(|| {
            let (messages, bytes) = rates.burst(message_bytes_max);
            Box::new(Self {
                messages,
                bytes,
                filled: now,
            })
        })
    }

    /// Takes a message of `len` bytes. False where that is over a rate.
    pub(crate) fn take(
        &mut self,
        len: usize,
        now: u64,
        rates: Rates,
        message_bytes_max: usize,
    ) -> bool {
        let elapsed = now.saturating_sub(self.filled);
        self.filled = now;
        let (messages_max, bytes_max) = rates.burst(message_bytes_max);
        let fill = |rate: usize| elapsed.saturating_mul(rate as u64);
        self.messages = self
            .messages
            .saturating_add(fill(rates.messages_per_second))
            .min(messages_max);
        self.bytes = self
            .bytes
            .saturating_add(fill(rates.bytes_per_second))
            .min(bytes_max);
        let bytes = (len as u64).saturating_mul(UNIT);
        let messages = if rates.messages_per_second == 0 {
            0
        } else {
            UNIT
        };
        let bytes = if rates.bytes_per_second == 0 {
            0
        } else {
            bytes
        };
        if self.messages < messages || self.bytes < bytes {
            return false;
        }
        self.messages -= messages;
        self.bytes -= bytes;
        true
    }
}

impl Rates {
    /// What the two buckets hold at most; that of bytes always holds one permitted message.
    fn burst(self, message_bytes_max: usize) -> (u64, u64) {
        let two_seconds = |rate: usize| (rate as u64).saturating_mul(2 * UNIT);
        let one_message = (message_bytes_max as u64).saturating_mul(UNIT);
        (
            two_seconds(self.messages_per_second),
            two_seconds(self.bytes_per_second).max(one_message),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_two_seconds_and_then_the_rate() {
        let rates = Rates {
            messages_per_second: 10,
            bytes_per_second: 0,
        };
        let mut meter = Meter::new(rates, 100, 0).unwrap();
        assert!((0..20).all(|_| meter.take(50, 0, rates, 100)));
        assert!(!meter.take(50, 0, rates, 100));
        assert!(!meter.take(50, 99, rates, 100));
        assert!(meter.take(50, 100, rates, 100));
        assert!(!meter.take(50, 150, rates, 100));
    }

    #[test]
    fn bytes_have_a_bucket_of_their_own() {
        let rates = Rates {
            messages_per_second: 0,
            bytes_per_second: 10,
        };
        let mut meter = Meter::new(rates, 1000, 0).unwrap();
        assert!(
            meter.take(1000, 0, rates, 1000),
            "one permitted message always fits"
        );
        assert!(!meter.take(1, 0, rates, 1000));
        assert!(meter.take(10, 1000, rates, 1000));
        assert!(!meter.take(11, 2000, rates, 1000));
    }

    #[test]
    fn an_hour_of_silence_is_no_larger_burst() {
        let rates = Rates {
            messages_per_second: 10,
            bytes_per_second: 100,
        };
        for (len, burst) in [(0, 20), (50, 4)] {
            let mut meter = Meter::new(rates, 100, 0).unwrap();
            let taken = (0..100).filter(|_| meter.take(len, 3_600_000, rates, 100));
            assert_eq!(taken.count(), burst);
        }
    }

    #[test]
    fn nothing_is_metered_without_a_rate() {
        assert!(Meter::new(Rates::default(), 1000, 0).is_none());
    }
}

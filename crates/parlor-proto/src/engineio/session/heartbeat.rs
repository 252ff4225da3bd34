//! The signs of life of the other end.

use std::time::Duration;

use super::millis;
use crate::engineio::{Options, Version};

/// A timer that is served this late, in milliseconds, counts as served in time: what it starts is
/// measured from when it was due, so that lateness does not add up. A later one is measured from
/// now, so that a server that stood still does not end the sessions of clients that did not.
const LATENESS_MAX: u64 = 10;

/// What is waited for, and until when: the deadline, and in the lowest bit whether a ping is to be
/// sent then, and not the session to be ended (version 4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat(u64);

impl Heartbeat {
    /// From the opening, or from a sign of life.
    pub(super) fn new(version: Version, options: &Options, now: u64) -> Self {
        let wait = match version {
            Version::V4 => options.ping_interval,
            Version::V3 => options.ping_interval.saturating_add(options.ping_timeout),
        };
        let Self(end) = Self::until(now, wait);
        Self(end | u64::from(version == Version::V4))
    }

    /// The end, after some time.
    pub(super) fn until(now: u64, wait: Duration) -> Self {
        let deadline = now.saturating_add(millis(wait));
        Self(deadline.min(u64::MAX >> 1) << 1)
    }

    pub(super) const fn deadline(self) -> u64 {
        self.0 >> 1
    }

    /// At the deadline: what to wait for after a ping; none where the session ends instead.
    pub(super) fn ping(self, options: &Options, now: u64) -> Option<Self> {
        let deadline = self.deadline();
        let late = now.saturating_sub(deadline);
        let start = if late <= LATENESS_MAX { deadline } else { now };
        let pings = self.0 & 1 == 1;
        pings.then(|| Self::until(start, options.ping_timeout))
    }
}

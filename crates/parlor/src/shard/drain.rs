//! The end of a shard: every client is told, spread over a while, and then it is over.

use std::time::{Duration, Instant};

use super::{Shard, connections::Stage};
use crate::{door::CloseReason, metrics::End};

/// How often the pace is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// A shard that is ending.
#[derive(Debug)]
pub(super) struct Draining {
    began: Instant,
    window: Duration,
    /// Connections there were, and how many of them have been told.
    total: usize,
    told: usize,
    /// The first slot that has not been looked at.
    next: usize,
    /// When whatever is left is cut.
    deadline: Instant,
}

impl Draining {
    /// How many are to have been told by now: the first at once, the last before the window ends.
    fn due(&self, elapsed: Duration) -> usize {
        let (elapsed, window) = (elapsed.as_nanos(), self.window.as_nanos());
        if elapsed >= window {
            return usize::MAX;
        }
        let share = (self.total as u128).saturating_mul(elapsed) / window;
        usize::try_from(share)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }

    /// When the shard is to look again.
    pub(super) fn wake_at(&self) -> Instant {
        self.deadline.min(Instant::now() + LOOK)
    }
}

impl Shard {
    /// Stops accepting, and begins to tell every member goodbye.
    pub(super) fn stop(&mut self) {
        if self.draining.is_some() {
            return;
        }
        self.acceptor = None;
        self.http.stop();
        let (began, window) = (Instant::now(), self.settings.drain);
        let force = Duration::from_millis(self.connections.limits.close_ms);
        self.draining = Some(Draining {
            began,
            window,
            total: self.connections.len(),
            told: 0,
            next: 0,
            deadline: began + window + force,
        });
    }

    /// Tells as many as are due. A connection without a session has nothing to be told.
    pub(super) fn drain(&mut self) {
        let Some(mut draining) = self.draining.take() else {
            return;
        };
        let due = draining.due(draining.began.elapsed());
        while draining.told < due && draining.next < self.connections.hot.len() {
            let Ok(slot) = u32::try_from(draining.next) else {
                break;
            };
            draining.next += 1;
            let key = self.connections.key(slot);
            match &self.connections.cold[slot as usize].stage {
                Stage::Head(_) => self.end(key, End::ShuttingDown),
                Stage::Undecided(_) => self.refuse_waiting(key),
                Stage::Open(_) => {
                    self.close(key, CloseReason::ShuttingDown);
                    draining.told += 1;
                }
                // Its member is told.
                Stage::Trial(_) => {}
                Stage::Free | Stage::Linger => {}
            }
        }
        if draining.next >= self.connections.hot.len() {
            draining.next = usize::MAX;
        }
        self.draining = Some(draining);
    }

    /// Whether the shard was told to stop and has nothing left, or no time. While other shards
    /// have connections it goes on: rooms of theirs have their home here.
    pub(super) fn is_done(&self) -> bool {
        self.draining.as_ref().is_some_and(|draining| {
            let handled = self.calls.is_empty() && !self.local.is_busy();
            let empty = self.connections.len() == 0 && self.http.len() == 0 && handled;
            let mut others = self.mailboxes.iter();
            let over = empty && !self.owes() && others.all(|mailbox| mailbox.connections() == 0);
            over || Instant::now() >= draining.deadline
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_last_before_the_end() {
        let now = Instant::now();
        let draining = |total, window| Draining {
            began: now,
            window: Duration::from_millis(window),
            total,
            told: 0,
            next: 0,
            deadline: now,
        };
        for (total, window, elapsed, expected) in [
            (10, 1000, 0, 1),
            (10, 1000, 99, 1),
            (10, 1000, 100, 2),
            (10, 1000, 899, 9),
            (10, 1000, 900, 10),
            (10, 1000, 1000, usize::MAX),
            (0, 1000, 0, 1),
            (10, 0, 0, usize::MAX),
        ] {
            let due = draining(total, window).due(Duration::from_millis(elapsed));
            assert_eq!(due, expected, "{total} {window} {elapsed}");
        }
    }
}

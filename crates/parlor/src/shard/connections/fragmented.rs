//! Connections to which a message is sent in fragments.

use parlor_hub::MemberKey;

use super::{Connections, SERVED, Stage};
use crate::door::{CloseReason, Fragmented};

impl Connections {
    /// What waits for the end of such a message.
    pub(crate) fn fragmented(&mut self, key: MemberKey) -> Option<&mut Fragmented> {
        if !self.is_current(key) || self.hot[key.slot as usize].flags & SERVED == 0 {
            return None;
        }
        match &mut self.cold[key.slot as usize].stage {
            Stage::Open(Some(session)) => session.fragmented(),
            _ => None,
        }
    }

    /// Counts what waits among the unsent bytes, within the bound of an outbox. False where nothing
    /// was ever sent in fragments.
    pub(crate) fn note_held(&mut self, key: MemberKey) -> bool {
        let Some(held) = self.fragmented(key).map(|waiting| waiting.held_bytes()) else {
            return false;
        };
        self.hold(key, held);
        if held > self.limits.outbox.bytes_max {
            self.doom(key, CloseReason::SlowConsumer);
        }
        true
    }

    /// When the message is late that is not finished. While the client takes what was sent of it
    /// the time does not run.
    pub(crate) fn unfinished(&mut self, key: MemberKey) -> Option<u64> {
        let heard = self.fragmented(key)?.heard()?;
        let since = match self.cold[key.slot as usize].outbox {
            Some(_) => self.now,
            None => heard,
        };
        Some(since + self.limits.stall_ms)
    }
}

//! Deadlines of connections: heads that are late, peers that are silent, goodbyes that nobody answers.

use parlor_hub::MemberKey;

use super::{
    Shard,
    connections::{CONNECTING, PINGED, READY, Stage, UNREAD},
    life::millis,
};
use crate::{
    door::{CloseReason, Heartbeat, Then},
    metrics::{End, Refused},
    policy::Refusal,
};

/// A peer that may not be judged now is looked at again after so many milliseconds.
const LATER_MS: u64 = 1000;

impl Shard {
    /// Looks at the connections whose deadline has come.
    pub(super) fn expire(&mut self) {
        let mut expired = std::mem::take(&mut self.expired);
        self.connections
            .wheel
            .advance(self.connections.now, &mut expired);
        for slot in expired.drain(..) {
            let key = self.connections.key(slot);
            match &self.connections.cold[slot as usize].stage {
                // What the embedder decides has a deadline of its own.
                Stage::Free | Stage::Undecided(_) => {}
                Stage::Head(_) => {
                    self.connections
                        .send(key, &Refusal::TIMEOUT.to_response(), 1);
                    self.connections.counters.refused(Refused::Timeout);
                    self.linger(key, End::Peer);
                }
                Stage::Trial(_) | Stage::Linger => self.end(key, End::Peer),
                Stage::Open(_) => self.check_on(key),
            }
        }
        self.expired = expired;
    }

    /// Whether a member still reads and answers; sets its next deadline.
    fn check_on(&mut self, key: MemberKey) {
        let now = self.connections.now;
        let connecting = self.connections.hot[key.slot as usize].flags & CONNECTING != 0;
        let cold = &self.connections.cold[key.slot as usize];
        let stall_ms = self.connections.limits.stall_ms;
        let stall = cold
            .outbox
            .as_ref()
            .filter(|_| !connecting)
            .map(|outbox| outbox.progress + stall_ms);
        if stall.is_some_and(|stall| stall <= now) {
            return self.connections.doom(key, CloseReason::SlowConsumer);
        }
        let unfinished = self.connections.unfinished(key);
        if unfinished.is_some_and(|due| due <= now) {
            return self.connections.doom(key, CloseReason::Unfinished);
        }
        let stall = stall.into_iter().chain(unfinished).min();
        let Stage::Open(Some(session)) = &self.connections.cold[key.slot as usize].stage else {
            return;
        };
        let due = match session.heartbeat() {
            Heartbeat::Ask => self.ask(key),
            Heartbeat::Tell(interval) => Some(self.tell_heartbeat(key, interval)),
            Heartbeat::Deadline => return self.connections.doom(key, CloseReason::Late),
            Heartbeat::At(due) => self.keep_time(key, due),
        };
        if let Some(due) = due.filter(|_| self.connections.is_current(key)) {
            self.connections
                .wheel
                .set(key.slot, stall.map_or(due, |stall| stall.min(due)));
        }
    }

    /// Lets a session do what is due. Returns when to look again.
    fn keep_time(&mut self, key: MemberKey, due: u64) -> Option<u64> {
        let now = self.connections.now;
        if due > now {
            return Some(due);
        }
        let flags = self.connections.hot[key.slot as usize].flags;
        // What the peer has said is heard first, and a stall of ours is not its silence.
        if flags & UNREAD != 0 {
            return Some(now + LATER_MS);
        }
        if flags & READY != 0 || now < self.lenient_until {
            return Some(self.lenient_until.max(now + 1));
        }
        self.call(key, |session, turn| session.timeout(turn));
        if !self.connections.is_current(key) {
            return None;
        }
        match &self.connections.cold[key.slot as usize].stage {
            Stage::Open(Some(session)) => match session.heartbeat() {
                Heartbeat::At(due) => Some(due.max(now + 1)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Asks a silent peer for a sign of life, or gives it up. Returns when to look again.
    fn ask(&mut self, key: MemberKey) -> Option<u64> {
        let now = self.connections.now;
        let interval = millis(self.settings.ping_interval);
        let silence = interval + millis(self.settings.ping_timeout);
        let flags = self.connections.hot[key.slot as usize].flags;
        let heard = self.connections.cold[key.slot as usize].heard;
        if flags & PINGED == 0 && heard + interval <= now {
            self.connections.hot[key.slot as usize].flags |= PINGED;
            // The time to answer counts from here.
            self.connections.cold[key.slot as usize].heard = now - interval;
            self.beat(key);
            return Some(now - interval + silence);
        }
        if flags & PINGED == 0 {
            return Some(heard + interval);
        }
        if heard + silence > now {
            return Some(heard + silence);
        }
        // While we do not read, or have stalled ourselves, its silence proves nothing.
        if flags & (UNREAD | READY) != 0 || now < self.lenient_until {
            return Some(now + LATER_MS);
        }
        self.connections.doom(key, CloseReason::Silent);
        None
    }

    /// Sends something to a peer that cannot answer.
    fn tell_heartbeat(&mut self, key: MemberKey, interval: u64) -> u64 {
        let now = self.connections.now;
        let last = self.connections.cold[key.slot as usize].heard;
        if last + interval <= now {
            self.connections.cold[key.slot as usize].heard = now;
            self.beat(key);
            return now + interval;
        }
        last + interval
    }

    fn beat(&mut self, key: MemberKey) {
        self.call(key, |session, turn| {
            session.beat(turn);
            Then::Continue
        });
    }
}

//! How connections begin and end.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parlor_hub::{MemberKey, ShardId};
use rustix::fd::{AsFd, OwnedFd};

use super::{
    Mail, Shard,
    accept::Newcomer,
    connections::{APART, BACKLOG, CLOSING, CONNECTING, OWN_FORM, PartialHead, Stage, TIMED},
};
use crate::{
    door::{self, CloseReason, Heartbeat, News, Opened, Then, Turn},
    embed::engineio::Ruling,
    front::{self, Classified, Head},
    metrics::{Door, End, Refused},
    policy::{Policy, Refusal},
};

impl Shard {
    /// Accepts what waits, and deals it to the shards with the fewest connections.
    pub(super) fn accept(&mut self) {
        let now = self.connections.now;
        let Some(acceptor) = &mut self.acceptor else {
            return;
        };
        acceptor.retry(now);
        if !acceptor.is_ready() {
            return;
        }
        let count: usize = self
            .mailboxes
            .iter()
            .map(|mailbox| mailbox.connections())
            .sum();
        let room = self.settings.connections_max.saturating_sub(count);
        let counters = &mut self.connections.counters;
        for newcomer in acceptor.accept(now, room, counters) {
            let own = usize::from(self.id.0);
            let least = (0..self.mailboxes.len())
                .min_by_key(|shard| (self.mailboxes[*shard].connections(), *shard != own))
                .unwrap_or(own);
            self.mailboxes[least].expect_connection();
            if least == own {
                self.welcome(newcomer);
            } else {
                self.outgoing[least].mail.push(Mail::Socket(newcomer));
            }
        }
    }

    /// Takes in an accepted socket, which has its head deadline from here.
    pub(super) fn welcome(&mut self, newcomer: Newcomer) {
        if self.draining.is_some() {
            return;
        }
        match self.connections.insert(newcomer) {
            Ok(key) => {
                let due = self.connections.now + millis(self.settings.head_timeout);
                self.connections.wheel.set(key.slot, due);
            }
            Err(error) => tracing::warn!(%error, "cannot watch a socket"),
        }
    }

    /// Takes back sockets from the HTTP path whose next request is a door's.
    pub(super) fn take_back(&mut self) {
        if !self.http.has_news() {
            return;
        }
        for (taken, place) in self.http.take() {
            if self.draining.is_some() {
                continue;
            }
            let socket = taken.stream.into_std().map(OwnedFd::from);
            let newcomer = socket.map(|socket| Newcomer { socket, place });
            let inserted = newcomer.and_then(|newcomer| self.connections.insert(newcomer));
            if let Ok(key) = inserted {
                let due = self.connections.now + millis(self.settings.head_timeout);
                self.connections.wheel.set(key.slot, due);
                self.open_claimed(key, &mut Vec::from(taken.read), taken.head_len);
                if self.connections.is_current(key) {
                    self.list_ready(key);
                }
            }
        }
    }

    /// Opens the door that has claimed the head at the start of `bytes`.
    fn open_claimed(&mut self, key: MemberKey, bytes: &mut [u8], head_len: usize) {
        let mut fields = front::fields();
        let limits = &self.settings.http_limits.head;
        let head = bytes
            .get(..head_len)
            .map(|head| front::read_head(head, limits, &mut fields));
        let opened = match head {
            Some(Ok(head)) => self.open(key, &head),
            Some(Err(_)) | None => None,
        };
        match opened {
            Some(Opened::Elsewhere(shard)) => self.pass(key, shard, bytes),
            Some(opened) => self.admit(key, opened, bytes.get_mut(head_len..).unwrap_or_default()),
            None => self.end(key, End::Broken),
        }
    }

    /// Looks at the first bytes of a connection: those kept in `partial`, then `bytes`.
    pub(super) fn head(
        &mut self,
        key: MemberKey,
        partial: Option<Box<PartialHead>>,
        bytes: &mut [u8],
    ) {
        let mut partial = partial.unwrap_or_default();
        if partial.bytes.is_empty() {
            // Nothing was heard yet, so this is when it was accepted.
            partial.since = self.connections.cold[key.slot as usize].heard;
            if let Some(scan) = self.look_at_head(key, bytes, &partial) {
                partial.bytes.extend_from_slice(bytes);
                partial.scan = scan;
                self.keep_head(key, partial);
            }
            return;
        }
        partial.bytes.extend_from_slice(bytes);
        let mut whole = std::mem::take(&mut partial.bytes);
        if let Some(scan) = self.look_at_head(key, &mut whole, &partial) {
            partial.bytes = whole;
            partial.scan = scan;
            self.keep_head(key, partial);
        }
    }

    fn keep_head(&mut self, key: MemberKey, partial: Box<PartialHead>) {
        self.connections.cold[key.slot as usize].stage = Stage::Head(Some(partial));
    }

    /// Routes a head that is complete. Otherwise tells where to go on looking.
    fn look_at_head(
        &mut self,
        key: MemberKey,
        bytes: &mut [u8],
        partial: &PartialHead,
    ) -> Option<front::HeadScan> {
        let mut scan = partial.scan;
        let mut fields = front::fields();
        let limits = &self.settings.http_limits.head;
        let (opened, used) = match front::classify(bytes, &mut scan, limits, &mut fields) {
            Classified::Incomplete => return Some(scan),
            Classified::Http => (None, 0),
            Classified::Door(head) => (self.open(key, &head), head.used),
        };
        match opened {
            Some(Opened::Elsewhere(shard)) => self.pass(key, shard, bytes),
            Some(opened) => self.admit(key, opened, bytes.get_mut(used..).unwrap_or_default()),
            None => self.hand_over(key, bytes, partial.since),
        }
        None
    }

    /// Opens the door that a head asks for.
    fn open(&mut self, key: MemberKey, head: &Head<'_, '_>) -> Option<Opened> {
        let settings = Arc::clone(&self.settings);
        self.open_from(key, head, (&settings.policy, None), None)
    }

    /// The same, for a client that comes from elsewhere than its socket says, or about whose request
    /// the embedder has decided. A panic there is answered with 500.
    pub(super) fn open_from(
        &mut self,
        key: MemberKey,
        head: &Head<'_, '_>,
        (policy, ruling): (&Policy, Option<Ruling>),
        peer: Option<SocketAddr>,
    ) -> Option<Opened> {
        self.reply.clear();
        let mut turn = Turn {
            key,
            now: self.connections.now,
            hub: &mut self.hub,
            effects: &mut self.effects,
            reply: &mut self.reply,
            tools: &mut self.tools,
            stalled: false,
        };
        let connections = &self.connections;
        let peer = || peer.unwrap_or_else(|| connections.peer(key));
        let opened = catch_unwind(AssertUnwindSafe(|| {
            door::open(head, (policy, ruling), peer, &mut turn)
        }));
        opened.unwrap_or_else(|_| {
            self.connections.counters.panicked();
            self.hub.disconnect(key, &mut self.effects);
            let refusal = Refusal::new(500, "internal error");
            self.reply.clear();
            self.reply.extend_from_slice(&refusal.to_response());
            Some(Opened::Refused(Refused::of_door(refusal.status)))
        })
    }

    /// Sends a door's answer, and lets its session have the bytes behind the head.
    pub(super) fn admit(&mut self, key: MemberKey, opened: Opened, rest: &mut [u8]) {
        let (session, form) = match opened {
            Opened::Session { session, form } => (session, form),
            Opened::Trial { owner, agreement } => {
                self.send_reply(key);
                self.begin_trial(key, owner, |session, turn| {
                    session.begin_trial(agreement, turn)
                });
                if !rest.is_empty() && self.connections.is_current(key) {
                    self.hear_trial(key, owner, rest);
                }
                return;
            }
            Opened::Undecided(undecided) => return self.begin_waiting(key, *undecided, rest),
            // The connection was passed on.
            Opened::Elsewhere(_) => return,
            Opened::Refused(reason) => {
                let peer = self.connections.peer(key);
                tracing::debug!(%peer, reason = reason.as_str(), "request refused");
                self.connections.counters.refused(reason);
                self.send_reply(key);
                return self.linger(key, End::Peer);
            }
        };
        let caller = session.caller().cloned();
        if caller.is_none() {
            self.count_opened(key, session.door());
        }
        let hot = &mut self.connections.hot[key.slot as usize];
        hot.door = session.door();
        match form {
            Some(form) => hot.form = form,
            None => hot.flags |= OWN_FORM,
        }
        let interval = match session.heartbeat() {
            Heartbeat::Ask => millis(self.settings.ping_interval),
            Heartbeat::Tell(interval) => interval,
            Heartbeat::Deadline => millis(self.settings.head_timeout),
            Heartbeat::At(due) => {
                self.connections.hot[key.slot as usize].flags |= TIMED;
                due.saturating_sub(self.connections.now)
            }
        };
        let timed = self.connections.hot[key.slot as usize].flags & TIMED != 0;
        self.connections.cold[key.slot as usize].heard = self.connections.now;
        self.connections.cold[key.slot as usize].stage = Stage::Open(Some(session));
        self.connections
            .wheel
            .set(key.slot, self.connections.now + interval);
        match caller {
            Some(caller) => self.begin_serving(key, &caller),
            None if timed => self.call_start(key),
            None => self.send_reply(key),
        }
        self.perform();
        if !rest.is_empty() {
            self.call(key, |session, turn| session.receive(rest, turn));
        }
    }

    fn send_reply(&mut self, key: MemberKey) {
        let reply = std::mem::take(&mut self.reply);
        self.connections.send(key, &reply, 1);
        self.reply = reply;
    }

    /// Hands a connection over to the HTTP path, where the deadline of its head goes on.
    fn hand_over(&mut self, key: MemberKey, bytes: &[u8], since: u64) {
        let age = Duration::from_millis(self.connections.now.saturating_sub(since));
        let place = self.connections.take_place(key);
        let Some(socket) = self.connections.remove(key) else {
            return;
        };
        let newcomer = Newcomer { socket, place };
        let read = Bytes::copy_from_slice(bytes);
        let result = self.connections.poll.forget(newcomer.socket.as_fd());
        self.connections.counters.opened(Door::Http);
        if let Err(error) = result.and_then(|()| self.http.serve(newcomer, read, age)) {
            tracing::warn!(%error, "cannot hand a socket over");
            self.connections.counters.closed(Door::Http, End::Broken);
        }
    }

    /// Passes a connection on to the shard that has what its request is about.
    fn pass(&mut self, key: MemberKey, shard: ShardId, bytes: &[u8]) {
        let place = self.connections.take_place(key);
        let Some(socket) = self.connections.remove(key) else {
            return;
        };
        if let Err(error) = self.connections.poll.forget(socket.as_fd()) {
            return tracing::warn!(%error, "cannot pass a socket on");
        }
        let newcomer = Newcomer { socket, place };
        let to = usize::from(shard.0);
        self.mailboxes[to].expect_connection();
        self.outgoing[to].bytes += bytes.len();
        let letter = Mail::Passed(newcomer, Bytes::copy_from_slice(bytes));
        self.outgoing[to].mail.push(letter);
    }

    /// Takes in a connection whose request is about something of this shard's.
    pub(super) fn take_passed(&mut self, newcomer: Newcomer, read: Bytes) {
        if self.draining.is_some() {
            return;
        }
        match self.connections.insert(newcomer) {
            Ok(key) => {
                let due = self.connections.now + millis(self.settings.head_timeout);
                self.connections.wheel.set(key.slot, due);
                self.head(key, None, &mut Vec::from(read));
                if self.connections.is_current(key) {
                    self.list_ready(key);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot watch a socket"),
        }
    }

    /// The socket has room again.
    pub(super) fn writable(&mut self, key: MemberKey) {
        let Some(dropped) = self.connections.drain(key) else {
            return;
        };
        if matches!(
            self.connections.cold[key.slot as usize].stage,
            Stage::Linger
        ) {
            self.connections.shut(key);
        }
        for (room, count) in dropped {
            self.tell(key, &News::Dropped { room, count });
        }
        if self.connections.is_open(key) {
            self.call(key, |session, turn| {
                session.writable(turn);
                Then::Continue
            });
        }
    }

    /// The peer has ended its side, or the connection broke.
    pub(super) fn end(&mut self, key: MemberKey, end: End) {
        self.end_trial(key);
        self.count_end(key, end);
        self.part(key, end);
        self.drop_trial(key);
        if self.keep_member(key) {
            return;
        }
        self.hub.disconnect(key, &mut self.effects);
        drop(self.connections.remove(key));
        self.perform();
    }

    /// Counts a connection that a door has taken in.
    pub(super) fn count_opened(&mut self, key: MemberKey, door: Door) {
        self.connections.counters.opened(door);
        let (shard, MemberKey { slot, generation }) = (self.id.0, key);
        // A session that is polled has no socket, and is told with its requests.
        let peer = || {
            let peer = self.connections.peer(key);
            (!peer.ip().is_unspecified()).then(|| tracing::field::display(peer))
        };
        tracing::debug!(
            shard,
            slot,
            generation,
            door = door.as_str(),
            peer = peer(),
            "connection opened"
        );
    }

    /// Counts the end of a connection that a door has taken in, once.
    fn count_end(&mut self, key: MemberKey, end: End) {
        let index = key.slot as usize;
        if self.connections.is_current(key)
            && self.connections.hot[index].flags & CONNECTING == 0
            && let Stage::Open(session) = &self.connections.cold[index].stage
            && !session.as_ref().is_some_and(|session| session.has_ended())
        {
            let door = self.connections.hot[index].door;
            self.connections.counters.closed(door, end);
            let (shard, MemberKey { slot, generation }) = (self.id.0, key);
            tracing::debug!(
                shard,
                slot,
                generation,
                door = door.as_str(),
                reason = end.as_str(),
                "connection closed"
            );
        }
    }

    /// Counts what has ended on the HTTP path.
    pub(super) fn count_http(&mut self) {
        for end in self.http.ended() {
            self.connections.counters.closed(Door::Http, end);
        }
    }

    /// Our goodbye is said: the member is gone, the bytes on their way are given time.
    pub(super) fn linger(&mut self, key: MemberKey, end: End) {
        if self.connections.is_plain(key) {
            return self.end(key, end);
        }
        self.end_trial(key);
        self.count_end(key, end);
        self.part(key, end);
        if self.keep_member(key) {
            return;
        }
        self.hub.disconnect(key, &mut self.effects);
        let index = key.slot as usize;
        self.connections.cold[index].stage = Stage::Linger;
        self.connections.hot[index].flags |= CLOSING;
        let due = self.connections.now + self.connections.limits.close_ms;
        self.connections.wheel.set(key.slot, due);
        if self.connections.hot[index].flags & BACKLOG == 0 {
            self.connections.shut(key);
        }
    }

    /// Keeps a member whose client may come back, without its socket. False where it goes.
    fn keep_member(&mut self, key: MemberKey) -> bool {
        if !self.connections.is_current(key) || self.draining.is_some() {
            return false;
        }
        let stays = match &self.connections.cold[key.slot as usize].stage {
            Stage::Open(Some(session)) if session.stays() => session.heartbeat(),
            _ => return false,
        };
        let Heartbeat::At(due) = stays else {
            return false;
        };
        self.connections.strip(key);
        self.connections.wheel.set(key.slot, due);
        self.perform();
        true
    }

    /// Both sides have said goodbye.
    pub(super) fn finish(&mut self, key: MemberKey) {
        // A stream has a goodbye of its own below ours, such as that of TLS.
        if self.connections.hot[key.slot as usize].flags & (BACKLOG | APART) == 0 {
            self.end(key, End::Peer);
        } else {
            self.linger(key, End::Peer);
        }
    }

    /// Closes the connections whose end was found while others were served.
    pub(super) fn reap(&mut self) {
        while let Some(key) = self.connections.largest_backlog() {
            self.connections.doom(key, CloseReason::SlowConsumer);
            self.close_doomed();
        }
        self.close_doomed();
    }

    fn close_doomed(&mut self) {
        while let Some((key, reason)) = self.connections.doomed.pop() {
            if self.connections.is_current(key) {
                self.close(key, reason);
            }
        }
    }

    /// Ends a connection from our side.
    pub(super) fn close(&mut self, key: MemberKey, reason: CloseReason) {
        if reason == CloseReason::Silent {
            self.tell_silent(key);
        }
        if reason.is_gone() {
            return self.end(key, reason.into());
        }
        let session = match &self.connections.cold[key.slot as usize].stage {
            Stage::Open(Some(session)) => session,
            // It has been told, and has its deadline.
            Stage::Linger => return,
            _ => {
                return self.end(key, reason.into());
            }
        };
        // Its last words are taken in whatever waits before them.
        self.connections.hot[key.slot as usize].flags |= CLOSING;
        if reason == CloseReason::SlowConsumer {
            // The session is out of the slab while the backlog is walked with its help.
            let Stage::Open(session) = std::mem::replace(
                &mut self.connections.cold[key.slot as usize].stage,
                Stage::Open(None),
            ) else {
                return;
            };
            if let Some(session) = &session {
                self.connections
                    .discard_backlog(key, |frames, sent| session.boundary(frames, sent));
            }
            self.connections.cold[key.slot as usize].stage = Stage::Open(session);
        } else {
            let _ = session;
        }
        drop(self.connections.end_connecting(key));
        self.call(key, |session, turn| {
            session.close(reason, turn);
            Then::Linger(reason.into())
        });
    }
}

/// A duration of the configuration in milliseconds of the shard's clock.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX / 4)
        .min(u64::MAX / 4)
}

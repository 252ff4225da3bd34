//! One pass of the shard's loop.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use mio::{Events, Token};
use parlor_hub::MemberKey;

use super::{
    Mail, Shard,
    accept::Acceptor,
    connections::{
        self, APART, BACKLOG, PINGED, PLAIN, READ_CLOSED, READY, Read, SERVED, Stage, TIMED, UNREAD,
    },
    poll::PollSet,
};
use crate::{
    door::{CloseReason, Heartbeat, Session, Then, Turn},
    metrics::{End, Held, Traffic},
};

/// The token of the mailbox's waker.
pub(super) const WAKER: Token = Token(usize::MAX);

/// A turn that takes longer counts as a stall of ours: nobody is called silent for it.
const STALL_MS: u64 = 100;
/// For so long deadlines are put off while there is more to read than fits into a turn.
const EXPIRY_PUT_OFF_MS: u64 = 500;
/// For so long a turn reads from connections that always have more.
const HEAVY_SLICE: Duration = Duration::from_millis(4);
/// So long after the answer to its request a session says the first thing, in a send of its own:
/// a client that begins to listen once it has read the answer has time for that.
const BEGIN_AFTER: Duration = Duration::from_micros(40);
/// A reply buffer above this is given back.
const KEEP_BYTES: usize = 64 * 1024;

/// A turn under way.
#[derive(Debug)]
pub(super) struct Begun {
    /// When it began: milliseconds of the shard's clock.
    at: u64,
    /// More events wait than were taken.
    filled: bool,
}

impl Shard {
    /// The first half of a turn: takes in what is ready, and what the hub makes of it.
    pub(super) fn take_in(&mut self, events: &mut Events) -> Begun {
        let at = self.look_at_clock();
        let filled = PollSet::filled(events);
        self.hub_due = self.hub.tick(at, &mut self.effects);
        self.perform();
        self.take_events(events);
        self.take_mail();
        self.take_local();
        self.take_back();
        self.count_http();
        self.accept();
        self.read_ready();
        self.begin();
        self.call_handlers();
        // Those whose bytes wait are heard first; but there may be no end of them.
        if !filled || at >= self.expired_at + EXPIRY_PUT_OFF_MS {
            self.expired_at = at;
            self.expire();
        }
        self.drain();
        Begun { at, filled }
    }

    /// The second half: gives out what others are to hear. True where more could be done at once.
    pub(super) fn give_out(&mut self, begun: &Begun) -> bool {
        self.post();
        self.flush();
        self.reap();
        // What was kept in this turn may be the first that is to be forgotten.
        self.hub_due = self.hub.tick(self.connections.now, &mut self.effects);
        let taken = self.look_at_clock() - begun.at;
        if taken > STALL_MS {
            self.note_slow(taken);
            self.lenient_until = self.connections.now + taken;
        }
        let count = self.connections.len() + self.http.len();
        self.mailboxes[usize::from(self.id.0)].tell_connections(count);
        let accepting = self.acceptor.as_ref().is_some_and(Acceptor::is_ready);
        // What is not read because another shard is behind is looked at again after a while.
        let more = self.has_ready() || !self.calls.is_empty();
        let readable = more && !self.is_congested();
        let left = accepting || std::mem::take(&mut self.mail_left) || readable;
        begun.filled || left || self.owes()
    }

    /// How long there is nothing to do until a session begins; nothing where none does.
    pub(super) fn begins_in(&self) -> Option<Duration> {
        let (_, since) = self.tools.beginning.front()?;
        Some(BEGIN_AFTER.saturating_sub(since.elapsed()))
    }

    /// Whether something waits to be performed, posted or flushed: those cut at the end of a turn
    /// leave rooms, and nobody else may wake the shard for it.
    pub(super) fn owes(&self) -> bool {
        !self.effects.is_empty()
            || !self.unflushed.is_empty()
            || !self.broadcasts.is_empty()
            || self.outgoing.iter().any(|to| !to.mail.is_empty())
    }

    fn look_at_clock(&mut self) -> u64 {
        let elapsed = Instant::now().duration_since(self.start).as_millis();
        self.connections.now = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.connections.now
    }

    fn take_events(&mut self, events: &mut Events) {
        for event in &*events {
            if event.token() == WAKER {
                continue;
            }
            if let Some(acceptor) = &mut self.acceptor
                && acceptor.notice(event.token())
            {
                continue;
            }
            let key = connections::key_of(event.token());
            if !self.connections.is_current(key) {
                continue;
            }
            if event.is_read_closed() || event.is_error() {
                self.connections.hot[key.slot as usize].flags |= READ_CLOSED;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.list_ready(key);
            }
            if event.is_writable() {
                self.writable(key);
            }
        }
        events.clear();
    }

    /// Notes that a connection is to be read.
    pub(super) fn list_ready(&mut self, key: MemberKey) {
        let hot = &mut self.connections.hot[key.slot as usize];
        if hot.flags & READY == 0 {
            hot.flags |= READY;
            self.ready.push(key);
        }
    }

    /// Notes that a connection has more than could be taken in in its turn.
    pub(super) fn list_heavy(&mut self, key: MemberKey) {
        let hot = &mut self.connections.hot[key.slot as usize];
        if hot.flags & READY == 0 {
            hot.flags |= READY;
            self.heavy.push_back(key);
        }
    }

    /// Whether a connection is to be read.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.heavy.is_empty()
    }

    /// Reads from every connection that is ready, once. Those that always have more come last, and
    /// are not all read where they are many: who says little is not kept waiting by them.
    fn read_ready(&mut self) {
        if !self.has_ready() || self.is_congested() {
            return;
        }
        let heavy = self.heavy.len();
        self.read_light();
        let deadline = Instant::now() + HEAVY_SLICE;
        for _ in 0..heavy {
            if self.has_much_unflushed() {
                break;
            }
            if let Some(key) = self.heavy.pop_front()
                && self.connections.is_current(key)
            {
                self.read(key);
            }
            if Instant::now() > deadline {
                break;
            }
        }
    }

    fn read_light(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        let mut read = 0;
        for key in &ready {
            if self.has_much_unflushed() {
                break;
            }
            read += 1;
            if self.connections.is_current(*key) {
                self.read(*key);
            }
        }
        // Some were listed meanwhile; they come behind the rest.
        ready.drain(..read);
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    /// Has the sessions begin whose requests were answered long enough ago.
    fn begin(&mut self) {
        if self.tools.beginning.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some((key, since)) = self.tools.beginning.front().copied()
            && now.duration_since(since) >= BEGIN_AFTER
        {
            self.tools.beginning.pop_front();
            if self.connections.is_open(key) {
                self.call(key, |session, turn| session.begin(turn));
            }
        }
    }

    /// Whether another shard has not caught up with what was read here.
    pub(super) fn is_congested(&self) -> bool {
        self.mailboxes.iter().any(|mailbox| mailbox.is_congested())
    }

    fn read(&mut self, key: MemberKey) {
        let hot = &mut self.connections.hot[key.slot as usize];
        hot.flags &= !READY;
        let flags = hot.flags;
        if flags & UNREAD != 0 {
            if flags & READ_CLOSED != 0 && self.is_undecided(key) {
                self.end_gone(key);
            }
            return;
        }
        if flags & PLAIN != 0 {
            return self.take_more(key);
        }
        if self.is_behind_request(key) {
            return;
        }
        if let Some(mut rest) = self.connections.take_unread(key) {
            self.received(key, &mut rest);
            if self.connections.is_current(key) {
                self.list_heavy(key);
            }
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let most = self.connections.read_bytes_max();
        match self.connections.read(key, &mut buffer[..most]) {
            Read::Bytes(count) => {
                let cold = &mut self.connections.cold[key.slot as usize];
                if !matches!(cold.stage, Stage::Head(_)) {
                    cold.heard = self.connections.now;
                }
                self.connections.hot[key.slot as usize].flags &= !PINGED;
                self.received(key, &mut buffer[..count]);
                let full = count == most;
                if self.connections.is_current(key) {
                    let hot = &self.connections.hot[key.slot as usize];
                    // A stream says that it has more only once it was found empty.
                    let more = full || hot.flags & APART != 0;
                    if more || hot.flags & READ_CLOSED != 0 {
                        self.list_heavy(key);
                    }
                }
            }
            Read::Empty => {}
            Read::End => self.end(key, End::Peer),
        }
        self.read_buffer = buffer;
    }

    pub(super) fn received(&mut self, key: MemberKey, bytes: &mut [u8]) {
        let is_open = self.connections.is_open(key);
        match &mut self.connections.cold[key.slot as usize].stage {
            Stage::Open(_) if is_open => {
                self.call(key, |session, turn| session.receive(bytes, turn));
            }
            Stage::Head(partial) => {
                let partial = partial.take();
                self.head(key, partial, bytes);
            }
            Stage::Trial(owner) => {
                let owner = *owner;
                self.hear_trial(key, owner, bytes);
            }
            // Whatever a peer says after our goodbye is read away, within a deadline.
            Stage::Open(_) | Stage::Undecided(_) | Stage::Linger | Stage::Free => {}
        }
    }

    /// Calls a session, sends its reply, and performs what it caused in the hub. A panic ends this
    /// connection and no other.
    pub(super) fn call(
        &mut self,
        key: MemberKey,
        body: impl FnOnce(&mut dyn Session, &mut Turn<'_>) -> Then,
    ) {
        let tried = self.connections.trial_of(key);
        self.call_by(key, tried.unwrap_or(key), body);
    }

    /// Has a session begin. What it says goes out behind the answer to its request, which is in the
    /// reply already.
    pub(super) fn call_start(&mut self, key: MemberKey) {
        self.call_behind(key, key, |session, turn| session.start(turn));
    }

    /// The same, with the reply going out by another connection.
    pub(super) fn call_by(
        &mut self,
        key: MemberKey,
        by: MemberKey,
        body: impl FnOnce(&mut dyn Session, &mut Turn<'_>) -> Then,
    ) {
        self.reply.clear();
        self.call_behind(key, by, body);
    }

    /// The same, with the reply going out behind what is in it.
    fn call_behind(
        &mut self,
        key: MemberKey,
        by: MemberKey,
        body: impl FnOnce(&mut dyn Session, &mut Turn<'_>) -> Then,
    ) {
        let Stage::Open(place) = &mut self.connections.cold[key.slot as usize].stage else {
            return;
        };
        let Some(mut session) = place.take() else {
            return;
        };
        let served = self.connections.hot[key.slot as usize].flags & SERVED != 0;
        let caller = served.then(|| session.caller().cloned()).flatten();
        let mut reply = std::mem::take(&mut self.reply);
        let before = reply.len();
        let mut turn = Turn {
            key,
            now: self.connections.now,
            hub: &mut self.hub,
            effects: &mut self.effects,
            reply: &mut reply,
            tools: &mut self.tools,
            stalled: self.connections.hot[key.slot as usize].flags & BACKLOG != 0,
        };
        let result = catch_unwind(AssertUnwindSafe(|| body(&mut *session, &mut turn)));
        let tried = self.connections.trial_of(key).is_some();
        let verdict = tried.then(|| session.verdict());
        self.note_session(key, &*session);
        self.connections.cold[key.slot as usize].stage = Stage::Open(Some(session));
        let traffic = std::mem::take(&mut self.tools.traffic);
        if traffic != Traffic::default() {
            let door = self.connections.hot[key.slot as usize].door;
            self.connections.counters.passed(door, traffic);
        }
        if result.is_err() {
            // It may end within a frame.
            reply.truncate(before);
        }
        self.connections.send(by, &reply, 1);
        if reply.capacity() > KEEP_BYTES {
            reply = Vec::new();
        }
        self.reply = reply;
        if let Some(verdict) = verdict {
            self.judge(key, verdict);
        }
        let rest = std::mem::take(&mut self.tools.unread);
        match result {
            Ok(Then::Continue) => self.keep_unread(key, rest),
            Ok(Then::Linger(end)) => self.linger(key, end),
            Ok(Then::End) => self.finish(key),
            Ok(Then::Wait) => self.wait(key),
            Err(_) => {
                self.connections.counters.panicked();
                // One that cannot even say goodbye is just cut.
                let reason = match self.connections.is_open(key) {
                    true => CloseReason::Fault,
                    false => CloseReason::Broken,
                };
                self.connections.doom(key, reason);
            }
        }
        if let Some(caller) = caller {
            self.note_events(&caller);
        }
        for caller in std::mem::take(&mut self.tools.callers) {
            self.note_events(&caller);
        }
        self.perform();
    }

    /// Keeps what a session has left for a later turn. While it tries a socket it is of that.
    fn keep_unread(&mut self, key: MemberKey, rest: Vec<u8>) {
        if rest.is_empty() {
            return;
        }
        let from = self.connections.trial_of(key).unwrap_or(key);
        if self.connections.is_open(from) && !self.connections.is_plain(from) {
            self.connections.keep_unread(from, rest);
            self.list_heavy(from);
        }
    }

    /// Notes what a session with deadlines of its own is like after a call.
    fn note_session(&mut self, key: MemberKey, session: &dyn Session) {
        if self.connections.hot[key.slot as usize].flags & TIMED == 0 {
            return;
        }
        self.connections.set_form(key, session.form());
        if let Heartbeat::At(due) = session.heartbeat() {
            self.connections.wheel.set_earlier(key.slot, due);
        }
        if self.connections.is_plain(key) {
            self.connections.hold(key, session.held_bytes());
            if session.has_more() {
                self.list_heavy(key);
            }
        }
    }

    /// Takes in what other shards and those outside have posted.
    pub(super) fn take_mail(&mut self) {
        // Whoever posts to a box that holds something does not wake its shard.
        self.mail_left = self.has_much_unflushed();
        if self.mail_left {
            return;
        }
        let mut mail = std::mem::take(&mut self.mail);
        self.mailboxes[usize::from(self.id.0)].take(&mut mail);
        for letter in mail.drain(..) {
            match letter {
                Mail::Word(from, word) => {
                    self.hub.receive(from, word, &mut self.effects);
                    self.perform();
                }
                Mail::Publish(publish) => self.publish(*publish),
                Mail::Socket(newcomer) => self.welcome(newcomer),
                Mail::Passed(newcomer, read) => self.take_passed(newcomer, read),
                Mail::Ask(ask) => self.take_request(*ask),
                Mail::Follow(sid, follow) => self.follow(sid, *follow),
                Mail::Command(command) => self.command(*command),
                Mail::Visit(visit) => self.visit(*visit),
                Mail::Arrive(key, arrival) => self.arrive(key, arrival),
                Mail::Ruled(ruled) => self.take_ruling(*ruled),
                Mail::Ready(key) => self.stream_ready(key),
                Mail::Stop => self.stop(),
            }
        }
        self.mail = mail;
    }

    /// Shows what has been counted. Not every turn under load: it is some hundred stores.
    pub(super) fn publish_counters(&mut self) {
        let counts = self.hub.counts();
        let own = usize::from(self.id.0);
        let held = Held {
            connections: self.connections.len() + self.http.len(),
            rooms: counts.rooms_homed,
            history_messages: counts.history_messages,
            history_bytes: counts.history_bytes,
            outbox_bytes: self.connections.backlog_bytes(),
            mailbox_bytes: self.mailboxes[own].bytes(),
        };
        let counters = &mut self.connections.counters;
        counters.hold(held);
        self.settings.metrics.publish(own, counters);
    }

    /// Posts this turn's words, one wake-up for each shard.
    fn post(&mut self) {
        for (outgoing, mailbox) in self.outgoing.iter_mut().zip(self.mailboxes.iter()) {
            if !outgoing.mail.is_empty() {
                let bytes = std::mem::take(&mut outgoing.bytes);
                if let Err(error) = mailbox.post(&mut outgoing.mail, bytes) {
                    tracing::error!(%error, "cannot wake a shard");
                }
            }
        }
    }
}

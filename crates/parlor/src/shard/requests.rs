//! Members whose clients come by requests of HTTP, and the sockets that they go on over.

use parlor_hub::MemberKey;

use super::{
    Shard,
    connections::{OWN_FORM, Stage, TIMED},
};
use crate::{
    door::{self, Ask, Follow, Heartbeat, Route, Session, Sid, Then, Turn, Verdict},
    metrics::{End, Refused},
};

impl Shard {
    /// Gives a request to the session that it is for, or opens one.
    pub(super) fn take_request(&mut self, ask: Ask) {
        match door::route(ask, &self.tools) {
            Some(Route::New(new)) if self.draining.is_some() => new.refuse(),
            Some(Route::New(new)) => self.open_plain(new),
            Some(Route::Member(key, asked)) => {
                self.call(key, |session, turn| session.request(asked, turn));
            }
            None => self.connections.counters.refused(Refused::Handshake),
        }
    }

    /// Gives what comes later of a request to its session.
    pub(super) fn follow(&mut self, sid: Sid, follow: Follow) {
        if let Some((key, asked)) = door::follow(sid, follow, &self.tools) {
            self.call(key, |session, turn| session.request(asked, turn));
        }
    }

    /// Goes on with a request of which a part was taken in.
    pub(super) fn take_more(&mut self, key: MemberKey) {
        if !self.has_more(key) {
            return;
        }
        self.call(key, |session, turn| session.take_more(turn));
        if self.connections.is_current(key)
            && !self.has_more(key)
            && let Some(socket) = self.connections.trial_of(key)
        {
            self.list_ready(socket);
        }
    }

    /// Whether a socket is tried by a member of whose request only a part was taken in: it is read
    /// after the rest, and listed again then.
    pub(super) fn is_behind_request(&self, socket: MemberKey) -> bool {
        match self.connections.cold[socket.slot as usize].stage {
            Stage::Trial(owner) => self.has_more(owner),
            _ => false,
        }
    }

    /// Whether only a part was taken in of a member's request.
    fn has_more(&self, key: MemberKey) -> bool {
        self.connections.is_open(key)
            && match &self.connections.cold[key.slot as usize].stage {
                Stage::Open(Some(session)) => session.has_more(),
                _ => false,
            }
    }

    /// Opens a session without a socket. It counts as a connection, and is refused like one.
    fn open_plain(&mut self, new: door::engineio::New) {
        // Of this shard those of this turn count too.
        let own = self.connections.len() + self.http.len();
        let others = self.mailboxes.iter().enumerate();
        let others = others.filter(|(shard, _)| *shard != usize::from(self.id.0));
        let count: usize = others.map(|(_, mailbox)| mailbox.connections()).sum();
        if count + own >= self.settings.connections_max {
            self.connections.counters.refused(Refused::Limit);
            return new.refuse();
        }
        let Ok(place) = self.place_of(new.peer().ip()) else {
            self.connections.counters.refused(Refused::AddressLimit);
            return new.refuse();
        };
        let Ok(key) = self.connections.insert_plain(place) else {
            return new.refuse();
        };
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
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            door::open_polling(new, &mut turn)
        }));
        match opened {
            Ok(Ok(session)) => return self.begin_plain(key, session),
            Ok(Err(reason)) => self.connections.counters.refused(reason),
            Err(_) => self.connections.counters.panicked(),
        }
        self.hub.disconnect(key, &mut self.effects);
        drop(self.connections.remove(key));
        self.perform();
    }

    fn begin_plain(&mut self, key: MemberKey, session: Box<dyn Session>) {
        let door = session.door();
        self.count_opened(key, door);
        let hot = &mut self.connections.hot[key.slot as usize];
        hot.door = door;
        hot.flags |= TIMED | OWN_FORM;
        if let Heartbeat::At(due) = session.heartbeat() {
            self.connections.wheel.set(key.slot, due);
        }
        self.connections.cold[key.slot as usize].stage = Stage::Open(Some(session));
        self.call(key, |session, turn| session.start(turn));
        self.perform();
    }

    /// A socket is open that a member may go on over; its handshake is answered.
    pub(super) fn begin_trial(
        &mut self,
        socket: MemberKey,
        owner: MemberKey,
        begin: impl FnOnce(&mut dyn Session, &mut Turn<'_>) -> bool,
    ) {
        let mut taken = false;
        if self.connections.is_open(owner) {
            self.call_by(owner, socket, |session, turn| {
                taken = begin(session, turn);
                Then::Continue
            });
        }
        if !self.connections.is_current(socket) {
            return;
        }
        if taken && self.connections.is_open(owner) {
            self.connections.wheel.clear(socket.slot);
            self.connections.cold[socket.slot as usize].stage = Stage::Trial(owner);
            self.connections.tie(owner, socket);
        } else {
            self.linger(socket, End::Peer);
        }
    }

    /// Something came by a socket that a member tries.
    pub(super) fn hear_trial(&mut self, socket: MemberKey, owner: MemberKey, bytes: &mut [u8]) {
        if self.connections.trial_of(owner) == Some(socket) && self.connections.is_open(owner) {
            self.call(owner, |session, turn| session.receive(bytes, turn));
        } else {
            self.end(socket, End::Peer);
        }
    }

    /// Does what a member has decided about the socket that it tries.
    pub(super) fn judge(&mut self, owner: MemberKey, verdict: Verdict) {
        match verdict {
            Verdict::Wait => {}
            Verdict::Drop => self.drop_trial(owner),
            Verdict::Adopt => {
                if self.connections.adopt(owner).is_err() {
                    return self.connections.doom(owner, door::CloseReason::Broken);
                }
                self.list_ready(owner);
                // What a stream told before was told to another.
                self.stream_ready(owner);
            }
        }
    }

    /// The member tries no socket any more; the one that it tried is closed.
    pub(super) fn drop_trial(&mut self, owner: MemberKey) {
        if let Some(socket) = self.connections.untie(owner)
            && self.connections.is_current(socket)
        {
            self.linger(socket, End::Peer);
            // It may not have been read for a while.
            if self.connections.is_current(socket) {
                self.list_ready(socket);
            }
        }
    }

    /// A socket has ended. Where a member tried it, that is told.
    pub(super) fn end_trial(&mut self, socket: MemberKey) {
        if !self.connections.is_current(socket) {
            return;
        }
        let Stage::Trial(owner) = self.connections.cold[socket.slot as usize].stage else {
            return;
        };
        self.connections.cold[socket.slot as usize].stage = Stage::Linger;
        if self.connections.is_current(owner) && self.connections.trial_of(owner) == Some(socket) {
            self.connections.untie(owner);
            self.call(owner, |session, turn| session.end_trial(turn));
        }
    }
}

//! Connections without a socket: their clients come by requests, until they come by a socket.

use std::io;

use parlor_hub::MemberKey;
use rustix::fd::AsFd;

use super::{
    APART, BACKLOG, Connections, OWN_FORM, PLAIN, READ_CLOSED, READY, TIMED, TRIED, token,
};
use crate::shard::addresses::Place;

impl Connections {
    /// A place in the slab for one whose client comes by requests.
    pub(crate) fn insert_plain(&mut self, place: Option<Box<Place>>) -> io::Result<MemberKey> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.grow()?,
        };
        self.hot[slot as usize].flags |= PLAIN;
        self.cold[slot as usize].heard = self.now;
        self.open += 1;
        if let Some(place) = place {
            self.places.insert(slot, place);
        }
        Ok(self.key(slot))
    }

    /// Whether a connection has no socket.
    pub(crate) fn is_plain(&self, key: MemberKey) -> bool {
        self.hot[key.slot as usize].flags & PLAIN != 0
    }

    /// The session of one without a socket holds so many unsent bytes by now.
    pub(crate) fn hold(&mut self, key: MemberKey, bytes: usize) {
        let before = match bytes {
            0 => self.held.remove(&key.slot),
            bytes => self.held.insert(key.slot, bytes),
        };
        self.backlog_bytes = self.backlog_bytes + bytes - before.unwrap_or(0);
    }

    /// The member goes on without its socket, which is closed with what waits for it.
    pub(crate) fn strip(&mut self, key: MemberKey) {
        let index = key.slot as usize;
        self.hold(key, 0);
        self.unread.take(key.slot);
        if let Some(outbox) = self.cold[index].outbox.take() {
            self.backlog_bytes -= outbox.len();
        }
        let hot = &mut self.hot[index];
        if hot.flags & APART != 0 {
            self.wires.remove(&key.slot);
        }
        let hot = &mut self.hot[index];
        hot.flags = hot.flags & READY | PLAIN | TIMED | OWN_FORM;
        drop(hot.socket.take());
    }

    /// The member tries this socket.
    pub(crate) fn tie(&mut self, owner: MemberKey, socket: MemberKey) {
        self.hot[owner.slot as usize].flags |= TRIED;
        self.trials.insert(owner.slot, socket);
    }

    /// The socket that a member tries.
    pub(crate) fn trial_of(&self, owner: MemberKey) -> Option<MemberKey> {
        if self.hot[owner.slot as usize].flags & TRIED == 0 {
            return None;
        }
        self.trials.get(&owner.slot).copied()
    }

    /// The member tries no socket any more; tells which one it was.
    pub(crate) fn untie(&mut self, owner: MemberKey) -> Option<MemberKey> {
        self.hot[owner.slot as usize].flags &= !TRIED;
        self.trials.remove(&owner.slot)
    }

    /// The member goes on over the socket that it tried, with what waits for that.
    pub(crate) fn adopt(&mut self, owner: MemberKey) -> io::Result<()> {
        let Some(tried) = self.untie(owner).filter(|tried| self.is_current(*tried)) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let outbox = self.cold[tried.slot as usize].outbox.take();
        let flags = self.hot[tried.slot as usize].flags & (BACKLOG | READ_CLOSED | APART);
        let apart = flags & APART != 0 && self.give_wire(tried, owner);
        let socket = self.remove(tried);
        if let Some(socket) = &socket {
            self.poll.forget(socket.as_fd())?;
            self.poll.watch(socket.as_fd(), token(owner))?;
        } else if !apart {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.hold(owner, 0);
        let hot = &mut self.hot[owner.slot as usize];
        hot.flags = hot.flags & !PLAIN | flags;
        hot.socket = socket;
        if let Some(outbox) = &outbox {
            let due = outbox.progress + self.limits.stall_ms;
            self.wheel.set_earlier(owner.slot, due);
        }
        self.cold[owner.slot as usize].outbox = outbox;
        Ok(())
    }
}

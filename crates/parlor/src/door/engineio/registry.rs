//! Which sessions a shard has.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use parlor_hub::MemberKey;
use parlor_proto::engineio::{Known, Transport};

use super::{Mount, ids::Claim, open::Name, sid::Sid};

/// The sessions of one shard by their ids. Each is a connection of the shard's, so there are at
/// most as many as the server takes connections.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: HashMap<Sid, Entry>,
    /// Where sessions were opened: as many as the server has.
    mounts: Vec<Arc<Mount>>,
    /// The ids of sessions that an embedder has made.
    claims: HashMap<Sid, Claim>,
}

/// One session.
#[derive(Debug)]
struct Entry {
    key: MemberKey,
    /// Where it was opened, as an index: it is unknown elsewhere.
    mount: u16,
    known: Known,
}

impl Registry {
    pub(super) fn add(&mut self, name: Name, mount: &Arc<Mount>, key: MemberKey, known: Known) {
        let held = self.mounts.iter().position(|own| Arc::ptr_eq(own, mount));
        let at = held.unwrap_or_else(|| {
            self.mounts.push(Arc::clone(mount));
            self.mounts.len() - 1
        });
        // There are fewer paths than that.
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        mount.clients.fetch_add(1, Ordering::Relaxed);
        let Name { sid, claim, .. } = name;
        self.claims.extend(claim.map(|claim| (sid, claim)));
        let entry = Entry {
            key,
            mount: at,
            known,
        };
        self.sessions.insert(sid, entry);
    }

    pub(super) fn remove(&mut self, sid: Sid) {
        self.claims.remove(&sid);
        if let Some(entry) = self.sessions.remove(&sid)
            && let Some(mount) = self.mounts.get(usize::from(entry.mount))
        {
            mount.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// What there is of the session that a client names.
    pub(super) fn known(&self, sid: &str, mount: &Arc<Mount>) -> Option<Known> {
        let entry = self.sessions.get(&mount.sid_of(sid)?)?;
        let own = self.mounts.get(usize::from(entry.mount))?;
        Arc::ptr_eq(own, mount).then_some(entry.known)
    }

    /// The connection of the session that a client names.
    pub(super) fn key(&self, sid: &str, mount: &Mount) -> Option<MemberKey> {
        self.key_of(mount.sid_of(sid)?)
    }

    /// The id of a session, as its client shows it.
    pub(super) fn text_of(&self, sid: Sid) -> Cow<'_, str> {
        match self.claims.get(&sid) {
            Some(claim) => Cow::Borrowed(claim.id()),
            None => Cow::Owned(sid.to_text()),
        }
    }

    /// The connection of a session.
    pub(super) fn key_of(&self, sid: Sid) -> Option<MemberKey> {
        Some(self.sessions.get(&sid)?.key)
    }

    /// A session has gone on to WebSocket.
    pub(super) fn upgraded(&mut self, sid: Sid) {
        if let Some(entry) = self.sessions.get_mut(&sid) {
            entry.known.transport = Transport::WebSocket;
        }
    }
}

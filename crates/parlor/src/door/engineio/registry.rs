//! Which sessions a shard has.

use std::{collections::HashMap, sync::Arc};

use parlor_hub::MemberKey;
use parlor_proto::engineio::{Known, Transport};

use super::{Mount, sid::Sid};

/// The sessions of one shard by their ids. Each is a connection of the shard's, so there are at
/// most as many as the server takes connections.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: HashMap<Sid, Entry>,
}

/// One session.
#[derive(Debug)]
struct Entry {
    /// Where it was opened: it is unknown elsewhere.
    mount: Arc<Mount>,
    key: MemberKey,
    known: Known,
}

impl Registry {
    pub(super) fn add(&mut self, sid: Sid, mount: &Arc<Mount>, key: MemberKey, known: Known) {
        let mount = Arc::clone(mount);
        self.sessions.insert(sid, Entry { mount, key, known });
    }

    pub(super) fn remove(&mut self, sid: Sid) {
        self.sessions.remove(&sid);
    }

    /// What there is of the session that a client names.
    pub(super) fn known(&self, sid: &str, mount: &Arc<Mount>) -> Option<Known> {
        let entry = self.sessions.get(&Sid::parse(sid)?)?;
        Arc::ptr_eq(&entry.mount, mount).then_some(entry.known)
    }

    /// The connection of the session that a client names.
    pub(super) fn key(&self, sid: &str) -> Option<MemberKey> {
        self.key_of(Sid::parse(sid)?)
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

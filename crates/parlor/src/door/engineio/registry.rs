//! Which sessions a shard has.

use std::collections::HashMap;

use parlor_proto::engineio::Known;

use super::sid::Sid;

/// The sessions of one shard by their ids. Each is a connection of the shard's, so there are at
/// most as many as the server takes connections.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: HashMap<Sid, Entry>,
}

/// One session.
#[derive(Debug, Clone, Copy)]
struct Entry {
    known: Known,
}

impl Registry {
    pub(super) fn add(&mut self, sid: Sid, known: Known) {
        self.sessions.insert(sid, Entry { known });
    }

    pub(super) fn remove(&mut self, sid: Sid) {
        self.sessions.remove(&sid);
    }

    /// What there is of the session that a client names.
    pub(super) fn known(&self, sid: &str) -> Option<Known> {
        let entry = self.sessions.get(&Sid::parse(sid)?)?;
        Some(entry.known)
    }
}

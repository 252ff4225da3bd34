//! Ids of sessions that an embedder makes.

use std::{
    collections::{HashMap, hash_map},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Mount, Sid};

/// The longest id, in bytes.
const BYTES_MAX: usize = 128;

/// Which session an id stands for. One for each session at most, of which there are as many as the
/// server takes connections.
#[derive(Debug, Default)]
pub(crate) struct Ids(Mutex<HashMap<Box<str>, Sid>>);

/// Why an id cannot be a session's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadId {
    #[error("an id has 1 to 128 letters, digits, `-`, `.`, `_` and `~`")]
    MisuseCharacters,
    #[error("another session has this id")]
    MisuseTaken,
}

impl Ids {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Sid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session that an id stands for.
    pub(super) fn find(&self, id: &str) -> Option<Sid> {
        self.lock().get(id).copied()
    }

    fn claim(&self, id: &str, sid: Sid) -> Result<(), BadId> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(1..=BYTES_MAX).contains(&id.len()) || !id.bytes().all(plain) {
            return Err(BadId::MisuseCharacters);
        }
        match self.lock().entry(id.into()) {
            hash_map::Entry::Occupied(_) => Err(BadId::MisuseTaken),
            hash_map::Entry::Vacant(place) => {
                place.insert(sid);
                Ok(())
            }
        }
    }
}

/// An id that is a session's until this is dropped.
pub(super) struct Claim {
    mount: Arc<Mount>,
    id: Box<str>,
}

impl Claim {
    /// Makes an id that of a session.
    pub(super) fn new(mount: &Arc<Mount>, id: &str, sid: Sid) -> Result<Self, BadId> {
        if let Some(ids) = &mount.ids {
            ids.claim(id, sid)?;
        }
        Ok(Self {
            mount: Arc::clone(mount),
            id: id.into(),
        })
    }
}

impl Claim {
    /// The id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id is a secret.
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(ids) = &self.mount.ids {
            ids.lock().remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use parlor_hub::ShardId;

    use super::*;

    #[test]
    fn an_id_is_one_session_s() {
        let ids = Ids::default();
        let [one, other] = [1, 2].map(|byte| Sid::new(ShardId(0), [byte; 13]));
        let long = "x".repeat(BYTES_MAX);
        for (id, sid, expected) in [
            ("a-Z.0_~", one, Ok(())),
            ("a-Z.0_~", other, Err(BadId::MisuseTaken)),
            (&long, other, Ok(())),
            (&format!("{long}x"), one, Err(BadId::MisuseCharacters)),
            ("", one, Err(BadId::MisuseCharacters)),
            ("a b", one, Err(BadId::MisuseCharacters)),
            ("a&b", one, Err(BadId::MisuseCharacters)),
            ("\u{e9}", one, Err(BadId::MisuseCharacters)),
        ] {
            assert_eq!(ids.claim(id, sid), expected, "{id}");
        }
        assert_eq!(ids.find("a-Z.0_~"), Some(one));
        assert_eq!(ids.find(&long), Some(other));
        assert_eq!(ids.find("b"), None);
    }
}

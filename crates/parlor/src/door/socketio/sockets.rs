//! The sockets of a shard by their ids, and the ids.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parlor_hub::{MemberId, MemberKey};

use crate::embed::socketio::Socket as Handle;

use super::{
    hearers::Heard,
    recovery::{Pid, Whereabouts},
    said::{CopyId, MAIN},
};

/// What all Socket.IO connections of a shard share.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Connected sockets: at most as many as the shard's connections have namespaces.
    by_id: HashMap<SocketId, Place>,
    /// Who has heard which event that goes to several rooms.
    pub(super) heard: Heard,
    copies: u64,
    /// Where the sessions are whose private ids name this shard: as many as there are recoverable
    /// sockets.
    sessions: HashMap<Pid, Whereabouts>,
}

/// A socket's id, in 16 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum SocketId {
    /// What 20 characters of base64url stand for.
    Short([u8; SHORT_BYTES]),
    /// Any other text: with the name of a namespace in front, in version 4.
    Long(Box<LongId>),
}

/// The text of an id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LongId(Box<str>);

/// Where a socket is.
#[derive(Debug)]
struct Place {
    key: MemberKey,
    /// None for the main one.
    namespace: Option<Box<Namespace>>,
    /// Of those that have handlers.
    handle: Option<Handle>,
}

/// The name of a namespace. It is boxed, for nearly all sockets are in the main one.
#[derive(Debug)]
struct Namespace(Arc<str>);

impl SocketId {
    /// The id of a member's socket in a namespace. In the main namespace it is the first part of
    /// the member's id; in others it follows from that, and nobody can guess it.
    pub(crate) fn of(member: &MemberId, namespace: &str) -> Self {
        let mut bytes = *member.as_bytes();
        if namespace != MAIN {
            let (place, secret) = bytes.split_at_mut(PLACE_BYTES);
            let own: [u8; 10] =
                std::array::from_fn(|at| secret.get(at).copied().unwrap_or_default());
            let words = [0_u8, 1].map(|half| {
                let mut hasher = DefaultHasher::new();
                (own, &*place, namespace, half).hash(&mut hasher);
                hasher.finish().to_be_bytes()
            });
            for (byte, drawn) in secret.iter_mut().zip(words.as_flattened()) {
                *byte = *drawn;
            }
        }
        Self::Short(std::array::from_fn(|at| {
            bytes.get(at).copied().unwrap_or_default()
        }))
    }

    /// As clients show it.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Short(bytes) => URL_SAFE_NO_PAD.encode(bytes),
            Self::Long(id) => id.0.to_string(),
        }
    }
}

impl From<&str> for SocketId {
    fn from(text: &str) -> Self {
        short(text).map_or_else(|| Self::Long(Box::new(LongId(text.into()))), Self::Short)
    }
}

impl Place {
    fn namespace(&self) -> Option<&str> {
        self.namespace.as_ref().map(|name| &*name.0)
    }
}

impl Sockets {
    pub(crate) fn add(
        &mut self,
        id: SocketId,
        key: MemberKey,
        namespace: Option<Arc<str>>,
        handle: Option<Handle>,
    ) {
        let place = Place {
            key,
            namespace: namespace.map(|name| Box::new(Namespace(name))),
            handle,
        };
        self.by_id.insert(id, place);
    }

    /// The sockets of a namespace that have handlers.
    pub(super) fn of_namespace(&self, name: &str) -> impl Iterator<Item = (MemberKey, &Handle)> {
        let places = self.by_id.values();
        let own = places.filter(move |place| place.namespace().unwrap_or(MAIN) == name);
        own.filter_map(|place| Some((place.key, place.handle.as_ref()?)))
    }

    /// All sockets that have handlers.
    pub(super) fn all(&self) -> impl Iterator<Item = (MemberKey, &Handle)> {
        let places = self.by_id.values();
        places.filter_map(|place| Some((place.key, place.handle.as_ref()?)))
    }

    /// Forgets a socket, unless its id is another's by now.
    pub(crate) fn remove(&mut self, id: &SocketId, key: MemberKey) {
        if self.by_id.get(id).is_some_and(|place| place.key == key) {
            self.by_id.remove(id);
        }
    }

    /// The connection of a socket in this namespace.
    pub(crate) fn find(&self, namespace: Option<&str>, id: &str) -> Option<MemberKey> {
        let place = self.by_id.get(&SocketId::from(id))?;
        (place.namespace() == namespace).then_some(place.key)
    }

    /// Where a session is.
    pub(super) fn whereabouts(&self, pid: &Pid) -> Option<Whereabouts> {
        self.sessions.get(pid).copied()
    }

    /// A session is there, or is no longer.
    pub(super) fn note(&mut self, pid: Pid, at: Whereabouts, is_here: bool) {
        if is_here {
            self.sessions.insert(pid, at);
        } else if self.sessions.get(&pid) == Some(&at) {
            self.sessions.remove(&pid);
        }
    }

    /// A number for the copies of one event.
    pub(crate) fn copies(&mut self, shard: parlor_hub::ShardId) -> CopyId {
        self.copies += 1;
        CopyId {
            shard,
            number: self.copies,
        }
    }
}

/// The secret of a member whose id has the short form of [`id_text`].
pub(crate) const fn short_secret(mut secret: [u8; 10]) -> [u8; 10] {
    secret[9] = 0;
    secret
}

/// A member's id as its socket in a namespace shows it: the socket's id, or the whole id of a
/// member of another door.
pub(crate) fn id_text(member: &MemberId, namespace: &str) -> String {
    match member.as_bytes() {
        [.., 0] => SocketId::of(member, namespace).to_text(),
        _ => member.to_string(),
    }
}

/// Whether a text has the form of a socket's id on a server of so many shards. No room of this
/// door is called so.
pub(crate) fn is_socket_id(text: &str, shards: u16) -> bool {
    let id = text.rsplit_once('#').map_or(text, |(_, id)| id);
    match short(id) {
        Some([high, low, ..]) => u16::from_be_bytes([high, low]) < shards,
        None => false,
    }
}

/// What 20 characters of base64url stand for.
fn short(text: &str) -> Option<[u8; SHORT_BYTES]> {
    if text.len() != SHORT_CHARS {
        return None;
    }
    let mut bytes = [0; SHORT_BYTES];
    let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
    (decoded == Ok(SHORT_BYTES)).then_some(bytes)
}

/// Bytes of shard and slot at the beginning of an id.
const PLACE_BYTES: usize = 6;
/// Characters of base64url in a short id.
const SHORT_CHARS: usize = 20;
/// Bytes that they stand for.
const SHORT_BYTES: usize = 15;

#[cfg(test)]
mod tests {
    use parlor_hub::ShardId;

    use super::*;

    #[test]
    fn ids_have_twenty_characters_and_are_known_as_such() {
        let member = MemberId::new(ShardId(1), 7, short_secret([5; 10]));
        assert_eq!(size_of::<SocketId>(), 16);
        let socket_id = |namespace| SocketId::of(&member, namespace).to_text();
        let main = socket_id("/");
        assert!(member.to_string().starts_with(&main));
        assert_eq!(id_text(&member, "/"), main);
        let chat = socket_id("/chat");
        assert_ne!(main, chat);
        assert_eq!((main.len(), chat.len()), (20, 20));
        for id in [&*main, &*chat, &format!("/chat#{main}")] {
            assert!(is_socket_id(id, 2) && !is_socket_id(id, 1), "{id}");
        }
        for other in [
            "",
            "tea",
            "lobby",
            "a-room-of-20-letters",
            "AAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(!is_socket_id(other, 2), "{other}");
        }
        let other = MemberId::new(ShardId(1), 7, [5; 10]);
        assert_eq!(id_text(&other, "/chat"), other.to_string());
    }

    #[test]
    fn an_idle_connection_is_small() {
        use super::super::{Socket, SocketIo};
        let sizes = [
            size_of::<SocketIo>(),
            size_of::<Socket>(),
            size_of::<(SocketId, Place)>(),
        ];
        let most = [152, 80, 40];
        assert!(
            sizes.iter().zip(most).all(|(size, most)| *size <= most),
            "{sizes:?}"
        );
    }

    #[test]
    fn a_socket_is_found_in_its_namespace() {
        let mut sockets = Sockets::default();
        let [a, b] = [1, 2].map(|slot| MemberKey {
            slot,
            generation: 0,
        });
        for id in ["x", "/chat#abc", "AAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(SocketId::from(id).to_text(), id);
        }
        sockets.add("x".into(), a, Some("/chat".into()), None);
        assert_eq!(sockets.find(Some("/chat"), "x"), Some(a));
        assert_eq!(sockets.find(None, "x"), None);
        sockets.remove(&"x".into(), b);
        assert_eq!(sockets.find(Some("/chat"), "x"), Some(a));
        sockets.remove(&"x".into(), a);
        assert_eq!(sockets.find(Some("/chat"), "x"), None);
    }
}

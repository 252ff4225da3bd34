//! Which members of a room a message is for, looked at where it is delivered.

use std::{collections::VecDeque, rc::Rc};

use parlor_hub::{Hub, MemberKey, Message, RoomKey};

use super::{
    said::{CopyId, Filter, said},
    sockets::Sockets,
};

/// The members of a room that hear something.
#[derive(Debug, Clone)]
pub(crate) enum Hearers {
    /// Everybody.
    All,
    /// Everybody but one.
    But(MemberKey),
    /// Everybody but these, who are sorted.
    Without(Rc<[MemberKey]>),
    /// Only these, who are sorted.
    Only(Rc<[MemberKey]>),
}

impl Hearers {
    /// Whether a member of the room is one of them.
    pub(crate) fn include(&self, key: MemberKey) -> bool {
        match self {
            Self::All => true,
            Self::But(except) => *except != key,
            Self::Without(except) => except.binary_search(&key).is_err(),
            Self::Only(only) => only.binary_search(&key).is_ok(),
        }
    }

    /// The members that are named: those who hear it, or those who do not.
    pub(crate) fn named(&self) -> &[MemberKey] {
        match self {
            Self::All => &[],
            Self::But(except) => std::slice::from_ref(except),
            Self::Without(keys) | Self::Only(keys) => keys,
        }
    }
}

impl From<Option<MemberKey>> for Hearers {
    fn from(except: Option<MemberKey>) -> Self {
        except.map_or(Self::All, Self::But)
    }
}

/// Who of this shard has heard which event that goes to several rooms.
///
/// Bounded by [`EVENTS_MAX`] and [`KEYS_MAX`]: past one of them the oldest event is forgotten, and
/// of a copy of it that comes later nobody is known to have heard it.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    events: VecDeque<(CopyId, Vec<MemberKey>)>,
    keys: usize,
}

/// Events that are remembered.
const EVENTS_MAX: usize = 1024;
/// Members that are remembered, over all events.
const KEYS_MAX: usize = 256 * 1024;

impl Heard {
    fn of(&self, id: CopyId) -> &[MemberKey] {
        let event = self.events.iter().rev().find(|(other, _)| *other == id);
        event.map_or(&[], |(_, keys)| keys)
    }

    fn add(&mut self, id: CopyId, keys: impl Iterator<Item = MemberKey>) {
        let at = match self.events.iter().rposition(|(other, _)| *other == id) {
            Some(at) => at,
            None => {
                self.events.push_back((id, Vec::new()));
                self.events.len() - 1
            }
        };
        let heard = &mut self.events[at].1;
        let before = heard.len();
        heard.extend(keys);
        self.keys += heard.len() - before;
        while self.events.len() > EVENTS_MAX || self.keys > KEYS_MAX && self.events.len() > 1 {
            let gone = self.events.pop_front();
            self.keys -= gone.map_or(0, |(_, keys)| keys.len());
        }
    }
}

/// Who of the members of a room on this shard hears a message. `except` is whom the hub leaves
/// out.
pub(crate) fn hearers(
    hub: &Hub,
    sockets: &mut Sockets,
    room: RoomKey,
    message: &Message,
    except: Option<MemberKey>,
) -> Hearers {
    let said = said(message);
    let Some(filter) = said.and_then(|said| said.filter.as_deref()) else {
        return except.into();
    };
    let namespace = said.and_then(|said| said.namespace.as_deref());
    let mut without = excepted(hub, sockets, filter, namespace);
    without.extend(except);
    if let Some(id) = filter.copies {
        without.extend_from_slice(sockets.heard.of(id));
    }
    without.sort_unstable();
    let is_out = |key: &MemberKey| without.binary_search(key).is_ok();
    if let Some(only) = &filter.only {
        let found = only.iter().filter_map(|id| sockets.find(namespace, id));
        let mut only: Vec<MemberKey> = found.filter(|key| !is_out(key)).collect();
        only.sort_unstable();
        only.dedup();
        if let Some(id) = filter.copies {
            sockets.heard.add(id, only.iter().copied());
        }
        return Hearers::Only(only.into());
    }
    if let Some(id) = filter.copies {
        let members = hub.members_of(room).iter().copied();
        sockets.heard.add(id, members.filter(|key| !is_out(key)));
    }
    match &without[..] {
        [] => Hearers::All,
        [one] => Hearers::But(*one),
        _ => Hearers::Without(without.into()),
    }
}

/// Those whom the sender has left out.
fn excepted(
    hub: &Hub,
    sockets: &Sockets,
    filter: &Filter,
    namespace: Option<&str>,
) -> Vec<MemberKey> {
    let rooms = filter.except_rooms.iter();
    let rooms = rooms.filter_map(|room| hub.room_key(room));
    let members = rooms.flat_map(|room| hub.members_of(room)).copied();
    let ids = filter.except_sockets.iter();
    let found = ids.filter_map(|id| sockets.find(namespace, id));
    members.chain(found).collect()
}

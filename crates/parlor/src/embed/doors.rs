//! Which of the built-in doors are open.

/// A built-in door: it needs no handler, and everybody who passes the host and origin policy may
/// come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Door {
    /// Rooms by plain WebSocket: `/`, `/ws`, `/ws/{room}`.
    WebSocket,
    /// Rooms, presence and signalling by `parlor.v1`: `/signal`, `/signal/{room}`, and the paths of
    /// [`Door::WebSocket`] for those who offer that subprotocol.
    Signal,
    /// Rooms as event streams: `/sse`, `/sse/{room}`.
    Sse,
    /// `/echo`.
    Echo,
    /// Publishing by HTTP: `POST /rooms/{room}/messages`.
    Publish,
    /// Rooms by Socket.IO below `/socket.io/`
    /// ([`SocketIo::path`](crate::config::SocketIo::path)), and the files of its client.
    SocketIo,
}

/// A set of doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doors(u8);

impl Doors {
    pub(crate) const ALL: Self = Self(u8::MAX);
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn has(self, door: Door) -> bool {
        self.0 & 1 << door as u8 != 0
    }
}

impl FromIterator<Door> for Doors {
    fn from_iter<T: IntoIterator<Item = Door>>(doors: T) -> Self {
        Self(doors.into_iter().fold(0, |set, door| set | 1 << door as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let some = Doors::from_iter([Door::Sse, Door::Publish]);
        assert!(some.has(Door::Sse) && some.has(Door::Publish));
        assert!(!some.has(Door::Echo) && !Doors::NONE.has(Door::Sse) && Doors::ALL.has(Door::Echo));
    }
}

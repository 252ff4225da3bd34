//! Who the connections of a test are: what each place speaks, and at which door.

use anyhow::{anyhow, bail};
use parlor::proto::websocket::Kind;

use super::arguments::{Common, Dialect, Uplink};

/// The connections of a test, by their places: members first, then publishers that are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    /// How many places are members.
    pub(super) members: usize,
    /// What members speak.
    pub(super) dialect: Dialect,
    /// How the others publish.
    pub(super) uplink: Uplink,
}

/// What one connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Member(Dialect),
    Publisher(Uplink),
}

/// The paths of the doors.
#[derive(Debug, Clone)]
pub(super) struct Doors {
    /// Of members: that of the URL.
    pub(super) member: String,
    /// Of publishers that are none.
    pub(super) publisher: String,
}

impl Crowd {
    /// All of them members.
    pub(super) const fn of(dialect: Dialect) -> Self {
        Self {
            members: usize::MAX,
            dialect,
            uplink: Uplink::Websocket,
        }
    }

    /// What the connection at a place is.
    pub(super) const fn part(&self, place: usize) -> Part {
        if place < self.members {
            Part::Member(self.dialect)
        } else {
            Part::Publisher(self.uplink)
        }
    }

    /// What a WebSocket connection at a place speaks.
    pub(super) const fn spoken(&self, place: usize) -> Dialect {
        match self.part(place) {
            Part::Member(dialect) => dialect,
            Part::Publisher(_) => Dialect::Raw,
        }
    }

    /// The doors, when that of the members is at `path`.
    ///
    /// # Errors
    ///
    /// A path that is not one of an event stream, where the doors beside it must be found.
    pub(super) fn doors(&self, path: &str) -> anyhow::Result<Doors> {
        let mut member = path.to_owned();
        if self.dialect == Dialect::SocketIo && !path.contains("EIO=") {
            member.push(if path.contains('?') { '&' } else { '?' });
            member.push_str("EIO=4&transport=websocket");
        }
        if self.dialect != Dialect::Sse {
            let publisher = member.clone();
            return Ok(Doors { member, publisher });
        }
        let (base, room) = split(path).ok_or_else(|| {
            anyhow!("`{path}` is not the path of an event stream such as /sse/bench")
        })?;
        let publisher = match self.uplink {
            Uplink::Post => format!("{base}/rooms/{room}/messages"),
            Uplink::Websocket => format!("{base}/ws/{room}"),
        };
        Ok(Doors { member, publisher })
    }
}

/// What stands before `/sse`, and the room, still encoded.
fn split(path: &str) -> Option<(&str, &str)> {
    let path = path.split('?').next()?;
    if let Some(base) = path.strip_suffix("/sse") {
        return Some((base, "lobby"));
    }
    let (before, room) = path.rsplit_once('/')?;
    let base = before.strip_suffix("/sse")?;
    (!room.is_empty()).then_some((base, room))
}

/// Refuses what a dialect cannot do.
///
/// # Errors
///
/// Binary messages where everything is text, compression where this program cannot inflate.
pub(super) fn check(dialect: Dialect, kind: Kind, common: &Common) -> anyhow::Result<()> {
    if kind == Kind::Binary && dialect != Dialect::Raw {
        bail!(
            "--binary does not go with {}, which is text",
            dialect.name()
        );
    }
    if common.deflate && dialect == Dialect::Sse {
        bail!("--deflate is for WebSocket, not for event streams");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_of_publishers_are_beside_the_stream() {
        let check = |path: &str, uplink, expected: Option<&str>| {
            let crowd = Crowd {
                members: 1,
                dialect: Dialect::Sse,
                uplink,
            };
            let publisher = crowd.doors(path).ok().map(|doors| doors.publisher);
            assert_eq!(publisher.as_deref(), expected, "{path}");
        };
        check("/sse", Uplink::Post, Some("/rooms/lobby/messages"));
        check("/sse/tea", Uplink::Websocket, Some("/ws/tea"));
        check(
            "/sse/a%2Fb?last=1",
            Uplink::Post,
            Some("/rooms/a%2Fb/messages"),
        );
        check(
            "/chat/sse/tea",
            Uplink::Post,
            Some("/chat/rooms/tea/messages"),
        );
        for path in ["/", "/ws/tea", "/sse/", "/sse/a/b", "/nosse"] {
            check(path, Uplink::Post, None);
        }
    }
}

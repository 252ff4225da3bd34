//! What handles of sockets ask of a shard.

use std::{any::Any, sync::Arc, time::Duration};

use parlor_hub::{MemberKey, Message, RoomName, ShardId};
use parlor_proto::socketio::Packet;
use tokio::sync::oneshot;

use super::super::Answered;
use super::{Args, Socket, acks::Collector, args::Packed};

/// One thing to do with a socket of this shard.
#[derive(Debug)]
pub(crate) struct ToSocket {
    pub(crate) namespace: Arc<str>,
    pub(crate) act: Act,
}

/// What is to be done with a socket.
#[derive(Debug)]
pub(crate) enum Act {
    /// Its handlers let it in.
    Accept,
    /// They do not: a message, and maybe more as JSON text.
    Refuse(String, Option<String>),
    /// Send it an event.
    Emit {
        packed: Packed,
        volatile: bool,
        compress: bool,
        ack: Option<AckSink>,
    },
    /// Answer an event of it.
    Ack {
        id: u64,
        packed: Packed,
    },
    /// Into rooms; the answer is for the first.
    Join(Vec<Box<str>>, Option<Answered<()>>),
    Leave(Box<str>),
    /// Out of the namespace, or away with the connection.
    Disconnect {
        close: bool,
    },
    /// Somebody wants to go on in the place of a socket that is lost.
    Claim(Box<Claim>),
    /// The answer: what that socket was.
    Found(Option<Box<Found>>),
    /// The one who claimed the socket is in all its rooms.
    Release,
    /// The one who claimed the socket does not go on in its place.
    Unclaim(Seeker),
    /// The socket that was claimed has gone in between.
    Lost,
    /// End the session, without a word to anybody.
    Hangup,
    /// The same, since Socket.IO stops.
    Shutdown,
    /// The connected sockets of the session.
    Siblings(oneshot::Sender<Vec<Socket>>),
    /// Somebody wants to know what is sent to the socket, or nobody any more.
    Watch,
    /// What the socket has heard since.
    Handed(Vec<Kept>),
}

/// Who wants to go on in the place of a socket, and from where.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) pid: String,
    /// What the client has heard last.
    pub(crate) offset: Box<str>,
    pub(crate) seeker: Seeker,
}

/// A connection that looks for the session that its client had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seeker {
    pub(crate) shard: ShardId,
    pub(crate) key: MemberKey,
}

/// A socket that is to be restored.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: Arc<str>,
    pub(crate) rooms: Vec<RoomName>,
    pub(crate) data: Option<Data>,
}

/// What a handle keeps for its embedder.
pub(crate) type Data = Arc<dyn Any + Send + Sync>;

/// Something that was sent to a socket.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    Message(Arc<Message>),
    Packet(Packet<'static>),
}

impl Kept {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.cost(),
            Self::Packet(packet) => packet.payload_bytes(),
        }
    }
}

/// An acknowledgement; none where it has not come in time.
pub(crate) type Answer = Option<Args>;

/// Where the acknowledgement of an event goes.
#[derive(Debug)]
pub(crate) enum AckSink {
    /// To the one who waits for it, for at most so long.
    One(oneshot::Sender<Answer>, Option<Duration>),
    /// To those of an event that many were sent.
    Many(Arc<Collector>, Duration),
}

/// Something for the sockets of a namespace, on this shard or on all.
#[derive(Debug)]
pub(crate) struct Wide {
    pub(crate) namespace: Arc<str>,
    pub(crate) to: Addressees,
    pub(crate) act: WideAct,
}

/// Which sockets of a namespace are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addressees {
    /// Those in one of these rooms; all where none is named. The id of a socket is a room.
    pub(crate) rooms: Names,
    /// But for those in one of these.
    pub(crate) except: Names,
}

/// Names of rooms. Mostly there is one or none, which costs no list.
#[derive(Debug, Clone, Default)]
pub(crate) enum Names {
    #[default]
    None,
    One(Arc<str>),
    Several(Vec<Arc<str>>),
}

impl Names {
    pub(crate) fn push(&mut self, name: Arc<str>) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(name),
            Self::One(first) => Self::Several(vec![first, name]),
            Self::Several(mut names) => {
                names.push(name);
                Self::Several(names)
            }
        }
    }

    pub(crate) fn as_slice(&self) -> &[Arc<str>] {
        match self {
            Self::None => &[],
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

#[derive(Debug)]
pub(crate) enum WideAct {
    /// An event for everybody: one shard publishes it. `from` is a socket of that shard, which
    /// does not hear it.
    Publish {
        packed: Packed,
        from: Option<MemberKey>,
        volatile: bool,
        compress: bool,
    },
    /// An event that each of the shard's sockets is to acknowledge.
    Ask {
        json: Arc<Packed>,
        collector: Arc<Collector>,
        compress: bool,
        timeout: Duration,
    },
    Fetch(oneshot::Sender<Vec<Socket>>),
    Count(oneshot::Sender<usize>),
    /// The end of all sockets of all namespaces, with their connections.
    Shutdown,
    Join(Vec<Box<str>>),
    Leave(Vec<Box<str>>),
    Disconnect {
        close: bool,
    },
    /// Something with the session that has this private id.
    Session(String, About),
}

/// What is to be done with a session, or is to be known of it.
#[derive(Debug)]
pub(crate) enum About {
    /// Somebody wants to go on in its place in a namespace, from this offset.
    Seek(Arc<str>, Box<str>, Seeker),
    /// It may leave its rooms for the one who has claimed it.
    Release(Arc<str>, Seeker),
    /// The one who has claimed it does not go on in its place.
    Unclaim(Arc<str>, Seeker),
    IsAt((ShardId, MemberKey)),
    IsNoLongerAt((ShardId, MemberKey)),
}

impl ToSocket {
    /// Whether it only sends something to the client, and asks nothing of the hub.
    pub(crate) const fn only_sends(&self) -> bool {
        matches!(self.act, Act::Emit { .. } | Act::Ack { .. })
    }

    /// What it costs while it waits, in bytes, near enough to hold a bound with.
    pub(crate) fn cost(&self) -> usize {
        let inside = match &self.act {
            Act::Emit { packed, .. } | Act::Ack { packed, .. } => packed.bytes(),
            Act::Refuse(message, data) => message.len() + data.as_ref().map_or(0, String::len),
            Act::Join(rooms, _) => rooms.iter().map(|room| room.len()).sum(),
            Act::Handed(kept) => kept.iter().map(Kept::bytes).sum(),
            Act::Accept
            | Act::Leave(_)
            | Act::Disconnect { .. }
            | Act::Claim(_)
            | Act::Found(_)
            | Act::Release
            | Act::Unclaim(_)
            | Act::Lost
            | Act::Hangup
            | Act::Shutdown
            | Act::Siblings(_)
            | Act::Watch => 0,
        };
        size_of::<Self>() + inside
    }
}

impl Wide {
    /// Whether it is an event for everybody.
    pub(crate) const fn is_publish(&self) -> bool {
        matches!(self.act, WideAct::Publish { .. })
    }

    /// What it costs while it waits, in bytes, near enough to hold a bound with.
    pub(crate) fn cost(&self) -> usize {
        let inside = match &self.act {
            WideAct::Publish { packed, .. } => packed.bytes(),
            WideAct::Ask { json, .. } => json.bytes(),
            _ => 0,
        };
        size_of::<Self>() + inside
    }
}

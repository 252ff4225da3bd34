//! What handles ask of a shard.

use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::{
    Draft, Gap, MemberId, MemberKey, Message as RoomMessage, MessageId, Refused, Resume, RoomName,
    Roster,
};
use parlor_proto::websocket::CloseCode;
use tokio::sync::oneshot;

use super::{
    Compression, Fragment, Joined, Member, Message,
    socketio::{ToSocket, Wide},
};

/// One thing to do on a shard.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send to a connection of this shard.
    Send {
        to: MemberKey,
        message: Message,
        compression: Compression,
    },
    /// The same, by the public id.
    SendTo { to: MemberId, message: Message },
    /// Something else with a connection of this shard.
    Act { to: MemberKey, act: Box<Act> },
    /// Publish in the name of a member of this shard.
    PublishAs {
        from: MemberKey,
        room: RoomName,
        message: Message,
        /// Whether the member hears it too.
        to_all: bool,
    },
    /// Publish in the name of no member.
    Publish { room: RoomName, draft: Box<Draft> },
    /// Send to everybody who is connected to an endpoint of this shard.
    Broadcast(Message),
    /// Close the listeners.
    StopAccepting,
    /// Tell something.
    Ask(Box<Question>),
    /// Something with a socket of Socket.IO that a connection of this shard has.
    Socket {
        to: MemberKey,
        to_socket: Box<ToSocket>,
    },
    /// Something for many such sockets.
    Wide(Box<Wide>),
}

/// What a member's handle may ask for.
#[derive(Debug)]
pub(crate) enum Act {
    Join {
        room: RoomName,
        resume: Option<Resume>,
        answer: Answered<Joined>,
    },
    Leave(RoomName),
    Rename(Arc<str>),
    Present(Bytes),
    Close {
        code: CloseCode,
        reason: Box<str>,
    },
    Terminate,
    Pause,
    Resume,
    Ping(Bytes),
    Pong(Bytes),
    /// Tell when nothing waits to be sent.
    Flushed(oneshot::Sender<()>),
    /// The same of what need not wait for the end of a fragmented message.
    FragmentsFlushed(oneshot::Sender<()>),
    /// Send a fragment.
    Fragment(Fragment),
    Rooms(oneshot::Sender<Vec<RoomName>>),
}

/// Where an answer goes that may be a refusal.
pub(crate) type Answered<T> = oneshot::Sender<Result<T, Refused>>;

/// Something to be told. Where the asker is gone, nobody is told, which is no loss.
#[derive(Debug)]
pub(crate) enum Question {
    /// To the home of the room: who is in it, after this id.
    Peers(RoomName, Option<MemberId>, oneshot::Sender<Roster>),
    /// To the home of the room: how many are in it.
    Population(RoomName, oneshot::Sender<usize>),
    /// To the home of the room: what it keeps.
    History(RoomName, Resume, oneshot::Sender<Kept>),
    /// To the home of the room: publish, and tell what became of it.
    Publish(RoomName, Draft, Answered<Receipt>),
    /// To any shard: who is connected to its endpoints.
    Members(oneshot::Sender<Vec<Member>>),
    /// To the shard of the member: its handle.
    Member(MemberId, oneshot::Sender<Option<Member>>),
}

/// Messages of a room, and whether some of those asked for are not held.
pub(crate) type Kept = (Vec<Arc<RoomMessage>>, Option<Gap>);

/// What became of a message: its place, and how many it was sent to.
pub(crate) type Receipt = (Option<MessageId>, usize);

impl Command {
    /// What it costs while it waits, in bytes, near enough to hold a bound with.
    pub(crate) fn cost(&self) -> usize {
        let inside = match self {
            Self::Send { message, .. }
            | Self::SendTo { message, .. }
            | Self::PublishAs { message, .. }
            | Self::Broadcast(message) => message.len(),
            Self::Publish { draft, .. } => draft_cost(draft),
            Self::Act { act, .. } => match &**act {
                Act::Present(bytes) | Act::Ping(bytes) | Act::Pong(bytes) => {
                    size_of::<Act>() + bytes.len()
                }
                Act::Fragment(fragment) => size_of::<Act>() + fragment.payload.len(),
                _ => size_of::<Act>(),
            },
            Self::Socket { to_socket, .. } => to_socket.cost(),
            Self::Wide(wide) => wide.cost(),
            Self::Ask(question) => match &**question {
                Question::Publish(_, draft, _) => draft_cost(draft),
                _ => size_of::<Question>(),
            },
            Self::StopAccepting => 0,
        };
        size_of::<Self>() + inside
    }
}

fn draft_cost(draft: &Draft) -> usize {
    size_of::<Draft>() + draft.payload.len() + draft.event.as_ref().map_or(0, |event| event.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stays_small() {
        assert!(size_of::<Command>() <= 72, "{}", size_of::<Command>());
    }
}

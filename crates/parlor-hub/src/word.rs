//! What shards say to each other.

use std::sync::Arc;

use bytes::Bytes;

use crate::effect::Joined;
use crate::history::Resume;
use crate::member::{MemberId, MemberKey, Peer, Profile, SECRET, ShardId};
use crate::message::{Draft, Message, MessageId, Rider, Sender};
use crate::presence::{Notice, Roster};
use crate::refused::Refused;
use crate::room::RoomName;

/// Something for another shard. The shell carries it unread, and gives it to
/// [`Hub::receive`](crate::Hub::receive) there. No word may be lost: a shell whose mailboxes fill
/// up stops reading from those who publish.
#[derive(Clone, Debug)]
pub struct Word(pub(crate) Letter);

#[derive(Clone, Debug)]
pub(crate) enum Letter {
    Ask(Ask),
    Tell(Tell),
}

/// To the home of a room. Every join, leave and list is answered exactly once, in order.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Join(Box<Join>),
    Leave(Leave),
    Publish(Box<Publication>),
    Update(Box<Update>),
    List(Box<List>),
}

/// From the home of a room.
#[derive(Clone, Debug)]
pub(crate) enum Tell {
    Joined {
        room: RoomName,
        joined: Box<Joined>,
    },
    Left(Leave),
    Listed {
        room: RoomName,
        asked: Asked,
        roster: Box<Roster>,
    },
    Refused(Box<Refusal>),
    Published {
        member: Option<MemberKey>,
        token: u64,
        id: Option<MessageId>,
        receivers: usize,
    },
    Deliver {
        message: Arc<Message>,
        except: Option<MemberKey>,
    },
    DeliverTo {
        message: Arc<Message>,
        member: MemberKey,
    },
    Notice {
        room: RoomName,
        notice: Arc<Notice>,
        except: Option<MemberKey>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) room: RoomName,
    pub(crate) member: MemberKey,
    pub(crate) secret: [u8; SECRET],
    pub(crate) profile: Option<Box<Profile>>,
    pub(crate) token: Option<u64>,
    pub(crate) roster: bool,
    pub(crate) resume: Option<Resume>,
}

#[derive(Clone, Debug)]
pub(crate) struct Leave {
    pub(crate) room: RoomName,
    pub(crate) member: MemberKey,
    pub(crate) token: Option<u64>,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) member: MemberKey,
    pub(crate) token: Option<u64>,
}

/// A message on its way to the home that gives it its place.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) origin: ShardId,
    pub(crate) member: Option<MemberKey>,
    /// The member need not be in the room.
    pub(crate) guest: bool,
    pub(crate) from: Option<Sender>,
    pub(crate) room: RoomName,
    /// Rooms to try next when a message to one member does not find it in `room`; at most as many
    /// as a member may be in.
    pub(crate) rest: Vec<RoomName>,
    pub(crate) draft: Draft,
}

#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) room: RoomName,
    pub(crate) member: MemberKey,
    pub(crate) peer: Peer,
}

#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) room: RoomName,
    pub(crate) asked: Asked,
    pub(crate) after: Option<MemberId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) member: Option<MemberKey>,
    pub(crate) verb: Verb,
    pub(crate) room: RoomName,
    pub(crate) token: Option<u64>,
    pub(crate) reason: Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Join,
    Leave,
    Publish,
    List,
}

impl Word {
    /// What the word costs while it waits in a mailbox, in bytes, near enough to hold a bound
    /// with. A payload that several mailboxes share is counted in each.
    #[must_use]
    pub fn cost(&self) -> usize {
        let inside = match &self.0 {
            Letter::Ask(ask) => ask.cost(),
            Letter::Tell(tell) => tell.cost(),
        };
        size_of::<Self>() + inside
    }
}

impl Ask {
    fn cost(&self) -> usize {
        match self {
            Self::Join(join) => {
                let data = join
                    .profile
                    .as_ref()
                    .and_then(|profile| profile.data.as_ref());
                size_of::<Join>() + data.map_or(0, Bytes::len)
            }
            Self::Leave(_) => 0,
            Self::Publish(publication) => {
                let rest = publication.rest.len() * size_of::<RoomName>();
                let rider = publication.draft.rider.as_ref().map_or(0, Rider::bytes);
                size_of::<Publication>() + rest + publication.draft.payload.len() + rider
            }
            Self::Update(update) => size_of::<Update>() + update.peer.cost(),
            Self::List(_) => size_of::<List>(),
        }
    }
}

impl Tell {
    fn cost(&self) -> usize {
        match self {
            Self::Joined { joined, .. } => {
                let replay: usize = joined.replay.iter().map(|message| message.cost()).sum();
                let roster = joined.roster.as_ref().map_or(0, Roster::cost);
                size_of::<Joined>() + replay + roster
            }
            Self::Listed { roster, .. } => roster.cost(),
            Self::Refused(_) => size_of::<Refusal>(),
            Self::Deliver { message, .. } | Self::DeliverTo { message, .. } => message.cost(),
            Self::Notice { notice, .. } => size_of::<Notice>() + notice.peer().cost(),
            Self::Left(_) | Self::Published { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_small() {
        assert!(size_of::<Word>() <= 64, "{}", size_of::<Word>());
    }
}

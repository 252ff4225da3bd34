//! What the shell is to do after a verb.

use std::sync::Arc;

use crate::history::Gap;
use crate::member::{MemberKey, ShardId};
use crate::message::{Message, MessageId};
use crate::presence::{Notice, Roster};
use crate::refused::Refused;
use crate::room::RoomKey;
use crate::word::{Ask, Letter, Tell, Word};

/// One thing to do. Effects are to be performed in the order in which they were given.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a shell must perform every effect")]
pub enum Effect {
    /// Append the message to the room's batch on this shard, for every local member of the room
    /// but `except`. There is at least one such member.
    Deliver {
        /// The room.
        room: RoomKey,
        /// The message.
        message: Arc<Message>,
        /// The member that is not to hear it.
        except: Option<MemberKey>,
    },
    /// Deliver the message to one member. It has no id.
    DeliverTo {
        /// Who is to hear it; it is connected and in the message's room.
        member: MemberKey,
        /// The message.
        message: Arc<Message>,
    },
    /// The member is in the room and hears what comes after
    /// [`head`](Joined::head). A batch that the room has gathered before is not for this member.
    Joined(Box<Joined>),
    /// The member is out of the room. What the room's batch has gathered before is still for this
    /// member; nothing after is. It does not come for a member that was disconnected.
    Left {
        /// Who left.
        member: MemberKey,
        /// The room, whose key is valid until [`Effect::Freed`].
        room: RoomKey,
        /// The token of the leave.
        token: Option<u64>,
    },
    /// The room is gone from this shard and its key may be given to another room. Nothing for it
    /// can follow. It may name a room of which the shell has heard nothing before.
    Freed {
        /// The room.
        room: RoomKey,
    },
    /// The room's home has taken a message that was published with a token.
    Published {
        /// Who published; none for [`Hub::publish_anonymous`](crate::Hub::publish_anonymous), and
        /// where the member has gone meanwhile.
        member: Option<MemberKey>,
        /// The draft's token.
        token: u64,
        /// The message's place; none for a message to one member, and for one published in a
        /// room that does not exist.
        id: Option<MessageId>,
        /// How many members it was sent to, over all shards.
        receivers: usize,
    },
    /// Tell the room's local members but `except` who came, went or changed.
    Notice {
        /// The room.
        room: RoomKey,
        /// The news.
        notice: Arc<Notice>,
        /// The member that is not to hear it.
        except: Option<MemberKey>,
    },
    /// The answer to [`Hub::list`](crate::Hub::list).
    Listed {
        /// Who asked.
        member: MemberKey,
        /// The room.
        room: RoomKey,
        /// The token of the question.
        token: Option<u64>,
        /// Who is there.
        roster: Box<Roster>,
    },
    /// The room's home has refused what a verb asked for.
    Refused {
        /// Who asked; none for [`Hub::publish_anonymous`](crate::Hub::publish_anonymous), and
        /// where a member has published and gone meanwhile.
        member: Option<MemberKey>,
        /// What was asked.
        request: Request,
        /// The token of the verb.
        token: Option<u64>,
        /// Why.
        reason: Refused,
    },
    /// Put the word in the mailbox of another shard. Words to one shard must arrive in the order
    /// in which they were given, each once.
    Send {
        /// The other shard.
        to: ShardId,
        /// The word.
        word: Word,
    },
}

/// What a member that joined is told.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Who joined.
    pub member: MemberKey,
    /// The room. The shell finds its name by [`Hub::room_name`](crate::Hub::room_name).
    pub room: RoomKey,
    /// The token of the join.
    pub token: Option<u64>,
    /// The last place given so far; its offset is 0 in a room where nothing was said yet. What
    /// the member hears live comes after it.
    pub head: MessageId,
    /// Members in the room over all shards, this one included.
    pub members: usize,
    /// The others in the room, where the join asked for them.
    pub roster: Option<Roster>,
    /// What a returning member is to hear before anything live, in order: offsets up to `head`.
    /// After a gap it is everything that is still held.
    pub replay: Vec<Arc<Message>>,
    /// Told where the join asked for history that is not held in full.
    pub gap: Option<Gap>,
}

/// What a refusal refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one variant a verb")]
pub enum Request {
    /// A join. The member is not in the room.
    Join(RoomKey),
    /// A leave.
    Leave(RoomKey),
    /// A publish.
    Publish,
    /// A question for the roster.
    List(RoomKey),
}

/// The effects of one or more verbs, in order. The shell keeps one and drains it after each verb
/// or each group of verbs.
#[derive(Debug, Default)]
pub struct Effects(Vec<Effect>);

impl Effects {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes the effects out, in order. The allocation is kept.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Effect> {
        self.0.drain(..)
    }

    /// Number of effects.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    pub(crate) fn deliver(
        &mut self,
        room: RoomKey,
        message: Arc<Message>,
        except: Option<MemberKey>,
    ) {
        self.push(Effect::Deliver {
            room,
            message,
            except,
        });
    }

    pub(crate) fn notice(&mut self, room: RoomKey, notice: Arc<Notice>, except: Option<MemberKey>) {
        self.push(Effect::Notice {
            room,
            notice,
            except,
        });
    }

    pub(crate) fn ask(&mut self, to: ShardId, ask: Ask) {
        self.push(Effect::Send {
            to,
            word: Word(Letter::Ask(ask)),
        });
    }

    pub(crate) fn tell(&mut self, to: ShardId, tell: Tell) {
        self.push(Effect::Send {
            to,
            word: Word(Letter::Tell(tell)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_stays_small() {
        assert!(size_of::<Effect>() <= 80, "{}", size_of::<Effect>());
    }
}

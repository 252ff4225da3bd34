//! Messages that come from outside the shards, and their answers.

use std::collections::HashMap;

use parlor_hub::{Draft, MemberId, MemberKey, MessageId, Refused, RoomName, RoomRef};
use tokio::sync::oneshot;

use super::Shard;
use crate::{
    door::{UPLINK_BYTES, Uplink},
    embed::{Answered, Receipt},
    metrics::{self, Door, Traffic},
};

/// The tokens of this module have this bit; those of sessions count up from 1.
const OURS: u64 = 1 << 63;
/// Messages from outside whose answer has not come; one more is told that the server is busy.
const WAITING_MAX: usize = 65_536;

/// A message from outside.
#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) room: RoomName,
    pub(crate) draft: Draft,
    /// The member in whose name it is published, and the secret that proves it.
    pub(crate) uplink: Option<(MemberId, [u8; UPLINK_BYTES])>,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// What became of a message from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has its place and was sent to so many members. Without an id nobody was there and
    /// nothing is kept.
    Published {
        id: Option<MessageId>,
        receivers: usize,
    },
    /// The uplink names no member, or its secret is another.
    UnknownUplink,
    /// The uplink's member has said more than it may.
    OverRate,
    /// The hub refused it.
    Refused(Refused),
}

/// One who waits to hear what became of a message.
#[derive(Debug)]
pub(super) enum Waiter {
    /// A request of the HTTP API.
    Http(oneshot::Sender<Answer>),
    /// A room's handle.
    Handle(Answered<Receipt>),
}

/// Those who wait to hear what became of their message.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    answers: HashMap<u64, Waiter>,
    last: u64,
    /// Somebody was answered since this was last asked.
    answered: bool,
}

impl Waiting {
    /// Whether somebody was answered since this was last asked.
    pub(super) fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }
}

impl Shard {
    /// Publishes a message from outside. Where that is not possible now, its answer is dropped,
    /// which tells the sender so.
    pub(super) fn publish(&mut self, publish: Publish) {
        if self.waiting.answers.len() >= WAITING_MAX {
            return;
        }
        let Publish {
            room,
            mut draft,
            uplink,
            answer,
        } = publish;
        let traffic = Traffic {
            messages_in: 1,
            bytes_in: draft.payload.len() as u64,
            messages_out: 0,
        };
        self.connections.counters.passed(Door::Http, traffic);
        match uplink {
            None => {
                let waiter = Waiter::Http(answer);
                return self.publish_for(&room, draft, waiter);
            }
            Some((id, secret)) => {
                let member = match self.uplink(&id, &secret, draft.payload.len()) {
                    Ok(member) => member,
                    Err(refusal) => {
                        // The sender may be gone already, which is no loss.
                        let _ = answer.send(refusal);
                        return;
                    }
                };
                let token = self.expect(Waiter::Http(answer));
                draft.token = Some(token);
                let room = RoomRef::Name(&room);
                if let Err(reason) = self.hub.publish(member, room, draft, &mut self.effects) {
                    self.answer(Some(token), Answer::Refused(reason));
                }
            }
        }
        self.perform();
    }

    /// The member in whose name somebody outside may say a message of `len` bytes.
    fn uplink(
        &mut self,
        id: &MemberId,
        secret: &[u8; UPLINK_BYTES],
        len: usize,
    ) -> Result<MemberKey, Answer> {
        let member = self.hub.member(id).ok_or(Answer::UnknownUplink)?;
        let settings = &self.tools.settings;
        match self.connections.uplink(member, secret, len, settings) {
            Uplink::Granted => Ok(member),
            Uplink::Unknown => Err(Answer::UnknownUplink),
            Uplink::OverRate => {
                self.connections.counters.refused(metrics::Refused::Rate);
                Err(Answer::OverRate)
            }
        }
    }

    /// Publishes in nobody's name for one who waits to hear what becomes of it.
    pub(super) fn publish_for(&mut self, room: &RoomName, mut draft: Draft, waiter: Waiter) {
        if self.waiting.answers.len() >= WAITING_MAX {
            return;
        }
        draft.token = Some(self.expect(waiter));
        self.hub.publish_anonymous(room, draft, &mut self.effects);
        self.perform();
    }

    /// The token by which the answer is known.
    fn expect(&mut self, waiter: Waiter) -> u64 {
        self.waiting.last += 1;
        let token = OURS | self.waiting.last;
        self.waiting.answers.insert(token, waiter);
        token
    }

    /// Answers the one who waits for `token`. False where it is a session's token.
    pub(super) fn answer(&mut self, token: Option<u64>, answer: Answer) -> bool {
        let Some(token) = token.filter(|token| token & OURS != 0) else {
            return false;
        };
        // The sender may be gone already, which is no loss.
        match self.waiting.answers.remove(&token) {
            Some(Waiter::Http(waiting)) => {
                let _ = waiting.send(answer);
                self.waiting.answered = true;
            }
            Some(Waiter::Handle(waiting)) => {
                let _ = waiting.send(match answer {
                    Answer::Published { id, receivers } => Ok((id, receivers)),
                    Answer::Refused(reason) => Err(reason),
                    // A room's handle speaks for no member.
                    Answer::UnknownUplink | Answer::OverRate => Err(Refused::UnknownMember),
                });
            }
            None => {}
        }
        true
    }
}

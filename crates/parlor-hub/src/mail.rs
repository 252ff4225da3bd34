//! Words that come from other shards, and the answers that seat and unseat a shard's own members.

use crate::effect::{Effect, Effects, Joined, Request};
use crate::hub::Hub;
use crate::member::{MemberKey, ShardId, UNSEATED, reserve};
use crate::presence::Roster;
use crate::room::{RoomKey, RoomName};
use crate::word::{Ask, Asked, Leave, Letter, Refusal, Tell, Verb, Word};

impl Hub {
    /// Takes a word from the mailbox of another shard. Words of one shard must come in the order
    /// in which that shard sent them.
    pub fn receive(&mut self, from: ShardId, word: Word, effects: &mut Effects) {
        match word.0 {
            Letter::Ask(Ask::Join(join)) => self.sequence_join(from, *join, effects),
            Letter::Ask(Ask::Leave(leave)) => self.sequence_leave(from, leave, effects),
            Letter::Ask(Ask::Publish(publication)) => self.sequence(None, *publication, effects),
            Letter::Ask(Ask::Update(update)) => self.sequence_update(from, *update, effects),
            Letter::Ask(Ask::List(list)) => self.sequence_list(from, *list, effects),
            Letter::Tell(tell) => self.hear(tell, effects),
        }
    }

    /// Takes what the home of a room says.
    fn hear(&mut self, tell: Tell, effects: &mut Effects) {
        match tell {
            Tell::Joined { room, mut joined } => {
                if let Some(key) = self.rooms.find(&room) {
                    joined.room = key;
                    self.seat(joined, effects);
                }
            }
            Tell::Left(Leave {
                room,
                member,
                token,
            }) => {
                if let Some(key) = self.rooms.find(&room) {
                    self.unseat_left(key, member, token, effects);
                    self.settle(key, effects);
                }
            }
            Tell::Listed {
                room,
                asked,
                roster,
            } => {
                if let Some(key) = self.rooms.find(&room) {
                    self.listed(key, asked, roster, effects);
                }
            }
            Tell::Refused(refusal) => self.refused(*refusal, effects),
            Tell::Published {
                member,
                token,
                id,
                receivers,
            } => {
                effects.push(Effect::Published {
                    member: self.still_here(member),
                    token,
                    id,
                    receivers,
                });
            }
            Tell::Deliver { message, except } => {
                if let Some((room, except)) = self.listeners(&message.room, except) {
                    effects.deliver(room, message, except);
                }
            }
            Tell::DeliverTo { message, member } => {
                if self.members.get(member).is_some() {
                    effects.push(Effect::DeliverTo { member, message });
                }
            }
            Tell::Notice {
                room,
                notice,
                except,
            } => {
                if let Some((room, except)) = self.listeners(&room, except) {
                    effects.notice(room, notice, except);
                }
            }
        }
    }

    /// A join was granted: the member, if it is still there, takes its seat.
    pub(crate) fn seat(&mut self, joined: Box<Joined>, effects: &mut Effects) {
        let (member, key) = (joined.member, joined.room);
        self.answered(key);
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let held = self
            .members
            .get_mut(member)
            .and_then(|held| held.membership_mut(key));
        if let Some(membership) = held.filter(|membership| !membership.is_seated()) {
            membership.in_flight = membership.in_flight.saturating_sub(1);
            membership.position =
                u32::try_from(room.members.len()).expect("a room has fewer members than 2^32");
            let len = room.members.len();
            reserve(&mut room.members, len + 1);
            room.members.push(member);
            effects.push(Effect::Joined(joined));
        }
        self.settle(key, effects);
    }

    /// A leave was granted: the member, if it is still there, loses its seat.
    pub(crate) fn unseat_left(
        &mut self,
        key: RoomKey,
        member: MemberKey,
        token: Option<u64>,
        effects: &mut Effects,
    ) {
        self.answered(key);
        let Some(held) = self.members.get_mut(member) else {
            return;
        };
        let Some(membership) = held.membership_mut(key) else {
            return;
        };
        membership.in_flight = membership.in_flight.saturating_sub(1);
        let seated = membership.is_seated();
        let position = std::mem::replace(&mut membership.position, UNSEATED);
        if membership.in_flight == 0 {
            held.forget(key);
        }
        if seated {
            self.unseat(key, position);
            effects.push(Effect::Left {
                member,
                room: key,
                token,
            });
        }
    }

    /// The home refused what a member of this shard asked for.
    pub(crate) fn refused(&mut self, refusal: Refusal, effects: &mut Effects) {
        let Refusal {
            member,
            verb,
            room,
            token,
            reason,
        } = refusal;
        let key = self.rooms.find(&room);
        if let Some(key) = key
            && verb != Verb::Publish
        {
            self.answered(key);
            if verb != Verb::List
                && let Some(held) = member.and_then(|member| self.members.get_mut(member))
                && let Some(membership) = held.membership_mut(key)
            {
                membership.in_flight = membership.in_flight.saturating_sub(1);
                if membership.in_flight == 0 && !membership.is_seated() {
                    held.forget(key);
                }
            }
        }
        let request = match (verb, key) {
            (Verb::Publish, _) => Some(Request::Publish),
            (Verb::Join, Some(key)) => Some(Request::Join(key)),
            (Verb::Leave, Some(key)) => Some(Request::Leave(key)),
            (Verb::List, Some(key)) => Some(Request::List(key)),
            (_, None) => None,
        };
        // Whoever published in the name of a member that has gone is answered all the same.
        let here = self.still_here(member);
        let is_there = here == member || verb == Verb::Publish;
        if let Some(request) = request.filter(|_| is_there) {
            effects.push(Effect::Refused {
                member: here,
                request,
                token,
                reason,
            });
        }
        if let Some(key) = key {
            self.settle(key, effects);
        }
    }

    /// A question was answered: the member, if it is still there, is told.
    pub(crate) fn listed(
        &mut self,
        room: RoomKey,
        asked: Asked,
        roster: Box<Roster>,
        effects: &mut Effects,
    ) {
        let Asked { member, token } = asked;
        self.answered(room);
        if self.members.get(member).is_some() {
            effects.push(Effect::Listed {
                member,
                room,
                token,
                roster,
            });
        }
        self.settle(room, effects);
    }

    fn still_here(&self, member: Option<MemberKey>) -> Option<MemberKey> {
        member.filter(|member| self.members.get(*member).is_some())
    }

    /// One answer less to come.
    fn answered(&mut self, key: RoomKey) {
        if let Some(room) = self.rooms.get_mut(key) {
            room.pending = room.pending.saturating_sub(1);
        }
    }

    /// Takes a seat out of the room's list; the last seat moves into its place.
    pub(crate) fn unseat(&mut self, key: RoomKey, position: u32) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let at = position as usize;
        room.members.swap_remove(at);
        if let Some(&moved) = room.members.get(at)
            && let Some(held) = self.members.get_mut(moved)
            && let Some(membership) = held.membership_mut(key)
        {
            membership.position = position;
        }
        if room.members.capacity() > 64 && room.members.len() * 4 < room.members.capacity() {
            room.members.shrink_to(room.members.len() * 2);
        }
    }

    /// The room, if somebody here but the excepted one listens to it.
    fn listeners(
        &self,
        name: &RoomName,
        except: Option<MemberKey>,
    ) -> Option<(RoomKey, Option<MemberKey>)> {
        let key = self.rooms.find(name)?;
        // The excepted member may be gone, and its slot another's.
        let except = except.filter(|except| {
            let held = self
                .members
                .get(*except)
                .and_then(|member| member.membership(key));
            held.is_some_and(|membership| membership.is_seated())
        });
        let members = self.rooms.get(key)?.members.len();
        (members > usize::from(except.is_some())).then_some((key, except))
    }
}

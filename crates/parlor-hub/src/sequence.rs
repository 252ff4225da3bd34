//! Joins, leaves and messages get their order here, at the home of their room.

use std::sync::Arc;

use bytes::Bytes;

use crate::effect::{Effect, Effects, Joined};
use crate::home::{Home, Remote, Seat};
use crate::hub::Hub;
use crate::member::{MemberId, MemberKey, Profile, ShardId};
use crate::message::{Audience, Message, MessageId, Payload};
use crate::presence::Notice;
use crate::refused::Refused;
use crate::room::{Room, RoomKey};
use crate::word::{Ask, Asked, Join, Leave, List, Publication, Refusal, Tell, Update, Verb};

impl Hub {
    /// A join has reached the home.
    pub(crate) fn sequence_join(&mut self, origin: ShardId, join: Join, effects: &mut Effects) {
        let (member, token) = (join.member, join.token);
        let room = join.room.clone();
        match self.admit(origin, join, effects) {
            Ok(joined) if origin == self.shard => self.seat(joined, effects),
            Ok(joined) => effects.tell(origin, Tell::Joined { room, joined }),
            Err(reason) => {
                let verb = Verb::Join;
                let refusal = Refusal {
                    member: Some(member),
                    verb,
                    room,
                    token,
                    reason,
                };
                self.refuse(origin, refusal, effects);
            }
        }
    }

    /// Takes a member into the room's roster and tells the others.
    fn admit(
        &mut self,
        origin: ShardId,
        join: Join,
        effects: &mut Effects,
    ) -> Result<Box<Joined>, Refused> {
        let key = self.open(&join.room, effects)?;
        let room = self.rooms.get(key).ok_or(Refused::NotJoined)?;
        let home = room.home.as_ref().ok_or(Refused::NotJoined)?;
        let max = self.limits.members_per_room_max;
        let members = room.population() + 1;
        if members > max {
            self.settle(key, effects);
            return Err(Refused::LimitMembersPerRoom { max });
        }
        let seat = Seat {
            shard: origin,
            slot: join.member.slot,
        };
        let (replay, gap) = home.replay(join.resume);
        let joined = Box::new(Joined {
            member: join.member,
            room: key,
            token: join.token,
            head: home.head(),
            members,
            roster: join
                .roster
                .then(|| self.roster(room, home, None, Some(seat))),
            replay,
            gap,
        });
        let Join {
            member,
            secret,
            profile,
            ..
        } = join;
        let remote = Remote {
            generation: member.generation,
            secret,
            profile,
        };
        let notice = Notice::PeerJoined(remote.peer(seat));
        // Before the member has its seat, so that it does not hear of itself.
        self.notify_small(key, members, notice, effects);
        self.occupy(key);
        if origin != self.shard
            && let Some(home) = self.home_mut(key)
        {
            home.enter(seat, remote);
        }
        Ok(joined)
    }

    /// A leave has reached the home.
    pub(crate) fn sequence_leave(&mut self, origin: ShardId, leave: Leave, effects: &mut Effects) {
        let Leave {
            room,
            member,
            token,
        } = leave;
        let key = self.rooms.find(&room);
        let before = key
            .and_then(|key| self.rooms.get(key))
            .map_or(0, Room::population);
        let seat = Seat {
            shard: origin,
            slot: member.slot,
        };
        let gone = if origin == self.shard {
            self.members
                .get(member)
                .map(|held| held.peer(origin, member.slot))
        } else {
            let home = key.and_then(|key| self.home_mut(key));
            let exited = home.and_then(|home| home.exit(seat, member.generation));
            exited.map(|remote| remote.peer(seat))
        };
        let (Some(key), Some(peer)) = (key, gone) else {
            let (verb, reason) = (Verb::Leave, Refused::NotJoined);
            let refusal = Refusal {
                member: Some(member),
                verb,
                room,
                token,
                reason,
            };
            self.refuse(origin, refusal, effects);
            return;
        };
        if origin == self.shard {
            self.unseat_left(key, member, token, effects);
        } else {
            effects.tell(
                origin,
                Tell::Left(Leave {
                    room,
                    member,
                    token,
                }),
            );
        }
        self.notify_small(key, before, Notice::PeerLeft(peer), effects);
        self.settle(key, effects);
    }

    /// A message has reached the home, or the home of one of the rooms to try. `key` is the room
    /// where the caller knows it.
    pub(crate) fn sequence(
        &mut self,
        key: Option<RoomKey>,
        mut publication: Publication,
        effects: &mut Effects,
    ) {
        let mut key = key.or_else(|| self.rooms.find(&publication.room));
        loop {
            let Err(reason) = self.place(key, &mut publication, effects) else {
                return;
            };
            // Only a message to one member has rooms left to try.
            let Some(next) = publication.rest.pop() else {
                let Publication {
                    origin,
                    member,
                    room,
                    draft,
                    ..
                } = publication;
                let (verb, token) = (Verb::Publish, draft.token);
                let refusal = Refusal {
                    member,
                    verb,
                    room,
                    token,
                    reason,
                };
                self.refuse(origin, refusal, effects);
                return;
            };
            let home = self.home_of(&next);
            publication.room = next;
            if home != self.shard {
                effects.ask(home, Ask::Publish(Box::new(publication)));
                return;
            }
            key = self.rooms.find(&publication.room);
        }
    }

    /// Gives the message its place and sends it out.
    fn place(
        &mut self,
        key: Option<RoomKey>,
        publication: &mut Publication,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let origin = publication.origin;
        let member = publication.member;
        let target = match publication.draft.audience {
            Audience::Member(target) => Some(target),
            Audience::Room | Audience::Others | Audience::Except(_) => None,
        };
        let missing = if target.is_some() {
            Refused::UnknownPeer
        } else {
            Refused::NotJoined
        };
        let known = key.and_then(|key| Some((key, self.rooms.get(key)?)));
        let Some((key, room)) = known.filter(|(_, room)| room.home.is_some()) else {
            if member.is_some() && !publication.guest || target.is_some() {
                return Err(missing);
            }
            return self.place_in_new(publication, effects);
        };
        let is_in = |member| publication.guest || self.is_in(room, key, origin, member);
        if member.is_some_and(|member| !is_in(member)) {
            return Err(missing);
        }
        if let Some(target) = target {
            let (shard, target) = self.locate(room, key, target).ok_or(missing)?;
            let message = Arc::new(message_of(publication, None));
            if shard == self.shard {
                effects.push(Effect::DeliverTo {
                    member: target,
                    message,
                });
            } else {
                effects.tell(
                    shard,
                    Tell::DeliverTo {
                        message,
                        member: target,
                    },
                );
            }
            self.answer(publication, None, 1, effects);
        } else {
            self.spread(key, publication, effects);
        }
        Ok(())
    }

    /// A message for a room that does not exist: where something would keep it, it makes the room.
    fn place_in_new(
        &mut self,
        publication: &mut Publication,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if self.table.options(publication.room.as_str()).has_history() {
            let key = self.open(&publication.room, effects)?;
            self.spread(key, publication, effects);
        } else {
            self.answer(publication, None, 0, effects);
        }
        Ok(())
    }

    /// Gives a message to the room its offset, and sends it to every shard that has members.
    fn spread(&mut self, key: RoomKey, publication: &mut Publication, effects: &mut Effects) {
        let except = self.excepted(key, publication);
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let population = room.population();
        let Room {
            members,
            home: Some(home),
            ..
        } = room
        else {
            return;
        };
        let id = Some(home.advance());
        let message = Arc::new(message_of(publication, id));
        let except_on = |on| {
            except
                .filter(|(shard, _)| *shard == on)
                .map(|(_, member)| member)
        };
        let local = except_on(self.shard);
        if members.len() > usize::from(local.is_some()) {
            effects.deliver(key, message.clone(), local);
        }
        for &(shard, count) in &home.shards {
            let except = except_on(shard);
            if count > u32::from(except.is_some()) {
                effects.tell(
                    shard,
                    Tell::Deliver {
                        message: message.clone(),
                        except,
                    },
                );
            }
        }
        let receivers = population - usize::from(except.is_some());
        self.answer(publication, id, receivers, effects);
        self.keep(key, &message, effects);
        // The room may have lived for messages that had to go for this one.
        self.settle(key, effects);
    }

    /// The member of the room that is not to hear a message.
    fn excepted(&self, key: RoomKey, publication: &Publication) -> Option<(ShardId, MemberKey)> {
        match publication.draft.audience {
            Audience::Room | Audience::Member(_) => None,
            Audience::Others => {
                let (origin, member) = (publication.origin, publication.member?);
                let room = self.rooms.get(key)?;
                // Only a guest may be elsewhere.
                let is_in = !publication.guest || self.is_in(room, key, origin, member);
                is_in.then_some((origin, member))
            }
            Audience::Except(id) => self.locate(self.rooms.get(key)?, key, id),
        }
    }

    /// Tells the publisher, if it wants to know.
    fn answer(
        &self,
        publication: &Publication,
        id: Option<MessageId>,
        receivers: usize,
        effects: &mut Effects,
    ) {
        let member = publication.member;
        let Some(token) = publication.draft.token else {
            return;
        };
        if publication.origin == self.shard {
            effects.push(Effect::Published {
                member,
                token,
                id,
                receivers,
            });
        } else {
            let letter = Tell::Published {
                member,
                token,
                id,
                receivers,
            };
            effects.tell(publication.origin, letter);
        }
    }

    /// A changed profile has reached the home.
    pub(crate) fn sequence_update(
        &mut self,
        origin: ShardId,
        update: Update,
        effects: &mut Effects,
    ) {
        let Update { room, member, peer } = update;
        let Some(key) = self.rooms.find(&room) else {
            return;
        };
        if origin != self.shard {
            let seat = Seat {
                shard: origin,
                slot: member.slot,
            };
            let Some(home) = self.home_mut(key) else {
                return;
            };
            let held = home.remote.get_mut(&seat);
            let Some(remote) = held.filter(|held| held.generation == member.generation) else {
                return;
            };
            let profile = Profile {
                name: peer.name.clone(),
                data: peer.data.clone(),
            };
            remote.profile = Some(Box::new(profile));
        }
        let population = self.rooms.get(key).map_or(0, Room::population);
        if !room.is_in_space() && population <= self.limits.presence_members_max {
            let notice = Arc::new(Notice::Presence(peer));
            self.notify(key, &notice, Some((origin, member)), effects);
        }
    }

    /// A question for the roster has reached the home.
    pub(crate) fn sequence_list(&mut self, origin: ShardId, list: List, effects: &mut Effects) {
        let List { room, asked, after } = list;
        let Asked { member, token } = asked;
        let key = self.rooms.find(&room);
        let known = key.and_then(|key| Some((key, self.rooms.get(key)?)));
        let known = known.filter(|(key, room)| self.is_in(room, *key, origin, member));
        let roster = known.and_then(|(key, room)| {
            let home = room.home.as_ref()?;
            let asking = Seat {
                shard: origin,
                slot: member.slot,
            };
            Some((key, Box::new(self.roster(room, home, after, Some(asking)))))
        });
        match roster {
            Some((room, roster)) if origin == self.shard => {
                self.listed(room, asked, roster, effects);
            }
            Some((_, roster)) => {
                effects.tell(
                    origin,
                    Tell::Listed {
                        room,
                        asked,
                        roster,
                    },
                );
            }
            None => {
                let (verb, reason) = (Verb::List, Refused::NotJoined);
                let refusal = Refusal {
                    member: Some(member),
                    verb,
                    room,
                    token,
                    reason,
                };
                self.refuse(origin, refusal, effects);
            }
        }
    }

    /// Tells the room, if it had at most so many members that notices are sent.
    pub(crate) fn notify_small(
        &self,
        key: RoomKey,
        members: usize,
        notice: Notice,
        effects: &mut Effects,
    ) {
        let room = self.rooms.get(key);
        let hidden = room.is_none_or(|room| room.name.is_in_space());
        if !hidden && members <= self.limits.presence_members_max {
            self.notify(key, &Arc::new(notice), None, effects);
        }
    }

    fn notify(
        &self,
        key: RoomKey,
        notice: &Arc<Notice>,
        except: Option<(ShardId, MemberKey)>,
        effects: &mut Effects,
    ) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        let except_on = |shard| {
            except
                .filter(|(on, _)| *on == shard)
                .map(|(_, member)| member)
        };
        let local = except_on(self.shard);
        if room.members.len() > usize::from(local.is_some()) {
            let notice = Arc::clone(notice);
            effects.notice(key, notice, local);
        }
        for &(shard, count) in room.home.iter().flat_map(|home| &home.shards) {
            let except = except_on(shard);
            if count > u32::from(except.is_some()) {
                let (room, notice) = (room.name.clone(), Arc::clone(notice));
                effects.tell(
                    shard,
                    Tell::Notice {
                        room,
                        notice,
                        except,
                    },
                );
            }
        }
    }

    fn refuse(&mut self, origin: ShardId, refusal: Refusal, effects: &mut Effects) {
        if origin == self.shard {
            self.refused(refusal, effects);
        } else {
            effects.tell(origin, Tell::Refused(Box::new(refusal)));
        }
    }

    /// Whether a member is in a room whose home is here.
    fn is_in(&self, room: &Room, key: RoomKey, origin: ShardId, member: MemberKey) -> bool {
        if origin == self.shard {
            let membership = self
                .members
                .get(member)
                .and_then(|held| held.membership(key));
            membership.is_some_and(|membership| membership.is_seated())
        } else {
            room.home
                .as_ref()
                .is_some_and(|home| home.holds(origin, member))
        }
    }

    /// Where a member of the room is. The whole id is compared.
    fn locate(&self, room: &Room, key: RoomKey, id: MemberId) -> Option<(ShardId, MemberKey)> {
        let shard = id.shard();
        if shard == self.shard {
            let found = self.members.find(&id)?;
            return self
                .is_in(room, key, shard, found)
                .then_some((shard, found));
        }
        let remote = room.home.as_ref()?.remote.get(&Seat {
            shard,
            slot: id.slot(),
        })?;
        let found = MemberKey {
            slot: id.slot(),
            generation: remote.generation,
        };
        (remote.secret == id.secret()).then_some((shard, found))
    }

    pub(crate) fn home_mut(&mut self, key: RoomKey) -> Option<&mut Home> {
        self.rooms.get_mut(key)?.home.as_deref_mut()
    }
}

fn message_of(publication: &mut Publication, id: Option<MessageId>) -> Message {
    let draft = &mut publication.draft;
    Message {
        id,
        room: publication.room.clone(),
        event: draft.event.take(),
        payload: std::mem::replace(&mut draft.payload, Payload::Binary(Bytes::new())),
        from: publication.from.take(),
        priority: draft.priority,
        hint: draft.hint,
        rider: draft.rider.take(),
    }
}

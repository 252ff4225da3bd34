//! The hub of one shard: verbs in, effects out.

use std::cmp::Reverse;
use std::sync::Arc;

use bytes::Bytes;

use crate::effect::Effects;
use crate::history::{Histories, MemoryHistories};

use crate::limits::Limits;
use crate::member::{Member, MemberId, MemberKey, Members, Peer, ShardId};
use crate::message::{Audience, Draft};
use crate::presence::Notice;
use crate::refused::Refused;
use crate::request::{JoinOptions, Page, Seeds};
use crate::room::{Keyed, Room, RoomKey, RoomName, RoomRef, Rooms};
use crate::table::{RoomOptions, RoomTable};
use crate::upkeep::Upkeep;
use crate::word::{Ask, Asked, Join, Leave, List, Publication, Update};

/// The rooms and members of one shard. See the [crate documentation](crate) for how the hubs of
/// several shards make one.
///
/// Every verb appends to the list of [`Effects`] that it is given; the caller performs them in
/// order.
#[derive(Debug)]
pub struct Hub {
    pub(crate) shard: ShardId,
    pub(crate) shards: u16,
    pub(crate) seeds: Seeds,
    pub(crate) limits: Limits,
    pub(crate) table: Arc<RoomTable>,
    pub(crate) histories: Box<dyn Histories>,
    pub(crate) members: Members,
    pub(crate) rooms: Rooms,
    pub(crate) upkeep: Upkeep,
}

impl Hub {
    /// An empty hub for `shard` of `shards` (at least 1; 0 is taken as 1).
    #[must_use]
    pub fn new(shard: ShardId, shards: u16, seeds: Seeds, limits: Limits) -> Self {
        Self {
            shard,
            shards: shards.max(1),
            seeds,
            limits,
            table: Arc::new(RoomTable::new(RoomOptions::without_history())),
            histories: Box::new(MemoryHistories),
            members: Members::default(),
            rooms: Rooms::new(Keyed(seeds.placement)),
            upkeep: Upkeep::default(),
        }
    }

    /// Gives the rooms their options; without a table no room keeps a history. The table must be
    /// the same on all shards, and given before the first verb.
    #[must_use]
    pub fn with_rooms(mut self, table: Arc<RoomTable>) -> Self {
        self.table = table;
        self
    }

    /// Keeps the histories elsewhere than in memory. To be given before the first verb.
    #[must_use]
    pub fn with_histories(mut self, histories: Box<dyn Histories>) -> Self {
        self.histories = histories;
        self
    }

    /// A connection becomes a member, in no room. `secret` is to be drawn from a source that
    /// nobody can guess. Returns the public id.
    ///
    /// # Errors
    /// [`Refused::LimitName`]; [`Refused::MisuseSlotInUse`] if the slot was not disconnected.
    pub fn connect(
        &mut self,
        key: MemberKey,
        secret: [u8; 10],
        name: Option<&str>,
    ) -> Result<MemberId, Refused> {
        self.check_profile(name, None)?;
        self.members.connect(key, secret)?;
        if let (Some(name), Some(member)) = (name, self.members.get_mut(key)) {
            member.update(Some(name.into()), None);
        }
        Ok(MemberId::new(self.shard, key.slot, secret))
    }

    /// The member asks to be in a room, which is made if there is none. Once this has returned
    /// `Ok`, the answer is one `Effect::Joined` or one `Effect::Refused`, now or later, unless
    /// the member is disconnected first. Until then the member may already publish: what it
    /// publishes comes after the join.
    ///
    /// # Errors
    /// [`Refused::UnknownMember`], [`Refused::AlreadyJoined`], [`Refused::LimitRoomsPerMember`],
    /// [`Refused::LimitInFlight`], [`Refused::LimitName`], [`Refused::LimitPresence`],
    /// [`Refused::LimitRooms`]. Nothing has changed then.
    pub fn join(
        &mut self,
        key: MemberKey,
        room: &RoomName,
        options: JoinOptions,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        self.check_profile(options.name.as_deref(), options.data.as_ref())?;
        self.check_join(key, room)?;
        let room_key = self.open(room, effects)?;
        let JoinOptions {
            token,
            name,
            data,
            roster,
            resume,
        } = options;
        self.update_changed(key, name, data, effects);
        let member = self.members.get_mut(key).ok_or(Refused::UnknownMember)?;
        let membership = member.enter(room_key);
        membership.wanted = true;
        membership.in_flight += 1;
        let id = member.id(self.shard, key.slot);
        let profile = member.profile().cloned().map(Box::new);
        let join = Join {
            room: room.clone(),
            member: key,
            secret: id.secret(),
            profile,
            token,
            roster,
            resume,
        };
        let home = self.await_answer(room_key);
        if home == self.shard {
            self.sequence_join(self.shard, join, effects);
        } else {
            effects.ask(home, Ask::Join(Box::new(join)));
        }
        Ok(())
    }

    /// The member asks to be out of a room. Once this has returned `Ok`, the answer is one
    /// `Effect::Left` (or `Effect::Refused` where the join before it was refused); the member
    /// may still hear messages before that and none after.
    ///
    /// # Errors
    /// [`Refused::UnknownMember`], [`Refused::NotJoined`], [`Refused::LimitInFlight`].
    pub fn leave(
        &mut self,
        key: MemberKey,
        room: &RoomName,
        token: Option<u64>,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let max = self.limits.in_flight_max;
        let member = self.members.get_mut(key).ok_or(Refused::UnknownMember)?;
        let room_key = self.rooms.find(room).ok_or(Refused::NotJoined)?;
        let membership = member.membership_mut(room_key).ok_or(Refused::NotJoined)?;
        if !membership.wanted {
            return Err(Refused::NotJoined);
        }
        if membership.in_flight >= max {
            return Err(Refused::LimitInFlight { max: max.into() });
        }
        membership.wanted = false;
        membership.in_flight += 1;
        let leave = Leave {
            room: room.clone(),
            member: key,
            token,
        };
        let home = self.await_answer(room_key);
        if home == self.shard {
            self.sequence_leave(self.shard, leave, effects);
        } else {
            effects.ask(home, Ask::Leave(leave));
        }
        Ok(())
    }

    /// The member publishes in a room that it is in, or that it has asked to join. A draft with a
    /// token is answered by `Effect::Published` or `Effect::Refused`, now or later; without a
    /// token only a refusal is told.
    ///
    /// A message to one member goes through the home of the room like any other, so that it does
    /// not overtake what its sender published there before. With [`RoomRef::Shared`] the rooms of
    /// the sender are tried one after the other, home by home, so that it is carried at most once
    /// to each shard; such messages keep their order while neither side joins or leaves a room.
    ///
    /// # Errors
    /// [`Refused::UnknownMember`], [`Refused::NotJoined`], [`Refused::UnknownPeer`] (no such
    /// shard, or the sender is in no room), [`Refused::MisuseAudience`].
    pub fn publish(
        &mut self,
        key: MemberKey,
        room: RoomRef<'_>,
        draft: Draft,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let member = self.members.get(key).ok_or(Refused::UnknownMember)?;
        let (room_key, rest) = match room {
            RoomRef::Key(room_key) => (room_key, Vec::new()),
            RoomRef::Name(name) => {
                let room_key = self.room_of(member, name).ok_or(Refused::NotJoined)?;
                (room_key, Vec::new())
            }
            RoomRef::Shared => self.shared_rooms(member, draft.audience)?,
        };
        let wanted = member
            .membership(room_key)
            .is_some_and(|membership| membership.wanted);
        let room = self
            .rooms
            .get(room_key)
            .filter(|_| wanted)
            .ok_or(Refused::NotJoined)?;
        let publication = Publication {
            origin: self.shard,
            member: Some(key),
            guest: false,
            from: Some(member.sender(self.shard, key.slot)),
            room: room.name.clone(),
            rest,
            draft,
        };
        if room.shard == self.shard {
            self.sequence(Some(room_key), publication, effects);
        } else {
            effects.ask(room.shard, Ask::Publish(Box::new(publication)));
        }
        Ok(())
    }

    /// The member publishes in a room that it need not be in: whether it may is for the caller to
    /// decide. Otherwise as [`Hub::publish`]; a room that does not exist is treated as
    /// [`Hub::publish_anonymous`] does.
    ///
    /// # Errors
    /// [`Refused::UnknownMember`].
    pub fn publish_into(
        &mut self,
        key: MemberKey,
        room: &RoomName,
        draft: Draft,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let member = self.members.get(key).ok_or(Refused::UnknownMember)?;
        let known = self.room_of(member, room);
        let publication = Publication {
            origin: self.shard,
            member: Some(key),
            guest: true,
            from: Some(member.sender(self.shard, key.slot)),
            room: room.clone(),
            rest: Vec::new(),
            draft,
        };
        let held = known.and_then(|known| self.rooms.get(known));
        let home = held.map_or_else(|| self.home_of(room), |room| room.shard);
        if home == self.shard {
            self.sequence(known, publication, effects);
        } else {
            effects.ask(home, Ask::Publish(Box::new(publication)));
        }
        Ok(())
    }

    /// Publishes in a room in the name of no member. A draft with a token is answered by
    /// `Effect::Published` or `Effect::Refused` with no member, now or later. A room that does
    /// not exist is made only where its history is on; otherwise nobody hears the message, and it
    /// gets no id. [`Audience::Others`] means everyone here.
    pub fn publish_anonymous(&mut self, room: &RoomName, draft: Draft, effects: &mut Effects) {
        let publication = Publication {
            origin: self.shard,
            member: None,
            guest: false,
            from: None,
            room: room.clone(),
            rest: Vec::new(),
            draft,
        };
        let home = self.home_of(room);
        if home == self.shard {
            self.sequence(None, publication, effects);
        } else {
            effects.ask(home, Ask::Publish(Box::new(publication)));
        }
    }

    /// The member changes its name, its presence data, or both; what is not given stays. The
    /// others in its rooms are told by `Effect::Notice`.
    ///
    /// # Errors
    /// [`Refused::UnknownMember`], [`Refused::LimitName`], [`Refused::LimitPresence`].
    pub fn update(
        &mut self,
        key: MemberKey,
        name: Option<Arc<str>>,
        data: Option<Bytes>,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        self.check_profile(name.as_deref(), data.as_ref())?;
        let member = self.members.get_mut(key).ok_or(Refused::UnknownMember)?;
        member.update(name, data);
        self.announce(key, effects);
        Ok(())
    }

    /// Asks who else is in a room that the member is in, sorted by id, from after the id `after`
    /// on. The answer is `Effect::Listed`, now or later.
    ///
    /// # Errors
    /// [`Refused::UnknownMember`], [`Refused::NotJoined`].
    pub fn list(
        &mut self,
        key: MemberKey,
        room: &RoomName,
        page: Page,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let member = self.members.get(key).ok_or(Refused::UnknownMember)?;
        let room_key = self.rooms.find(room).ok_or(Refused::NotJoined)?;
        if !member
            .membership(room_key)
            .is_some_and(|membership| membership.wanted)
        {
            return Err(Refused::NotJoined);
        }
        let Page { token, after } = page;
        let asked = Asked { member: key, token };
        let list = List {
            room: room.clone(),
            asked,
            after,
        };
        let home = self.await_answer(room_key);
        if home == self.shard {
            self.sequence_list(self.shard, list, effects);
        } else {
            effects.ask(home, Ask::List(Box::new(list)));
        }
        Ok(())
    }

    /// The connection has ended: the member is out of all its rooms, and its slot may be connected
    /// again at once, with another generation. No effect names it after this. A key that names
    /// nobody is ignored.
    pub fn disconnect(&mut self, key: MemberKey, effects: &mut Effects) {
        let Some(member) = self.members.disconnect(key) else {
            return;
        };
        for membership in member.rooms() {
            let room_key = membership.room;
            if membership.is_seated() {
                self.unseat(room_key, membership.position);
            }
            // Where the last verb was a leave, the home has been told or is being told.
            if membership.wanted {
                let Some(room) = self.rooms.get_mut(room_key) else {
                    continue;
                };
                if room.shard == self.shard {
                    let peer = member.peer(self.shard, key.slot);
                    let before = room.population() + 1;
                    self.notify_small(room_key, before, Notice::PeerLeft(peer), effects);
                } else {
                    room.pending += 1;
                    let (home, room) = (room.shard, room.name.clone());
                    effects.ask(
                        home,
                        Ask::Leave(Leave {
                            room,
                            member: key,
                            token: None,
                        }),
                    );
                }
            }
            self.settle(room_key, effects);
        }
    }

    /// The members of a room on this shard, in no order. The list changes with the verbs, at once:
    /// see [`Joined`](crate::Joined) and `Effect::Left` for what a batch under way owes to whom.
    /// Empty for a key that names no room.
    #[must_use]
    pub fn members_of(&self, room: RoomKey) -> &[MemberKey] {
        self.rooms.get(room).map_or(&[], |room| &room.members)
    }

    /// Whether a member has its place in a room: whether it is one of [`Hub::members_of`].
    #[must_use]
    pub fn is_seated(&self, key: MemberKey, room: RoomKey) -> bool {
        let member = self.members.get(key);
        let membership = member.and_then(|member| member.membership(room));
        membership.is_some_and(|membership| membership.is_seated())
    }

    /// The name of a room; none for a key that names no room.
    #[must_use]
    pub fn room_name(&self, room: RoomKey) -> Option<&RoomName> {
        self.rooms.get(room).map(|room| &room.name)
    }

    /// The [class](crate::RoomOptions::class) of a room; 0 for a key that names no room.
    #[must_use]
    pub fn room_class(&self, room: RoomKey) -> u16 {
        self.rooms.get(room).map_or(0, |room| room.class)
    }

    /// The key of a room that this shard knows.
    #[must_use]
    pub fn room_key(&self, room: &RoomName) -> Option<RoomKey> {
        self.rooms.find(room)
    }

    /// The public id of a member.
    #[must_use]
    pub fn id_of(&self, key: MemberKey) -> Option<MemberId> {
        self.members
            .get(key)
            .map(|member| member.id(self.shard, key.slot))
    }

    /// The name of a member that has one.
    #[must_use]
    pub fn name_of(&self, key: MemberKey) -> Option<&Arc<str>> {
        self.members.get(key)?.name()
    }

    /// The member of this shard with this id; all of the id is compared.
    #[must_use]
    pub fn member(&self, id: &MemberId) -> Option<MemberKey> {
        if id.shard() == self.shard {
            self.members.find(id)
        } else {
            None
        }
    }

    /// The rooms that the member is in or has asked to join, in no order.
    pub fn rooms_of(&self, key: MemberKey) -> impl Iterator<Item = RoomKey> {
        let rooms = self.members.get(key).into_iter().flat_map(Member::rooms);
        rooms
            .filter(|membership| membership.wanted)
            .map(|membership| membership.room)
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> u16 {
        self.shards
    }

    /// Which shard gives the order of a room.
    #[must_use]
    pub fn home_of(&self, room: &RoomName) -> ShardId {
        self.seeds.home_of(room, self.shards)
    }

    /// The room of this name, looked for among those of the member first: to compare a name with
    /// one or two is cheaper than to hash it.
    fn room_of(&self, member: &Member, name: &RoomName) -> Option<RoomKey> {
        let is_it = |key: &RoomKey| self.rooms.get(*key).is_some_and(|room| room.name == *name);
        let own = member.rooms().map(|membership| membership.room);
        let near = own.take(ROOMS_COMPARED).find(is_it);
        near.or_else(|| self.rooms.find(name))
    }

    fn check_profile(&self, name: Option<&str>, data: Option<&Bytes>) -> Result<(), Refused> {
        let name_max = self.limits.name_bytes_max;
        let data_max = self.limits.presence_bytes_max;
        match (name.map_or(0, str::len), data.map_or(0, Bytes::len)) {
            (value, _) if value > name_max => Err(Refused::LimitName {
                max: name_max,
                value,
            }),
            (_, value) if value > data_max => Err(Refused::LimitPresence {
                max: data_max,
                value,
            }),
            _ => Ok(()),
        }
    }

    fn check_join(&self, key: MemberKey, room: &RoomName) -> Result<(), Refused> {
        let member = self.members.get(key).ok_or(Refused::UnknownMember)?;
        let held = self
            .rooms
            .find(room)
            .and_then(|room_key| member.membership(room_key));
        let max = self.limits.rooms_per_member_max;
        let in_flight_max = self.limits.in_flight_max;
        match held {
            Some(membership) if membership.wanted => Err(Refused::AlreadyJoined),
            Some(membership) if membership.in_flight >= in_flight_max => {
                Err(Refused::LimitInFlight {
                    max: in_flight_max.into(),
                })
            }
            None if member.rooms_len() >= max => Err(Refused::LimitRoomsPerMember { max }),
            _ => Ok(()),
        }
    }

    /// The rooms to try for a message to a member of an unnamed room: one, and the rest.
    fn shared_rooms(
        &self,
        member: &Member,
        audience: Audience,
    ) -> Result<(RoomKey, Vec<RoomName>), Refused> {
        let Audience::Member(target) = audience else {
            return Err(Refused::MisuseAudience);
        };
        if target.shard().0 >= self.shards {
            return Err(Refused::UnknownPeer);
        }
        let wanted = member.rooms().filter(|membership| membership.wanted);
        let rooms = wanted.filter_map(|held| Some((held.room, self.rooms.get(held.room)?)));
        let mut rooms: Vec<(RoomKey, &Room)> = rooms.collect();
        // One home after the other, and from the last: the next one is taken from the end.
        rooms.sort_by_key(|(_, room)| Reverse(room.shard));
        let (first, _) = rooms.pop().ok_or(Refused::UnknownPeer)?;
        let rest = rooms.iter().map(|(_, room)| room.name.clone()).collect();
        Ok((first, rest))
    }

    /// Counts an answer that the room's home owes; returns the home.
    fn await_answer(&mut self, room: RoomKey) -> ShardId {
        self.rooms.get_mut(room).map_or(self.shard, |room| {
            room.pending += 1;
            room.shard
        })
    }

    /// As [`Hub::update`], but silent where nothing changes.
    fn update_changed(
        &mut self,
        key: MemberKey,
        name: Option<Arc<str>>,
        data: Option<Bytes>,
        effects: &mut Effects,
    ) {
        if self
            .members
            .get_mut(key)
            .is_some_and(|member| member.update(name, data))
        {
            self.announce(key, effects);
        }
    }

    /// Tells the member's rooms how it looks now.
    fn announce(&mut self, key: MemberKey, effects: &mut Effects) {
        let Some(member) = self.members.get(key) else {
            return;
        };
        let peer = member.peer(self.shard, key.slot);
        let wanted = member.rooms().filter(|membership| membership.wanted);
        let rooms: Vec<RoomKey> = wanted.map(|membership| membership.room).collect();
        for room_key in rooms {
            let Some(room) = self.rooms.get(room_key) else {
                continue;
            };
            let update = Update {
                room: room.name.clone(),
                member: key,
                peer: Peer::clone(&peer),
            };
            if room.shard == self.shard {
                self.sequence_update(self.shard, update, effects);
            } else {
                effects.ask(room.shard, Ask::Update(Box::new(update)));
            }
        }
    }
}

/// Rooms of a member whose names are compared before the table is asked.
const ROOMS_COMPARED: usize = 4;

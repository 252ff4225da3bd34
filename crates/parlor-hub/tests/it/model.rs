//! The oracle: what each member must hear, written down at the moment in which a room's home takes
//! each request, without any of the hub's machinery (no shards, no keys, no positions).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use parlor_hub::{
    Audience, Hub, Limits, MemberId, MessageId, Notice, Peer, Refused, Resume, RoomName, RoomTable,
    Sender, ShardId,
};

use crate::memory::Kept;

/// What a member hears in one room, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Message {
        number: u64,
        offset: u64,
        from: Option<Sender>,
    },
    Direct {
        number: u64,
        from: Option<Sender>,
    },
    Came(Peer),
    Went(Peer),
    Changed(Peer),
}

/// What a verb with a token must be answered with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Joined {
        session: usize,
        head: u64,
        members: usize,
        roster: Option<(Vec<Peer>, bool)>,
        replay: Vec<Heard>,
        gap: Option<Option<u64>>,
    },
    Left {
        session: usize,
    },
    Published {
        offset: Option<u64>,
        receivers: usize,
    },
    Listed {
        peers: Vec<Peer>,
        more: bool,
    },
    Refused(Refused),
}

/// A request on its way to the home of its room.
#[derive(Clone, Debug)]
pub(crate) enum Tag {
    Join {
        peer: Peer,
        room: RoomName,
        token: u64,
        roster: bool,
        resume: Option<Resume>,
    },
    Leave {
        peer: Peer,
        room: RoomName,
        token: Option<u64>,
    },
    Publish {
        from: Option<Peer>,
        rooms: Vec<RoomName>,
        say: Say,
    },
    Update {
        peer: Peer,
        room: RoomName,
    },
    List {
        peer: Peer,
        room: RoomName,
        token: u64,
        after: Option<MemberId>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Say {
    pub(crate) number: u64,
    pub(crate) audience: Audience,
    pub(crate) token: Option<u64>,
    pub(crate) event_bytes: usize,
}

/// One stay of a member in a room.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) room: RoomName,
    pub(crate) epoch: Option<u32>,
    pub(crate) expected: Vec<Heard>,
    /// How many of them the member has heard.
    pub(crate) heard: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Place {
    /// One life of the room.
    pub(crate) life: usize,
    pub(crate) head: u64,
    pub(crate) members: BTreeMap<MemberId, (Peer, usize)>,
    pub(crate) kept: VecDeque<Kept>,
    /// Its number among the rooms that only their history keeps.
    pub(crate) empty: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) limits: Limits,
    pub(crate) table: RoomTable,
    pub(crate) shards: u16,
    /// Asked for nothing but which shard is a room's home.
    placement: Hub,
    pub(crate) now_ms: Vec<u64>,
    pub(crate) rooms: BTreeMap<RoomName, Place>,
    /// All that was said in each life of each room.
    pub(crate) lives: Vec<Vec<Heard>>,
    pub(crate) emptied: u64,
    pub(crate) sessions: Vec<Session>,
    pub(crate) answers: BTreeMap<u64, Answer>,
    /// The epoch of each life of each room, as the hub told it.
    pub(crate) epochs: BTreeMap<usize, u32>,
    session_lives: Vec<usize>,
    token_lives: BTreeMap<u64, usize>,
    last_numbers: BTreeMap<(RoomName, MemberId), u64>,
}

impl Heard {
    pub(crate) fn offset(&self) -> u64 {
        match self {
            Self::Message { offset, .. } => *offset,
            _ => 0,
        }
    }
}

impl Model {
    pub(crate) fn new(placement: Hub, shards: u16, limits: Limits, table: RoomTable) -> Self {
        Self {
            limits,
            table,
            shards,
            placement,
            now_ms: vec![0; shards.into()],
            rooms: BTreeMap::new(),
            lives: Vec::new(),
            emptied: 0,
            sessions: Vec::new(),
            answers: BTreeMap::new(),
            epochs: BTreeMap::new(),
            session_lives: Vec::new(),
            token_lives: BTreeMap::new(),
            last_numbers: BTreeMap::new(),
        }
    }

    /// The home takes a request. A message to one member that is not found may have to go on, to
    /// the home of the room named first in what is returned.
    pub(crate) fn apply(&mut self, tag: Tag) -> Result<Option<Tag>, String> {
        match tag {
            Tag::Join {
                peer,
                room,
                token,
                roster,
                resume,
            } => {
                let answer = self.join(peer, &room, roster, resume);
                self.answers.insert(token, answer);
            }
            Tag::Leave { peer, room, token } => {
                let answer = self.leave(&peer, &room);
                if let Some(token) = token {
                    self.answers.insert(token, answer);
                }
            }
            Tag::Publish { from, rooms, say } => {
                return self.publish(from, rooms, say);
            }
            Tag::Update { peer, room } => self.update(peer, &room),
            Tag::List {
                peer,
                room,
                token,
                after,
            } => {
                let answer = self.list(&peer, &room, after);
                self.answers.insert(token, answer);
            }
        }
        Ok(None)
    }

    pub(crate) fn home_of(&self, room: &RoomName) -> ShardId {
        self.placement.home_of(room)
    }

    fn join(
        &mut self,
        peer: Peer,
        room: &RoomName,
        roster: bool,
        resume: Option<Resume>,
    ) -> Answer {
        if let Err(refused) = self.begin(room) {
            return Answer::Refused(refused);
        }
        let place = self.rooms.get(room).unwrap();
        let (replay, gap) = self.replay(place, resume);
        let place = self.rooms.get_mut(room).unwrap();
        let max = self.limits.members_per_room_max;
        if place.members.len() >= max {
            return Answer::Refused(Refused::LimitMembersPerRoom { max });
        }
        let members = place.members.len() + 1;
        let roster = roster.then(|| page(place, &peer, None, &self.limits));
        if members <= self.limits.presence_members_max {
            tell(&mut self.sessions, place, None, &Heard::Came(peer.clone()));
        }
        let session = self.sessions.len();
        place.members.insert(peer.id, (peer, session));
        place.empty = None;
        self.session_lives.push(place.life);
        let room = room.clone();
        self.sessions.push(Session {
            room,
            epoch: None,
            expected: Vec::new(),
            heard: 0,
        });
        Answer::Joined {
            session,
            head: place.head,
            members,
            roster,
            replay,
            gap,
        }
    }

    fn leave(&mut self, peer: &Peer, room: &RoomName) -> Answer {
        let place = self.rooms.get_mut(room);
        let Some((place, (peer, session))) =
            place.and_then(|place| place.members.remove(&peer.id).map(|held| (place, held)))
        else {
            return Answer::Refused(Refused::NotJoined);
        };
        if place.members.len() < self.limits.presence_members_max {
            tell(&mut self.sessions, place, None, &Heard::Went(peer));
        }
        self.settle(room);
        Answer::Left { session }
    }

    fn publish(
        &mut self,
        from: Option<Peer>,
        mut rooms: Vec<RoomName>,
        say: Say,
    ) -> Result<Option<Tag>, String> {
        let home = self.home_of(&rooms[0]);
        while let Some(room) = rooms.first().cloned() {
            if self.home_of(&room) != home {
                return Ok(Some(Tag::Publish { from, rooms, say }));
            }
            rooms.remove(0);
            let answer = self.publish_in(from.as_ref(), &room, &say)?;
            if !matches!(answer, Answer::Refused(_)) || rooms.is_empty() {
                if let Some(token) = say.token {
                    self.answers.insert(token, answer);
                }
                break;
            }
        }
        Ok(None)
    }

    fn publish_in(
        &mut self,
        from: Option<&Peer>,
        room: &RoomName,
        say: &Say,
    ) -> Result<Answer, String> {
        let sender = from.map(|peer| peer.id);
        let number = say.number;
        if let Audience::Member(target) = say.audience {
            let refused = Answer::Refused(Refused::UnknownPeer);
            let Some(place) = self.rooms.get(room) else {
                return Ok(refused);
            };
            let may = sender.is_none_or(|sender| place.members.contains_key(&sender));
            let Some((_, session)) = place.members.get(&target).filter(|_| may) else {
                return Ok(refused);
            };
            self.sessions[*session].expected.push(Heard::Direct {
                number,
                from: from.map(sender_of),
            });
            return Ok(Answer::Published {
                offset: None,
                receivers: 1,
            });
        }
        let keeps = self.table.options(room.as_str()).has_history();
        if sender.is_none()
            && keeps
            && let Err(refused) = self.begin(room)
        {
            return Ok(Answer::Refused(refused));
        }
        let place = self.rooms.get_mut(room);
        let Some(place) = place else {
            let nobody = Answer::Published {
                offset: None,
                receivers: 0,
            };
            let refused = Answer::Refused(Refused::NotJoined);
            return Ok(if sender.is_none() { nobody } else { refused });
        };
        if let Some(sender) = sender {
            if !place.members.contains_key(&sender) {
                return Ok(Answer::Refused(Refused::NotJoined));
            }
            // Numbers rise in the order in which a sender speaks.
            let last = self.last_numbers.insert((room.clone(), sender), number);
            if last.is_some_and(|last| last >= number) {
                return Err(format!("{sender} said {number} before {last:?} in {room}"));
            }
        }
        place.head += 1;
        let offset = place.head;
        let except = match say.audience {
            Audience::Others => sender,
            Audience::Except(other) => Some(other),
            Audience::Room | Audience::Member(_) => None,
        };
        let heard = Heard::Message {
            number,
            offset,
            from: from.map(sender_of),
        };
        let receivers = tell(&mut self.sessions, place, except, &heard);
        if let Some(token) = say.token {
            self.token_lives.insert(token, place.life);
        }
        self.keep(room, &heard, say.event_bytes);
        self.settle(room);
        Ok(Answer::Published {
            offset: Some(offset),
            receivers,
        })
    }

    fn update(&mut self, peer: Peer, room: &RoomName) {
        let Some(place) = self.rooms.get_mut(room) else {
            return;
        };
        let Some(held) = place.members.get_mut(&peer.id) else {
            return;
        };
        held.0 = peer.clone();
        if place.members.len() <= self.limits.presence_members_max {
            let id = peer.id;
            tell(&mut self.sessions, place, Some(id), &Heard::Changed(peer));
        }
    }

    fn list(&self, peer: &Peer, room: &RoomName, after: Option<MemberId>) -> Answer {
        let place = self.rooms.get(room);
        match place.filter(|place| place.members.contains_key(&peer.id)) {
            Some(place) => {
                let (peers, more) = page(place, peer, after, &self.limits);
                Answer::Listed { peers, more }
            }
            None => Answer::Refused(Refused::NotJoined),
        }
    }

    /// Something reached a member's door; it must be the next thing that it has to hear.
    pub(crate) fn hear(&mut self, session: usize, heard: &Heard) -> Result<(), String> {
        let session = &mut self.sessions[session];
        let next = session.expected.get(session.heard);
        if next != Some(heard) {
            return Err(format!(
                "heard {heard:?} in {}, expected {next:?}",
                session.room
            ));
        }
        session.heard += 1;
        Ok(())
    }

    /// The hub told an id of the life of a room in which a session or a message is.
    pub(crate) fn check_epoch(&mut self, of: Of, id: MessageId) -> Result<(), String> {
        let life = match of {
            Of::Session(session) => {
                let known = self.sessions[session].epoch.get_or_insert(id.epoch);
                if *known != id.epoch {
                    return Err(format!("session {session}: epoch {known:08x}, told {id}"));
                }
                self.session_lives[session]
            }
            Of::Token(token) => self.token_lives[&token],
        };
        let known = self.epochs.entry(life).or_insert(id.epoch);
        if *known != id.epoch {
            return Err(format!("life {life}: epoch {known:08x}, told {id}"));
        }
        Ok(())
    }

    /// What a member was told by a notice.
    pub(crate) fn heard_of(effect: &Notice) -> Heard {
        match effect {
            Notice::PeerJoined(peer) => Heard::Came(peer.clone()),
            Notice::PeerLeft(peer) => Heard::Went(peer.clone()),
            Notice::Presence(peer) => Heard::Changed(peer.clone()),
        }
    }

    /// At the end: no epoch came twice for different lives.
    pub(crate) fn check_epochs(&self) -> Result<(), String> {
        let distinct: BTreeSet<u32> = self.epochs.values().copied().collect();
        if distinct.len() != self.epochs.len() {
            return Err("an epoch came twice".to_owned());
        }
        Ok(())
    }
}

/// What an id belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Session(usize),
    Token(u64),
}

fn sender_of(peer: &Peer) -> Sender {
    Sender {
        id: peer.id,
        name: peer.name.clone(),
    }
}

fn tell(sessions: &mut [Session], place: &Place, except: Option<MemberId>, heard: &Heard) -> usize {
    let mut count = 0;
    for (id, (_, session)) in &place.members {
        if Some(*id) != except {
            sessions[*session].expected.push(heard.clone());
            count += 1;
        }
    }
    count
}

fn page(
    place: &Place,
    asking: &Peer,
    after: Option<MemberId>,
    limits: &Limits,
) -> (Vec<Peer>, bool) {
    let place_of = |id: MemberId| (id.shard(), id.slot());
    let others = place
        .members
        .values()
        .map(|(peer, _)| peer)
        .filter(|peer| peer.id != asking.id);
    let after = |peer: &&Peer| after.is_none_or(|after| place_of(peer.id) > place_of(after));
    let mut peers: Vec<Peer> = others.filter(after).cloned().collect();
    let more = peers.len() > limits.roster_members_max;
    peers.truncate(limits.roster_members_max);
    (peers, more)
}

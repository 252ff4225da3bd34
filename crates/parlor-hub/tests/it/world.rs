//! Shards, the mailboxes between them, and clients that compare what they hear with the oracle.

use std::collections::{BTreeMap, VecDeque};
use std::hash::DefaultHasher;
use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::{
    Audience, Draft, Effects, Hub, JoinOptions, Limits, MemberId, MemberKey, Message, MessageId,
    Page, Payload, Peer, Priority, Refused, RoomKey, RoomName, RoomRef, RoomTable, Seeds, ShardId,
    Word,
};

use crate::ear::Ear;
use crate::model::{Model, Say, Tag};
use crate::random::Random;

pub(crate) type Checked = Result<(), String>;

/// What goes wrong in the mailboxes, once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Nothing,
    /// After so many words, one that carries a message to a room is lost.
    Drop(usize),
    /// After so many words, one that carries a message to a room overtakes the one before it.
    Swap(usize),
    /// After so many words, one that carries a message to a room comes twice.
    Twice(usize),
    /// It has happened.
    Done,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) hubs: Vec<Hub>,
    pub(crate) model: Model,
    pub(crate) clients: Vec<Client>,
    /// Their sockets.
    pub(crate) ears: Vec<Ear>,
    /// Whether the sockets stall now and then.
    pub(crate) stalls: bool,
    pub(crate) limits: Limits,
    /// `mail[from][to]`.
    pub(crate) mail: Vec<Vec<VecDeque<Letter>>>,
    pub(crate) by_key: Vec<BTreeMap<MemberKey, usize>>,
    /// Slots that may be taken again, and the next generation of each slot.
    pub(crate) free: Vec<Vec<u32>>,
    pub(crate) generations: Vec<Vec<u32>>,
    /// What a shell knows of the rooms of each shard from the effects alone.
    pub(crate) known: Vec<BTreeMap<RoomKey, Known>>,
    pub(crate) tokens: BTreeMap<u64, (Option<usize>, RoomName)>,
    pub(crate) numbers: u64,
    pub(crate) words: usize,
    /// How often what happened, so that a run that tests nothing is noticed.
    pub(crate) tally: BTreeMap<&'static str, usize>,
    /// Ids that members were told, to come back with.
    pub(crate) seen: Vec<(RoomName, MessageId)>,
    pub(crate) fault: Fault,
    /// Takes in all effects, where wanted.
    pub(crate) digest: Option<DefaultHasher>,
    /// Members at most.
    pub(crate) crowd: usize,
}

pub(crate) struct Letter {
    pub(crate) word: Option<Word>,
    pub(crate) tag: Option<Tag>,
}

pub(crate) struct Known {
    pub(crate) name: RoomName,
    pub(crate) seated: Vec<MemberKey>,
}

pub(crate) struct Client {
    pub(crate) shard: ShardId,
    pub(crate) key: MemberKey,
    pub(crate) peer: Peer,
    pub(crate) live: bool,
    pub(crate) held: BTreeMap<RoomName, Held>,
}

#[derive(Default)]
pub(crate) struct Held {
    pub(crate) wanted: bool,
    pub(crate) in_flight: u8,
    pub(crate) session: Option<usize>,
}

impl World {
    pub(crate) fn new(seed: u64, shards: u16, limits: Limits, table: RoomTable) -> Self {
        let mut random = Random::new(seed);
        let seeds = Seeds {
            placement: random.next(),
            epochs: random.next(),
        };
        let rooms = Arc::new(table.clone());
        let bare = |shard| Hub::new(ShardId(shard), shards, seeds, limits.clone());
        let hub = |shard| bare(shard).with_rooms(Arc::clone(&rooms));
        let each = usize::from(shards);
        let mailboxes = || (0..each).map(|_| VecDeque::new()).collect();
        Self {
            random,
            hubs: (0..shards).map(hub).collect(),
            model: Model::new(bare(0), shards, limits.clone(), table),
            clients: Vec::new(),
            ears: Vec::new(),
            stalls: true,
            limits,
            mail: (0..each).map(|_| mailboxes()).collect(),
            by_key: vec![BTreeMap::new(); each],
            free: vec![Vec::new(); each],
            generations: vec![Vec::new(); each],
            known: (0..each).map(|_| BTreeMap::new()).collect(),
            tokens: BTreeMap::new(),
            numbers: 0,
            words: 0,
            tally: BTreeMap::new(),
            seen: Vec::new(),
            fault: Fault::Nothing,
            crowd: 24,
            digest: None,
        }
    }

    pub(crate) fn connect(&mut self, name: Option<&str>) -> usize {
        let shard = self.random.below(self.hubs.len());
        let slot = match self.free[shard].pop() {
            Some(slot) => slot,
            None => {
                self.generations[shard].push(0);
                u32::try_from(self.generations[shard].len() - 1).unwrap()
            }
        };
        let generation = self.generations[shard][slot as usize];
        let key = MemberKey { slot, generation };
        let secret = self.random.secret();
        let id = self.hubs[shard].connect(key, secret, name).unwrap();
        let index = self.clients.len();
        let peer = Peer {
            id,
            name: name.map(Arc::from),
            data: None,
        };
        let shard_id = id.shard();
        self.clients.push(Client {
            shard: shard_id,
            key,
            peer,
            live: true,
            held: BTreeMap::new(),
        });
        self.ears.push(Ear::default());
        self.by_key[shard].insert(key, index);
        index
    }

    pub(crate) fn disconnect(&mut self, client: usize) -> Checked {
        let Client {
            shard,
            key,
            ref peer,
            ..
        } = self.clients[client];
        let at = usize::from(shard.0);
        let wanted: Vec<RoomName> = self.wanted(client);
        let peer = peer.clone();
        let mut effects = Effects::new();
        self.hubs[at].disconnect(key, &mut effects);
        let tags = wanted.into_iter().map(|room| {
            let tag = Tag::Leave {
                peer: peer.clone(),
                room: room.clone(),
                token: None,
            };
            (self.home_of(&room), tag)
        });
        let tags = tags.collect();
        let gone = &mut self.clients[client];
        gone.live = false;
        gone.held.clear();
        self.by_key[at].remove(&key);
        for known in self.known[at].values_mut() {
            known.seated.retain(|seated| *seated != key);
        }
        self.generations[at][key.slot as usize] += 1;
        self.free[at].push(key.slot);
        self.perform(shard, tags, effects)
    }

    pub(crate) fn join(&mut self, client: usize, room: &RoomName, options: JoinOptions) -> Checked {
        let token = self.token(Some(client), room);
        let Client {
            shard,
            key,
            ref peer,
            ..
        } = self.clients[client];
        let mut changed = peer.clone();
        changed.name = options.name.clone().or(changed.name);
        changed.data = options.data.clone().or(changed.data);
        let mut tags = Vec::new();
        if changed != *peer {
            for other in self.wanted(client) {
                let tag = Tag::Update {
                    peer: changed.clone(),
                    room: other.clone(),
                };
                tags.push((self.home_of(&other), tag));
            }
        }
        let (peer, roster) = (changed.clone(), options.roster);
        let home = self.home_of(room);
        tags.push((
            home,
            Tag::Join {
                peer,
                room: room.clone(),
                token,
                roster,
                resume: options.resume,
            },
        ));
        let expected = self.may_join(client, room, home);
        let mut effects = Effects::new();
        let options = JoinOptions {
            token: Some(token),
            ..options
        };
        let got = self.hubs[usize::from(shard.0)].join(key, room, options, &mut effects);
        if !self.same(token, expected, got)? {
            return Ok(());
        }
        let client = &mut self.clients[client];
        client.peer = changed;
        let held = client.held.entry(room.clone()).or_default();
        held.wanted = true;
        held.in_flight += 1;
        self.perform(shard, tags.into(), effects)
    }

    fn may_join(&self, client: usize, room: &RoomName, home: ShardId) -> Result<(), Refused> {
        let Client {
            shard, ref held, ..
        } = self.clients[client];
        let in_flight_max = self.limits.in_flight_max;
        let max = self.limits.rooms_per_member_max;
        match held.get(room) {
            Some(held) if held.wanted => return Err(Refused::AlreadyJoined),
            Some(held) if held.in_flight >= in_flight_max => {
                return Err(Refused::LimitInFlight {
                    max: in_flight_max.into(),
                });
            }
            None if held.len() >= max => return Err(Refused::LimitRoomsPerMember { max }),
            _ => {}
        }
        if home == shard {
            self.model.may_begin(room)?;
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, client: usize, room: &RoomName) -> Checked {
        let token = self.token(Some(client), room);
        let Client {
            shard,
            key,
            ref peer,
            ref held,
            ..
        } = self.clients[client];
        let max = self.limits.in_flight_max;
        let expected = match held.get(room) {
            Some(held) if held.wanted && held.in_flight >= max => {
                Err(Refused::LimitInFlight { max: max.into() })
            }
            Some(held) if held.wanted => Ok(()),
            _ => Err(Refused::NotJoined),
        };
        let tag = Tag::Leave {
            peer: peer.clone(),
            room: room.clone(),
            token: Some(token),
        };
        let tags = [(self.home_of(room), tag)].into();
        let mut effects = Effects::new();
        let got = self.hubs[usize::from(shard.0)].leave(key, room, Some(token), &mut effects);
        if !self.same(token, expected, got)? {
            return Ok(());
        }
        let held = self.clients[client].held.get_mut(room).unwrap();
        held.wanted = false;
        held.in_flight += 1;
        self.perform(shard, tags, effects)
    }

    /// Publishes in a room, or to a member in any shared room.
    pub(crate) fn publish(
        &mut self,
        client: usize,
        room: Option<&RoomName>,
        audience: Audience,
    ) -> Checked {
        let (draft, say) = self.draft(Some(client), room, audience);
        let Client {
            shard,
            key,
            ref peer,
            ref held,
            ..
        } = self.clients[client];
        let from = Some(peer.clone());
        let at = usize::from(shard.0);
        let (rooms, expected) = match room {
            Some(room) if held.get(room).is_some_and(|held| held.wanted) => {
                (vec![room.clone()], Ok(()))
            }
            Some(_) => (Vec::new(), Err(Refused::NotJoined)),
            None => match self.wanted_by_home(client) {
                rooms if rooms.is_empty() => (rooms, Err(Refused::UnknownPeer)),
                rooms => (rooms, Ok(())),
            },
        };
        let by_key = self.random.one_in(2);
        let key_of_room = room.and_then(|room| self.hubs[at].room_key(room));
        let reference = match (room, key_of_room) {
            (Some(_), Some(room)) if by_key => RoomRef::Key(room),
            (Some(room), _) => RoomRef::Name(room),
            (None, _) => RoomRef::Shared,
        };
        let mut effects = Effects::new();
        let got = self.hubs[at].publish(key, reference, draft, &mut effects);
        if !self.same(say.token.unwrap_or_default(), expected, got)? {
            return Ok(());
        }
        let home = self.home_of(&rooms[0]);
        self.perform(
            shard,
            [(home, Tag::Publish { from, rooms, say })].into(),
            effects,
        )
    }

    pub(crate) fn publish_anonymous(&mut self, room: &RoomName, audience: Audience) -> Checked {
        let (draft, say) = self.draft(None, Some(room), audience);
        let at = self.random.below(self.hubs.len());
        let mut effects = Effects::new();
        self.hubs[at].publish_anonymous(room, draft, &mut effects);
        let tag = Tag::Publish {
            from: None,
            rooms: vec![room.clone()],
            say,
        };
        let shard = ShardId(u16::try_from(at).unwrap());
        self.perform(shard, [(self.home_of(room), tag)].into(), effects)
    }

    pub(crate) fn update(&mut self, client: usize, name: Option<&str>, data: &str) -> Checked {
        let Client { shard, key, .. } = self.clients[client];
        let name: Option<Arc<str>> = name.map(Arc::from);
        let data = Some(Bytes::copy_from_slice(data.as_bytes()));
        let wanted = self.wanted(client);
        let peer = &mut self.clients[client].peer;
        peer.name = name.clone().or_else(|| peer.name.take());
        peer.data.clone_from(&data);
        let peer = peer.clone();
        let tags = wanted.into_iter().map(|room| {
            let tag = Tag::Update {
                peer: peer.clone(),
                room: room.clone(),
            };
            (self.home_of(&room), tag)
        });
        let tags = tags.collect();
        let mut effects = Effects::new();
        let updated = self.hubs[usize::from(shard.0)].update(key, name, data, &mut effects);
        updated.map_err(|refused| refused.to_string())?;
        self.perform(shard, tags, effects)
    }

    pub(crate) fn list(
        &mut self,
        client: usize,
        room: &RoomName,
        after: Option<MemberId>,
    ) -> Checked {
        let token = self.token(Some(client), room);
        let Client {
            shard,
            key,
            ref peer,
            ref held,
            ..
        } = self.clients[client];
        let wanted = held.get(room).is_some_and(|held| held.wanted);
        let expected = if wanted {
            Ok(())
        } else {
            Err(Refused::NotJoined)
        };
        let peer = peer.clone();
        let mut effects = Effects::new();
        let page = Page {
            token: Some(token),
            after,
        };
        let got = self.hubs[usize::from(shard.0)].list(key, room, page, &mut effects);
        if !self.same(token, expected, got)? {
            return Ok(());
        }
        let tag = Tag::List {
            peer,
            room: room.clone(),
            token,
            after,
        };
        self.perform(shard, [(self.home_of(room), tag)].into(), effects)
    }

    /// Carries one word; false if there was none.
    pub(crate) fn carry(&mut self) -> Result<bool, String> {
        let shards = self.hubs.len();
        let pairs: Vec<(usize, usize)> = (0..shards * shards)
            .map(|index| (index / shards, index % shards))
            .filter(|(from, to)| !self.mail[*from][*to].is_empty())
            .collect();
        if pairs.is_empty() {
            return Ok(false);
        }
        let (from, to) = self.random.pick(&pairs);
        let Letter { word, tag } = self.mail[from][to].pop_front().unwrap();
        let mut effects = Effects::new();
        let shard = |index| ShardId(u16::try_from(index).unwrap());
        if let Some(word) = word {
            self.hubs[to].receive(shard(from), word, &mut effects);
        }
        let tags = tag.map(|tag| (shard(to), tag)).into_iter().collect();
        self.perform(shard(to), tags, effects)?;
        Ok(true)
    }

    pub(crate) fn carry_all(&mut self) -> Checked {
        while self.carry()? {}
        Ok(())
    }

    /// Everything is carried; everybody must have heard everything. Then all go.
    pub(crate) fn finish(&mut self) -> Checked {
        self.carry_all()?;
        for client in self.clients.iter().filter(|client| client.live) {
            for (room, held) in &client.held {
                let session = held
                    .session
                    .ok_or_else(|| format!("no answer for {room}"))?;
                self.check_complete(session)?;
            }
        }
        for client in 0..self.clients.len() {
            if self.clients[client].live {
                self.listen_out(client)?;
            }
        }
        let waits = |(client, _): &(Option<usize>, RoomName)| {
            client.is_none_or(|client| self.clients[client].live)
        };
        if let Some(waiting) = self.tokens.iter().find(|(_, waiting)| waits(waiting)) {
            return Err(format!("never answered: {waiting:?}"));
        }
        self.model.check_epochs()?;
        while let Some(client) = self.pick_live() {
            self.disconnect(client)?;
            if self.random.one_in(3) {
                self.carry()?;
            }
        }
        self.carry_all()?;
        for shard in 0..self.hubs.len() {
            self.tick(shard, 1_000_000)?;
        }
        for (hub, known) in self.hubs.iter().zip(&self.known) {
            let counts = hub.counts();
            let evicted = usize::try_from(counts.rooms_evicted).unwrap();
            let shed = usize::try_from(counts.history_shed).unwrap();
            *self.tally.entry("evicted rooms").or_default() += evicted;
            *self.tally.entry("shed messages").or_default() += shed;
            if counts.members + counts.rooms + counts.rooms_homed > 0 || !known.is_empty() {
                return Err(format!("left behind: {counts:?}, {} keys", known.len()));
            }
        }
        Ok(())
    }

    /// Time passes on one shard.
    pub(crate) fn tick(&mut self, shard: usize, step_ms: u64) -> Checked {
        let now_ms = self.model.now_ms[shard] + step_ms;
        let mut effects = Effects::new();
        let next = self.hubs[shard].tick(now_ms, &mut effects);
        if next.is_some_and(|next| next <= now_ms) {
            return Err(format!("a tick at {now_ms} left {next:?}"));
        }
        let shard = ShardId(u16::try_from(shard).unwrap());
        self.model.tick(shard, now_ms);
        self.perform(shard, VecDeque::new(), effects)
    }

    pub(crate) fn pick_live(&mut self) -> Option<usize> {
        let live = (0..self.clients.len()).filter(|client| self.clients[*client].live);
        let live: Vec<usize> = live.collect();
        if live.is_empty() {
            None
        } else {
            Some(self.random.pick(&live))
        }
    }

    pub(crate) fn home_of(&self, room: &RoomName) -> ShardId {
        self.hubs[0].home_of(room)
    }

    /// The rooms that the client wants to be in, in the hub's order.
    fn wanted(&self, client: usize) -> Vec<RoomName> {
        let Client { shard, key, .. } = self.clients[client];
        let hub = &self.hubs[usize::from(shard.0)];
        hub.rooms_of(key)
            .filter_map(|room| hub.room_name(room).cloned())
            .collect()
    }

    /// The same in the order in which they are tried for a message to one member.
    fn wanted_by_home(&self, client: usize) -> Vec<RoomName> {
        let mut rooms = self.wanted(client);
        rooms.reverse();
        rooms.sort_by_key(|room| self.home_of(room));
        rooms
    }

    fn token(&mut self, client: Option<usize>, room: &RoomName) -> u64 {
        self.numbers += 1;
        self.tokens.insert(self.numbers, (client, room.clone()));
        self.numbers
    }

    fn draft(
        &mut self,
        client: Option<usize>,
        room: Option<&RoomName>,
        audience: Audience,
    ) -> (Draft, Say) {
        self.numbers += 1;
        let number = self.numbers;
        let mut draft = Draft::new(payload(number));
        draft.event = event(number);
        draft.priority = priority(number);
        draft.hint = hint(number);
        draft.audience = audience;
        if !self.random.one_in(4) {
            let any = RoomName::new("any").unwrap();
            draft.token = Some(self.token(client, room.unwrap_or(&any)));
        }
        let token = draft.token;
        let event_bytes = event(number).map_or(0, |event| event.len());
        (
            draft,
            Say {
                number,
                audience,
                token,
                event_bytes,
            },
        )
    }

    /// Whether the verb went through, as it had to.
    fn same(
        &mut self,
        token: u64,
        expected: Result<(), Refused>,
        got: Result<(), Refused>,
    ) -> Result<bool, String> {
        if expected != got {
            return Err(format!("a verb gave {got:?}, expected {expected:?}"));
        }
        if got.is_err() {
            self.tokens.remove(&token);
        }
        Ok(got.is_ok())
    }
}

fn payload(number: u64) -> Payload {
    let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
    match number % 3 {
        0 => Payload::Text(bytes),
        1 => Payload::Binary(bytes),
        _ => Payload::Json(bytes),
    }
}

fn event(number: u64) -> Option<Arc<str>> {
    (!number.is_multiple_of(5)).then(|| format!("event {}", number % 5).into())
}

fn priority(number: u64) -> Priority {
    match number % 7 {
        0 => Priority::Low,
        1 => Priority::High,
        _ => Priority::Normal,
    }
}

fn hint(number: u64) -> u32 {
    u32::try_from(number % 11).unwrap()
}

/// Returns the message's number if everything that was published with it is there.
pub(crate) fn check_message(message: &Message) -> Result<u64, String> {
    let bytes: [u8; 8] = message
        .payload
        .bytes()
        .as_ref()
        .try_into()
        .map_err(|_| "not a payload of ours")?;
    let number = u64::from_be_bytes(bytes);
    let same = message.payload == payload(number)
        && message.event == event(number)
        && message.priority == priority(number)
        && message.hint == hint(number);
    if same {
        Ok(number)
    } else {
        Err(format!("changed on the way: {message:?}"))
    }
}

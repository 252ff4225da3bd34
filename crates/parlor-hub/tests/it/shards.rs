//! Shards for small stories.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parlor_hub::{
    Audience, Draft, Effect, Effects, Hub, JoinOptions, Joined, Limits, MemberId, MemberKey,
    Message, Payload, Resume, RoomName, RoomOptions, RoomRef, RoomTable, Seeds, ShardId, Word,
};

/// A few shards whose mailboxes are carried when asked.
pub(crate) struct Shards {
    pub(crate) hubs: Vec<Hub>,
    pub(crate) mail: VecDeque<(ShardId, ShardId, Word)>,
    pub(crate) effects: Effects,
}

/// A member, and the shard that it is on.
#[derive(Clone, Copy)]
pub(crate) struct Someone {
    pub(crate) shard: usize,
    pub(crate) key: MemberKey,
    pub(crate) id: MemberId,
}

impl Shards {
    pub(crate) fn new(shards: u16) -> Self {
        Self::with(shards, &Limits::default(), RoomOptions::default())
    }

    pub(crate) fn with(shards: u16, limits: &Limits, options: RoomOptions) -> Self {
        let table = Arc::new(RoomTable::new(options));
        let seeds = Seeds {
            placement: 1,
            epochs: 2,
        };
        let hub = |shard| {
            Hub::new(ShardId(shard), shards, seeds, limits.clone()).with_rooms(Arc::clone(&table))
        };
        Self {
            hubs: (0..shards).map(hub).collect(),
            mail: VecDeque::new(),
            effects: Effects::new(),
        }
    }

    pub(crate) fn connect(&mut self, shard: usize, slot: u32, generation: u32) -> Someone {
        let key = MemberKey { slot, generation };
        let mut secret = [7; 10];
        secret[..4].copy_from_slice(&generation.to_be_bytes());
        let id = self.hubs[shard].connect(key, secret, None).unwrap();
        Someone { shard, key, id }
    }

    pub(crate) fn join(&mut self, who: Someone, room: &RoomName, options: JoinOptions) {
        let hub = &mut self.hubs[who.shard];
        hub.join(who.key, room, options, &mut self.effects).unwrap();
        self.post(who.shard);
    }

    pub(crate) fn leave(&mut self, who: Someone, room: &RoomName) {
        let hub = &mut self.hubs[who.shard];
        hub.leave(who.key, room, None, &mut self.effects).unwrap();
        self.post(who.shard);
    }

    pub(crate) fn publish(&mut self, who: Someone, room: &RoomName, draft: Draft) {
        let hub = &mut self.hubs[who.shard];
        let room = RoomRef::Name(room);
        hub.publish(who.key, room, draft, &mut self.effects)
            .unwrap();
        self.post(who.shard);
    }

    /// Moves the words of a shard to the mailboxes; the other effects stay.
    pub(crate) fn post(&mut self, shard: usize) -> Vec<(usize, Effect)> {
        let from = ShardId(u16::try_from(shard).unwrap());
        let mut others = Vec::new();
        for effect in self.effects.drain() {
            match effect {
                Effect::Send { to, word } => self.mail.push_back((from, to, word)),
                other => others.push((shard, other)),
            }
        }
        others
    }

    /// Carries all mail; returns what came of it.
    pub(crate) fn carry(&mut self) -> Vec<(usize, Effect)> {
        let mut others = Vec::new();
        while let Some((from, to, word)) = self.mail.pop_front() {
            let shard = usize::from(to.0);
            self.hubs[shard].receive(from, word, &mut self.effects);
            others.extend(self.post(shard));
        }
        others
    }

    /// A verb on one shard, and everything that comes of it anywhere.
    pub(crate) fn run(
        &mut self,
        shard: usize,
        verb: impl FnOnce(&mut Hub, &mut Effects),
    ) -> Vec<(usize, Effect)> {
        verb(&mut self.hubs[shard], &mut self.effects);
        let mut all = self.post(shard);
        all.extend(self.carry());
        all
    }

    pub(crate) fn rejoin(&mut self, who: Someone, room: &RoomName, resume: Resume) -> Joined {
        let options = JoinOptions {
            resume: Some(resume),
            ..JoinOptions::default()
        };
        let effects = self.run(who.shard, |hub, effects| {
            hub.join(who.key, room, options, effects).unwrap();
        });
        joined(effects)
    }
}

pub(crate) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

/// A room whose home is the shard.
pub(crate) fn room_at(hub: &Hub, home: u16) -> RoomName {
    let rooms = (0..1000).map(|number| room(&format!("room {number}")));
    rooms
        .into_iter()
        .find(|room| hub.home_of(room) == ShardId(home))
        .unwrap()
}

pub(crate) fn text(text: &str, audience: Audience) -> Draft {
    let mut draft = Draft::new(Payload::Text(Bytes::copy_from_slice(text.as_bytes())));
    draft.audience = audience;
    draft.token = Some(9);
    draft
}

pub(crate) fn joined(effects: Vec<(usize, Effect)>) -> Joined {
    let joined = effects.into_iter().find_map(|(_, effect)| match effect {
        Effect::Joined(joined) => Some(*joined),
        _ => None,
    });
    joined.expect("somebody joined")
}

pub(crate) fn texts<'a>(messages: impl IntoIterator<Item = &'a Arc<Message>>) -> Vec<String> {
    let text =
        |message: &Arc<Message>| String::from_utf8(message.payload.bytes().to_vec()).unwrap();
    messages.into_iter().map(text).collect()
}

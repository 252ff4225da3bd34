//! Small stories of history: who comes back to what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use parlor_hub::{
    Audience, Effect, Gap, Histories, History, Hub, JoinOptions, Limits, Message, MessageId,
    Refused, Request, Resume, RoomKey, RoomName, RoomOptions, RoomPattern, RoomTable, Roster,
    Seeds, ShardId,
};

use crate::shards::{Shards, joined, room, room_at, text, texts};

#[test]
fn a_returning_member_hears_what_it_missed() {
    let mut shards = Shards::new(2);
    let tea = room_at(&shards.hubs[0], 1);
    let (ann, bo) = (shards.connect(0, 0, 0), shards.connect(1, 0, 0));
    shards.join(bo, &tea, JoinOptions::default());
    let first = shards.rejoin(ann, &tea, Resume::Last(5));
    assert_eq!((first.replay.len(), first.gap, first.members), (0, None, 2));
    for word in ["one", "two", "three"] {
        shards.publish(bo, &tea, text(word, Audience::Others));
    }
    shards.leave(ann, &tea);
    shards.carry();
    let epoch = first.head.epoch;

    let back = shards.rejoin(ann, &tea, Resume::Since(MessageId::new(epoch, 1)));
    assert_eq!(texts(&back.replay), ["two", "three"]);
    assert_eq!((back.gap, back.head), (None, MessageId::new(epoch, 3)));
    // The sender hears its own as well.
    shards.leave(bo, &tea);
    let back = shards.rejoin(bo, &tea, Resume::Since(first.head));
    assert_eq!(texts(&back.replay), ["one", "two", "three"]);

    let oldest = Some(MessageId::new(epoch, 1));
    let foreign = [
        MessageId::new(epoch, 4),
        MessageId::new(epoch, u64::MAX),
        MessageId::new(!epoch, 1),
    ];
    for id in foreign {
        shards.leave(ann, &tea);
        let back = shards.rejoin(ann, &tea, Resume::Since(id));
        assert_eq!(texts(&back.replay), ["one", "two", "three"]);
        assert_eq!(back.gap.map(|gap| gap.oldest), Some(oldest), "{id}");
    }
    shards.leave(ann, &tea);
    let back = shards.rejoin(ann, &tea, Resume::Last(1));
    assert_eq!(
        (texts(&back.replay), back.gap),
        (vec!["three".to_owned()], None)
    );
}

#[test]
fn a_room_outlives_its_members_as_long_as_its_history() {
    let mut shards = Shards::new(1);
    let tea = room("tea");
    let ann = shards.connect(0, 0, 0);
    assert_eq!(shards.hubs[0].tick(1_000, &mut shards.effects), None);
    let before = shards.rejoin(ann, &tea, Resume::Last(0)).head;
    shards.publish(ann, &tea, text("Hello?", Audience::Others));
    shards.leave(ann, &tea);
    let counts = shards.hubs[0].counts();
    assert_eq!((counts.rooms, counts.rooms_empty), (1, 1));
    assert!(counts.history_bytes > 6);

    let due = shards.hubs[0].tick(120_999, &mut shards.effects);
    assert_eq!((due, shards.effects.len()), (Some(121_000), 0));
    let back = shards.rejoin(ann, &tea, Resume::Since(before));
    assert_eq!(
        (texts(&back.replay), back.gap),
        (vec!["Hello?".to_owned()], None)
    );
    shards.leave(ann, &tea);
    assert_eq!(shards.hubs[0].tick(121_000, &mut shards.effects), None);
    assert!(matches!(shards.post(0)[..], [(_, Effect::Freed { .. })]));
    assert_eq!(shards.hubs[0].counts().history_bytes, 0);

    let back = shards.rejoin(ann, &tea, Resume::Since(before));
    assert_ne!(back.head.epoch, before.epoch);
    assert_eq!(back.gap.map(|gap| gap.oldest), Some(None));
}

#[test]
fn a_room_without_history_tells_a_gap_only_if_something_was_missed() {
    let mut shards = Shards::with(1, &Limits::default(), RoomOptions::without_history());
    let tea = room("tea");
    let (ann, bo) = (shards.connect(0, 0, 0), shards.connect(0, 1, 0));
    shards.join(bo, &tea, JoinOptions::default());
    let head = shards.rejoin(ann, &tea, Resume::Last(9)).head;
    shards.leave(ann, &tea);
    assert_eq!(shards.rejoin(ann, &tea, Resume::Since(head)).gap, None);
    shards.leave(ann, &tea);
    shards.publish(bo, &tea, text("Hello", Audience::Others));
    let back = shards.rejoin(ann, &tea, Resume::Since(head));
    assert_eq!(back.gap.map(|gap| gap.oldest), Some(None));
    assert_eq!(back.replay.len(), 0);
}

#[test]
fn the_longest_empty_room_makes_way() {
    let limits = Limits {
        rooms_max: 3,
        ..Limits::default()
    };
    let mut shards = Shards::with(1, &limits, RoomOptions::default());
    let post = |shards: &mut Shards, name: &str| {
        let draft = text("note", Audience::Room);
        shards.run(0, |hub, effects| {
            hub.publish_anonymous(&room(name), draft, effects)
        })
    };
    for name in ["one", "two", "three", "four"] {
        let effects = post(&mut shards, name);
        let published = effects.iter().any(|(_, effect)| {
            matches!(
                effect,
                Effect::Published {
                    member: None,
                    id: Some(_),
                    receivers: 0,
                    ..
                }
            )
        });
        assert!(published, "{effects:?}");
    }
    let known = |hub: &Hub, name| hub.room_key(&room(name)).is_some();
    let hub = &shards.hubs[0];
    assert_eq!((known(hub, "one"), known(hub, "two")), (false, true));
    assert_eq!(hub.counts().rooms_evicted, 1);
    // Rooms with members stay.
    let ann = shards.connect(0, 0, 0);
    for name in ["two", "three", "four"] {
        shards.join(ann, &room(name), JoinOptions::default());
    }
    let effects = post(&mut shards, "five");
    let [
        (
            _,
            Effect::Refused {
                member: None,
                request: Request::Publish,
                reason,
                ..
            },
        ),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(*reason, Refused::LimitRooms { max: 3 });
}

#[test]
fn the_home_of_a_room_tells_who_is_there_and_what_it_keeps() {
    let mut shards = Shards::new(2);
    let tea = room_at(&shards.hubs[0], 1);
    let ann = shards.connect(0, 0, 0);
    let bo = shards.connect(1, 0, 0);
    for who in [ann, bo] {
        shards.join(who, &tea, JoinOptions::default());
    }
    shards.carry();
    for word in ["one", "two", "three"] {
        shards.publish(bo, &tea, text(word, Audience::Except(ann.id)));
    }
    let heard = shards.carry();
    assert!(heard.iter().all(|(shard, _)| *shard == 1), "{heard:?}");
    let (other, home) = (&shards.hubs[0], &shards.hubs[1]);
    let ids = |peers: Roster| -> Vec<_> { peers.peers.iter().map(|peer| peer.id).collect() };
    assert_eq!(ids(home.peers(&tea, None)), [ann.id, bo.id]);
    assert_eq!(ids(home.peers(&tea, Some(ann.id))), [bo.id]);
    assert_eq!(home.population(&tea), 2);
    let (replay, gap) = home.replay(&tea, Resume::Last(2));
    assert_eq!(
        (texts(&replay), gap),
        (vec!["two".into(), "three".into()], None)
    );
    // Another shard knows nothing of it, and says so.
    assert_eq!(
        (other.peers(&tea, None).peers.len(), other.population(&tea)),
        (0, 0)
    );
    let since = Resume::Since(replay[0].id.unwrap());
    assert_eq!(
        other.replay(&tea, since),
        (Vec::new(), Some(Gap { oldest: None }))
    );
}

#[test]
fn a_room_that_keeps_nothing_is_not_made_for_a_message() {
    let mut shards = Shards::with(2, &Limits::default(), RoomOptions::without_history());
    for home in 0..2 {
        let tea = room_at(&shards.hubs[0], home);
        let draft = text("note", Audience::Room);
        let effects = shards.run(0, |hub, effects| {
            hub.publish_anonymous(&tea, draft, effects)
        });
        let [
            (
                0,
                Effect::Published {
                    member: None,
                    token: 9,
                    id: None,
                    receivers: 0,
                },
            ),
        ] = &effects[..]
        else {
            panic!("{effects:?}");
        };
    }
    assert_eq!(
        shards.hubs[0].counts().rooms + shards.hubs[1].counts().rooms,
        0
    );
}

/// A log that outlives its room, as one on a disk would.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Mutex<BTreeMap<RoomName, Vec<Arc<Message>>>>>);

#[derive(Debug)]
struct Volume(Shelf, RoomName);

impl Histories for Shelf {
    fn open(&mut self, room: &RoomName, _options: &RoomOptions) -> Box<dyn History> {
        Box::new(Volume(self.clone(), room.clone()))
    }
}

impl Volume {
    fn all(&self) -> Vec<Arc<Message>> {
        self.0
            .0
            .lock()
            .unwrap()
            .get(&self.1)
            .cloned()
            .unwrap_or_default()
    }
}

impl History for Volume {
    fn last(&self) -> Option<MessageId> {
        self.all().last()?.id
    }

    fn append(&mut self, _now_ms: u64, message: &Arc<Message>) {
        let mut shelf = self.0.0.lock().unwrap();
        shelf
            .entry(self.1.clone())
            .or_default()
            .push(Arc::clone(message));
    }

    fn oldest(&self) -> Option<u64> {
        self.all().first()?.id.map(|id| id.offset)
    }

    fn after(&self, offset: u64) -> Vec<Arc<Message>> {
        let mut all = self.all();
        all.retain(|message| message.id.is_some_and(|id| id.offset > offset));
        all
    }

    fn due_ms(&self) -> Option<u64> {
        None
    }

    fn expire(&mut self, _now_ms: u64) {}

    fn shed(&mut self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        0
    }

    fn messages(&self) -> usize {
        0
    }

    fn outlives_room(&self) -> bool {
        true
    }
}

#[test]
fn a_log_that_outlives_the_room_carries_its_ids_on() {
    let shelf = Shelf::default();
    let mut shards = Shards::new(1);
    let hub = shards
        .hubs
        .remove(0)
        .with_histories(Box::new(shelf.clone()));
    shards.hubs.push(hub);
    let (tea, ann) = (room("tea"), shards.connect(0, 0, 0));
    let first = shards.rejoin(ann, &tea, Resume::Last(0));
    for word in ["one", "two"] {
        shards.publish(ann, &tea, text(word, Audience::Others));
    }
    shards.leave(ann, &tea);
    // Another run of the server.
    let mut shards = Shards::new(1);
    let seeds = Seeds {
        placement: 5,
        epochs: 6,
    };
    let table = Arc::new(RoomTable::default());
    let hub = Hub::new(ShardId(0), 1, seeds, Limits::default()).with_rooms(table);
    shards.hubs[0] = hub.with_histories(Box::new(shelf));
    let ann = shards.connect(0, 0, 0);
    let back = shards.rejoin(
        ann,
        &tea,
        Resume::Since(MessageId::new(first.head.epoch, 1)),
    );
    assert_eq!(texts(&back.replay), ["two"]);
    assert_eq!((back.gap, back.head.offset), (None, 2));
}

#[test]
fn rooms_have_the_options_of_their_pattern() {
    let mut table = RoomTable::new(RoomOptions::without_history());
    let kept = RoomOptions {
        history_age: Duration::from_secs(1),
        class: 3,
        ..RoomOptions::default()
    };
    table.push(RoomPattern::new("log-*").unwrap(), kept);
    let mut shards = Shards::new(2);
    let table = Arc::new(table);
    shards.hubs = shards
        .hubs
        .into_iter()
        .map(|hub| hub.with_rooms(Arc::clone(&table)))
        .collect();
    let ann = shards.connect(0, 0, 0);
    for (name, class) in [("log-1", 3), ("tea", 0), ("log-2", 3), ("chat", 0)] {
        let effects = shards.run(0, |hub, effects| {
            hub.join(ann.key, &room(name), JoinOptions::default(), effects)
                .unwrap();
        });
        let key: RoomKey = joined(effects).room;
        assert_eq!(shards.hubs[0].room_class(key), class, "{name}");
        assert_eq!(shards.hubs[0].room_name(key), Some(&room(name)));
    }
}

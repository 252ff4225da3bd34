//! Thousands of random connects, joins, leaves, publishes and losses of connection over several
//! shards. Every member must hear exactly what the oracle wrote down for it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::time::Duration;

use bytes::Bytes;
use parlor_hub::{
    Audience, JoinOptions, Limits, MessageId, Resume, RoomName, RoomOptions, RoomPattern, RoomTable,
};

use crate::random::Random;
use crate::world::{Checked, Fault, World};

#[test]
fn every_member_hears_what_it_has_to() {
    let mut seeds: Vec<u64> = (1..=12).collect();
    // Read here and nowhere else, so that a failure can be seen again.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has no configuration to read it from"
    )]
    match std::env::var("PARLOR_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        Some(seed) => seeds = vec![seed],
        None => seeds.push(RandomState::new().build_hasher().finish()),
    }
    let many = seeds.len() > 1;
    let mut tally = BTreeMap::new();
    for seed in seeds {
        if let Err(error) = run(seed, &mut tally) {
            panic!("PARLOR_SEED={seed}: {error}");
        }
    }
    let told = tally.values().copied().min();
    let enough = tally.len() == KINDS && told.is_some_and(|least| least >= 20);
    assert!(enough || !many, "the seeds test too little: {tally:?}");
}

#[test]
fn the_same_verbs_have_the_same_effects() {
    let digest = |seed| {
        let mut random = Random::new(seed);
        let table = RoomTable::new(RoomOptions::default());
        let mut world = World::new(random.next(), 3, Limits::default(), table);
        world.digest = Some(DefaultHasher::new());
        go(&mut world, &mut random, 500, &[2]).unwrap();
        world.digest.map(|digest| digest.finish())
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn a_lost_word_is_noticed() {
    noticed(Fault::Drop);
}

#[test]
fn a_word_that_overtakes_is_noticed() {
    noticed(Fault::Swap);
}

#[test]
fn a_word_that_comes_twice_is_noticed() {
    noticed(Fault::Twice);
}

/// The checker must be able to fail: one fault in the mailboxes, and it does. A few faults change
/// nothing that anybody can see: all who were to hear the message have gone in the meantime.
fn noticed(fault: impl Fn(usize) -> Fault) {
    let runs = 48;
    let mut done = 0;
    let mut noticed = 0;
    for at in 0..runs {
        let mut random = Random::new(1000 + at);
        let after = 20 + random.below(200);
        let table = RoomTable::new(RoomOptions::default());
        let mut world = World::new(random.next(), 3, Limits::default(), table);
        world.fault = fault(after);
        // Whoever is cut for not reading misses nothing.
        world.stalls = false;
        world.crowd = random.pick(&[4, 8, 24]);
        let checked = go(&mut world, &mut random, 400, &[1]);
        if world.fault == Fault::Done {
            done += 1;
            noticed += usize::from(checked.is_err());
        }
    }
    assert!(
        done >= 30 && noticed * 10 >= done * 9,
        "{noticed} of {done} faults were noticed"
    );
}

fn run(seed: u64, tally: &mut BTreeMap<&'static str, usize>) -> Checked {
    let mut random = Random::new(!seed);
    let shards = 1 + random.below(4);
    let mut limits = Limits::default();
    if random.one_in(2) {
        limits.rooms_per_member_max = 2 + random.below(3);
        limits.members_per_room_max = 3 + random.below(8);
        limits.in_flight_max = 1 + u8::try_from(random.below(4)).unwrap();
        limits.presence_members_max = 2 + random.below(6);
        limits.roster_members_max = 1 + random.below(5);
    }
    if random.one_in(2) {
        limits.rooms_max = 1 + random.below(8);
    }
    if random.one_in(2) {
        limits.history_bytes_total = random.below(10_000);
    }
    let table = table(&mut random);
    let mut world = World::new(seed, u16::try_from(shards).unwrap(), limits, table);
    world.crowd = random.pick(&[4, 8, 24]);
    let checked = go(&mut world, &mut random, 3000, &[1, 2, 4, 16]);
    for (what, count) in world.tally {
        *tally.entry(what).or_default() += count;
    }
    checked
}

fn table(random: &mut Random) -> RoomTable {
    let mut options = || RoomOptions {
        history_messages: random.pick(&[0, 1, 4, 16, 256, 256]),
        history_age: Duration::from_millis(random.pick(&[1, 50, 2000, 100_000, 100_000])),
        history_bytes: random.pick(&[0, 100, 1000, 100_000, 100_000]),
        class: random.pick(&[0, 1, 2]),
    };
    let mut table = RoomTable::new(options());
    table.push(RoomPattern::new("t*").unwrap(), options());
    table.push(RoomPattern::new("*b*").unwrap(), RoomOptions::default());
    table
}

/// `paces`: a word or two are carried once in so many steps.
fn go(world: &mut World, random: &mut Random, steps: usize, paces: &[usize]) -> Checked {
    let names = ["lobby", "tea", "*", "a/b", ">", "été", "x"];
    let rooms: Vec<RoomName> = names
        .iter()
        .map(|name| RoomName::new(name).unwrap())
        .collect();
    let mut pace = paces[0];
    for _ in 0..steps {
        // Now and then the mailboxes fill up, or are nearly empty.
        if random.one_in(100) {
            pace = random.pick(paces);
        }
        if random.one_in(pace) {
            for _ in 0..2 {
                world.carry()?;
            }
        }
        step(world, random, &rooms)?;
    }
    world.finish()
}

fn step(world: &mut World, random: &mut Random, rooms: &[RoomName]) -> Checked {
    let live = world.clients.iter().filter(|client| client.live).count();
    if live < 3 || (live < world.crowd && random.one_in(12)) {
        world.connect(random.pick(&[None, Some("Ann"), Some("Bo")]));
        return Ok(());
    }
    let Some(client) = world.pick_live() else {
        return Ok(());
    };
    if world.ears[client].doomed {
        return world.disconnect(client);
    }
    if world.stalls && random.one_in(6) {
        world.listen(client)?;
    }
    let room = &rooms[random.below(rooms.len())];
    // Mostly a room where the verb makes sense.
    let held: Vec<RoomName> = world.clients[client].held.keys().cloned().collect();
    let own = if held.is_empty() || random.one_in(10) {
        room.clone()
    } else {
        held[random.below(held.len())].clone()
    };
    let other = world.clients[random.below(world.clients.len())].peer.id;
    match random.below(100) {
        0..4 => world.disconnect(client),
        4..25 => {
            let name = random
                .one_in(5)
                .then(|| format!("name {}", random.below(3)).into());
            let data = random
                .one_in(5)
                .then(|| Bytes::from(random.below(3).to_string()));
            let roster = random.one_in(2);
            let resume = resume(world, random, room);
            world.join(
                client,
                room,
                JoinOptions {
                    name,
                    data,
                    token: None,
                    roster,
                    resume,
                },
            )
        }
        25..35 => world.leave(client, &own),
        35..55 => world.publish(client, Some(&own), Audience::Others),
        55..66 => world.publish(client, Some(&own), Audience::Room),
        66..70 => world.publish(client, Some(&own), Audience::Except(other)),
        70..78 => world.publish(client, Some(&own), Audience::Member(other)),
        78..86 => world.publish(client, None, Audience::Member(other)),
        86..89 => world.publish_anonymous(room, Audience::Room),
        89..90 => world.publish_anonymous(room, Audience::Except(other)),
        90..92 => world.publish_anonymous(room, Audience::Member(other)),
        92..94 => {
            let shard = random.below(world.hubs.len());
            let step_ms = random.next() % 200;
            world.tick(shard, step_ms)
        }
        94..97 => world.list(client, &own, random.one_in(2).then_some(other)),
        _ => {
            let name = random.one_in(2).then_some("renamed");
            world.update(client, name, &random.below(4).to_string())
        }
    }
}

/// What a member may come back with: mostly an id that somebody was told.
fn resume(world: &World, random: &mut Random, room: &RoomName) -> Option<Resume> {
    match random.below(8) {
        0..3 => None,
        3 => Some(Resume::Last(random.below(6))),
        4 => {
            let forged = MessageId::new(
                u32::try_from(random.below(1 << 32)).unwrap(),
                random.next() % 40,
            );
            Some(Resume::Since(forged))
        }
        _ => {
            let seen = world.seen.iter().filter(|(seen, _)| seen == room);
            let ids: Vec<MessageId> = seen.map(|(_, id)| *id).collect();
            if ids.is_empty() {
                return None;
            }
            let mut id = random.pick(&ids);
            if random.one_in(10) {
                id.offset = random.next() % 100;
            }
            Some(Resume::Since(id))
        }
    }
}

/// Kinds of events that a run must have seen.
const KINDS: usize = 17;

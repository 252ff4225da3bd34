//! Small stories of rooms and members, told one verb at a time.

use bytes::Bytes;
use parlor_hub::{
    Audience, Draft, Effect, Effects, JoinOptions, Limits, MemberId, MemberKey, Notice, Page,
    Payload, Refused, Request, RoomOptions, RoomRef, ShardId,
};

use crate::shards::{Shards, Someone, joined, room, room_at, text, texts};

#[test]
fn a_message_to_a_room_is_one_effect_and_one_word_a_shard() {
    let mut shards = Shards::new(3);
    let tea = room_at(&shards.hubs[0], 1);
    let mut all = Vec::new();
    for slot in 0..300 {
        let who = shards.connect(slot as usize % 3, slot / 3, 0);
        shards.join(who, &tea, JoinOptions::default());
        all.push(who);
    }
    shards.carry();
    // From the home, to the others and back by none.
    let payload = Bytes::from_static(b"Hello");
    let mut draft = Draft::new(Payload::Text(payload.clone()));
    draft.token = Some(9);
    let hub = &mut shards.hubs[1];
    hub.publish(all[1].key, RoomRef::Name(&tea), draft, &mut shards.effects)
        .unwrap();
    assert_eq!(shards.effects.len(), 4);
    let here = shards.post(1);
    assert!(
        matches!(here[0].1, Effect::Deliver { except: Some(except), .. } if except == all[1].key)
    );
    assert!(matches!(
        here[1].1,
        Effect::Published { receivers: 299, .. }
    ));
    assert_eq!(shards.mail.len(), 2);
    let there = shards.carry();
    assert_eq!(there.len(), 2);
    for (shard, effect) in there {
        let Effect::Deliver {
            room,
            message,
            except: None,
        } = effect
        else {
            panic!("{effect:?}");
        };
        // The payload is the publisher's, not a copy.
        assert_eq!(message.payload.bytes().as_ptr(), payload.as_ptr());
        assert_eq!(shards.hubs[shard].members_of(room).len(), 100);
    }
}

#[test]
fn a_lone_member_that_speaks_to_the_others_causes_nothing() {
    let mut shards = Shards::with(1, &Limits::default(), RoomOptions::without_history());
    let (tea, ann) = (room("tea"), shards.connect(0, 0, 0));
    shards.join(ann, &tea, JoinOptions::default());
    let mut draft = text("Hello?", Audience::Others);
    draft.token = None;
    shards.publish(ann, &tea, draft);
    let effects = shards.run(0, |hub, effects| {
        let everyone = text("Hello!", Audience::Room);
        hub.publish(ann.key, RoomRef::Name(&tea), everyone, effects)
            .unwrap();
    });
    let [
        (_, Effect::Deliver { message, .. }),
        (
            _,
            Effect::Published {
                id, receivers: 1, ..
            },
        ),
    ] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((message.id, message.id.map(|id| id.offset)), (*id, Some(2)));
    assert_eq!(message.from.as_ref().map(|from| from.id), Some(ann.id));
}

#[test]
fn a_member_that_goes_before_its_join_is_answered_leaves_nothing() {
    let mut shards = Shards::new(2);
    let tea = room_at(&shards.hubs[0], 1);
    let ann = shards.connect(0, 5, 0);
    shards.join(ann, &tea, JoinOptions::default());
    shards.hubs[0].disconnect(ann.key, &mut shards.effects);
    shards.post(0);
    // The slot is another's before the answer comes.
    let bo = shards.connect(0, 5, 1);
    let effects = shards.carry();
    assert!(
        effects
            .iter()
            .all(|(_, effect)| matches!(effect, Effect::Freed { .. })),
        "{effects:?}"
    );
    assert_eq!(effects.len(), 2);
    assert_eq!(shards.hubs[0].rooms_of(bo.key).count(), 0);
    assert_eq!(
        shards.hubs[0].counts().rooms + shards.hubs[1].counts().rooms,
        0
    );
}

#[test]
fn a_publish_is_answered_though_its_member_has_gone() {
    let mut shards = Shards::new(2);
    let tea = room_at(&shards.hubs[0], 1);
    let ann = shards.connect(0, 0, 0);
    let reached = |effects: &[(usize, Effect)]| {
        effects.iter().any(|(shard, effect)| {
            let answered = matches!(
                effect,
                Effect::Published {
                    member: None,
                    token: 9,
                    ..
                } | Effect::Refused {
                    member: None,
                    token: Some(9),
                    ..
                }
            );
            *shard == 0 && answered
        })
    };
    shards.join(ann, &tea, JoinOptions::default());
    shards.carry();
    shards.publish(ann, &tea, text("last words", Audience::Room));
    shards.hubs[0].disconnect(ann.key, &mut shards.effects);
    shards.post(0);
    assert!(reached(&shards.carry()));

    let bo = shards.connect(0, 0, 1);
    shards.join(bo, &tea, JoinOptions::default());
    shards.carry();
    shards.publish(bo, &tea, text("to nobody", Audience::Member(ann.id)));
    shards.hubs[0].disconnect(bo.key, &mut shards.effects);
    shards.post(0);
    assert!(reached(&shards.carry()));
}

#[test]
fn an_exclusion_is_not_inherited_with_the_slot() {
    let mut shards = Shards::new(2);
    let tea = room_at(&shards.hubs[0], 1);
    let ann = shards.connect(0, 0, 0);
    let cy = shards.connect(0, 1, 0);
    shards.join(ann, &tea, JoinOptions::default());
    shards.join(cy, &tea, JoinOptions::default());
    shards.carry();
    shards.publish(ann, &tea, text("bye", Audience::Others));
    shards.hubs[0].disconnect(ann.key, &mut shards.effects);
    shards.post(0);
    let bo = shards.connect(0, 0, 1);
    shards.join(bo, &tea, JoinOptions::default());
    shards.publish(bo, &tea, text("hello", Audience::Room));
    let mut heard = Vec::new();
    for (_, effect) in shards.carry() {
        if let Effect::Deliver {
            message, except, ..
        } = effect
        {
            heard.push((texts([&message]).concat(), except));
        }
    }
    assert_eq!(
        heard,
        [("bye".to_owned(), None), ("hello".to_owned(), None)]
    );
}

#[test]
fn verbs_that_make_no_sense_are_refused() {
    let mut shards = Shards::new(1);
    let ann = shards.connect(0, 0, 0);
    let stale = MemberKey {
        slot: 0,
        generation: 9,
    };
    let tea = room("tea");
    let hub = &mut shards.hubs[0];
    let effects = &mut Effects::new();
    let join = JoinOptions::default;
    let say = || text("x", Audience::Others);

    let again = hub.connect(ann.key, [0; 10], None);
    assert_eq!(again, Err(Refused::MisuseSlotInUse));
    let unknown = Err(Refused::UnknownMember);
    assert_eq!(hub.join(stale, &tea, join(), effects), unknown);
    assert_eq!(hub.leave(stale, &tea, None, effects), unknown);
    assert_eq!(hub.publish(stale, RoomRef::Shared, say(), effects), unknown);
    assert_eq!(hub.update(stale, None, None, effects), unknown);
    assert_eq!(hub.list(stale, &tea, Page::default(), effects), unknown);
    hub.disconnect(stale, effects);

    let not_joined = Err(Refused::NotJoined);
    assert_eq!(hub.leave(ann.key, &tea, None, effects), not_joined);
    assert_eq!(
        hub.list(ann.key, &tea, Page::default(), effects),
        not_joined
    );
    let publish = hub.publish(ann.key, RoomRef::Name(&tea), say(), effects);
    assert_eq!(publish, not_joined);
    let publish = hub.publish(ann.key, RoomRef::Shared, say(), effects);
    assert_eq!(publish, Err(Refused::MisuseAudience));
    let direct = text("x", Audience::Member(ann.id));
    let publish = hub.publish(ann.key, RoomRef::Shared, direct, effects);
    assert_eq!(publish, Err(Refused::UnknownPeer));
    assert!(effects.is_empty());

    assert_eq!(hub.join(ann.key, &tea, join(), effects), Ok(()));
    let again = hub.join(ann.key, &tea, join(), effects);
    assert_eq!(again, Err(Refused::AlreadyJoined));
}

#[test]
fn names_and_data_are_bounded() {
    let mut shards = Shards::new(1);
    let ann = shards.connect(0, 0, 0);
    let hub = &mut shards.hubs[0];
    let effects = &mut Effects::new();
    let key = MemberKey {
        slot: 1,
        generation: 0,
    };
    let name = "n".repeat(129);
    let too_long = Refused::LimitName {
        max: 128,
        value: 129,
    };
    assert_eq!(hub.connect(key, [0; 10], Some(&name)), Err(too_long));
    let options = JoinOptions {
        name: Some(name.as_str().into()),
        ..JoinOptions::default()
    };
    assert_eq!(
        hub.join(ann.key, &room("tea"), options, effects),
        Err(too_long)
    );
    let data = Some(Bytes::from(vec![b' '; 4097]));
    let too_long = Refused::LimitPresence {
        max: 4096,
        value: 4097,
    };
    assert_eq!(hub.update(ann.key, None, data, effects), Err(too_long));
    let (name, data) = ("n".repeat(128), Bytes::from(vec![b' '; 4096]));
    let changed = hub.update(ann.key, Some(name.into()), Some(data), effects);
    assert_eq!(changed, Ok(()));
    assert_eq!(hub.name_of(ann.key).map(|name| name.len()), Some(128));
}

#[test]
fn rooms_are_bounded() {
    let limits = Limits {
        rooms_per_member_max: 2,
        members_per_room_max: 1,
        rooms_max: 3,
        ..Limits::default()
    };
    let mut shards = Shards::with(1, &limits, RoomOptions::default());
    let (ann, bo) = (shards.connect(0, 0, 0), shards.connect(0, 1, 0));
    let hub = &mut shards.hubs[0];
    let effects = &mut Effects::new();
    let join = JoinOptions::default;
    assert_eq!(hub.join(ann.key, &room("tea"), join(), effects), Ok(()));
    assert_eq!(hub.join(ann.key, &room("more"), join(), effects), Ok(()));
    let full = Err(Refused::LimitRoomsPerMember { max: 2 });
    assert_eq!(hub.join(ann.key, &room("third"), join(), effects), full);

    effects.drain();
    assert_eq!(hub.join(bo.key, &room("tea"), join(), effects), Ok(()));
    let effect = effects.drain().next();
    let Some(Effect::Refused {
        member,
        request: Request::Join(_),
        reason,
        ..
    }) = effect
    else {
        panic!("{effect:?}");
    };
    assert_eq!(
        (member, reason),
        (Some(bo.key), Refused::LimitMembersPerRoom { max: 1 })
    );
    assert_eq!(hub.join(bo.key, &room("third"), join(), effects), Ok(()));
    let full = Err(Refused::LimitRooms { max: 3 });
    assert_eq!(hub.join(bo.key, &room("fourth"), join(), effects), full);
    assert_eq!(hub.counts().rooms, 3);
}

#[test]
fn a_message_to_one_member_needs_a_shared_room() {
    let mut shards = Shards::new(3);
    let first = room_at(&shards.hubs[0], 1);
    let second = room_at(&shards.hubs[0], 2);
    let (ann, bo, cy) = (
        shards.connect(0, 0, 0),
        shards.connect(1, 0, 0),
        shards.connect(2, 0, 0),
    );
    for (who, room) in [(ann, &first), (ann, &second), (bo, &second), (cy, &first)] {
        shards.join(who, room, JoinOptions::default());
    }
    shards.carry();
    let stranger = MemberId::new(ShardId(1), 0, [0; 10]);
    let nowhere = MemberId::new(ShardId(77), 0, [0; 10]);
    let mut send = |from: Someone, to: MemberId, room: RoomRef<'_>| {
        let mut refused = None;
        let effects = shards.run(from.shard, |hub, effects| {
            let draft = text("psst", Audience::Member(to));
            refused = hub.publish(from.key, room, draft, effects).err();
        });
        let mut heard = None;
        for (shard, effect) in effects {
            match effect {
                Effect::DeliverTo { member, message } => {
                    assert_eq!((member.slot, message.id), (0, None));
                    heard = Some((shard, message.room.clone()));
                }
                Effect::Refused { reason, .. } => refused = Some(reason),
                Effect::Published { id, receivers, .. } => assert_eq!((id, receivers), (None, 1)),
                other => panic!("{other:?}"),
            }
        }
        heard.ok_or_else(|| refused.unwrap())
    };
    assert_eq!(send(ann, bo.id, RoomRef::Shared), Ok((1, second.clone())));
    assert_eq!(send(ann, cy.id, RoomRef::Shared), Ok((2, first.clone())));
    assert_eq!(
        send(ann, bo.id, RoomRef::Name(&second)),
        Ok((1, second.clone()))
    );
    assert_eq!(send(ann, ann.id, RoomRef::Shared), Ok((0, first.clone())));
    assert_eq!(
        send(ann, bo.id, RoomRef::Name(&first)),
        Err(Refused::UnknownPeer)
    );
    assert_eq!(send(bo, cy.id, RoomRef::Shared), Err(Refused::UnknownPeer));
    assert_eq!(
        send(ann, stranger, RoomRef::Shared),
        Err(Refused::UnknownPeer)
    );
    assert_eq!(
        send(ann, nowhere, RoomRef::Shared),
        Err(Refused::UnknownPeer)
    );
    assert_eq!(
        send(ann, nowhere, RoomRef::Name(&first)),
        Err(Refused::UnknownPeer)
    );
}

#[test]
fn rosters_are_paged_and_hold_their_bounds() {
    let mut shards = Shards::new(3);
    let tea = room_at(&shards.hubs[0], 1);
    let mut everyone = Vec::new();
    for number in 0..2500 {
        let who = shards.connect(number as usize % 3, number / 3, 0);
        shards.join(who, &tea, JoinOptions::default());
        everyone.push(who.id);
    }
    shards.carry();
    let asking = shards.connect(2, 9999, 0);
    let options = JoinOptions {
        roster: true,
        ..JoinOptions::default()
    };
    let effects = shards.run(2, |hub, effects| {
        hub.join(asking.key, &tea, options, effects).unwrap();
    });
    let mut roster = joined(effects).roster.unwrap();
    let mut told: Vec<MemberId> = Vec::new();
    while roster.more {
        assert_eq!(roster.peers.len(), 1000);
        told.extend(roster.peers.iter().map(|peer| peer.id));
        let page = Page {
            token: None,
            after: told.last().copied(),
        };
        let effects = shards.run(2, |hub, effects| {
            hub.list(asking.key, &tea, page, effects).unwrap();
        });
        let listed = effects.into_iter().find_map(|(_, effect)| match effect {
            Effect::Listed { roster, .. } => Some(*roster),
            _ => None,
        });
        roster = listed.unwrap();
    }
    told.extend(roster.peers.iter().map(|peer| peer.id));
    everyone.sort_unstable();
    assert_eq!(told, everyone);
}

#[test]
fn a_roster_of_much_data_is_cut_short() {
    let limits = Limits {
        roster_bytes_max: 10_000,
        ..Limits::default()
    };
    let mut shards = Shards::with(1, &limits, RoomOptions::default());
    let tea = room("tea");
    for slot in 0..5 {
        let who = shards.connect(0, slot, 0);
        let data = Some(Bytes::from(vec![b'1'; 4096]));
        let options = JoinOptions {
            data,
            ..JoinOptions::default()
        };
        shards.join(who, &tea, options);
    }
    let asking = shards.connect(0, 9, 0);
    let options = JoinOptions {
        roster: true,
        ..JoinOptions::default()
    };
    let effects = shards.run(0, |hub, effects| {
        hub.join(asking.key, &tea, options, effects).unwrap();
    });
    let roster = joined(effects).roster.unwrap();
    assert_eq!((roster.peers.len(), roster.more), (2, true));
}

#[test]
fn a_large_room_sends_no_notices() {
    let limits = Limits {
        presence_members_max: 3,
        ..Limits::default()
    };
    let mut shards = Shards::with(2, &limits, RoomOptions::default());
    let tea = room_at(&shards.hubs[0], 0);
    let notices = |effects: &[(usize, Effect)]| {
        let notice = |effect: &Effect| match effect {
            Effect::Notice { notice, .. } => Some(match **notice {
                Notice::PeerJoined(_) => "joined",
                Notice::PeerLeft(_) => "left",
                Notice::Presence(_) => "presence",
            }),
            _ => None,
        };
        let notices = effects.iter().filter_map(|(_, effect)| notice(effect));
        notices.collect::<Vec<_>>()
    };
    let all: Vec<Someone> = (0..4).map(|slot| shards.connect(1, slot, 0)).collect();
    let mut told = Vec::new();
    for who in &all {
        let effects = shards.run(1, |hub, effects| {
            hub.join(who.key, &tea, JoinOptions::default(), effects)
                .unwrap();
        });
        told.push(notices(&effects).len());
    }
    assert_eq!(told, [0, 1, 1, 0]);
    let change = |shards: &mut Shards| {
        let effects = shards.run(1, |hub, effects| {
            let name = Some("Ann".into());
            hub.update(all[0].key, name, None, effects).unwrap();
        });
        notices(&effects)
    };
    assert_eq!(change(&mut shards), [""; 0]);
    let effects = shards.run(1, |hub, effects| hub.disconnect(all[3].key, effects));
    assert_eq!(notices(&effects), [""; 0]);
    assert_eq!(change(&mut shards), ["presence"]);
    let effects = shards.run(1, |hub, effects| hub.disconnect(all[2].key, effects));
    assert_eq!(notices(&effects), ["left"]);
}

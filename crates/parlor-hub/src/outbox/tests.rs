//! Backlogs of one connection.

use super::*;

const WIDE: Bounds = Bounds {
    bytes_max: 1000,
    messages_max: 1000,
};

fn plain(bytes: &'static [u8]) -> Chunk {
    Chunk {
        bytes: Bytes::from_static(bytes),
        messages: 1,
        tag: None,
    }
}

fn tagged(bytes: &'static [u8], priority: Priority, event: Option<u64>) -> Chunk {
    let room = room();
    Chunk {
        tag: Some(Tag {
            room,
            priority,
            event,
        }),
        ..plain(bytes)
    }
}

fn room() -> RoomKey {
    let mut hub = crate::Hub::new(
        crate::ShardId(0),
        1,
        crate::Seeds {
            placement: 0,
            epochs: 0,
        },
        crate::Limits::default(),
    );
    let key = crate::MemberKey {
        slot: 0,
        generation: 0,
    };
    let name = crate::RoomName::new("tea").unwrap();
    hub.connect(key, [0; 10], None).unwrap();
    hub.join(
        key,
        &name,
        crate::JoinOptions::default(),
        &mut crate::Effects::new(),
    )
    .unwrap();
    hub.room_key(&name).unwrap()
}

fn rest(outbox: &mut Outbox) -> Vec<u8> {
    let mut all = Vec::new();
    while !outbox.is_empty() {
        let front = outbox.front().to_vec();
        all.extend_from_slice(&front);
        outbox.advance(front.len(), 0);
    }
    all
}

/// Frames of ten bytes.
fn boundary(_: &[u8], sent: usize) -> usize {
    sent.div_ceil(10) * 10
}

#[test]
fn sends_in_order_and_counts() {
    let mut outbox = Outbox::new(0);
    outbox.begin(plain(b"0123456789abcdefghij"), 13, 20);
    assert!(outbox.push(plain(b"second"), WIDE));
    assert_eq!(outbox.len(), 13);
    assert_eq!(outbox.front(), b"defghij");
    outbox.advance(3, 5);
    assert_eq!(outbox.front(), b"ghij");
    outbox.advance(4, 6);
    assert_eq!(outbox.front(), b"second");
    outbox.advance(6, 7);
    assert!(outbox.is_empty());
    assert_eq!(outbox.front(), b"");
    assert_eq!(outbox.messages, 0);
}

#[test]
fn finishes_the_frame_that_was_begun() {
    let mut outbox = Outbox::new(0);
    outbox.begin(plain(b"0123456789abcdefghijABCDEFGHIJ"), 13, 20);
    outbox.push(plain(b"second"), WIDE);
    assert_eq!(outbox.discard(boundary), 16);
    assert_eq!(rest(&mut outbox), b"defghij");
}

#[test]
fn keeps_nothing_at_a_frame_boundary() {
    let mut outbox = Outbox::new(0);
    outbox.begin(plain(b"0123456789abcdefghij"), 10, 10);
    assert_eq!(outbox.discard(boundary), 10);
    assert!(outbox.is_empty());
    outbox.push(plain(b"bye"), WIDE);
    assert_eq!(rest(&mut outbox), b"bye");
}

#[test]
fn a_small_remainder_does_not_hold_its_batch() {
    let batch = Bytes::from(vec![1; 4000]);
    let mut outbox = Outbox::new(0);
    outbox.begin(
        Chunk {
            bytes: batch.clone(),
            messages: 1,
            tag: None,
        },
        3995,
        4000,
    );
    assert_eq!(outbox.len(), 5);
    assert!(batch.is_unique(), "the rest was copied");
}

#[test]
fn low_priority_goes_first_and_the_begun_frame_stays() {
    let bounds = Bounds {
        bytes_max: 30,
        messages_max: 10,
    };
    let mut outbox = Outbox::new(0);
    outbox.begin(tagged(b"low-begun.", Priority::Low, None), 3, 10);
    assert!(outbox.push(tagged(b"low-a.....", Priority::Low, None), bounds));
    assert!(outbox.push(tagged(b"normal....", Priority::Normal, None), bounds));
    assert!(outbox.push(tagged(b"normal-2..", Priority::Normal, None), bounds));
    assert!(
        outbox.push(tagged(b"low-b.....", Priority::Low, None), bounds),
        "dropped itself"
    );
    assert!(!outbox.push(tagged(b"normal-3..", Priority::Normal, None), bounds));
    assert_eq!(outbox.take_dropped(), [(room(), 2)]);
    assert_eq!(rest(&mut outbox), b"-begun.normal....normal-2..");
}

#[test]
fn only_the_newest_of_an_event_is_kept() {
    let mut outbox = Outbox::new(0);
    outbox.begin(plain(b"first"), 1, 5);
    for bytes in [b"a1", b"b1", b"a2", b"a3"] {
        let event = Some(u64::from(bytes[0]));
        assert!(outbox.push(tagged(bytes, Priority::Normal, event), WIDE));
    }
    assert_eq!(outbox.take_dropped(), [(room(), 2)]);
    assert_eq!(rest(&mut outbox), b"irstb1a3");
}

#[test]
fn a_room_that_was_left_loses_nothing_more() {
    let mut outbox = Outbox::new(0);
    outbox.begin(plain(b"first"), 1, 5);
    for bytes in [b"a1", b"a2"] {
        assert!(outbox.push(tagged(bytes, Priority::Low, Some(1)), WIDE));
    }
    assert_eq!(outbox.forget_room(room()), 1);
    // The key names another room now, or the same one again.
    assert!(outbox.push(tagged(b"a3", Priority::Low, Some(1)), WIDE));
    assert_eq!(outbox.take_dropped(), []);
    assert_eq!(rest(&mut outbox), b"irsta2a3");
}

#[test]
fn a_message_without_bytes_takes_no_place() {
    let mut outbox = Outbox::new(0);
    outbox.begin(plain(b"first"), 1, 5);
    let event = Some(1);
    assert!(outbox.push(tagged(b"a", Priority::Normal, event), WIDE));
    assert!(outbox.push(tagged(b"", Priority::Normal, event), WIDE));
    assert!(outbox.push(plain(b"b"), WIDE));
    assert_eq!(outbox.messages, 3);
    assert_eq!(rest(&mut outbox), b"irstab");
}

#[test]
fn messages_are_bounded_too() {
    let bounds = Bounds {
        bytes_max: 1000,
        messages_max: 2,
    };
    let mut outbox = Outbox::new(0);
    assert!(outbox.push(plain(b"1"), bounds));
    assert!(outbox.push(plain(b"2"), bounds));
    assert!(!outbox.push(plain(b"3"), bounds));
}

#[test]
fn no_more_is_dropped_than_has_to_be() {
    let few = Bounds {
        messages_max: 4,
        ..WIDE
    };
    let mut outbox = Outbox::new(0);
    assert!(outbox.push(tagged(b"a", Priority::Low, None), few));
    assert!(outbox.push(plain(b"b"), few));
    for low in [b"c", b"d"] {
        assert!(outbox.push(tagged(low, Priority::Low, None), few));
    }
    assert!(outbox.push(plain(b"e"), few));
    assert_eq!((outbox.messages(), outbox.len()), (4, 4));
    assert_eq!(outbox.take_losses(), (1, 0));
    // A newer one of low priority takes the place of the oldest.
    assert!(outbox.push(tagged(b"f", Priority::Low, None), few));
    assert_eq!(outbox.take_losses(), (1, 0));
    // Three messages more want the places of both that may go, and one that may not.
    let three = Chunk {
        messages: 3,
        ..plain(b"ghi")
    };
    assert!(!outbox.push(three, few));
    assert_eq!(outbox.take_losses(), (2, 0));
    assert_eq!(outbox.take_dropped(), [(room(), 4)]);
    assert_eq!(rest(&mut outbox), b"be");
    assert_eq!(outbox.messages(), 0);
}

#[test]
fn bytes_and_messages_are_both_made_room_for() {
    let both = Bounds {
        bytes_max: 12,
        messages_max: 4,
    };
    let mut outbox = Outbox::new(0);
    for low in [&b"aaaa"[..], b"bb", b"cc", b"dddd"] {
        assert!(outbox.push(tagged(low, Priority::Low, None), both));
    }
    // One message less would do, but not its bytes alone.
    assert!(outbox.push(plain(b"eeeeee"), both));
    assert_eq!(outbox.take_losses(), (2, 0));
    assert_eq!(rest(&mut outbox), b"ccddddeeeeee");
}

#[test]
fn what_was_begun_outlives_all_that_is_said_behind_it() {
    let none = Bounds {
        bytes_max: 1,
        messages_max: 1,
    };
    for sent in [3, 13] {
        let mut outbox = Outbox::new(0);
        let frames = tagged(b"0123456789abcdefghij", Priority::Low, Some(1));
        outbox.begin(frames, sent, sent.div_ceil(10) * 10);
        outbox.discard(boundary);
        assert_eq!(outbox.messages(), 0);
        // Nothing of it may go, whatever wants its place.
        outbox.push(tagged(b"new", Priority::Normal, Some(1)), none);
        outbox.push(plain(b"bye"), none);
        let left = 10 - sent % 10;
        assert_eq!(outbox.front().len(), left, "{sent}");
        outbox.advance(1, 0);
        outbox.push(tagged(b"new", Priority::Low, Some(1)), none);
        assert_eq!(outbox.front().len(), left - 1, "{sent}");
    }
}

/// A small generator, so that a failure names the seed that it came from.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// What the reader must see: everything in order, less what was dropped, of which the newest
/// of each event and everything that may not be dropped is never part.
#[test]
fn random_backlogs_lose_only_what_they_may() {
    let room = room();
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let conflates = seed % 2 == 0;
        let bounds = Bounds {
            bytes_max: 60,
            messages_max: 50,
        };
        let mut outbox = Outbox::new(0);
        let (mut pushed, mut refused) = (Vec::new(), Vec::new());
        let mut seen: Vec<u8> = Vec::new();
        for number in 0..60_u8 {
            let low = dice.roll(3) == 0;
            let event = dice.roll(3);
            let bytes = Bytes::from(vec![number; 4]);
            let priority = if low { Priority::Low } else { Priority::Normal };
            let tag = Tag {
                room,
                priority,
                event: conflates.then_some(event),
            };
            let chunk = Chunk {
                bytes,
                messages: 1,
                tag: Some(tag),
            };
            if outbox.is_empty() {
                let sent = usize::try_from(dice.roll(4)).unwrap();
                seen.extend(std::iter::repeat_n(number, sent));
                outbox.begin(chunk, sent, 4);
            } else if !outbox.push(chunk, bounds) {
                refused.push(number);
            }
            pushed.push((number, low, event));
            let read = outbox
                .front()
                .len()
                .min(usize::try_from(dice.roll(4)).unwrap());
            seen.extend_from_slice(&outbox.front()[..read]);
            if read > 0 {
                outbox.advance(read, 0);
            }
        }
        let dropped: u64 = outbox.take_dropped().iter().map(|(_, count)| count).sum();
        seen.extend(rest(&mut outbox));
        assert!(seen.is_sorted(), "seed {seed}: order");
        let heard = |number: u8| seen.iter().filter(|byte| **byte == number).count();
        let mut lost = 0;
        for (at, (number, low, event)) in pushed.iter().enumerate() {
            match heard(*number) {
                4 => continue,
                0 => lost += 1,
                part => panic!("seed {seed}: {part} bytes of message {number}"),
            }
            let newer = pushed[at + 1..].iter().any(|(_, _, other)| other == event);
            let may = *low || refused.contains(number) || conflates && newer;
            assert!(may, "seed {seed}: message {number} must not be lost");
        }
        assert_eq!(
            lost,
            dropped + refused.len() as u64,
            "seed {seed}: every drop is counted"
        );
    }
}

#[test]
fn what_was_dropped_does_not_count() {
    let few = Bounds {
        messages_max: 3,
        ..WIDE
    };
    let mut outbox = Outbox::new(0);
    assert!(outbox.push(plain(b"first"), few));
    assert!(outbox.push(tagged(b"low", Priority::Low, None), few));
    assert!(outbox.push(tagged(b"old", Priority::Normal, Some(1)), few));
    assert!(outbox.push(tagged(b"new", Priority::Normal, Some(1)), few));
    assert_eq!((outbox.messages(), outbox.len()), (3, 11));
    // The low one makes place for one more, and there is no place for another.
    assert!(outbox.push(plain(b"last"), few));
    assert_eq!((outbox.messages(), outbox.len()), (3, 12));
    assert!(!outbox.push(plain(b"more"), few));
    assert_eq!(rest(&mut outbox), b"firstnewlast");
    assert_eq!(outbox.messages(), 0);
}

#[test]
fn an_empty_backlog_takes_any_one_chunk() {
    let none = Bounds {
        bytes_max: 1,
        messages_max: 0,
    };
    let mut outbox = Outbox::new(0);
    assert!(outbox.push(plain(b"more than fits"), none));
    assert!(!outbox.push(plain(b"a"), none));
    outbox.advance(14, 0);
    assert!(outbox.push(plain(b"more again"), none));
}

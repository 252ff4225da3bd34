//! Those who speak, each in its own way, and the one who writes everything down.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};

use crate::{
    Place,
    book::{LAST, Word},
    member::{Door, Heard, Member},
    peer::Peer,
    support::TestServer,
};

/// Someone who publishes to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Publisher {
    /// Opaque frames.
    Raw,
    /// `parlor.v1`, which tells the id of each message.
    Signal,
    /// HTTP.
    Post,
}

/// How long a publisher rests between two groups of messages.
const REST: Duration = Duration::from_millis(40);

impl Publisher {
    pub(crate) const ALL: [Self; 3] = [Self::Raw, Self::Signal, Self::Post];

    /// Publishes until told to stop. Returns how many messages.
    pub(crate) fn run(self, server: &TestServer, place: &Place) -> u64 {
        let mut number = 0;
        let publisher = self as u32;
        let mut next = || {
            let word = Word { publisher, number };
            number += 1;
            word
        };
        let mut mouth = Mouth::open(self, server, place);
        while !place.stopping.load(Ordering::Relaxed) {
            // Groups of one to five.
            let words: Vec<Word> = (0..=next_len(publisher)).map(|_| next()).collect();
            mouth.say(server, place, &words);
        }
        mouth.close();
        u64::from(number)
    }
}

fn next_len(publisher: u32) -> u32 {
    (publisher + 1) * 2 % 5
}

/// A publisher's connection.
enum Mouth {
    Raw(Member),
    Signal(Box<Peer>),
    Post,
}

impl Mouth {
    fn open(publisher: Publisher, server: &TestServer, place: &Place) -> Self {
        match publisher {
            Publisher::Raw => {
                let (member, _) = Member::enter(server.tcp(), Door::Raw, place.name, None);
                Self::Raw(member)
            }
            Publisher::Signal => Self::Signal(Box::new(server.peer_in(place.name))),
            Publisher::Post => Self::Post,
        }
    }

    /// Publishes some messages and rests. Meanwhile it hears the others, since whoever does not
    /// read is cut.
    fn say(&mut self, server: &TestServer, place: &Place, words: &[Word]) {
        match self {
            Self::Raw(member) => {
                let Member::Raw(client) = member else {
                    unreachable!("a raw member")
                };
                client.stream.set_read_timeout(Some(REST)).unwrap();
                words.iter().for_each(|word| client.send_text(&word.text()));
                loop {
                    match member.hear() {
                        Heard::Message(..) => {}
                        Heard::Silence => break,
                        other => unreachable!("{other:?}"),
                    }
                    if place.stopping.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
            Self::Signal(peer) => {
                for word in words {
                    peer.say(&json!({
                        "type": "message", "room": place.name, "data": word.text(), "ref": word.number,
                    }));
                }
                let mut waiting: Vec<Word> = words.to_vec();
                while !waiting.is_empty() {
                    let heard = peer.hear();
                    if heard["type"] == "ack" {
                        let word = waiting.remove(0);
                        check_ack(place, word, &heard);
                    }
                }
                place.log.wait(REST);
            }
            Self::Post => {
                for word in words {
                    let id = server.publish(place.name, &json!({"data": word.text()}));
                    assert_eq!(id, place.log.id(place.log.offset_of(*word)));
                }
                place.log.wait(REST);
            }
        }
    }

    /// What a raw publisher has sent is taken in before it is gone.
    fn close(self) {
        if let Self::Raw(mut member) = self {
            let Member::Raw(client) = &mut member else {
                unreachable!("a raw member")
            };
            client.send(0x88, &1000_u16.to_be_bytes());
            while !matches!(member.hear(), Heard::Closed(_)) {}
        }
    }
}

/// An acknowledgement tells the place that the message has in the log.
fn check_ack(place: &Place, word: Word, ack: &Value) {
    assert_eq!(ack["ref"], word.number, "acknowledgements come in order");
    let id = place.log.id(place.log.offset_of(word));
    assert_eq!(ack["id"], id, "{word:?}");
}

/// Says what everybody waits for in the end.
pub(crate) fn say_last_word(server: &TestServer, place: &Place) {
    server.publish(place.name, &json!({"data": LAST.text()}));
}

/// The one who writes down what is said.
pub(crate) fn recorder(server: &TestServer, place: &Place) -> Member {
    let (mut member, _) = Member::enter(server.tcp(), Door::All, place.name, None);
    // Nobody speaks before it is in the room.
    let Member::Json(peer) = &mut member else {
        unreachable!("a member with envelopes")
    };
    peer.client.settle();
    member
}

/// Writes the log until the last word. Returns how many messages there were.
pub(crate) fn record(mut member: Member, place: &Place) -> u64 {
    let mut count = 0;
    loop {
        match member.hear() {
            Heard::Message(text, Some(id)) => {
                let word = Word::parse(&text).unwrap();
                let (epoch, offset) = id.split_once('-').unwrap();
                place.log.record(epoch, offset.parse().unwrap(), word);
                count += 1;
                if word == LAST {
                    return count;
                }
            }
            other => unreachable!("the recorder hears {other:?}"),
        }
    }
}

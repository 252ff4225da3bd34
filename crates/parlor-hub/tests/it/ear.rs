//! The last step to a member: a socket that takes bytes now and then, and the outbox before it.
//! Whatever a member does not get must be something that its room's policy lets it lose, and every
//! loss must be told.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use parlor_hub::outbox::{Bounds, Chunk, Outbox, Slow, Tag};
use parlor_hub::{Message, Priority, RoomKey};

use crate::random::Random;
use crate::world::{Checked, World, check_message};

/// Bytes of a message on this wire: its number.
const FRAME: usize = 8;

/// What one member's socket was given, and what it took.
#[derive(Default)]
pub(crate) struct Ear {
    /// It takes nothing for now.
    stalled: bool,
    outbox: Option<Outbox>,
    /// What is still to come, in order.
    offered: VecDeque<Offer>,
    /// The beginning of a message.
    partial: Vec<u8>,
    /// Messages that never came, and how many of them the outbox has told.
    lost: u64,
    told: u64,
    /// Its outbox was full of what may not be dropped.
    pub(crate) doomed: bool,
}

struct Offer {
    number: u64,
    /// What may be lost; nothing of a message to one member.
    loss: Option<Loss>,
}

#[derive(PartialEq)]
struct Loss {
    stay: usize,
    low: bool,
    /// The event, where a newer message of it is enough.
    event: Option<u64>,
}

impl World {
    /// Gives a message that a member hears to its socket.
    pub(crate) fn offer(
        &mut self,
        client: usize,
        stay: Option<(RoomKey, usize)>,
        message: &Message,
    ) -> Checked {
        let number = check_message(message)?;
        let shard = usize::from(self.clients[client].shard.0);
        let mut tag = None;
        let mut loss = None;
        if let Some((room, stay)) = stay {
            let slow = Slow::from_class(self.hubs[shard].room_class(room));
            let low = message.priority == Priority::Low;
            let event = (slow == Slow::Conflate).then(|| hash(message.event.as_deref()));
            if slow != Slow::Close {
                tag = Some(Tag {
                    room,
                    priority: message.priority,
                    event,
                });
                loss = Some(Loss { stay, low, event });
            }
        }
        let ear = &mut self.ears[client];
        ear.offered.push_back(Offer { number, loss });
        let chunk = Chunk {
            bytes: Bytes::copy_from_slice(&number.to_be_bytes()),
            messages: 1,
            tag,
        };
        let bounds = Bounds {
            bytes_max: 20 * FRAME,
            messages_max: 16,
        };
        let (losses, full) = ear.give(chunk, bounds, &mut self.random)?;
        for (what, count) in [("dropped", losses.0), ("conflated", losses.1)] {
            *self.tally.entry(what).or_default() += usize::try_from(count).unwrap();
        }
        if full {
            self.count("slow consumers");
        }
        Ok(())
    }

    /// A member's socket stalls, or takes some of what waits for it.
    pub(crate) fn listen(&mut self, client: usize) -> Checked {
        let ear = &mut self.ears[client];
        ear.stalled = !ear.stalled;
        let bytes = self.random.below(12 * FRAME);
        ear.take(bytes)
    }

    /// All that waits for a member is taken.
    pub(crate) fn listen_out(&mut self, client: usize) -> Checked {
        self.ears[client].take(usize::MAX)
    }

    pub(crate) fn forget_stay(&mut self, client: usize, room: RoomKey) {
        let ear = &mut self.ears[client];
        if let Some(outbox) = &mut ear.outbox {
            ear.told += outbox.forget_room(room);
        }
    }
}

impl Ear {
    /// Tells what was dropped for being of low priority and for a newer message, and whether the
    /// outbox is over its bounds.
    fn give(
        &mut self,
        chunk: Chunk,
        bounds: Bounds,
        random: &mut Random,
    ) -> Result<((u64, u64), bool), String> {
        if self.doomed {
            return Ok(((0, 0), false));
        }
        if let Some(outbox) = &mut self.outbox {
            self.doomed = !outbox.push(chunk, bounds);
            return Ok((outbox.take_losses(), self.doomed));
        }
        let sent = if self.stalled {
            random.below(FRAME)
        } else {
            FRAME
        };
        self.took(&chunk.bytes[..sent])?;
        if sent < FRAME {
            let mut outbox = Outbox::new(0);
            outbox.begin(chunk, sent, FRAME);
            self.outbox = Some(outbox);
        }
        Ok(((0, 0), false))
    }

    fn take(&mut self, mut bytes: usize) -> Checked {
        let Some(mut outbox) = self.outbox.take() else {
            return Ok(());
        };
        while bytes > 0 && !outbox.is_empty() {
            let count = outbox.front().len().min(bytes);
            let taken = outbox.front()[..count].to_vec();
            self.took(&taken)?;
            outbox.advance(count, 0);
            bytes -= count;
        }
        if !outbox.is_empty() {
            self.outbox = Some(outbox);
            return Ok(());
        }
        self.told += outbox
            .take_dropped()
            .iter()
            .map(|(_, count)| count)
            .sum::<u64>();
        if !self.doomed {
            while let Some(offer) = self.offered.pop_front() {
                self.lose(&offer)?;
            }
            if self.lost != self.told {
                return Err(format!("{} lost, {} told", self.lost, self.told));
            }
        }
        Ok(())
    }

    /// The socket took these bytes.
    fn took(&mut self, bytes: &[u8]) -> Checked {
        for byte in bytes {
            self.partial.push(*byte);
            if let Ok(number) = self.partial[..].try_into().map(u64::from_be_bytes) {
                self.partial.clear();
                self.heard(number)?;
            }
        }
        Ok(())
    }

    fn heard(&mut self, number: u64) -> Checked {
        while let Some(offer) = self.offered.pop_front() {
            if offer.number == number {
                return Ok(());
            }
            self.lose(&offer)?;
        }
        Err(format!("message {number} came twice or out of order"))
    }

    /// `offer` did not come, and what was offered after it did or may.
    fn lose(&mut self, offer: &Offer) -> Checked {
        self.lost += 1;
        let may = offer.loss.as_ref().is_some_and(|loss| {
            let newer = |other: &Offer| {
                other
                    .loss
                    .as_ref()
                    .is_some_and(|other| other.stay == loss.stay && other.event == loss.event)
            };
            loss.low || loss.event.is_some() && self.offered.iter().any(newer)
        });
        match may {
            true => Ok(()),
            false => Err(format!("message {} must not be lost", offer.number)),
        }
    }
}

fn hash(event: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.hash(&mut hasher);
    hasher.finish()
}

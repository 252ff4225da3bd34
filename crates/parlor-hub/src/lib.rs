//! Rooms, members and order: who hears what.
//!
//! This crate decides and does nothing else. It has no sockets, no clock, no randomness of its
//! own, no locks and no waiting: verbs go in, effects come out, and the same verbs give the same
//! effects in every run. It knows no protocol either; a payload is bytes.
//!
//! # One hub a shard
//!
//! A server has one [`Hub`] for each of its shards (usually a shard is a thread with the
//! connections of one core). A member lives on the shard that has its connection. A room lives on
//! every shard that has members of it, and one shard is its **home**: which one follows from the
//! room's name and a secret number that all shards share, so nobody has to be asked.
//!
//! Joins, leaves and messages of a room all go to its home, which takes them one after the other.
//! That order is the room's order, and every member sees it:
//!
//! ```text
//! shard 0 (Ann)                    shard 1, home of `tea`                shard 2 (Bo, Cy)
//!
//! publish ── Word ───────────────▶ gives the offset, keeps the history
//!                                  Effect::Deliver to its own members
//! Effect::Deliver ◀────── Word ────┤
//!                                  └──── Word, one for both ───────────▶ Effect::Deliver
//! ```
//!
//! The home keeps a roster of the members on other shards; its own are in its own table. A publish
//! costs one effect for the home's members together and one [`Word`] for each other shard that has
//! members, however many they are: nothing is counted or copied for each member.
//!
//! # What the shell does
//!
//! The shell owns threads and sockets. It
//!
//! * performs the effects of a verb, in their order, before those of the next verb. A verb that is
//!   called while effects are being performed adds to the end;
//! * carries each [`Effect::Send`] to the mailbox of the other shard, whose [`Hub::receive`] takes
//!   it: from one shard to another in order, each word once, none lost. A mailbox may be slow, and
//!   between different pairs of shards there is no order to keep;
//! * calls [`Hub::tick`] now and then, where rooms keep a history;
//! * gives each connection a [`MemberKey`], and a new generation to a slot that is used again.
//!   Whatever was on its way to the member before is dropped here.
//!
//! [`Effect::Deliver`] names a room, not members: the shell appends to a batch of the room and
//! sends that at the end of its turn to [`Hub::members_of`]. Two effects tell it who is to have
//! less than the whole batch: after [`Effect::Joined`] a member hears only what is appended later,
//! and at [`Effect::Left`] a member is still owed what was appended before.
//!
//! # Answers
//!
//! A verb that returns an error has changed nothing. Otherwise the answer is an effect, which may
//! come in the same call (where the home is this shard) or later, always after the effects that
//! the home decided before it. Nothing may be built on an answer within the same call: with more
//! shards, or with a home on another machine, it comes later.
//!
//! # Lives of a room
//!
//! A room is made by the first join, and freed on each shard when nothing holds it there: no
//! member, no answer still to come and, at its home, no message kept. [`Effect::Freed`] is the
//! last that is heard of its [`RoomKey`]. Each life has an epoch of its own, drawn when it begins,
//! and offsets that begin at 1; both make a [`MessageId`].
//!
//! # History
//!
//! Where the [`RoomTable`] says so, the home keeps the last messages of a room, bounded by their
//! number, age and bytes, and all rooms together by [`Limits::history_bytes_total`]. A member that
//! comes back joins with [`Resume`] and is told in one answer what it missed, and what comes next
//! it hears live: the join has its place in the room's order like any message, so nothing is lost
//! or repeated between the two. What cannot be told any more is a [`Gap`], never a silence. A log
//! that outlives the server stands behind the same interface: [`Histories`].
//!
//! # Presence
//!
//! A member has a name and presence data, the same in all its rooms. Others see them in the
//! roster that a join may ask for, in [`Hub::list`], and in [`Effect::Notice`], which comes in the
//! room's order: a member hears of another before it hears from it. Large rooms send no notices.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use parlor_hub::{
//!     Draft, Effect, Effects, Hub, JoinOptions, Limits, MemberKey, Payload, RoomName, RoomRef,
//!     Seeds, ShardId,
//! };
//!
//! // One shard, which is then the home of every room. The seeds and secrets are to be random.
//! let seeds = Seeds { placement: 1, epochs: 2 };
//! let mut hub = Hub::new(ShardId(0), 1, seeds, Limits::default());
//! let mut effects = Effects::new();
//! let tea = RoomName::new("tea").unwrap();
//! let [ann, bo] = [0, 1].map(|slot| MemberKey { slot, generation: 0 });
//! for (key, secret) in [(ann, [1; 10]), (bo, [2; 10])] {
//!     hub.connect(key, secret, None).unwrap();
//!     hub.join(key, &tea, JoinOptions::default(), &mut effects).unwrap();
//! }
//! effects.drain();
//!
//! let draft = Draft::new(Payload::Text(Bytes::from_static(b"Hello!")));
//! hub.publish(ann, RoomRef::Name(&tea), draft, &mut effects).unwrap();
//! for effect in effects.drain() {
//!     if let Effect::Deliver { room, message, except } = effect {
//!         let members = hub.members_of(room).iter();
//!         let hear: Vec<_> = members.filter(|member| Some(**member) != except).collect();
//!         assert_eq!(hear, [&bo]);
//!         assert_eq!(message.payload.bytes(), "Hello!");
//!     }
//! }
//! ```

mod effect;
mod history;
mod home;
mod hub;
mod limits;
mod mail;
mod member;
mod message;
pub mod outbox;
mod presence;
mod refused;
mod request;
mod room;
mod sequence;
mod table;
mod upkeep;
mod word;

pub use effect::{Effect, Effects, Joined, Request};
pub use history::{Gap, Histories, History, MemoryHistories, Resume};
pub use hub::Hub;
pub use limits::Limits;
pub use member::{MalformedMemberId, MemberId, MemberKey, Peer, ShardId};
pub use message::{
    Audience, Draft, MalformedMessageId, Message, MessageId, Payload, Priority, Rider, Sender,
};
pub use presence::{Notice, Roster};
pub use refused::Refused;
pub use request::{Counts, JoinOptions, Page, Seeds};
pub use room::{MalformedRoomName, RoomKey, RoomName, RoomRef};
pub use table::{MalformedRoomPattern, RoomOptions, RoomPattern, RoomTable};
pub use word::Word;

//! Rooms, members and order: who hears what.

mod effect;
mod history;
mod home;
mod hub;
mod limits;
mod mail;
mod member;
mod message;
mod presence;
mod refused;
mod room;
mod word;

pub use effect::{Effect, Effects, Joined, Request};
pub use history::{Gap, Resume};
pub use hub::{Counts, Hub, JoinOptions, Page, Seeds};
pub use limits::Limits;
pub use member::{MalformedMemberId, MemberId, MemberKey, Peer, ShardId};
pub use message::{
    Audience, Draft, MalformedMessageId, Message, MessageId, Payload, Priority, Sender,
};
pub use presence::{Notice, Roster};
pub use refused::Refused;
pub use room::{MalformedRoomName, RoomKey, RoomName, RoomRef};
pub use word::Word;

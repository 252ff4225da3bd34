//! A handle to a room.

use std::{cell::RefCell, fmt, sync::Arc};

use parlor_hub::{
    Audience, Draft, MalformedRoomName, MemberId, Message as Kept, MessageId, Payload, Peer,
    Priority, Resume, RoomName, Sender,
};
use parlor_proto::sse;
use serde::Serialize;
use tokio::sync::oneshot;

use super::{Command, Link, Member, Message, Question, RoomError, SendError};

/// A handle to a room, whether or not anybody is in it: `Clone`, `Send`, `Sync`, usable from any
/// task and any thread.
///
/// ```
/// # fn greet(server: &parlor::ServerHandle, member: &parlor::Member) -> Result<(), parlor::RoomError> {
/// let tea = server.room("tea")?;
/// tea.publish("to everybody there")?;
/// tea.except(member).publish("to everybody else there")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Room {
    link: Arc<Link>,
    name: RoomName,
}

/// A message for a room that is not for everybody there, has an event name, or a priority.
#[derive(Debug, Clone)]
#[must_use = "nothing is published until `publish` is called"]
pub struct Publication {
    room: Room,
    audience: Audience,
    event: Option<Arc<str>>,
    priority: Priority,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its place in the room's order. None where nobody was there and the room keeps no history.
    pub id: Option<MessageId>,
    /// How many members it was sent to.
    pub receivers: usize,
}

/// A message that a room keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Said {
    /// Its place in the room's order.
    pub id: Option<MessageId>,
    /// The member that said it; none where the server did.
    pub from: Option<Sender>,
    /// The name of the event; none stands for `message`.
    pub event: Option<Arc<str>>,
    /// What was said.
    pub message: Message,
}

/// What names a room: a text of 1 to 128 bytes of UTF-8 without control characters, or what was
/// checked to be one.
pub trait IntoRoom {
    /// The name.
    ///
    /// # Errors
    ///
    /// [`MalformedRoomName`].
    fn into_room(self) -> Result<RoomName, MalformedRoomName>;
}

impl Room {
    pub(crate) const fn new(link: Arc<Link>, name: RoomName) -> Self {
        Self { link, name }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &RoomName {
        &self.name
    }

    /// Publishes to everybody in the room, in nobody's name. What one task or thread publishes in
    /// one room arrives in that order.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] where the queue of the room's shard is full, [`SendError::Closed`] where
    /// the server has stopped.
    pub fn publish(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let draft = Box::new({
            let mut draft = Draft::new(message.into().into_payload());
            draft.audience = Audience::Room;
            draft
        });
        let room = self.name.clone();
        let publish = Command::Publish { room, draft };
        self.link.command_home(&self.name, publish)
    }

    /// Publishes a value as JSON to everybody in the room, in nobody's name. `parlor.v1`, event
    /// streams and Socket.IO tell it as the value that it is, endpoints and raw WebSockets as text.
    ///
    /// # Errors
    ///
    /// [`RoomError::Json`] where JSON cannot say the value, and as [`Room::publish`].
    pub fn publish_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), RoomError> {
        self.to(Audience::Room).publish_json(value)
    }

    /// Leaves a member out.
    pub fn except(&self, member: &Member) -> Publication {
        self.to(Audience::Except(member.id()))
    }

    /// Names the event, so that endpoints and raw WebSockets do not hear it: see
    /// [`Publication::event`].
    pub fn event(&self, name: &str) -> Publication {
        self.to(Audience::Room).event(name)
    }

    /// Gives a priority: see [`Publication::priority`].
    pub fn priority(&self, priority: Priority) -> Publication {
        self.to(Audience::Room).priority(priority)
    }

    fn to(&self, audience: Audience) -> Publication {
        Publication {
            room: self.clone(),
            audience,
            event: None,
            priority: Priority::Normal,
        }
    }

    /// Who is in the room, sorted by id: those at the endpoints and those at the built-in doors. A
    /// large room is asked for a thousand at a time, so that the list is that of no single moment.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub async fn members(&self) -> Result<Vec<Peer>, SendError> {
        let mut peers: Vec<Peer> = Vec::new();
        loop {
            let after = peers.last().map(|peer| peer.id);
            let name = self.name.clone();
            let roster = self
                .ask(|answer| Question::Peers(name, after, answer))
                .await?;
            peers.extend(roster.peers);
            if !roster.more {
                return Ok(peers);
            }
        }
    }

    /// How many members are in the room.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub async fn population(&self) -> Result<usize, SendError> {
        let name = self.name.clone();
        self.ask(|answer| Question::Population(name, answer)).await
    }

    /// The last messages that the room keeps, at most `count`, oldest first. What a room keeps is
    /// said by [`history_messages`](crate::Config::history_messages) and the settings beside it.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`].
    pub async fn history(&self, count: usize) -> Result<Vec<Said>, SendError> {
        let name = self.name.clone();
        let (messages, _) = self
            .ask(|answer| Question::History(name, Resume::Last(count), answer))
            .await?;
        Ok(messages.iter().map(|kept| said(kept)).collect())
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, SendError> {
        let (answer, answered) = oneshot::channel();
        let question = Command::Ask(Box::new(question(answer)));
        self.link.command_home(&self.name, question)?;
        answered.await.map_err(|_| SendError::Closed)
    }
}

impl Publication {
    /// Leaves a member out; of several the last one.
    pub fn except(mut self, member: &Member) -> Self {
        self.audience = Audience::Except(member.id());
        self
    }

    /// Addresses one member only, who has to be in the room. Such a message is not kept.
    pub fn only(mut self, member: MemberId) -> Self {
        self.audience = Audience::Member(member);
        self
    }

    /// Names the event, in 1 to 256 bytes without CR, LF and NUL. Listeners of event streams,
    /// `parlor.v1` and Socket.IO are told it; endpoints and raw WebSockets, which have no place for
    /// a name, hear only messages without one.
    pub fn event(mut self, name: &str) -> Self {
        self.event = Some(name.into());
        self
    }

    /// What a member loses first that does not read as fast as the room speaks: `Low` before
    /// `Normal` before `High`. It never reorders a room.
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Publishes.
    ///
    /// # Errors
    ///
    /// [`RoomError::Event`], [`RoomError::Full`], [`RoomError::Closed`].
    pub fn publish(self, message: impl Into<Message>) -> Result<(), RoomError> {
        self.publish_payload(message.into().into_payload())
    }

    /// Publishes a value as JSON, see [`Room::publish_json`].
    ///
    /// # Errors
    ///
    /// [`RoomError::Json`] where JSON cannot say the value, and as [`Publication::publish`].
    pub fn publish_json<T: Serialize + ?Sized>(self, value: &T) -> Result<(), RoomError> {
        let json = Message::from_json(value)?.into_payload().bytes().clone();
        self.publish_payload(Payload::Json(json))
    }

    fn publish_payload(self, payload: Payload) -> Result<(), RoomError> {
        let Room { link, name } = self.room.clone();
        let draft = Box::new(self.draft(payload)?);
        let home = link.post()?.home_of(&name);
        Ok(link.command(home, Command::Publish { room: name, draft })?)
    }

    /// Publishes, and waits until the message has its place. Cancel-safe: dropping the future drops
    /// the answer, not the message.
    ///
    /// # Errors
    ///
    /// [`RoomError::Event`], [`RoomError::Full`], [`RoomError::Closed`], [`RoomError::Refused`].
    pub async fn publish_and_wait(
        self,
        message: impl Into<Message>,
    ) -> Result<Published, RoomError> {
        let room = self.room.clone();
        let draft = self.draft(message.into().into_payload())?;
        let name = room.name.clone();
        let answered = room.ask(|answer| Question::Publish(name, draft, answer));
        let (id, receivers) = answered.await??;
        Ok(Published { id, receivers })
    }

    fn draft(self, payload: Payload) -> Result<Draft, RoomError> {
        let fits =
            |name: &str| (1..=EVENT_BYTES_MAX).contains(&name.len()) && sse::is_field_safe(name);
        if self.event.as_deref().is_some_and(|name| !fits(name)) {
            return Err(RoomError::Event);
        }
        let mut draft = Draft::new(payload);
        draft.audience = self.audience;
        draft.event = self.event.filter(|event| **event != *"message");
        draft.priority = self.priority;
        Ok(draft)
    }
}

fn said(kept: &Kept) -> Said {
    Said {
        id: kept.id,
        from: kept.from.clone(),
        event: kept.event.clone(),
        message: Message::of_payload(&kept.payload),
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Room").field(&self.name).finish()
    }
}

impl IntoRoom for &str {
    fn into_room(self) -> Result<RoomName, MalformedRoomName> {
        // Where the thread ends, its memory is gone.
        let recent = RECENT.try_with(|recent| recent_name(&mut recent.borrow_mut(), self));
        recent.unwrap_or_else(|_| RoomName::new(self))
    }
}

/// A name out of those that were given last, which it then is one of.
fn recent_name(recent: &mut Recent, text: &str) -> Result<RoomName, MalformedRoomName> {
    let last = text.bytes().last().unwrap_or_default();
    let place = &mut recent[(text.len() + usize::from(last)) % RECENT_MAX];
    match place {
        Some(name) if name.as_str() == text => Ok(name.clone()),
        _ => Ok(place.insert(RoomName::new(text)?).clone()),
    }
}

impl IntoRoom for &String {
    fn into_room(self) -> Result<RoomName, MalformedRoomName> {
        self.as_str().into_room()
    }
}

impl IntoRoom for RoomName {
    fn into_room(self) -> Result<RoomName, MalformedRoomName> {
        Ok(self)
    }
}

impl IntoRoom for &RoomName {
    fn into_room(self) -> Result<RoomName, MalformedRoomName> {
        Ok(self.clone())
    }
}

impl IntoRoom for &Room {
    fn into_room(self) -> Result<RoomName, MalformedRoomName> {
        Ok(self.name.clone())
    }
}

thread_local! {
    /// Handlers name the same rooms over and over, and a name that is known need not be checked
    /// and copied again.
    static RECENT: RefCell<Recent> = const { RefCell::new([const { None }; RECENT_MAX]) };
}

/// Names that were given last on a thread, by length and last byte.
type Recent = [Option<RoomName>; RECENT_MAX];

/// Names of rooms that a thread remembers.
const RECENT_MAX: usize = 8;
/// The longest name of an event, in bytes.
const EVENT_BYTES_MAX: usize = 256;

//! What a `parlor.v1` member asks for, and what it is answered.

use std::{fmt::Display, sync::Arc, time::SystemTime};

use bytes::Bytes;
use parlor_hub::{
    Audience, Draft, JoinOptions, Joined, MemberId, MessageId, Page, Payload, Priority, Refused,
    Resume, RoomName, RoomRef, Roster,
};
use parlor_proto::{
    signal::{self, Envelope, Request, encode},
    websocket::{CloseCode, Kind},
};

use super::{Desk, peer};
use crate::{
    door::{
        Item, Then, Turn,
        enter::{LOBBY, NEVER},
        item::RELAY,
        opaque::{self, Target},
    },
    metrics::End,
};

/// Requests of one member whose answer has not come; one more is an error.
const PENDING_MAX: usize = 256;
/// Messages in a row that were not understood; one more closes the connection.
const MALFORMED_MAX: u32 = 100;

/// The state of one member's requests.
#[derive(Debug)]
pub(super) struct Dialogue {
    pub(super) speech: Speech,
    /// Requests that wait for the hub.
    pending: Vec<Pending>,
    tokens: u64,
    malformed: u32,
}

/// What a connection's own messages are.
#[derive(Debug)]
pub(crate) enum Speech {
    /// `parlor.v1`; with the room that stands where none is named.
    Json(Option<RoomName>),
    /// Opaque frames (`?events=all`).
    Raw(Target),
}

/// A request that the hub has not answered yet.
#[derive(Debug)]
pub(super) struct Pending {
    token: u64,
    /// JSON text.
    pub(super) reference: Option<Box<str>>,
    /// The room that was asked for: it may be gone, and its key another's, when the answer comes.
    room: Option<RoomName>,
    resumes: bool,
    /// Whether the room's last message is to be told.
    last: bool,
}

/// What goes wrong with a request.
enum Failure {
    Hub(Refused),
    BadRoom,
    UnknownPeer,
    BadData,
    TooManyPending,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Hub(refused)
    }
}

impl Failure {
    /// The code for programs and the text for people.
    fn describe(&self) -> (&'static str, String) {
        match self {
            Self::Hub(refused) => (code(*refused), refused.to_string()),
            Self::BadRoom => (
                "bad_room",
                "a room name is 1 to 128 bytes without control characters".to_owned(),
            ),
            Self::UnknownPeer => ("unknown-peer", Refused::UnknownPeer.to_string()),
            Self::BadData => ("bad-field", "`base64` is not base64".to_owned()),
            Self::TooManyPending => ("limit", "too many requests wait for an answer".to_owned()),
        }
    }
}

pub(super) fn code(refused: Refused) -> &'static str {
    match refused {
        Refused::AlreadyJoined => "already-joined",
        Refused::NotJoined => "not-joined",
        Refused::UnknownPeer => "unknown-peer",
        Refused::LimitRoomsPerMember { .. }
        | Refused::LimitMembersPerRoom { .. }
        | Refused::LimitRooms { .. }
        | Refused::LimitInFlight { .. }
        | Refused::LimitName { .. }
        | Refused::LimitPresence { .. } => "limit",
        _ => "refused",
    }
}

impl Dialogue {
    pub(super) fn new(speech: Speech) -> Self {
        Self {
            speech,
            pending: Vec::new(),
            tokens: 0,
            malformed: 0,
        }
    }

    /// Notes a request whose answer comes later, perhaps at once.
    pub(super) fn expect(&mut self, reference: Option<&str>, resumes: bool) -> u64 {
        self.tokens += 1;
        let token = self.tokens;
        self.pending.push(Pending {
            token,
            reference: reference.map(Into::into),
            room: None,
            resumes,
            last: false,
        });
        token
    }

    /// The same for a request whose answer names its room.
    pub(super) fn expect_of(
        &mut self,
        room: &RoomName,
        reference: Option<&str>,
        resumes: bool,
    ) -> u64 {
        let token = self.expect(reference, resumes);
        if let Some(pending) = self.pending.last_mut() {
            pending.room = Some(room.clone());
        }
        token
    }

    pub(super) fn answered(&mut self, token: Option<u64>) -> Option<Pending> {
        let token = token?;
        let at = self
            .pending
            .iter()
            .position(|pending| pending.token == token)?;
        Some(self.pending.swap_remove(at))
    }

    pub(super) fn take(&mut self, kind: Kind, payload: &[u8], desk: &mut Desk<'_, '_>) -> Then {
        if let Speech::Raw(target) = &self.speech {
            if let Err(reason) = opaque::publish(opaque::draft(*target, kind, payload), desk.turn) {
                tracing::debug!(%reason, "message refused");
            }
            return Then::Continue;
        }
        let text = str::from_utf8(payload).unwrap_or_default();
        match signal::parse(text) {
            Ok(Envelope {
                reference, request, ..
            }) => {
                self.malformed = 0;
                let result = self.obey(reference, request, desk);
                if let Err(failure) = result {
                    let (code, text) = failure.describe();
                    desk.say(|out| encode::error(out, reference, code, &text));
                }
                Then::Continue
            }
            Err(malformed) => {
                self.malformed += 1;
                let (code, text) = (malformed.cause.code(), malformed.to_string());
                desk.say(|out| encode::error(out, malformed.reference, code, &text));
                if self.malformed < MALFORMED_MAX {
                    return Then::Continue;
                }
                let code = CloseCode::POLICY_VIOLATION;
                desk.connection
                    .close(Some(code), "too many errors", None, desk.turn.reply);
                Then::Linger(End::Violation)
            }
        }
    }

    fn obey(
        &mut self,
        reference: Option<&str>,
        request: Request<'_>,
        desk: &mut Desk<'_, '_>,
    ) -> Result<(), Failure> {
        if self.pending.len() >= PENDING_MAX {
            return Err(Failure::TooManyPending);
        }
        match request {
            Request::Join {
                room,
                name,
                data,
                last,
                history,
            } => {
                let options = JoinOptions {
                    name: name.map(|name| Arc::from(&*name)),
                    data: data.map(|data| Bytes::copy_from_slice(data.as_bytes())),
                    resume: history.map(last_messages),
                    ..JoinOptions::default()
                };
                self.join(room.as_deref(), options, (reference, last), desk)
            }
            Request::Resume { room, since, last } => {
                self.join(room.as_deref(), since_id(&since), (reference, last), desk)
            }
            Request::Leave { room } => self.leave(room.as_deref(), reference, desk),
            Request::List { room, after } => {
                let page = after.map(|after| after.parse()).transpose();
                let page = page.map_err(|_| Failure::UnknownPeer)?;
                self.list(room.as_deref(), page, reference, desk)
            }
            Request::Message {
                room,
                target,
                event,
                data,
                priority,
            } => {
                let mut draft = Draft::new(payload(data)?);
                draft.event = event
                    // An empty name would be none in an event stream.
                    .filter(|event| event != "message" && !event.is_empty())
                    .map(|e| Arc::from(&*e));
                draft.priority = hub_priority(priority);
                self.publish(room.as_deref(), target.as_deref(), draft, (reference, desk))
            }
            Request::Relay { target, members } => {
                let own = desk
                    .turn
                    .hub
                    .id_of(desk.turn.key)
                    .ok_or(Refused::UnknownMember)?;
                let mut text = Vec::new();
                encode::relay(&mut text, &own, &members);
                let mut draft = Draft::new(Payload::Json(text.into()));
                draft.hint = RELAY;
                self.publish(None, Some(&target), draft, (reference, desk))
            }
            Request::Presence { data } => {
                let data = Some(Bytes::copy_from_slice(data.as_bytes()));
                desk.turn
                    .hub
                    .update(desk.turn.key, None, data, desk.turn.effects)?;
                if let Some(reference) = reference {
                    desk.say(|out| encode::ack(out, reference, None::<&MessageId>));
                }
                Ok(())
            }
            Request::Ping => {
                desk.say(|out| encode::pong(out, reference, unix_ms()));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn leave(
        &mut self,
        room: Option<&str>,
        reference: Option<&str>,
        desk: &mut Desk<'_, '_>,
    ) -> Result<(), Failure> {
        let room = self.room(room, desk)?;
        let token = self.expect(reference, false);
        let Turn {
            key, hub, effects, ..
        } = &mut *desk.turn;
        let result = hub.leave(*key, &room, Some(token), effects);
        self.unless_failed(token, result)
    }

    fn list(
        &mut self,
        room: Option<&str>,
        after: Option<MemberId>,
        reference: Option<&str>,
        desk: &mut Desk<'_, '_>,
    ) -> Result<(), Failure> {
        let room = self.room(room, desk)?;
        let token = self.expect_of(&room, reference, false);
        let page = Page {
            token: Some(token),
            after,
        };
        let Turn {
            key, hub, effects, ..
        } = &mut *desk.turn;
        let result = hub.list(*key, &room, page, effects);
        self.unless_failed(token, result)
    }

    fn join(
        &mut self,
        room: Option<&str>,
        mut options: JoinOptions,
        (reference, last): (Option<&str>, bool),
        desk: &mut Desk<'_, '_>,
    ) -> Result<(), Failure> {
        let room = self.room_to_join(room)?;
        let token = self.expect_of(&room, reference, options.resume.is_some());
        if let Some(pending) = self.pending.last_mut() {
            pending.last = last;
        }
        options.token = Some(token);
        options.roster = true;
        let result = desk
            .turn
            .hub
            .join(desk.turn.key, &room, options, desk.turn.effects);
        self.unless_failed(token, result)
    }

    fn publish(
        &mut self,
        room: Option<&str>,
        target: Option<&str>,
        mut draft: Draft,
        (reference, desk): (Option<&str>, &mut Desk<'_, '_>),
    ) -> Result<(), Failure> {
        let named = match (room, target) {
            (None, Some(_)) => None,
            _ => Some(self.room(room, desk)?),
        };
        if let Some(target) = target {
            let target: MemberId = target.parse().map_err(|_| Failure::UnknownPeer)?;
            draft.audience = Audience::Member(target);
        }
        let room = named.as_ref().map_or(RoomRef::Shared, RoomRef::Name);
        // A refusal of the home is told in any case; a token makes it find its `ref`.
        let token = reference.map(|reference| self.expect(Some(reference), false));
        draft.token = token;
        let result = desk
            .turn
            .hub
            .publish(desk.turn.key, room, draft, desk.turn.effects);
        match token {
            Some(token) => self.unless_failed(token, result),
            None => Ok(result?),
        }
    }

    fn unless_failed(&mut self, token: u64, result: Result<(), Refused>) -> Result<(), Failure> {
        if result.is_err() {
            self.answered(Some(token));
        }
        Ok(result?)
    }

    fn room_to_join(&self, named: Option<&str>) -> Result<RoomName, Failure> {
        match (named, &self.speech) {
            (Some(name), _) => RoomName::new(name).map_err(|_| Failure::BadRoom),
            (None, Speech::Json(Some(room))) => Ok(room.clone()),
            (None, _) => RoomName::new(LOBBY).map_err(|_| Failure::BadRoom),
        }
    }

    /// The room that is meant: the one named, else that of the path, else the only one that the
    /// member is in, else the lobby.
    fn room(&self, named: Option<&str>, desk: &Desk<'_, '_>) -> Result<RoomName, Failure> {
        if named.is_none() && matches!(self.speech, Speech::Json(None)) {
            let mut rooms = desk.turn.hub.rooms_of(desk.turn.key);
            if let (Some(room), None) = (rooms.next(), rooms.next())
                && let Some(name) = desk.turn.hub.room_name(room)
            {
                return Ok(name.clone());
            }
        }
        self.room_to_join(named)
    }

    pub(super) fn joined(&mut self, joined: &Joined, desk: &mut Desk<'_, '_>) {
        let pending = self.answered(joined.token);
        let reference = pending
            .as_ref()
            .and_then(|pending| pending.reference.as_deref());
        let Some(room) = pending.as_ref().and_then(|pending| pending.room.clone()) else {
            return;
        };
        let Some(own) = desk.turn.hub.id_of(desk.turn.key) else {
            return;
        };
        let roster = joined.roster.as_ref();
        let peers = roster
            .map_or(&[][..], |roster| &roster.peers)
            .iter()
            .map(peer);
        let more = roster.is_some_and(|roster| roster.more);
        let last = pending.as_ref().filter(|pending| pending.last);
        let last = last.map(|_| &joined.head as &dyn Display);
        let place = (room.as_str(), &own, last);
        desk.say(|out| encode::joined(out, reference, place, peers, more));
        if !pending.as_ref().is_some_and(|pending| pending.resumes) {
            return;
        }
        let items: Vec<Item> = joined.replay.iter().cloned().map(Item::Message).collect();
        desk.deliver(&mut items.iter());
        desk.say(|out| {
            let oldest = joined.gap.as_ref().map(|gap| gap.oldest);
            let oldest = oldest
                .as_ref()
                .map(|id| id.as_ref().map(|id| id as &dyn Display));
            encode::resumed(out, reference, room.as_str(), oldest);
        });
    }
}

/// Answers a question for who is in a room.
pub(super) fn say_listed(pending: Option<&Pending>, roster: &Roster, desk: &mut Desk<'_, '_>) {
    let reference = pending.and_then(|pending| pending.reference.as_deref());
    let Some(room) = pending.and_then(|pending| pending.room.as_ref()) else {
        return;
    };
    let peers = roster.peers.iter().map(peer);
    desk.say(|out| encode::peers(out, reference, room.as_str(), peers, roster.more));
}

/// Acknowledges a request that had a `ref`.
pub(super) fn acknowledge(
    pending: Option<Pending>,
    id: Option<MessageId>,
    desk: &mut Desk<'_, '_>,
) {
    if let Some(reference) = pending.and_then(|pending| pending.reference) {
        desk.say(|out| encode::ack(out, &reference, id.as_ref()));
    }
}

const fn hub_priority(priority: signal::Priority) -> Priority {
    match priority {
        signal::Priority::High => Priority::High,
        signal::Priority::Normal => Priority::Normal,
        signal::Priority::Low => Priority::Low,
    }
}

/// So many messages of the past.
fn last_messages(count: u32) -> Resume {
    Resume::Last(usize::try_from(count).unwrap_or(usize::MAX))
}

/// A return from the message of this id, or from nowhere where it is none.
fn since_id(since: &str) -> JoinOptions {
    JoinOptions {
        resume: Some(Resume::Since(since.parse().unwrap_or(NEVER))),
        ..JoinOptions::default()
    }
}

/// The time of day in milliseconds since 1970.
fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// What `data` stands for.
fn payload(data: &str) -> Result<Payload, Failure> {
    match signal::parse_data(data) {
        Ok(signal::Content::Text(text)) => Ok(Payload::Text(text.into())),
        Ok(signal::Content::Binary(bytes)) => Ok(Payload::Binary(bytes.into())),
        Ok(signal::Content::Json) => Ok(Payload::Json(Bytes::copy_from_slice(data.as_bytes()))),
        Err(_) => Err(Failure::BadData),
    }
}

//! The `parlor.v1` door: rooms, presence, messages and signalling as JSON over WebSocket.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use parlor_hub::{
    Audience, Draft, JoinOptions, Joined, MemberId, MessageId, Page, Payload, Peer, Priority,
    Refused, Request as HubRequest, Resume, RoomKey, RoomName, RoomRef, Roster,
};
use parlor_proto::{
    signal::{self, Envelope, Request, encode},
    websocket::{CloseCode, Connection, Kind, Message, Role, deflate::Agreement, frame},
};

use super::{
    CloseReason, Heartbeat, Item, News, Session, Then, Tools, Turn,
    enter::LOBBY,
    item::RELAY,
    opaque::{self, Target},
    socket::{close, ping, receive},
    tools::envelope,
};

/// Requests of one member whose answer has not come; one more is an error.
const PENDING_MAX: usize = 256;
/// Messages in a row that were not understood; one more closes the connection.
const MALFORMED_MAX: u32 = 100;

/// A connection that hears `parlor.v1`.
#[derive(Debug)]
pub(crate) struct Signal {
    connection: Connection,
    speech: Speech,
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
struct Pending {
    token: u64,
    /// JSON text.
    reference: Option<Box<str>>,
    resumes: bool,
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

fn code(refused: Refused) -> &'static str {
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

impl Signal {
    pub(crate) fn new(agreement: Option<Agreement>, speech: Speech) -> Self {
        Self {
            connection: Connection::new(Role::Server, agreement),
            speech,
            pending: Vec::new(),
            tokens: 0,
            malformed: 0,
        }
    }

    /// Notes a request whose answer comes later, perhaps at once.
    pub(crate) fn expect(&mut self, reference: Option<&str>, resumes: bool) -> u64 {
        self.tokens += 1;
        let token = self.tokens;
        self.pending.push(Pending {
            token,
            reference: reference.map(Into::into),
            resumes,
        });
        token
    }

    fn answered(&mut self, token: Option<u64>) -> Option<Pending> {
        let token = token?;
        let at = self
            .pending
            .iter()
            .position(|pending| pending.token == token)?;
        Some(self.pending.swap_remove(at))
    }

    /// Sends one `parlor.v1` message.
    fn say(&mut self, turn: &mut Turn<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        write(&mut text);
        say(&mut self.connection, &text, turn.tools, turn.reply);
    }

    fn take(&mut self, kind: Kind, payload: &[u8], turn: &mut Turn<'_>) -> Then {
        if let Speech::Raw(target) = &self.speech {
            if let Err(reason) = opaque::publish(opaque::draft(*target, kind, payload), turn) {
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
                let result = self.obey(reference, request, turn);
                if let Err(failure) = result {
                    let (code, text) = failure.describe();
                    self.say(turn, |out| encode::error(out, reference, code, &text));
                }
                Then::Continue
            }
            Err(malformed) => {
                self.malformed += 1;
                let (code, text) = (malformed.cause.code(), malformed.to_string());
                self.say(turn, |out| {
                    encode::error(out, malformed.reference, code, &text)
                });
                if self.malformed < MALFORMED_MAX {
                    return Then::Continue;
                }
                let code = CloseCode::POLICY_VIOLATION;
                self.connection
                    .close(Some(code), "too many errors", None, turn.reply);
                Then::Linger
            }
        }
    }

    fn obey(
        &mut self,
        reference: Option<&str>,
        request: Request<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        if self.pending.len() >= PENDING_MAX {
            return Err(Failure::TooManyPending);
        }
        match request {
            Request::Join { room, name, data } => {
                let room = self.room_to_join(room.as_deref())?;
                let options = JoinOptions {
                    name: name.map(|name| Arc::from(&*name)),
                    data: data.map(|data| Bytes::copy_from_slice(data.as_bytes())),
                    ..JoinOptions::default()
                };
                self.join(&room, options, reference, turn)
            }
            Request::Resume { room, since } => {
                let room = self.room_to_join(room.as_deref())?;
                let since = since.parse().unwrap_or(NEVER);
                let resume = Some(Resume::Since(since));
                self.join(
                    &room,
                    JoinOptions {
                        resume,
                        ..JoinOptions::default()
                    },
                    reference,
                    turn,
                )
            }
            Request::Leave { room } => {
                let room = self.room(room.as_deref(), turn)?;
                let token = self.expect(reference, false);
                let result = turn.hub.leave(turn.key, &room, Some(token), turn.effects);
                self.unless_failed(token, result)
            }
            Request::List { room, after } => {
                let room = self.room(room.as_deref(), turn)?;
                let after = after.map(|after| after.parse()).transpose();
                let after = after.map_err(|_| Failure::UnknownPeer)?;
                let token = self.expect(reference, false);
                let page = Page {
                    token: Some(token),
                    after,
                };
                let result = turn.hub.list(turn.key, &room, page, turn.effects);
                self.unless_failed(token, result)
            }
            Request::Message {
                room,
                target,
                event,
                data,
                priority,
            } => {
                let event = event.filter(|event| event != "message");
                let mut draft = Draft::new(payload(data)?);
                draft.event = event.map(|event| Arc::from(&*event));
                draft.priority = match priority {
                    signal::Priority::High => Priority::High,
                    signal::Priority::Normal => Priority::Normal,
                    signal::Priority::Low => Priority::Low,
                };
                self.publish(room.as_deref(), target.as_deref(), draft, (reference, turn))
            }
            Request::Relay { target, members } => {
                let own = turn.hub.id_of(turn.key).ok_or(Refused::UnknownMember)?;
                let mut text = Vec::new();
                encode::relay(&mut text, &own, &members);
                let mut draft = Draft::new(Payload::Json(text.into()));
                draft.hint = RELAY;
                self.publish(None, Some(&target), draft, (reference, turn))
            }
            Request::Presence { data } => {
                let data = Bytes::copy_from_slice(data.as_bytes());
                turn.hub.update(turn.key, None, Some(data), turn.effects)?;
                if let Some(reference) = reference {
                    self.say(turn, |out| encode::ack(out, reference, None::<&MessageId>));
                }
                Ok(())
            }
            Request::Ping => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let time = now.map_or(0, |now| now.as_millis());
                let time = u64::try_from(time).unwrap_or(u64::MAX);
                self.say(turn, |out| encode::pong(out, reference, time));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn join(
        &mut self,
        room: &RoomName,
        mut options: JoinOptions,
        reference: Option<&str>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        let token = self.expect(reference, options.resume.is_some());
        options.token = Some(token);
        options.roster = true;
        let result = turn.hub.join(turn.key, room, options, turn.effects);
        self.unless_failed(token, result)
    }

    fn publish(
        &mut self,
        room: Option<&str>,
        target: Option<&str>,
        mut draft: Draft,
        (reference, turn): (Option<&str>, &mut Turn<'_>),
    ) -> Result<(), Failure> {
        let named = match (room, target) {
            (None, Some(_)) => None,
            _ => Some(self.room(room, turn)?),
        };
        if let Some(target) = target {
            let target: MemberId = target.parse().map_err(|_| Failure::UnknownPeer)?;
            draft.audience = Audience::Member(target);
        }
        let room = named.as_ref().map_or(RoomRef::Shared, RoomRef::Name);
        // A refusal of the home is told in any case; a token makes it find its `ref`.
        let token = reference.map(|reference| self.expect(Some(reference), false));
        draft.token = token;
        let result = turn.hub.publish(turn.key, room, draft, turn.effects);
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
    fn room(&self, named: Option<&str>, turn: &Turn<'_>) -> Result<RoomName, Failure> {
        if named.is_none() && matches!(self.speech, Speech::Json(None)) {
            let mut rooms = turn.hub.rooms_of(turn.key);
            if let (Some(room), None) = (rooms.next(), rooms.next())
                && let Some(name) = turn.hub.room_name(room)
            {
                return Ok(name.clone());
            }
        }
        self.room_to_join(named)
    }

    fn joined(&mut self, joined: &Joined, turn: &mut Turn<'_>) {
        let pending = self.answered(joined.token);
        let reference = pending
            .as_ref()
            .and_then(|pending| pending.reference.as_deref());
        let Some(room) = turn.hub.room_name(joined.room).cloned() else {
            return;
        };
        let Some(own) = turn.hub.id_of(turn.key) else {
            return;
        };
        let roster = joined.roster.as_ref();
        let peers = roster
            .map_or(&[][..], |roster| &roster.peers)
            .iter()
            .map(peer);
        let more = roster.is_some_and(|roster| roster.more);
        let place = (room.as_str(), &own);
        self.say(turn, |out| {
            encode::joined(out, reference, place, peers, more)
        });
        if !pending.is_some_and(|pending| pending.resumes) {
            return;
        }
        let items: Vec<Item> = joined.replay.iter().cloned().map(Item::Message).collect();
        self.deliver(&mut items.iter(), turn.tools, turn.reply);
        self.say(turn, |out| {
            let oldest = joined.gap.as_ref().map(|gap| gap.oldest);
            let oldest = oldest
                .as_ref()
                .map(|id| id.as_ref().map(|id| id as &dyn std::fmt::Display));
            encode::resumed(out, None, room.as_str(), oldest);
        });
    }

    fn listed(
        &mut self,
        room: RoomKey,
        pending: Option<Pending>,
        roster: &Roster,
        turn: &mut Turn<'_>,
    ) {
        let reference = pending
            .as_ref()
            .and_then(|pending| pending.reference.as_deref());
        let Some(room) = turn.hub.room_name(room).cloned() else {
            return;
        };
        let peers = roster.peers.iter().map(peer);
        self.say(turn, |out| {
            encode::peers(out, reference, room.as_str(), peers, roster.more)
        });
    }

    fn acknowledge(
        &mut self,
        pending: Option<Pending>,
        id: Option<MessageId>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(reference) = pending.and_then(|pending| pending.reference) {
            self.say(turn, |out| encode::ack(out, &reference, id.as_ref()));
        }
    }
}

impl Session for Signal {
    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Then {
        // The machine is apart while messages that it yields may need an answer through it.
        let mut connection =
            std::mem::replace(&mut self.connection, Connection::new(Role::Server, None));
        let then = receive(
            &mut connection,
            bytes,
            turn,
            |connection, kind, payload, turn| {
                std::mem::swap(connection, &mut self.connection);
                let then = self.take(kind, payload, turn);
                std::mem::swap(connection, &mut self.connection);
                then
            },
        );
        self.connection = connection;
        then
    }

    fn hear(&mut self, news: &News<'_>, turn: &mut Turn<'_>) -> Then {
        match news {
            News::Joined(joined) => self.joined(joined, turn),
            News::Left { token } => {
                let pending = self.answered(*token);
                self.acknowledge(pending, None, turn);
            }
            News::Published { token, id } => {
                let pending = self.answered(Some(*token));
                self.acknowledge(pending, *id, turn);
            }
            News::Listed {
                room,
                token,
                roster,
            } => {
                let pending = self.answered(*token);
                self.listed(*room, pending, roster, turn);
            }
            News::Refused {
                request,
                token,
                reason,
            } => {
                let pending = self.answered(*token);
                let reference = pending
                    .as_ref()
                    .and_then(|pending| pending.reference.as_deref());
                let (code, text) = (code(*reason), reason.to_string());
                self.say(turn, |out| encode::error(out, reference, code, &text));
                if matches!(
                    (request, &self.speech),
                    (HubRequest::Join(_), Speech::Raw(_))
                ) {
                    let code = CloseCode::TRY_AGAIN_LATER;
                    self.connection.close(Some(code), &text, None, turn.reply);
                    return Then::Linger;
                }
            }
            News::Dropped { room, count } => {
                if let Some(room) = turn.hub.room_name(*room).cloned() {
                    self.say(turn, |out| encode::dropped(out, room.as_str(), *count));
                }
            }
        }
        Then::Continue
    }

    fn deliver(
        &mut self,
        items: &mut dyn Iterator<Item = &Item>,
        tools: &mut Tools,
        reply: &mut Vec<u8>,
    ) {
        let mut text = Vec::new();
        for item in items {
            text.clear();
            envelope(item, &mut text);
            say(&mut self.connection, &text, tools, reply);
        }
    }

    fn boundary(&self, frames: &[u8], sent: usize) -> usize {
        frame::boundary(frames, sent)
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat::Ask
    }

    fn beat(&mut self, turn: &mut Turn<'_>) {
        ping(&mut self.connection, turn);
    }

    fn close(&mut self, reason: CloseReason, turn: &mut Turn<'_>) {
        close(&mut self.connection, reason, turn);
    }
}

/// A message id that no room gives: everything since it is missed, and that is a gap.
pub(super) const NEVER: MessageId = MessageId::new(0, u64::MAX);

/// A member as `parlor.v1` shows it.
pub(super) fn peer(peer: &Peer) -> encode::Peer<'_, MemberId> {
    encode::Peer {
        id: peer.id,
        name: peer.name.as_deref(),
        data: peer
            .data
            .as_ref()
            .and_then(|data| str::from_utf8(data).ok()),
    }
}

/// Sends JSON text as one message.
fn say(connection: &mut Connection, text: &[u8], tools: &mut Tools, reply: &mut Vec<u8>) {
    let message = Message {
        kind: Kind::Text,
        payload: text,
        compress: true,
    };
    // The only misuse is to send after a Close, when nobody listens.
    let _ = connection.send(message, None, &mut tools.compressors, reply);
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

//! What a server without code does with events: rooms that clients join, and messages in them.

use parlor_hub::{Audience, JoinOptions, MemberId, Page, Refused, RoomName, RoomRef, Roster};
use parlor_proto::socketio::{EventName, Packet, json};

use super::{
    Desk, PENDING_MAX, SocketIo, What, error, failure, hub_room,
    said::{self, Filter, MAIN, Said},
    sockets::{id_text, is_socket_id},
    whole,
};
use crate::door::Turn;

/// The name of a room that cannot be one.
const BAD_ROOM: &str = "a room name is 1 to 128 bytes without control characters";
/// Too many requests wait.
const BUSY: Refused = Refused::LimitInFlight { max: PENDING_MAX };

/// What becomes of an event that the server does not take.
enum Failure {
    Hub(Refused),
    BadRoom,
    BadArguments(&'static str),
}

impl From<Refused> for Failure {
    fn from(reason: Refused) -> Self {
        Self::Hub(reason)
    }
}

impl SocketIo {
    /// An event of a client.
    pub(super) fn built_in(&mut self, packet: Packet<'_>, desk: &mut Desk<'_, '_, '_>) {
        let (namespace, ack) = (packet.namespace.clone(), packet.id);
        let name = packet.event_name();
        let name = name.as_ref().map_or("", EventName::as_str);
        let done = match name {
            "join" => self.join(&packet, desk),
            "leave" => self.leave(&packet, desk.turn),
            "to" => self.send_to(&packet, desk),
            "message" if self.settings.echo => self.say(packet, Audience::Room, desk),
            _ => self.say(packet, Audience::Others, desk),
        };
        let failed = match done {
            Ok(()) => return,
            Err(Failure::Hub(reason)) => failure(reason),
            Err(Failure::BadRoom) => error("bad-room", BAD_ROOM),
            Err(Failure::BadArguments(text)) => error("bad-field", text),
        };
        tracing::debug!(failed, "event refused");
        self.acknowledge(&namespace, ack, &failed, desk);
    }

    fn join(&mut self, packet: &Packet<'_>, desk: &mut Desk<'_, '_, '_>) -> Result<(), Failure> {
        let namespace = &*packet.namespace;
        let room = room_named(packet, desk.turn)?;
        let at = self.place(namespace).ok_or(Refused::NotJoined)?;
        if self.sockets[at].rooms.contains(&room) {
            return self.list(&room, packet, desk.turn);
        }
        let token = self.expect(namespace, What::Join, packet.id).ok_or(BUSY)?;
        let options = JoinOptions {
            token: Some(token),
            roster: packet.id.is_some(),
            ..JoinOptions::default()
        };
        let Turn {
            key, hub, effects, ..
        } = &mut *desk.turn;
        if let Err(reason) = hub.join(*key, &room, options, effects) {
            self.answered(Some(token));
            return Err(reason.into());
        }
        self.sockets[at].rooms.push(room);
        Ok(())
    }

    /// Who is in a room that the socket is in already.
    fn list(
        &mut self,
        room: &RoomName,
        packet: &Packet<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        if packet.id.is_none() {
            return Ok(());
        }
        let token = self
            .expect(&packet.namespace, What::List, packet.id)
            .ok_or(BUSY)?;
        let page = Page {
            token: Some(token),
            after: None,
        };
        let listed = turn.hub.list(turn.key, room, page, turn.effects);
        if listed.is_err() {
            self.answered(Some(token));
        }
        Ok(listed?)
    }

    fn leave(&mut self, packet: &Packet<'_>, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let namespace = &*packet.namespace;
        let room = room_named(packet, turn)?;
        let at = self.place(namespace).ok_or(Refused::NotJoined)?;
        let rooms = &mut self.sockets[at].rooms;
        let held = rooms.iter().position(|own| *own == room);
        rooms.swap_remove(held.ok_or(Refused::NotJoined)?);
        let nobody = What::Leave("[]".to_owned());
        let token = self.expect(namespace, nobody, packet.id).ok_or(BUSY)?;
        if packet.id.is_some() {
            let page = Page {
                token: Some(token),
                after: None,
            };
            // Where it cannot be asked, nobody is told.
            let _ = turn.hub.list(turn.key, &room, page, turn.effects);
        }
        let left = turn.hub.leave(turn.key, &room, Some(token), turn.effects);
        if left.is_err() {
            self.answered(Some(token));
        }
        Ok(left?)
    }

    /// An event for the rooms of its sender: one message in each, of which a member hears one.
    fn say(
        &mut self,
        packet: Packet<'_>,
        audience: Audience,
        desk: &mut Desk<'_, '_, '_>,
    ) -> Result<(), Failure> {
        let namespace = packet.namespace.clone();
        let ack = packet.id;
        let at = self.place(&namespace).ok_or(Refused::NotJoined)?;
        let rooms = &self.sockets[at].rooms;
        // The room of all sockets has no name within its space.
        let rooms = rooms.iter().filter(|room| !room.local().is_empty());
        let rooms: Vec<RoomName> = rooms.cloned().collect();
        let mut said = Said::new(packet);
        if rooms.len() > 1 {
            let shard = desk.turn.tools.shard;
            said.filter = Some(Box::new(Filter {
                copies: Some(desk.turn.tools.sockets.copies(shard)),
                ..Filter::default()
            }));
        }
        let mut draft = said.into_draft();
        draft.audience = audience;
        if rooms.is_empty() {
            self.acknowledge(&namespace, ack, r#"{"id":null}"#, desk);
        }
        let mut first = ack;
        for room in &rooms {
            let mut draft = draft.clone();
            if first.take().is_some() {
                let token = self.expect(&namespace, What::Publish, ack).ok_or(BUSY)?;
                draft.token = Some(token);
            }
            let Turn {
                key, hub, effects, ..
            } = &mut *desk.turn;
            hub.publish(*key, RoomRef::Name(room), draft, effects)?;
        }
        Ok(())
    }

    /// `to`, a room or an id, an event and its arguments.
    fn send_to(&mut self, packet: &Packet<'_>, desk: &mut Desk<'_, '_, '_>) -> Result<(), Failure> {
        let namespace = packet.namespace.to_string();
        let target =
            first_text(packet).ok_or(Failure::BadArguments("`to` wants a room or an id"))?;
        let said = said_to(packet)?;
        let shards = desk.turn.hub.shards();
        let member = target.parse::<MemberId>();
        let member = member
            .ok()
            .filter(|id| namespace == MAIN && id.shard().0 < shards);
        let ack = packet.id;
        let token = match ack {
            Some(_) => Some(self.expect(&namespace, What::Publish, ack).ok_or(BUSY)?),
            None => None,
        };
        let done = if let Some(member) = member {
            let mut draft = said.into_draft();
            draft.audience = Audience::Member(member);
            draft.token = token;
            let Turn {
                key, hub, effects, ..
            } = &mut *desk.turn;
            hub.publish(*key, RoomRef::Shared, draft, effects)
                .map_err(Failure::Hub)
        } else {
            Self::send_to_room(&namespace, &target, (said, token), desk.turn)
        };
        if done.is_err() {
            self.answered(token);
        }
        done
    }

    fn send_to_room(
        namespace: &str,
        target: &str,
        (mut said, token): (Said, Option<u64>),
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        let room = if is_socket_id(target, turn.hub.shards()) {
            said.filter = Some(Box::new(Filter {
                only: Some(vec![target.into()]),
                ..Filter::default()
            }));
            whole(namespace)
        } else {
            hub_room(namespace, target)
        };
        let mut draft = said.into_draft();
        draft.token = token;
        let room = room.ok_or(Failure::BadRoom)?;
        let Turn {
            key, hub, effects, ..
        } = turn;
        Ok(hub.publish_into(*key, &room, draft, effects)?)
    }

    /// The members of a room as a JSON array, sorted by id as the hub tells them.
    pub(super) fn members(
        &self,
        namespace: &str,
        roster: Option<&Roster>,
        with_own: bool,
        turn: &Turn<'_>,
    ) -> String {
        let mut out = String::from("[");
        let mut each = |id: &str, name: Option<&str>, data: Option<&str>| {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str("{\"id\":");
            json::escape_into(id, &mut out);
            if let Some(name) = name {
                out.push_str(",\"name\":");
                json::escape_into(name, &mut out);
            }
            if let Some(data) = data {
                out.push_str(",\"data\":");
                out.push_str(data);
            }
            out.push('}');
        };
        if with_own && let Some(at) = self.place(namespace) {
            let name = turn.hub.name_of(turn.key).map(|name| &**name);
            each(&self.sockets[at].id.to_text(), name, None);
        }
        for peer in roster.iter().flat_map(|roster| &roster.peers) {
            let data = peer.data.as_ref();
            let data = data.and_then(|data| str::from_utf8(data).ok());
            each(&id_text(&peer.id, namespace), peer.name.as_deref(), data);
        }
        out.push(']');
        out
    }
}

/// The room that the first argument names.
fn room_named(packet: &Packet<'_>, turn: &Turn<'_>) -> Result<RoomName, Failure> {
    let name = first_text(packet).ok_or(Failure::BadRoom)?;
    // Nobody may be where only a socket is.
    if is_socket_id(&name, turn.hub.shards()) {
        return Err(Failure::BadRoom);
    }
    hub_room(&packet.namespace, &name).ok_or(Failure::BadRoom)
}

fn first_text(packet: &Packet<'_>) -> Option<String> {
    let first = packet.arguments().next()?;
    json::unescape(first).map(std::borrow::Cow::into_owned)
}

/// The event inside a `to`.
fn said_to(packet: &Packet<'_>) -> Result<Said, Failure> {
    let mut arguments = packet.arguments().skip(1);
    let event = arguments.next().unwrap_or_default();
    let is_name = match json::unescape(event) {
        Some(name) => !EventName::Text(name).is_reserved(),
        None => event.starts_with(|first: char| first == '-' || first.is_ascii_digit()),
    };
    if !is_name {
        return Err(Failure::BadArguments("`to` wants an event"));
    }
    let mut payload = String::from("[");
    payload.push_str(event);
    for argument in arguments {
        payload.push(',');
        payload.push_str(argument);
    }
    payload.push(']');
    Ok(Said {
        namespace: said::namespace(&packet.namespace),
        payload: payload.into(),
        attachments: packet.attachments.clone(),
        ..Said::default()
    })
}

//! Socket.IO onto the hub: its namespaces are spaces of rooms, its events are messages.
//!
//! The rooms of the main namespace are those that all doors share. Every other namespace has rooms
//! of its own, which nobody else can name. Each namespace also has one room of all its sockets.

mod application;
mod built_in;
mod hearers;
mod recovery;
mod said;
mod served;
mod sockets;
mod wide;
mod wire;

use std::sync::{Arc, LazyLock};

use parlor_hub::{Hub, JoinOptions, Joined, MessageId, Refused, Request, RoomName, Roster};
use parlor_proto::socketio::{self, Connection, DisconnectReason, Event, Packet};

pub(crate) use self::{
    application::{BuiltIn, Names, WithHandlers},
    hearers::{Hearers, hearers},
    recovery::Keep,
    said::is_volatile,
    sockets::Sockets,
    wide::do_widely,
    wire::{FORMS, encode},
};
use self::{
    recovery::{Pid, Recoverable},
    said::{MAIN, namespace},
    served::{Live, Served},
    sockets::SocketId,
};
use super::{News, Turn, engineio::Port};

use crate::embed::socketio::{Claim, Decoding, OwnParser};

/// Requests of one connection whose answer has not come; one more is refused.
const PENDING_MAX: usize = 256;

/// What all connections at a path have in common.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) options: socketio::Options,
    /// Which namespaces there are.
    pub(crate) namespaces: Names,
    /// Whether a sender hears its own `message`.
    pub(crate) echo: bool,
    /// Milliseconds that a session is kept for a client that comes back; 0 keeps none.
    pub(crate) recovery_ms: u64,
    /// Whether a client that comes back has to pass the middleware once more.
    pub(crate) recovery_asks: bool,
    /// How packets are written; none where the client shows it.
    pub(crate) parser: Option<OwnParser>,
}

/// The Socket.IO of one Engine.IO session.
#[derive(Debug)]
pub(crate) struct SocketIo {
    connection: Connection,
    settings: Arc<Settings>,
    /// The namespaces that the client is in or on its way into.
    sockets: Vec<Socket>,
    /// Requests that wait for the hub.
    pending: Vec<Pending>,
    last_token: u64,
    /// The room that a socket is in from its beginning.
    room: RoomName,
    /// Where sockets have handlers.
    served: Option<Box<Served>>,
    /// Why the client is being cut.
    fault: Option<DisconnectReason>,
    /// What most connections have neither need of nor memory for.
    rare: Option<Box<Rare>>,
}

/// What few connections have.
#[derive(Debug, Default)]
struct Rare {
    /// The session's id, for clients whose sockets are called so.
    engine_id: Option<Box<str>>,
    /// While sessions are being restored.
    wanted: Option<Box<Wanted>>,
    /// Where the server has a parser of its own.
    decoding: Option<Box<Decoding>>,
    /// Handlers are told what is delivered.
    watched: bool,
    /// The connection is lost; until then the member stays: milliseconds of the shard's clock.
    stays_until: Option<u64>,
}

/// Sessions that are being restored.
#[derive(Debug, Default)]
struct Wanted {
    /// Namespaces whose former session is being looked for, with what the client has said.
    seeking: Vec<(Box<str>, Pid, Option<Box<str>>)>,
    /// Those who asked for a socket whose connection was not known to be lost.
    claims: Vec<(Arc<str>, Claim)>,
}

/// A client in one namespace.
#[derive(Debug)]
struct Socket {
    /// None for the main one.
    namespace: Option<Arc<str>>,
    id: SocketId,
    /// The rooms that it is in or has asked to join, as the hub knows them.
    rooms: Vec<RoomName>,
    /// How many of its first rooms it is in; in all of them its client is told that it is connected.
    entered: u16,
    /// Where it has handlers.
    live: Option<Box<Live>>,
    /// Where it can be recovered.
    recovery: Option<Box<Recoverable>>,
}

/// A request that the hub has not answered.
#[derive(Debug)]
struct Pending {
    token: u64,
    namespace: Option<Arc<str>>,
    what: What,
    /// The id that the client's acknowledgement wants.
    ack: Option<u64>,
}

#[derive(Debug)]
enum What {
    /// Into a room that every socket is in.
    Enter,
    /// Into a room that the client has named.
    Join,
    /// Who is in a room, for one that is in it already.
    List,
    /// Out of a room; with those who stay.
    Leave(String),
    /// A message.
    Publish,
    /// Out of a room, for one who takes the socket's place.
    Release,
}

impl Socket {
    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(MAIN)
    }
}

/// The room that a room of a namespace is in the hub; none where the name cannot be one.
fn hub_room(namespace: &str, room: &str) -> Option<RoomName> {
    match namespace {
        MAIN => RoomName::new(room).ok(),
        _ => RoomName::in_space(namespace, Some(room)).ok(),
    }
}

/// The room of all sockets of a namespace.
fn whole(namespace: &str) -> Option<RoomName> {
    match namespace {
        MAIN => WHOLE_MAIN.clone(),
        _ => RoomName::in_space(namespace, None).ok(),
    }
}

/// The room of all sockets of the main namespace.
static WHOLE_MAIN: LazyLock<Option<RoomName>> =
    LazyLock::new(|| RoomName::in_space(MAIN, None).ok());

/// The name of a room as the hub has it already, if it has.
fn held(room: RoomName, hub: &Hub) -> RoomName {
    let key = hub.room_key(&room);
    key.and_then(|key| hub.room_name(key))
        .cloned()
        .unwrap_or(room)
}

/// A session at work.
struct Desk<'a, 'p, 't> {
    port: &'a mut Port<'p>,
    turn: &'a mut Turn<'t>,
}

impl SocketIo {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn engine_id(&self) -> Option<&str> {
        self.rare.as_ref()?.engine_id.as_deref()
    }

    /// Whether handlers are told what is delivered.
    fn is_watched(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.watched)
    }

    /// Where the connection is lost: until when the member stays.
    fn stays_until(&self) -> Option<u64> {
        self.rare.as_ref()?.stays_until
    }

    fn place(&self, namespace: &str) -> Option<usize> {
        let mut sockets = self.sockets.iter();
        sockets.position(|socket| socket.namespace() == namespace)
    }

    /// Notes a request; none where too many wait.
    fn expect(&mut self, namespace: &str, what: What, ack: Option<u64>) -> Option<u64> {
        if self.pending.len() >= PENDING_MAX {
            return None;
        }
        self.last_token += 1;
        self.pending.push(Pending {
            token: self.last_token,
            namespace: said::namespace(namespace),
            what,
            ack,
        });
        Some(self.last_token)
    }

    fn answered(&mut self, token: Option<u64>) -> Option<Pending> {
        let token = token?;
        let mut pending = self.pending.iter();
        let at = pending.position(|pending| pending.token == token)?;
        let answered = self.pending.swap_remove(at);
        if self.pending.is_empty() {
            // Most connections wait for nothing most of the time.
            self.pending = Vec::new();
        }
        Some(answered)
    }

    /// Does what is due, and goes on with what comes of it.
    fn do_due(&mut self, desk: &mut Desk<'_, '_, '_>) {
        while desk.port.is_open()
            && let Some(event) = self.connection.due(desk.turn.now)
        {
            self.handle(event, desk);
        }
    }

    fn handle(&mut self, event: Event<'_>, desk: &mut Desk<'_, '_, '_>) {
        match event {
            Event::Connect { namespace, auth } => self.enter(&namespace, auth.as_deref(), desk),
            Event::Event(packet) if self.served.is_some() => self.hand_over(packet, desk.turn),
            Event::Event(packet) => self.built_in(packet, desk),
            Event::Ack(packet) => self.acknowledged(packet),
            Event::AckTimeout { namespace, id } => self.unacknowledged(&namespace, id),
            Event::Disconnect { namespace } => {
                let reason = DisconnectReason::ClientNamespaceDisconnect;
                self.forget(&namespace, Some(reason), desk.turn);
            }
            Event::ConnectTimeout => {
                tracing::debug!("a client has joined no namespace");
                self.fault = Some(DisconnectReason::ForcedServerClose);
                desk.port.close();
            }
            _ => {}
        }
    }

    fn send(&self, packet: &Packet<'_>, desk: &mut Desk<'_, '_, '_>) {
        self.send_as(packet, true, desk.port);
    }

    /// Sends a packet, which may be compressed or not.
    fn send_as(&self, packet: &Packet<'_>, compress: bool, port: &mut Port<'_>) {
        let send = |message| match compress {
            true => port.send(message),
            false => port.send_plain(message),
        };
        match &self.settings.parser {
            None => self.connection.encode(packet).into_iter().for_each(send),
            Some(parser) => parser.encode(packet).into_iter().for_each(send),
        }
    }

    /// A client asks for a namespace.
    fn enter(&mut self, name: &str, auth: Option<&str>, desk: &mut Desk<'_, '_, '_>) {
        if !self.look_for(name, auth, desk) {
            self.enter_anew(name, auth, desk);
        }
    }

    /// A client asks for a namespace: it is in once it is in its first rooms.
    fn enter_anew(&mut self, name: &str, auth: Option<&str>, desk: &mut Desk<'_, '_, '_>) {
        let Some(member) = desk.turn.hub.id_of(desk.turn.key) else {
            return;
        };
        let id = match self.engine_id() {
            Some(engine_id) => SocketId::from(&*socketio::socket_id_v4(name, engine_id)),
            None => SocketId::of(&member, name),
        };
        if self.served.is_some() {
            return self.ask_handlers((name, auth), id, desk);
        }
        let Some([whole, room]) = self.first_rooms(name, desk.turn.hub) else {
            if let Ok(refusal) = self.connection.refuse_unknown(name) {
                self.send(&refusal, desk);
            }
            return;
        };
        let recovery = self.new_recovery(desk.turn);
        self.sockets.reserve_exact(1);
        self.sockets.push(Socket {
            namespace: namespace(name),
            id,
            rooms: vec![whole, room],
            entered: 0,
            live: None,
            recovery,
        });
        self.enter_next(name, desk);
    }

    /// The rooms that a new socket is in. Many sockets are, and have their names in common.
    fn first_rooms(&self, name: &str, hub: &Hub) -> Option<[RoomName; 2]> {
        if !self.settings.namespaces.has(name) {
            return None;
        }
        if name == MAIN {
            let all = WHOLE_MAIN.clone()?;
            return Some([held(all, hub), self.room.clone()]);
        }
        let rooms = [whole(name)?, hub_room(name, self.room.as_str())?];
        Some(rooms.map(|room| held(room, hub)))
    }

    /// Asks to be in the first room that the socket is not in. One after the other, so that
    /// nothing is heard before the client is told that it is connected.
    fn enter_next(&mut self, name: &str, desk: &mut Desk<'_, '_, '_>) {
        let Some(at) = self.place(name) else { return };
        let socket = &self.sockets[at];
        let Some(room) = socket.rooms.get(usize::from(socket.entered)).cloned() else {
            return;
        };
        let token = self.expect(name, What::Enter, None);
        let options = JoinOptions {
            token,
            ..JoinOptions::default()
        };
        let Turn {
            key, hub, effects, ..
        } = &mut *desk.turn;
        let joined = match token {
            Some(_) => hub.join(*key, &room, options, effects),
            None => Err(Refused::LimitInFlight { max: PENDING_MAX }),
        };
        if let Err(reason) = joined {
            self.answered(token);
            self.refuse(name, reason, desk);
        }
    }

    /// The socket is in one of its first rooms; in the last of them it is connected.
    fn entered(&mut self, name: &str, desk: &mut Desk<'_, '_, '_>) {
        let Some(at) = self.place(name) else { return };
        let socket = &mut self.sockets[at];
        socket.entered = socket.entered.saturating_add(1);
        let recovery = socket.recovery.as_ref();
        let restoring = recovery.is_some_and(|recovery| recovery.is_restoring());
        if restoring && socket.entered == 1 {
            // From here on what is for it alone is for this member: it is in the room of all.
            let (id, namespace) = (socket.id.clone(), socket.namespace.clone());
            let sockets = &mut desk.turn.tools.sockets;
            sockets.add(id, desk.turn.key, namespace, None);
        }
        if usize::from(socket.entered) < socket.rooms.len() {
            return self.enter_next(name, desk);
        }
        if restoring {
            return self.release_old(name, desk.turn);
        }
        self.connected(name, desk);
    }

    /// What a new socket has where it can be recovered.
    fn new_recovery(&self, turn: &mut Turn<'_>) -> Option<Box<Recoverable>> {
        match self.recovers() {
            true => Recoverable::new(turn.tools),
            false => None,
        }
    }

    /// The socket is in all its rooms.
    fn connected(&mut self, name: &str, desk: &mut Desk<'_, '_, '_>) {
        let Some(at) = self.place(name) else { return };
        let socket = &self.sockets[at];
        let pid = socket.recovery.as_ref().map(|recovery| recovery.pid);
        let text = pid.map(Pid::to_text);
        let id = socket.id.to_text();
        if let Ok(accepted) = self.connection.accept(name, &id, text.as_deref()) {
            let (id, namespace) = (socket.id.clone(), socket.namespace.clone());
            let handle = socket.live.as_ref().map(|live| live.handle.clone());
            let sockets = &mut desk.turn.tools.sockets;
            sockets.add(id, desk.turn.key, namespace, handle);
            self.send(&accepted, desk);
            if let Some(pid) = pid {
                self.note_pid(pid, desk.turn);
            }
            self.begin(name, desk.turn);
        }
    }

    fn refuse(&mut self, name: &str, reason: Refused, desk: &mut Desk<'_, '_, '_>) {
        self.forget(name, None, desk.turn);
        if let Ok(refusal) = self.connection.refuse(name, &reason.to_string(), None) {
            self.send(&refusal, desk);
        }
    }

    /// The socket is gone from a namespace, and from its rooms.
    fn forget(&mut self, name: &str, reason: Option<DisconnectReason>, turn: &mut Turn<'_>) {
        let Some(at) = self.place(name) else { return };
        let socket = self.sockets.swap_remove(at);
        Self::give_back(&socket, turn);
        Self::tell_ended(&socket, reason, turn);
        if let Some(recovery) = &socket.recovery {
            self.forget_pid(recovery.pid, turn);
        }
        turn.tools.sockets.remove(&socket.id, turn.key);
        for room in &socket.rooms {
            // A room that refused the socket it is not in.
            let _ = turn.hub.leave(turn.key, room, None, turn.effects);
        }
    }

    /// Answers an event whose client wants to know.
    fn acknowledge(
        &self,
        namespace: &str,
        ack: Option<u64>,
        argument: &str,
        desk: &mut Desk<'_, '_, '_>,
    ) {
        if let Some(id) = ack
            && self.connection.is_connected(namespace)
        {
            let packet = Packet::ack(namespace, id, [argument]);
            self.send(&packet, desk);
        }
    }

    fn hear_news(&mut self, news: &News<'_>, desk: &mut Desk<'_, '_, '_>) {
        match news {
            News::Joined(joined) => self.joined(joined, desk),
            News::Left { token } => {
                if let Some(pending) = self.answered(*token) {
                    let namespace = pending.namespace.as_deref().unwrap_or(MAIN);
                    match pending.what {
                        What::Leave(members) => {
                            self.acknowledge(namespace, pending.ack, &members, desk);
                        }
                        What::Release => self.left_one(namespace, desk.turn),
                        _ => {}
                    }
                }
            }
            News::Published { token, id } => {
                if let Some(pending) = self.answered(Some(*token)) {
                    let namespace = pending.namespace.as_deref().unwrap_or(MAIN);
                    self.acknowledge(namespace, pending.ack, &published(*id), desk);
                }
            }
            News::Listed { token, roster } => self.listed(*token, roster, desk),
            News::Refused {
                request,
                token,
                reason,
            } => self.refused(*request, *token, *reason, desk),
            News::Dropped { .. } => {}
        }
    }

    fn joined(&mut self, joined: &Joined, desk: &mut Desk<'_, '_, '_>) {
        let Some(pending) = self.answered(joined.token) else {
            return;
        };
        let namespace = pending.namespace.as_deref().unwrap_or(MAIN);
        match pending.what {
            What::Enter => self.entered(namespace, desk),
            What::Join if self.served.is_some() => {
                self.tell_joined(namespace, joined.token, Ok(()));
            }
            _ => {
                let members = self.members(namespace, joined.roster.as_ref(), true, desk.turn);
                self.acknowledge(namespace, pending.ack, &members, desk);
            }
        }
    }

    fn listed(&mut self, token: Option<u64>, roster: &Roster, desk: &mut Desk<'_, '_, '_>) {
        let mut pending = self.pending.iter().filter(|held| Some(held.token) == token);
        let Some(held) = pending.next() else { return };
        let namespace = held.namespace.clone();
        let namespace = namespace.as_deref().unwrap_or(MAIN);
        if matches!(held.what, What::List) {
            let ack = held.ack;
            let members = self.members(namespace, Some(roster), true, desk.turn);
            self.answered(token);
            return self.acknowledge(namespace, ack, &members, desk);
        }
        let members = self.members(namespace, Some(roster), false, desk.turn);
        let mut pending = self.pending.iter_mut();
        if let Some(Pending {
            what: What::Leave(stay),
            ..
        }) = pending.find(|held| Some(held.token) == token)
        {
            *stay = members;
        }
    }

    fn refused(
        &mut self,
        request: Request,
        token: Option<u64>,
        reason: Refused,
        desk: &mut Desk<'_, '_, '_>,
    ) {
        let Some(pending) = self.answered(token) else {
            return;
        };
        let namespace = pending.namespace.as_deref().unwrap_or(MAIN);
        match pending.what {
            What::Enter => return self.refuse(namespace, reason, desk),
            What::Release => return self.left_one(namespace, desk.turn),
            _ => {}
        }
        self.tell_joined(namespace, token, Err(reason));
        if let (Request::Join(room), Some(at)) = (request, self.place(namespace)) {
            let room = desk.turn.hub.room_name(room);
            self.sockets[at].rooms.retain(|own| Some(own) != room);
            if let Some(room) = room {
                self.not_joined(namespace, room.local(), reason);
            }
        }
        self.acknowledge(namespace, pending.ack, &failure(reason), desk);
    }
}

/// What an acknowledgement says of a message.
fn published(id: Option<MessageId>) -> String {
    id.map_or_else(
        || r#"{"id":null}"#.to_owned(),
        |id| format!(r#"{{"id":"{id}"}}"#),
    )
}

/// What an acknowledgement says of a refusal.
fn failure(reason: Refused) -> String {
    let code = match reason {
        Refused::NotJoined => "not-joined",
        Refused::UnknownPeer => "unknown-peer",
        Refused::LimitRoomsPerMember { .. }
        | Refused::LimitMembersPerRoom { .. }
        | Refused::LimitRooms { .. }
        | Refused::LimitInFlight { .. } => "limit",
        _ => "refused",
    };
    error(code, &reason.to_string())
}

fn error(code: &str, message: &str) -> String {
    let mut out = format!(r#"{{"error":"{code}","message":"#);
    socketio::json::escape_into(message, &mut out);
    out.push('}');
    out
}

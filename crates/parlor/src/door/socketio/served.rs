//! Sockets that have handlers.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use parlor_hub::{JoinOptions, Refused, RoomName};
use parlor_proto::socketio::{DisconnectReason, Packet, PacketType};

use super::{
    Desk, PENDING_MAX, Socket, SocketIo, What, said,
    sockets::{SocketId, is_socket_id},
    {hub_room, whole},
};
use crate::{
    door::Turn,
    embed::{
        Answered, Caller, Event, Member,
        socketio::{
            AckSink, Act, Args, Conn, Data, Entered, Io, IoEvent, Kept, Received, Socket as Handle,
            SocketAgent, ToSocket,
        },
    },
};

/// What a connection has whose sockets have handlers.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) io: Arc<Io>,
    pub(super) conn: Conn,
}

/// What a socket has that has handlers.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) handle: Handle,
    caller: Rc<Caller>,
    /// Acknowledgements that somebody waits for.
    acks: HashMap<u64, AckSink>,
    /// Joins that somebody waits for, by their tokens.
    joins: Vec<(u64, Answered<()>)>,
    /// That the socket is in a namespace that a rule stands for.
    _entered: Option<Box<Entered>>,
}

impl Live {
    fn joined(&mut self, token: u64) -> Option<Answered<()>> {
        let mut joins = self.joins.iter();
        let at = joins.position(|(own, _)| *own == token)?;
        Some(self.joins.swap_remove(at).1)
    }

    fn tell(&self, event: IoEvent, turn: &mut Turn<'_>) {
        self.caller.push(Event::Io(event));
        let callers = &mut turn.tools.callers;
        if callers
            .last()
            .is_none_or(|last| !Rc::ptr_eq(last, &self.caller))
        {
            callers.push(Rc::clone(&self.caller));
        }
    }
}

impl SocketIo {
    fn live(&self, namespace: &str) -> Option<&Live> {
        let at = self.place(namespace)?;
        self.sockets[at].live.as_deref()
    }

    /// A client asks for a namespace: its handlers are asked.
    pub(super) fn ask_handlers(
        &mut self,
        (name, auth): (&str, Option<&str>),
        id: SocketId,
        desk: &mut Desk<'_, '_, '_>,
    ) {
        let Some(served) = &self.served else { return };
        let rules = served.io.find(name, auth.unwrap_or("{}"));
        let Some(rules) = rules.filter(|_| whole(name).is_some()) else {
            if let Ok(refusal) = self.connection.refuse_unknown(name) {
                self.send(&refusal, desk);
            }
            return;
        };
        let name: Arc<str> = Arc::from(name);
        let entered = served.io.enter(&name, &rules);
        let names = (Arc::clone(&name), id.to_text().into());
        let handle = Handle::new(served.conn.clone(), names, auth);
        let agent = Box::new(SocketAgent {
            socket: handle.clone(),
            rules,
        });
        let live = Live {
            caller: Rc::new(Caller::of(served.conn.member().clone(), agent)),
            handle,
            acks: HashMap::new(),
            joins: Vec::new(),
            _entered: entered.map(Box::new),
        };
        live.tell(IoEvent::Connect, desk.turn);
        let recovery = self.new_recovery(desk.turn);
        self.sockets.push(Socket {
            namespace: said::namespace(&name),
            id,
            rooms: whole(&name).into_iter().collect(),
            entered: 0,
            live: Some(Box::new(live)),
            recovery,
        });
    }

    /// The handlers of a socket that is being restored.
    pub(super) fn restored(
        &self,
        name: &Arc<str>,
        (id, auth): (&Arc<str>, Option<&str>),
        (rooms, data): (&[RoomName], Option<Data>),
    ) -> Option<Box<Live>> {
        let served = self.served.as_ref()?;
        let rules = served.io.find(name, auth.unwrap_or("{}"))?;
        let entered = served.io.enter(name, &rules);
        let names = (Arc::clone(name), Arc::clone(id));
        let handle = Handle::new(served.conn.clone(), names, auth);
        let rooms = rooms.iter().map(RoomName::local);
        handle.set_recovered(rooms.filter(|room| !room.is_empty()), data);
        let agent = Box::new(SocketAgent {
            socket: handle.clone(),
            rules,
        });
        Some(Box::new(Live {
            caller: Rc::new(Caller::of(served.conn.member().clone(), agent)),
            handle,
            acks: HashMap::new(),
            joins: Vec::new(),
            _entered: entered.map(Box::new),
        }))
    }

    /// Asks the handlers of a socket that is being restored whether it may come in. False where
    /// there are none.
    pub(super) fn ask_again(&self, namespace: &str, turn: &mut Turn<'_>) -> bool {
        let live = self.live(namespace);
        if let Some(live) = live {
            live.tell(IoEvent::Connect, turn);
        }
        live.is_some()
    }

    /// Notes whether what is delivered is to be told to a handler.
    fn watch(&mut self) {
        let mut lives = self.sockets.iter().filter_map(|it| it.live.as_ref());
        self.rare().watched = lives.any(|live| live.handle.handlers().hears_outgoing());
    }

    /// Tells a packet that is delivered to those who want to know.
    pub(super) fn tell_delivered(&self, packet: &Packet<'_>) {
        let live = self.live(&packet.namespace);
        // One whose connection is lost is sent nothing.
        if let Some(live) = live.filter(|live| live.handle.is_connected()) {
            live.handle.tell_packet(packet);
        }
    }

    /// The socket is connected: its handlers may begin.
    pub(super) fn begin(&self, namespace: &str, turn: &mut Turn<'_>) {
        if let Some(live) = self.live(namespace) {
            live.handle.set_connected();
            live.tell(IoEvent::Connected, turn);
        }
    }

    /// Hands an event to the handlers. False where there are none.
    pub(super) fn hand_over(&self, packet: Packet<'_>, turn: &mut Turn<'_>) {
        if let Some(live) = self.live(&packet.namespace) {
            let received = Received::new(live.handle.clone(), packet);
            live.tell(IoEvent::Event(received), turn);
        }
    }

    /// An acknowledgement has come.
    pub(super) fn acknowledged(&mut self, packet: Packet<'_>) {
        let Some(at) = self.place(&packet.namespace) else {
            return;
        };
        let live = self.sockets[at].live.as_mut();
        let sink = live.and_then(|live| live.acks.remove(&packet.id?));
        match sink {
            // Whoever waited may have gone.
            Some(AckSink::One(answer, _)) => drop(answer.send(Some(Args::of(packet)))),
            Some(AckSink::Many(collector, _)) => collector.answered(Args::of(packet)),
            None => {}
        }
    }

    /// An acknowledgement has not come in time: nobody waits any more.
    pub(super) fn unacknowledged(&mut self, namespace: &str, id: u64) {
        if let Some(at) = self.place(namespace)
            && let Some(live) = &mut self.sockets[at].live
            && let Some(AckSink::One(answer, _)) = live.acks.remove(&id)
        {
            // Whoever waited may have gone.
            let _ = answer.send(None);
        }
    }

    /// Does what a handle asks for.
    pub(super) fn obey_handle(&mut self, to: ToSocket, desk: &mut Desk<'_, '_, '_>) {
        let namespace = &*to.namespace;
        if let Act::Found(found) = to.act {
            return self.found(&to.namespace, found.map(|found| *found), desk);
        }
        if let Act::Claim(claim) = to.act {
            return self.claimed(&to.namespace, *claim, desk);
        }
        if let Act::Shutdown = to.act {
            self.fault = Some(DisconnectReason::ServerShuttingDown);
        }
        if let Act::Hangup | Act::Shutdown = to.act {
            return desk.port.close();
        }
        if let Act::Siblings(answer) = to.act {
            // Whoever asked may have gone.
            return drop(answer.send(self.siblings()));
        }
        if self.place(namespace).is_none() {
            return;
        }
        match to.act {
            Act::Found(_) | Act::Claim(_) | Act::Hangup | Act::Shutdown | Act::Siblings(_) => {}
            Act::Release => self.released(namespace, desk.turn),
            Act::Unclaim(seeker) => self.unclaimed(namespace, seeker, desk.turn),
            Act::Lost => self.lost(namespace, desk),
            Act::Watch => self.watch(),
            Act::Handed(kept) => self.handed(namespace, kept, desk),
            Act::Accept => self.enter_next(namespace, desk),
            Act::Refuse(message, data) => {
                self.forget(namespace, None, desk.turn);
                let refusal = self.connection.refuse(namespace, &message, data.as_deref());
                if let Ok(refusal) = refusal {
                    self.send(&refusal, desk);
                }
            }
            Act::Emit {
                packed,
                volatile,
                compress,
                ack,
            } => {
                if !volatile || desk.port.is_writable() {
                    let packet = packed.into_packet(PacketType::Event, namespace);
                    self.emit((packet, volatile), ack, compress, desk);
                }
            }
            Act::Ack { id, packed } => {
                if self.connection.is_connected(namespace) {
                    let packet = packed.into_packet(PacketType::Ack, namespace);
                    self.send(&packet.with_id(Some(id)), desk);
                }
            }
            Act::Join(rooms, mut answer) => {
                for room in &rooms {
                    self.join_room(namespace, room, answer.take(), desk.turn);
                }
            }
            Act::Leave(room) => self.leave_room(namespace, &room, desk.turn),
            Act::Disconnect { close: false } => self.disconnect(namespace, desk),
            Act::Disconnect { close: true } => {
                while let Some(socket) = self.sockets.last() {
                    let namespace = socket.namespace().to_owned();
                    self.disconnect(&namespace, desk);
                }
                desk.port.close();
            }
        }
    }

    /// The connected sockets of the session.
    fn siblings(&self) -> Vec<Handle> {
        let lives = self.sockets.iter().filter_map(|it| it.live.as_ref());
        let handles = lives.map(|live| live.handle.clone());
        handles.filter(Handle::is_connected).collect()
    }

    fn emit(
        &mut self,
        (mut packet, volatile): (Packet<'_>, bool),
        ack: Option<AckSink>,
        compress: bool,
        desk: &mut Desk<'_, '_, '_>,
    ) {
        let namespace = packet.namespace.clone();
        if !self.connection.is_connected(&namespace) {
            return;
        }
        if let Some(sink) = ack {
            let timeout = match &sink {
                AckSink::One(_, timeout) => *timeout,
                AckSink::Many(_, timeout) => Some(*timeout),
            };
            let millis = |timeout: std::time::Duration| u64::try_from(timeout.as_millis());
            let deadline = timeout.and_then(|timeout| millis(timeout).ok());
            let deadline = deadline.map(|millis| desk.turn.now.saturating_add(millis));
            let limits = &self.settings.options.limits;
            let Ok(id) = self.connection.expect_ack(&namespace, deadline, limits) else {
                // The sink goes, and whoever waits is told.
                return;
            };
            packet.id = Some(id);
            if let Some(at) = self.place(&namespace)
                && let Some(live) = &mut self.sockets[at].live
            {
                live.acks.insert(id, sink);
            }
        }
        if packet.id.is_none()
            && !volatile
            && let Some(at) = self.place(&namespace)
            && let Some(recovery) = &mut self.sockets[at].recovery
        {
            let offset = recovery.keep(Kept::Packet(packet.clone().into_owned()));
            packet = packet.with_argument(&offset);
        }
        desk.turn.tools.traffic.messages_out += 1;
        self.send_as(&packet, compress, desk.port);
    }

    fn join_room(
        &mut self,
        namespace: &str,
        room: &str,
        answer: Option<Answered<()>>,
        turn: &mut Turn<'_>,
    ) {
        let refused = match (self.place(namespace), hub_room(namespace, room)) {
            (Some(at), Some(room)) if !is_socket_id(room.local(), turn.hub.shards()) => {
                self.join_named(at, room, answer, turn)
            }
            (Some(_), _) => Some((Refused::NotJoined, answer)),
            // The socket has gone, and the answer goes with it.
            (None, _) => None,
        };
        if let Some((reason, answer)) = refused {
            self.not_joined(namespace, room, reason);
            tell(answer, Err(reason));
        }
    }

    /// Returns the answer with the reason where the hub refuses at once.
    fn join_named(
        &mut self,
        at: usize,
        room: RoomName,
        answer: Option<Answered<()>>,
        turn: &mut Turn<'_>,
    ) -> Option<(Refused, Option<Answered<()>>)> {
        if self.sockets[at].rooms.contains(&room) {
            tell(answer, Ok(()));
            return None;
        }
        let namespace = self.sockets[at].namespace().to_owned();
        let Some(token) = self.expect(&namespace, What::Join, None) else {
            return Some((Refused::LimitInFlight { max: PENDING_MAX }, answer));
        };
        let options = JoinOptions {
            token: Some(token),
            ..JoinOptions::default()
        };
        let socket = &mut self.sockets[at];
        if let (Some(answer), Some(live)) = (answer, &mut socket.live) {
            live.joins.push((token, answer));
        }
        if let Err(reason) = turn.hub.join(turn.key, &room, options, turn.effects) {
            let answer = socket.live.as_mut().and_then(|live| live.joined(token));
            self.answered(Some(token));
            return Some((reason, answer));
        }
        socket.rooms.push(room);
        None
    }

    /// Tells the one who waits for a join what became of it.
    pub(super) fn tell_joined(
        &mut self,
        namespace: &str,
        token: Option<u64>,
        result: Result<(), Refused>,
    ) {
        if let (Some(at), Some(token)) = (self.place(namespace), token)
            && let Some(live) = &mut self.sockets[at].live
        {
            tell(live.joined(token), result);
        }
    }

    /// A room has not taken the socket.
    pub(super) fn not_joined(&self, namespace: &str, room: &str, reason: Refused) {
        if let Some(live) = self.live(namespace) {
            live.handle.note_left(room);
            tracing::debug!(socket = live.handle.id(), room, %reason, "not in the room");
        }
    }

    fn leave_room(&mut self, namespace: &str, room: &str, turn: &mut Turn<'_>) {
        let (Some(at), Some(room)) = (self.place(namespace), hub_room(namespace, room)) else {
            return;
        };
        let rooms = &mut self.sockets[at].rooms;
        if let Some(held) = rooms.iter().position(|own| *own == room) {
            rooms.swap_remove(held);
            // It is in the room, or on its way there.
            let _ = turn.hub.leave(turn.key, &room, None, turn.effects);
        }
    }

    /// Disconnects the client from a namespace.
    fn disconnect(&mut self, namespace: &str, desk: &mut Desk<'_, '_, '_>) {
        match self.connection.disconnect(namespace) {
            Ok(goodbye) => self.send(&goodbye, desk),
            Err(_) => {
                // It was not let in yet.
                let refusal = self.connection.refuse(namespace, "disconnected", None);
                if let Ok(refusal) = refusal {
                    self.send(&refusal, desk);
                }
            }
        }
        let reason = DisconnectReason::ServerNamespaceDisconnect;
        self.forget(namespace, Some(reason), desk.turn);
    }

    /// The socket has ended: its handlers are told, unless it never began.
    pub(super) fn tell_ended(
        socket: &Socket,
        reason: Option<DisconnectReason>,
        turn: &mut Turn<'_>,
    ) {
        let Some(live) = &socket.live else { return };
        let began = live.handle.is_connected();
        let reason = reason.unwrap_or(DisconnectReason::ForcedServerClose);
        live.handle.set_ended(reason);
        if began {
            live.tell(IoEvent::Disconnect(reason), turn);
        }
    }
}

fn tell(answer: Option<Answered<()>>, result: Result<(), Refused>) {
    if let Some(answer) = answer {
        // Whoever waited may have gone.
        let _ = answer.send(result);
    }
}

/// The handle of a member that has no endpoint.
pub(super) fn member(turn: &Turn<'_>, peer: std::net::SocketAddr) -> Option<Member> {
    let id = turn.hub.id_of(turn.key)?;
    let link = Arc::clone(&turn.tools.settings.link);
    Some(Member::new(link, turn.tools.shard, turn.key, id, peer))
}

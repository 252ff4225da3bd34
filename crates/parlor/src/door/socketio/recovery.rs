//! Sessions that outlive their connection.
//!
//! Each event of a recoverable socket has a place in its ring and is sent with that. When the
//! connection is lost, the member stays in its rooms, and the ring goes on. A client that comes
//! back first joins the rooms anew and holds what it hears there; then the old member leaves them,
//! and what it has heard after the client's last event is handed over. Both have heard what was
//! said in between, so nothing is lost, and by its place in the room nothing is repeated.

mod pid;
mod ring;

use std::{collections::HashSet, rc::Rc, sync::Arc};

use parlor_hub::{MemberKey, Message, MessageId, RoomName, ShardId};
use parlor_proto::socketio::{DisconnectReason, Packet, Recovery};

pub(crate) use self::pid::Pid;
pub(crate) use self::ring::Keep;
use self::ring::Ring;
use super::{
    Desk, SocketIo, What, is_volatile,
    said::{self, CopyId, packet_of, said},
    sockets::SocketId,
};
use crate::{
    door::{Item, Tools, Turn},
    embed::{
        Command,
        socketio::{About, Act, Addressees, Claim, Found, Kept, Seeker, ToSocket, Wide, WideAct},
    },
};

/// Messages that a socket holds until what it has missed is there; past it the connection ends.
const HELD_MAX: usize = 65_536;
/// Connections that wait for a socket which another one may give back.
const CLAIMS_MAX: usize = 4;

/// What a recoverable socket has.
#[derive(Debug)]
pub(super) struct Recoverable {
    pub(super) pid: Pid,
    ring: Ring,
    /// While it is being restored: what it hears meanwhile.
    held: Option<Vec<Arc<Message>>>,
    /// Who takes the place of a member that has lost its connection, and what was heard last.
    claim: Option<(Seeker, u64)>,
    /// Rooms that it still has to be out of.
    leaving: usize,
}

/// What tells copies of a message apart from other messages.
#[derive(PartialEq, Eq, Hash)]
enum Mark {
    Placed(RoomName, MessageId),
    Copy(CopyId),
}

fn mark(message: &Message) -> Option<Mark> {
    let copies = said(message).and_then(|said| said.filter.as_ref()?.copies);
    match (copies, message.id) {
        (Some(copies), _) => Some(Mark::Copy(copies)),
        (None, Some(id)) => Some(Mark::Placed(message.room.clone(), id)),
        (None, None) => None,
    }
}

impl Recoverable {
    /// What a new socket has; none where nothing is recovered, or for want of randomness.
    pub(super) fn new(tools: &mut Tools) -> Option<Box<Self>> {
        let pid = Pid::draw(tools)?;
        Self::with(pid, tools)
    }

    fn with(pid: Pid, tools: &mut Tools) -> Option<Box<Self>> {
        let epoch = u32::from_be_bytes(tools.secret().ok()?);
        Some(Box::new(Self {
            pid,
            ring: Ring::new(epoch, Rc::clone(&tools.keep)),
            held: None,
            claim: None,
            leaving: 0,
        }))
    }

    /// Keeps what is sent; returns its place as an argument.
    pub(super) fn keep(&mut self, kept: Kept) -> String {
        format!("\"{}\"", self.ring.push(kept))
    }

    /// Holds a message while the socket is being restored. It comes back where it is not.
    pub(super) fn hold(&mut self, message: &Arc<Message>) -> bool {
        let Some(held) = &mut self.held else {
            return false;
        };
        if held.len() < HELD_MAX {
            held.push(Arc::clone(message));
        }
        true
    }

    pub(super) const fn is_restoring(&self) -> bool {
        self.held.is_some()
    }
}

/// Gives something to the shard that knows a private id.
fn tell_home(pid: Pid, about: About, turn: &Turn<'_>) {
    let wide = Wide {
        namespace: Arc::from(said::MAIN),
        to: Addressees::default(),
        act: WideAct::Session(pid.to_text(), about),
    };
    // A server that stops recovers nothing.
    let link = &turn.tools.settings.link;
    let _ = link.command_urgently(pid.home, Command::Wide(Box::new(wide)));
}

/// Where the connection of this turn is.
const fn own_place(turn: &Turn<'_>) -> Seeker {
    Seeker {
        shard: turn.tools.shard,
        key: turn.key,
    }
}

/// Gives something to a socket, wherever it is.
fn tell_socket(to: &Seeker, namespace: Arc<str>, act: Act, tools: &Tools) {
    let to_socket = Box::new(ToSocket { namespace, act });
    let command = Command::Socket {
        to: to.key,
        to_socket,
    };
    // As above.
    let _ = tools.settings.link.command_urgently(to.shard, command);
}

/// Has a session leave its rooms for the one who takes its place.
pub(super) fn release(pid: Pid, namespace: Arc<str>, seeker: Seeker, tools: &Tools) {
    match tools.sockets.whereabouts(&pid) {
        Some((shard, key)) => {
            tell_socket(&Seeker { shard, key }, namespace, Act::Release, tools);
        }
        None => tell_socket(&seeker, namespace, Act::Lost, tools),
    }
}

/// Tells a session that the one who has claimed it does not take its place.
pub(super) fn unclaim(pid: Pid, namespace: Arc<str>, seeker: Seeker, tools: &Tools) {
    if let Some((shard, key)) = tools.sockets.whereabouts(&pid) {
        tell_socket(
            &Seeker { shard, key },
            namespace,
            Act::Unclaim(seeker),
            tools,
        );
    }
}

/// Looks for a session, and has it answer the one who looks for it.
pub(super) fn seek(
    pid: Pid,
    (namespace, offset, seeker): (Arc<str>, Box<str>, Seeker),
    tools: &Tools,
) {
    match tools.sockets.whereabouts(&pid) {
        Some((shard, key)) => {
            let at = Seeker { shard, key };
            let claim = Claim {
                pid: pid.to_text(),
                offset,
                seeker,
            };
            tell_socket(&at, namespace, Act::Claim(Box::new(claim)), tools);
        }
        None => tell_socket(&seeker, namespace, Act::Found(None), tools),
    }
}

impl SocketIo {
    /// Looks for the session that a client had. False where it does not ask for one.
    pub(super) fn look_for(
        &mut self,
        name: &str,
        auth: Option<&str>,
        desk: &Desk<'_, '_, '_>,
    ) -> bool {
        let recovery = auth.filter(|_| self.recovers());
        let Some(Recovery { pid, offset }) = recovery.and_then(Recovery::from_auth) else {
            return false;
        };
        let Some(pid) = Pid::parse(&pid, desk.turn.hub.shards()) else {
            return false;
        };
        let wanted = self.rare().wanted.get_or_insert_default();
        wanted
            .seeking
            .push((name.into(), pid, auth.map(Into::into)));
        let seek = About::Seek(name.into(), offset.as_ref().into(), own_place(desk.turn));
        tell_home(pid, seek, desk.turn);
        true
    }

    /// Whether sockets are recovered.
    pub(super) fn recovers(&self) -> bool {
        self.settings.recovery_ms > 0 && self.engine_id().is_none()
    }

    /// Somebody asks for a socket. Where its connection is not known to be lost, whoever has its
    /// private id says so.
    pub(super) fn claimed(
        &mut self,
        namespace: &Arc<str>,
        claim: Claim,
        desk: &mut Desk<'_, '_, '_>,
    ) {
        if self.stays_until().is_none() && self.is_whole(namespace, &claim) {
            let wanted = self.rare().wanted.get_or_insert_default();
            wanted.claims.push((Arc::clone(namespace), claim));
            return desk.port.abort();
        }
        if self.is_claimed(namespace, &claim) {
            let wanted = self.rare().wanted.get_or_insert_default();
            if wanted.claims.len() < CLAIMS_MAX {
                return wanted.claims.push((Arc::clone(namespace), claim));
            }
        }
        self.answer_claim(namespace, &claim, desk.turn);
    }

    /// Whether somebody else has claimed a socket and may still give it back.
    fn is_claimed(&self, namespace: &str, claim: &Claim) -> bool {
        let socket = self.place(namespace).map(|at| &self.sockets[at]);
        let recovery = socket.and_then(|socket| socket.recovery.as_ref());
        recovery.is_some_and(|it| {
            it.claim.is_some() && it.leaving == 0 && it.pid.to_text() == claim.pid
        })
    }

    /// Answers those who wait for a socket: the next of them where it is free, all of them where
    /// it is there no more.
    fn answer_waiting(&mut self, namespace: &str, turn: &mut Turn<'_>) {
        let mut waiting = Vec::new();
        for (name, claim) in self.take_claims() {
            match *name != *namespace || self.is_claimed(&name, &claim) {
                true => waiting.push((name, claim)),
                false => self.answer_claim(&name, &claim, turn),
            }
        }
        if !waiting.is_empty() {
            self.rare().wanted.get_or_insert_default().claims = waiting;
        }
    }

    pub(super) fn take_claims(&mut self) -> Vec<(Arc<str>, Claim)> {
        let rare = self.rare.as_mut();
        let wanted = rare.and_then(|rare| rare.wanted.as_mut());
        wanted.map_or_else(Vec::new, |wanted| std::mem::take(&mut wanted.claims))
    }

    fn is_whole(&self, namespace: &str, claim: &Claim) -> bool {
        let socket = self.place(namespace).map(|at| &self.sockets[at]);
        let recovery = socket.and_then(|socket| socket.recovery.as_ref());
        recovery.is_some_and(|it| !it.is_restoring() && it.pid.to_text() == claim.pid)
    }

    fn answer_claim(&mut self, namespace: &Arc<str>, claim: &Claim, turn: &mut Turn<'_>) {
        let found = self.claim(namespace, claim);
        let is_gone = found.is_none() && self.stays_until().is_some();
        let act = Act::Found(found.map(Box::new));
        tell_socket(&claim.seeker, Arc::clone(namespace), act, turn.tools);
        // A socket that cannot be restored any more is of no use.
        if is_gone
            && self.is_whole(namespace, claim)
            && let Some(at) = self.place(namespace)
            && self.sockets[at]
                .recovery
                .as_ref()
                .is_some_and(|it| it.claim.is_none())
        {
            self.forget(namespace, None, turn);
            self.end_if_empty(turn.now);
        }
    }

    /// What somebody asked for has gone.
    pub(super) fn not_found(&self, namespace: &Arc<str>, claim: &Claim, turn: &Turn<'_>) {
        tell_socket(
            &claim.seeker,
            Arc::clone(namespace),
            Act::Found(None),
            turn.tools,
        );
    }

    fn claim(&mut self, namespace: &str, claim: &Claim) -> Option<Found> {
        self.stays_until()?;
        let at = self.place(namespace)?;
        let socket = &mut self.sockets[at];
        let recovery = socket.recovery.as_mut()?;
        if recovery.claim.is_some() || recovery.pid.to_text() != claim.pid {
            return None;
        }
        let offset = recovery.ring.find(&claim.offset)?;
        recovery.claim = Some((claim.seeker, offset));
        let live = socket.live.as_ref();
        Some(Found {
            id: socket.id.to_text().into(),
            rooms: socket.rooms.clone(),
            data: live.and_then(|live| live.handle.any_data()),
        })
    }

    /// The session that a client had was found, or not: then it gets a new one.
    pub(super) fn found(
        &mut self,
        namespace: &Arc<str>,
        found: Option<Found>,
        desk: &mut Desk<'_, '_, '_>,
    ) {
        let rare = self.rare.as_mut();
        let Some(wanted) = rare.and_then(|rare| rare.wanted.as_mut()) else {
            return;
        };
        let mut seeking = wanted.seeking.iter();
        let Some(at) = seeking.position(|(name, ..)| **name == **namespace) else {
            return;
        };
        let (_, pid, auth) = wanted.seeking.swap_remove(at);
        if wanted.seeking.is_empty() && wanted.claims.is_empty() {
            self.rare().wanted = None;
        }
        let recovery = Recoverable::with(pid, desk.turn.tools);
        let (Some(found), Some(mut recovery)) = (found, recovery) else {
            return self.enter_anew(namespace, auth.as_deref(), desk);
        };
        recovery.held = Some(Vec::new());
        let Found { id, rooms, data } = found;
        let live = self.restored(namespace, (&id, auth.as_deref()), (&rooms, data));
        self.sockets.push(super::Socket {
            namespace: said::namespace(namespace),
            id: SocketId::from(&*id),
            rooms,
            entered: 0,
            live,
            recovery: Some(recovery),
        });
        if !(self.settings.recovery_asks && self.ask_again(namespace, desk.turn)) {
            self.enter_next(namespace, desk);
        }
    }

    /// The socket is in all rooms that it had: the old member may leave them.
    pub(super) fn release_old(&self, name: &str, turn: &Turn<'_>) {
        if let Some(at) = self.place(name)
            && let Some(recovery) = &self.sockets[at].recovery
        {
            let release = About::Release(name.into(), own_place(turn));
            tell_home(recovery.pid, release, turn);
        }
    }

    /// A socket that was being restored has gone before it was: its session may be asked for again.
    pub(super) fn give_back(socket: &super::Socket, turn: &Turn<'_>) {
        if let Some(recovery) = &socket.recovery
            && recovery.is_restoring()
        {
            let about = About::Unclaim(socket.namespace().into(), own_place(turn));
            tell_home(recovery.pid, about, turn);
        }
    }

    /// The one who has claimed a socket does not go on in its place. Once the socket has left its
    /// rooms it is too late for another one.
    pub(super) fn unclaimed(&mut self, namespace: &str, seeker: Seeker, turn: &mut Turn<'_>) {
        if let Some(at) = self.place(namespace)
            && let Some(recovery) = &mut self.sockets[at].recovery
            && recovery.leaving == 0
        {
            recovery.claim.take_if(|(own, _)| *own == seeker);
        }
        self.answer_waiting(namespace, turn);
    }

    /// What the socket was to go on from has gone: its client gets a new one.
    pub(super) fn lost(&mut self, namespace: &str, desk: &mut Desk<'_, '_, '_>) {
        let Some(at) = self.place(namespace) else {
            return;
        };
        let socket = &self.sockets[at];
        let restoring = { socket.recovery.as_ref() }.is_some_and(|it| it.is_restoring());
        if !restoring {
            return;
        }
        let live = socket.live.as_ref();
        let auth = live.map(|live| live.handle.auth_json().to_owned());
        self.forget(namespace, None, desk.turn);
        self.enter_anew(namespace, auth.as_deref(), desk);
    }

    /// The new member is in all rooms: this one leaves them.
    pub(super) fn released(&mut self, name: &str, turn: &mut Turn<'_>) {
        let Some(at) = self.place(name) else { return };
        let rooms = self.sockets[at].rooms.clone();
        let mut leaving = 0;
        for room in &rooms {
            let token = self.expect(name, What::Release, None);
            match turn.hub.leave(turn.key, room, token, turn.effects) {
                Ok(()) if token.is_some() => leaving += 1,
                _ => drop(self.answered(token)),
            }
        }
        if let Some(recovery) = &mut self.sockets[at].recovery {
            recovery.leaving = leaving;
        }
        self.hand_over_old(name, turn);
    }

    /// It is out of one of them.
    pub(super) fn left_one(&mut self, name: &str, turn: &mut Turn<'_>) {
        if let Some(at) = self.place(name)
            && let Some(recovery) = &mut self.sockets[at].recovery
        {
            recovery.leaving = recovery.leaving.saturating_sub(1);
            self.hand_over_old(name, turn);
        }
    }

    /// Out of the last of them, what was heard goes to the new member.
    fn hand_over_old(&mut self, name: &str, turn: &mut Turn<'_>) {
        let Some(at) = self.place(name) else { return };
        let Some(recovery) = &mut self.sockets[at].recovery else {
            return;
        };
        if recovery.leaving > 0 {
            return;
        }
        let Some((seeker, offset)) = recovery.claim.take() else {
            return;
        };
        let kept = recovery.ring.after(offset);
        tell_socket(&seeker, name.into(), Act::Handed(kept), turn.tools);
        let socket = self.sockets.swap_remove(at);
        turn.tools.sockets.remove(&socket.id, turn.key);
        self.answer_waiting(name, turn);
        self.end_if_empty(turn.now);
    }

    /// What the client has missed is here: it is connected again.
    pub(super) fn handed(&mut self, name: &str, kept: Vec<Kept>, desk: &mut Desk<'_, '_, '_>) {
        let Some(at) = self.place(name) else { return };
        let Some(recovery) = &mut self.sockets[at].recovery else {
            return;
        };
        let Some(held) = recovery.held.take() else {
            return;
        };
        let full = held.len() >= HELD_MAX;
        if full {
            self.fault = Some(DisconnectReason::ForcedServerClose);
            return desk.port.close();
        }
        self.connected(name, desk);
        let mut heard = HashSet::new();
        for kept in kept {
            if let Kept::Message(message) = &kept {
                heard.extend(mark(message));
            }
            self.send_kept(name, kept, desk);
        }
        for message in held {
            if !mark(&message).is_some_and(|mark| heard.contains(&mark)) {
                self.send_kept(name, Kept::Message(message), desk);
            }
        }
    }

    fn send_kept(&mut self, name: &str, kept: Kept, desk: &mut Desk<'_, '_, '_>) {
        let Some(at) = self.place(name) else { return };
        let Some(recovery) = &mut self.sockets[at].recovery else {
            return;
        };
        let item = match &kept {
            Kept::Message(message) => Some(Item::Message(Arc::clone(message))),
            Kept::Packet(_) => None,
        };
        let packet = match (&item, &kept) {
            (Some(item), _) => packet_of(item).map(Packet::into_owned),
            (None, Kept::Packet(packet)) => Some(packet.clone()),
            (None, Kept::Message(_)) => None,
        };
        if let Some(packet) = packet {
            let offset = recovery.keep(kept);
            self.send(&packet.with_argument(&offset), desk);
        }
    }

    /// Sends a message to a recoverable socket, or keeps it for one that has lost its connection.
    /// The packet comes back with its place; none where it is kept or held.
    pub(super) fn keep_message<'a>(
        &mut self,
        message: &Arc<Message>,
        packet: Packet<'a>,
    ) -> Option<Packet<'a>> {
        let Some(at) = self.place(&packet.namespace) else {
            return Some(packet);
        };
        let Some(recovery) = &mut self.sockets[at].recovery else {
            return Some(packet);
        };
        if is_volatile(message) {
            return (!recovery.is_restoring()).then_some(packet);
        }
        if recovery.hold(message) {
            return None;
        }
        let offset = recovery.keep(Kept::Message(Arc::clone(message)));
        // Nobody is sent anything while the connection is lost.
        let is_heard = self.stays_until().is_none();
        is_heard.then(|| packet.with_argument(&offset))
    }

    /// The connection is lost: whether the member stays for a client that comes back.
    pub(super) fn stay(&mut self, reason: DisconnectReason, turn: &mut Turn<'_>) -> bool {
        let stays = self.recovers()
            && reason.is_recoverable()
            && reason != DisconnectReason::ServerShuttingDown;
        if !stays {
            return false;
        }
        let connection = &self.connection;
        let is_whole = |socket: &super::Socket| {
            let recovery = socket.recovery.as_ref();
            let whole = recovery.is_some_and(|it| !it.is_restoring());
            whole && connection.is_connected(socket.namespace())
        };
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(is_whole);
        for socket in gone {
            Self::give_back(&socket, turn);
            turn.tools.sockets.remove(&socket.id, turn.key);
            if let Some(recovery) = &socket.recovery {
                self.forget_pid(recovery.pid, turn);
            }
            Self::tell_ended(&socket, Some(reason), turn);
        }
        for socket in &kept {
            Self::tell_ended(socket, Some(reason), turn);
            let (id, namespace) = (socket.id.clone(), socket.namespace.clone());
            turn.tools.sockets.add(id, turn.key, namespace, None);
        }
        self.sockets = kept;
        if self.sockets.is_empty() {
            return false;
        }
        let until = turn.now.saturating_add(self.settings.recovery_ms);
        self.rare().stays_until = Some(until);
        for (namespace, claim) in self.take_claims() {
            self.answer_claim(&namespace, &claim, turn);
        }
        true
    }

    /// Nobody came back in time.
    pub(super) fn stay_no_longer(&mut self, turn: &mut Turn<'_>) {
        self.rare().stays_until = None;
        for (namespace, claim) in self.take_claims() {
            self.not_found(&namespace, &claim, turn);
        }
        for socket in std::mem::take(&mut self.sockets) {
            turn.tools.sockets.remove(&socket.id, turn.key);
            if let Some(recovery) = &socket.recovery {
                self.forget_pid(recovery.pid, turn);
            }
        }
    }

    fn end_if_empty(&mut self, now: u64) {
        if self.sockets.is_empty() && self.stays_until().is_some() {
            self.rare().stays_until = Some(now);
        }
    }

    /// A session is here from now on.
    pub(super) fn note_pid(&self, pid: Pid, turn: &Turn<'_>) {
        let here = (turn.tools.shard, turn.key);
        tell_home(pid, About::IsAt(here), turn);
    }

    /// A session is nowhere any more.
    pub(super) fn forget_pid(&self, pid: Pid, turn: &Turn<'_>) {
        let here = (turn.tools.shard, turn.key);
        tell_home(pid, About::IsNoLongerAt(here), turn);
    }
}

/// Where a session is.
pub(crate) type Whereabouts = (ShardId, MemberKey);

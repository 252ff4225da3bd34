//! What handles ask for, done.

use std::rc::Rc;

use parlor_hub::{Audience, Draft, MemberKey, RoomKey, RoomName, RoomRef};

use super::{
    Mail, Shard,
    batch::Entry,
    connections::{CLOSING, CONNECTING, HELD, OWN_FORM, SERVED, Stage},
    outside::Waiter,
};
use crate::{
    door::{Hearers, Item, Order, Then, do_widely},
    embed::{
        Act, Command, Compression, ConnectionError, Disconnect, Event, Member, Message, Question,
        Side,
        socketio::{self, ToSocket, Wide},
    },
    metrics::End,
};

impl Shard {
    /// Does what was asked for on this thread, and posts what is for other shards.
    pub(super) fn do_commands(&mut self) {
        while let Some((to, command)) = self.local.pop() {
            if to == self.id {
                self.command(command);
            } else {
                let outgoing = &mut self.outgoing[usize::from(to.0)];
                outgoing.bytes += command.cost();
                outgoing.mail.push(Mail::Command(Box::new(command)));
            }
        }
    }

    /// Does one thing.
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Send {
                to,
                message,
                compression,
            } => self.send_all(to, message, compression),
            Command::StopAccepting => self.acceptor = None,
            Command::SendTo { to, message } => {
                if let Some(to) = self.hub.member(&to)
                    && self.is_served(to)
                {
                    self.obey(to, Order::Send(message, Compression::Agreed));
                }
            }
            Command::Act { to, act } => self.act(to, act),
            Command::PublishAs {
                from,
                room,
                message,
                to_all,
            } => self.publish_all(from, room, message, to_all),
            Command::Publish { room, draft } => {
                self.hub.publish_anonymous(&room, *draft, &mut self.effects);
                self.perform();
            }
            Command::Broadcast(message) => self.broadcast(message),
            Command::Ask(question) => self.reply(*question),
            Command::Socket { to, to_socket } => self.do_with_socket(to, to_socket),
            Command::Wide(wide) => self.do_widely(*wide),
        }
    }

    /// Does something that concerns many sockets, and with an event for everybody those behind it
    /// in the queue.
    fn do_widely(&mut self, mut wide: Wide) {
        let is_next = |next: &Command| matches!(next, Command::Wide(next) if next.is_publish());
        for _ in 1..PUBLISHED_AT_ONCE {
            if !wide.is_publish() {
                break;
            }
            let Self {
                hub,
                effects,
                tools,
                ..
            } = self;
            do_widely(wide, hub, effects, tools);
            match self.local.pop_if(self.id, is_next) {
                Some(Command::Wide(next)) => wide = *next,
                _ => return self.perform(),
            }
        }
        let Self {
            hub,
            effects,
            tools,
            ..
        } = self;
        let acts = do_widely(wide, hub, effects, tools);
        self.perform();
        for (key, act) in acts {
            self.do_with_socket(key, Box::new(act));
        }
    }

    /// Publishes in the name of a member, and with that message those behind it in the queue that
    /// are to be published too.
    fn publish_all(
        &mut self,
        mut from: MemberKey,
        mut room: RoomName,
        mut message: Message,
        mut to_all: bool,
    ) {
        let is_next = |next: &Command| matches!(next, Command::PublishAs { .. });
        for _ in 0..PUBLISHED_AT_ONCE {
            self.publish_as(from, &room, message, to_all);
            let Some(Command::PublishAs {
                from: next_from,
                room: next_room,
                message: next,
                to_all: next_to_all,
            }) = self.local.pop_if(self.id, is_next)
            else {
                break;
            };
            (from, room, message, to_all) = (next_from, next_room, next, next_to_all);
        }
        self.perform();
    }

    /// Publishes in the name of a member. Where that cannot be, its handler is told.
    fn publish_as(&mut self, from: MemberKey, room: &RoomName, message: Message, to_all: bool) {
        let mut draft = Draft::new(message.into_payload());
        if to_all {
            draft.audience = Audience::Room;
        }
        let room = RoomRef::Name(room);
        let published = self.hub.publish(from, room, draft, &mut self.effects);
        if let Err(reason) = published
            && let Some(caller) = self.caller(from)
        {
            let room = None;
            caller.push(Event::Error(ConnectionError::Refused { room, reason }));
            self.note_events(&caller);
        }
    }

    /// Sends a message, and with it those behind it in the queue that are for the same member.
    fn send_all(&mut self, to: MemberKey, message: Message, compression: Compression) {
        let Some(caller) = self.caller(to).filter(|_| self.is_served(to)) else {
            return;
        };
        let (local, shard) = (Rc::clone(&self.local), self.id);
        let is_next =
            |next: &Command| matches!(next, Command::Send { to: next, .. } if *next == to);
        self.call(to, |session, turn| {
            let (mut message, mut compression) = (message, compression);
            loop {
                caller.member.dequeued(message.len());
                let then = session.obey(Order::Send(message, compression), turn);
                if then != Then::Continue || turn.reply.len() > SEND_BYTES {
                    return then;
                }
                let Some(Command::Send {
                    message: next,
                    compression: how,
                    ..
                }) = local.pop_if(shard, is_next)
                else {
                    return then;
                };
                (message, compression) = (next, how);
            }
        });
        if self.connections.hot[to.slot as usize].flags & OWN_FORM != 0 {
            self.note_fragmented(to);
        }
    }

    /// Does something with a socket, after what has been said in its rooms before.
    fn do_with_socket(&mut self, key: MemberKey, act: Box<ToSocket>) {
        if !self.is_served(key) {
            if let socketio::Act::Claim(claim) = act.act {
                let seeker = claim.seeker;
                let to_socket = Box::new(ToSocket {
                    namespace: act.namespace,
                    act: socketio::Act::Found(None),
                });
                let to = seeker.key;
                let answer = Command::Socket { to, to_socket };
                // A server that stops recovers nothing.
                let _ = self.local.link().command_urgently(seeker.shard, answer);
            }
            return;
        }
        let waits = |room: &RoomKey| {
            let batch = self.batches.get(room.index());
            batch.is_some_and(|batch| batch.listed)
        };
        let rooms: Vec<RoomKey> = self.hub.rooms_of(key).filter(waits).collect();
        for room in rooms {
            self.deliver_rest(room, key);
            self.batch(room).pass_over(key);
        }
        self.obey_all(key, act);
    }

    /// Does something with a socket. What is only sent goes out together with what is sent to the
    /// same member by the commands right behind it in the queue.
    fn obey_all(&mut self, key: MemberKey, act: Box<ToSocket>) {
        let (local, shard) = (Rc::clone(&self.local), self.id);
        let is_next = |next: &Command| match next {
            Command::Socket { to, to_socket } => *to == key && to_socket.only_sends(),
            _ => false,
        };
        self.call(key, |session, turn| {
            let mut act = act;
            loop {
                let only_sends = act.only_sends();
                let then = session.obey(Order::Socket(act), turn);
                if !only_sends || then != Then::Continue || turn.reply.len() > SEND_BYTES {
                    return then;
                }
                match local.pop_if(shard, is_next) {
                    Some(Command::Socket { to_socket, .. }) => act = to_socket,
                    _ => return then,
                }
            }
        });
    }

    /// Notes what a session is like that may have to keep messages back.
    fn note_fragmented(&mut self, key: MemberKey) {
        if !self.is_served(key) || !self.connections.note_held(key) {
            return;
        }
        let Stage::Open(Some(session)) = &mut self.connections.cold[key.slot as usize].stage else {
            return;
        };
        let form = session.form();
        let Some(fragmented) = session.fragmented() else {
            return;
        };
        let flushes = fragmented.take_flushes();
        self.connections.set_form(key, form);
        if let Some(due) = self.connections.unfinished(key) {
            self.connections.wheel.set_earlier(key.slot, due);
        }
        for answer in flushes {
            self.connections.await_flush(key, answer);
        }
    }

    fn obey(&mut self, key: MemberKey, order: Order) {
        self.call(key, |session, turn| session.obey(order, turn));
    }

    fn act(&mut self, key: MemberKey, act: Box<Act>) {
        if !self.is_served(key) {
            return;
        }
        let flags = &mut self.connections.hot[key.slot as usize].flags;
        match *act {
            Act::Pause => *flags |= HELD,
            Act::Resume => {
                *flags &= !HELD;
                self.read_again(key);
            }
            Act::Flushed(answer) => match self.connections.fragmented(key) {
                Some(fragmented) if fragmented.is_open() => fragmented.await_flush(answer),
                _ => self.connections.await_flush(key, answer),
            },
            Act::FragmentsFlushed(answer) => self.connections.await_flush(key, answer),
            Act::Fragment(ref fragment) => {
                let cost = fragment.cost();
                self.obey(key, Order::Act(act));
                // Only now, so that it is counted in the outbox before it is here no more.
                if let Some(caller) = self.caller(key).filter(|_| self.is_served(key)) {
                    caller.member.dequeued(cost);
                }
                self.note_fragmented(key);
            }
            Act::Terminate => {
                if let Some(caller) = self.caller(key) {
                    caller.set_ending(Disconnect::cut(Side::Server));
                }
                self.end(key, End::Handler);
            }
            Act::Close { .. } => {
                // Before the client was let in this is a refusal, and what waits is not for it.
                drop(self.connections.end_connecting(key));
                self.obey(key, Order::Act(act));
            }
            Act::Join { .. }
            | Act::Leave(_)
            | Act::Rename(_)
            | Act::Present(_)
            | Act::Ping(_)
            | Act::Pong(_)
            | Act::Rooms(_) => self.obey(key, Order::Act(act)),
        }
    }

    fn reply(&mut self, question: Question) {
        // Whoever asked may be gone, which is no loss.
        match question {
            Question::Peers(room, after, answer) => {
                let _ = answer.send(self.hub.peers(&room, after));
            }
            Question::Population(room, answer) => {
                let _ = answer.send(self.hub.population(&room));
            }
            Question::History(room, resume, answer) => {
                let _ = answer.send(self.hub.replay(&room, resume));
            }
            Question::Publish(room, draft, answer) => {
                self.publish_for(&room, draft, Waiter::Handle(answer));
            }
            Question::Members(answer) => {
                let _ = answer.send(self.members());
            }
            Question::Member(id, answer) => {
                let caller = self.hub.member(&id).and_then(|key| self.caller(key));
                let _ = answer.send(caller.map(|caller| caller.member.clone()));
            }
        }
    }

    /// The connections at endpoints that were let in.
    fn served(&self) -> Vec<MemberKey> {
        let hot = self.connections.hot.iter().enumerate();
        let open = hot.filter(|(_, hot)| hot.flags & (SERVED | CLOSING | CONNECTING) == SERVED);
        open.filter_map(|(slot, _)| u32::try_from(slot).ok())
            .map(|slot| self.connections.key(slot))
            .collect()
    }

    fn members(&self) -> Vec<Member> {
        let keys = self.served().into_iter();
        keys.filter_map(|key| Some(self.caller(key)?.member.clone()))
            .collect()
    }

    fn broadcast(&mut self, message: Message) {
        let members = self.served();
        if !members.is_empty() {
            let entry = Entry {
                item: Item::Broadcast(message.into_payload()),
                hearers: Hearers::All,
            };
            self.broadcast_to(entry, members);
        }
    }
}

/// Messages that the hub is given before what it makes of them is done.
const PUBLISHED_AT_ONCE: u32 = 64;
/// Bytes that are sent together before the socket is tried.
const SEND_BYTES: usize = 64 * 1024;

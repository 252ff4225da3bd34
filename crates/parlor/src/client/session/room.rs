//! One room of a session: what was heard, what is to be said, and what becomes of both when a
//! connection is lost. No I/O.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use parlor_hub::{MemberId, MessageId};
use tokio::time::Instant;

use super::{
    Event,
    handle::{Outgoing, Past, SessionError, encode},
    payload::{RoomMessage, Roster},
    wire::Request,
};

/// Own messages that are acknowledged ahead of others' that have not come; past it those others
/// count as dropped.
const AHEAD_MAX: usize = 1024;

/// One room.
#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) name: Arc<str>,
    pub(super) phase: Phase,
    /// To be left once the queue is empty.
    pub(super) leaving: bool,
    /// How many messages of the past to begin with; none once that has been asked for.
    history: Option<u32>,
    /// The last place up to which everything was heard or said.
    last: Option<MessageId>,
    /// Offsets of own messages beyond `last`.
    ahead: BTreeSet<u64>,
    /// Something before `last` was neither heard nor said; the server tells how much was dropped,
    /// unless the connection is lost before.
    missing: bool,
    /// The last place that the server gave a message of this connection.
    acknowledged: Option<MessageId>,
    /// This client's id in the room, on this connection or the last.
    own: Option<MemberId>,
    /// Not sent yet.
    queue: VecDeque<Outgoing>,
    /// Sent on this connection and not answered yet, with their `ref`s.
    flight: VecDeque<(u64, Outgoing)>,
    /// Sent on an earlier connection and not answered then.
    doubt: Option<Doubt>,
}

/// How far the room is on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was asked for.
    Out,
    /// A join was sent, which resumes or not.
    Joining { resumes: bool },
    /// What was missed is coming.
    Replaying {
        /// The room's last id when it was joined again.
        head: Option<MessageId>,
        /// Whether a gap was told.
        gap: bool,
    },
    /// In it.
    In,
    /// A leave was sent.
    Leaving,
}

/// Messages of which it is not known whether the server took them.
#[derive(Debug)]
struct Doubt {
    messages: VecDeque<Outgoing>,
    /// Who sent them.
    sender: MemberId,
    /// The last of the sender's messages that was acknowledged.
    acknowledged: Option<MessageId>,
    /// Whether the sender is gone from the room, so that nothing of it can follow.
    gone: bool,
    /// Whether some of its messages may have been missed: then not to be found does not mean not
    /// to be published.
    missed: bool,
    /// Whether some of its messages are not looked for any more, and may still come.
    forgotten: bool,
    /// When they are given up.
    until: Option<Instant>,
}

impl RoomState {
    /// A room to join.
    pub(super) const fn new(name: Arc<str>, past: Past) -> Self {
        let (last, history) = match past {
            Past::Nothing => (None, None),
            Past::Since(id) => (Some(id), None),
            Past::Last(count) => (None, Some(count)),
        };
        Self {
            name,
            phase: Phase::Out,
            leaving: false,
            history,
            last,
            ahead: BTreeSet::new(),
            missing: false,
            acknowledged: None,
            own: None,
            queue: VecDeque::new(),
            flight: VecDeque::new(),
            doubt: None,
        }
    }

    /// The request that brings this client into the room.
    pub(super) fn join(&mut self, reference: u64) -> String {
        let room = &*self.name;
        let (request, resumes) = match self.last {
            Some(last) => {
                let since = last.to_string();
                let request = Request::Resume {
                    room,
                    since,
                    last: true,
                    r#ref: reference,
                };
                (request, true)
            }
            None => {
                let request = Request::Join {
                    room,
                    last: true,
                    history: self.history,
                    r#ref: reference,
                };
                (request, self.history.is_some())
            }
        };
        let text = request.encode();
        self.phase = Phase::Joining { resumes };
        text
    }

    /// Whether the connection that left messages in doubt is still in the room; if so it is waited
    /// for, but not for ever.
    pub(super) fn look_for_sender(&mut self, roster: &Roster, patience: Duration) {
        if let Some(doubt) = &mut self.doubt {
            let there = roster.peers.iter().any(|peer| peer.id == doubt.sender);
            doubt.gone = !there && !roster.more;
            doubt.until = Instant::now().checked_add(patience);
        }
    }

    /// The server let this client in.
    pub(super) fn joined(
        &mut self,
        (id, last): (MemberId, Option<MessageId>),
        roster: Roster,
        events: &mut VecDeque<Event>,
    ) {
        let returns = self.own.replace(id).is_some();
        self.history = None;
        let resumes = matches!(self.phase, Phase::Joining { resumes: true });
        events.push_back(Event::Joined {
            room: Arc::clone(&self.name),
            id,
            roster,
            resumed: resumes,
        });
        // With no id to come back with, whatever was said meanwhile is missed.
        if std::mem::take(&mut self.missing) || (returns && !resumes) {
            self.tell_gap(None, events);
        }
        if resumes {
            self.phase = Phase::Replaying {
                head: last,
                gap: false,
            };
            return;
        }
        self.phase = Phase::In;
        self.last = last;
        self.settle_doubt();
    }

    /// Says that messages are missing, among them perhaps those that are in doubt.
    fn tell_gap(&mut self, oldest: Option<MessageId>, events: &mut VecDeque<Event>) {
        events.push_back(Event::Gap {
            room: Arc::clone(&self.name),
            oldest,
        });
        self.miss_doubt();
    }

    /// What was missed has come.
    pub(super) fn resumed(
        &mut self,
        gap: bool,
        oldest: Option<MessageId>,
        events: &mut VecDeque<Event>,
    ) {
        let Phase::Replaying { head, gap: told } = self.phase else {
            return;
        };
        self.phase = Phase::In;
        if gap && !told {
            self.tell_gap(oldest, events);
        }
        if let Some(head) = head {
            self.advance(head);
        }
        self.settle_doubt();
    }

    fn miss_doubt(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.missed = true;
        }
    }

    /// A message of the room. `is_own` tells the ids that this client has or had.
    pub(super) fn hear(
        &mut self,
        message: RoomMessage,
        is_own: impl Fn(MemberId) -> bool,
        events: &mut VecDeque<Event>,
    ) {
        if let Some(id) = message.id {
            if self.is_repeat(id) {
                tracing::debug!(%id, "message heard twice");
                return;
            }
            if self.is_gap(id) {
                self.tell_gap(Some(id), events);
            }
            self.advance(id);
        }
        match message.from.filter(|from| is_own(*from)) {
            Some(from) => self.recognise(from, &message),
            None => events.push_back(Event::Message(RoomMessage {
                room: Arc::clone(&self.name),
                ..message
            })),
        }
    }

    fn is_repeat(&self, id: MessageId) -> bool {
        self.last
            .is_some_and(|last| last.epoch == id.epoch && id.offset <= last.offset)
    }

    /// Whether a gap is to be told before this message: the room began anew, or a replay has a
    /// hole. Live, what is missing was dropped, or was not for this member, or was this client's
    /// own: its acknowledgement never comes after a later message. The server tells what it has
    /// dropped once it has caught up.
    fn is_gap(&mut self, id: MessageId) -> bool {
        let Some(last) = self.last else {
            return false;
        };
        let other_life = last.epoch != id.epoch;
        let hole = !other_life && id.offset > last.offset.saturating_add(1);
        if let Phase::Replaying { gap, .. } = &mut self.phase {
            *gap |= other_life || hole;
            return other_life || hole;
        }
        self.missing |= hole;
        other_life
    }

    /// The server has told what it dropped.
    pub(super) fn dropped(&mut self) {
        self.missing = false;
        self.miss_doubt();
    }

    /// Everything up to this place was heard.
    fn advance(&mut self, id: MessageId) {
        match self.last {
            Some(last) if last.epoch == id.epoch => {
                if id.offset <= last.offset {
                    return;
                }
                self.ahead = self.ahead.split_off(&id.offset.saturating_add(1));
            }
            _ => self.ahead.clear(),
        }
        let mut offset = id.offset;
        while self.ahead.remove(&offset.saturating_add(1)) {
            offset += 1;
        }
        self.last = Some(MessageId { offset, ..id });
    }

    /// An own message that came back in a replay, or that a connection thought dead delivered late.
    fn recognise(&mut self, from: MemberId, message: &RoomMessage) {
        let (Some(id), Some(doubt)) = (message.id, &mut self.doubt) else {
            return;
        };
        let known = doubt
            .acknowledged
            .is_some_and(|last| last.epoch == id.epoch && id.offset <= last.offset);
        if doubt.sender != from || known {
            return;
        }
        let event = Some(message.event.as_str()).filter(|event| *event != "message");
        let is_it = |outgoing: &Outgoing| {
            let said = (event, &message.payload);
            encode(&self.name, None, said, outgoing.priority).as_ref() == Some(&outgoing.text)
        };
        let Some(at) = doubt.messages.iter().position(is_it) else {
            return;
        };
        // The server takes a sender's messages in order: what it passed over, it refused.
        for passed in doubt.messages.drain(..at) {
            passed.resolve(Err(SessionError::Unconfirmed));
        }
        if let Some(found) = doubt.messages.pop_front() {
            found.resolve(Ok(Some(id)));
        }
        doubt.acknowledged = Some(id);
        self.settle_doubt();
    }

    /// Once the old connection is out of the room, what was not found was never taken, unless it
    /// was missed. Until then nothing is sent, so that nothing of it comes after what is newer.
    fn settle_doubt(&mut self) {
        let settled = |doubt: &Doubt| {
            doubt.gone || (doubt.messages.is_empty() && !doubt.missed && !doubt.forgotten)
        };
        if self.phase != Phase::In || !self.doubt.as_ref().is_some_and(settled) {
            return;
        }
        if self.doubt.as_ref().is_some_and(|doubt| doubt.missed) {
            return self.give_up_doubt();
        }
        if let Some(doubt) = self.doubt.take() {
            for message in doubt.messages.into_iter().rev() {
                self.queue.push_front(message);
            }
        }
    }

    fn give_up_doubt(&mut self) {
        if let Some(doubt) = self.doubt.take() {
            for message in doubt.messages {
                message.resolve(Err(SessionError::Unconfirmed));
            }
        }
    }

    /// Another member is out of the room.
    pub(super) fn peer_left(&mut self, id: MemberId) {
        if let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.sender == id) {
            doubt.gone = true;
            self.settle_doubt();
        }
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        let messages: VecDeque<Outgoing> =
            self.flight.drain(..).map(|(_, message)| message).collect();
        let acknowledged = self.acknowledged.take();
        if let Some(doubt) = &mut self.doubt {
            // While there is doubt nothing is sent, so there is nothing to add to it.
            doubt.until = None;
        } else if let Some(sender) = self.own.filter(|_| !messages.is_empty()) {
            self.doubt = Some(Doubt {
                messages,
                sender,
                acknowledged,
                gone: false,
                missed: false,
                forgotten: false,
                until: None,
            });
        }
        self.phase = Phase::Out;
    }

    /// The server let this client out, and it is wanted in the room again: what was said meanwhile
    /// was not for it.
    pub(super) fn left(&mut self) {
        self.phase = Phase::Out;
        self.last = None;
        self.own = None;
        self.ahead.clear();
        self.missing = false;
        self.acknowledged = None;
    }

    pub(super) fn queue(&mut self, message: Outgoing) {
        self.queue.push_back(message);
    }

    /// The next message to send, with this `ref`.
    pub(super) fn send(&mut self, reference: u64) -> Option<String> {
        if self.phase != Phase::In || self.doubt.is_some() {
            return None;
        }
        let message = self.queue.pop_front()?;
        let text = super::wire::with_reference(&message.text, reference);
        self.flight.push_back((reference, message));
        Some(text)
    }

    /// The server answered a message.
    pub(super) fn answered(
        &mut self,
        reference: u64,
        result: Result<Option<MessageId>, SessionError>,
    ) {
        let Some(at) = self.flight.iter().position(|(own, _)| *own == reference) else {
            return;
        };
        if let Ok(Some(id)) = &result {
            self.own_place(*id);
        }
        if let Some((_, message)) = self.flight.remove(at) {
            message.resolve(result);
        }
    }

    /// An own message has its place: it need not be heard.
    fn own_place(&mut self, id: MessageId) {
        self.acknowledged = Some(id);
        let Some(last) = self.last.filter(|last| last.epoch == id.epoch) else {
            return;
        };
        if id.offset <= last.offset {
            return;
        }
        self.ahead.insert(id.offset);
        if id.offset == last.offset + 1 {
            self.advance(id);
        } else if self.ahead.len() > AHEAD_MAX
            && let Some(first) = self.ahead.first()
        {
            let first = *first;
            self.advance(MessageId {
                offset: first,
                ..id
            });
        }
    }

    /// Gives up what has waited too long.
    pub(super) fn expire(&mut self, now: Instant) {
        if self
            .doubt
            .as_ref()
            .is_some_and(|doubt| doubt.until.is_some_and(|until| until <= now))
        {
            self.give_up_doubt();
        }
        if let Some(doubt) = &mut self.doubt {
            let before = doubt.messages.len();
            expire(&mut doubt.messages, now, |_| SessionError::Unconfirmed);
            doubt.forgotten |= doubt.messages.len() < before;
        }
        expire(&mut self.queue, now, |after| SessionError::LimitAge {
            after,
        });
        self.settle_doubt();
    }

    /// Whether time alone may change something.
    pub(super) fn waits(&self) -> bool {
        !self.queue.is_empty() || self.doubt.is_some()
    }

    /// Whether everything was sent and answered.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flight.is_empty() && self.doubt.is_none()
    }

    /// Whether everything was sent.
    pub(super) fn is_sent(&self) -> bool {
        self.queue.is_empty() && self.doubt.is_none()
    }

    /// Gives up everything.
    pub(super) fn fail(self, error: &SessionError) {
        let doubt = self.doubt.into_iter().flat_map(|doubt| doubt.messages);
        let flight = self.flight.into_iter().map(|(_, message)| message);
        for message in doubt.chain(flight).chain(self.queue) {
            message.resolve(Err(error.clone()));
        }
    }
}

/// Takes out what is too old. Times to live differ, so the oldest is not always the first to go.
pub(super) fn expire(
    messages: &mut VecDeque<Outgoing>,
    now: Instant,
    error: impl Fn(Duration) -> SessionError,
) {
    let is_late = |message: &Outgoing| message.expires.is_some_and(|(at, _)| at <= now);
    if !messages.iter().any(is_late) {
        return;
    }
    for message in std::mem::take(messages) {
        match message.expires.filter(|(at, _)| *at <= now) {
            Some((_, after)) => message.resolve(Err(error(after))),
            None => messages.push_back(message),
        }
    }
}

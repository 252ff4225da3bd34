//! Handlers of embedders: called on the shard's thread, one event of a connection after the other.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parlor_hub::MemberKey;

use super::{
    Shard,
    connections::{BUSY, CLOSING, CONNECTING, PINGED, Stage, TIMED},
    life::millis,
};
use crate::{
    door::{CloseReason, Fault, Order, Then},
    embed::{
        BoxError, Call, Caller, ConnectionError, Disconnect, Event, JsonError, Link, Outcome,
        Returned, RoomError, SendError, Side, Told,
    },
    metrics::{End, Refused},
};

/// How long a turn may call handlers before other work gets its chance.
const SLICE: Duration = Duration::from_millis(2);
/// Events of one connection that are handled before the next has its turn.
const EVENTS_AT_ONCE: u32 = 64;
/// Commands that handlers have given are done when there are so many, and at the end of the calls.
const COMMANDS_AT_ONCE: usize = 1024;
/// A turn or a handler that takes longer is counted.
const SLOW: Duration = Duration::from_millis(100);
/// One that takes longer is logged.
const VERY_SLOW: Duration = Duration::from_secs(1);

impl Shard {
    /// Asks the handler whether a client may come in.
    pub(super) fn begin_serving(&mut self, key: MemberKey, caller: &Rc<Caller>) {
        self.connections
            .begin_connecting(key, caller.member.gauge());
        self.note_events(caller);
    }

    /// Has a handler called where there is something to call it with.
    pub(super) fn note_events(&mut self, caller: &Rc<Caller>) {
        let key = caller.member.key();
        if self.connections.is_current(key) && caller.is_full() {
            self.connections.hot[key.slot as usize].flags |= BUSY;
        }
        if caller.enlist() {
            self.calls.push_back(Rc::clone(caller));
        }
    }

    /// Calls the handlers that have something to do.
    pub(super) fn call_handlers(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let deadline = Instant::now() + SLICE;
        for _ in 0..self.calls.len() {
            // What handlers publish is bounded like what is read.
            if self.is_congested() || self.has_much_unflushed() {
                break;
            }
            let Some(caller) = self.calls.pop_front() else {
                break;
            };
            caller.unlist();
            self.call_handler(&caller);
            if self.local.len() > COMMANDS_AT_ONCE {
                self.do_commands();
            }
            if Instant::now() > deadline {
                break;
            }
        }
        self.do_commands();
    }

    /// Calls one connection's handler with what waits.
    fn call_handler(&mut self, caller: &Rc<Caller>) {
        if let Some(mut call) = caller.next_call(EVENTS_AT_ONCE) {
            match poll_once(&mut call) {
                Poll::Ready(returned) => self.returned(caller, returned),
                Poll::Pending => {
                    // What it does as a task is looked at event by event.
                    caller.call_back();
                    self.go_on_as_task(caller, call);
                }
            }
        }
        self.caught_up(caller);
    }

    fn go_on_as_task(&self, caller: &Rc<Caller>, call: Call) {
        let (caller, local) = (Rc::clone(caller), Rc::clone(&self.local));
        local.begin_task();
        tokio::task::spawn_local(async move {
            let returned = watched(call, local.link()).await;
            local.finish_task((caller, returned));
        });
    }

    /// Takes in what was done between two turns: commands of tasks, and handlers that are done.
    pub(super) fn take_local(&mut self) {
        if !self.local.has_news() {
            return;
        }
        for (caller, returned) in self.local.take_done() {
            self.returned(&caller, returned);
            self.caught_up(&caller);
        }
        self.do_commands();
    }

    /// A handler is done; without what it returned it has panicked.
    fn returned(&mut self, caller: &Rc<Caller>, returned: Option<Returned>) {
        let key = caller.member.key();
        let Some(returned) = returned else {
            self.connections.counters.panicked();
            self.local
                .link()
                .tally
                .panics
                .fetch_add(1, Ordering::Relaxed);
            tracing::error!(member = %caller.member.id(), "a handler panicked");
            caller.lost();
            if self.connections.is_current(key) {
                self.connections.doom(key, CloseReason::Fault);
            }
            return;
        };
        match returned.give_back(caller) {
            Outcome::Done => {}
            answer @ (Outcome::Accepted(_) | Outcome::Refused(_)) => self.let_in(caller, answer),
            Outcome::Failed(error) => {
                // What comes of a connection that has ended is no failure.
                let closed = matches!(error.downcast_ref(), Some(SendError::Closed));
                if closed && !caller.member.is_open() {
                    return;
                }
                let (fault, error) = blame(error, caller);
                caller.failed(error);
                self.call(key, |session, turn| session.obey(Order::Fail(fault), turn));
                self.note_events(caller);
            }
        }
    }

    /// Tells a client whether it may come in.
    fn let_in(&mut self, caller: &Rc<Caller>, answer: Outcome) {
        let key = caller.member.key();
        if !self.connections.is_current(key) {
            return;
        }
        let accepted = matches!(answer, Outcome::Accepted(_));
        let Some(waiting) = self.connections.end_connecting(key) else {
            // It was told already that it has waited too long.
            return;
        };
        match accepted {
            true => {
                let door = self.connections.hot[key.slot as usize].door;
                self.count_opened(key, door);
                let interval = millis(self.settings.ping_interval);
                let now = self.connections.now;
                self.connections.cold[key.slot as usize].heard = now;
                self.connections.wheel.set(key.slot, now + interval);
            }
            false => self.connections.counters.refused(Refused::Handler),
        }
        self.call(key, |session, turn| {
            session.obey(Order::Outcome(answer), turn)
        });
        if accepted {
            self.connections.send_waiting(key, *waiting);
        }
    }

    /// The handler has done what it could: where it has caught up, the connection goes on.
    fn caught_up(&mut self, caller: &Rc<Caller>) {
        let key = caller.member.key();
        let is_busy = self.connections.is_current(key)
            && self.connections.hot[key.slot as usize].flags & (BUSY | CONNECTING) == BUSY;
        if is_busy && caller.has_room() {
            // What the handler has answered goes out before a goodbye does.
            self.do_commands();
            self.call(key, |session, turn| session.obey(Order::GoOn, turn));
            self.release(caller, key);
        }
        self.note_events(caller);
    }

    /// Reads from a connection again, unless it is to be held still.
    fn release(&mut self, caller: &Caller, key: MemberKey) {
        if !self.connections.is_current(key) || !caller.has_room() {
            return;
        }
        let Stage::Open(Some(session)) = &self.connections.cold[key.slot as usize].stage else {
            return;
        };
        if session.heartbeat() == crate::door::Heartbeat::Deadline {
            return;
        }
        self.connections.hot[key.slot as usize].flags &= !BUSY;
        self.read_again(key);
    }

    /// Reads from a connection that was not read for a while. Its silence in that time was ours.
    pub(super) fn read_again(&mut self, key: MemberKey) {
        let index = key.slot as usize;
        if self.connections.hot[index].flags & PINGED != 0 {
            let now = self.connections.now;
            let asked = now.saturating_sub(millis(self.settings.ping_interval));
            let heard = &mut self.connections.cold[index].heard;
            *heard = asked.max(*heard);
        }
        self.list_ready(key);
    }

    /// The peer has said goodbye, and is answered when the handler is done.
    pub(super) fn wait(&mut self, key: MemberKey) {
        let index = key.slot as usize;
        self.connections.hot[index].flags |= BUSY;
        let due = self.connections.now + self.connections.limits.close_ms;
        self.connections.wheel.set(key.slot, due);
    }

    /// Tells a handler, or a session that wants to know, that its connection has ended.
    pub(super) fn part(&mut self, key: MemberKey, end: End) {
        if self.connections.is_current(key)
            && self.connections.hot[key.slot as usize].flags & TIMED != 0
        {
            self.call(key, |session, turn| {
                session.ended(end, turn);
                Then::Continue
            });
        }
        if let Some(caller) = self.caller(key) {
            caller.part(Disconnect::cut(Side::Peer));
            self.note_events(&caller);
        }
    }

    /// Tells a handler that its client does not answer.
    pub(super) fn tell_silent(&self, key: MemberKey) {
        if let Some(caller) = self.caller(key) {
            caller.push(Event::Error(ConnectionError::Silent));
        }
    }

    /// What calls the handler of a connection.
    pub(super) fn caller(&self, key: MemberKey) -> Option<Rc<Caller>> {
        if !self.connections.is_current(key) {
            return None;
        }
        match &self.connections.cold[key.slot as usize].stage {
            Stage::Open(Some(session)) => session.caller().cloned(),
            _ => None,
        }
    }

    /// Whether a connection may still be given something.
    pub(super) fn is_served(&self, key: MemberKey) -> bool {
        self.connections.is_current(key)
            && self.connections.hot[key.slot as usize].flags & CLOSING == 0
    }

    /// Counts a turn that has taken long.
    pub(super) fn note_slow(&mut self, taken_ms: u64) {
        self.connections.counters.slow_turn();
        note_slow(self.local.link(), Duration::from_millis(taken_ms));
    }
}

/// Lets a handler run as far as it comes at once.
fn poll_once(call: &mut Call) -> Poll<Option<Returned>> {
    let mut cx = Context::from_waker(Waker::noop());
    contained(call, &mut cx)
}

/// Lets a handler run; without a result it has panicked, and must not run again.
fn contained<F: Future + ?Sized>(
    call: &mut Pin<Box<F>>,
    cx: &mut Context<'_>,
) -> Poll<Option<F::Output>> {
    catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)))
        .map_or(Poll::Ready(None), |poll| poll.map(Some))
}

/// Says whose fault it is that a handler has failed; of a client's nobody needs to be told but those
/// who ask, or it could fill the log.
fn blame(error: BoxError, caller: &Caller) -> (Fault, ConnectionError) {
    let member = caller.member.id();
    match malformed(&error) {
        Some(error) => {
            // What the client sent may stand in the words of the error.
            tracing::debug!(%member, "a message is malformed");
            (Fault::Client, ConnectionError::Malformed(error.clone()))
        }
        None => {
            static TOLD: Told = Told::new();
            match TOLD.again() {
                true => tracing::warn!(%member, %error, "a handler failed"),
                false => tracing::debug!(%member, %error, "a handler failed"),
            }
            (Fault::Handler, ConnectionError::Handler(error))
        }
    }
}

/// The JSON of a client's behind an error: as it is, or as `?` has wrapped it.
fn malformed(error: &BoxError) -> Option<&JsonError> {
    let json = match (error.downcast_ref(), error.downcast_ref()) {
        (Some(SendError::Json(json)), _) | (_, Some(RoomError::Json(json))) => Some(json),
        _ => error.downcast_ref(),
    };
    json.filter(|json| json.is_malformed())
}

/// Runs a handler to its end, and counts where it keeps its thread for long.
pub(super) async fn watched<F: Future + ?Sized>(
    mut call: Pin<Box<F>>,
    link: &Link,
) -> Option<F::Output> {
    std::future::poll_fn(move |cx| {
        let began = Instant::now();
        let poll = contained(&mut call, cx);
        let taken = began.elapsed();
        if taken > SLOW {
            note_slow(link, taken);
        }
        poll
    })
    .await
}

fn note_slow(link: &Link, taken: Duration) {
    link.tally.slow_turns.fetch_add(1, Ordering::Relaxed);
    if taken > VERY_SLOW {
        tracing::warn!(
            ?taken,
            "a shard was kept from its connections; does a handler block?"
        );
    }
}

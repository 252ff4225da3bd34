//! Calls a handler with one connection's events, one after the other.

use std::{cell::RefCell, collections::VecDeque, fmt, rc::Rc};

use super::{
    Call, Connect, ConnectionError, Control, Disconnect, Event, Member, Message, Returned,
    agent::{Agent, Serve},
};

/// A connection's events on their way to its handler. It outlives the connection: the last event
/// is its end.
pub(crate) struct Caller {
    pub(crate) member: Member,
    /// Whether the handler is told of pings and pongs.
    pub(crate) hears_control: bool,
    inner: RefCell<Inner>,
}

struct Inner {
    /// Away while a handler runs; gone for good after one has panicked.
    agent: Option<Box<dyn Agent>>,
    running: bool,
    /// How many events the handler that runs may still be given.
    left: u32,
    /// On the shard's list of callers to be served.
    listed: bool,
    events: VecDeque<Event>,
    /// Bytes of the messages among them.
    bytes: usize,
    /// How the connection ends, once that is known.
    ending: Option<Disconnect>,
    /// The end is among the events, or was.
    parted: bool,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

impl Caller {
    /// A caller whose first event is that the client asks to be connected.
    pub(crate) fn new(serve: &dyn Serve, connect: Connect) -> Self {
        let member = connect.member().clone();
        Self {
            inner: RefCell::new(Inner {
                agent: Some(serve.agent()),
                running: false,
                left: 0,
                listed: false,
                events: VecDeque::from([Event::Connect(Box::new(connect))]),
                bytes: 0,
                ending: None,
                parted: false,
            }),
            hears_control: serve.hears_control(),
            member,
        }
    }

    /// A caller of an agent that is made already, without an event.
    pub(crate) fn of(member: Member, agent: Box<dyn Agent>) -> Self {
        Self {
            inner: RefCell::new(Inner {
                agent: Some(agent),
                running: false,
                left: 0,
                listed: false,
                events: VecDeque::new(),
                bytes: 0,
                ending: None,
                parted: false,
            }),
            hears_control: false,
            member,
        }
    }

    /// Adds an event. Nothing follows the end.
    pub(crate) fn push(&self, event: Event) {
        let mut inner = self.inner.borrow_mut();
        if !inner.parted && (inner.agent.is_some() || inner.running) {
            inner.bytes += cost(&event);
            inner.events.push_back(event);
        }
    }

    /// Notes how the connection ends. What is noted first counts.
    pub(crate) fn set_ending(&self, ending: Disconnect) {
        self.inner.borrow_mut().ending.get_or_insert(ending);
    }

    /// The connection has ended: as was noted, or else in this way.
    pub(crate) fn part(&self, otherwise: Disconnect) {
        self.member.set_closed();
        let ending = self.inner.borrow_mut().ending.take();
        self.push(Event::Disconnect(ending.unwrap_or(otherwise)));
        self.inner.borrow_mut().parted = true;
    }

    /// Whether the socket is not to be read for now.
    pub(crate) fn is_full(&self) -> bool {
        let inner = self.inner.borrow();
        inner.events.len() >= EVENTS_MAX || inner.bytes >= BYTES_MAX
    }

    /// Whether so much waits that not even what has been read is taken in.
    pub(crate) fn is_overfull(&self) -> bool {
        self.inner.borrow().bytes >= BYTES_MAX * 4
    }

    /// Whether so little waits that a socket which is not read may be again.
    pub(crate) fn has_room(&self) -> bool {
        let inner = self.inner.borrow();
        inner.events.len() <= EVENTS_MAX / 2 && inner.bytes <= BYTES_MAX / 2
    }

    /// Whether nothing waits and no handler runs.
    pub(crate) fn is_idle(&self) -> bool {
        let inner = self.inner.borrow();
        inner.events.is_empty() && !inner.running
    }

    /// Whether there is something to call the handler with, and the caller is not on the list yet.
    /// It is to be put there then.
    pub(crate) fn enlist(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let wants = inner.agent.is_some() && !inner.events.is_empty();
        wants && !std::mem::replace(&mut inner.listed, true)
    }

    /// The caller is off the list.
    pub(crate) fn unlist(&self) {
        self.inner.borrow_mut().listed = false;
    }

    /// Has the handler called with what waits, at most so many events. The agent is away until
    /// [`Caller::returned`].
    pub(crate) fn next_call(self: &Rc<Self>, events_max: u32) -> Option<Call> {
        let mut inner = self.inner.borrow_mut();
        if inner.events.is_empty() {
            return None;
        }
        let agent = inner.agent.take()?;
        inner.running = true;
        inner.left = events_max;
        drop(inner);
        Some(agent.serve(Rc::clone(self)))
    }

    /// The next event for the handler that runs; none where it is to come back.
    pub(crate) fn next_event(&self) -> Option<Event> {
        let mut inner = self.inner.borrow_mut();
        inner.left = inner.left.checked_sub(1)?;
        let event = inner.events.pop_front()?;
        inner.bytes -= cost(&event);
        Some(event)
    }

    /// The next event, where it is a message and the handler that runs may be given one.
    pub(crate) fn next_message(&self) -> Option<Message> {
        let mut inner = self.inner.borrow_mut();
        let left = inner.left.checked_sub(1)?;
        let Some(Event::Message(message)) = inner.events.pop_front_if(is_message) else {
            return None;
        };
        inner.left = left;
        inner.bytes -= message.len();
        Some(message)
    }

    /// The handler that runs is to come back once it is done with the event that it has.
    pub(crate) fn call_back(&self) {
        self.inner.borrow_mut().left = 0;
    }

    /// A handler is done.
    pub(crate) fn returned(&self, agent: Box<dyn Agent>) {
        let mut inner = self.inner.borrow_mut();
        inner.agent = Some(agent);
        inner.running = false;
    }

    /// A handler has panicked, and its state is gone: nothing more can be handled.
    pub(crate) fn lost(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.running = false;
        inner.events.clear();
        inner.bytes = 0;
    }

    /// A handler has failed: what waited is dropped, and the error is handled next.
    pub(crate) fn failed(&self, error: ConnectionError) {
        let mut inner = self.inner.borrow_mut();
        inner
            .events
            .retain(|event| matches!(event, Event::Disconnect(_)));
        inner.bytes = 0;
        inner.events.push_front(Event::Error(error));
    }
}

/// Splits what a handler came back with.
impl Returned {
    pub(crate) fn give_back(self, caller: &Caller) -> super::Outcome {
        caller.returned(self.agent);
        self.outcome
    }
}

fn is_message(event: &mut Event) -> bool {
    matches!(event, Event::Message(_))
}

fn cost(event: &Event) -> usize {
    match event {
        Event::Message(message) => message.len(),
        Event::Control(Control::Ping(payload) | Control::Pong(payload)) => {
            CONTROL_BYTES + payload.len()
        }
        Event::Io(event) => event.cost(),
        Event::Connect(_) | Event::Error(_) | Event::Disconnect(_) => 0,
    }
}

/// What a control frame counts beside its payload, so that many empty ones are not for free.
const CONTROL_BYTES: usize = 64;
/// Events that wait before the socket is not read any more.
const EVENTS_MAX: usize = 256;
/// Bytes of messages that wait before the socket is not read any more.
const BYTES_MAX: usize = 64 * 1024;

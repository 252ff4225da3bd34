//! A shard: one core's connections, in one thread, without a lock.
//!
//! A turn reads what is ready, lets the sessions talk to the hub, performs the hub's effects,
//! posts words to other shards, and at its end flushes each room's batch with one `send` a member.

mod accept;
mod addresses;
mod batch;
mod calls;
mod commands;
mod connections;
mod deadlines;
mod drain;
mod effects;
mod flush;
mod gate;
mod handoff;
mod life;
mod mailbox;
mod outside;
mod poll;
mod requests;
mod turn;
mod visit;
mod wheel;

use std::{
    collections::VecDeque,
    fmt, io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use parlor_hub::{Effect, Effects, Hub, MemberKey, RoomKey, ShardId};

use self::{
    accept::Acceptor,
    batch::{Batch, Buffers},
    connections::Connections,
    drain::Draining,
    handoff::HttpSide,
    mailbox::Mail,
    outside::Waiting,
    poll::PollSet,
};
use crate::{
    door::Tools,
    embed::{Caller, Local},
    metrics::Metrics,
};

pub(crate) use parlor_hub::outbox::{Bounds, Slow};

pub(crate) use self::{
    addresses::Addresses,
    connections::{Answered, SendLimits},
    life::millis,
    mailbox::{Carrier, Mail as Letter, Mailbox, Mailboxes},
    outside::{Answer, Publish},
    visit::{Arrival, Visit},
};

/// Bytes read from one connection in one turn, at most; the size of the shard's read buffer.
const READ_BYTES: usize = 64 * 1024;
/// How soon a shard that reads nothing because another one is behind looks again.
const CONGESTION_LOOK: Duration = Duration::from_millis(1);
/// How often a turn lets others publish once more before it flushes.
const GATHERINGS_MAX: usize = 64;
/// While so many payload bytes wait to be flushed, nothing is read and no mail is taken in; the
/// shards that post it stop reading in turn.
const UNFLUSHED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a shard is told at its start.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) send: SendLimits,
    pub(crate) head_timeout: Duration,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    /// Connections of the whole server.
    pub(crate) connections_max: usize,
    /// The limit of each address, if there is one.
    pub(crate) addresses: Option<Arc<Addresses>>,
    pub(crate) http_limits: crate::http::Limits,
    pub(crate) policy: crate::policy::Policy,
    /// That for requests that came to a server of the embedder's.
    pub(crate) visit_policy: crate::policy::Policy,
    pub(crate) router: axum::Router,
    pub(crate) metrics: Arc<Metrics>,
    /// The routes of the listener for metrics.
    pub(crate) metrics_router: axum::Router,
    pub(crate) hub_limits: parlor_hub::Limits,
    pub(crate) rooms: Arc<parlor_hub::RoomTable>,
    /// Over how long the goodbyes are spread when the server stops.
    pub(crate) drain: Duration,
    /// Keys the choice of a room's home; the same in all shards.
    pub(crate) seeds: parlor_hub::Seeds,
    pub(crate) door: crate::door::Settings,
}

/// The listeners that one shard accepts from.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) doors: Vec<std::net::TcpListener>,
    /// Serves only what operators ask for.
    pub(crate) metrics: Option<std::net::TcpListener>,
}

/// One core's connections and rooms.
pub(crate) struct Shard {
    id: ShardId,
    settings: Arc<Settings>,
    start: Instant,
    connections: Connections,
    hub: Hub,
    /// When the hub has something to forget: milliseconds of the shard's clock.
    hub_due: Option<u64>,
    effects: Effects,
    /// Effects that wait for those before them to be performed.
    undone: VecDeque<Effect>,
    performing: bool,
    tools: Tools,
    /// By index of the room's key.
    batches: Vec<Batch>,
    unflushed: VecDeque<RoomKey>,
    /// Payload bytes of all batches and flushes, those under way included.
    unflushed_bytes: usize,
    /// Rooms to be flushed as soon as all effects are performed.
    large: Vec<RoomKey>,
    /// What is on its way to everybody at an endpoint.
    broadcasts: VecDeque<Box<batch::Flush>>,
    buffers: Buffers,
    /// Connections to be read in this turn.
    ready: Vec<MemberKey>,
    /// Those that have more than was read of them in their turn. They are read behind the others.
    heavy: VecDeque<MemberKey>,
    read_buffer: Vec<u8>,
    reply: Vec<u8>,
    expired: Vec<u32>,
    /// When deadlines were last looked at: milliseconds of the shard's clock.
    expired_at: u64,
    mailboxes: Mailboxes,
    mail: Vec<Mail>,
    /// The mailbox was not looked into, because too much waited to be flushed.
    mail_left: bool,
    outgoing: Vec<Outgoing>,
    acceptor: Option<Acceptor>,
    http: HttpSide,
    waiting: Waiting,
    draining: Option<Draining>,
    /// What is done on this thread for handlers.
    local: Rc<Local>,
    /// Held by each task that waits for what the embedder decides.
    judging: Rc<()>,
    /// Connections whose handlers are to be called.
    calls: VecDeque<Rc<Caller>>,
    /// Until then nobody is cut for being silent: a long turn of ours is not the peer's silence.
    lenient_until: u64,
}

/// Words on their way to one other shard, posted once a turn.
#[derive(Debug, Default)]
struct Outgoing {
    mail: Vec<Mail>,
    bytes: usize,
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A poll set with its mailbox: what a shard makes before it knows the others.
#[derive(Debug)]
pub(crate) struct Cradle {
    poll: PollSet,
}

impl Cradle {
    /// The poll set and the mailbox that wakes it. Must be called inside the shard's runtime.
    pub(crate) fn new() -> io::Result<(Self, Arc<Mailbox>)> {
        let poll = PollSet::new()?;
        let waker = mio::Waker::new(poll.registry(), turn::WAKER)?;
        Ok((Self { poll }, Arc::new(Mailbox::new(waker))))
    }
}

impl Shard {
    /// A shard that begins to serve with its first turn.
    pub(crate) fn new(
        id: ShardId,
        cradle: Cradle,
        mailboxes: Mailboxes,
        settings: Arc<Settings>,
        listeners: Listeners,
    ) -> io::Result<Self> {
        let acceptor = match listeners.doors.is_empty() {
            true => None,
            false => {
                let addresses = settings.addresses.clone();
                Some(Acceptor::new(listeners.doors, &cradle.poll, addresses)?)
            }
        };
        if let Some(listener) = listeners.metrics {
            handoff::serve_metrics(listener, &settings)?;
        }
        let shards = u16::try_from(mailboxes.len()).unwrap_or(u16::MAX);
        Ok(Self {
            id,
            start: Instant::now(),
            connections: Connections::new(cradle.poll, settings.send),
            hub: Hub::new(id, shards, settings.seeds, settings.hub_limits.clone())
                .with_rooms(Arc::clone(&settings.rooms)),
            hub_due: None,
            effects: Effects::new(),
            undone: VecDeque::new(),
            performing: false,
            tools: Tools::new(id, &settings.door)?,
            batches: Vec::new(),
            unflushed: VecDeque::new(),
            unflushed_bytes: 0,
            large: Vec::new(),
            broadcasts: VecDeque::new(),
            buffers: Buffers::default(),
            ready: Vec::new(),
            heavy: VecDeque::new(),
            read_buffer: vec![0; READ_BYTES],
            reply: Vec::new(),
            expired: Vec::new(),
            expired_at: 0,
            outgoing: mailboxes.iter().map(|_| Outgoing::default()).collect(),
            mailboxes,
            mail: Vec::new(),
            mail_left: false,
            acceptor,
            http: HttpSide::new(&settings),
            waiting: Waiting::default(),
            draining: None,
            local: Local::settle(Arc::clone(&settings.door.link)),
            judging: Rc::default(),
            calls: VecDeque::new(),
            lenient_until: 0,
            settings,
        })
    }

    /// Serves until it is told to stop and every connection is gone, or the time for that is up.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let result = self.serve().await;
        self.mailboxes[usize::from(self.id.0)].close();
        self.local.unsettle();
        result
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut events = PollSet::events();
        let mut turns = 0_u32;
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        loop {
            self.local.set_awake(true);
            let begun = self.take_in(&mut events);
            for _ in 0..GATHERINGS_MAX {
                // Those who publish one by one and wait for each answer are answered, and asked
                // for more, before the batch goes out.
                if !self.waiting.take_answered() {
                    break;
                }
                tokio::task::yield_now().await;
                self.take_mail();
            }
            let more = self.give_out(&begun);
            if self.is_done() {
                return Ok(());
            }
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(16) {
                self.publish_counters();
            }
            self.local.set_awake(false);
            let judging = Rc::strong_count(&self.judging) > 1;
            let tasks = self.http.is_busy() || self.local.is_busy() || judging;
            if tasks || turns.is_multiple_of(16) {
                tokio::task::yield_now().await;
            }
            if more {
                self.connections.poll.poll(&mut events)?;
                continue;
            }
            if let Some(pause) = self.begins_in() {
                if !tasks {
                    self.connections.poll.pause(pause)?;
                }
                self.connections.poll.poll(&mut events)?;
                continue;
            }
            self.connections.poll.poll(&mut events)?;
            if !events.is_empty() || self.http.has_news() || self.local.has_news() {
                continue;
            }
            self.publish_counters();
            let wake_at = self.wake_at();
            if sleep.deadline() != wake_at {
                sleep.as_mut().reset(wake_at);
            }
            tokio::select! {
                biased;
                ready = self.connections.poll.wait(&mut events) => ready?,
                () = self.http.news() => events.clear(),
                () = self.local.news() => events.clear(),
                () = &mut sleep => events.clear(),
            }
        }
    }

    /// When the next deadline is looked at.
    fn wake_at(&self) -> tokio::time::Instant {
        const LONGEST: Duration = Duration::from_secs(3600);
        let stop = self
            .connections
            .wheel
            .next_stop()
            .into_iter()
            .chain(self.hub_due)
            .min();
        let stop = stop.map(Duration::from_millis);
        let mut wake = stop.map_or_else(|| Instant::now() + LONGEST, |stop| self.start + stop);
        if let Some(draining) = &self.draining {
            wake = wake.min(draining.wake_at());
        }
        if self.acceptor.as_ref().is_some_and(Acceptor::is_exhausted) {
            wake = wake.min(Instant::now() + accept::RETRY);
        }
        if self.has_ready() || !self.calls.is_empty() {
            wake = wake.min(Instant::now() + CONGESTION_LOOK);
        }
        wake.into()
    }
}

#[cfg(test)]
mod tests;

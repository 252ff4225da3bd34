//! `parlor bench fanout`: one room; what a member sends must reach all the others.

use std::ops::Range;

use anyhow::bail;

use super::arguments::{Common, Dialect, Fanout, Traffic};
use super::client::Speaker;
use super::crowd::{self, Crowd};
use super::fleet::{Ending, Fleet, Listener, Manner, Reads};
use super::histogram::Histogram;
use super::ledger::{Heard, Ledger, Own};
use super::opened::Opened;
use super::pace::{Pace, Schedule};
use super::progress::Progress;
use super::replay::Hearing;
use super::report::{Mark, Report, Unit, grouped};
use super::stamp::{Payloads, Stamp};
use super::time::{Nanos, SECOND, nanos};

/// Runs the test.
pub(super) fn run(arguments: &Fanout) -> anyhow::Result<Report> {
    let Fanout {
        common,
        traffic,
        members,
        publishers,
        dialect,
    } = arguments;
    if *dialect == Dialect::Sse {
        bail!("event streams are loaded by `parlor bench sse`");
    }
    crowd::check(*dialect, traffic.kind(), common)?;
    let plan = Plan {
        common,
        traffic,
        members: usize::try_from(*members)?,
        publishers: usize::from(*publishers),
        own: Own::Never,
        crowd: Crowd::of(*dialect),
    };
    if plan.publishers > plan.members {
        bail!("{publishers} publishers do not fit into {members} members");
    }
    let mut report = Report::new("fanout", &common.url);
    report.fact("members", *members);
    report.fact("publishers", *publishers);
    report.fact("dialect", dialect.name());
    let senders = self::publishers(*publishers);
    let members = grouped(u64::from(*members));
    let spoken = match dialect {
        Dialect::Raw | Dialect::Sse => String::new(),
        Dialect::ParlorV1 | Dialect::SocketIo => format!(", {}", dialect.name()),
    };
    report.row("room", format!("{members} members, {senders}{spoken}"));
    measure(&plan, report)
}

/// So many publishers, in words.
pub(super) fn publishers(count: u16) -> String {
    let publishers = if count == 1 {
        "publisher"
    } else {
        "publishers"
    };
    format!("{count} {publishers}")
}

/// A room under load, whatever its members speak.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) common: &'a Common,
    pub(super) traffic: &'a Traffic,
    /// How many hear.
    pub(super) members: usize,
    /// How many of them, or beside them, speak.
    pub(super) publishers: usize,
    pub(super) own: Own,
    pub(super) crowd: Crowd,
}

impl Plan<'_> {
    /// The place of the first publisher.
    const fn first_publisher(&self) -> usize {
        match self.own {
            Own::Apart => self.members,
            Own::Never | Own::Only => 0,
        }
    }

    /// How many connections there are.
    const fn connections(&self) -> usize {
        match self.own {
            Own::Apart => self.members + self.publishers,
            Own::Never | Own::Only => self.members,
        }
    }

    /// How many members hear each message.
    const fn audience(&self) -> usize {
        match self.own {
            Own::Apart => self.members,
            Own::Never | Own::Only => self.members - 1,
        }
    }
}

/// Opens the connections, loads the room, and completes the report.
pub(super) fn measure(plan: &Plan<'_>, mut report: Report) -> anyhow::Result<Report> {
    let &Plan {
        common,
        traffic,
        members,
        publishers,
        own,
        crowd,
    } = plan;
    if members.saturating_mul(publishers) > PAIRS_MAX {
        bail!("members times publishers may be at most {PAIRS_MAX}");
    }
    let manner = Manner::new(common, traffic.kind(), Reads::Alike, crowd);
    let mut opened = Opened::new(common, manner, plan.connections())?;
    let test = opened.fleet.draw_test();
    let ledger = Ledger::new(test, members, publishers, own);
    let mut room = Room::new(test, ledger, members);
    room.skips_own = crowd.dialect == Dialect::SocketIo;
    probe(&mut opened.fleet, &mut room, plan)?;
    let growth = opened.growth(common.pid)?;

    let mut drive = Drive {
        fleet: &mut opened.fleet,
        progress: &mut opened.progress,
        payloads: Payloads::new(traffic.size),
        audience: u64::try_from(plan.audience())?,
        sent: vec![0; publishers],
        total: 0,
        forgiven: 0,
        touched: vec![false; publishers],
        test,
        plan,
    };
    let (first, last) = drive.measure(&mut room)?;
    drive.drain(&mut room)?;
    let sent = std::mem::take(&mut drive.sent);
    opened.progress.clear();

    describe(&mut report, common, traffic);
    report.between(DELIVERIES, first, last);
    report.fact(
        "sent",
        sent.iter().map(|&count| u64::from(count)).sum::<u64>(),
    );
    report.times("latency", "latency", &room.times);
    report.checked(&room.ledger, &sent);
    report.closed(room.closed, room.first_closed.as_deref());
    opened.report(&mut report);
    if let Some(growth) = growth {
        report.memory(growth);
    }
    Ok(report)
}

fn describe(report: &mut Report, common: &Common, traffic: &Traffic) {
    let pace = traffic.pace().describe(report);
    report.fact("size", u64::try_from(traffic.size).unwrap_or_default());
    report.fact("deflate", common.deflate);
    let deflate = if common.deflate { ", deflate" } else { "" };
    let size = traffic.size;
    report.row("load", format!("{size} B{deflate}, {pace}"));
}

/// Waits until every member hears the others: a member may be let in after its handshake.
fn probe(fleet: &mut Fleet, room: &mut Room, plan: &Plan<'_>) -> anyhow::Result<()> {
    let mut payloads = Payloads::new(plan.traffic.size);
    let first = plan.first_publisher();
    // Of members that do not hear themselves the second one's probe is for the first.
    let speakers = if plan.own == Own::Apart { 1 } else { 2 };
    let begin = fleet.clock.now();
    let mut number = 0;
    while room.deaf > 0 && room.closed == 0 {
        let now = fleet.clock.now();
        if now - begin > PROBE_PATIENCE {
            let members = room.hears.len();
            bail!(
                "{} of {members} members do not hear the others: is this a room?",
                room.deaf
            );
        }
        for place in first..first + speakers {
            let stamp = Stamp {
                test: room.test,
                publisher: PROBE,
                number,
                due: now,
            };
            fleet.say(place, payloads.message(stamp))?;
            fleet.flush(place, room);
        }
        number += 1;
        let next = now + SECOND / 10;
        while room.deaf > 0 && fleet.clock.now() < next {
            fleet.turn(next, room)?;
        }
    }
    Ok(())
}

/// What the members hear.
struct Room {
    test: u16,
    ledger: Ledger,
    times: Histogram,
    /// Messages that were due in this time count.
    measured: Range<Nanos>,
    last_heard: Nanos,
    /// Whether what a publisher hears of itself is passed over: a server of Socket.IO may send a
    /// `message` back.
    skips_own: bool,
    hears: Vec<bool>,
    /// How many do not hear yet.
    deaf: usize,
    closed: u64,
    first_closed: Option<String>,
}

impl Room {
    fn new(test: u16, ledger: Ledger, members: usize) -> Self {
        Self {
            test,
            ledger,
            times: Histogram::default(),
            measured: 0..0,
            last_heard: 0,
            skips_own: false,
            hears: vec![false; members],
            deaf: members,
            closed: 0,
            first_closed: None,
        }
    }

    fn heard_probe(&mut self, member: usize) {
        if !std::mem::replace(&mut self.hears[member], true) {
            self.deaf -= 1;
        }
    }
}

impl Listener for Room {
    fn heard(&mut self, member: usize, heard: &Hearing, at: Nanos, _: &mut Speaker<'_>) {
        if member >= self.hears.len() {
            // A publisher that is no member, and hears the others all the same.
            return;
        }
        self.ledger.foreign += heard.unstamped;
        self.last_heard = at;
        for &stamp in &heard.stamps {
            if self.skips_own && usize::from(stamp.publisher) == member {
                continue;
            }
            if stamp.publisher == PROBE && stamp.test == self.test {
                self.heard_probe(member);
                continue;
            }
            let heard = self.ledger.enter(member, stamp);
            if matches!(heard, Heard::New | Heard::Late) && self.measured.contains(&stamp.due) {
                self.times.record(at.saturating_sub(stamp.due));
            }
        }
    }

    fn closed(&mut self, _: usize, ending: Ending) {
        self.closed += 1;
        self.first_closed.get_or_insert(ending.why);
    }
}

/// The sending side.
struct Drive<'a> {
    fleet: &'a mut Fleet,
    progress: &'a mut Progress,
    payloads: Payloads,
    /// How many members hear each message.
    audience: u64,
    sent: Vec<u32>,
    total: u64,
    /// Deliveries that are no longer waited for.
    forgiven: u64,
    touched: Vec<bool>,
    test: u16,
    plan: &'a Plan<'a>,
}

impl Drive<'_> {
    /// Sends through warm-up and measured time; gives the marks of the latter.
    fn measure(&mut self, room: &mut Room) -> anyhow::Result<(Mark, Mark)> {
        let Plan {
            common, traffic, ..
        } = self.plan;
        let begin = self.fleet.clock.now();
        let start = begin + nanos(traffic.warmup);
        let end = start + nanos(common.time);
        room.measured = start..end;
        room.last_heard = begin;
        let mut first = None;
        loop {
            let now = self.fleet.clock.now();
            if first.is_none() && now >= start {
                first = Some(Mark::new(now, room.ledger.delivered, common.pid));
            }
            if now >= end || room.closed > 0 || self.total >= u64::from(traffic.max) {
                break;
            }
            let next = self.publish(begin, now, room)?;
            let edge = if first.is_none() { start } else { end };
            self.fleet
                .turn(next.min(edge).min(now + SECOND / 20), room)?;
            self.forgive(room);
            self.progress.show(now - begin, end - begin, || {
                format!("{} deliveries", grouped(room.ledger.delivered))
            });
        }
        let last = Mark::new(self.fleet.clock.now(), room.ledger.delivered, common.pid);
        match first {
            Some(first) => Ok((first, last)),
            None if room.closed > 0 => Ok((last, last)),
            None => bail!("--max was reached in the warm-up"),
        }
    }

    /// Sends what is due and says when the next message will be.
    fn publish(&mut self, begin: Nanos, now: Nanos, room: &mut Room) -> anyhow::Result<Nanos> {
        let room_left = u64::from(self.plan.traffic.max).saturating_sub(self.total);
        let next = match self.plan.traffic.pace() {
            Pace::Window(window) => {
                let under_way = self.outstanding(room).div_ceil(self.audience);
                for _ in 0..window.saturating_sub(under_way).min(room_left) {
                    self.say(now)?;
                }
                Nanos::MAX
            }
            Pace::Rate(rate) => {
                let schedule = Schedule::new(begin, rate);
                let due = schedule.count(now).saturating_sub(self.total);
                for _ in 0..due.min(room_left) {
                    self.say(schedule.due(self.total))?;
                }
                schedule.due(self.total)
            }
        };
        for publisher in 0..self.touched.len() {
            if std::mem::take(&mut self.touched[publisher]) {
                self.fleet
                    .flush(self.plan.first_publisher() + publisher, room);
            }
        }
        Ok(next)
    }

    fn say(&mut self, due: Nanos) -> anyhow::Result<()> {
        let publishers = u64::try_from(self.sent.len())?;
        let publisher = usize::try_from(self.total % publishers)?;
        let stamp = Stamp {
            test: self.test,
            publisher: u16::try_from(publisher)?,
            number: self.sent[publisher],
            due,
        };
        let place = self.plan.first_publisher() + publisher;
        self.fleet.say(place, self.payloads.message(stamp))?;
        self.sent[publisher] += 1;
        self.touched[publisher] = true;
        self.total += 1;
        Ok(())
    }

    /// How many deliveries are still to come. What was passed over is not waited for.
    fn outstanding(&self, room: &Room) -> u64 {
        let settled = room.ledger.delivered + room.ledger.missing + self.forgiven;
        (self.total * self.audience).saturating_sub(settled)
    }

    /// Stops waiting for what is too late, so that one lost message does not end the test.
    fn forgive(&mut self, room: &mut Room) {
        let now = self.fleet.clock.now();
        let silent = now - room.last_heard > nanos(self.plan.traffic.patience);
        if silent {
            self.forgiven += self.outstanding(room);
            room.last_heard = now;
        }
    }

    /// Waits for what is under way, then a little longer for what comes twice.
    fn drain(&mut self, room: &mut Room) -> anyhow::Result<()> {
        let patience = nanos(self.plan.traffic.patience);
        self.forgiven = 0;
        room.last_heard = self.fleet.clock.now();
        while self.outstanding(room) > 0 && room.closed == 0 {
            let now = self.fleet.clock.now();
            if now - room.last_heard > patience {
                break;
            }
            self.fleet.turn(now + SECOND / 20, room)?;
        }
        let until = self.fleet.clock.now() + GRACE;
        while self.fleet.clock.now() < until {
            self.fleet.turn(until, room)?;
        }
        Ok(())
    }
}

const DELIVERIES: Unit = Unit {
    label: "deliveries",
    singular: "delivery",
    plural: "deliveries",
    spoken: "delivery",
};
/// The publisher of probes.
const PROBE: u16 = u16::MAX;
const PROBE_PATIENCE: Nanos = 10 * SECOND;
const GRACE: Nanos = SECOND / 5;
/// Four bytes each.
const PAIRS_MAX: usize = 100_000_000;

//! `parlor bench echo`: connections whose messages come back to them.

use std::ops::Range;

use anyhow::bail;

use super::arguments::{Dialect, Echo};
use super::client::Speaker;
use super::crowd::Crowd;
use super::fleet::{Ending, Listener, Manner, Reads};
use super::histogram::Histogram;
use super::ledger::{Heard, Ledger, Own};
use super::opened::Opened;
use super::pace::{Pace, Schedule};
use super::replay::Hearing;
use super::report::{Mark, Report, Unit, grouped};
use super::stamp::{Payloads, Stamp};
use super::time::{Clock, Nanos, SECOND, nanos};

/// Runs the test.
pub(super) fn run(arguments: &Echo) -> anyhow::Result<Report> {
    let Echo {
        common,
        traffic,
        connections,
    } = arguments;
    let connections = usize::from(*connections);
    let crowd = Crowd::of(Dialect::Raw);
    let manner = Manner::new(common, traffic.kind(), Reads::Apart, crowd);
    let mut opened = Opened::new(common, manner, connections)?;
    let growth = opened.growth(common.pid)?;
    let mut echo = Exchange::new(arguments, opened.fleet.draw_test(), opened.fleet.clock);
    let (first, last) = measure(&mut opened, &mut echo, arguments)?;
    drain(&mut opened, &mut echo, nanos(traffic.patience))?;
    opened.progress.clear();

    let mut report = Report::new("echo", &common.url);
    let pace = traffic.pace().describe(&mut report);
    report.fact("connections", arguments.connections);
    report.fact("size", u64::try_from(traffic.size)?);
    report.fact("deflate", common.deflate);
    let deflate = if common.deflate { ", deflate" } else { "" };
    let size = traffic.size;
    report.row(
        "load",
        format!("{connections} connections, {size} B{deflate}, {pace}"),
    );
    report.between(MESSAGES, first, last);
    report.fact("sent", echo.total);
    report.times("latency", "latency", &echo.times);
    report.checked(&echo.ledger, &echo.sent);
    report.closed(echo.closed, echo.first_closed.as_deref());
    opened.report(&mut report);
    if let Some(growth) = growth {
        report.memory(growth);
    }
    Ok(report)
}

fn measure(
    opened: &mut Opened,
    echo: &mut Exchange,
    arguments: &Echo,
) -> anyhow::Result<(Mark, Mark)> {
    let Echo {
        common, traffic, ..
    } = arguments;
    let clock = opened.fleet.clock;
    let begin = clock.now();
    let start = begin + nanos(traffic.warmup);
    let end = start + nanos(common.time);
    echo.measured = start..end;
    if let Pace::Window(window) = traffic.pace() {
        for _ in 0..window {
            (0..echo.sent.len()).try_for_each(|place| echo.say_at(opened, place, clock.now()))?;
        }
        (0..echo.sent.len()).for_each(|place| opened.fleet.flush(place, echo));
    }
    let mut first = None;
    loop {
        let now = clock.now();
        if first.is_none() && now >= start {
            first = Some(Mark::new(now, echo.ledger.delivered, common.pid));
        }
        if now >= end || echo.closed > 0 || echo.total >= echo.max {
            break;
        }
        let mut next = now + SECOND / 20;
        if let Pace::Rate(rate) = traffic.pace() {
            next = next.min(echo.send_due(opened, Schedule::new(begin, rate), now)?);
        }
        let edge = if first.is_none() { start } else { end };
        opened.fleet.turn(next.min(edge), echo)?;
        opened.progress.show(now - begin, end - begin, || {
            format!("{} messages", grouped(echo.ledger.delivered))
        });
    }
    echo.stopped = true;
    let last = Mark::new(clock.now(), echo.ledger.delivered, common.pid);
    match first {
        Some(first) => Ok((first, last)),
        None if echo.closed > 0 => Ok((last, last)),
        None => bail!("--max was reached in the warm-up"),
    }
}

/// Waits for what is under way.
fn drain(opened: &mut Opened, echo: &mut Exchange, patience: Nanos) -> anyhow::Result<()> {
    echo.last_heard = echo.clock.now();
    while echo.ledger.lost(&echo.sent) > 0 && echo.closed == 0 {
        let now = echo.clock.now();
        if now - echo.last_heard > patience {
            break;
        }
        opened.fleet.turn(now + SECOND / 20, echo)?;
    }
    Ok(())
}

/// Both sides of the test: each connection answers what it hears with its next message.
struct Exchange {
    clock: Clock,
    test: u16,
    replies: bool,
    max: u64,
    payloads: Payloads,
    ledger: Ledger,
    sent: Vec<u32>,
    total: u64,
    times: Histogram,
    measured: Range<Nanos>,
    last_heard: Nanos,
    stopped: bool,
    closed: u64,
    first_closed: Option<String>,
}

impl Exchange {
    fn new(arguments: &Echo, test: u16, clock: Clock) -> Self {
        let connections = usize::from(arguments.connections);
        Self {
            clock,
            test,
            replies: matches!(arguments.traffic.pace(), Pace::Window(_)),
            max: u64::from(arguments.traffic.max),
            payloads: Payloads::new(arguments.traffic.size),
            ledger: Ledger::new(test, connections, connections, Own::Only),
            sent: vec![0; connections],
            total: 0,
            times: Histogram::default(),
            measured: 0..0,
            last_heard: 0,
            stopped: false,
            closed: 0,
            first_closed: None,
        }
    }

    /// The stamp of a connection's next message.
    fn next_stamp(&mut self, place: usize, due: Nanos) -> Stamp {
        let publisher = u16::try_from(place).unwrap_or(u16::MAX);
        let stamp = Stamp {
            test: self.test,
            publisher,
            number: self.sent[place],
            due,
        };
        self.sent[place] += 1;
        self.total += 1;
        stamp
    }

    fn say_at(&mut self, opened: &mut Opened, place: usize, due: Nanos) -> anyhow::Result<()> {
        let stamp = self.next_stamp(place, due);
        opened.fleet.say(place, self.payloads.message(stamp))
    }

    /// Sends, connection by connection, what is due; gives when the next message will be.
    fn send_due(
        &mut self,
        opened: &mut Opened,
        schedule: Schedule,
        now: Nanos,
    ) -> anyhow::Result<Nanos> {
        let connections = u64::try_from(self.sent.len())?;
        let due = schedule.count(now).min(self.max);
        while self.total < due {
            let place = usize::try_from(self.total % connections)?;
            self.say_at(opened, place, schedule.due(self.total))?;
            opened.fleet.flush(place, self);
        }
        Ok(schedule.due(self.total))
    }
}

impl Listener for Exchange {
    fn heard(&mut self, place: usize, heard: &Hearing, at: Nanos, speaker: &mut Speaker<'_>) {
        self.ledger.foreign += heard.unstamped;
        self.last_heard = at;
        for &stamp in &heard.stamps {
            let heard = self.ledger.enter(place, stamp);
            if !matches!(heard, Heard::New | Heard::Late) {
                continue;
            }
            if self.measured.contains(&stamp.due) {
                self.times.record(at.saturating_sub(stamp.due));
            }
            if self.replies && !self.stopped && self.total < self.max {
                let next = self.next_stamp(place, self.clock.now());
                speaker.say(self.payloads.message(next));
            }
        }
    }

    fn closed(&mut self, _: usize, ending: Ending) {
        self.closed += 1;
        self.first_closed.get_or_insert(ending.why);
    }
}

const MESSAGES: Unit = Unit {
    label: "messages",
    singular: "message",
    plural: "messages",
    spoken: "message",
};

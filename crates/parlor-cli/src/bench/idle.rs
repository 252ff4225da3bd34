//! `parlor bench idle`: connections that are opened and held.

use parlor::proto::websocket::Kind;

use super::arguments::Idle;
use super::client::Speaker;
use super::crowd::{self, Crowd};
use super::fleet::{Ending, Listener, Manner, Reads};
use super::opened::Opened;
use super::replay::Hearing;
use super::report::{Mark, Report, grouped};
use super::time::{Nanos, SECOND, nanos};

/// Runs the test.
pub(super) fn run(arguments: &Idle) -> anyhow::Result<Report> {
    let Idle {
        common,
        connections,
        dialect,
    } = arguments;
    crowd::check(*dialect, Kind::Text, common)?;
    let count = usize::try_from(*connections)?;
    let manner = Manner::new(common, Kind::Text, Reads::Alike, Crowd::of(*dialect));
    let mut opened = Opened::new(common, manner, count)?;
    let clock = opened.fleet.clock;
    let mut quiet = Quiet::default();
    // What the server does after a handshake is no part of idleness.
    let settled = clock.now() + SETTLE;
    while clock.now() < settled {
        opened.fleet.turn(settled, &mut quiet)?;
    }
    let begin = clock.now();
    let end = begin + nanos(common.time);
    let first = Mark::new(begin, 0, common.pid);
    while clock.now() < end && quiet.closed == 0 {
        let now = clock.now();
        opened.fleet.turn(end.min(now + SECOND / 20), &mut quiet)?;
        opened
            .progress
            .show(now - begin, end - begin, || "holding".to_owned());
    }
    let last = Mark::new(clock.now(), 0, common.pid);
    let growth = opened.growth(common.pid)?;
    opened.progress.clear();

    let mut report = Report::new("idle", &common.url);
    report.fact("connections", *connections);
    report.fact("dialect", dialect.name());
    report.fact("deflate", common.deflate);
    report.row(
        "load",
        format!(
            "{} connections of {}",
            grouped(u64::from(*connections)),
            dialect.name()
        ),
    );
    opened.report(&mut report);
    report.idle(first, last);
    report.fact("messages", quiet.messages);
    report.closed(quiet.closed, quiet.first_closed.as_deref());
    if let Some(growth) = growth {
        report.memory(growth);
    }
    Ok(report)
}

#[derive(Default)]
struct Quiet {
    messages: u64,
    closed: u64,
    first_closed: Option<String>,
}

impl Listener for Quiet {
    fn heard(&mut self, _: usize, heard: &Hearing, _: Nanos, _: &mut Speaker<'_>) {
        let stamped = u64::try_from(heard.stamps.len()).unwrap_or_default();
        self.messages += heard.unstamped + stamped;
    }

    fn closed(&mut self, _: usize, ending: Ending) {
        self.closed += 1;
        self.first_closed.get_or_insert(ending.why);
    }
}

const SETTLE: Nanos = SECOND / 2;

//! `parlor bench sse`: event streams of one room, and publishers beside them.

use super::arguments::{Dialect, Sse};
use super::crowd::{self, Crowd};
use super::fanout::{self, Plan};
use super::ledger::Own;
use super::report::{Report, grouped};

/// Runs the test.
pub(super) fn run(arguments: &Sse) -> anyhow::Result<Report> {
    let Sse {
        common,
        traffic,
        subscribers,
        publishers,
        publish,
    } = arguments;
    let dialect = Dialect::Sse;
    crowd::check(dialect, traffic.kind(), common)?;
    let members = usize::try_from(*subscribers)?;
    let plan = Plan {
        common,
        traffic,
        members,
        publishers: usize::from(*publishers),
        own: Own::Apart,
        crowd: Crowd {
            members,
            dialect,
            uplink: *publish,
        },
    };
    let mut report = Report::new("sse", &common.url);
    report.fact("subscribers", *subscribers);
    report.fact("publishers", *publishers);
    report.fact("publish", publish.name());
    let streams = grouped(u64::from(*subscribers));
    let senders = fanout::publishers(*publishers);
    let room = format!("{streams} event streams, {senders} by {}", publish.name());
    report.row("room", room);
    fanout::measure(&plan, report)
}
